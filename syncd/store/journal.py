"""The journal: every operation from before its first effect until its outcome is known (law 7).

    planned ──► sent ──► applied | stale | rejected
       │          └────► unknown ──► applied | stale        found later, never blindly repeated
       └──► superseded                                      never sent: planned anew

What was sent is explained by what stands here (the operation, its native payload, the mapping's
fingerprint), never by the config of the day.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, TextClause, func, select
from sqlalchemy import text as sql

from syncd.core.model import Agreed, Operation, OpKind
from syncd.store import bulk, codec, tables
from syncd.store.flows import Names, know_fingerprints, names
from syncd.store.links import agreed_values


class OpState(StrEnum):
    PLANNED = "planned"  # recorded, not sent
    SENT = "sent"  # perhaps on its way, perhaps there
    APPLIED = "applied"
    STALE = "stale"
    REJECTED = "rejected"
    UNKNOWN = "unknown"  # parked: no one can say
    SUPERSEDED = "superseded"


OUTCOME_OPEN = (OpState.SENT, OpState.UNKNOWN)

# In the words of the partial index, so that the databases see that it applies.
_UNSETTLED = sql("operation.state IN ('planned', 'sent', 'unknown')")


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One operation on its way.

    id         0 = not in the journal yet
    op_id      the durable id under which systems know it, the same on every retry
    native     the packed native payload; None = derived from `operation.fields` by the mapping of
               `fingerprint`
    derived    `operation.fields` and `.seqs` are the entity's agreed ones and not stored again: a
               first load; true while the entity's agreed values of these fields stand (law 7
               freezes them until the outcome is known)
    key        the record's key, also where the operation's own is None: a create that was answered
    token      what the member's transaction can be asked for
    sent_at, not_after  canonical times
    """

    id: int
    op_id: str
    run: int
    entity: int
    operation: Operation
    native: bytes | None = None
    fingerprint: str = ""
    derived: bool = False
    key: str | None = None
    state: OpState = OpState.PLANNED
    token: str | None = None
    sent_at: str | None = None
    not_after: str | None = None
    attempts: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of one entry. key: None keeps the one it has."""

    id: int
    state: OpState
    key: str | None = None
    error: str = ""


_COLUMNS = (
    "id",
    "op_id",
    "run_id",
    "flow_id",
    "member_id",
    "entity_id",
    "kind",
    "key",
    "operation",
    "native",
    "fingerprint_id",
    "state",
    "token",
    "sent_at",
    "not_after",
    "attempts",
    "error",
)


def record(conn: Connection, flow: int, entries: Sequence[JournalEntry]) -> list[int]:
    """Write new entries, in the order they shall be applied; answers their ids, ascending."""
    known = names(conn, flow)
    know_fingerprints(conn, flow, known, ((e.operation.member, e.fingerprint) for e in entries))
    ids = bulk.allocate(conn, "operation", len(entries))
    rows = [
        (
            number,
            e.op_id,
            e.run,
            flow,
            known.ids[e.operation.member],
            e.entity,
            e.operation.kind.value,
            e.key if e.key is not None else e.operation.key,
            codec.encode_operation(e.operation, derived=e.derived),
            e.native,
            _fingerprint(known, e),
            e.state.value,
            e.token,
            e.sent_at,
            e.not_after,
            e.attempts,
            e.error,
        )
        for number, e in zip(ids, entries, strict=True)
    ]
    bulk.insert(conn, tables.operation, _COLUMNS, rows)
    return list(ids)


def mark_sent(conn: Connection, ids: Sequence[int], *, sent_at: str, not_after: str | None) -> None:
    """Before the first byte leaves: from here on these may have happened."""
    op = tables.operation
    for part in bulk.chunks(ids):
        conn.execute(
            op.update()
            .where(bulk.among(conn, op.c.id, part))
            .values(
                state=OpState.SENT.value,
                sent_at=sent_at,
                not_after=not_after,
                attempts=op.c.attempts + 1,
            )
        )


def set_token(conn: Connection, ids: Sequence[int], token: str) -> None:
    """Name the member's transaction these travel in, before it commits."""
    bulk.update(conn, tables.operation, ("id",), ("token",), [(i, token) for i in ids])


def settle(conn: Connection, settled: Sequence[Settlement]) -> None:
    keyed = [(s.id, s.state.value, s.error, s.key) for s in settled if s.key is not None]
    plain = [(s.id, s.state.value, s.error) for s in settled if s.key is None]
    bulk.update(conn, tables.operation, ("id",), ("state", "error", "key"), keyed)
    bulk.update(conn, tables.operation, ("id",), ("state", "error"), plain)


def supersede_planned(conn: Connection, flow: int, *, run: int | None = None) -> int:
    """What was never sent is planned anew; answers how many. run: only that run's."""
    op = tables.operation
    query = op.update().where(op.c.flow_id == flow, _UNSETTLED, op.c.state == OpState.PLANNED.value)
    if run is not None:
        query = query.where(op.c.run_id == run)
    return conn.execute(query.values(state=OpState.SUPERSEDED.value)).rowcount


# --- reading -------------------------------------------------------------------------------


def planned(
    conn: Connection, flow: int, run: int, *, size: int = bulk.CHUNK
) -> Iterator[list[JournalEntry]]:
    """What this run is to send, in order, in blocks. Entries may be sent between two blocks."""
    return _blocks(
        conn, flow, size, [_UNSETTLED, _in((OpState.PLANNED,)), tables.operation.c.run_id == run]
    )


def unknown_creates(conn: Connection, flow: int, *, limit: int) -> dict[str, list[int]]:
    """By member, the first entities of which a record may have been made there or not."""
    op = tables.operation.c
    found: dict[str, list[int]] = {}
    for number, member in names(conn, flow).members.items():
        ids = conn.execute(
            select(op.entity_id)
            .where(
                op.flow_id == flow,
                _UNSETTLED,
                _in(OUTCOME_OPEN),
                op.kind == OpKind.CREATE.value,
                op.member_id == number,
            )
            .order_by(op.entity_id)
            .distinct()
            .limit(limit)
        ).scalars()
        if listed := [int(i) for i in ids]:
            found[member] = listed
    return found


def unsettled_batches(conn: Connection, flow: int) -> list[tuple[str, str | None]]:
    """(member, token) of entries whose outcome is not known, oldest first: what went out together
    has one token, and what has none is one batch a member."""
    op = tables.operation.c
    known = names(conn, flow)
    rows = conn.execute(
        select(op.member_id, op.token)
        .where(op.flow_id == flow, _UNSETTLED, _in(OUTCOME_OPEN))
        .group_by(op.member_id, op.token)
        .order_by(func.min(op.id))
    )
    return [(known.members[row.member_id], row.token) for row in rows]


def unsettled_of(
    conn: Connection, flow: int, member: str, token: str | None, *, after: int, limit: int | None
) -> list[JournalEntry]:
    """Entries of one such batch, in order of their ids above `after`."""
    op = tables.operation.c
    number = names(conn, flow).ids[member]
    same = op.token.is_(None) if token is None else op.token == token
    batch = [_in(OUTCOME_OPEN), op.flow_id == flow, op.member_id == number, same, op.id > after]
    return _read(conn, flow, [_UNSETTLED, *batch], limit)


def of_entities(conn: Connection, flow: int, ids: Sequence[int]) -> list[JournalEntry]:
    """Entries of these entities whose outcome is not known, oldest first."""
    op = tables.operation.c
    found: list[JournalEntry] = []
    for part in bulk.chunks(sorted(set(ids))):
        found += _read(
            conn,
            flow,
            [
                _UNSETTLED,
                _in(OUTCOME_OPEN),
                op.flow_id == flow,
                bulk.among(conn, op.entity_id, part),
            ],
        )
    return sorted(found, key=lambda e: e.id)


def entry(conn: Connection, flow: int, op_id: str) -> JournalEntry | None:
    op = tables.operation.c
    found = _read(conn, flow, [op.op_id == op_id, op.flow_id == flow])
    return found[0] if found else None


def unsettled_count(conn: Connection, flow: int) -> int:
    op = tables.operation.c
    counted = conn.execute(
        select(func.count()).where(op.flow_id == flow, _UNSETTLED, _in(OUTCOME_OPEN))
    )
    return int(counted.scalar_one())


def prune(conn: Connection, flow: int, *, before_run: int) -> int:
    """Forget settled entries of runs before this one; the audit keeps what they did."""
    op = tables.operation
    done = [s.value for s in OpState if s not in (OpState.PLANNED, *OUTCOME_OPEN)]
    return conn.execute(
        op.delete().where(op.c.flow_id == flow, op.c.run_id < before_run, op.c.state.in_(done))
    ).rowcount


_Terms = Sequence[ColumnElement[bool] | TextClause]


def _in(states: Iterable[OpState]) -> ColumnElement[bool]:
    return tables.operation.c.state.in_([s.value for s in states])


def next_planned(
    conn: Connection, flow: int, member: str, kind: OpKind, *, after: int, limit: int
) -> list[JournalEntry]:
    """The next entries to send, in order of their ids above `after`. Without the words of the
    partial index on purpose: the primary key already has them in this order."""
    op = tables.operation.c
    number = names(conn, flow).ids[member]
    terms: list[ColumnElement[bool]] = [
        op.id > after,
        op.flow_id == flow,
        op.member_id == number,
        op.kind == kind.value,
        op.state == OpState.PLANNED.value,
    ]
    return _read(conn, flow, terms, limit)


def by_ids(conn: Connection, flow: int, ids: Sequence[int]) -> list[JournalEntry]:
    return _read(conn, flow, [tables.operation.c.id.in_(list(ids))])


def _blocks(conn: Connection, flow: int, size: int, terms: _Terms) -> Iterator[list[JournalEntry]]:
    op = tables.operation.c
    last = 0
    while True:
        block = _read(conn, flow, [*terms, op.flow_id == flow, op.id > last], size)
        if block:
            yield block
        if len(block) < size:
            return
        last = block[-1].id


def _read(
    conn: Connection, flow: int, terms: _Terms, size: int | None = None
) -> list[JournalEntry]:
    known = names(conn, flow)
    op = tables.operation
    rows = conn.execute(
        select(*(op.c[name] for name in _COLUMNS)).where(*terms).order_by(op.c.id).limit(size)
    ).all()
    payloads = [codec.loads(row.operation) for row in rows]
    derived = {row.entity_id for row, p in zip(rows, payloads, strict=True) if "derived" in p}
    agreed = agreed_values(conn, derived) if derived else {}
    return [
        _entry(row, payload, known, agreed.get(row.entity_id, {}))
        for row, payload in zip(rows, payloads, strict=True)
    ]


def _entry(
    row: Any, payload: dict[str, Any], known: Names, agreed: Mapping[str, Agreed]
) -> JournalEntry:
    return JournalEntry(
        id=row.id,
        op_id=row.op_id,
        run=row.run_id,
        entity=row.entity_id,
        operation=codec.decode_operation(payload, agreed),
        native=row.native,
        fingerprint=known.digest(row.fingerprint_id),
        derived="derived" in payload,
        key=row.key,
        state=OpState(row.state),
        token=row.token,
        sent_at=row.sent_at,
        not_after=row.not_after,
        attempts=row.attempts,
        error=row.error,
    )


def _fingerprint(known: Names, e: JournalEntry) -> int | None:
    if not e.fingerprint:
        return None
    return known.fingerprints[known.ids[e.operation.member], e.fingerprint]
