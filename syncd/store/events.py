"""The audit: every effect attempted with its outcome, and everything a person may ask about (I11).

Only ever added to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, select

from syncd.core.model import Fields
from syncd.store import bulk, codec, tables
from syncd.store.flows import Names, names


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    kind     an operation's kind, a note's kind, or a person's act ("decision", "approve", …)
    member   where it happened; None = at none
    before, after  forms by field; None = not known, or there was none
    cause    the member whose change this carries, "" for a rule or person
    reason   the policy or rule, in words
    outcome  what became of it: an operation's state, or ""
    actor    "syncd", or the person
    """

    run: int
    at: str
    kind: str
    entity: int = 0
    member: str | None = None
    key: str | None = None
    op_id: str | None = None
    before: Fields | None = None
    after: Fields | None = None
    cause: str = ""
    reason: str = ""
    outcome: str = ""
    actor: str = "syncd"
    id: int = 0


_COLUMNS = (
    "id",
    "flow_id",
    "run_id",
    "at",
    "kind",
    "entity_id",
    "member_id",
    "key",
    "op_id",
    "before",
    "after",
    "cause",
    "reason",
    "outcome",
    "actor",
)


def record(conn: Connection, flow: int, events: Sequence[Event]) -> None:
    known = names(conn, flow)
    ids = bulk.allocate(conn, "audit", len(events))
    bulk.insert(
        conn,
        tables.audit,
        _COLUMNS,
        [
            (
                number,
                flow,
                e.run,
                e.at,
                e.kind,
                e.entity,
                None if e.member is None else known.ids[e.member],
                e.key,
                e.op_id,
                None if e.before is None else codec.text(dict(e.before)),
                None if e.after is None else codec.text(dict(e.after)),
                e.cause,
                e.reason,
                e.outcome,
                e.actor,
            )
            for number, e in zip(ids, events, strict=True)
        ],
    )


def of_entity(conn: Connection, flow: int, entity: int) -> list[Event]:
    """Its whole history, oldest first."""
    a = tables.audit.c
    return _read(conn, flow, [a.entity_id == entity])


def of_run(
    conn: Connection, flow: int, run: int, *, size: int = bulk.CHUNK
) -> Iterator[list[Event]]:
    """What a run did, in order, in blocks."""
    a = tables.audit.c
    last = 0
    while True:
        block = _read(conn, flow, [a.run_id == run, a.id > last], size)
        if block:
            yield block
        if len(block) < size:
            return
        last = block[-1].id


def _read(
    conn: Connection, flow: int, terms: Sequence[ColumnElement[bool]], size: int | None = None
) -> list[Event]:
    known = names(conn, flow)
    a = tables.audit.c
    rows = conn.execute(
        select(tables.audit).where(a.flow_id == flow, *terms).order_by(a.id).limit(size)
    )
    return [_event(row, known) for row in rows]


def _event(row: Any, known: Names) -> Event:
    return Event(
        id=row.id,
        run=row.run_id,
        at=row.at,
        kind=row.kind,
        entity=row.entity_id,
        member=None if row.member_id is None else known.members[row.member_id],
        key=row.key,
        op_id=row.op_id,
        before=None if row.before is None else codec.loads(row.before),
        after=None if row.after is None else codec.loads(row.after),
        cause=row.cause,
        reason=row.reason,
        outcome=row.outcome,
        actor=row.actor,
    )
