"""Guard and journal: limits on the whole plan, then the plan into the store in chunks, each one
transaction: agreed values, the bases of their changes and the operations together (law 7)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import Connection

from syncd.adapter import NativeFields
from syncd.core import keys
from syncd.core.guard import Measure, Trip, kinds, measures, trips
from syncd.core.model import Entity, Operation, OpKind
from syncd.core.packing import pack
from syncd.engine.collect import empty_digest
from syncd.engine.context import RunContext
from syncd.engine.planning import PLANNED_TICK, Draft, PlanTotals
from syncd.engine.result import PlannedOperation, RunMode
from syncd.errors import SystemFault
from syncd.store import conflicts, events, holds, journal, quarantine, runs, shadow
from syncd.store.events import Event
from syncd.store.holds import HoldItem, ItemState
from syncd.store.runs import GuardCount

_CHUNK = 500
_NAMED = 5  # records that one message names
Tripped = Mapping[Measure, Trip]


def guard(context: RunContext, conn: Connection, totals: PlanTotals) -> dict[Measure, Trip]:
    """The limits this plan passes; what a rebuilt state may not do without a person too."""
    rules = context.rules
    since = context.now - timedelta(seconds=context.open.compiled.guard_window)
    window = runs.window(conn, context.flow, since=since.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
    live = shadow.live_links(conn, context.flow) if totals.measures else {}
    if context.bare is None:  # planning records that moved once more does not ask again
        context.bare = frozenset(name for name in rules.members if not live.get(name))
    found = {(t.kind, t.cause, t.target): t for t in trips(rules, totals.measures, window, live)}
    asked = {(hold.kind, hold.cause): hold.id for hold in holds.holds(conn, context.flow)}
    for measure, taken in totals.measures.items():
        kind, cause, target = measure
        if (kind, cause) in asked and measure not in found:
            reason = f"hold {asked[kind, cause]} is open: a person has to settle it first"
            found[measure] = Trip(kind, cause, target, taken, 0, live.get(target, 0), reason)
    if context.relinking:
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


def preview(context: RunContext, tripped: Tripped) -> Iterator[PlannedOperation]:
    """The whole plan, operation by operation, for people and saved plans."""
    for block in context.stage.drafts():
        for draft in block:
            held = held_by(draft, tripped)
            for planned in draft.planned():
                yield replace(planned, held=held)


def record(context: RunContext, tripped: Tripped) -> None:
    """Everything that is not held into the store; what is held onto its holds."""
    only = context.options.only
    answered: set[str] = set()
    moved: list[HoldItem] = []
    held: dict[tuple[str, str], list[HoldItem]] = {}
    for block in context.stage.drafts():
        for start in range(0, len(block), _CHUNK):
            chunk: list[Draft] = []
            for draft in block[start : start + _CHUNK]:
                kind = held_by(draft, tripped)
                if only is not None and not set(draft.digests) <= only:
                    continue
                if kind:
                    _hold(draft, tripped, held)
                else:
                    chunk.append(draft)
                    answered.update(draft.digests)
            moved += _record(context, chunk)
    moved += _record_holds(context, tripped, held, answered)
    _list_moved(context, moved)
    if only is not None:
        context.report.moved.extend(sorted(only - answered))


def _record(context: RunContext, drafts: Sequence[Draft]) -> list[HoldItem]:
    """Answers held operations that a person had approved and that no longer hold."""
    if not drafts:
        return []
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
        for draft in drafts:
            for item, state in draft.settled:
                holds.settle(conn, [item], state, at=at)
        entries = [
            _entry(context, i, operation, stands)
            for draft, i in zip(drafts, of, strict=True)
            for operation in draft.plan.operations
        ]
        recorded = journal.record(conn, flow, entries)
        if recorded and not context.first_entry:
            context.first_entry = recorded[0]
        events.record(
            conn,
            flow,
            [e for draft, i in zip(drafts, of, strict=True) for e in _notes(context, draft, i)],
        )
        counted: dict[Measure, int] = {}
        for draft in drafts:
            for operation in draft.plan.operations:
                if operation.kind is OpKind.CREATE and operation.member in (context.bare or ()):
                    continue
                for measure in measures(operation):
                    counted[measure] = counted.get(measure, 0) + 1
        runs.count(conn, flow, run, [GuardCount(*m, n) for m, n in counted.items()], at=at)
    return [
        item
        for draft in drafts
        for item, state in draft.settled
        if state is ItemState.MOVED and item.state is ItemState.APPROVED
    ]


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
    for member, keys in wanted.items():
        with suppress(SystemFault):
            for row in context.readers[member].endpoint.get(keys):
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
    if not any(link.moved_tick == PLANNED_TICK for link in entity.links.values()):
        return entity
    links = {
        name: replace(link, moved_tick=tick) if link.moved_tick == PLANNED_TICK else link
        for name, link in entity.links.items()
    }
    return replace(entity, links=links)


# -- holds -----------------------------------------------------------------------------------


def _hold(draft: Draft, tripped: Tripped, held: dict[tuple[str, str], list[HoldItem]]) -> None:
    for operation, digest in zip(draft.plan.operations, draft.digests, strict=True):
        if digest in draft.approved:
            continue
        for kind in kinds(operation):
            measure = (kind, operation.cause, operation.member)
            if measure in tripped:
                item = HoldItem(
                    draft.plan.entity.id,
                    operation.member,
                    digest,
                    operation.key,
                    _summary(operation),
                )
                held.setdefault((kind, operation.cause), []).append(item)
                break


def _summary(operation: Operation) -> dict[str, object]:
    return {
        "kind": str(operation.kind),
        "cause": operation.cause,
        "before": {n: operation.before.get(n) for n in operation.fields or operation.before},
        "after": dict(operation.fields),
        "reasons": dict(operation.reasons),
    }


def _record_holds(
    context: RunContext,
    tripped: Tripped,
    held: Mapping[tuple[str, str], list[HoldItem]],
    answered: set[str],
) -> list[HoldItem]:
    """One open hold a flow, cause and kind; operations not planned any more drop out. Answers
    those of them that a person had approved."""
    moved: list[HoldItem] = []
    flow, run, at = context.flow, context.number, context.at
    options = context.options
    whole = options.mode is RunMode.FULL and options.only is None
    whole = whole and all(pulled.complete for pulled in context.pulled.values())
    emptied = {name for name, pulled in context.pulled.items() if pulled.empty}
    with context.store.write(context.fence) as conn:
        for name in sorted(emptied):
            items = [HoldItem(0, name, empty_digest(name), None, {"kind": "empty"})]
            reason = "it answered without a single record although records of it are linked"
            holds.add(conn, flow, "empty", name, items, run=run, at=at, reason=reason, target=name)
        for (kind, cause), items in held.items():
            reasons = [t for m, t in tripped.items() if m[:2] == (kind, cause)]
            holds.add(
                conn,
                flow,
                kind,
                cause,
                items,
                run=run,
                at=at,
                reason="; ".join(f"{t.target}: {t.reason}" for t in reasons),
                target=reasons[0].target if len(reasons) == 1 else "",
            )
        still = {item.op_digest for items in held.values() for item in items}
        for item in holds.waiting(conn, flow, [0]).get(0, []):
            if item.op_digest == empty_digest(item.member):
                # stands while nothing is there: what follows from it may be held and asked about
                if context.pulled[item.member].rows:
                    holds.settle(conn, [item], ItemState.DONE, at=at)
            elif item.op_digest in answered:
                holds.settle(conn, [item], ItemState.DONE, at=at)
            elif item.op_digest not in still and (whole or item.state is not ItemState.HELD):
                holds.settle(conn, [item], ItemState.MOVED, at=at)
                moved += [item] if item.state is ItemState.APPROVED else []
    for (kind, cause), items in held.items():
        for item in items:
            context.report.members[item.member].held += 1
        trip = next(t for m, t in tripped.items() if m[:2] == (kind, cause))
        context.say(
            "warning",
            f"{len(items)} {kind} operations caused by {cause or 'a rule'} are held: {trip.reason}",
        )
    return moved


def _list_moved(context: RunContext, moved: Sequence[HoldItem]) -> None:
    """Approved is what was listed, as it stood then (law 16)."""
    if moved:
        named = [f"{item.member} {keys.show(item.key)}" for item in moved[:_NAMED] if item.key]
        more = len(moved) - len(named)
        rest = [f"{more} more"] if more and named else []
        context.say(
            "warning",
            f"{len(moved)} approved operations moved and were not run: "
            + (", ".join(named + rest) or "creates"),
        )
