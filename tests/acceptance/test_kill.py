"""The real process, killed (`make kill`: 500 times; here a few)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

import pytest
from kill import Loop, Moment, Tally, kill_many
from killjudge import Judge
from killworld import VARIANTS, Side, World
from servers import REQUIRED, ServerMissing, Servers

from syncd.engine.failpoint import NAMES

KILLS = int(os.environ.get("SYNCD_KILLS", "10"))
BY_NAME = {variant.name: variant for variant in VARIANTS}
SEED = int(os.environ.get("SYNCD_SEED", "1"))


@pytest.fixture(scope="module", params=[v for v in VARIANTS if v.name.startswith("receipts")])
def loop(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Loop]:
    """One world for all points of the run: with the state in SQLite, and in PostgreSQL."""
    try:
        world = World(servers, request.param, Random(SEED))
    except ServerMissing as missing:
        if REQUIRED:
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    world.fill(60, 20)
    yield Loop(world)
    world.close()


def test_f17_f51_s43_s48_killed_at_random_moments(
    servers: Servers, capfd: pytest.CaptureFixture[str]
) -> None:
    """No edit is lost, no record made twice, no deletion missed or undone, nothing stays stuck;
    at least half of the kills fall between the first and the last write."""
    try:
        servers.server("postgresql")
    except ServerMissing as missing:
        if REQUIRED:
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    with capfd.disabled():
        tally = kill_many(servers, KILLS, SEED, progress=KILLS > 10)
        if KILLS > 10:
            print(f"\n{tally}")
    assert not tally.faults, "\n".join([*tally.faults, str(tally)])
    assert tally.kills == KILLS
    assert tally.between * 2 >= KILLS


@pytest.mark.parametrize("point", NAMES)
def test_f51_killed_at_every_named_point(loop: Loop, point: str) -> None:
    tally = Tally()
    loop.round(Moment(f"{point}:1"), tally, edits=40)
    assert tally.finished == 0, f"the run never came to {point}"


def test_the_judge_sees_what_it_is_there_for(servers: Servers) -> None:
    """Somebody who is not people breaks one promise after the other."""
    try:
        world = World(servers, BY_NAME["receipts"], Random(3))
    except ServerMissing as missing:
        if REQUIRED:
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    crm, erp = world.sides
    world.fill(both=8, one=0)
    judge = Judge(world.sides)
    judge.hear()
    judge.rest({})
    assert judge.faults == []

    crm.update("r00001", {"name": "edited"})  # and overwritten, below
    crm.update("r00002", {"name": "stays behind"})
    crm.delete("r00003")  # and comes back
    crm.delete("r00004")  # and does not arrive
    judge.hear()
    with as_syncd(crm) as sql:
        sql("UPDATE contacts SET name = 'name 1' WHERE ref = 'r00001'")
        sql("INSERT INTO contacts (ref, name) VALUES ('r00003', 'name 7')")
        sql("UPDATE contacts SET city = 'nowhere' WHERE ref = 'r00005'")
        sql("UPDATE contacts SET city = city WHERE ref = 'r00006'")
        sql("UPDATE contacts SET extra = 'mine' WHERE ref = 'r00007'")
    with as_syncd(erp) as sql:
        sql("INSERT INTO customers (mail) VALUES ('r00006')")
        sql("DELETE FROM customers WHERE mail = 'r00008'")
    judge.hear()
    judge.rest({"r00007": ["name"]})
    seen = {" ".join(fault.replace(":", "").split()[:3]) for fault in judge.faults}
    assert seen >= {
        "LOST EDIT r00001",
        "UNEQUAL r00002 name",
        "RESURRECTION crm r00003",
        "UNEQUAL r00004 only",
        "INVENTION crm r00005",
        "ECHO crm r00006",
        "DUPLICATE erp r00006",
        "SCOPE crm r00007",
        "CASE r00007 'name'",
        "DELETION erp r00008",
    }
    world.close()


@contextmanager
def as_syncd(side: Side) -> Iterator[Callable[[str], object]]:
    """Writes that the log takes for syncd's."""
    side.connection.execute("SET application_name = 'somebody'")
    yield side.connection.execute
    side.connection.execute("SET application_name = 'people'")
