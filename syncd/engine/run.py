"""One run of one flow, no loop: pull → detect → link → merge → plan → guard → journal → apply →
settle. Each line of `_way` is one stage, one file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from sqlalchemy import Connection

from syncd.core import hashing
from syncd.core.link import match_keys
from syncd.core.model import Case, Record
from syncd.engine import apply, linking, planning, recording
from syncd.engine.context import RunContext
from syncd.engine.failpoint import failpoint
from syncd.engine.opening import OpenFlow
from syncd.engine.pull import Pulled, Reader, pull_all, pull_since, search
from syncd.engine.recover import recover
from syncd.engine.result import MemberReport, RunMode, RunOptions, RunReport, RunState
from syncd.engine.returning import returned
from syncd.errors import Interrupted, LeaseLost, SyncdError
from syncd.seams import Holder, Seams
from syncd.store import conflicts, holds, journal, lease, quarantine, rebuild, runs, shadow
from syncd.store.database import Store
from syncd.store.flows import MemberState
from syncd.store.lease import Alive, Fence
from syncd.store.stage import Stage

TTL = 60.0  # seconds a lease lasts without a sign of life
AGAIN = 2  # times that records which moved under the plan are read and planned again


def run_flow(
    flow: OpenFlow,
    remember: Callable[[str], dict[str, object]],
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
        return _run(flow, store, seams, None, options, scratch, "")
    fence = lease.acquire(store, flow.name, holder, TTL, alive)
    keeper = _Keeper(store, fence, seams)
    try:
        _introduce(flow, remember, store, fence)
        store.stamp()
        report = _run(flow, store, seams, fence, options, scratch, str(holder), keeper.beat)
        store.stamp()
        return report
    finally:
        keeper.release()


class _Keeper:
    """Renews the lease from within the work: a holder that stands still loses it."""

    def __init__(self, store: Store, fence: Fence, seams: Seams) -> None:
        self._store, self._fence, self._seams = store, fence, seams
        self._next = seams.clock.monotonic() + TTL / 4
        self._lost = False

    def beat(self) -> None:
        now = self._seams.clock.monotonic()
        if now >= self._next:
            self._next = now + TTL / 4
            try:
                lease.renew(self._store, self._fence)
            except LeaseLost:
                self._lost = True
                raise

    def release(self) -> None:
        if not self._lost:
            try:
                lease.release(self._store, self._fence)
            except LeaseLost:
                self._lost = True


def _introduce(
    flow: OpenFlow, remember: Callable[[str], dict[str, object]], store: Store, fence: Fence
) -> None:
    """The store learns the flow's members, the databases behind them and their mappings."""
    with store.write(fence) as conn:
        number = shadow.flow_id(conn, flow.name)
        before = shadow.members(conn, number)
        for name in flow.compiled.members:
            state = before.get(name, MemberState(name))
            identity = flow.identities.get(name, state.identity)
            if name in flow.failed:
                identity = state.identity
            shadow.save_member(conn, number, replace(state, identity=identity, state="active"))
            digest = flow.compiled.rules.members[name].fingerprint
            shadow.save_fingerprint(conn, number, name, digest, remember(name))
        for name, state in before.items():
            if name not in flow.compiled.members and state.state != "removed":
                shadow.save_member(conn, number, replace(state, state="removed"))
        if shadow.flow_fingerprint(conn, number) != flow.compiled.fingerprint:
            shadow.mark_all_work(conn, number)


def _run(
    flow: OpenFlow,
    store: Store,
    seams: Seams,
    fence: Fence | None,
    options: RunOptions,
    scratch: Path | None,
    holder: str,
    beat: Callable[[], None] = lambda: None,
) -> RunReport:
    begun = seams.clock.monotonic()
    now = seams.clock.now()
    at = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    reports = {
        name: MemberReport(name, member.system) for name, member in flow.compiled.members.items()
    }
    report = RunReport(flow.name, 0, options.mode, RunState.DONE, reports)
    if fence is None:
        with store.read() as conn:
            number = shadow.flow_id(conn, flow.name, create=False)
            relinking = rebuild.relinking(conn, flow.name)
    else:
        with store.write(fence) as conn:
            number = shadow.flow_id(conn, flow.name)
            runs.interrupt(conn, number, at=at)
            report.run = runs.start(conn, number, str(options.mode), at=at, holder=holder)
            relinking = rebuild.relinking(conn, flow.name)
    stage = Stage(scratch, seams.tasks.lock())
    try:
        readers = {
            name: Reader(
                number,
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
            flow, number, report.run, now, store, stage, seams, fence, options, report, readers,
            relinking,
        )  # fmt: skip
        try:
            _way(context, beat)
        except (Interrupted, LeaseLost, SyncdError) as error:
            report.state = (
                RunState.INTERRUPTED if isinstance(error, Interrupted) else RunState.FAILED
            )
            report.messages.append(("error", error.message))
            report.seconds = seams.clock.monotonic() - begun
            if fence is not None and not isinstance(error, LeaseLost):
                _finish(context, error)
            raise
        report.seconds = seams.clock.monotonic() - begun
        _judge(context)
        if fence is not None:
            _finish(context, None)
        return report
    finally:
        stage.close()


def _way(context: RunContext, beat: Callable[[], None]) -> None:
    """A record's way."""
    if context.fence is not None:
        recover(context)
    _pull(context, beat)
    failpoint("pulled")
    totals, tripped = _plan(context)
    failpoint("planned")
    _show(context, totals, tripped)
    if context.options.dry_run:
        context.report.state = RunState.PLANNED
        return
    confirm = context.options.confirm
    if confirm is not None and not confirm(context.report):
        context.report.state = RunState.PLANNED
        return
    recording.record(context, tripped)
    _remember_reading(context)
    failpoint("recorded")
    beat()
    stale = apply.apply_all(context)
    for _ in range(AGAIN):
        if not stale or context.options.only is not None:
            break
        beat()
        stale = _again(context, stale)
    if stale:
        context.say("info", f"{len(stale)} records kept moving; the next run reads them again")


# -- pull ------------------------------------------------------------------------------------


def _pull(context: RunContext, beat: Callable[[], None]) -> None:
    """All members beside each other; then, where not everything was read, the candidates for
    what was found new."""
    for name, error in context.open.failed.items():
        context.pulled[name] = Pulled(name, error=error)
        _note_failure(context, name, error)
    mode = context.options.mode
    works: list[Callable[[], Pulled]] = []
    for name, reader in context.readers.items():
        state = context.open.known.get(name)
        cursor = state.cursor if state is not None else None
        watch = partial(_watch, context, name, beat)
        if mode is RunMode.ENTITY:
            works.append(partial(_pull_one, context, reader))
        elif mode is RunMode.INCREMENTAL and cursor and reader.compiled.spec.cursor:
            works.append(partial(pull_since, reader, cursor, watch))
        else:
            works.append(partial(pull_all, reader, watch))
    for pulled in context.seams.tasks.gather(works, "pull"):
        context.pulled[pulled.member] = pulled
        member = context.report.members[pulled.member]
        member.read = pulled.rows
        if pulled.error is not None:
            if isinstance(pulled.error, Interrupted):
                raise pulled.error
            _note_failure(context, pulled.member, pulled.error)
        if pulled.empty:
            _note_empty(context, pulled.member)
    _search(context, beat)
    context.stage.index_seen()


def _watch(context: RunContext, name: str, beat: Callable[[], None], rows: int) -> None:
    context.options.progress("read", name, rows, None)
    if rows % 50_000 < 1_000:
        beat()


def _pull_one(context: RunContext, reader: Reader) -> Pulled:
    """A single-record run: the record named; the others of its entity are read when planned."""
    assert context.options.record is not None
    member, key = context.options.record
    with context.store.read() as conn:
        tick = context.store.last_tick(conn)
        entity = shadow.entity_of(conn, context.flow, member, key)
    name = reader.rules.name
    if entity is not None:
        context.stage.add_todo([entity])
    elif name == member:
        try:
            rows = reader.endpoint.get([key])
        except SyncdError as error:
            return Pulled(name, tick=tick, error=error)
        for row in rows:
            if not row.deleted:
                record, complaint = reader.record(row, None)
                status = "bad" if complaint else "seen"
                found = (name, key, 0, status, None if complaint else record, complaint)
                context.stage.add_seen([found])
    return Pulled(name, tick=tick, rows=1 if name == member else 0)


def _search(context: RunContext, beat: Callable[[], None]) -> None:
    if all(p.complete or not p.read for p in context.pulled.values()):
        return
    rules = context.rules
    wanted: set[int] = set()
    members: set[str] = set()
    for block in context.stage.free():
        for seen in block:
            members.add(seen.member)
            if seen.record is not None:
                wanted.update(
                    hashing.key_hash(*key) for key in match_keys(rules, seen.record.fields)
                )
    if not members:
        return

    def candidate(record: Record) -> bool:
        return any(hashing.key_hash(*key) in wanted for key in match_keys(rules, record.fields))

    for name, pulled in list(context.pulled.items()):
        if pulled.complete or not pulled.read:
            continue
        try:
            if wanted:
                search(context.readers[name], candidate, partial(_watch, context, name, beat))
            context.pulled[name] = replace(pulled, searched=True)
        except SyncdError as error:
            context.pulled[name] = replace(pulled, error=error)
            _note_failure(context, name, error)


def _note_failure(context: RunContext, name: str, error: SyncdError) -> None:
    member = context.report.members[name]
    member.error, member.code, member.hint = error.message, error.code, error.hint
    context.say("error", f"{name} was not read: {error}")


def _note_empty(context: RunContext, name: str) -> None:
    context.say(
        "warning",
        f"{name} answered without a single record although records of it are linked; "
        "nothing is deleted for it",
    )


# -- link and plan ---------------------------------------------------------------------------


def _plan(context: RunContext) -> tuple[planning.PlanTotals, recording.Tripped]:
    with context.store.read() as conn:
        skip = returned(context, conn)
        linking.link(context, conn, skip)
        if context.options.mode is not RunMode.ENTITY:
            for ids in shadow.open_work(conn, context.flow):
                context.stage.add_todo(ids)
            context.stage.add_todo(conflicts.decided_entities(conn, context.flow))
            context.stage.add_todo(holds.waiting_entities(conn, context.flow))
            context.stage.add_todo(quarantine.due(conn, context.flow, now=context.at))
        context.stage.todo_seen()
        totals = planning.plan_all(context, conn)
        return totals, recording.guard(context, conn, totals)


def _again(context: RunContext, stale: set[int]) -> set[int]:
    """Records that moved between plan and write: read, planned and sent once more (S41)."""
    options = replace(context.options, mode=RunMode.ENTITY, confirm=None)
    stage = Stage(None, context.seams.tasks.lock())
    try:
        readers = {n: replace(r, stage=stage) for n, r in context.readers.items()}
        again = replace_context(context, stage, readers, options)
        with context.store.read() as conn:
            tick = context.store.last_tick(conn)
        for name, pulled in context.pulled.items():
            again.pulled[name] = replace(
                pulled, complete=False, searched=False, empty=False, tick=tick
            )
        stage.add_todo(stale)
        totals, tripped = _plan(again)
        if not totals.drafts:
            return set()
        recording.record(again, tripped)
        return apply.apply_all(again)
    finally:
        stage.close()


def replace_context(
    context: RunContext, stage: Stage, readers: dict[str, Reader], options: RunOptions
) -> RunContext:
    return RunContext(
        context.open, context.flow, context.number, context.seams.clock.now(), context.store,
        stage, context.seams, context.fence, options, context.report, readers, context.relinking,
    )  # fmt: skip


# -- afterwards ------------------------------------------------------------------------------


def _show(context: RunContext, totals: planning.PlanTotals, tripped: recording.Tripped) -> None:
    for (member, kind), n in totals.kinds.items():
        context.report.members[member].planned[kind] = n
    for planned in recording.preview(context, tripped):
        if len(context.report.operations) >= context.options.keep:
            break
        context.report.operations.append(planned)
    if context.options.dry_run:
        for planned in context.report.operations:
            if planned.held:
                context.report.members[planned.operation.member].held += 1


def _remember_reading(context: RunContext) -> None:
    """Once the changes up to it are in the journal, a cursor may advance."""
    with context.store.write(context.fence) as conn:
        known = shadow.members(conn, context.flow)
        full = context.options.mode is RunMode.FULL
        whole = all(p.complete for p in context.pulled.values())
        for name, pulled in context.pulled.items():
            if not pulled.read or pulled.empty or context.options.mode is RunMode.ENTITY:
                continue
            state = known[name]
            shadow.save_member(
                conn,
                context.flow,
                replace(
                    state,
                    cursor=pulled.cursor or state.cursor,
                    last_full_at=context.at if pulled.complete else state.last_full_at,
                    fingerprint=context.rules.members[name].fingerprint
                    if pulled.complete or not state.fingerprint
                    else state.fingerprint,
                ),
            )
        if full and whole:
            shadow.set_flow_fingerprint(conn, context.flow, context.open.compiled.fingerprint)
        conflicts.use(conn, context.used, run=context.number)
        cases: list[Case] = [case for _, case in context.identity_cases]
        conflicts.sync_cases(
            conn, context.flow, {conflicts.NO_ENTITY: cases}, run=context.number, at=context.at
        )
        if full and whole:
            conflicts.close_unseen(conn, context.flow, run=context.number)
        _set_aside(context, conn)


def _set_aside(context: RunContext, conn: Connection) -> None:
    """Records with a value that cannot be represented: in quarantine, the rest goes on (I12)."""
    for block in context.stage.set_aside():
        refused = []
        for seen in block:
            digest = hashing.digest(["unreadable", seen.member, seen.key, seen.reason])
            refused.append(
                quarantine.Refused(seen.entity, seen.member, digest, seen.reason, seen.key)
            )
            context.report.members[seen.member].rejected += 1
        quarantine.put(conn, context.flow, refused, at=context.at)


def _judge(context: RunContext) -> None:
    """The run's state, from what stands open in the flow now."""
    report = context.report
    if report.state is RunState.PLANNED:
        return
    with context.store.read() as conn:
        report.conflicts = len(conflicts.open_cases(conn, context.flow))
        report.holds = len(holds.holds(conn, context.flow))
        report.quarantined = len(quarantine.quarantined(conn, context.flow))
        report.unknown = journal.unsettled_count(conn, context.flow)
        report.pending = sum(len(ids) for ids in shadow.open_work(conn, context.flow))
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


def _finish(context: RunContext, error: SyncdError | None) -> None:
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
    }
    with context.store.write(context.fence) as conn:
        runs.finish(
            conn,
            context.number,
            state,
            at=context.seams.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            counts=counts,
            exit=report.exit_code,
            error=error.message if error is not None else "",
        )
