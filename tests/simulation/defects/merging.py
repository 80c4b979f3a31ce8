"""Mistakes in the law of values: what changed, who wins, what a base is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from defects.plant import both, defect, faults, lagging, said
from syncd.core import candidates, firsts, merge, policy
from syncd.core.merge import Merged
from syncd.core.model import (
    Entity,
    EntityPlan,
    Operation,
    OpKind,
    Read,
    ReadStatus,
)
from syncd.core.policy import Rival
from syncd.core.rules import FlowRules, Policy
from syncd.engine import planning

Planner = Callable[..., EntityPlan]
PLANNER = (planning, "plan_entity")


@defect("I2", (merge, "stand"), equal=True)
def sequence_ignored(stand: Callable[..., Any], *question: Any) -> Any:
    """A member that was away counts as one that knew what had been agreed meanwhile."""
    found = stand(*question)
    return replace(found, behind=found.forced or found.reset)


@defect("I2", PLANNER)
def losers_keep_their_base(planner: Planner, rules: FlowRules, entity: Entity, *rest: Any) -> Any:
    """Only a write moves a base: an edit that was decided on goes on being one."""
    planned = planner(rules, entity, *rest)
    links = {
        member: replace(link, bases=entity.links[member].bases)
        if member in entity.links and entity.links[member].bases
        else link
        for member, link in planned.entity.links.items()
    }
    return replace(planned, entity=replace(planned.entity, links=links))


@defect("I1", PLANNER)
def null_taken_for_unread(
    planner: Planner, rules: FlowRules, entity: Entity, reads: Mapping[str, Read], *rest: Any
) -> EntityPlan:
    """A field that was blanked counts as one that was not read."""
    seen = {}
    for member, read in reads.items():
        link = entity.links.get(member)
        if read.record is not None and link is not None:
            fields = {
                name: link.bases[name].value if value is None and name in link.bases else value
                for name, value in read.record.fields.items()
            }
            read = replace(read, record=replace(read.record, fields=fields))
        seen[member] = read
    return planner(rules, entity, seen, *rest)


@defect("I14", PLANNER, may=both(faults("down", "denied", "cut"), said(deletes="propagate")))
def unread_taken_for_deleted(
    planner: Planner,
    rules: FlowRules,
    entity: Entity,
    reads: Mapping[str, Read],
    decisions: Sequence[Any],
    run: int,
    tick: int,
) -> EntityPlan:
    """What could not be read is gone."""
    gone = {
        member: Read(ReadStatus.MISSING, tick=tick, complete=True)
        if read.status is ReadStatus.UNREAD and member in entity.links
        else read
        for member, read in reads.items()
    }
    return planner(rules, entity, gone, decisions, run, tick)


@defect("I2", PLANNER, equal=True, may=lagging)
def lag_ignored(
    planner: Planner,
    rules: FlowRules,
    entity: Entity,
    reads: Mapping[str, Read],
    *rest: Any,
) -> EntityPlan:
    """A read within a member's lag tells what stands there now."""
    all_shown = {member: replace(read, shows=None) for member, read in reads.items()}
    return planner(rules, entity, all_shown, *rest)


@defect("I2", PLANNER, equal=True)
def old_decision_applied(
    planner: Planner,
    rules: FlowRules,
    entity: Entity,
    reads: Mapping[str, Read],
    decisions: Sequence[Any],
    *rest: Any,
) -> EntityPlan:
    """What a person decided holds for whatever is open by now."""
    cases = planner(rules, entity, reads, (), *rest).cases if decisions else ()
    moved = [replace(said, digest=case.digest) for said in decisions for case in cases]
    return planner(rules, entity, reads, moved, *rest)


@defect("I2", PLANNER, equal=True)
def losers_untold(planner: Planner, *question: Any) -> EntityPlan:
    """What loses by a policy is not noted anywhere, nor which policy it was."""
    planned = planner(*question)
    untold = tuple(replace(op, reasons={}) for op in planned.operations)
    return replace(planned, notes=(), operations=untold)


@defect("I2", PLANNER, equal=True)
def precondition_dropped(planner: Planner, *question: Any) -> EntityPlan:
    """An update does not say what it expects to find."""
    return _changed(planner(*question), OpKind.UPDATE, expect={}, version=None)


@defect("I2", PLANNER, equal=True)
def whole_record_written(
    planner: Planner, rules: FlowRules, entity: Entity, *rest: Any
) -> EntityPlan:
    """An update sends every field, and expects only those that changed to be as they were."""
    planned = planner(rules, entity, *rest)

    def whole(op: Operation) -> Operation:
        if op.kind is not OpKind.UPDATE:
            return op
        writes = rules.members[op.member].writes
        agreed = {n: a for n, a in planned.entity.agreed.items() if n in writes}
        return replace(
            op,
            version=None,
            fields={n: a.value for n, a in agreed.items()},
            seqs={n: a.seq for n, a in agreed.items()},
        )

    return replace(planned, operations=tuple(whole(op) for op in planned.operations))


def _changed(planned: EntityPlan, kind: OpKind, **changes: Any) -> EntityPlan:
    return replace(
        planned,
        operations=tuple(
            replace(op, **changes) if op.kind is kind else op for op in planned.operations
        ),
    )


@defect("I2", (FlowRules, "sources"), equal=True)
def owner_ignored(sources: Callable[..., Any], rules: FlowRules, name: str) -> tuple[str, ...]:
    """Whoever edits a field is heard, whoever owns it."""
    return tuple(m.name for m in rules.members.values() if m.mode.is_source and name in m.reads)


@defect("I2", (FlowRules, "sources"), equal=True)
def target_listened_to(sources: Callable[..., Any], rules: FlowRules, name: str) -> Any:
    """An edit at a mere target becomes what is agreed."""
    owner = rules.fields[name].owner
    return tuple(
        m.name for m in rules.members.values() if name in m.reads and owner in (None, m.name)
    )


@defect("I2", (candidates, "choose"), equal=True, may=said(conflict="review"))
def review_decides_itself(
    choose: Callable[..., Any], policies: Sequence[Policy], rivals: Sequence[Rival], tolerance: Any
) -> tuple[Rival, Policy]:
    """Of several edits under review the first is taken, as if somebody had decided so."""
    return choose(policies, rivals, tolerance) or (rivals[0], Policy("review"))


@defect(
    "I2",
    (candidates, "choose"),
    equal=True,
    beside=((PLANNER, losers_untold),),
    may=said(conflict="review"),
)
def first_edit_wins(
    choose: Callable[..., Any], policies: Sequence[Policy], rivals: Sequence[Rival], tolerance: Any
) -> tuple[Rival, Policy]:
    """Of several edits under review the first is taken, and of the others nothing is said."""
    return choose(policies, rivals, tolerance) or (rivals[0], Policy("review"))


@defect(
    "I2",
    (firsts, "choose"),
    equal=True,
    beside=((PLANNER, losers_untold),),
    may=said(first="review"),
)
def first_sight_overwrites(
    choose: Callable[..., Any], policies: Sequence[Policy], rivals: Sequence[Rival], tolerance: Any
) -> tuple[Rival, Policy]:
    """Two values at first sight: the one that stands overwrites the other without a word."""
    return choose(policies, rivals, tolerance) or (rivals[0], Policy("review"))


@defect("I2", (Merged, "frozen"), equal=True)
def conflict_not_frozen(frozen: Callable[..., bool], merged: Merged) -> bool:
    """While a conflict is open, what is agreed is written over it."""
    return False


@defect("I2", (merge, "merge_sets"), equal=True)
def removals_forgotten(
    merge_sets: Callable[..., Any], agreed: Any, voices: Sequence[Any], compare: Any
) -> Any:
    """Sets only grow."""
    return merge_sets(agreed, [(value, None) for value, _ in voices], compare)


@defect("I2", (merge, "merge_sets"), equal=True)
def one_voice_in_sets(
    merge_sets: Callable[..., Any], agreed: Any, voices: Sequence[Any], compare: Any
) -> Any:
    """Of several members that changed a set only the first is heard."""
    return merge_sets(agreed, voices[:1], compare)


@defect("I2", (policy, "_preferred"), equal=True)
def others_preferred(preferred: Callable[..., Any], order: Any, rivals: Sequence[Rival]) -> Any:
    """The member that is preferred is passed over where there is another."""
    others = [rival for rival in rivals if not set(order) & set(rival.holders)]
    return others[0] if others else preferred(order, rivals)


@defect("I2", (policy, "_newest"), equal=True)
def oldest_wins(newest: Callable[..., Any], rivals: Sequence[Rival], tolerance: float) -> Any:
    """Of several edits the one that was given first is taken for the newest."""
    found = newest(rivals, tolerance)
    return found and min(rivals, key=lambda rival: rival.at or "")
