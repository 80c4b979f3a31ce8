"""What a system refuses: seen, retried at its own pace, in nobody's way (I12, S47).

open ──► solved      it went through, or was planned away
  ├────► retry       a person asks for another try in the next run
  └────► dropped     a person gives this operation up
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, TextClause, func, select
from sqlalchemy import text as sql

from syncd.errors import ConfigError
from syncd.store import bulk, tables
from syncd.store.entities import mark_work
from syncd.store.flows import Names, names


class QuarantineState(StrEnum):
    OPEN = "open"
    RETRY = "retry"
    DROPPED = "dropped"
    SOLVED = "solved"


# In the words of the partial index, so that the databases see that it applies.
_QUARANTINED = sql("quarantine.state IN ('open', 'retry', 'dropped')")


@dataclass(frozen=True, slots=True)
class Refused:
    """One operation refused. op_digest: of what was sent; another operation for the same record
    is tried at once. next_at: when the same one may be tried again by itself; None = never."""

    entity: int
    member: str
    op_digest: str
    error: str
    key: str | None = None
    next_at: str | None = None


@dataclass(frozen=True, slots=True)
class Quarantined:
    id: int
    flow: int
    refused: Refused
    attempts: int
    first_at: str
    last_at: str
    state: QuarantineState


def put(conn: Connection, flow: int, refused: Sequence[Refused], *, at: str) -> None:
    """Add these, or count one more attempt at those that are there. An entity and member has one
    at a time, a record of no entity (0) one of its own; another operation begins its count anew."""
    known = names(conn, flow)
    before = {
        _mark(q.refused): q
        for part in bulk.chunks(sorted({r.entity for r in refused if r.entity}))
        for q in _read(conn, known, _of_entities(conn, flow, part))
    }
    for member in sorted({r.member for r in refused if not r.entity}):
        keys = [r.key for r in refused if r.member == member and not r.entity and r.key is not None]
        for names_ in bulk.chunks(keys):
            here = _of_none(conn, flow, member)
            query = select(tables.quarantine).where(
                *here, bulk.among(conn, tables.quarantine.c.key, names_)
            )
            before |= {_mark(q.refused): q for q in _read(conn, known, query)}
    wanted = {_mark(r): r for r in refused}
    changed: list[tuple[Any, ...]] = []
    new: list[tuple[Any, ...]] = []
    for mark, r in wanted.items():
        old = before.get(mark)
        again = old is not None and old.refused.op_digest == r.op_digest
        attempts, first = (old.attempts + 1, old.first_at) if old and again else (1, at)
        dropped = old is not None and again and old.state is QuarantineState.DROPPED
        state = QuarantineState.DROPPED if dropped else QuarantineState.OPEN
        facts = (r.key, r.op_digest, r.error, attempts, first, at, r.next_at, state.value)
        if old is None:
            new.append((flow, known.ids[r.member], r.entity, *facts))
        else:
            changed.append((old.id, *facts))
    columns = ("key", "op_digest", "error", "attempts", "first_at", "last_at", "next_at", "state")
    bulk.update(conn, tables.quarantine, ("id",), columns, changed)
    ids = bulk.allocate(conn, "quarantine", len(new))
    bulk.insert(
        conn,
        tables.quarantine,
        ("id", "flow_id", "member_id", "entity_id", *columns),
        [(number, *row) for number, row in zip(ids, new, strict=True)],
    )


def _mark(refused: Refused) -> tuple[int, str, str | None]:
    return refused.entity, refused.member, None if refused.entity else refused.key


def blocked(
    conn: Connection, flow: int, entities: Sequence[int]
) -> dict[tuple[int, str], Quarantined]:
    """What is in quarantine for these entities, by (entity, member). The same operation is not
    sent in state OPEN before `next_at`, is sent in RETRY, and is never sent in DROPPED."""
    known = names(conn, flow)
    return {
        (q.refused.entity, q.refused.member): q
        for part in bulk.chunks(sorted(set(entities)))
        for q in _read(conn, known, _of_entities(conn, flow, part))
    }


def due(conn: Connection, flow: int, *, now: str) -> Iterator[list[int]]:
    """Entities with something that may be tried again, ascending, in blocks."""
    q = tables.quarantine.c
    waiting = select(q.entity_id).where(
        q.flow_id == flow,
        _QUARANTINED,
        (q.state == QuarantineState.RETRY.value)
        | ((q.state == QuarantineState.OPEN.value) & (q.next_at <= now)),
    )
    return bulk.ascending(conn, waiting, q.entity_id)


def solve(conn: Connection, flow: int, solved: Iterable[tuple[int, str]]) -> None:
    """(entity, member) pairs whose operation went through or is not needed any more."""
    known = names(conn, flow)
    q = tables.quarantine.c
    by_entity: dict[int, set[int]] = {}
    for entity, member in solved:
        by_entity.setdefault(entity, set()).add(known.ids[member])
    for part in bulk.chunks(sorted(by_entity)):
        rows = conn.execute(
            select(q.id, q.entity_id, q.member_id).where(
                q.flow_id == flow, bulk.among(conn, q.entity_id, part), _QUARANTINED
            )
        ).all()
        done = [r.id for r in rows if r.member_id in by_entity[r.entity_id]]
        bulk.update(
            conn,
            tables.quarantine,
            ("id",),
            ("state",),
            [(number, QuarantineState.SOLVED.value) for number in done],
        )


def solve_unlinked(
    conn: Connection, flow: int, member: str, still: Callable[[Sequence[str]], Collection[str]]
) -> None:
    """Records of no entity that were read again, or are gone. still: those of some keys that are
    as unreadable as they were."""
    q = tables.quarantine.c
    last = 0
    while True:
        rows = conn.execute(
            select(q.id, q.key)
            .where(*_of_none(conn, flow, member), q.id > last)
            .order_by(q.id)
            .limit(bulk.CHUNK)
        ).all()
        kept = still([str(r.key) for r in rows]) if rows else ()
        done = [(r.id, QuarantineState.SOLVED.value) for r in rows if r.key not in kept]
        bulk.update(conn, tables.quarantine, ("id",), ("state",), done)
        if len(rows) < bulk.CHUNK:
            return
        last = rows[-1].id


def _of_none(conn: Connection, flow: int, member: str) -> list[ColumnElement[bool] | TextClause]:
    q = tables.quarantine.c
    number = names(conn, flow).ids[member]
    return [q.flow_id == flow, q.entity_id == 0, q.member_id == number, _QUARANTINED]


# --- what people see and ask ---------------------------------------------------------------


def count(conn: Connection, flow: int) -> int:
    """How many `quarantined` would answer."""
    q = tables.quarantine.c
    waiting = (q.flow_id == flow, _QUARANTINED, q.state != QuarantineState.DROPPED.value)
    query = select(func.count()).select_from(tables.quarantine).where(*waiting)
    return int(conn.execute(query).scalar_one())


def quarantined(
    conn: Connection, flow: int, *, after: int = 0, limit: int | None = None
) -> list[Quarantined]:
    """What waits (OPEN, RETRY), oldest first."""
    q = tables.quarantine.c
    query = select(tables.quarantine).where(
        q.flow_id == flow, _QUARANTINED, q.state != QuarantineState.DROPPED.value, q.id > after
    )
    return _read(conn, names(conn, flow), query.order_by(q.id).limit(limit))


def retry(conn: Connection, number: int) -> None:
    """Try it again in the next run. Raises ConfigError SY0199 where nothing waits under it."""
    _answer(conn, number, QuarantineState.RETRY)


def drop(conn: Connection, number: int) -> None:
    """Give this operation up; another one for the same record will be tried. Raises as `retry`."""
    _answer(conn, number, QuarantineState.DROPPED)


def _answer(conn: Connection, number: int, state: QuarantineState) -> None:
    q = tables.quarantine
    entity = conn.execute(select(q.c.entity_id).where(q.c.id == number, _QUARANTINED)).scalar()
    if entity is None:
        raise ConfigError(
            f"nothing waits in quarantine under {number}",
            code="SY0199",
            hint="see `syncd quarantine list`",
        )
    conn.execute(q.update().where(q.c.id == number).values(state=state.value))
    mark_work(conn, {int(entity): True})


# --- rows and values -----------------------------------------------------------------------


def _of_entities(conn: Connection, flow: int, part: Sequence[int]) -> Select[Any]:
    q = tables.quarantine.c
    return select(tables.quarantine).where(
        q.flow_id == flow, bulk.among(conn, q.entity_id, part), _QUARANTINED
    )


def _read(conn: Connection, known: Names, query: Select[Any]) -> list[Quarantined]:
    return [
        Quarantined(
            id=row.id,
            flow=row.flow_id,
            refused=Refused(
                entity=row.entity_id,
                member=known.members[row.member_id],
                op_digest=row.op_digest,
                error=row.error,
                key=row.key,
                next_at=row.next_at,
            ),
            attempts=row.attempts,
            first_at=row.first_at,
            last_at=row.last_at,
            state=QuarantineState(row.state),
        )
        for row in conn.execute(query)
    ]
