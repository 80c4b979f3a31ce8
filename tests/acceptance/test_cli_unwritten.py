"""Output that cannot be written: a full disk behind stdout or stderr, a pipe that nobody reads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cliworld import World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def syncd(world: World, *words: str, **streams: Any) -> subprocess.CompletedProcess[str]:
    chosen = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    return subprocess.run(
        [sys.executable, "-m", "syncd.cli", *words],
        cwd=world.folder,
        env={**os.environ, **world.environ},
        text=True,
        **chosen,
    )


SAID = "error SY0167: the output cannot be written: No space left on device\n"


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("status", "--json"),
        ("reconcile", "nobody", "--json"),
        ("--version",),
        ("--help",),
        ("completion", "bash"),
    ],
    ids=" ".join,
)
def test_f53_a_full_disk_behind_stdout_is_one_line(world: World, words: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = syncd(world, *words, stdout=full)
    error, _, more = done.stderr.partition("\n")
    assert f"{error}\n" == SAID
    assert ("error SY0113" if "nobody" in words else "") in more
    assert bool(more) is ("nobody" in words)
    assert "Traceback" not in done.stderr
    assert done.returncode == (2 if "nobody" in words else 1)


def test_f53_what_a_run_did_stands_where_its_answer_is_lost(world: World) -> None:
    world.people(3)
    world.sql("crm", "INSERT INTO contacts VALUES (9, 'new@example.com', 'New', '1', NULL)")
    with Path("/dev/full").open("w") as full:
        done = syncd(world, "reconcile", "--yes", "-v", stdout=full)
    assert (done.returncode, done.stderr) == (1, SAID)
    assert len(world.sql("erp", "SELECT * FROM customers")) == 4
    world.ok("reconcile")


@pytest.mark.parametrize("words", [("status",), ("status", "--json"), ("--help",)], ids=" ".join)
def test_a_pipe_that_nobody_reads_ends_it_without_a_word(
    world: World, words: tuple[str, ...]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = syncd(world, *words, stdout=writer)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_f53_a_full_disk_behind_stderr_stops_nothing(world: World) -> None:
    world.synced(2)
    world.sql("crm", "UPDATE contacts SET name = 'New' WHERE id = 1")
    with Path("/dev/full").open("w") as full:
        done = syncd(world, "reconcile", stderr=full)
        assert (done.returncode, "1 change" in done.stdout) == (0, True)
        assert syncd(world, "reconcile", "nobody", stderr=full).returncode == 2
