"""First sight and authority: only members with a say bring values, the others' are drift."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from law.mutants import broken, caught
from law.sight import Meeting, complaints, end, meetings
from law.small import BOTH, QUICK, Planner, flow

from syncd.core.model import CaseKind, Choice, Decision, EntityPlan, NoteKind
from syncd.core.plan import plan_entity
from syncd.core.rules import Drift, FlowRules, Mode


def check(meeting: Meeting, planner: Planner = plan_entity) -> None:
    found = complaints(meeting, planner)
    assert not found, "\n".join([*found, repr(end(meeting)), repr(meeting.plan(planner))])


@QUICK
@given(meetings())
def test_first_sight_agrees_with_the_model(meeting: Meeting) -> None:
    """Laws 1 and 9, S7, S8, S66, S67: who is a candidate, what is filled, reverted, kept, asked."""
    check(meeting)


# wrong planners


def with_rules(rules: FlowRules, **over: Any) -> FlowRules:
    return replace(rules, **over)


def everybody_heard(rules: FlowRules, *rest: Any) -> EntityPlan:
    """A first-seen value without authority is as good as any other."""
    name = replace(rules.fields["name"], owner=None)
    members = {
        m: replace(r, mode=Mode.BOTH if r.mode is Mode.TARGET else r.mode)
        for m, r in rules.members.items()
    }
    return plan_entity(with_rules(rules, fields={"name": name}, members=members), *rest)


def always(drift: Drift) -> Planner:
    def planner(rules: FlowRules, *rest: Any) -> EntityPlan:
        return plan_entity(with_rules(rules, drift=drift), *rest)

    planner.__name__ = f"always_{drift}"
    return planner


def guessed(heard: bool) -> Planner:
    """Where nobody with a say has a value, one that another member has is adopted, or blanked."""

    def planner(*question: Any) -> EntityPlan:
        plan = plan_entity(*question)
        for case in plan.cases:
            blank = {c.source for c in case.candidates if c.values == {"name": None}}
            for c in case.candidates:
                if blank and (c.source in blank) is heard:
                    taken = Decision(1, case.digest, Choice.TAKE, "", c.source)
                    rules, entity, reads, _, *rest = question
                    return replace(plan_entity(rules, entity, reads, [taken], *rest), used=())
        return plan

    planner.__name__ = "blanked" if heard else "adopted"
    return planner


MUTANTS = [everybody_heard, *map(always, Drift), guessed(True), guessed(False)]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_the_check_of_first_sight_catches(mutant: Planner) -> None:
    assert caught(meetings(), broken(lambda meeting: check(meeting, mutant)))


# told one by one


@pytest.mark.parametrize("drift", list(Drift))
def test_s67_a_target_that_joins_with_its_own_value_is_drift(drift: Drift) -> None:
    """It is written, left with what it has, or asked about; it has no say in what is agreed."""
    rules = flow({**BOTH, "c": Mode.TARGET}, drift=drift)
    plan = Meeting(rules, {"c": "own"}, "x", "a").plan(plan_entity)
    assert plan.entity.agreed["name"].value == "x"
    sent = [(op.member, op.fields, op.first_sight) for op in plan.operations]
    assert sent == ([("c", {"name": "x"}, ("name",))] if drift is Drift.REVERT else [])
    assert [c.kind for c in plan.cases] == [CaseKind.DRIFT] * (drift is Drift.REVIEW)
    if drift is not Drift.REVIEW:
        kind = NoteKind.LOST if drift is Drift.REVERT else NoteKind.DRIFT
        assert [(n.kind, n.values) for n in plan.notes] == [(kind, {"name": "own"})]


def test_i2_what_only_a_member_without_a_say_has_is_not_blanked_unasked() -> None:
    """The owner has no value: a person takes the other's, or lets it be blank."""
    rules = flow(BOTH, ("a", "b"), owner="a")
    meeting = Meeting(rules, {"a": None, "b": "x", "c": None})
    (case,) = meeting.plan(plan_entity).cases
    assert (case.kind, [c.source for c in case.candidates]) == (CaseKind.FIRST, ["a", "b"])
    for source, value in (("b", "x"), ("a", None)):
        taken = Decision(1, case.digest, Choice.TAKE, "jo", source)
        plan = meeting.plan(plan_entity, (taken,))
        assert plan.used == (1,) and plan.entity.agreed["name"].value == value
        told = {op.member: op.fields["name"] for op in plan.operations}
        assert told == ({"a": "x", "c": "x"} if value else {"b": None})


def test_a_value_without_a_say_is_not_to_be_taken() -> None:
    """A decision that takes it is none; what stands or a value typed may be chosen."""
    rules = flow(BOTH, owner="a", drift=Drift.REVIEW)
    meeting = Meeting(rules, {"a": "x", "b": "y", "c": None})
    (case,) = meeting.plan(plan_entity).cases
    assert [(c.source, c.heard) for c in case.candidates] == [("a", True), ("b", False)]
    for choice, source in ((Choice.TAKE, "b"), (Choice.TAKE, "a"), (Choice.VALUE, None)):
        said = Decision(1, case.digest, choice, "jo", source, {"name": "z"})
        plan = meeting.plan(plan_entity, (said,))
        assert plan.used == (() if source == "b" else (1,))
        assert bool(plan.cases) is (source == "b")
