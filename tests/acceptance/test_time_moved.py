"""The real process in a wrong time: the wall clock jumps, or the state is yesterday's copy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import psycopg
import pytest
from disk import NoCompiler, compiled
from killloop import Loop, Moment, edited, share
from killworld import VARIANTS, World
from servers import REQUIRED, ServerMissing, Servers
from sqlalchemy.engine import make_url

BY_NAME = {variant.name: variant for variant in VARIANTS}
DAY = 86_400
Make = Callable[[str], Loop]


@pytest.fixture
def make(servers: Servers) -> Iterator[Make]:
    """`make("transaction")`: in step, then edited on both sides."""
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


@pytest.mark.parametrize("name", share("receipts", "transaction-pg"))
def test_f37_f51_the_wall_clock_jumps_while_runs_are_killed(
    make: Make, name: str, tmp_path: Path
) -> None:
    """Ahead by a year, back by days, and in the middle of a run: what a killed run left behind is
    settled all the same, and the flow is nobody's once its holder is gone."""
    try:
        library = str(compiled(tmp_path, "clock"))
    except NoCompiler as missing:
        pytest.skip(str(missing))
    loop = make(name)

    def clock(first: int, calls: int = 0, then: int | None = None) -> dict[str, str]:
        told = f"{first * DAY} {calls} {(first if then is None else then) * DAY}"
        return {"LD_PRELOAD": library, "SYNCD_CLOCK": told}

    for where, point in (
        (clock(400), "before-commit"),
        (clock(-3), "marked-sent"),
        (clock(0, 30, 30), "settling"),
        (clock(2, 30, -2), "before-commit"),
    ):
        answer = loop.killed(Moment(f"{point}:1"), **where)
        assert answer.code == -9, answer
        loop.judge.hear(late=True)
        loop.people_go_on(12)
    loop.quiet_end(**clock(-3))
    loop.world.edit(20, 60)
    loop.judge.hear()
    loop.quiet_end(**clock(1, 40, -1))
    told = loop.say("runs").data["runs"]
    assert len({run["started_at"][:4] for run in told}) > 1, "no run saw another year"
    ended = [run for run in told if run["ended_at"]]
    assert any(run["ended_at"] < run["started_at"] for run in ended), "no clock jumped in a run"


def statement(loop: Loop, *statements: str) -> None:
    """At the server of the state, beside its database."""
    place = make_url(loop.world.urls[-1])
    with psycopg.connect(
        host=str(place.query["host"]), user="postgres", dbname="postgres", autocommit=True
    ) as connection:
        for one in statements:
            connection.execute(one.format(name=place.database).encode())


def yesterday(loop: Loop) -> None:
    """A day's work, then the state of the day before; people go on working."""
    folder = loop.world.folder
    on_server = loop.world.variant.state == "postgresql"
    loop.to_the_end()
    if on_server:
        statement(loop, "CREATE DATABASE {name}_old TEMPLATE {name}")
    old = {path: path.read_bytes() for path in folder.glob("state.db*")}
    loop.world.edit(30, 60)
    loop.judge.hear()
    loop.to_the_end()
    if on_server:
        statement(loop, "DROP DATABASE {name} WITH (FORCE)")
        statement(loop, "ALTER DATABASE {name}_old RENAME TO {name}")
    for path in folder.glob("state.db*"):
        path.unlink()
    for path, content in old.items():
        path.write_bytes(content)
    loop.world.edit(30, 60)
    loop.judge.hear()


@pytest.mark.parametrize("name", share("transaction-pg", "transaction"))
def test_f55_i2_i4_i14_yesterdays_state_is_refused_and_rebuilt_without_loss(
    make: Make, name: str
) -> None:
    """Until it is rebuilt nothing happens. Then records are linked anew: none is made or deleted
    without a person, and every edit stands where it was made, or where it came to."""
    loop = make(name)
    yesterday(loop)
    answer = loop.run()
    assert answer.code == 2, answer
    assert answer.data["errors"][0]["code"] == "SY0409"
    assert loop.judge.hear() == []

    assert loop.say("state", "rebuild", "--yes").code == 0
    answer = loop.run()
    assert answer.code in (0, 3), answer
    written = loop.judge.hear()
    assert {change.op for change in written} <= {"UPDATE"}, written
    assert loop.judge.faults == []
    stands: dict[tuple[str, str], set[str]] = {}
    for side in loop.world.sides:
        for row in side.rows():
            for field, value in row.items():
                stands.setdefault((row["ref"], field), set()).add(value)
    lost = {cell: gone for cell, v in loop.judge.open.items() if (gone := v - stands.get(cell, v))}
    assert lost == {}
    again = loop.run()
    assert again.code == 3, again
    assert loop.judge.hear() == [], "it does not come to rest"
