"""Flows of one field, `name`, and single questions about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from law import SCALE, show
from law.worlds import MEMBERS, RUN, TICK, fold, valid
from syncd.core.model import (
    Base,
    Decision,
    Entity,
    EntityPlan,
    Link,
    OpKind,
    Read,
    ReadStatus,
    Record,
    Value,
)
from syncd.core.plan import plan_entity
from syncd.core.rules import FieldRules, FlowRules, MemberRules, Mode, Policy

QUICK = settings(
    max_examples=300 * SCALE,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow],
)
Planner = Callable[..., EntityPlan]
MODES = st.sampled_from(list(Mode))
VALUES = st.sampled_from((None, "x", "X ", "y", "z"))
ORDERS = st.sampled_from((None, ("a",), ("b",), ("c", "a")))
BOTH = dict.fromkeys(MEMBERS, Mode.BOTH)
WHOLE = Read(ReadStatus.SAME, tick=50, complete=True)
UNREAD = Read(ReadStatus.UNREAD)
ABSENT = Read(ReadStatus.MISSING, tick=50, complete=True)


def flow(
    modes: Mapping[str, Mode],
    order: tuple[str, ...] | None = None,
    owner: str | None = None,
    fill: bool = False,
    **over: object,
) -> FlowRules:
    """`order` is the policy of the field, at first sight too."""
    policies = () if order is None else (Policy("prefer", order),)
    name = FieldRules("name", fold, owner=owner, fill=fill, conflict=policies, first=policies)
    reads = frozenset({"name"})
    members = {
        m: MemberRules(m, mode, reads, reads if mode.is_target else frozenset(), valid, "")
        for m, mode in modes.items()
    }
    rules = FlowRules("people", {"name": name}, members, (("name",),), (("name",),))
    return replace(rules, **over)  # type: ignore[arg-type]


def seen(member: str, value: Value) -> Read:
    return Read(ReadStatus.SEEN, Record(f"{member}1", {"name": value}), tick=50, complete=True)


def linked(member: str, base: Base | None) -> Link:
    return Link(member, f"{member}1", bases={} if base is None else {"name": base}, moved_tick=10)


def ask(
    rules: FlowRules,
    entity: Entity,
    reads: Mapping[str, Read],
    decisions: Sequence[Decision] = (),
    planner: Planner = plan_entity,
) -> EntityPlan:
    return planner(rules, entity, reads, decisions, RUN, TICK)


def told(rules: FlowRules, entity: Entity, reads: Mapping[str, Read], plan: EntityPlan) -> str:
    return "\n".join(["", show.flow(rules), show.entity(entity, reads), show.plan(plan)])


def sent(plan: EntityPlan, kind: OpKind) -> dict[str, Value]:
    return {op.member: op.fields.get("name") for op in plan.operations if op.kind is kind}
