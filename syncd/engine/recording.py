"""Guard and journal: limits on the whole plan, then the plan into the store in chunks, each one
transaction: agreed values, the bases of their changes and the operations together (law 7)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from sqlalchemy import Connection

from syncd.adapter import NativeFields
from syncd.core.guard import Measure, Trip, measures, trips
from syncd.core.model import Entity, Link, Operation, OpKind
from syncd.core.packing import pack
from syncd.engine.context import RunContext
from syncd.engine.failpoint import failpoint
from syncd.engine.holding import SETTLE_FIRST, Holding, Tripped, list_moved
from syncd.engine.planning import PLANNED_TICK, Draft, PlanTotals
from syncd.engine.result import Named, PlannedOperation
from syncd.errors import SystemFault
from syncd.store import conflicts, events, holds, journal, quarantine, runs, shadow
from syncd.store.events import Event
from syncd.store.holds import HoldItem, ItemState
from syncd.store.runs import GuardCount

_CHUNK = 500
_NAMED = 5  # records that one message names


def guard(context: RunContext, conn: Connection, totals: PlanTotals) -> dict[Measure, Trip]:
    """The limits this plan passes; what a rebuilt state may not do without a person too."""
    rules = context.rules
    if not totals.measures:
        return {}
    now, seconds = context.begun.moment, context.open.compiled.guard_window
    window = runs.window(conn, context.flow, now, seconds)
    live = shadow.live_links(conn, context.flow)
    if context.bare is None:  # planning records that moved once more does not ask again
        context.bare = frozenset(name for name in rules.members if not live.get(name))
    found = {(t.kind, t.cause, t.target): t for t in trips(rules, totals.measures, window, live)}
    open_holds = holds.holds(conn, context.flow) if context.matters.holds else []
    asked = {(hold.kind, hold.cause): hold.id for hold in open_holds}
    for measure, taken in totals.measures.items():
        kind, cause, target = measure
        if (kind, cause) in asked and measure not in found:
            reason = f"hold {asked[kind, cause]} is open: {SETTLE_FIRST}"
            found[measure] = Trip(kind, cause, target, taken, 0, live.get(target, 0), reason)
    if context.begun.relinking:
        for measure, taken in totals.measures.items():
            kind, cause, target = measure
            if kind in ("create", "delete") and measure not in found:
                reason = "the state was rebuilt: it cannot know what was deleted or never linked"
                links = live.get(target, 0)
                found[measure] = Trip(kind, cause, target, taken, 0, links, reason)
    return found


def held_by(draft: Draft, tripped: Tripped) -> str:
    """The kind that holds this entity; it waits whole."""
    for operation, digest in zip(draft.plan.operations, draft.digests, strict=True):
        if digest in draft.approved:
            continue
        for measure in measures(operation):
            if measure in tripped:
                return measure[0]
    return ""


def of_saved(context: RunContext, draft: Draft) -> bool:
    """Whether a saved plan, where one is carried out, has everything this entity comes to. One
    operation more, for another field edited since, is not what somebody looked at."""
    only = context.options.only
    return only is None or only.issuperset(draft.digests)


def left_out(context: RunContext, tripped: Tripped) -> list[str]:
    """Operations of the saved plan that are not planned now exactly so: their records moved, or
    a guard holds them."""
    found: set[str] = set()
    for block in context.stage.drafts():
        for draft in block:
            if of_saved(context, draft) and not held_by(draft, tripped):
                found.update(draft.digests)
    return sorted((context.options.only or frozenset()) - found)


def preview(context: RunContext, tripped: Tripped) -> Iterator[PlannedOperation]:
    """What this run is about, operation by operation, for people and saved plans."""
    for block in context.stage.drafts():
        for draft in block:
            if not of_saved(context, draft):
                continue
            held = held_by(draft, tripped)
            for planned in draft.planned():
                yield replace(planned, held=held)


def record(context: RunContext, tripped: Tripped) -> None:
    """Everything that is not held into the store; what is held onto its holds."""
    holding = Holding(context, tripped)
    moved = Named()
    for block in context.stage.drafts():
        for start in range(0, len(block), _CHUNK):
            chunk: list[Draft] = []
            for draft in block[start : start + _CHUNK]:
                kind = held_by(draft, tripped)
                if not of_saved(context, draft):
                    continue
                if kind:
                    holding.hold(draft)
                else:
                    chunk.append(draft)
            holding.run(chunk)
            _record(context, chunk, moved)
    holding.finish(moved)
    list_moved(context, moved)


def _record(context: RunContext, drafts: Sequence[Draft], moved: Named) -> None:
    """Adds to `moved` held operations that a person had approved and that no longer hold."""
    if not drafts:
        return
    context.beat()
    stands = _standing(context, drafts)
    store, flow, run, at = context.store, context.flow, context.number, context.at
    with store.write(context.fence) as conn:
        tick = store.tick(conn)
        entities = [_stamped(draft.plan.entity, tick) for draft in drafts]
        saved = [
            (draft, entity)
            for draft, entity in zip(drafts, entities, strict=True)
            if draft.plan.changed or not entity.id
        ]
        ids = shadow.save_entities(
            conn,
            flow,
            [shadow.Save(entity, draft.keys, draft.work) for draft, entity in saved],
            run=run,
            at=at,
        )
        number = {id(d): i for (d, _), i in zip(saved, ids, strict=True)}
        of = [number.get(id(draft), draft.plan.entity.id) for draft in drafts]
        shadow.mark_work(
            conn,
            {
                i: draft.work
                for draft, i in zip(drafts, of, strict=True)
                if id(draft) not in number and draft.work != draft.was_open
            },
        )
        solved = [(i, m) for draft, i in zip(drafts, of, strict=True) for m in draft.solved]
        quarantine.solve(conn, flow, solved)
        used = [i for draft in drafts for i in draft.plan.used]
        voided = [i for draft in drafts for i in draft.plan.voided]
        conflicts.use(conn, used, run=run)
        conflicts.void(conn, voided)
        conflicts.sync_cases(
            conn,
            flow,
            {i: draft.plan.cases for draft, i in zip(drafts, of, strict=True)},
            run=run,
            at=at,
        )
        by_state: dict[ItemState, list[HoldItem]] = {}
        for draft in drafts:
            for item, state in draft.settled:
                by_state.setdefault(state, []).append(item)
        for state, items in by_state.items():
            holds.settle(conn, items, state, at=at)
        entries = [
            _entry(context, i, operation, stands)
            for draft, i in zip(drafts, of, strict=True)
            for operation in draft.plan.operations
        ]
        recorded = journal.record(conn, flow, entries)
        if recorded and not context.first_entry:
            context.first_entry = recorded[0]
        context.recorded.update((e.operation.member, e.operation.kind) for e in entries)
        events.record(
            conn,
            flow,
            [e for draft, i in zip(drafts, of, strict=True) for e in _notes(context, draft, i)],
        )
        counted: dict[Measure, int] = {}
        for draft in drafts:
            for operation, digest in zip(draft.plan.operations, draft.digests, strict=True):
                # what a person approved is answered for: the window is for what nobody saw
                bare = operation.kind is OpKind.CREATE and operation.member in (context.bare or ())
                if bare or digest in draft.approved:
                    continue
                for measure in measures(operation):
                    counted[measure] = counted.get(measure, 0) + 1
        told = [GuardCount(*m, n) for m, n in counted.items()]
        runs.count(conn, flow, run, told, now=context.begun.moment)
        failpoint("recording")
    for draft in drafts:
        for item, state in draft.settled:
            if state is ItemState.MOVED and item.state is ItemState.APPROVED:
                moved.add(item.member, item.key)


Stands = Mapping[tuple[str, str | None], NativeFields]


def _standing(context: RunContext, drafts: Sequence[Draft]) -> Stands:
    """Rows as they stand now, for updates through a lens that joins columns: it keeps what the
    new value leaves as it was (a family name of several words). Without them it splits anew."""
    wanted: dict[str, list[str]] = {}
    for draft in drafts:
        for operation in draft.plan.operations:
            joined = context.open.compiled.members[operation.member].mapping.joined
            if operation.kind is OpKind.UPDATE and operation.key and joined & set(operation.fields):
                wanted.setdefault(operation.member, []).append(operation.key)
    found: dict[tuple[str, str | None], NativeFields] = {}
    for member, wanted_keys in wanted.items():
        with suppress(SystemFault):
            for row in context.readers[member].endpoint.get(wanted_keys):
                found[member, row.key] = row.values
    return found


def _entry(
    context: RunContext, entity: int, operation: Operation, stands: Stands
) -> journal.JournalEntry:
    member = context.open.compiled.members[operation.member]
    create = operation.kind is OpKind.CREATE
    native = None
    if operation.kind is OpKind.UPDATE:
        current = stands.get((operation.member, operation.key), {})
        native = pack(member.mapping.to_native(operation.fields, current))
    return journal.JournalEntry(
        0,
        context.seams.ids.new(),
        context.number,
        entity,
        operation,
        native=native,
        fingerprint=context.rules.members[operation.member].fingerprint,
        derived=create,
    )


def _notes(context: RunContext, draft: Draft, entity: int) -> Iterator[Event]:
    for note in draft.plan.notes:
        yield Event(
            context.number,
            context.at,
            str(note.kind),
            entity,
            note.member or None,
            after=dict(note.values) or None,
            reason=note.text,
        )


def _stamped(entity: Entity, tick: int) -> Entity:
    """The planner said "when this is recorded"; that is now."""
    if not any(link.moved_tick == PLANNED_TICK for link in (*entity.links.values(), *entity.gone)):
        return entity

    def stamped(link: Link) -> Link:
        return replace(link, moved_tick=tick) if link.moved_tick == PLANNED_TICK else link

    links = {name: stamped(link) for name, link in entity.links.items()}
    return replace(entity, links=links, gone=tuple(stamped(link) for link in entity.gone))
