"""Unlinked records whose id was deleted before (law 12)."""

from __future__ import annotations

from sqlalchemy import Connection

from syncd.core.cases import make_case
from syncd.core.model import (
    Candidate,
    Case,
    CaseKind,
    Choice,
    Decision,
    Entity,
    Link,
)
from syncd.core.reappear import Return, judge, restored
from syncd.engine.context import RunContext
from syncd.engine.result import Named
from syncd.engine.units import Unit
from syncd.store import shadow
from syncd.store.links import Tombstone
from syncd.store.stage import Seen


def returned(context: RunContext, conn: Connection) -> None:
    """Those that are suppressed, restored or asked about are no free nodes any more."""
    suppressed = Named()
    for block in context.stage.free_names():
        by_member: dict[str, list[tuple[int, str]]] = {}
        for number, member, key in block:
            by_member.setdefault(member, []).append((number, key))
        for member, names in by_member.items():
            gone = shadow.tombstones(conn, context.flow, member, [key for _, key in names])
            found = context.stage.seen([number for number, key in names if key in gone])
            context.stage.answer(
                seen.id
                for seen in found
                if not _is_new(context, conn, gone[seen.key][-1], seen, suppressed)
            )
    if suppressed:
        context.report.suppressed = max(context.report.suppressed, suppressed.count)
        verb = "were deleted; they are" if suppressed.count > 1 else "was deleted; it is"
        context.say("info", f"{suppressed} {verb} back and suppressed for now")


def _is_new(
    context: RunContext, conn: Connection, tomb: Tombstone, seen: Seen, suppressed: Named
) -> bool:
    """Whether the record is another thing under an old id; else it is dealt with here."""
    if seen.record is None or seen.entity:
        return False
    verdict, said = _verdict(context, conn, tomb, seen)
    if verdict is Return.RESTORED:
        entity = _entity(context, conn, tomb)
        if seen.member in entity.links:
            return True  # it lives with another record there
        if any(_undecided(context, conn, entity, link, seen) for link in entity.gone):
            # were it to live now, a second record would be made beside that one
            verdict = Return.STALE if said is None else Return.REVIEW
        else:
            _restore(context, entity, tomb, seen)
    if verdict is Return.STALE:
        suppressed.add(seen.member, seen.key)
    elif verdict is Return.REVIEW:
        context.stage.add_cases([_question(seen)])
    elif said is not None:
        context.stage.use(said.id)
    return verdict is Return.NEW


def _verdict(
    context: RunContext, conn: Connection, tomb: Tombstone, seen: Seen
) -> tuple[Return, Decision | None]:
    """What it is, and what a person said of that; REVIEW: nobody has answered yet."""
    assert seen.record is not None
    shows = context.begun.shows.get(seen.member)
    if shows is not None and shows < tomb.link.moved_tick:
        return Return.STALE, None  # a copy that lags: what stood there before may still be shown
    verdict = judge(tomb.link, tomb.gone_at, seen.record, context.now, context.rules.grace)
    if verdict is not Return.REVIEW:
        return verdict, None
    said = context.said(conn, _question(seen))
    if said is None:
        return verdict, None
    return (Return.RESTORED if said.choice is Choice.KEEP else Return.NEW), said


def _entity(context: RunContext, conn: Connection, tomb: Tombstone) -> Entity:
    """As it stands by now: another of its records may be back as well."""
    for unit in context.stage.units_of([tomb.entity_id]):
        found: Entity = unit.entity
        return found
    (stored,) = shadow.load_entities(conn, context.flow, [tomb.entity_id])
    return stored


def _undecided(
    context: RunContext, conn: Connection, entity: Entity, gone: Link, seen: Seen
) -> bool:
    """Whether the record that this entity had at another member is back there, too, and nobody
    knows as what."""
    if gone.member == seen.member:
        return False
    for other in context.stage.unlinked(gone.member, gone.key):
        if other.status != "seen":
            return True
        (tomb,) = shadow.tombstones(conn, context.flow, other.member, [other.key])[other.key][-1:]
        if tomb.entity_id != entity.id:
            continue
        if _verdict(context, conn, tomb, other)[0] in (Return.STALE, Return.REVIEW):
            return True
    return False


def _restore(context: RunContext, entity: Entity, tomb: Tombstone, seen: Seen) -> None:
    """The same entity lives again."""
    alive = restored(entity, tomb.link)
    context.stage.add_units([(entity.id, Unit(alive, (seen.id,)))])
    context.stage.adopt([seen.id], entity.id)


def _question(seen: Seen) -> Case:
    fields = dict(seen.record.fields) if seen.record is not None else {}
    shown = (Candidate(seen.member, fields, seen.key),)
    reason = f"a deleted id of {seen.member} is back, and nothing tells whether it is the same"
    return make_case(CaseKind.REAPPEARED, (), shown, reason)
