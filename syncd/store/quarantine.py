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

from sqlalchemy import BindParameter, Connection, Row, bindparam, func, select
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
QUARANTINED = sql("quarantine.state IN ('open', 'retry', 'dropped')")
_WAITING = sql("quarantine.state != 'dropped'")

_Q = tables.quarantine.c
_FLOW: BindParameter[Any] = bindparam("flow")
_ALL = select(tables.quarantine).where(_Q.flow_id == _FLOW, QUARANTINED)
_OF_ENTITIES = _ALL.where(bulk.among(_Q.entity_id, "entities"))
_OF_NONE = _ALL.where(_Q.entity_id == 0, _Q.member_id == bindparam("member"))
_OF_KEYS = _OF_NONE.where(bulk.among(_Q.key, "keys"))
_OF_NONE_IN_ORDER = bulk.page(_OF_NONE, _Q.id)
_UNLINKED = (
    select(_Q.member_id).where(_Q.flow_id == _FLOW, _Q.entity_id == 0, QUARANTINED).distinct()
)
_DUE = bulk.page(
    select(_Q.entity_id)
    .where(
        _Q.flow_id == _FLOW,
        QUARANTINED,
        (_Q.state == "retry") | ((_Q.state == "open") & (_Q.next_at <= bindparam("now"))),
    )
    .distinct(),
    _Q.entity_id,
)
_COUNT = (
    select(func.count())
    .select_from(tables.quarantine)
    .where(_Q.flow_id == _FLOW, QUARANTINED, _WAITING)
)
_ENTITY = select(_Q.entity_id).where(_Q.id == bindparam("number"), QUARANTINED)


@dataclass(frozen=True, slots=True)
class Refused:
    """One operation refused. op_digest: of what was sent; another operation for the same record
    is tried at once. next_at: when the same one may be tried again by itself; None = it is
    no operation but a record that could not be read, as every run tries to."""

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
        for q in _read(known, conn.execute(_OF_ENTITIES, {"flow": flow, "entities": part}))
    }
    for member in sorted({r.member for r in refused if not r.entity}):
        keys = [r.key for r in refused if r.member == member and not r.entity and r.key is not None]
        for part in bulk.chunks(keys):
            asked = {"flow": flow, "member": known.ids[member], "keys": part}
            here = _read(known, conn.execute(_OF_KEYS, asked))
            before |= {_mark(q.refused): q for q in here}
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
        for q in _read(known, conn.execute(_OF_ENTITIES, {"flow": flow, "entities": part}))
    }


def due(conn: Connection, flow: int, *, now: str) -> Iterator[list[int]]:
    """Entities with something that may be tried again, ascending, in blocks."""
    for block in bulk.pages(conn, _DUE, {"flow": flow, "now": now}):
        yield [entity for (entity,) in block]


def solve(conn: Connection, flow: int, solved: Iterable[tuple[int, str]]) -> None:
    """(entity, member) pairs whose operation went through or is not needed any more."""
    known = names(conn, flow)
    by_entity: dict[int, set[int]] = {}
    for entity, member in solved:
        by_entity.setdefault(entity, set()).add(known.ids[member])
    for part in bulk.chunks(sorted(by_entity)):
        rows = conn.execute(_OF_ENTITIES, {"flow": flow, "entities": part})
        done = [r.id for r in rows if r.member_id in by_entity[r.entity_id]]
        bulk.update(
            conn,
            tables.quarantine,
            ("id",),
            ("state",),
            [(number, QuarantineState.SOLVED.value) for number in done],
        )


def unlinked(conn: Connection, flow: int) -> set[str]:
    """Members with a record of no entity in quarantine."""
    known = names(conn, flow)
    return {known.members[number] for (number,) in conn.execute(_UNLINKED, {"flow": flow})}


def solve_unlinked(
    conn: Connection, flow: int, member: str, still: Callable[[Sequence[str]], Collection[str]]
) -> None:
    """Records of no entity that were read again, or are gone. still: those of some keys that are
    as unreadable as they were."""
    asked = {"flow": flow, "member": names(conn, flow).ids[member]}
    for block in bulk.pages(conn, _OF_NONE_IN_ORDER, asked):
        kept = still([str(r.key) for r in block])
        done = [(r.id, QuarantineState.SOLVED.value) for r in block if r.key not in kept]
        bulk.update(conn, tables.quarantine, ("id",), ("state",), done)


# --- what people see and ask ---------------------------------------------------------------


def count(conn: Connection, flow: int) -> int:
    """How many `quarantined` would answer."""
    return int(conn.execute(_COUNT, {"flow": flow}).scalar_one())


def quarantined(
    conn: Connection, flow: int, *, after: int = 0, limit: int | None = None
) -> list[Quarantined]:
    """What waits (OPEN, RETRY), oldest first."""
    query = _ALL.where(_WAITING, _Q.id > after).order_by(_Q.id).limit(limit)
    return _read(names(conn, flow), conn.execute(query, {"flow": flow}))


def dropped(conn: Connection, flow: int) -> list[Quarantined]:
    """What people gave up and nothing has replaced since, oldest first."""
    query = _ALL.where(_Q.state == QuarantineState.DROPPED.value).order_by(_Q.id)
    return _read(names(conn, flow), conn.execute(query, {"flow": flow}))


def retry(conn: Connection, number: int) -> None:
    """Try it again in the next run, also what was given up. Raises ConfigError SY0199 where nothing
    stands under the number."""
    _answer(conn, number, QuarantineState.RETRY)


def drop(conn: Connection, number: int) -> None:
    """Give this operation up; another one for the same record will be tried. Raises as `retry`."""
    _answer(conn, number, QuarantineState.DROPPED)


def _answer(conn: Connection, number: int, state: QuarantineState) -> None:
    entity = conn.execute(_ENTITY, {"number": number}).scalar()
    if entity is None:
        raise ConfigError(
            f"nothing waits in quarantine under {number}",
            code="SY0199",
            hint="see `syncd quarantine list`",
        )
    bulk.update(conn, tables.quarantine, ("id",), ("state",), [(number, state.value)])
    mark_work(conn, {int(entity): True})


# --- rows and values -----------------------------------------------------------------------


def _read(known: Names, rows: Iterable[Row[Any]]) -> list[Quarantined]:
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
        for row in rows
    ]
