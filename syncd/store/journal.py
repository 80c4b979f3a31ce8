"""The journal: every operation from before its first effect until its outcome is known (law 7).

    planned ──► sent ──► applied | stale | rejected
       │          └────► unknown ──► applied | stale        found later, never blindly repeated
       └──► superseded                                      never sent: planned anew

What was sent is explained by what stands here (the operation, its native payload, the mapping's
fingerprint), never by the config of the day.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import BindParameter, Connection, Row, Select, bindparam, func, select
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
UNSETTLED = sql("operation.state IN ('planned', 'sent', 'unknown')")
_PLANNED = sql("operation.state = 'planned'")
OUTCOME_IS_OPEN = sql("operation.state IN ('sent', 'unknown')")


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

_O = tables.operation.c
_FLOW: BindParameter[Any] = bindparam("flow")
_MEMBER: BindParameter[Any] = bindparam("member")
_MARK_SENT = (
    tables.operation.update()
    .where(bulk.among(_O.id, "ids"))
    .values(
        state=OpState.SENT.value,
        sent_at=bindparam("now"),
        not_after=bindparam("until"),
        attempts=_O.attempts + 1,
    )
)
_SUPERSEDE = (
    tables.operation.update()
    .where(_O.flow_id == _FLOW, UNSETTLED, _PLANNED)
    .values(state=OpState.SUPERSEDED.value)
)
_SUPERSEDE_RUN = _SUPERSEDE.where(_O.run_id == bindparam("run"))
_READ = select(*(_O[name] for name in _COLUMNS)).where(_O.flow_id == _FLOW)
_OPEN = _READ.where(UNSETTLED, OUTCOME_IS_OPEN)
_PLANNED_OF_RUN = bulk.page(_READ.where(UNSETTLED, _PLANNED, _O.run_id == bindparam("run")), _O.id)
# Without the words of the partial index on purpose: the primary key has them in this order.
_NEXT_PLANNED = bulk.page(
    _READ.where(_O.member_id == _MEMBER, _O.kind == bindparam("of_kind"), _PLANNED), _O.id
)
_BY_IDS = _READ.where(bulk.among(_O.id, "ids")).order_by(_O.id)
_BY_OP_ID = _READ.where(_O.op_id == bindparam("op"))
_UNKNOWN_CREATES = (
    select(_O.entity_id)
    .where(
        _O.flow_id == _FLOW,
        UNSETTLED,
        OUTCOME_IS_OPEN,
        _O.kind == OpKind.CREATE.value,
        _O.member_id == _MEMBER,
    )
    .order_by(_O.entity_id)
    .distinct()
    .limit(bindparam("size"))
)
_BATCHES = (
    select(_O.member_id, _O.token)
    .where(_O.flow_id == _FLOW, UNSETTLED, OUTCOME_IS_OPEN)
    .group_by(_O.member_id, _O.token)
    .order_by(func.min(_O.id))
)
_COUNT_OPEN = select(func.count()).where(_O.flow_id == _FLOW, UNSETTLED, OUTCOME_IS_OPEN)


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
    for part in bulk.chunks(ids):
        conn.execute(_MARK_SENT, {"ids": part, "now": sent_at, "until": not_after})


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
    if run is None:
        return conn.execute(_SUPERSEDE, {"flow": flow}).rowcount
    return conn.execute(_SUPERSEDE_RUN, {"flow": flow, "run": run}).rowcount


# --- reading -------------------------------------------------------------------------------


def planned(
    conn: Connection, flow: int, run: int, *, size: int = bulk.CHUNK
) -> Iterator[list[JournalEntry]]:
    """What this run is to send, in order, in blocks. Entries may be sent between two blocks."""
    for rows in bulk.pages(conn, _PLANNED_OF_RUN, {"flow": flow, "run": run}, size):
        yield _entries(conn, flow, rows)


def unknown_creates(conn: Connection, flow: int, *, limit: int) -> dict[str, list[int]]:
    """By member, the first entities of which a record may have been made there or not."""
    found: dict[str, list[int]] = {}
    for number, member in names(conn, flow).members.items():
        asked = {"flow": flow, "member": number, "size": limit}
        ids = conn.execute(_UNKNOWN_CREATES, asked).scalars()
        if listed := [int(i) for i in ids]:
            found[member] = listed
    return found


def unsettled_batches(conn: Connection, flow: int) -> list[tuple[str, str | None]]:
    """(member, token) of entries whose outcome is not known, oldest first: what went out together
    has one token, and what has none is one batch a member."""
    known = names(conn, flow)
    rows = conn.execute(_BATCHES, {"flow": flow})
    return [(known.members[row.member_id], row.token) for row in rows]


def unsettled_of(
    conn: Connection, flow: int, member: str, token: str | None, *, after: int, limit: int | None
) -> list[JournalEntry]:
    """Entries of one such batch, in order of their ids above `after`."""
    same = _O.token.is_(None) if token is None else _O.token == token
    query = _OPEN.where(_O.member_id == _MEMBER, same, _O.id > after).order_by(_O.id).limit(limit)
    return _read(conn, flow, query, member=names(conn, flow).ids[member])


def entry(conn: Connection, flow: int, op_id: str) -> JournalEntry | None:
    found = _read(conn, flow, _BY_OP_ID, op=op_id)
    return found[0] if found else None


def unsettled_count(conn: Connection, flow: int) -> int:
    return int(conn.execute(_COUNT_OPEN, {"flow": flow}).scalar_one())


def next_planned(
    conn: Connection, flow: int, member: str, kind: OpKind, *, after: int, limit: int
) -> list[JournalEntry]:
    """The next entries to send, in order of their ids above `after`."""
    number = names(conn, flow).ids[member]
    asked = {"member": number, "of_kind": kind.value, "after": after, "size": limit}
    return _read(conn, flow, _NEXT_PLANNED, **asked)


def by_ids(conn: Connection, flow: int, ids: Sequence[int]) -> list[JournalEntry]:
    return _read(conn, flow, _BY_IDS, ids=ids)


def _read(conn: Connection, flow: int, query: Select[Any], **asked: Any) -> list[JournalEntry]:
    return _entries(conn, flow, conn.execute(query, {"flow": flow, **asked}).all())


def _entries(conn: Connection, flow: int, rows: Sequence[Row[Any]]) -> list[JournalEntry]:
    if not rows:
        return []
    known = names(conn, flow)
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
