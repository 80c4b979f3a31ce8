"""The disk under the state fails a real run: calls are refused, the power is cut, it lies.

However far the run came, everything it sent is in the journal: the next one, on a disk that works,
loses and doubles nothing.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from disk import Disk, NoCompiler, compiled
from killloop import Loop, edited, share
from killworld import VARIANTS, World
from servers import REQUIRED, ServerMissing, Servers

CALLS = int(os.environ.get("SYNCD_DISK_CALLS", "3"))  # of a run, spread over it
BY_NAME = {variant.name: variant for variant in VARIANTS}
Make = Callable[[str], Loop]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return compiled(tmp_path_factory.mktemp("disk"))
    except NoCompiler as missing:
        pytest.skip(str(missing))


@pytest.fixture
def make(servers: Servers) -> Iterator[Make]:
    """`make("transaction")`: in step, then edited on both sides; the state is in SQLite."""
    worlds: list[World] = []

    def made(name: str) -> Loop:
        try:
            worlds.append(World(servers, BY_NAME[name], Random(name)))
        except ServerMissing as missing:
            if REQUIRED:
                pytest.fail(str(missing))
            pytest.skip(str(missing))
        return edited(worlds[-1])

    yield made
    for world in worlds:
        world.close()


def disk_of(loop: Loop, library: Path, files: str = "state") -> Disk:
    return Disk(library, loop.world.folder.resolve() / files, loop.world.folder / "disk.log")


@pytest.mark.parametrize("name", share("transaction", "receipts", "business"))
def test_f52_i8_the_power_is_cut_and_what_was_not_synced_is_lost(
    make: Make, library: Path, name: str
) -> None:
    """Killed at writes to the state and before syncs of it, all over a run; every write since the
    last sync is there, gone, or there in parts."""
    loop = make(name)
    counted = disk_of(loop, library, "state.db")
    assert loop.run(**counted.environment()).code in (0, 3)
    calls = {kind: counted.count(kind) for kind in "WS"}
    loop.judge.hear()
    lost = 0
    for number in range(CALLS):
        loop.people_go_on(15)
        kind = "WS"[number % 2]
        at = int(calls[kind] * (0.25 + 0.5 * number / CALLS))
        disk = disk_of(loop, library, "state.db").kill(kind, at)
        answer = loop.run(**disk.environment())
        assert answer.code == -signal.SIGKILL, answer
        lost += disk.power_cut(loop.random)
        loop.judge.hear(late=True)
    loop.people_go_on(10)
    loop.quiet_end()
    assert lost, "nothing was ever at stake"


def test_f52_f55_a_disk_that_lied_about_its_syncs_is_found_out(make: Make, library: Path) -> None:
    """All that the run recorded is gone, journal and bases, and what it sent stands. The counter
    beside the state is on that disk too; where it kept more than the state, it tells. (Where both
    fell back to one moment this is a machine moved back, which only receipts tell.)"""
    loop = make("transaction")
    disk = disk_of(loop, library, "state.db")
    assert loop.run(**disk.environment()).code in (0, 3)
    disk.power_cut(loop.random, lying=True)
    loop.judge.hear(late=True)
    answer = loop.run()
    assert answer.code == 2, answer
    assert answer.data["errors"][0]["code"] == "SY0409"
    assert loop.judge.hear() == []


@pytest.mark.parametrize(
    ("kind", "error", "times"),
    share(("S", errno.EIO, 1), ("W", errno.ENOSPC, 0), ("W", errno.EIO, 1), few=2),
)
def test_f53_i8_a_disk_that_refuses_ends_the_run_with_one_message(
    make: Make, library: Path, kind: str, error: int, times: int
) -> None:
    """At call after call of the state's files, from the first to the last of a run. A sync that
    failed may have left everything on the disk or nothing: either way the next run knows."""
    loop = make("transaction")
    counted = disk_of(loop, library)
    assert loop.run(**counted.environment()).code in (0, 3)
    calls = counted.count(kind)
    loop.judge.hear()
    refused = 0
    for part in (0.02 + 0.95 * number / CALLS for number in range(CALLS)):
        loop.people_go_on(12)
        disk = disk_of(loop, library)
        disk.refuse(kind, max(1, int(calls * part)), error, **({"times": times} if times else {}))
        answer = loop.run(**disk.environment())
        loop.judge.hear(late=True)
        if answer.code in (0, 3):
            continue  # this run had fewer calls, or one that it can do without was refused
        refused += 1
        assert answer.code == 1, answer
        assert [e["code"] for e in answer.data["errors"]] == ["SY0432"], answer
        assert answer.err.count("error ") == 1, answer
        assert "Traceback" not in answer.err
    assert refused * 2 >= CALLS, f"{refused} of {calls} calls"
    loop.quiet_end()
