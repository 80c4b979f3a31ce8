"""Plan: every entity with a difference or open work through the pure planner, onto the stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from syncd.core import hashing
from syncd.core.guard import Measure, measures
from syncd.core.link import key_hashes
from syncd.core.model import (
    Decision,
    Entity,
    EntityPlan,
    EntityState,
    Link,
    LinkState,
    Operation,
    OpKind,
    Read,
    ReadStatus,
)
from syncd.core.plan import plan_entity
from syncd.engine import undo
from syncd.engine.context import RunContext
from syncd.engine.proof import barred
from syncd.engine.reading import ByKey, Fetched, by_key, fetch, reads
from syncd.engine.result import PlannedOperation
from syncd.engine.units import Unit
from syncd.store import conflicts, holds, quarantine, shadow
from syncd.store.holds import HoldItem, ItemState
from syncd.store.quarantine import Quarantined, QuarantineState

CHUNK = 500
PLANNED_TICK = 1 << 60  # stands for the tick of the transaction that will record the plan


@dataclass(frozen=True, slots=True)
class Draft:
    """One entity's plan on its way to the store.

    digests   of its operations, in their order
    approved  of these, the ones a person let through
    settled   hold items that this draft answers, with the state they take
    keys      match key hashes of the entity as it will be
    was_open  the entity was marked as having work
    solved    members whose refused operation is not needed any more
    """

    plan: EntityPlan
    digests: tuple[str, ...]
    approved: frozenset[str]
    settled: tuple[tuple[HoldItem, ItemState], ...]
    keys: tuple[tuple[int, int], ...]
    was_open: bool
    solved: tuple[str, ...] = ()

    @property
    def work(self) -> bool:
        return self.plan.waits or bool(self.plan.operations)

    def planned(self) -> Iterator[PlannedOperation]:
        for operation, digest in zip(self.plan.operations, self.digests, strict=True):
            yield PlannedOperation(self.plan.entity.id, operation, digest)


@dataclass(slots=True)
class PlanTotals:
    """What guards and reports need of the whole plan; operations a person approved count no
    more."""

    measures: dict[Measure, int]
    kinds: dict[tuple[str, str], int]  # (member, kind)
    drafts: int = 0


def plan_all(context: RunContext, conn: Connection) -> PlanTotals:
    """Everything staged, in blocks."""
    totals = PlanTotals({}, {})
    if context.matters.holds:
        for items in holds.waiting_of_none(conn, context.flow):
            context.stage.add_waiting((item.op_digest, item) for item in items)
    for block in context.stage.units():
        for start in range(0, len(block), CHUNK):
            _plan_block(context, conn, block[start : start + CHUNK], totals)
    for ids in context.stage.todo():
        for start in range(0, len(ids), CHUNK):
            loaded = shadow.load_entities(conn, context.flow, ids[start : start + CHUNK])
            units = [Unit(entity, ()) for entity in loaded]
            _plan_block(context, conn, units, totals)
    return totals


def operation_digest(entity: Entity, operation: Operation) -> str:
    """Names an operation with its preconditions; of a create, with the records it stands for."""
    stands = sorted((m, link.key) for m, link in entity.links.items())
    return hashing.digest(
        [
            operation.member,
            str(operation.kind),
            operation.key,
            dict(operation.fields),
            dict(operation.expect),
            stands if operation.kind is OpKind.CREATE else [],
        ]
    )


def _plan_block(
    context: RunContext,
    conn: Connection,
    units: Sequence[Unit],
    totals: PlanTotals,
) -> None:
    context.beat()
    ids = [u.entity.id for u in units if u.entity.id]
    rows = by_key(
        [
            *context.stage.seen([s for u in units if not u.entity.id for s in u.seen]),
            *context.stage.seen_of(ids),
        ]
    )
    state = _State.load(context, conn, ids)
    fetched = fetch(context, [u.entity for u in units], rows)
    planned = [_plan_one(context, unit, rows, fetched, state) for unit in units]
    made = [(u, draft) for u, draft in zip(units, planned, strict=True) if draft is not None]
    without = barred(context, conn, [draft.plan for _, draft in made])
    drafts = []
    for number, (unit, first) in enumerate(made):
        bars = without.get(number)
        draft = first if not bars else _plan_one(context, unit, rows, fetched, state, bars)
        if draft is None:
            continue
        drafts.append(draft)
        totals.drafts += 1
        for operation, digest in zip(draft.plan.operations, draft.digests, strict=True):
            kind = (operation.member, str(operation.kind))
            totals.kinds[kind] = totals.kinds.get(kind, 0) + 1
            if digest not in draft.approved:
                for measure in measures(operation):
                    totals.measures[measure] = totals.measures.get(measure, 0) + 1
    context.stage.add_drafts(drafts)


@dataclass(frozen=True, slots=True)
class _State:
    """What the store holds against or for some entities beside their own state."""

    decisions: Mapping[int, Sequence[Decision]]
    held: Mapping[int, Sequence[HoldItem]]
    refused: Mapping[tuple[int, str], Quarantined]
    blocked: set[int]
    open: set[int]

    @classmethod
    def load(
        cls,
        context: RunContext,
        conn: Connection,
        ids: Sequence[int],
    ) -> _State:
        if not ids:
            return cls({}, {}, {}, set(), set())
        flow, some = context.flow, context.matters
        return cls(
            conflicts.pending_decisions(conn, flow, ids) if some.decided else {},
            holds.waiting(conn, flow, ids) if some.holds else {},
            quarantine.blocked(conn, flow, ids) if some.refused else {},
            context.stage.blocked(ids),
            shadow.with_work(conn, ids) if some.work else set(),
        )


def _plan_one(
    context: RunContext,
    unit: Unit,
    rows: ByKey,
    fetched: Fetched,
    state: _State,
    without: frozenset[str] = frozenset(),
) -> Draft | None:
    """without: members where a candidate may stand after all, so that nothing is created there."""
    entity, linked = unit.entity, bool(unit.seen)
    items = undo.answered(context.rules, state.held.get(entity.id, ())) if entity.id else []
    known = reads(context, entity, rows, fetched, entity.id in state.blocked)
    known |= {name: replace(known[name], complete=False) for name in without}
    decisions = state.decisions.get(entity.id, ()) if entity.id else ()
    plan = plan_entity(context.rules, entity, known, decisions, context.number, PLANNED_TICK)
    planned = {operation_digest(plan.entity, op) for op in plan.operations} if items else set()
    if _waits_whole(entity, items, planned, known):
        return None
    # what a person wants taken back and is planned just so: what was edited since is not lost
    undone = [i for i in items if i.state is ItemState.REVERTED and i.op_digest in planned]
    rules = undo.without(context.rules, undone)
    if rules is not context.rules:
        plan = plan_entity(rules, entity, known, decisions, context.number, PLANNED_TICK)
    solved = _solved(entity, plan, state)
    plan = _tidy(context, entity, plan, state)
    if context.stage.any_waiting and not entity.id:
        digests = [operation_digest(plan.entity, operation) for operation in plan.operations]
        items = [item for digest in digests for item in context.stage.waiting(digest)]
    plan, settled, approved = _answer_holds(plan, items, undone, _unread(entity, known))
    was_open = entity.id in state.open
    quiet = not (plan.operations or plan.cases or plan.notes or plan.used or plan.voided)
    idle = quiet and not plan.changed and not linked and not settled and not entity.cases
    idle = idle and not solved
    if idle and was_open == plan.waits:
        return None
    if linked:
        plan = replace(plan, changed=True)
    named = tuple(operation_digest(plan.entity, op) for op in plan.operations)
    if rules is not context.rules:  # a person ordered exactly this
        ops = zip(plan.operations, named, strict=True)
        approved |= {digest for op, digest in ops if undo.takes_back(rules, op)}
    keys: tuple[tuple[int, int], ...] = ()
    if plan.changed:
        keys = key_hashes(rules, plan.entity)
    return Draft(plan, named, approved, settled, keys, was_open, solved)


def _solved(entity: Entity, plan: EntityPlan, state: _State) -> tuple[str, ...]:
    """Members with something in quarantine that are owed nothing any more: the record was
    linked, edited back or read again meanwhile."""
    if plan.waits or plan.cases:
        return ()
    owed = {operation.member for operation in plan.operations}
    return tuple(m for e, m in state.refused if e == entity.id and e and m not in owed)


def _tidy(context: RunContext, entity: Entity, plan: EntityPlan, state: _State) -> EntityPlan:
    """Leave out what a system refuses just now (quarantine), or will not do at all."""
    kept = []
    for operation in plan.operations:
        refused = state.refused.get((entity.id, operation.member)) if entity.id else None
        if refused is not None and _waits(
            context, refused, operation_digest(plan.entity, operation)
        ):
            continue
        kept.append(operation)
    if len(kept) == len(plan.operations):
        return plan
    return replace(plan, operations=tuple(kept), waits=True)


def _waits(context: RunContext, refused: Quarantined, digest: str) -> bool:
    if refused.refused.op_digest != digest:
        return False
    if refused.state is QuarantineState.DROPPED:
        return True
    due = refused.refused.next_at
    return refused.state is QuarantineState.OPEN and (due is None or due > context.at)


def _unread(entity: Entity, known: Mapping[str, Read]) -> bool:
    """Whether a record of it was not read: what is planned then says nothing of what moved."""
    return any(
        link.state is LinkState.LIVE and name in known and known[name].status is ReadStatus.UNREAD
        for name, link in entity.links.items()
    )


def _waits_whole(
    entity: Entity, items: Sequence[HoldItem], planned: Set[str], known: Mapping[str, Read]
) -> bool:
    """Whether something of it is held, or was, at a record that was not read: then nothing of it is
    recorded either, or it would go out later as what nobody held (law 16)."""
    return any(
        item.op_digest not in planned
        and (link := entity.links.get(item.member)) is not None
        and link.state is LinkState.LIVE
        and item.member in known
        and known[item.member].status is ReadStatus.UNREAD
        for item in items
    )


def _answer_holds(
    plan: EntityPlan, items: Sequence[HoldItem], undone: Sequence[HoldItem], unread: bool
) -> tuple[EntityPlan, tuple[tuple[HoldItem, ItemState], ...], frozenset[str]]:
    """What a person said of held operations, against what is planned now: those still true run,
    those that moved drop out, nothing unlisted is approved (law 16). undone: what this plan
    takes back; unread: a record of it was not read, so that what is not planned has not moved for
    that; it waits."""
    if not items:
        return plan, (), frozenset()
    digests = {operation_digest(plan.entity, op): op for op in plan.operations}
    settled: list[tuple[HoldItem, ItemState]] = []
    approved: set[str] = set()
    excused: set[str] = set()
    for item in items:
        mine = item.op_digest in digests
        if item.state is ItemState.APPROVED and mine:
            approved.add(item.op_digest)
            settled.append((item, ItemState.DONE))
        elif item.state is ItemState.EXCUSED and mine:
            excused.add(item.op_digest)
            settled.append((item, ItemState.DONE))
        elif item.state is ItemState.REVERTED and (mine or item in undone) and not unread:
            settled.append((item, ItemState.DONE))
        elif not mine and item.entity and not unread:
            settled.append((item, ItemState.MOVED))
    if excused:
        plan = _excuse(plan, {op.member: op for d, op in digests.items() if d in excused})
    return plan, tuple(settled), frozenset(approved)


def _excuse(plan: EntityPlan, operations: Mapping[str, Operation]) -> EntityPlan:
    """Discarded: the record stays as it is and takes part no more."""
    entity = plan.entity
    links = dict(entity.links)
    gone = list(entity.gone)
    for member, operation in operations.items():
        if operation.kind is OpKind.CREATE:
            gone.append(Link(member, "", LinkState.GONE))
        elif member in links:
            links[member] = replace(links[member], state=LinkState.DECLINED)
    left = any(link.state is LinkState.LIVE for link in links.values())
    state = entity.state if left else EntityState.ENDED
    return replace(
        plan,
        entity=replace(entity, links=links, gone=tuple(gone), state=state),
        operations=tuple(op for op in plan.operations if op.member not in operations),
        changed=True,
    )
