"""Several processes on one flow, paused and interrupted ones, a state that is old or cannot grow.

All with the real command line; what was written is told by the databases' own logs.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from killloop import RECONCILE, Loop
from killworld import VARIANTS, World
from servers import REQUIRED, ServerMissing, Servers

BY_NAME = {variant.name: variant for variant in VARIANTS}
LEASE = 1.0  # seconds, where a test waits for its end
Make = Callable[..., Loop]


@pytest.fixture
def make(servers: Servers) -> Iterator[Make]:
    """`make("receipts")`: two databases that differ in 30 records a side, never synced."""
    worlds: list[World] = []

    def made(name: str, both: int = 20, one: int = 30, timeout: float = 60.0) -> Loop:
        try:
            worlds.append(World(servers, BY_NAME[name], Random(name), timeout))
        except ServerMissing as missing:
            if REQUIRED:
                pytest.fail(str(missing))
            pytest.skip(str(missing))
        worlds[-1].fill(both, one)
        return Loop(worlds[-1])

    yield made
    for world in worlds:
        world.close()


def one_sided(loop: Loop, count: int = 15) -> None:
    """Work for one member only: a process stopped in one task would else stand still with another
    one anywhere, even inside the state's lock."""
    for _ in range(count):
        loop.world.sides[0].insert(loop.world.ref(), loop.world.whole())


def test_s49_f57_of_two_processes_one_works_and_the_other_says_so(make: Make) -> None:
    loop = make("receipts")
    first = loop.held("recorded")
    second = loop.run()
    assert second.code == 4
    (error,) = second.data["errors"]
    assert error["code"] == "SY0500"
    assert f"process {first.pid}" in error["message"]
    assert loop.steps() == 0
    first.send_signal(signal.SIGCONT)
    assert loop.end(first).code == 0
    loop.quiet_end()


def test_s49_processes_started_at_the_same_moment_take_turns(make: Make) -> None:
    """Whoever comes too late says so; together they do the work once."""
    loop = make("transaction")
    answers = [loop.end(process) for process in [loop.start() for _ in range(3)]]
    codes = sorted(answer.code for answer in answers)
    assert codes[0] == 0
    assert set(codes) <= {0, 4}
    loop.quiet_end()


@pytest.mark.parametrize(
    ("name", "point"),
    [
        ("receipts", "pulled"),
        ("transaction-pg", "recorded"),
        ("receipts", "marked-sent"),
        ("transaction", "marked-sent"),
    ],
)
def test_s49_a_paused_holder_writes_nothing_after_it_was_taken_over(
    make: Make, name: str, point: str
) -> None:
    """Its lease ends while it stands still; another process does the work; woken, it may neither
    record nor send a thing."""
    loop = make(name, both=20, one=0)
    one_sided(loop)
    paused = loop.held(point, SYNCD_LEASE_SECONDS=str(LEASE))
    begun = time.monotonic()
    busy = 0
    while (answer := loop.run()).code == 4:
        busy += 1
        assert time.monotonic() - begun < 30, "the lease never ended"
    assert answer.code == 0, answer
    written = loop.steps()
    assert written > 0
    loop.judge.hear()
    paused.send_signal(signal.SIGCONT)
    late = loop.end(paused)
    assert late.code == 4, late
    assert {error["code"] for error in late.data["errors"]} == {"SY0501"}
    assert loop.judge.hear() == [], "it wrote after it had lost the flow"
    loop.quiet_end()


@pytest.mark.parametrize("name", ["receipts", "transaction"])
def test_s49_f17_what_a_paused_holder_had_in_flight_is_waited_for(make: Make, name: str) -> None:
    """Stopped between its token and its commit. The successor cannot know what will become of
    that transaction, so it parks it; woken, the old holder's commit counts, once, and that is the
    last thing it does."""
    loop = make(name, both=0, one=0, timeout=2.0)
    one_sided(loop)
    paused = loop.held("before-commit", SYNCD_LEASE_SECONDS=str(LEASE))
    begun = time.monotonic()
    while (answer := loop.run()).code == 4:
        assert time.monotonic() - begun < 30, "the lease never ended"
    assert answer.code == 3, answer
    assert answer.flow["unknown"] > 0
    loop.judge.hear()
    paused.send_signal(signal.SIGCONT)
    assert loop.end(paused).code == 4
    assert len(loop.judge.hear()) == 15, "what was in flight, and nothing else"
    loop.quiet_end()


def test_f61_an_interrupted_run_ends_with_130_and_the_next_goes_on(make: Make) -> None:
    loop = make("receipts")
    assert loop.run().code == 0
    loop.world.edit(150, 400)
    loop.judge.hear()
    before = loop.steps()
    process = loop.start()
    while loop.steps() - before < 3:
        assert process.poll() is None, process.communicate()
        loop._wait(process, 0.002)
    process.send_signal(signal.SIGINT)
    answer = loop.end(process)
    assert answer.code == 130, answer
    loop.quiet_end()


def database(loop: Loop) -> list[Path]:
    """The state's files. They stand beside the config, the counter in the state directory."""
    found = sorted(loop.world.folder.glob("state.db*"))
    assert found
    return found


def moved_back(loop: Loop, *, counter: bool) -> None:
    """A day's work, then the state of the day before; people go on working."""
    assert loop.run().code == 0
    kept = database(loop) + (sorted(loop.world.folder.glob("state/*")) if counter else [])
    old = {path: path.read_bytes() for path in kept if path.is_file()}
    loop.world.edit(30, 220)
    assert loop.run().code in (0, 3)
    for path in database(loop):
        path.unlink()
    for path, content in old.items():
        path.write_bytes(content)
    loop.world.edit(30, 220)
    loop.judge.hear()


def test_f55_a_state_moved_back_is_refused_before_anything_happens(make: Make) -> None:
    """Only the database file was restored: the counter beside it knows better."""
    loop = make("transaction")
    moved_back(loop, counter=False)
    answer = loop.run()
    assert answer.code == 2, answer
    (error,) = answer.data["errors"]
    assert error["code"] == "SY0409"
    assert "syncd state rebuild" in error["hint"]
    assert loop.judge.hear() == []


def test_f55_a_whole_machine_moved_back_is_told_by_the_systems_receipts(make: Make) -> None:
    loop = make("receipts")
    moved_back(loop, counter=True)
    answer = loop.run()
    assert answer.code == 2, answer
    assert answer.data["errors"][0]["code"] == "SY0431"
    assert loop.judge.hear() == []


@pytest.mark.parametrize("size", [20_000, 100_000, 250_000, 500_000])
def test_f53_a_full_disk_stops_the_run_before_it_writes_what_it_could_not_record(
    make: Make, size: int
) -> None:
    """No file of the process may grow beyond so many bytes, the state's log among them. However
    far it came, everything sent is in the journal: the next run, with room again, doubles and
    loses nothing."""
    loop = make("receipts")
    assert loop.run().code == 0
    loop.world.edit(150, 400)
    loop.judge.hear()

    def no_more() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    process = subprocess.Popen(
        RECONCILE,
        cwd=loop.world.folder,
        env={**os.environ, **loop.environment()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=no_more,
    )
    answer = loop.end(process)
    written = loop.judge.hear(late=True)
    print(f"{size} bytes: exit {answer.code}, {len(written)} rows written")
    if size <= 20_000:
        assert answer.code == 1, answer
        assert answer.data["errors"][0]["code"].startswith("SY04")
        assert written == [], "written without a record of it"
    loop.quiet_end()
