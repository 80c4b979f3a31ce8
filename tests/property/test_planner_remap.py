"""A changed mapping is no edit (law 9), absent is not blank (S52), and planning has no effect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from law import SCALE, show
from law.mutants import broken, caught
from law.worlds import FIELDS, GROUPS, MEMBERS, RUN, TICK, World, worlds

from syncd.core.model import (
    UNSET,
    EntityPlan,
    Fields,
    Link,
    Read,
    ReadStatus,
    Record,
    Value,
)
from syncd.core.plan import plan_entity

BROAD = settings(
    max_examples=150 * SCALE,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
Planner = Callable[..., EntityPlan]


def plan_of(world: World, planner: Planner = plan_entity) -> EntityPlan:
    return planner(world.rules, world.entity, world.reads, (), RUN, TICK)


def shift(value: Value) -> Value:
    """Another form of the same value: of one type in another, say."""
    if isinstance(value, list):
        return [shift(item) for item in value]
    return value if value is None else f"t-{value}"


def shifted(fields: Fields) -> dict[str, Value]:
    return {name: shift(value) for name, value in fields.items()}


def spelled_out(world: World) -> World:
    """Rows are looked at anew under another mapping: none of them is known by its hash."""
    reads = {}
    for member, read in world.reads.items():
        link = world.entity.links.get(member)
        if read.status is ReadStatus.SAME and link is not None:
            held = {name: base.value for name, base in link.bases.items()}
            record = Record(link.key, held, link.version, link.own_time)
            read = replace(read, status=ReadStatus.SEEN, record=record)
        reads[member] = read
    return replace(world, reads=reads)


def remapped(world: World) -> World:
    """The same world after its mapping changed at every member; nobody edited anything."""
    members = {m: replace(r, fingerprint=f"new-{m}") for m, r in world.rules.members.items()}
    reads: dict[str, Read] = {}
    for member, read in world.reads.items():
        if read.record is not None:
            record = read.record
            record = replace(record, fields=shifted(record.fields), former=record.fields)
            read = replace(read, record=record)
        reads[member] = read
    return replace(world, rules=replace(world.rules, members=members), reads=reads)


def plain(world: World) -> bool:
    """No row spelled otherwise than its base since the last run, and of each agreed value a
    member that still holds exactly that, from which its new form is known."""
    for member, link in world.entity.links.items():
        record = world.reads[member].record
        if record is None or world.reads[member].tick < link.moved_tick:
            return False
        if world.reads[member].shows is not None:
            return False
        for name, base in link.bases.items():
            compare, value = world.rules.fields[name].compare, record.fields[name]
            if compare(value) == compare(base.value) and value != base.value:
                return False
    for name, agreed in world.entity.agreed.items():
        holders = [
            link
            for member, link in world.entity.links.items()
            if name in link.bases
            and link.bases[name].seq == agreed.seq
            and link.bases[name].value == agreed.value
            and holds(world.reads[member], name, agreed.value)
        ]
        if not holders:
            return False
    return True


def holds(read: Read, name: str, value: Value) -> bool:
    return read.record is not None and read.record.fields[name] == value


def sent(plan: EntityPlan, group: tuple[str, ...]) -> dict[str, dict[str, Value]]:
    """What is written of a group, by member."""
    found = {
        op.member: {n: v for n, v in op.fields.items() if n in group} for op in plan.operations
    }
    return {member: fields for member, fields in found.items() if fields}


def editors(world: World, group: tuple[str, ...]) -> list[str]:
    """Members that changed something of the group."""
    found = []
    for member, link in world.entity.links.items():
        record = world.reads[member].record
        assert record is not None
        if any(n in link.bases and record.fields[n] != link.bases[n].value for n in group):
            found.append(member)
    return found


def check_remapped(world: World, planner: Planner = plan_entity) -> None:
    """Where nobody edited, all is as it was, in the new forms; an edit stays a candidate."""
    assume(plain(world))
    old, new = plan_of(world), plan_of(remapped(world), planner)
    text = f"{show.plan(old)}\n{show.plan(new)}"
    for group in GROUPS:
        edited = editors(world, group)
        if edited:
            for member in edited:
                accounted(world, group, member, new, text)
            continue
        for name in group:
            was, now = old.entity.agreed[name], new.entity.agreed[name]
            assert (now.seq, now.value) == (was.seq, shift(was.value)), text
        expected = {m: shifted(fields) for m, fields in sent(old, group).items()}
        assert sent(new, group) == expected, text
        assert not [c for c in new.cases if set(c.fields) & set(group)], text


def accounted(
    world: World, group: tuple[str, ...], member: str, plan: EntityPlan, text: str
) -> None:
    """An edit made when the mapping changed is agreed, asked about, or noted."""
    record = world.reads[member].record
    assert record is not None
    if any(set(case.fields) & set(group) for case in plan.cases):
        return
    merged = world.rules.fields[group[0]].is_set
    noted = {n for note in plan.notes if note.member == member for n in note.fields}
    for name in group:
        base = world.entity.links[member].bases.get(name)
        if base is None or base.value == record.fields[name] or merged:
            continue
        compare = world.rules.fields[name].compare
        won = compare(plan.entity.agreed[name].value) == compare(shift(record.fields[name]))
        assert won or name in noted, text


@BROAD
@given(worlds(plain=True, unread=False).map(spelled_out))
def test_s78_f50_a_changed_mapping_writes_nothing_by_itself(world: World) -> None:
    """Never a mass edit; what was edited, pending or in conflict before stays that."""
    check_remapped(world)


@BROAD
@given(worlds(plain=True, unread=False).map(spelled_out), st.sampled_from(MEMBERS))
def test_a_mapping_changed_at_one_member_only(world: World, member: str) -> None:
    """Its form becomes its own: nothing is written there, and nobody else hears of it."""
    assume(member in world.entity.links and len(world.entity.links) > 1 and not ranked(world))
    world = in_step(world, member)
    whole = remapped(world)
    rules = replace(
        world.rules,
        members={**world.rules.members, member: whole.rules.members[member]},
    )
    reads = {**world.reads, member: whole.reads[member]}
    old, new = plan_of(world), plan_of(replace(world, rules=rules, reads=reads))
    text = f"{show.plan(old)}\n{show.plan(new)}"
    for group in GROUPS:
        if editors(world, group):
            continue  # a decision takes a new sequence, and may then be written there, too
        for name in group:
            assert new.entity.agreed[name] == old.entity.agreed[name], text
        assert sent(new, group) == sent(old, group), text


def in_step(world: World, member: str) -> World:
    """The world in which this member has received everything, and its users did nothing."""
    link = world.entity.links[member]
    bases = {n: replace(b, seq=world.entity.agreed[n].seq) for n, b in link.bases.items()}
    links = {**world.entity.links, member: replace(link, bases=bases)}
    record = Record(link.key, {n: b.value for n, b in bases.items()}, link.version)
    reads = {**world.reads, member: replace(world.reads[member], record=record)}
    return replace(world, entity=replace(world.entity, links=links), reads=reads)


def ranked(world: World) -> bool:
    """Law 13 compares the forms of sources that cannot be written with each other."""
    rules = world.rules
    return any(len(set(rules.sources(g[0])) - set(rules.targets(g[0]))) > 1 for g in GROUPS)


def unremembered(world: World, member: str) -> World:
    """The member's mapping changed, and what its rows were under the former one cannot be told."""
    whole = remapped(world)
    record = whole.reads[member].record
    assert record is not None
    # what it says is evidence
    read = replace(whole.reads[member], record=replace(record, former=None), shows=None)
    changed = whole.rules.members[member]
    rules = replace(world.rules, members={**world.rules.members, member: changed})
    return replace(world, rules=rules, reads={**world.reads, member: read})


def check_rebases(world: World, member: str, planner: Planner = plan_entity) -> None:
    """An operation is a rebase iff it sends a field that the mapping may have changed."""
    world = unremembered(world, member)
    record, bases = world.reads[member].record, world.entity.links[member].bases
    assert record is not None
    plan = plan_of(world, planner)
    moved = set()
    for name, base in bases.items():
        compare = world.rules.fields[name].compare
        if compare(record.fields[name]) != compare(base.value):
            moved.add(name)
    for op in plan.operations:
        touched = any(moved & set(group) and set(op.fields) & set(group) for group in GROUPS)
        assert op.rebase == touched, show.plan(plan)


REBASED = st.tuples(worlds(plain=True, unread=False).map(spelled_out), st.sampled_from(MEMBERS))
REBASED = REBASED.filter(lambda one: one[1] in one[0].entity.links)


@BROAD
@given(REBASED)
def test_i9_what_follows_from_a_mapping_counts_as_a_rebase(one: tuple[World, str]) -> None:
    """Law 16: of the causing member, at each target."""
    check_rebases(*one)


@pytest.mark.parametrize("flag", [True, False])
def test_the_check_of_rebases_catches(flag: bool) -> None:
    def flagged(*question: Any) -> EntityPlan:
        plan = plan_entity(*question)
        return replace(plan, operations=tuple(replace(o, rebase=flag) for o in plan.operations))

    assert caught(REBASED, broken(lambda one: check_rebases(*one, flagged)))


def all_changed(rules: Any, entity: Any, reads: Any, *rest: Any) -> EntityPlan:
    """Bases are compared with the new forms as they are."""
    bare = {
        m: replace(r, record=replace(r.record, former=None)) if r.record is not None else r
        for m, r in reads.items()
    }
    return plan_entity(rules, entity, bare, *rest)


def rebased_blindly(rules: Any, entity: Any, reads: Any, *rest: Any) -> EntityPlan:
    """The base is recomputed where a change was open, too."""
    links: dict[str, Link] = {}
    for member, link in entity.links.items():
        record = reads[member].record
        former = record.former if record is not None and record.former is not None else {}
        moved = {
            n: replace(b, value=former[n]) if n in former else b for n, b in link.bases.items()
        }
        links[member] = replace(link, bases=moved)
    return plan_entity(rules, replace(entity, links=links), reads, *rest)


@pytest.mark.parametrize(
    "mutant", [all_changed, rebased_blindly], ids=lambda mutant: mutant.__name__
)
def test_the_check_of_mappings_catches(mutant: Planner) -> None:
    examples = worlds(plain=True, unread=False).map(spelled_out).filter(plain)
    assert caught(examples, broken(lambda world: check_remapped(world, mutant)))


# absent


def without(world: World, member: str, group: tuple[str, ...]) -> World:
    read = world.reads[member]
    assert read.record is not None
    left = {n: v for n, v in read.record.fields.items() if n not in group}
    reads = {**world.reads, member: replace(read, record=replace(read.record, fields=left))}
    return replace(world, reads=reads)


@BROAD
@given(worlds().map(spelled_out), st.sampled_from(MEMBERS), st.sampled_from(GROUPS))
def test_s52_f41_an_absent_field_says_nothing(
    world: World, member: str, group: tuple[str, ...]
) -> None:
    """A field the record does not carry is neither blank nor changed, and is not written."""
    link = world.entity.links.get(member)
    assume(link is not None and world.reads[member].record is not None)
    assert link is not None
    assume(set(group) <= set(link.bases))
    plan = plan_of(without(world, member, group))
    text = f"{world}{show.plan(plan)}"
    for op in plan.operations:
        assert op.member != member or not set(op.fields) & set(group), text
    for name in group:
        base = plan.entity.links[member].bases[name]
        assert base == link.bases[name], text
        now, before = plan.entity.agreed[name], world.entity.agreed[name]
        if now.seq > before.seq and before.origin.member != member and not ranked(world):
            assert now.origin.member != member, text
    held = {name: link.bases[name].value for name in group}  # law 13: it counts with its base
    for case in plan.cases:
        for candidate in case.candidates:
            if candidate.source == member and set(case.fields) & set(group):
                assert candidate.values == held, text


# no effect


def frozen(thing: Any) -> str:
    return repr(thing)


@BROAD
@given(worlds())
def test_s60_planning_has_no_effect(world: World) -> None:
    """I6, law 8: asked twice, answered alike; what was asked about is as it was."""
    asked = frozen((world.entity, world.reads, world.rules.fields))
    plans = [plan_of(world) for _ in range(2)]
    assert plans[0] == plans[1]
    assert frozen((world.entity, world.reads, world.rules.fields)) == asked
    assert set(plans[0].entity.agreed) == set(FIELDS)


def test_unset_is_no_value() -> None:
    values: Mapping[str, Value] = {"name": None}
    assert values.get("city", UNSET) is UNSET and values["name"] is not UNSET
