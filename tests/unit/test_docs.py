"""The pages keep up with the program."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ERRORS = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
SECTIONS = re.findall(r"(?m)^## (SY\d{4}): .+$", ERRORS)
CODE = re.compile(r"\bSY\d{4}\b")
FOLDERS = ("syncd", "adapters", "migrations")


def used() -> dict[str, set[str]]:
    """Files by code."""
    found: dict[str, set[str]] = {}
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            for code in CODE.findall(path.read_text(encoding="utf-8")):
                found.setdefault(code, set()).add(str(path.relative_to(ROOT)))
    return found


def test_every_code_has_a_section() -> None:
    missing = {code: sorted(files) for code, files in used().items() if code not in SECTIONS}
    assert missing == {}, "give each a section in docs/errors.md: what, why, what to do"


def test_no_code_has_two_sections_and_they_stand_in_order() -> None:
    assert [code for code, count in Counter(SECTIONS).items() if count > 1] == []
    assert sorted(SECTIONS) == SECTIONS


def test_every_section_says_what_to_do() -> None:
    bodies = re.split(r"(?m)^## ", ERRORS)[1:]
    assert [body[:6] for body in bodies if "**What to do.** " not in body] == []


def test_one_code_is_not_shared_by_the_store_and_an_adapter() -> None:
    """A code means one thing: parts that know nothing of each other cannot mean the same."""
    parts = {
        code: {file.split("/")[1] for file in files if not file.startswith("syncd/core/")}
        for code, files in used().items()
    }
    assert {code for code, of in parts.items() if {"store", "syncd_adapters"} <= of} == set()


def test_the_changelog_has_an_unreleased_part() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert text.startswith("# Changelog\n") and "\n## [Unreleased]\n" in text


@pytest.mark.parametrize("name", ["LICENSE", "SECURITY.md", "README.md", "config.example.toml"])
def test_what_a_project_must_have_is_there(name: str) -> None:
    assert (ROOT / name).stat().st_size > 0


def test_links_between_the_pages_lead_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md")]
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert broken == []


def test_every_target_of_the_makefile_is_listed_by_help() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"(?m)^([a-z]+):", text)
    helped = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line.split()[0] for line in helped.stdout.splitlines()] == targets
