"""The real process, killed (`make kill`: 500 times; here a few)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from random import Random

import pytest
from kill import Loop, Moment, Tally, kill_many
from killworld import VARIANTS, World
from servers import REQUIRED, ServerMissing, Servers

from syncd.engine.failpoint import NAMES

KILLS = int(os.environ.get("SYNCD_KILLS", "10"))
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
