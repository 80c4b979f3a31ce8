"""What a guard stopped, until a person says what becomes of it (law 16).

    hold   open ──► approved | discarded ──► closed     every item of it is settled
    item   held ──► approved ──► done | moved           moved: its records changed, it drops out
             ├────► excused | reverted ──► done         discarded, in one of two ways
             └────► moved                               the run plans it no more, or otherwise

One hold is open a flow, kind and causing member; later runs add to it. An approval or discarding
is of the items shown, named together by the hold's digest: nothing unlisted is ever approved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy import text as sql

from syncd.core.hashing import digest as digest_of
from syncd.errors import ConfigError
from syncd.store import bulk, codec, tables
from syncd.store.entities import mark_work

OPEN = "open"
APPROVED = "approved"
DISCARDED = "discarded"
CLOSED = "closed"


class ItemState(StrEnum):
    HELD = "held"
    APPROVED = "approved"
    EXCUSED = "excused"  # discarded: the link is excused
    REVERTED = "reverted"  # discarded: the change behind it is to be taken back
    MOVED = "moved"
    DONE = "done"


WAITING = (ItemState.HELD, ItemState.APPROVED, ItemState.EXCUSED, ItemState.REVERTED)

# In the words of the partial index, so that the databases see that it applies.
_OPEN = sql("hold.state = 'open'")


@dataclass(frozen=True, slots=True)
class Hold:
    """target: the member whose limit tripped, "" for several; digest: of the items held."""

    id: int
    flow: int
    kind: str
    cause: str
    target: str
    state: str
    opened_at: str
    opened_run: int
    reason: str
    digest: str
    by: str = ""
    closed_at: str | None = None


@dataclass(frozen=True, slots=True)
class HoldItem:
    """One operation held. entity: 0 for a create of one that is not in the store yet; summary:
    JSON for people: what it would do to which record."""

    entity: int
    member: str
    op_digest: str
    key: str | None = None
    summary: Mapping[str, Any] = field(default_factory=dict)
    state: ItemState = ItemState.HELD
    added_run: int = 0
    hold: int = 0


# --- what a run holds ----------------------------------------------------------------------


def add(
    conn: Connection,
    flow: int,
    kind: str,
    cause: str,
    items: Sequence[HoldItem],
    *,
    run: int,
    at: str,
    reason: str,
    target: str = "",
) -> int:
    """Hold these operations, in the one open hold of this kind and cause; answers its id.
    reason: why it was opened, or is open still; "" = nothing new.

    An item held already stays as it is; another operation of the same record takes its place.
    """
    hold, item = tables.hold, tables.hold_item
    found = conn.execute(
        select(hold.c.id).where(
            hold.c.flow_id == flow, hold.c.kind == kind, hold.c.cause_member == cause, _OPEN
        )
    ).scalar()
    if found is None:
        (number,) = bulk.allocate(conn, "hold")
        conn.execute(
            hold.insert().values(
                id=number,
                flow_id=flow,
                kind=kind,
                cause_member=cause,
                target_member=target,
                state=OPEN,
                opened_at=at,
                opened_run=run,
                reason=reason,
                digest="",
            )
        )
    else:
        number = int(found)
        if reason:
            conn.execute(hold.update().where(hold.c.id == number).values(reason=reason))
    before = {
        (row.entity_id, row.member, row.op_digest): ItemState(row.state)
        for part in bulk.chunks([i.entity for i in items])
        for row in conn.execute(
            select(item.c.entity_id, item.c.member, item.c.op_digest, item.c.state).where(
                item.c.hold_id == number, bulk.among(conn, item.c.entity_id, part)
            )
        )
    }
    wanted = {(i.entity, i.member, i.op_digest): i for i in items}
    # Creates of entities that are not in the store yet (0) have no record to tell them apart.
    records = {mark[:2] for mark in wanted if mark[0]}
    set_states(
        conn,
        number,
        {m: ItemState.MOVED for m in before if m[:2] in records and m not in wanted}
        | {m: ItemState.HELD for m in wanted if m in before},
    )
    new = [i for mark, i in wanted.items() if mark not in before]
    bulk.insert(
        conn,
        item,
        ("hold_id", "entity_id", "member", "op_digest", "key", "summary", "state", "added_run"),
        [
            (
                number,
                i.entity,
                i.member,
                i.op_digest,
                i.key,
                codec.text(dict(i.summary)),
                ItemState.HELD.value,
                run,
            )
            for i in new
        ],
    )
    _refresh_digest(conn, number)
    return number


_Mark = tuple[int, str, str]  # entity, member, operation digest


def set_states(conn: Connection, hold_id: int, states: Mapping[_Mark, ItemState]) -> None:
    bulk.update(
        conn,
        tables.hold_item,
        ("hold_id", "entity_id", "member", "op_digest"),
        ("state",),
        [(hold_id, *mark, state.value) for mark, state in states.items()],
    )


def waiting(conn: Connection, flow: int, entities: Sequence[int]) -> dict[int, list[HoldItem]]:
    """Items of these entities that no run has settled: held ones, and those a person approved or
    discarded since. An entity with a held item waits whole."""
    hold, item = tables.hold.c, tables.hold_item.c
    found: dict[int, list[HoldItem]] = {}
    for part in bulk.chunks(sorted(set(entities))):
        for row in conn.execute(
            select(tables.hold_item)
            .join(tables.hold, hold.id == item.hold_id)
            .where(
                hold.flow_id == flow,
                hold.state != CLOSED,
                bulk.among(conn, item.entity_id, part),
                item.state.in_([s.value for s in WAITING]),
            )
            .order_by(item.hold_id, item.entity_id, item.member)
        ):
            found.setdefault(row.entity_id, []).append(_item(row))
    return found


def waiting_entities(conn: Connection, flow: int) -> list[int]:
    """Entities with items that no run has settled, ascending; those not stored yet left out."""
    hold, item = tables.hold.c, tables.hold_item.c
    return list(
        conn.execute(
            select(item.entity_id)
            .join(tables.hold, hold.id == item.hold_id)
            .where(
                hold.flow_id == flow,
                hold.state != CLOSED,
                item.entity_id != 0,
                item.state.in_([s.value for s in WAITING]),
            )
            .order_by(item.entity_id)
            .distinct()
        ).scalars()
    )


def settle(conn: Connection, items: Iterable[HoldItem], state: ItemState, *, at: str) -> None:
    """A run is through with these items (`.hold` says of which hold): DONE or MOVED. A hold of
    which nothing waits any more closes."""
    by_hold: dict[int, dict[_Mark, ItemState]] = {}
    for i in items:
        by_hold.setdefault(i.hold, {})[i.entity, i.member, i.op_digest] = state
    for number, states in by_hold.items():
        set_states(conn, number, states)
        _refresh_digest(conn, number)
        _close_if_done(conn, number, at)


def _refresh_digest(conn: Connection, hold_id: int) -> None:
    item = tables.hold_item.c
    rows = conn.execute(
        select(item.entity_id, item.member, item.op_digest)
        .where(item.hold_id == hold_id, item.state == ItemState.HELD.value)
        .order_by(item.entity_id, item.member, item.op_digest)
    )
    value = digest_of([list(row) for row in rows])
    hold = tables.hold
    conn.execute(hold.update().where(hold.c.id == hold_id).values(digest=value))


def _close_if_done(conn: Connection, hold_id: int, at: str) -> None:
    if not any(s in WAITING for s in counts(conn, hold_id)):
        hold = tables.hold
        conn.execute(hold.update().where(hold.c.id == hold_id).values(state=CLOSED, closed_at=at))


# --- what people see -----------------------------------------------------------------------


def holds(conn: Connection, flow: int | None = None, *, state: str | None = OPEN) -> list[Hold]:
    """Oldest first; state None: all that ever were."""
    h = tables.hold.c
    query = select(tables.hold).order_by(h.id)
    if flow is not None:
        query = query.where(h.flow_id == flow)
    if state is not None:
        query = query.where(h.state == state)
    return [_hold(row) for row in conn.execute(query)]


def hold(conn: Connection, hold_id: int) -> Hold | None:
    row = conn.execute(select(tables.hold).where(tables.hold.c.id == hold_id)).first()
    return None if row is None else _hold(row)


def items(
    conn: Connection,
    hold_id: int,
    *,
    state: ItemState | None = None,
    offset: int = 0,
    limit: int | None = None,
) -> list[HoldItem]:
    i = tables.hold_item.c
    query = select(tables.hold_item).where(i.hold_id == hold_id)
    if state is not None:
        query = query.where(i.state == state.value)
    query = query.order_by(i.entity_id, i.member, i.op_digest).offset(offset).limit(limit)
    return [_item(row) for row in conn.execute(query)]


def counts(conn: Connection, hold_id: int) -> dict[ItemState, int]:
    i = tables.hold_item.c
    rows = conn.execute(select(i.state, func.count()).where(i.hold_id == hold_id).group_by(i.state))
    return {ItemState(state): int(n) for state, n in rows}


# --- what people decide --------------------------------------------------------------------


def approve(conn: Connection, hold_id: int, digest: str, *, by: str, at: str) -> int:
    """Let the operations run that this digest names, if they are still the same then; answers
    how many. What later runs hold opens another hold. Raises ConfigError: SY0196 no such hold,
    SY0197 it is not open any more, SY0198 it changed since it was shown."""
    return _answer(conn, hold_id, digest, APPROVED, ItemState.APPROVED, by, at)


def discard(
    conn: Connection, hold_id: int, digest: str, *, by: str, at: str, revert: bool = False
) -> int:
    """Give the operations up: the next run excuses their links, or takes the change behind them
    back. Answers how many; raises as `approve` does."""
    found = hold(conn, hold_id)
    if revert and found is not None and found.kind == "create":
        raise ConfigError(
            "making a record is not taken back: that would delete it where somebody made it",
            code="SY0189",
            where=f"hold {hold_id}",
            hint="discard without --revert leaves those records alone; delete them in "
            f"{found.cause or 'their system'} if they shall go",
        )
    state = ItemState.REVERTED if revert else ItemState.EXCUSED
    return _answer(conn, hold_id, digest, DISCARDED, state, by, at)


def _answer(
    conn: Connection, hold_id: int, digest: str, state: str, item_state: ItemState, by: str, at: str
) -> int:
    found = hold(conn, hold_id)
    if found is None:
        raise ConfigError(
            f"there is no hold {hold_id}", code="SY0196", hint="see `syncd holds list`"
        )
    where = f"hold {hold_id}"
    if found.state != OPEN:
        raise ConfigError(
            f"it is {found.state} already",
            code="SY0197",
            where=where,
            hint="see `syncd holds list`",
        )
    if found.digest != digest:
        raise ConfigError(
            "what it holds changed since it was shown",
            code="SY0198",
            where=where,
            hint=f"look again with `syncd holds show {hold_id}`, then decide",
        )
    item, h = tables.hold_item, tables.hold
    held = items(conn, hold_id, state=ItemState.HELD)
    conn.execute(
        item.update()
        .where(item.c.hold_id == hold_id, item.c.state == ItemState.HELD.value)
        .values(state=item_state.value)
    )
    conn.execute(h.update().where(h.c.id == hold_id).values(state=state, by=by))
    mark_work(conn, {i.entity: True for i in held})
    _close_if_done(conn, hold_id, at)
    return len(held)


# --- rows and values -----------------------------------------------------------------------


def _hold(row: Any) -> Hold:
    return Hold(
        id=row.id,
        flow=row.flow_id,
        kind=row.kind,
        cause=row.cause_member,
        target=row.target_member,
        state=row.state,
        opened_at=row.opened_at,
        opened_run=row.opened_run,
        reason=row.reason,
        digest=row.digest,
        by=row.by,
        closed_at=row.closed_at,
    )


def _item(row: Any) -> HoldItem:
    return HoldItem(
        entity=row.entity_id,
        member=row.member,
        op_digest=row.op_digest,
        key=row.key,
        summary=codec.loads(row.summary),
        state=ItemState(row.state),
        added_run=row.added_run,
        hold=row.hold_id,
    )
