"""What a guard stopped, until a person says what becomes of it (law 16).

    hold   open ──► approved | discarded ──► closed     every item of it is settled
    item   held ──► approved ──► done | moved           moved: its records changed, it drops out
             ├────► excused | reverted ──► done         discarded, in one of two ways
             └────► moved                               the run plans it no more, or otherwise

One hold is open a flow, kind and causing member; later runs add to it. An approval or discarding
is of the items shown, named together by the hold's digest: nothing unlisted is ever approved.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Any

from sqlalchemy import BindParameter, Connection, Select, bindparam, func, select, tuple_
from sqlalchemy import text as sql

from syncd.core.hashing import digest as digest_of
from syncd.errors import ConfigError
from syncd.store import bulk, codec, tables

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
HOLD_NOT_CLOSED = sql("hold.state != 'closed'")
_WAITING = sql("hold_item.state IN ({})".format(", ".join(f"'{state}'" for state in WAITING)))

_H, _I = tables.hold.c, tables.hold_item.c
_FLOW: BindParameter[Any] = bindparam("flow")
_HOLD: BindParameter[Any] = bindparam("hold")
_FIND_OPEN = select(_H.id).where(
    _H.flow_id == _FLOW, _H.kind == bindparam("kind"), _H.cause_member == bindparam("cause"), _OPEN
)
_NOT_CLOSED_IDS = select(_H.id).where(_H.flow_id == _FLOW, HOLD_NOT_CLOSED).order_by(_H.id)
_HOLDS = select(tables.hold).order_by(_H.id)
_STATES = select(_I.entity_id, _I.member, _I.op_digest, _I.state).where(_I.hold_id == _HOLD)
_STATES_OF_STORED = _STATES.where(bulk.among(_I.entity_id, "entities"))
_STATES_OF_NEW = _STATES.where(
    _I.entity_id == 0, _I.member == bindparam("member"), bulk.among(_I.op_digest, "digests")
)
_ITEMS = select(tables.hold_item).join(tables.hold, _H.id == _I.hold_id)
_WAITING_ITEMS = _ITEMS.where(_H.flow_id == _FLOW, HOLD_NOT_CLOSED, _WAITING)
_WAITING_OF = _WAITING_ITEMS.where(bulk.among(_I.entity_id, "entities")).order_by(
    _I.hold_id, _I.entity_id, _I.member
)
_WAITING_OF_KIND = _WAITING_ITEMS.where(_H.kind == bindparam("kind"))
_WAITING_OF_NONE = (
    select(tables.hold_item)
    .where(
        _I.hold_id == _HOLD,
        _I.entity_id == 0,
        _WAITING,
        tuple_(_I.member, _I.op_digest) > tuple_(bindparam("member"), bindparam("digest")),
    )
    .order_by(_I.member, _I.op_digest)
    .limit(bulk.CHUNK)
)
_WAITING_ENTITIES = bulk.page(
    select(_I.entity_id).where(_I.hold_id == _HOLD, _WAITING).distinct(), _I.entity_id
)
# From the end, since items are settled from the beginning: what waits is found at once.
_LAST_WAITING = (
    select(_I.entity_id)
    .where(_I.hold_id == _HOLD, _WAITING)
    .order_by(_I.entity_id.desc(), _I.member.desc(), _I.op_digest.desc())
    .limit(1)
)
_DIGEST = select(_H.digest).where(_H.id == _HOLD)


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
    found = conn.execute(_FIND_OPEN, {"flow": flow, "kind": kind, "cause": cause}).scalar()
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
            bulk.update(conn, hold, ("id",), ("reason",), [(number, reason)])
    wanted = {(i.entity, i.member, i.op_digest): i for i in items}
    before = _states(conn, number, wanted)
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
    _move_digest(conn, number, [mark for mark in wanted if mark not in before], [])
    return number


_Mark = tuple[int, str, str]  # entity, member, operation digest


def _states(conn: Connection, hold_id: int, marks: Collection[_Mark]) -> dict[_Mark, ItemState]:
    """Of every item of these entities; of those not stored yet (0), of these very operations:
    such a hold may have a million others."""
    stored = sorted({entity for entity, _, _ in marks if entity})
    new = sorted({(member, digest) for entity, member, digest in marks if not entity})
    rows = [
        row
        for part in bulk.chunks(stored)
        for row in conn.execute(_STATES_OF_STORED, {"hold": hold_id, "entities": part})
    ]
    for member in {member for member, _ in new}:
        for part in bulk.chunks([digest for of, digest in new if of == member]):
            asked = {"hold": hold_id, "member": member, "digests": part}
            rows += conn.execute(_STATES_OF_NEW, asked)
    return {(row.entity_id, row.member, row.op_digest): ItemState(row.state) for row in rows}


def set_states(conn: Connection, hold_id: int, states: Mapping[_Mark, ItemState]) -> None:
    before = _states(conn, hold_id, states)
    was = {mark for mark in states if before.get(mark) is ItemState.HELD}
    shall = {mark for mark, state in states.items() if state is ItemState.HELD and mark in before}
    _move_digest(conn, hold_id, shall - was, was - shall)
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
    found: dict[int, list[HoldItem]] = {}
    for part in bulk.chunks(sorted(set(entities))):
        for row in conn.execute(_WAITING_OF, {"flow": flow, "entities": part}):
            found.setdefault(row.entity_id, []).append(_item(row))
    return found


def waiting_of_kind(conn: Connection, flow: int, kind: str) -> list[HoldItem]:
    """Items of this kind that no run has settled: for a kind with an item a member."""
    # The few there are are sorted here: asked to, SQLite walks through every item of every hold.
    rows = conn.execute(_WAITING_OF_KIND, {"flow": flow, "kind": kind})
    return sorted((_item(row) for row in rows), key=lambda item: (item.hold, item.member))


def waiting_of_none(conn: Connection, flow: int) -> Iterator[list[HoldItem]]:
    """`waiting` of entities that are not stored yet, in blocks, hold by hold."""
    for number in conn.execute(_NOT_CLOSED_IDS, {"flow": flow}).scalars().all():
        last = ("", "")
        while True:
            asked = {"hold": number, "member": last[0], "digest": last[1]}
            rows = conn.execute(_WAITING_OF_NONE, asked).all()
            if rows:
                yield [_item(row) for row in rows]
            if len(rows) < bulk.CHUNK:
                break
            last = (rows[-1].member, rows[-1].op_digest)


def waiting_entities(conn: Connection, flow: int) -> Iterator[list[int]]:
    """Entities with items that no run has settled, ascending, in blocks, hold by hold; those not
    stored yet left out."""
    for number in conn.execute(_NOT_CLOSED_IDS, {"flow": flow}).scalars().all():
        for block in bulk.pages(conn, _WAITING_ENTITIES, {"hold": number}):
            yield [entity for (entity,) in block]


def settle(conn: Connection, items: Iterable[HoldItem], state: ItemState, *, at: str) -> None:
    """A run is through with these items (`.hold` says of which hold): DONE or MOVED. A hold of
    which nothing waits any more closes."""
    by_hold: dict[int, dict[_Mark, ItemState]] = {}
    for i in items:
        by_hold.setdefault(i.hold, {})[i.entity, i.member, i.op_digest] = state
    for number, states in by_hold.items():
        set_states(conn, number, states)
        _close_if_done(conn, number, at)


def _move_digest(
    conn: Connection, hold_id: int, held: Iterable[_Mark], left: Iterable[_Mark]
) -> None:
    """The digest of a hold is the sum of its held items': a run that adds to a hold of a million,
    or takes from it, need not read them all again."""
    change = sum(_number(mark) for mark in held) - sum(_number(mark) for mark in left)
    if change:
        before = conn.execute(_DIGEST, {"hold": hold_id}).scalar_one()
        value = (int(before or "0", 16) + change) % (1 << 128)
        bulk.update(conn, tables.hold, ("id",), ("digest",), [(hold_id, f"{value:032x}")])


def _number(mark: _Mark) -> int:
    return int(digest_of(list(mark)), 16)


def _close_if_done(conn: Connection, hold_id: int, at: str) -> None:
    if conn.execute(_LAST_WAITING, {"hold": hold_id}).first() is None:
        done = [(hold_id, CLOSED, at)]
        bulk.update(conn, tables.hold, ("id",), ("state", "closed_at"), done)


# --- what people see -----------------------------------------------------------------------


def holds(conn: Connection, flow: int | None = None, *, state: str | None = OPEN) -> list[Hold]:
    """Oldest first; state None: all that ever were."""
    asked = {"flow": flow, "state": state}
    asked = {name: value for name, value in asked.items() if value is not None}
    return [_hold(row) for row in conn.execute(_holds(frozenset(asked)), asked)]


@cache
def _holds(asked: frozenset[str]) -> Select[Any]:
    """By what is asked for; one statement each, which is then known."""
    query = _HOLDS
    if "flow" in asked:
        query = query.where(_H.flow_id == bindparam("flow"))
    if "state" in asked:
        query = query.where(_H.state == bindparam("state"))
    return query


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
    if revert and found is not None and not revertible(found):
        why = f"no member's change is behind this hold of kind {found.kind}"
        hint = "discard without --revert leaves those records alone"
        if found.kind == "create":
            why = "making a record is not taken back: that would delete it where somebody made it"
            hint += f"; delete them in {found.cause or 'their system'} if they shall go"
        raise ConfigError(why, code="SY0189", where=f"hold {hold_id}", hint=hint)
    state = ItemState.REVERTED if revert else ItemState.EXCUSED
    return _answer(conn, hold_id, digest, DISCARDED, state, by, at)


def revertible(found: Hold) -> bool:
    """Whether there is a change of a member behind it that can be taken back where it was made."""
    return bool(found.cause) and found.kind not in ("create", "empty")


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
    item, h, entity = tables.hold_item, tables.hold, tables.entity
    held = (item.c.hold_id == hold_id, item.c.state == ItemState.HELD.value)
    entities = select(item.c.entity_id).where(*held)
    conn.execute(entity.update().where(entity.c.id.in_(entities)).values(work=1))
    answered = conn.execute(item.update().where(*held).values(state=item_state.value)).rowcount
    conn.execute(h.update().where(h.c.id == hold_id).values(state=state, by=by))
    _close_if_done(conn, hold_id, at)
    return answered


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
