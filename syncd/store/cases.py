"""Cases: what policies leave open, each known by its entity, kind, member, fields and the digest of
its candidates. A run that finds the same one again refreshes it and adds none (S3).

    open ──► decided ──► closed        a run used the decision (`syncd.store.conflicts`)
      └────────────────► closed        the next run did not find it any more
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import BindParameter, Connection, Select, bindparam, func, select
from sqlalchemy import text as sql

from syncd.core.model import Case, CaseKind
from syncd.store import bulk, codec, tables

OPEN = "open"
DECIDED = "decided"
CLOSED = "closed"

NO_ENTITY = 0

_NO_LIMIT = 1 << 62

# In the words of the partial indexes, so that the databases see that they apply.
NOT_CLOSED = sql("case_.state != 'closed'")
PENDING_DECISION = sql("decision.state = 'pending'")

_C, _D = tables.case_.c, tables.decision.c
_FLOW: BindParameter[Any] = bindparam("flow")
_RUN: BindParameter[Any] = bindparam("run")
_UNSEEN = (_C.flow_id == _FLOW, _C.entity_id == NO_ENTITY, _C.seen_run < _RUN, NOT_CLOSED)
_ANY_UNSEEN = select(_C.id).where(*_UNSEEN).limit(1)
_VOID_UNSEEN = (
    tables.decision.update()
    .where(
        _D.flow_id == _FLOW,
        _D.entity_id == NO_ENTITY,
        PENDING_DECISION,
        _D.case_id.in_(select(_C.id).where(*_UNSEEN)),
    )
    .values(state="void", note=bindparam("why"))
)
_CLOSE_UNSEEN = tables.case_.update().where(*_UNSEEN).values(state=CLOSED, closed_run=_RUN)
_OPEN_MARKS = select(_C.id, _C.entity_id, _C.kind, _C.member, _C.fields, _C.digest).where(
    _C.flow_id == _FLOW, bulk.among(_C.entity_id, "entities"), NOT_CLOSED
)
_OPEN_AMONG = select(_C.id, _C.digest).where(
    _C.flow_id == _FLOW,
    _C.entity_id == bindparam("entity"),
    _C.kind == bindparam("kind"),
    _C.member == bindparam("member"),
    _C.fields == bindparam("fields"),
    bulk.among(_C.digest, "digests"),
    NOT_CLOSED,
)
_CASES_OF = (
    select(tables.case_)
    .where(_C.flow_id == _FLOW, bulk.among(_C.entity_id, "entities"), NOT_CLOSED)
    .order_by(_C.id)
)
_COUNT = select(func.count()).select_from(tables.case_).where(_C.flow_id == _FLOW, NOT_CLOSED)
_VOID_OF = (
    tables.decision.update()
    .where(bulk.among(_D.case_id, "cases"), PENDING_DECISION)
    .values(state="void", note=bindparam("why"))
)


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
_BY_ITSELF = "its case closed by itself"


# --- what a run finds ----------------------------------------------------------------------


def sync_cases(
    conn: Connection, flow: int, found: Mapping[int, Sequence[Case]], *, run: int, at: str
) -> list[int]:
    """Make the open cases of these entities exactly the ones found: an empty list closes all.
    Cases of no entity are not closed here but by `close_unseen`, so they may come in several
    calls. `use` and `void` come before it. Answers the ids opened."""
    wanted = {_mark(entity, case): case for entity, cases in found.items() for case in cases}
    before = _open_marks(conn, flow, [e for e in found if e != NO_ENTITY])
    before |= _open_among(conn, flow, [mark for mark in wanted if mark[0] == NO_ENTITY])
    seen = [(before[mark], run) for mark in wanted if mark in before]
    closed = [(number, CLOSED, run) for mark, number in before.items() if mark not in wanted]
    new = [(mark, case) for mark, case in wanted.items() if mark not in before]
    bulk.update(conn, tables.case_, ("id",), ("seen_run",), seen)
    bulk.update(conn, tables.case_, ("id",), ("state", "closed_run"), closed)
    _void_decisions_of(conn, [number for number, _, _ in closed])
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
    asked = {"flow": flow, "run": run}
    if conn.execute(_ANY_UNSEEN, asked).first() is None:
        return 0
    conn.execute(_VOID_UNSEEN, {**asked, "why": _BY_ITSELF})
    return conn.execute(_CLOSE_UNSEEN, asked).rowcount


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
    found: dict[_Mark, int] = {}
    for part in bulk.chunks(sorted(entities)):
        for row in conn.execute(_OPEN_MARKS, {"flow": flow, "entities": part}):
            found[row.entity_id, row.kind, row.member, row.fields, row.digest] = row.id
    return found


def _open_among(conn: Connection, flow: int, marks: Sequence[_Mark]) -> dict[_Mark, int]:
    """Those of these that are open; the whole of a mark is in the index, and there may be a
    million cases of no entity."""
    found: dict[_Mark, int] = {}
    alike: dict[tuple[int, str, str, str], list[str]] = {}
    for entity, kind, member, fields, digest in marks:
        alike.setdefault((entity, kind, member, fields), []).append(digest)
    for (entity, kind, member, fields), digests in alike.items():
        mark = {"entity": entity, "kind": kind, "member": member, "fields": fields}
        for part in bulk.chunks(digests):
            for row in conn.execute(_OPEN_AMONG, {"flow": flow, **mark, "digests": part}):
                found[entity, kind, member, fields, row.digest] = row.id
    return found


# --- what people see -----------------------------------------------------------------------


def new_of_none(conn: Connection, flow: int, found: Sequence[Case]) -> list[Case]:
    """Which of these cases of no entity `sync_cases` would open."""
    wanted = {_mark(NO_ENTITY, case): case for case in found}
    before = _open_among(conn, flow, list(wanted))
    return [case for mark, case in wanted.items() if mark not in before]


def count_open(
    conn: Connection, flow: int, *, state: str | None = None, entity: int | None = None
) -> int:
    """Cases not closed; state as for `open_cases`."""
    query = _COUNT if state is None else _COUNT.where(_C.state == state)
    query = query if entity is None else query.where(_C.entity_id == entity)
    return int(conn.execute(query, {"flow": flow}).scalar_one())


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
    limit = _NO_LIMIT if limit is None else limit
    said = {"flow": flow, "kind": kind and kind.value, "entity": entity, "state": state}
    asked = {name: value for name, value in said.items() if value is not None}
    query = _open_cases(frozenset(asked))
    if field is not None:
        # The list is canonical JSON: a name stands in it quoted, and nothing else does.
        query = query.where(_C.fields.contains(codec.text(field), autoescape=True))
    rows = conn.execute(query, {**asked, "after": after, "limit": limit})
    return [_stored(row) for row in rows]


@cache
def _open_cases(asked: frozenset[str]) -> Select[Any]:
    """By what is asked for; one statement each, which is then known."""
    query = select(tables.case_).where(NOT_CLOSED, _C.id > bindparam("after")).order_by(_C.id)
    columns = {"flow": _C.flow_id, "kind": _C.kind, "entity": _C.entity_id, "state": _C.state}
    for name in sorted(asked):
        query = query.where(columns[name] == bindparam(name))
    return query.limit(bindparam("limit"))


def cases_of(conn: Connection, flow: int, entities: Sequence[int]) -> dict[int, tuple[Case, ...]]:
    """The cases of these entities not closed, oldest first; entities without any are missing."""
    found: dict[int, tuple[Case, ...]] = {}
    for part in bulk.chunks(sorted(set(entities))):
        for row in conn.execute(_CASES_OF, {"flow": flow, "entities": part}):
            found[row.entity_id] = (*found.get(row.entity_id, ()), codec.decode_case(row))
    return found


def case(conn: Connection, case_id: int) -> StoredCase | None:
    row = conn.execute(select(tables.case_).where(tables.case_.c.id == case_id)).first()
    return None if row is None else _stored(row)


def _void_decisions_of(conn: Connection, cases: Sequence[int]) -> None:
    for part in bulk.chunks(cases):
        conn.execute(_VOID_OF, {"cases": part, "why": _BY_ITSELF})


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
