"""Unlinked records whose id was deleted before (law 12)."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection

from syncd.core import keys
from syncd.core.cases import make_case
from syncd.core.model import Candidate, Case, CaseKind, Choice, EntityState, LinkState
from syncd.core.reappear import Return, judge
from syncd.engine.context import RunContext
from syncd.engine.units import Unit
from syncd.store import conflicts, shadow
from syncd.store.links import Tombstone
from syncd.store.stage import Seen


def returned(context: RunContext, conn: Connection) -> frozenset[int]:
    """Stage ids of those that are no free nodes: suppressed, restored, or asked about."""
    skip: set[int] = set()
    for block in context.stage.free():
        by_member: dict[str, list[Seen]] = {}
        for seen in block:
            by_member.setdefault(seen.member, []).append(seen)
        for member, found in by_member.items():
            gone = shadow.tombstones(conn, context.flow, member, [s.key for s in found])
            for seen in found:
                if seen.key in gone and not _is_new(context, conn, gone[seen.key][-1], seen):
                    skip.add(seen.id)
    return frozenset(skip)


def _is_new(context: RunContext, conn: Connection, tomb: Tombstone, seen: Seen) -> bool:
    """Whether the record is another thing under an old id; else it is dealt with here."""
    if seen.record is None:
        return False
    rules = context.rules
    verdict = judge(tomb.link, tomb.gone_at, seen.record, context.now, rules.grace)
    if verdict is Return.NEW:
        return True
    if verdict is Return.REVIEW:
        case = _question(seen)
        said = [d for d in context.said(conn) if d.digest == case.digest]
        if not said:
            context.identity_cases.append((conflicts.NO_ENTITY, case))
            return False
        context.used.append(said[-1].id)
        if said[-1].choice is not Choice.KEEP:
            return True
        verdict = Return.RESTORED
    if verdict is Return.RESTORED:
        _restore(context, conn, tomb, seen)
    else:
        shown = keys.show(seen.key)
        context.say("info", f"{seen.member} {shown} was deleted; it is back and suppressed for now")
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
