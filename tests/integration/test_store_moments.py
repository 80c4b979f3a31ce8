"""Ticks told by a clock that nobody can set: what a lagging read must show (law 5, F7, F37)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Connection, func, select
from store_contents import engine

from syncd.store import moments, tables
from syncd.store.moments import Moment

LAGS = {"a": 20.0, "b": 60.0}


@pytest.fixture(params=["sqlite", "postgresql"])
def conn(request: pytest.FixtureRequest, fresh_db: Callable[[str], str]) -> Iterator[Connection]:
    made = engine(fresh_db(str(request.param)))
    with made.begin() as opened:
        yield opened
    made.dispose()


def at(seconds: float, boot: str = "one") -> Moment:
    return Moment(boot, int(seconds * 1000))


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
