"""When the store stood where: ticks told by a clock that nobody can set.

A member whose reads lag may be believed about what was written a lag ago. How long ago that is
cannot be told by the wall clock, which jumps; so a run notes where the store's ticks stand as it
begins and ends, by the monotonic clock that the processes of one boot share. What was noted in
another boot, or on another machine, is compared with nothing: the first note here stands for all
that came before it, which costs one lag after a change of machine and never believes too early.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, func, select

from syncd.store import tables

_M = tables.moment.c
_HERE = (_M.flow_id == bindparam("of_flow"), _M.boot == bindparam("of_boot"))
_SHOWN = select(func.max(_M.tick)).where(*_HERE, _M.ms <= bindparam("until"))
_NOTE = tables.moment.insert()
_KNOWN = select(_M.tick).where(*_HERE, _M.tick == bindparam("at"))
_FORGET = tables.moment.delete().where(
    _M.flow_id == bindparam("of_flow"), _M.tick < bindparam("below")
)


@dataclass(frozen=True, slots=True)
class Moment:
    """boot: names a monotonic clock; ms: milliseconds on it."""

    boot: str
    ms: int


def shown(conn: Connection, flow: int, now: Moment, lags: Mapping[str, float]) -> dict[str, int]:
    """By member, the last tick whose writes a read begun now must show, 0 = none for certain.

    lags  by member, seconds
    """
    found: dict[float, int] = {}
    for lag in set(lags.values()):
        asked = {"of_flow": flow, "of_boot": now.boot, "until": now.ms - int(lag * 1000) - 1}
        found[lag] = int(conn.execute(_SHOWN, asked).scalar() or 0)
    return {member: found[lag] for member, lag in lags.items()}


def note(conn: Connection, flow: int, now: Moment, tick: int, *, forget: int = 0) -> None:
    """All ticks up to this one lie before `now`. forget: notes before this tick say nothing more
    that is asked for."""
    here = {"of_flow": flow, "of_boot": now.boot}
    if conn.execute(_KNOWN, {**here, "at": tick}).first() is None:
        conn.execute(_NOTE, {"flow_id": flow, "boot": now.boot, "tick": tick, "ms": now.ms})
    if forget:
        conn.execute(_FORGET, {"of_flow": flow, "below": forget})
