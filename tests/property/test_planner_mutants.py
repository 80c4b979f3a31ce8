"""The checks can fail: each of these small mistakes is one that they must catch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st
from law.history import Planner
from law.judge import play
from law.mutants import caught
from law.stories import Tale, natures, steps
from law.worlds import flows

from syncd.core.model import Base, EntityPlan, OpKind, Read, ReadStatus
from syncd.core.plan import plan_entity
from syncd.core.rules import Deletes, FlowRules, Policy


def base_moved_before_confirmation(*question: Any) -> EntityPlan:
    """The base of every field sent already stands at the value sent."""
    plan = plan_entity(*question)
    links = dict(plan.entity.links)
    for op in plan.operations:
        if op.kind is OpKind.UPDATE:
            moved = {f: Base(v, op.seqs[f]) for f, v in op.fields.items()}
            link = links[op.member]
            links[op.member] = replace(link, bases={**link.bases, **moved})
    return replace(plan, entity=replace(plan.entity, links=links))


def sequence_ignored(*question: Any) -> EntityPlan:
    """A base behind the agreed sequence counts as one in step ("the plain rule")."""
    rules, entity, *rest = question
    links = {}
    for member, link in entity.links.items():
        forward = {
            f: replace(b, seq=entity.agreed[f].seq) if f in entity.agreed else b
            for f, b in link.bases.items()
        }
        links[member] = replace(link, bases=forward)
    return plan_entity(rules, replace(entity, links=links), *rest)


def null_taken_for_unread(*question: Any) -> EntityPlan:
    """A blanked field counts as one that was not read: its base stands in for it."""
    rules, entity, reads, *rest = question
    seen = {}
    for member, read in reads.items():
        link = entity.links.get(member)
        if read.record is not None and link is not None:
            fields = {
                f: link.bases[f].value if v is None and f in link.bases else v
                for f, v in read.record.fields.items()
            }
            read = replace(read, record=replace(read.record, fields=fields))
        seen[member] = read
    return plan_entity(rules, entity, seen, *rest)


def unread_taken_for_deleted(*question: Any) -> EntityPlan:
    """A member that could not be read has lost its records (against I14)."""
    rules, entity, reads, decisions, run, tick = question
    gone = {
        m: Read(ReadStatus.MISSING, tick=tick, complete=True)
        if r.status is ReadStatus.UNREAD and m in entity.links
        else r
        for m, r in reads.items()
    }
    return plan_entity(rules, entity, gone, decisions, run, tick)


def losers_keep_their_base(*question: Any) -> EntityPlan:
    """A base moves only with a write; the edits that were decided on stay changes."""
    plan = plan_entity(*question)
    entity = question[1]
    links = {
        m: replace(link, bases=entity.links[m].bases)
        if m in entity.links and entity.links[m].bases
        else link
        for m, link in plan.entity.links.items()
    }
    return replace(plan, entity=replace(plan.entity, links=links))


def old_reads_believed(*question: Any) -> EntityPlan:
    """A read begun before the base moved counts as one of now (F7)."""
    rules, entity, reads, decisions, run, tick = question
    fresh = {m: replace(r, tick=tick) for m, r in reads.items()}
    return plan_entity(rules, entity, fresh, decisions, run, tick)


def lag_ignored(*question: Any) -> EntityPlan:
    """A read within the lag counts as one of now."""
    rules, entity, reads, *rest = question
    all_shown = {m: replace(r, shows=None) for m, r in reads.items()}
    return plan_entity(rules, entity, all_shown, *rest)


def old_answers_taken(*question: Any) -> EntityPlan:
    """A decision counts for whatever case is open by now (F71)."""
    rules, entity, reads, decisions, *rest = question
    cases = plan_entity(rules, entity, reads, (), *rest).cases
    moved = [replace(d, digest=c.digest) for d in decisions for c in cases]
    return plan_entity(rules, entity, reads, moved, *rest)


def removals_forgotten(*question: Any) -> EntityPlan:
    """Sets only grow."""
    rules, entity = question[:2]
    plan = plan_entity(*question)
    agreed = dict(plan.entity.agreed)
    for name, now in agreed.items():
        before = entity.agreed.get(name)
        if rules.fields[name].is_set and before is not None and now.seq > before.seq:
            whole = sorted({*(now.value or []), *(before.value or [])})
            agreed[name] = replace(now, value=whole)
    operations = tuple(
        replace(op, fields={f: agreed[f].value for f in op.fields}) for op in plan.operations
    )
    return replace(plan, entity=replace(plan.entity, agreed=agreed), operations=operations)


def losers_untold(*question: Any) -> EntityPlan:
    """What a policy or a person decides against is not noted."""
    return replace(plan_entity(*question), notes=())


def deletes_from_anyone(*question: Any) -> EntityPlan:
    """Whoever deletes is heard."""
    rules, *rest = question
    return plan_entity(replace(rules, deletes_from=None, deletes_all=False), *rest)


def times_of_waiting_edits_forgotten(*question: Any) -> EntityPlan:
    """An edit that stands in an open case is not timed: our next write hides when it was made."""
    plan, entity = plan_entity(*question), question[1]
    waits = {c.source for case in plan.cases for c in case.candidates}
    links = {
        m: replace(link, edited=entity.links[m].edited)
        if m in waits and m in entity.links and entity.links[m].edited
        else link
        for m, link in plan.entity.links.items()
    }
    return replace(plan, entity=replace(plan.entity, links=links))


def newest(rules: FlowRules) -> FlowRules:
    """Edits a few seconds apart are a tie, those of different runs are not."""
    last = (Policy("newest"),)
    fields = {n: replace(f, conflict=last, owner=None) for n, f in rules.fields.items()}
    return replace(rules, fields=fields, tolerance=5.0)


def merging(rules: FlowRules) -> FlowRules:
    tags = replace(rules.fields["tags"], conflict=(Policy("merge"),), owner=None)
    return replace(rules, fields={**rules.fields, "tags": tags})


MUTANTS: list[Callable[..., EntityPlan]] = [
    base_moved_before_confirmation,
    sequence_ignored,
    null_taken_for_unread,
    unread_taken_for_deleted,
    losers_keep_their_base,
    old_reads_believed,
]
PLAIN = st.builds(Tale, flows(modes=False, deletes=Deletes.PROPAGATE), natures(plain=True), steps())
SLOW = natures(plain=True).map(lambda known: {m: replace(n, lag=100.0) for m, n in known.items()})
ASKED = st.builds(Tale, flows(modes=False), natures(plain=True), steps(persons=True))
MERGED = st.builds(Tale, flows(modes=False).map(merging), natures(plain=True), steps(faults=False))
TIMED = st.builds(Tale, flows(modes=False).map(newest), natures(plain=True), steps())
ONE_DELETES = flows(modes=False, deletes=Deletes.PROPAGATE, deletes_from=("a",))
DELETED = st.builds(Tale, ONE_DELETES, natures(plain=True), steps(deletes=True))
OTHERS: list[tuple[Callable[..., EntityPlan], st.SearchStrategy[Tale]]] = [
    (lag_ignored, st.builds(Tale, flows(modes=False), SLOW, steps())),
    (old_answers_taken, ASKED),
    (removals_forgotten, MERGED),
    (times_of_waiting_edits_forgotten, TIMED),
    (losers_untold, ASKED),
    (deletes_from_anyone, DELETED),
]


def caught_in(planner: Planner, tales: st.SearchStrategy[Tale], strict: bool) -> bool:
    """Whether some history breaks a promise. strict: with the oracle beside the invariants."""

    def breaks(tale: Tale) -> bool:
        return bool(play(tale.rules, tale.natures, tale.steps, planner, tale.begin, strict).broken)

    return caught(tales, breaks)


@pytest.mark.parametrize("planner", MUTANTS, ids=lambda planner: planner.__name__)
def test_the_oracle_catches(planner: Planner) -> None:
    assert caught_in(planner, PLAIN, strict=True)


@pytest.mark.parametrize("planner", MUTANTS, ids=lambda planner: planner.__name__)
def test_the_invariants_alone_catch(planner: Planner) -> None:
    assert caught_in(planner, PLAIN, strict=False)


@pytest.mark.parametrize(("planner", "tales"), OTHERS, ids=lambda one: getattr(one, "__name__", ""))
def test_the_invariants_catch_also(planner: Planner, tales: st.SearchStrategy[Tale]) -> None:
    assert caught_in(planner, tales, strict=False)


@pytest.mark.parametrize("tales", [PLAIN, TIMED], ids=["plain", "timed"])
def test_the_planner_itself_is_not_caught(tales: st.SearchStrategy[Tale]) -> None:
    assert not caught_in(plan_entity, tales, strict=True)
