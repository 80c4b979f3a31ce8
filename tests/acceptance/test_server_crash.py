"""A PostgreSQL server crashed under the real process, as a target and as the home of the state, and
started again: nothing is lost, doubled or stuck.

A crash is told apart by what the server had on its disk: before COMMIT nothing, and while COMMIT
is under way all of it, with nobody left to say so.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from random import Random
from typing import NamedTuple

import pytest
from crashing import CrashingPostgres, crashing
from killloop import Answer, Loop, edited, share
from killworld import VARIANTS, World
from servers import REQUIRED, ServerMissing, Servers

BY_NAME = {variant.name: variant for variant in VARIANTS}


class Places(NamedTuple):
    """What stands on the server that crashes: the sides, the state, or all."""

    servers: Servers
    server: CrashingPostgres
    given: list[str]
    crashes: str

    def fresh(self, kind: str) -> str:
        state = len(self.given) == 2
        here = self.crashes in ("all", "state" if state else "sides")
        self.given.append(self.server.fresh() if here else self.servers.fresh(kind))
        return self.given[-1]

    def drop(self, url: str) -> None:
        (self.server if str(self.server.home) in url else self.servers).drop(url)


@pytest.fixture(scope="module")
def server() -> Iterator[CrashingPostgres]:
    try:
        with crashing() as made:
            yield made
    except ServerMissing as missing:
        if REQUIRED:
            pytest.fail(str(missing))
        pytest.skip(str(missing))


Make = Callable[[str, str], Loop]


@pytest.fixture
def make(servers: Servers, server: CrashingPostgres) -> Iterator[Make]:
    """`make("transaction", "sides")`: in step, then edited on both sides; the server with the
    sides, the state or all of it may crash."""
    worlds: list[World] = []

    def made(name: str, crashes: str) -> Loop:
        places = Places(servers, server, [], crashes)
        worlds.append(World(places, BY_NAME[name], Random(f"{name} {crashes}")))
        for url in places.given:
            if str(server.home) in url:
                server.keep(url)
        return edited(worlds[-1])

    yield made
    server.restart()
    for world in worlds:
        world.close()


def after(loop: Loop, server: CrashingPostgres) -> None:
    """The server is back, people go on, and so does the next run."""
    server.restart()
    for side in loop.world.sides:
        if side.connection.closed or side.connection.broken or str(server.home) in side.url:
            side.connection.close()
            side.connect()
    loop.judge.hear(late=True)
    loop.people_go_on(10)
    loop.quiet_end()


def failed(answer: Answer, *codes: str) -> None:
    """It ended with one message for each system, worth another try."""
    assert answer.code == 1, answer
    told = [line for line in answer.err.splitlines() if line[:1].strip()]
    assert "Traceback" not in answer.err, answer
    assert len(told) <= 2, f"more than one message for each system: {told}"
    if codes:
        (error,) = answer.data["errors"]
        assert error["code"] in codes, answer


@pytest.mark.parametrize(
    ("name", "how"), share(("transaction", signal.SIGKILL), ("receipts", signal.SIGQUIT))
)
def test_f58_i2_i4_a_target_crashed_before_the_commit_of_a_write(
    make: Make, server: CrashingPostgres, name: str, how: signal.Signals
) -> None:
    """The token is in the journal, and the transaction it names is gone with the server."""
    loop = make(name, "sides")
    run = loop.held("before-commit")
    server.crash(how)
    run.send_signal(signal.SIGCONT)
    answer = loop.end(run)
    failed(answer)
    assert {member["name"] for member in answer.flow["members"]} == {"crm", "erp"}
    after(loop, server)


@pytest.mark.parametrize("name", share("transaction", "business", "receipts"))
def test_f58_i2_i4_a_target_crashed_during_the_commit_of_a_write(
    make: Make, server: CrashingPostgres, name: str
) -> None:
    """The server has it on the disk and is gone before it answers."""
    loop = make(name, "sides")
    for side in loop.world.sides:
        side.connection.execute(
            f"ALTER DATABASE {side.connection.info.dbname} SET synchronous_commit = on"
        )
    run = loop.held("before-commit")
    with server.answering_no_commit():
        run.send_signal(signal.SIGCONT)
        loop.until(run, server.waiting_for_standby)
        server.crash()
        failed(loop.end(run))
    after(loop, server)


def test_f58_i2_i4_a_target_crashed_between_two_rows_of_a_write(
    make: Make, server: CrashingPostgres
) -> None:
    loop = make("transaction", "sides")
    before = loop.steps()
    run = loop.start()
    loop.until(run, lambda: loop.steps() - before >= 3)
    server.crash()
    failed(loop.end(run))
    after(loop, server)


@pytest.mark.parametrize(
    "point", share("before-commit", "recording", "marked-sent", "settling", "finishing")
)
def test_f58_i8_the_state_crashed(make: Make, server: CrashingPostgres, point: str) -> None:
    """What was not recorded was not sent; what was sent is found."""
    loop = make("transaction-pg", "state")
    run = loop.held(point)
    server.crash()
    run.send_signal(signal.SIGCONT)
    failed(loop.end(run), "SY0433", "SY0434")
    after(loop, server)


def test_f58_i8_the_state_crashed_during_a_commit_and_came_back(
    make: Make, server: CrashingPostgres
) -> None:
    """The run asks, once the state is there again, whether its commit happened, and goes on."""
    loop = make("receipts-pg", "state")
    run = loop.held("recording")
    with server.answering_no_commit():
        run.send_signal(signal.SIGCONT)
        loop.until(run, server.waiting_for_standby)
        server.crash()
    answer = loop.end(run)
    assert answer.code in (0, 3), answer
    loop.judge.hear()
    loop.quiet_end()


def test_f58_i2_i4_i8_all_of_it_crashed_at_once(make: Make, server: CrashingPostgres) -> None:
    """A machine that holds both sides and the state."""
    loop = make("transaction-pg", "all")
    run = loop.held("before-commit")
    server.crash()
    run.send_signal(signal.SIGCONT)
    failed(loop.end(run))
    after(loop, server)
