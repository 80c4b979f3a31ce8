"""What a run leaves behind: the plan shown, what was read remembered, its own end recorded."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from sqlalchemy import Connection

from syncd.config.compile_member import uncreatable
from syncd.core import hashing
from syncd.engine import planning, recording
from syncd.engine.context import RunContext
from syncd.engine.holding import Tripped
from syncd.engine.result import RunMode, RunReport, RunState
from syncd.errors import SyncdError
from syncd.seams import instant_text
from syncd.store import (
    conflicts,
    holds,
    journal,
    lease,
    matters,
    moments,
    quarantine,
    runs,
    shadow,
)
from syncd.store.lease import Fence


def show(context: RunContext, totals: planning.PlanTotals, tripped: Tripped) -> None:
    some = context.options.only is not None  # and not the whole plan, which the totals count
    for (member, kind), n in () if some else totals.kinds.items():
        context.report.members[member].planned[kind] = n
    for planned in recording.preview(context, tripped):
        if len(context.report.operations) < context.options.keep:
            context.report.operations.append(planned)
        elif not (some or context.options.dry_run):
            break
        if context.options.dry_run:
            context.options.planned(planned)
            context.report.members[planned.operation.member].held += bool(planned.held)
        if some:
            counts = context.report.members[planned.operation.member].planned
            kind = str(planned.operation.kind)
            counts[kind] = counts.get(kind, 0) + 1


def remember_reading(context: RunContext) -> None:
    """Once the changes up to it are in the journal, a cursor may advance."""
    with context.store.write(context.fence) as conn:
        known = shadow.members(conn, context.flow)
        full = context.options.mode is RunMode.FULL
        whole = all(p.complete for p in context.pulled.values())
        # what was planned and not recorded has to be read again, under the mapping before it too
        left = context.options.only is not None
        held = left or any(m.held for m in context.report.members.values())
        for name, pulled in context.pulled.items():
            if not pulled.read or pulled.empty or context.options.mode is RunMode.ENTITY:
                continue
            state = known[name]
            listed_at = context.at if pulled.complete or pulled.keyed else state.listed_at
            shadow.save_member(
                conn,
                context.flow,
                replace(
                    state,
                    cursor=(state.cursor if left else pulled.cursor) or state.cursor,
                    last_full_at=context.at if pulled.complete else state.last_full_at,
                    listed_at=None if name in context.unlisted else listed_at,
                    fingerprint=context.rules.members[name].fingerprint
                    if (pulled.complete and not held) or not state.fingerprint
                    else state.fingerprint,
                ),
            )
        if full and whole and not left:
            shadow.set_flow_fingerprint(conn, context.flow, context.open.compiled.fingerprint)
        for used in context.stage.used():
            conflicts.use(conn, used, run=context.number)
        for cases in context.stage.cases():
            conflicts.sync_cases(
                conn, context.flow, {conflicts.NO_ENTITY: cases}, run=context.number, at=context.at
            )
        if full and whole:
            conflicts.close_unseen(conn, context.flow, run=context.number)
        _set_aside(context, conn)


def _set_aside(context: RunContext, conn: Connection) -> None:
    """Records with a value that cannot be represented: in quarantine, the rest goes on (I12).
    Those of no entity come out of it once they are read; the others when they are planned."""
    for block in context.stage.set_aside():
        refused = []
        for seen in block:
            digest = hashing.digest(["unreadable", seen.member, seen.key, seen.reason])
            refused.append(
                quarantine.Refused(seen.entity, seen.member, digest, seen.reason, seen.key)
            )
            context.report.members[seen.member].rejected += 1
        quarantine.put(conn, context.flow, refused, at=context.at)
    for name in sorted(quarantine.unlinked(conn, context.flow)):
        if name in context.pulled and context.pulled[name].complete:
            still = partial(context.stage.unreadable_among, name)
            quarantine.solve_unlinked(conn, context.flow, name, still)


def judge(context: RunContext, conn: Connection) -> None:
    """The run's state, from what stands open in the flow now."""
    report = context.report
    if report.state is RunState.PLANNED:
        return
    _say_left_out(context, conn)
    flow, some = context.flow, matters.look(conn, context.flow)
    report.conflicts = conflicts.count_open(conn, flow) if some.cases else 0
    report.holds = len(holds.holds(conn, flow)) if some.holds else 0
    report.quarantined = quarantine.count(conn, flow) if some.refused else 0
    report.unknown = journal.unsettled_count(conn, flow) if some.unknown else 0
    work = shadow.open_work(conn, flow) if some.work else ()
    report.pending = sum(len(ids) for ids in work)
    if any(m.error for m in report.members.values()):
        report.state = RunState.FAILED
    elif (
        report.conflicts
        or report.holds
        or report.quarantined
        or report.unknown
        or any(p.empty for p in context.pulled.values())
    ):
        report.state = RunState.NEEDS_PERSON
    else:
        report.state = RunState.DONE


def _say_left_out(context: RunContext, conn: Connection) -> None:
    """Nothing fails where a member cannot be given records, so nothing else would tell."""
    for name, rules in context.rules.members.items():
        if not rules.mode.is_target or rules.creates or name in context.open.failed:
            continue
        if left := shadow.count_without(conn, context.flow, name):
            why = "; ".join(uncreatable(context.open.compiled.members[name]))
            records = "1 record is" if left == 1 else f"{left} records are"
            context.say("warning", f"{records} not made in {name}: {why}")


def finish(context: RunContext, fence: Fence, error: SyncdError | None) -> None:
    """Its end, recorded in the transaction that gives the flow back. error: what it ended by."""
    with lease.releasing(context.store, fence) as conn:
        if error is None:
            judge(context, conn)
        _record_end(context, conn, error)
        if context.begun.shows:
            now = moments.here(conn, context.seams, fence.holder)
            moments.note(conn, context.flow, now, context.store.last_tick(conn))


def _record_end(context: RunContext, conn: Connection, error: SyncdError | None) -> None:
    report = context.report
    state = runs.RunState.DONE
    if report.state is RunState.FAILED:
        state = runs.RunState.FAILED
    elif report.state is RunState.INTERRUPTED:
        state = runs.RunState.INTERRUPTED
    counts = {
        "read": sum(m.read for m in report.members.values()),
        "created": sum(m.created for m in report.members.values()),
        "updated": sum(m.updated for m in report.members.values()),
        "deleted": sum(m.deleted for m in report.members.values()),
        "rejected": sum(m.rejected for m in report.members.values()),
        "conflicts": report.conflicts,
        "holds": report.holds,
        "suppressed": report.suppressed,
    }
    runs.finish(
        conn,
        context.number,
        state,
        at=instant_text(context.seams.clock.now()),
        counts=counts,
        exit=report.exit_code if error is None else error.exit_code,
        error=error.message if error is not None else _troubles(report),
    )


def _troubles(report: RunReport) -> str:
    """What kept members from taking part."""
    return "; ".join(f"{name}: {m.error}" for name, m in report.members.items() if m.error)
