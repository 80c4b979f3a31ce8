"""The README does what it says: its files are written, its commands run, their output compared."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_HERE = ("make ", "pipx ")  # set up an environment, which the tests already stand in


def shell(command: str, folder: Path) -> str:
    """What a reader sees: both outputs, in one."""
    environment = {
        **{name: value for name, value in os.environ.items() if name != "SYNCD_CONFIG"},
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "STATE_DIRECTORY": str(folder / "state"),
        "COLUMNS": "100",
        "NO_COLOR": "1",
    }
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    return done.stdout


def as_pattern(expected: list[str]) -> re.Pattern[str]:
    """`…` stands for anything within a line; alone on a line, for any lines."""
    parts = []
    for line in expected:
        if line.strip() == "…":
            parts.append(r"(?:[^\n]*\n)*?")
        else:
            parts.append(".*?".join(map(re.escape, line.split("…"))) + r"[ ]*\n")
    return re.compile("".join(parts))


def dialogue(block: str) -> list[tuple[str, list[str]]]:
    """(command, the lines it is said to answer)"""
    turns: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            turns.append((line[2:], []))
        else:
            turns[-1][1].append(line)
    return turns


def test_the_quickstart_runs_as_printed(tmp_path: Path) -> None:
    said = 0
    for kind, text in BLOCK.findall(README):
        if kind == "toml":
            (tmp_path / "syncd.toml").write_text(text, encoding="utf-8")
        elif kind == "sh" and not text.startswith(NOT_HERE):
            assert shell(text, tmp_path) == ""
        elif kind == "console":
            for command, expected in dialogue(text):
                answer = shell(command, tmp_path)
                assert as_pattern(expected).fullmatch(answer), f"$ {command}\n{answer}"
                said += 1
    assert said > 5


def test_it_opens_with_the_two_commands() -> None:
    first = BLOCK.search(README)
    assert first is not None
    commands = [line.split("#")[0].strip() for line in first[2].splitlines()]
    assert commands == ["make demo", "make test"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(f"\n{command.split()[1]}: " in makefile for command in commands)


def test_its_config_is_short() -> None:
    (text,) = (text for kind, text in BLOCK.findall(README) if kind == "toml")
    assert set(tomllib.loads(text)) == {"state", "systems", "flows"}
    assert len([line for line in text.splitlines() if line.strip()]) <= 25


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_paths_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)(?:#[^)]*)?\)", text):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
    for path in re.findall(r"`((?:syncd|docs|tests|examples|adapters)/[\w/.]+)`", text):
        assert (ROOT / path).exists(), f"{page.name} names {path}"
