"""What would stand open after a run that only planned: conflicts it would open or close, holds,
what systems refuse. A dry run says so, and exits as the run itself would."""

from __future__ import annotations

from sqlalchemy import Connection

from syncd.core.guard import kinds
from syncd.core.model import Case
from syncd.engine import recording
from syncd.engine.context import RunContext
from syncd.engine.holding import Tripped
from syncd.engine.planning import Draft
from syncd.engine.result import OpenedCase, RunMode
from syncd.store import conflicts, holds, journal, quarantine
from syncd.store.holds import ItemState

_Mark = tuple[str, str, tuple[str, ...], str]


def foresee(context: RunContext, conn: Connection, tripped: Tripped) -> None:
    """Into the report. That operations go through is taken for granted."""
    opened, closed = 0, 0
    new_holds: set[tuple[str, str]] = set()
    moved: dict[int, int] = {}  # items that drop out, by hold
    freed: set[tuple[int, str]] = set()  # (entity, member) that leave quarantine
    for block in context.stage.drafts():
        sent: dict[int, set[str]] = {}
        for draft in block:
            if recording.held_by(draft, tripped):
                new_holds |= _held(draft, tripped)
                continue
            entity = draft.plan.entity
            before = {_mark(case) for case in entity.cases}
            now = {_mark(case): case for case in draft.plan.cases}
            closed += len(before - set(now))
            for mark, case in now.items():
                if mark not in before:
                    opened += 1
                    _show(context, entity.id, case)
            for item, state in draft.settled:
                if item.state is ItemState.HELD and state is ItemState.MOVED:
                    moved[item.hold] = moved.get(item.hold, 0) + 1
            freed.update((entity.id, member) for member in draft.solved)
            if entity.id:
                sent[entity.id] = {operation.member for operation in draft.plan.operations}
        if context.matters.refused:
            refused = quarantine.blocked(conn, context.flow, [e for e, of in sent.items() if of])
            freed.update((e, m) for e, m in refused if m in sent[e])
    more, less = _of_none(context, conn)
    report = context.report
    report.conflicts = conflicts.count_open(conn, context.flow) + opened - closed + more - less
    report.holds = _holds(context, conn, new_holds, moved)
    report.quarantined = _quarantined(context, conn, freed)
    report.unknown = journal.unsettled_count(conn, context.flow)
    report.wants_person = bool(
        report.conflicts
        or report.holds
        or report.quarantined
        or report.unknown
        or any(pulled.empty for pulled in context.pulled.values())
    )


def _mark(case: Case) -> _Mark:
    return case.kind.value, case.member or "", case.fields, case.digest


def _show(context: RunContext, entity: int, case: Case) -> None:
    if len(context.report.opens) < context.options.keep:
        context.report.opens.append(OpenedCase(entity, case))


def _held(draft: Draft, tripped: Tripped) -> set[tuple[str, str]]:
    """(kind, cause) of the holds that its operations would be put on."""
    found = set()
    for operation, digest in zip(draft.plan.operations, draft.digests, strict=True):
        if digest in draft.approved:
            continue
        for kind in kinds(operation):
            if (kind, operation.cause, operation.member) in tripped:
                found.add((kind, operation.cause))
                break
    return found


def _of_none(context: RunContext, conn: Connection) -> tuple[int, int]:
    """Cases of records that are not linked: how many would be opened, how many closed."""
    there = conflicts.count_open(conn, context.flow, entity=conflicts.NO_ENTITY)
    opened = known = 0
    for cases in context.stage.cases():
        new = conflicts.new_of_none(conn, context.flow, cases)
        for case in new:
            _show(context, conflicts.NO_ENTITY, case)
        opened += len(new)
        known += len(cases) - len(new)
    whole = all(pulled.complete for pulled in context.pulled.values())
    if context.options.mode is RunMode.FULL and whole:
        return opened, there - known
    return opened, sum(len(block) for block in context.stage.used())


def _holds(
    context: RunContext, conn: Connection, new: set[tuple[str, str]], moved: dict[int, int]
) -> int:
    there = holds.holds(conn, context.flow)
    new |= {("empty", name) for name, pulled in context.pulled.items() if pulled.empty}
    left = 0
    for hold in there:
        if (hold.kind, hold.cause) in new:
            continue
        waiting = holds.counts(conn, hold.id).get(ItemState.HELD, 0)
        left += waiting > moved.get(hold.id, 0)
    return len(new) + left


def _quarantined(context: RunContext, conn: Connection, freed: set[tuple[int, str]]) -> int:
    found = {
        (one.refused.entity, one.refused.member, "" if one.refused.entity else one.refused.key)
        for one in quarantine.quarantined(conn, context.flow)
    }
    aside: set[tuple[int, str, str | None]] = set()
    for block in context.stage.set_aside():
        aside |= {(s.entity, s.member, "" if s.entity else s.key) for s in block}
    for entity, member, key in list(found):
        pulled = context.pulled.get(member)
        read_again = not entity and pulled is not None and pulled.complete
        if read_again or (entity, member) in freed:
            found.discard((entity, member, key))
    return len(found | aside)
