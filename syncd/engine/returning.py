"""Unlinked records whose id was deleted before (law 12)."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection

from syncd.core.cases import make_case
from syncd.core.model import Candidate, Case, CaseKind, Choice, EntityState, LinkState
from syncd.core.reappear import Return, judge
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
        verb = "were deleted; they are" if suppressed.count > 1 else "was deleted; it is"
        context.say("info", f"{suppressed} {verb} back and suppressed for now")


def _is_new(
    context: RunContext, conn: Connection, tomb: Tombstone, seen: Seen, suppressed: Named
) -> bool:
    """Whether the record is another thing under an old id; else it is dealt with here."""
    if seen.record is None:
        return False
    rules = context.rules
    verdict = judge(tomb.link, tomb.gone_at, seen.record, context.now, rules.grace)
    if verdict is Return.NEW:
        return True
    if verdict is Return.REVIEW:
        case = _question(seen)
        said = context.said(conn, case)
        if said is None:
            context.stage.add_cases([case])
            return False
        context.stage.use(said.id)
        if said.choice is not Choice.KEEP:
            return True
        verdict = Return.RESTORED
    if verdict is Return.RESTORED:
        _restore(context, conn, tomb, seen)
    else:
        suppressed.add(seen.member, seen.key)
    return False


def _restore(context: RunContext, conn: Connection, tomb: Tombstone, seen: Seen) -> None:
    """The same entity lives again: relinked here, made again once at the others."""
    (entity,) = shadow.load_entities(conn, context.flow, [tomb.entity_id])
    link = replace(tomb.link, state=LinkState.LIVE, row_hash=None)
    links = {**entity.links, seen.member: link}
    alive = replace(entity, state=EntityState.LIVE, links=links, gone=())
    context.stage.add_units([(entity.id, Unit(alive, (seen.id,)))])
    context.stage.adopt([seen.id], entity.id)


def _question(seen: Seen) -> Case:
    fields = dict(seen.record.fields) if seen.record is not None else {}
    shown = (Candidate(seen.member, fields, seen.key),)
    reason = f"a deleted id of {seen.member} is back, and nothing tells whether it is the same"
    return make_case(CaseKind.REAPPEARED, (), shown, reason)
