"""Mistakes in what a member is known to have: bases, answers without proof, its own form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from defects.merging import PLANNER, Planner
from defects.plant import defect, faults, traits
from syncd.core import plan, settle, stance
from syncd.core.model import (
    Agreed,
    Base,
    Entity,
    EntityPlan,
    Operation,
    OpKind,
)
from syncd.core.rules import FlowRules
from syncd.engine import apply, planning


@defect("I2", PLANNER)
def base_before_the_answer(planner: Planner, *question: Any) -> EntityPlan:
    """The base of what is sent moves when it is planned, not when it is confirmed."""
    planned = planner(*question)
    links = dict(planned.entity.links)
    for op in planned.operations:
        if op.kind is OpKind.UPDATE:
            moved = {name: Base(value, op.seqs[name]) for name, value in op.fields.items()}
            links[op.member] = replace(links[op.member], bases={**links[op.member].bases, **moved})
    return replace(planned, entity=replace(planned.entity, links=links))


@defect("I5", PLANNER)
def compared_with_agreed(
    planner: Planner, rules: FlowRules, entity: Entity, *rest: Any
) -> EntityPlan:
    """A member is compared with what is agreed, not with what it confirmed itself."""
    links = {
        member: replace(
            link,
            bases={
                name: replace(base, value=entity.agreed[name].value)
                if name in entity.agreed and base.seq == entity.agreed[name].seq
                else base
                for name, base in link.bases.items()
            },
        )
        for member, link in entity.links.items()
    }
    return planner(rules, replace(entity, links=links), *rest)


def _never(finished: Callable[..., bool], *question: Any) -> bool:
    return False


def _open(work: Callable[..., bool], draft: Any) -> bool:
    return True


@defect(
    "I17",
    (plan._EntityPlanning, "_owes"),
    equal=True,
    beside=(((apply, "_finished"), _never), ((planning.Draft, "work"), _open)),
)
def written_until_alike(
    owes: Callable[..., bool],
    planning_: Any,
    member: Any,
    side: Any,
    name: str,
    bases: dict[str, Base],
    agreed: Agreed,
) -> bool:
    """A target that keeps a value in its own form is written again in every run."""
    base = bases.get(name)
    if base is not None and name in member.writes and member.mode.is_target:
        return bool(base.value != agreed.value)
    return owes(planning_, member, side, name, bases, agreed)


@defect("I1", (stance, "_judge"))
def reread_taken_as_base(judge: Callable[..., Any], base: Base, value: Any, *rest: Any) -> Any:
    """After a write without proof, whatever is read next counts as its result."""
    if base.unproven:
        return Base(value, base.seq), "proven"
    return judge(base, value, *rest)


@defect("I5", (settle, "_confirmed"), may=traits(answers=False))
def answer_without_proof_believed(confirmed: Callable[..., Any], *question: Any) -> Any:
    """After a write without proof, what was sent stands there for certain."""
    link = confirmed(*question)
    bases = {name: replace(base, unproven=False) for name, base in link.bases.items()}
    return replace(link, bases=bases)


@defect("I5", (settle, "_confirmed"))
def sent_taken_for_kept(
    confirmed: Callable[..., Any], link: Any, operation: Operation, *rest: Any
) -> Any:
    """The base is what was sent, whatever the answer says that the system made of it."""
    link = confirmed(link, operation, *rest)
    sent = {
        name: replace(link.bases[name], value=value) for name, value in operation.fields.items()
    }
    return replace(link, bases={**link.bases, **sent}, row_hash=None)


@defect("I17", (settle, "_confirmed"))
def echo_taken_for_edit(
    confirmed: Callable[..., Any], link: Any, operation: Operation, *rest: Any
) -> Any:
    """What was written moves no base, so that it looks like an edit of the system's users."""
    if operation.kind is OpKind.UPDATE:
        return replace(link, row_hash=None)
    return confirmed(link, operation, *rest)


@defect("I2", (settle, "_unknown"), may=faults("lost", "half", "silent", "missing", "mute"))
def unknown_moves_the_base(
    unknown: Callable[..., Entity], entity: Entity, operation: Operation, tick: int
) -> Entity:
    """The base moves to what was sent though nobody knows whether it arrived."""
    entity = unknown(entity, operation, tick)
    link = entity.links.get(operation.member)
    if operation.kind is not OpKind.UPDATE or link is None:
        return entity
    sent = {name: Base(value, operation.seqs[name]) for name, value in operation.fields.items()}
    link = replace(link, bases={**link.bases, **sent})
    return replace(entity, links={**entity.links, operation.member: link})


@defect("I1", (plan._EntityPlanning, "_link"))
def row_remembered_too_soon(
    link_of: Callable[..., Any], planning_: Any, side: Any, *rest: Any
) -> Any:
    """A row counts as known before everything in it is decided; nobody looks at it again."""
    link = link_of(planning_, side, *rest)
    return replace(link, row_hash=side.row_hash if side.row_hash is not None else link.row_hash)
