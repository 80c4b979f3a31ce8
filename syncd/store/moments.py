"""When the store stood where: ticks told by a clock that nobody can set.

A member whose reads lag may be believed about what was written a lag ago. How long ago that is
cannot be told by the wall clock, which jumps; so a run notes where the store's ticks stand as it
begins and ends, by the monotonic clock that the processes of one boot share.

What was noted in another boot, or on another machine, is told by the clock of the store's server,
as the ends of leases are: where each run has a machine of its own, nothing else would ever be
believed. Without a server it is compared with nothing: the first note of a boot stands for all that
came before it, which costs one lag and never believes too early.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, bindparam, func, or_, select

from syncd.seams import Holder, Seams, instant_text
from syncd.store import tables
from syncd.store.lease import server_now

_M = tables.moment.c
_FLOW, _HERE = _M.flow_id == bindparam("of_flow"), _M.boot == bindparam("of_boot")
_SHOWN = select(func.max(_M.tick)).where(
    _FLOW,
    or_(and_(_HERE, _M.ms <= bindparam("until")), and_(~_HERE, _M.at <= bindparam("before"))),
)
_NOTE = tables.moment.insert()
_KNOWN = select(_M.tick).where(_FLOW, _HERE, _M.tick == bindparam("tick"))
_FORGET = tables.moment.delete().where(_FLOW, _M.tick < bindparam("below"))


@dataclass(frozen=True, slots=True)
class Moment:
    """boot: names a monotonic clock; ms: milliseconds on it; at: by the clock of the store's
    server, None = it has none."""

    boot: str
    ms: int
    at: datetime | None = None


def here(conn: Connection, seams: Seams, holder: Holder) -> Moment:
    """Now."""
    return Moment(holder.clock, int(seams.clock.monotonic() * 1000), server_now(conn))


def shown(conn: Connection, flow: int, now: Moment, lags: Mapping[str, float]) -> dict[str, int]:
    """By member, the last tick whose writes a read begun now must show, 0 = none for certain.

    lags  by member, seconds
    """
    found: dict[float, int] = {}
    for lag in set(lags.values()):
        before = None if now.at is None else instant_text(now.at - timedelta(seconds=lag))
        until = now.ms - int(lag * 1000) - 1
        asked = {"of_flow": flow, "of_boot": now.boot, "until": until, "before": before}
        found[lag] = int(conn.execute(_SHOWN, asked).scalar() or 0)
    return {member: found[lag] for member, lag in lags.items()}


def note(conn: Connection, flow: int, now: Moment, tick: int, *, forget: int = 0) -> None:
    """All ticks up to this one lie before `now`. forget: notes before this tick say nothing more
    that is asked for."""
    if conn.execute(_KNOWN, {"of_flow": flow, "of_boot": now.boot, "tick": tick}).first() is None:
        at = None if now.at is None else instant_text(now.at)
        row = {"flow_id": flow, "boot": now.boot, "tick": tick, "ms": now.ms, "at": at}
        conn.execute(_NOTE, row)
    if forget:
        conn.execute(_FORGET, {"of_flow": flow, "below": forget})
