"""The real process, killed (`make kill`: a thousand times and more; here a few)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

import pytest
from kill import Campaign
from killjudge import Judge
from killloop import Loop, Moment
from killworld import VARIANTS, Side, World
from servers import REQUIRED, ServerMissing, Servers

from syncd.engine.failpoint import NAMES

KILLS = int(os.environ.get("SYNCD_KILLS", "1"))
EACH = int(os.environ.get("SYNCD_KILLS_EACH", "0"))  # at every named point, with a judge for each
BY_NAME = {variant.name: variant for variant in VARIANTS}
SEED = int(os.environ.get("SYNCD_SEED", "1"))


def world_of(servers: Servers, name: str, seed: int = SEED) -> World:
    try:
        return World(servers, BY_NAME[name], Random(seed))
    except ServerMissing as missing:
        if REQUIRED:
            pytest.fail(str(missing))
        pytest.skip(str(missing))


def test_f17_f51_s43_s48_killed_at_random_moments_and_points(
    servers: Servers, capfd: pytest.CaptureFixture[str]
) -> None:
    """No edit is lost, no record made twice, no deletion missed or undone, nothing stays stuck;
    of many, at least half of the random kills fall between the first and the last write."""
    world_of(servers, "receipts").close()
    campaign = Campaign(servers, SEED, progress=KILLS > 10)
    tally = campaign.tally
    with capfd.disabled():
        campaign.at_random(KILLS)
        kills, between = tally.kills, tally.between
        campaign.at_each_point(EACH)
        if campaign.progress:
            print(f"\n{tally.table()}")
    assert not tally.faults, "\n".join([*tally.faults, str(tally)])
    assert kills == KILLS
    assert between * 2 >= KILLS or KILLS < 10
    assert min(tally.at(name) for name in NAMES) >= EACH


@pytest.mark.parametrize(
    ("variant", "points"), [("receipts", NAMES[0::2]), ("transaction-pg", NAMES[1::2])]
)
def test_f51_killed_at_every_named_point(
    servers: Servers, variant: str, points: tuple[str, ...]
) -> None:
    """One kill upon the other, each in the midst of making up for the last; the judge comes once,
    at the end. The state is in SQLite for half of the points, in PostgreSQL for the others."""
    world = world_of(servers, variant)
    world.fill(30, 12)
    loop = Loop(world)
    loop.judge.hear()
    missed = [point for point in points if not loop.fell(Moment(f"{point}:1"), late=12)]
    assert missed == [], "the run never came there"
    loop.quiet_end()
    world.close()


def test_the_judge_sees_what_it_is_there_for(servers: Servers) -> None:
    """Somebody who is not people breaks one promise after the other."""
    world = world_of(servers, "receipts", 3)
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
