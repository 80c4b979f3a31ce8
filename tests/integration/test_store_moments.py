"""Ticks told by a clock that nobody can set: what a lagging read must show (law 5, F7, F37)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, func, select
from store_contents import engine

from syncd.host import Interrupt, real_seams
from syncd.seams import Holder
from syncd.store import moments, tables
from syncd.store.moments import Moment

LAGS = {"a": 20.0, "b": 60.0}
START = datetime(2026, 1, 31, 8, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def conn(request: pytest.FixtureRequest, fresh_db: Callable[[str], str]) -> Iterator[Connection]:
    made = engine(fresh_db(str(request.param)))
    with made.begin() as opened:
        yield opened
    made.dispose()


def at(seconds: float, boot: str = "one") -> Moment:
    """Without a server's clock."""
    return Moment(boot, int(seconds * 1000))


def served(boot: str, seconds: float, wall: float) -> Moment:
    return Moment(boot, int(seconds * 1000), START + timedelta(seconds=wall))


def test_f7_nothing_is_shown_for_certain_before_a_lag_has_passed(conn: Connection) -> None:
    assert moments.shown(conn, 1, at(1000), LAGS) == {"a": 0, "b": 0}
    moments.note(conn, 1, at(100), 7)
    assert moments.shown(conn, 1, at(120), LAGS) == {"a": 0, "b": 0}  # the very end of the lag
    assert moments.shown(conn, 1, at(121), LAGS) == {"a": 7, "b": 0}
    assert moments.shown(conn, 1, at(161), LAGS) == {"a": 7, "b": 7}
    assert moments.shown(conn, 2, at(161), LAGS) == {"a": 0, "b": 0}  # another flow's
    moments.note(conn, 1, at(150), 9)
    assert moments.shown(conn, 1, at(175), LAGS) == {"a": 9, "b": 7}


def test_f37_another_boot_or_machine_is_compared_with_nothing(conn: Connection) -> None:
    """Its clock may be ahead or behind; what is noted here covers what was written there."""
    moments.note(conn, 1, at(5_000), 7)
    assert moments.shown(conn, 1, at(10, "two"), LAGS) == {"a": 0, "b": 0}
    assert moments.shown(conn, 1, at(9_000, "two"), LAGS) == {"a": 0, "b": 0}
    moments.note(conn, 1, at(9_000, "two"), 8)
    assert moments.shown(conn, 1, at(9_021, "two"), LAGS) == {"a": 8, "b": 0}


def test_f37_another_machine_is_told_by_the_clock_of_the_stores_server(conn: Connection) -> None:
    """A run on a machine that was started for it, and the next one on another."""
    moments.note(conn, 1, served("one", 5_000, wall=0), 7)
    assert moments.shown(conn, 1, served("two", 9, wall=19), LAGS) == {"a": 0, "b": 0}
    assert moments.shown(conn, 1, served("two", 9, wall=20), LAGS) == {"a": 7, "b": 0}
    moments.note(conn, 1, served("two", 9, wall=20), 8)
    assert moments.shown(conn, 1, served("three", 2, wall=61), LAGS) == {"a": 8, "b": 7}


def test_f37_within_one_boot_the_clock_of_the_server_says_nothing(conn: Connection) -> None:
    moments.note(conn, 1, served("one", 100, wall=0), 7)
    ahead, back = 300_000.0, -300_000.0
    assert moments.shown(conn, 1, served("one", 110, wall=ahead), LAGS) == {"a": 0, "b": 0}
    assert moments.shown(conn, 1, served("one", 161, wall=back), LAGS) == {"a": 7, "b": 7}


def test_now_is_told_by_the_boots_clock_and_by_the_server_where_there_is_one(
    conn: Connection,
) -> None:
    interrupt = Interrupt()
    seams = real_seams(interrupt)
    first = moments.here(conn, seams, Holder("here", 11, "boot1.4.100"))
    second = moments.here(conn, seams, Holder("here", 22, "boot1.4.200"))
    interrupt.close()
    assert (first.boot, second.boot) == ("boot1", "boot1")
    assert first.ms <= second.ms <= int(seams.clock.monotonic() * 1000)
    if conn.dialect.name == "sqlite":
        assert first.at is second.at is None
    else:
        assert first.at is not None and second.at is not None and first.at <= second.at


def test_notes_that_say_nothing_more_are_forgotten(conn: Connection) -> None:
    now, shown = 0.0, {"a": 0, "b": 0}
    for tick in range(1, 200):
        now += 15
        shown = moments.shown(conn, 1, at(now), LAGS)
        moments.note(conn, 1, at(now), tick, forget=min(shown.values()))
        moments.note(conn, 1, at(now), tick)  # a run that wrote nothing ends where it began
    assert shown == {"a": 197, "b": 194}
    count = conn.execute(select(func.count()).select_from(tables.moment)).scalar_one()
    assert count <= 6
