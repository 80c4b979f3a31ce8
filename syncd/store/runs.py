"""Runs, and what guards counted in them: the rolling window survives restarts (law 16)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, Connection, and_, bindparam, func, or_, select
from sqlalchemy import text as sql

from syncd.seams import instant_text
from syncd.store import bulk, codec, tables
from syncd.store.moments import Moment

_R, _G = tables.run.c, tables.guard_count.c
_FLOW: BindParameter[Any] = bindparam("flow")
_START = tables.run.insert()
_RUNNING = select(_R.id).where(_R.flow_id == _FLOW, sql("run.state = 'running'")).order_by(_R.id)
_COUNTED = select(_G.kind, _G.cause, _G.target, _G.n).where(
    _G.flow_id == _FLOW, _G.run_id == bindparam("run")
)
_HERE = _G.boot == bindparam("of_boot")
_WINDOW = (
    select(_G.kind, _G.cause, _G.target, func.sum(_G.n))
    .where(
        _G.flow_id == _FLOW,
        or_(and_(_HERE, _G.ms >= bindparam("from_ms")), and_(~_HERE, _G.at >= bindparam("since"))),
    )
    .group_by(_G.kind, _G.cause, _G.target)
)
_FORGET = tables.guard_count.delete().where(
    _G.flow_id == bindparam("of_flow"),
    or_(and_(_HERE, _G.ms < bindparam("from_ms")), and_(~_HERE, _G.at < bindparam("since"))),
)
_WHEN = ("boot", "ms", "at")
_DOUBT = timedelta(days=30)  # by which the clock of another boot may have been wrong
_BACK = 50  # runs looked at


class RunState(StrEnum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"  # its process ended before it did


@dataclass(frozen=True, slots=True)
class Run:
    """mode: full | incremental | entity; holder: who ran it; exit: what a process would answer."""

    id: int
    flow: int
    mode: str
    state: RunState
    started_at: str
    ended_at: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    error: str = ""
    exit: int | None = None
    holder: str = ""


class GuardCount(NamedTuple):
    """n operations of this kind, caused by one member's changes, at one target."""

    kind: str
    cause: str
    target: str
    n: int


def start(conn: Connection, flow: int, mode: str, *, at: str, holder: str) -> int:
    (number,) = bulk.allocate(conn, "run")
    row = {"id": number, "flow_id": flow, "mode": mode, "started_at": at, "holder": holder}
    conn.execute(_START, {**row, "state": RunState.RUNNING.value})
    return number


def finish(
    conn: Connection,
    run: int,
    state: RunState,
    *,
    at: str,
    counts: Mapping[str, int],
    exit: int,  # noqa: A002  the word a process uses
    error: str = "",
) -> None:
    columns = ("state", "ended_at", "counts", "exit", "error")
    facts = (state.value, at, codec.text(dict(counts)), exit, error)
    bulk.update(conn, tables.run, ("id",), columns, [(run, *facts)])


def interrupt(conn: Connection, flow: int, *, at: str, but: Sequence[int] = ()) -> list[int]:
    """Whoever takes the flow over says so of runs that never ended, and answers which."""
    running = conn.execute(_RUNNING, {"flow": flow}).scalars()
    stale = [int(number) for number in running if number not in but]
    bulk.update(
        conn,
        tables.run,
        ("id",),
        ("state", "ended_at"),
        [(number, RunState.INTERRUPTED.value, at) for number in stale],
    )
    return stale


def run(conn: Connection, number: int) -> Run | None:
    row = conn.execute(select(tables.run).where(tables.run.c.id == number)).first()
    return None if row is None else _run(row)


def runs(conn: Connection, flow: int | None = None, *, limit: int | None = 20) -> list[Run]:
    """Newest first."""
    query = select(tables.run).order_by(tables.run.c.id.desc()).limit(limit)
    if flow is not None:
        query = query.where(tables.run.c.flow_id == flow)
    return [_run(row) for row in conn.execute(query)]


def suppressed(conn: Connection, flow: int) -> int:
    """How many deleted ids that are back are not believed yet, as the last whole read and those
    since came upon them; each of these sees some."""
    most = 0
    for one in runs(conn, flow, limit=_BACK):
        most = max(most, one.counts.get("suppressed", 0))
        if one.mode == "full" and one.state is RunState.DONE:
            break
    return most


# --- the guards' window --------------------------------------------------------------------


def count(
    conn: Connection, flow: int, run: int, counted: Sequence[GuardCount], *, now: Moment
) -> None:
    """Add to what this run has sent so far. now: with a time."""
    g = tables.guard_count
    before = {
        (row.kind, row.cause, row.target): int(row.n)
        for row in conn.execute(_COUNTED, {"flow": flow, "run": run})
    }
    sums: dict[tuple[str, str, str], int] = {}
    for one in counted:
        mark = (one.kind, one.cause, one.target)
        sums[mark] = sums.get(mark, 0) + one.n
    keys = ("flow_id", "run_id", "kind", "cause", "target")
    when = (now.boot, now.ms, _text(now))
    bulk.update(
        conn,
        g,
        keys,
        ("n", *_WHEN),
        [(flow, run, *mark, before[mark] + n, *when) for mark, n in sums.items() if mark in before],
    )
    bulk.insert(
        conn,
        g,
        (*keys, "n", *_WHEN),
        [(flow, run, *mark, n, *when) for mark, n in sums.items() if mark not in before],
    )


def window(
    conn: Connection, flow: int, now: Moment, seconds: float
) -> dict[tuple[str, str, str], int]:
    """Sums by (kind, cause, target) over all runs of the last seconds. Within a boot they are told
    by its clock, which nobody can set: a wall clock that jumps a day does not empty the window."""
    asked = _from(now, timedelta(seconds=seconds))
    rows = conn.execute(_WINDOW, {"flow": flow, **asked})
    return {(kind, cause, target): int(n) for kind, cause, target, n in rows}


def forget_counts(conn: Connection, flow: int, now: Moment, seconds: float) -> None:
    """Counts that left the window, for certain."""
    asked = _from(now, timedelta(seconds=seconds))
    asked["since"] = _text(now, timedelta(seconds=seconds) + _DOUBT)
    conn.execute(_FORGET, {"of_flow": flow, **asked})


def _from(now: Moment, span: timedelta) -> dict[str, Any]:
    return {
        "of_boot": now.boot,
        "from_ms": now.ms - span // timedelta(milliseconds=1),
        "since": _text(now, span),
    }


def _text(now: Moment, back: timedelta = timedelta()) -> str:
    assert now.at is not None
    return instant_text(now.at - back)


def _run(row: Any) -> Run:
    return Run(
        id=row.id,
        flow=row.flow_id,
        mode=row.mode,
        state=RunState(row.state),
        started_at=row.started_at,
        ended_at=row.ended_at,
        counts=codec.loads(row.counts),
        error=row.error,
        exit=row.exit,
        holder=row.holder,
    )
