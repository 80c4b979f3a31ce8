"""Small worlds that random search found hard: each a few lines, each a promise of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest
from law.history import History
from law.judge import play
from law.tables import Nature, Step
from law.worlds import FIELDS, GROUPS, MEMBERS, RUN, TICK, fold, valid

from syncd.core.model import (
    Agreed,
    Base,
    CaseKind,
    Choice,
    Decision,
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
    Drift,
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


def test_newest_where_the_last_unwritable_source_has_only_a_blank() -> None:
    """Law 13, S68: what was blank at first sight and is blank in another way ranks nowhere."""
    rules = flow(Policy("newest"), a=Mode.SOURCE, b=Mode.SOURCE)
    bases = {"b": Base(None, 0), "c": Base("x", 1)}
    links = {m: Link(m, f"{m}1", bases={"city": base}) for m, base in bases.items()}
    entity = Entity(1, agreed={"city": Agreed("x", 1, Origin("a", 1, "edited"))}, links=links)
    reads = {
        "b": Read(ReadStatus.SEEN, Record("b1", {"city": ""}), tick=50, complete=True),
        "c": Read(ReadStatus.SAME, tick=50, complete=True),
    }
    plan = plan_entity(rules, entity, reads, (), RUN, TICK)
    assert plan.entity.agreed == entity.agreed
    assert plan.operations == ()


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
    plan = plan_entity(only, entity, {"a": same, "b": fewer, "c": same}, (), RUN, TICK)
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


def test_i2_an_element_removed_after_an_unknown_write_is_asked_about() -> None:
    """Law 15, law 5: the write came, its answer did not, and a user took the element out again;
    by elements that looks as if nothing had happened."""
    history = life(flow(Policy("merge")))
    history.edit("a", "tags")
    history.run(Step("run", fate={"b": "silent"}, news=False))
    history.put("b", "b1", {"tags": ["p"]})
    plan = history.run(Step("run", news=False))
    assert [case.fields for case in plan.cases] == [("tags",)]
    assert all(op.member != "b" for op in plan.operations)


def test_law_13_a_source_that_is_gone_is_not_ranked() -> None:
    """b cannot be written and its record was deleted: c's edit has no rival any more."""
    rules = flow(b=Mode.SOURCE, c=Mode.SOURCE)
    rules = replace(rules, deletes=Deletes.IGNORE)
    history = life(rules)
    history.delete("b")
    history.edit("c", "name")
    plan = history.run(Step("run"))
    assert not plan.cases
    assert agreed(history, "name") == history.edits[-1].value


def test_f71_two_drifts_are_one_question() -> None:
    """Asked one after the other, the answer to the first would be void for the second."""
    rules = flow()
    name = replace(rules.fields["name"], owner="a")
    rules = replace(rules, fields={**rules.fields, "name": name}, drift=Drift.REVIEW)
    history = life(rules)
    history.edit("b", "name")
    history.edit("c", "name")
    (case,) = history.run(Step("run")).cases
    assert [c.source for c in case.candidates] == ["b", "c", "agreed"]
    assert [c.source for c in case.candidates if c.heard] == ["agreed"]
    history.decisions.append(Decision(1, case.digest, Choice.VALUE, "jo", values={"name": "typed"}))
    plan = history.run(Step("run"))
    assert plan.used == (1,) and not plan.cases
    assert agreed(history, "name") == "typed"
    lost = [n.values["name"] for n in history.notes if n.kind is NoteKind.LOST]
    assert {edit.value for edit in history.edits if edit.member} <= set(lost)


def test_f71_a_decision_about_what_is_gone_is_void() -> None:
    history = life(replace(flow(), deletes=Deletes.PROPAGATE))
    for member in MEMBERS:
        history.delete(member)
    history.run(Step("run"))
    assert history.entity.state is EntityState.GONE
    history.decisions.append(Decision(1, "any case", Choice.TAKE, "jo", "a"))
    assert history.run(Step("run")).voided == (1,)


def test_f26_a_form_seen_after_another_value_was_sent_is_no_form_of_this_one() -> None:
    """Law 5: read twice *for the same value sent*. b's field reads "odd" after "x" was sent, a
    person lets "x" stand, but before it is sent again a's user writes "y"."""
    rules = flow(b=Mode.TARGET)
    history = life(rules, {**PROVING, "b": Nature(proves=False)})
    history.edit("a", "name")
    history.run(Step("run", race=()))
    history.rows["b"]["b1"].fields["name"] = "odd"
    history.rows["b"]["b1"].version += 100
    (case,) = history.run(Step("run")).cases
    assert case.kind is CaseKind.UNPROVEN
    history.decisions.append(Decision(1, case.digest, Choice.TAKE, "jo", "agreed"))
    history.run(Step("run", fate={"b": "reject"}))
    history.edit("a", "name")
    history.run(Step("run"))
    history.rows["b"]["b1"].fields["name"] = "odd"
    history.rows["b"]["b1"].version += 100
    plan = history.run(Step("run"))
    assert [c.kind for c in plan.cases] == [CaseKind.UNPROVEN]
    assert NoteKind.DEGRADED not in {n.kind for n in history.notes}


@pytest.mark.parametrize("modified", [None, "2026-05-04T11:00:00Z", "2026-05-04T13:00:00Z"])
def test_f7_another_version_within_the_lag_may_be_the_one_before(modified: str | None) -> None:
    """A copy that lags answers with the version before our write: no edit, unless it is later."""
    rules = flow()
    rules = replace(
        rules,
        fields={"name": rules.fields["name"]},
        groups=(("name",),),
        members={
            m: replace(r, reads=frozenset({"name"}), writes=frozenset({"name"}))
            for m, r in rules.members.items()
        },
    )
    links = {
        m: Link(
            m,
            f"{m}1",
            bases={"name": Base("new", 2)},
            version="2",
            own_time="2026-05-04T11:55:00Z",
            moved_tick=10,
        )
        for m in "ab"
    }
    entity = Entity(1, agreed={"name": Agreed("new", 2, Origin("a", 1, "edited"))}, links=links)
    record = Record("b1", {"name": "old"}, version="1", modified=modified)
    late = Read(ReadStatus.SEEN, record, tick=50, complete=True, shows=9)
    reads = {"a": Read(ReadStatus.SAME, tick=50), "b": late, "c": Read(ReadStatus.UNREAD)}
    plan = plan_entity(rules, entity, reads, (), RUN, TICK)
    later = modified is not None and modified > "2026-05-04T11:55"
    assert plan.entity.agreed["name"].value == ("old" if later else "new")


@pytest.mark.parametrize("proves", [True, False])
def test_s55_an_edit_that_our_own_write_overtook_has_no_known_time(proves: bool) -> None:
    """b's user edits the name while we write its city. The version read next is of our own write
    or of the edit: nothing is decided by its time, nor by one from before both."""
    history = life(flow(Policy("newest")), {**PROVING, "b": Nature(proves=proves)})
    history.edit("b", "tags")
    history.run(Step("run"))
    history.edit("a", "city")
    history.run(Step("run", race=(("b", "name"),)))
    history.edit("c", "name")
    for _ in range(2):
        history.run(Step("run"))
        assert [case.fields for case in history.cases] == [("name",)]


def test_s55_a_write_without_proof_is_nobodys_edit() -> None:
    """The version that the next read finds as we left it is our own write's."""
    history = life(flow(Policy("newest")), {**PROVING, "b": Nature(proves=False)})
    history.edit("b", "tags")
    history.run(Step("run"))
    made = history.rows["b"]["b1"].modified
    history.edit("a", "city")
    for _ in range(2):
        history.run(Step("run"))
    assert history.entity.links["b"].edited == made
    assert history.entity.links["b"].own_time == history.rows["b"]["b1"].modified


def test_f7_after_a_write_without_proof_the_version_before_it_proves_nothing() -> None:
    """Law 5: the base was not confirmed at that version: a read begun before the write is none."""
    history = life(flow(), {**PROVING, "b": Nature(proves=False)})
    before, began = history.record("b", history.rows["b"]["b1"]), history.tick
    history.edit("a", "name")
    history.run(Step("run"))
    reads = {m: Read(ReadStatus.UNREAD) for m in MEMBERS}
    reads["b"] = Read(ReadStatus.SEEN, before, began, True)
    plan = plan_entity(history.rules, history.entity, reads, (), RUN, TICK)
    assert not plan.cases and not plan.operations


def test_law_3_an_agreed_value_that_wins_stays_its_origins() -> None:
    """b comes back and wants what a gave meanwhile, c something else: a's value wins under
    `prefer:a`, and is a's still, as the next contest under that policy has to know."""
    history = life(flow(Policy("prefer", ("a",))))
    history.edit("a", "name")
    wanted = history.edits[-1].value
    history.run(Step("run", away=frozenset("bc")))
    history.put("b", "b1", {"name": wanted})
    history.edit("c", "name")
    history.run(Step("run"))
    origin = history.entity.agreed["name"].origin
    assert (agreed(history, "name"), origin.member, origin.rule) == (wanted, "a", "prefer:a")


@pytest.mark.parametrize("fill", [True, False])
def test_law_13_a_blank_beats_no_value(fill: bool) -> None:
    """Laws 1, 9 and 13: a is preferred and had none when it was first seen; b's value is taken,
    and what b makes of it later as well."""
    rules = flow(Policy("prefer", ("a",)), a=Mode.SOURCE, b=Mode.SOURCE)
    rules = replace(rules, fields={name: replace(f, fill=fill) for name, f in rules.fields.items()})
    history = History(rules, PROVING, plan_entity, "bc")
    history.put("a", "a1", {"city": "here"})
    stands = history.rows["b"]["b1"].fields["name"]
    history.rows["c"]["c1"].fields["name"] = None
    history.run(Step("run"))
    assert agreed(history, "name") == stands
    history.edit("b", "name")
    history.run(Step("run"))
    assert agreed(history, "name") == history.edits[-1].value


def test_i2_an_agreed_blank_that_first_sight_overrules_is_told() -> None:
    """I2, law 9: a blanks the name; b, deleted and made again, has one and is preferred."""
    rules = flow(a=Mode.SOURCE, c=Mode.SOURCE)
    prefer = (Policy("prefer", ("b",)),)
    rules = replace(
        rules,
        fields={n: replace(f, first=prefer) for n, f in rules.fields.items()},
        deletes=Deletes.PROPAGATE,
        deletes_all=True,
        delete_conflict=DeleteConflict.EDIT_WINS,
    )
    blanked = Step("edit", "a", "name", blank=True)
    steps = [blanked, Step("delete", "b"), Step("run"), Step("create", "b")]
    history = play(rules, PROVING, steps, plan_entity, "a")
    assert not history.broken, history.broken


def test_i2_a_set_overwritten_where_it_has_no_say_is_told() -> None:
    """I2, law 15: sets of sources unite; what a mere target held at first sight is in no union,
    so that its loss is named in the audit."""
    rules = flow(Policy("merge"), c=Mode.TARGET)
    tags = replace(rules.fields["tags"], first=(Policy("prefer", ("b",)),))
    rules = replace(rules, fields={**rules.fields, "tags": tags})
    whole = dict.fromkeys(FIELDS, "x")
    held = {"a": ["1"], "b": ["1"], "c": ["9"]}
    reads = {
        m: Read(ReadStatus.SEEN, Record(m, {**whole, "tags": held[m]}), TICK, True) for m in MEMBERS
    }
    entity = Entity(0, links={m: Link(m, m) for m in MEMBERS})
    plan = plan_entity(rules, entity, reads, (), RUN, TICK)
    assert plan.entity.agreed["tags"].value == ["1"]
    lost = [(n.member, n.values) for n in plan.notes if n.kind is NoteKind.LOST]
    assert lost == [("c", {"tags": ["9"]})]


def test_i2_what_a_ranked_value_replaces_is_noted() -> None:
    """Law 13: b's edit was agreed; then a, which cannot be written, changes, and the policy ranks
    c's old value first, against another edit of b in the same group."""
    rules = flow(Policy("prefer", ("c", "a")), a=Mode.SOURCE, c=Mode.SOURCE)
    history = life(rules)
    history.edit("b", "sum")
    first = history.edits[-1].value
    history.run(Step("run"))
    history.edit("a", "sum")
    history.edit("b", "unit")
    second = history.edits[-1].value
    history.run(Step("run"))
    kept = {v for n in history.notes if n.kind is NoteKind.LOST for v in n.values.values()}
    assert {first, second} <= kept
