"""Cases: what policies leave open, each known by its entity, kind, member, fields and the digest of
its candidates. A run that finds the same one again refreshes it and adds none (S3).

    open ──► decided ──► closed        a run used the decision (`syncd.store.conflicts`)
      └────────────────► closed        the next run did not find it any more
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy import text as sql

from syncd.core.model import Case, CaseKind
from syncd.store import bulk, codec, tables

OPEN = "open"
DECIDED = "decided"
CLOSED = "closed"

NO_ENTITY = 0

# In the words of the partial indexes, so that the databases see that they apply.
NOT_CLOSED = sql("case_.state != 'closed'")
PENDING_DECISION = sql("decision.state = 'pending'")


@dataclass(frozen=True, slots=True)
class StoredCase:
    """entity: NO_ENTITY for one of identity; state: OPEN, DECIDED or CLOSED."""

    id: int
    flow: int
    entity: int
    case: Case
    state: str
    opened_at: str
    opened_run: int
    seen_run: int
    closed_run: int | None = None


_Mark = tuple[int, str, str, str, str]  # entity, kind, member, fields, digest


# --- what a run finds ----------------------------------------------------------------------


def sync_cases(
    conn: Connection, flow: int, found: Mapping[int, Sequence[Case]], *, run: int, at: str
) -> list[int]:
    """Make the open cases of these entities exactly the ones found: an empty list closes all.
    Cases of no entity are not closed here but by `close_unseen`. `use` and `void` come before it.
    Answers the ids opened."""
    before = _open_marks(conn, flow, found)
    wanted = {_mark(entity, case): case for entity, cases in found.items() for case in cases}
    seen = [(before[mark], run) for mark in wanted if mark in before]
    closed = [
        (number, CLOSED, run)
        for mark, number in before.items()
        if mark not in wanted and mark[0] != NO_ENTITY
    ]
    new = [(mark, case) for mark, case in wanted.items() if mark not in before]
    bulk.update(conn, tables.case_, ("id",), ("seen_run",), seen)
    bulk.update(conn, tables.case_, ("id",), ("state", "closed_run"), closed)
    _void_decisions_of(conn, [number for number, _, _ in closed], "its case closed by itself")
    ids = bulk.allocate(conn, "case", len(new))
    rows = [
        (
            number,
            flow,
            *mark[:4],
            codec.encode_candidates(case.candidates),
            mark[4],
            case.reason,
            OPEN,
            at,
            run,
            run,
        )
        for number, (mark, case) in zip(ids, new, strict=True)
    ]
    bulk.insert(conn, tables.case_, _COLUMNS, rows)
    return list(ids)


def close_unseen(conn: Connection, flow: int, *, run: int) -> int:
    """After a run that looked at all unlinked records: close the cases of no entity that it did
    not find; answers how many."""
    c = tables.case_.c
    gone = list(
        conn.execute(
            select(c.id).where(
                c.flow_id == flow, c.entity_id == NO_ENTITY, c.seen_run < run, NOT_CLOSED
            )
        ).scalars()
    )
    bulk.update(
        conn, tables.case_, ("id",), ("state", "closed_run"), [(i, CLOSED, run) for i in gone]
    )
    _void_decisions_of(conn, gone, "its case closed by itself")
    return len(gone)


_COLUMNS = (
    "id",
    "flow_id",
    "entity_id",
    "kind",
    "member",
    "fields",
    "candidates",
    "digest",
    "reason",
    "state",
    "opened_at",
    "opened_run",
    "seen_run",
)


def _mark(entity: int, case: Case) -> _Mark:
    fields = codec.text(list(case.fields))
    return entity, case.kind.value, case.member or "", fields, case.digest


def _open_marks(conn: Connection, flow: int, entities: Iterable[int]) -> dict[_Mark, int]:
    c = tables.case_.c
    found: dict[_Mark, int] = {}
    for part in bulk.chunks(sorted(entities)):
        for row in conn.execute(
            select(c.id, c.entity_id, c.kind, c.member, c.fields, c.digest).where(
                c.flow_id == flow, bulk.among(conn, c.entity_id, part), NOT_CLOSED
            )
        ):
            found[row.entity_id, row.kind, row.member, row.fields, row.digest] = row.id
    return found


# --- what people see -----------------------------------------------------------------------


def open_cases(
    conn: Connection,
    flow: int | None = None,
    *,
    kind: CaseKind | None = None,
    entity: int | None = None,
    field: str | None = None,
    state: str | None = None,
    after: int = 0,
    limit: int | None = None,
) -> list[StoredCase]:
    """Cases not closed, oldest first. state: OPEN (undecided) or DECIDED, else both."""
    c = tables.case_.c
    query = select(tables.case_).where(NOT_CLOSED, c.id > after).order_by(c.id)
    if flow is not None:
        query = query.where(c.flow_id == flow)
    if kind is not None:
        query = query.where(c.kind == kind.value)
    if entity is not None:
        query = query.where(c.entity_id == entity)
    if state is not None:
        query = query.where(c.state == state)
    if field is not None:
        # The list is canonical JSON: a name stands in it quoted, and nothing else does.
        query = query.where(c.fields.contains(codec.text(field), autoescape=True))
    return [_stored(row) for row in conn.execute(query.limit(limit))]


def cases_of(conn: Connection, flow: int, entities: Sequence[int]) -> dict[int, tuple[Case, ...]]:
    """The cases of these entities not closed, oldest first; entities without any are missing."""
    c = tables.case_.c
    found: dict[int, tuple[Case, ...]] = {}
    for part in bulk.chunks(sorted(set(entities))):
        for row in conn.execute(
            select(tables.case_)
            .where(c.flow_id == flow, bulk.among(conn, c.entity_id, part), NOT_CLOSED)
            .order_by(c.id)
        ):
            found[row.entity_id] = (*found.get(row.entity_id, ()), codec.decode_case(row))
    return found


def case(conn: Connection, case_id: int) -> StoredCase | None:
    row = conn.execute(select(tables.case_).where(tables.case_.c.id == case_id)).first()
    return None if row is None else _stored(row)


def _void_decisions_of(conn: Connection, cases: Sequence[int], note: str) -> None:
    d = tables.decision
    for part in bulk.chunks(cases):
        conn.execute(
            d.update()
            .where(bulk.among(conn, d.c.case_id, part), PENDING_DECISION)
            .values(state="void", note=note)
        )


def _stored(row: Any) -> StoredCase:
    return StoredCase(
        id=row.id,
        flow=row.flow_id,
        entity=row.entity_id,
        case=codec.decode_case(row),
        state=row.state,
        opened_at=row.opened_at,
        opened_run=row.opened_run,
        seen_run=row.seen_run,
        closed_run=row.closed_run,
    )
