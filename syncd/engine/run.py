"""One run of one flow, no loop: pull → detect → link → merge → plan → guard → journal → apply →
settle. Each line of `_way` is one stage, one file."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from pathlib import Path

from syncd.core.link import key_hashes
from syncd.engine import apply, beginning, closing, foresight, linking, planning, recording
from syncd.engine.beginning import Begun, Remember
from syncd.engine.collect import collect
from syncd.engine.context import RunContext
from syncd.engine.failpoint import failpoint
from syncd.engine.holding import Tripped
from syncd.engine.opening import OpenFlow
from syncd.engine.pull import Reader
from syncd.engine.recover import recover
from syncd.engine.result import MemberReport, RunMode, RunOptions, RunReport, RunState
from syncd.engine.returning import returned
from syncd.errors import Interrupted, LeaseLost, SyncdError
from syncd.seams import Holder, Seams
from syncd.store import conflicts, holds, lease, matters, quarantine, shadow, voided
from syncd.store.database import Store
from syncd.store.lease import Alive, Fence
from syncd.store.stage import Stage

# Seconds a lease lasts without a sign of life. The variable is for tests, which cannot wait so long
TTL = float(os.environ.get("SYNCD_LEASE_SECONDS", "60"))
AGAIN = 2  # times that records which moved under the plan are read and planned again


def run_flow(
    flow: OpenFlow,
    remember: Remember,
    store: Store,
    seams: Seams,
    holder: Holder,
    alive: Alive | None,
    options: RunOptions,
    scratch: Path | None = None,
) -> RunReport:
    """Run once. `remember` gives what the store keeps of a member's mapping.

    Raises FlowBusy, StoreError, Interrupted, LeaseLost; everything else is in the report.
    """
    if options.dry_run:
        with store.read() as conn:
            begun = beginning.look(conn, flow, seams, holder)
        return _run(flow, begun, store, seams, None, options, scratch, lambda: seams.sleep(0))
    with lease.acquiring(store, flow.name, holder, TTL, alive) as (conn, fence):
        mode = str(options.mode)
        begun = beginning.begin(conn, flow, remember, seams, holder, fence.epoch, mode=mode)
    keeper = _Keeper(store, fence, seams)
    try:
        return _run(flow, begun, store, seams, fence, options, scratch, keeper.beat)
    finally:
        keeper.release()


class _Keeper:
    """Renews the lease from within the work: a holder that stands still loses it. A stop asked
    for by a person or the system is noticed here too. Called from several tasks."""

    def __init__(self, store: Store, fence: Fence, seams: Seams) -> None:
        self._store, self._fence, self._seams = store, fence, seams
        self._turn = seams.tasks.lock()
        self._next = seams.clock.monotonic() + fence.ttl / 4
        self._lost = False

    def beat(self) -> None:
        self._seams.sleep(0)
        if self._seams.clock.monotonic() < self._next:
            return
        with self._turn:
            now = self._seams.clock.monotonic()
            if now < self._next:
                return
            self._next = now + self._fence.ttl / 4
            try:
                lease.renew(self._store, self._fence)
            except LeaseLost:
                self._lost = True
                raise

    def release(self) -> None:
        if not self._lost:
            lease.release(self._store, self._fence)


def _run(
    flow: OpenFlow,
    begun: Begun,
    store: Store,
    seams: Seams,
    fence: Fence | None,
    options: RunOptions,
    scratch: Path | None,
    beat: Callable[[], None],
) -> RunReport:
    started = seams.clock.monotonic()
    reports = {
        name: MemberReport(name, member.system) for name, member in flow.compiled.members.items()
    }
    report = RunReport(flow.name, begun.run, options.mode, RunState.DONE, reports)
    stage = Stage(scratch, seams.tasks.lock())
    try:
        readers = {
            name: Reader(
                begun.flow,
                flow.compiled.rules.members[name],
                flow.compiled.members[name],
                endpoint,
                flow.former.get(name),
                store,
                stage,
            )
            for name, endpoint in flow.endpoints.items()
            if name not in flow.failed
        }
        context = RunContext(
            flow, begun, store, stage, seams, fence, options, report, readers, beat
        )
        try:
            _way(context)
        except (Interrupted, LeaseLost, SyncdError) as error:
            report.state = (
                RunState.INTERRUPTED if isinstance(error, Interrupted) else RunState.FAILED
            )
            report.messages.append(("error", error.message))
            report.seconds = seams.clock.monotonic() - started
            if fence is not None and not isinstance(error, LeaseLost):
                closing.finish(context, fence, error)
            raise
        report.seconds = seams.clock.monotonic() - started
        if fence is None:
            with store.read() as conn:
                closing.judge(context, conn)
        else:
            _say_void(context)
            failpoint("finishing")
            closing.finish(context, fence, None)
            failpoint("finished")
        return report
    finally:
        stage.close()


def _rekey(context: RunContext) -> None:
    """Under other match rules the entities known have other keys: were they not made anew, what
    the new rules would link would be created a second time."""
    store, fence, number = context.store, context.fence, context.flow
    matching = context.open.compiled.matching
    if context.begun.keyed == matching:
        return
    with store.write(fence) as conn:
        shadow.set_keyed(conn, number, "")
    with store.read() as reading:
        for block in shadow.all_entities(reading, number):
            context.beat()
            keys = {e.id: key_hashes(context.rules, e) for e in block}
            with store.write(fence) as conn:
                shadow.save_keys(conn, number, keys)
    with store.write(fence) as conn:
        shadow.set_keyed(conn, number, matching)


def _say_void(context: RunContext) -> None:
    """Whoever decided a conflict hears that its records moved before the decision was taken."""
    if not context.begun.decisions:
        return
    with context.store.read() as conn:
        found = voided.voided(conn, context.begun.decisions)
    for one in found:
        about = f"{one.by}'s decision on conflict {one.case} ({', '.join(one.fields) or 'record'})"
        if one.again is None:
            context.say("info", f"{about} was not needed: nothing is left to decide")
        else:
            again = f"it waits again: syncd conflicts show {one.again}"
            context.say("warning", f"{about} is void, its records changed since; {again}")


def _way(context: RunContext) -> None:
    """A record's way."""
    if context.fence is not None:
        _rekey(context)
        recover(context)
        failpoint("recovered")
    collect(context)
    failpoint("pulled")
    totals, tripped = _plan(context)
    failpoint("planned")
    if context.options.only is not None:
        context.report.moved = recording.left_out(context, tripped)
    closing.show(context, totals, tripped)
    if context.options.dry_run or (context.options.whole and context.report.moved):
        context.report.state = RunState.PLANNED
        if context.options.only is None:
            _foresee(context, tripped)
        return
    confirm = context.options.confirm
    if confirm is not None and _is_first(context):
        _foresee(context, tripped)
        if not confirm(context.report):
            context.report.state = RunState.PLANNED
            return
    recording.record(context, tripped)
    closing.remember_reading(context)
    failpoint("recorded")
    context.beat()
    stale = apply.apply_all(context)
    for _ in range(AGAIN):
        if not stale or context.options.only is not None:
            break
        context.beat()
        stale = _again(context)
    if stale:
        what = "1 record" if stale == 1 else f"{stale} records"
        context.say("info", f"{what} kept moving; the next run reads them again")


def _foresee(context: RunContext, tripped: Tripped) -> None:
    with context.store.read() as conn:
        foresight.foresee(context, conn, tripped)


def _is_first(context: RunContext) -> bool:
    """Whether this would write into a member of which nothing is linked yet: a first run between
    two filled members, or a load into an empty one."""
    with context.store.read() as conn:
        live = shadow.live_links(conn, context.flow)
    return any(not live.get(name) and m.planned for name, m in context.report.members.items())


def _plan(context: RunContext) -> tuple[planning.PlanTotals, Tripped]:
    flow = context.flow
    with context.store.read() as conn:
        context.matters = matters.look(conn, flow)
        returned(context, conn)
        linking.link(context, conn)
        if context.options.mode is not RunMode.ENTITY:
            for ids in chain(
                shadow.open_work(conn, flow) if context.matters.work else (),
                conflicts.decided_entities(conn, flow) if context.matters.decided else (),
                holds.waiting_entities(conn, flow) if context.matters.holds else (),
                quarantine.due(conn, flow, now=context.at) if context.matters.refused else (),
            ):
                context.stage.add_todo(ids)
        context.stage.todo_seen()
        totals = planning.plan_all(context, conn)
        return totals, recording.guard(context, conn, totals)


def _again(context: RunContext) -> int:
    """Records that moved between plan and write: read, planned and sent once more (S41). Answers
    how many moved again."""
    options = replace(context.options, mode=RunMode.ENTITY, confirm=None)
    stage = Stage(None, context.seams.tasks.lock())
    try:
        readers = {n: replace(r, stage=stage) for n, r in context.readers.items()}
        again = replace(
            context, stage=stage, readers=readers, options=options, pulled={}, first_entry=0,
            recorded=set(),
        )  # fmt: skip
        with context.store.read() as conn:
            tick = context.store.last_tick(conn)
        for name, pulled in context.pulled.items():
            again.pulled[name] = replace(pulled, complete=False, searched=False, tick=tick)
        for ids in context.stage.stale():
            stage.add_todo(ids)
        context.stage.clear_stale()
        totals, tripped = _plan(again)
        if not totals.drafts:
            return 0
        recording.record(again, tripped)
        moved = apply.apply_all(again)
        for ids in stage.stale():
            context.stage.add_stale(ids)
        return moved
    finally:
        stage.close()
