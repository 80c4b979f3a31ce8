"""Small worlds that random search found hard: each a few lines, each a promise of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest
from law.history import History
from law.tables import Nature, Step
from law.worlds import FIELDS, GROUPS, MEMBERS, NOW, RUN, TICK, fold, valid

from syncd.core.model import (
    Agreed,
    Base,
    CaseKind,
    Entity,
    EntityState,
    Link,
    NoteKind,
    OpKind,
    Origin,
    Read,
    ReadStatus,
    Record,
)
from syncd.core.plan import plan_entity
from syncd.core.rules import (
    DeleteConflict,
    Deletes,
    FieldRules,
    FlowRules,
    MemberRules,
    Mode,
    Policy,
)

PROVING = {m: Nature() for m in MEMBERS}


def flow(policy: Policy | None = None, **modes: Mode) -> FlowRules:
    """Every field at every member; members that are not named go both ways."""
    conflict = () if policy is None else (policy,)
    fields = {
        name: FieldRules(name, fold, is_set=name == "tags", conflict=conflict)
        for group in GROUPS
        for name in group
    }
    every = frozenset(FIELDS)
    members = {}
    for m in MEMBERS:
        mode = modes.get(m, Mode.BOTH)
        writes = every if mode.is_target else frozenset()
        members[m] = MemberRules(m, mode, every, writes, valid, "")
    return FlowRules("people", fields, members, GROUPS, (("name",),))


def life(rules: FlowRules, natures: dict[str, Nature] | None = None) -> History:
    """Three equal records, linked and agreed."""
    history = History(rules, natures or PROVING, plan_entity, "abc")
    history.run(Step("run"))
    return history


def agreed(history: History, name: str) -> object:
    return history.entity.agreed[name].value


def test_newest_where_unwritable_sources_hold_one_value() -> None:
    """Law 13: a single value is no contest."""
    rules = flow(Policy("newest"), a=Mode.SOURCE, b=Mode.SOURCE)
    assert agreed(life(rules), "city") == "002-city"


def test_f25_a_set_read_in_another_form_after_an_unproven_write_is_reviewed() -> None:
    """Law 5: whatever the policy; a member that drops an element removes it nowhere else."""
    rules = flow(Policy("merge"))
    links = {
        m: Link(m, f"{m}1", bases={"tags": Base(["p", "q"], 2, unproven=m == "b")}, moved_tick=10)
        for m in MEMBERS
    }
    both = Agreed(["p", "q"], 2, Origin("a", 1, "edited"))
    entity = Entity(1, agreed={"tags": both}, links=links)
    same = Read(ReadStatus.SAME, tick=50, complete=True)
    fewer = Read(ReadStatus.SEEN, Record("b1", {"tags": ["p"]}), tick=50, complete=True)
    only = replace(
        rules,
        fields={"tags": rules.fields["tags"]},
        groups=(("tags",),),
        match=(("tags",),),
        members={
            m: replace(r, reads=frozenset({"tags"}), writes=frozenset({"tags"}))
            for m, r in rules.members.items()
        },
    )
    plan = plan_entity(only, entity, {"a": same, "b": fewer, "c": same}, (), NOW, RUN, TICK)
    assert plan.entity.agreed["tags"].value == ["p", "q"]
    assert [case.kind for case in plan.cases] == [CaseKind.UNPROVEN]
    assert not plan.operations


def test_i2_an_agreed_value_that_loses_by_policy_is_noted() -> None:
    """b comes back with an edit and `prefer:b`: a's edit, agreed meanwhile, is kept in a note."""
    history = life(flow(Policy("prefer", ("b",))))
    history.edit("a", "name")
    lost = history.edits[-1].value
    history.run(Step("run", away=frozenset("b")))
    history.edit("b", "name")
    history.run(Step("run"))
    assert agreed(history, "name") == history.edits[-1].value
    kept = [n.values.get("name") for n in history.notes if n.kind is NoteKind.LOST]
    assert lost in kept


@pytest.mark.parametrize("policy", [None, Policy("prefer", ("c",))])
def test_a_write_that_never_happened_leaves_no_trace(policy: Policy | None) -> None:
    """Law 5, S65: unknown, then found not to have happened; c's user edits another field. Its old
    name under the newer version is no edit: the agreed one is written, nobody is asked."""
    history = life(flow(policy))
    history.edit("a", "name")
    wanted = history.edits[-1].value
    history.run(Step("run", fate={"c": "lost"}))
    history.edit("c", "city")
    history.run(Step("run"))
    assert agreed(history, "name") == wanted
    assert not history.cases
    assert history.rows["c"]["c1"].fields["name"] == wanted


@pytest.mark.parametrize("versioned", [True, False])
def test_s39_a_mere_target_that_truncates_without_proof_is_not_written_for_ever(
    versioned: bool,
) -> None:
    """I1, I17: another form on an unproven base comes before drift."""
    natures = {**PROVING, "c": Nature(versioned=versioned, short=True, proves=False)}
    rules = flow(c=Mode.TARGET)
    first = (Policy("prefer", ("a",)),)
    rules = replace(rules, fields={n: replace(f, first=first) for n, f in rules.fields.items()})
    history = life(rules, natures)
    plans = [history.run(Step("run")) for _ in range(6)]
    assert not plans[-1].operations


def test_f29_an_outcome_that_arrives_after_its_link_is_gone_changes_nothing() -> None:
    """Settling an update of a record that was deleted meanwhile."""
    history = life(flow(b=Mode.TARGET))
    history.edit("a", "name")
    history.run(Step("run", fate={"b": "silent"}, news=False))
    history.delete("b")
    history.run(Step("run", news=False))
    history.run(Step("run"))
    history.run(Step("run"))
    assert len(history.rows["b"]) == 1


def test_edit_wins_revives_also_where_only_a_mere_target_is_left() -> None:
    """Law 12: every source deleted the record, a target's user edited it."""
    rules = replace(
        flow(c=Mode.TARGET), deletes=Deletes.PROPAGATE, delete_conflict=DeleteConflict.EDIT_WINS
    )
    history = life(rules)
    history.edit("c", "name")
    history.delete("a")
    history.delete("b")
    for _ in range(3):
        history.run(Step("run"))
    whole = all(len(history.rows[m]) == 1 for m in MEMBERS)
    assert whole or history.cases or history.entity.state is not EntityState.LIVE


@pytest.mark.parametrize("deletes", [Deletes.UNLINK, Deletes.IGNORE])
@pytest.mark.parametrize("conflict", list(DeleteConflict))
def test_s71_unlink_and_ignore_delete_and_create_nothing(
    deletes: Deletes, conflict: DeleteConflict
) -> None:
    """Also where another member edited in the same run."""
    history = life(replace(flow(), deletes=deletes, delete_conflict=conflict))
    history.delete("a")
    history.edit("b", "name")
    for _ in range(3):
        plan = history.run(Step("run"))
        kinds = {op.kind for op in plan.operations}
        assert not kinds & {OpKind.CREATE, OpKind.DELETE}
    assert not history.rows["a"]
    assert history.rows["b"] and history.rows["c"]
