"""The checks can fail: each of these small mistakes is one that they must catch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, find, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample
from law.history import Planner
from law.judge import play
from law.stories import Tale, natures, steps
from law.worlds import flows

from syncd.core.model import Base, EntityPlan, OpKind, Read, ReadStatus
from syncd.core.plan import plan_entity
from syncd.core.rules import Deletes


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
    rules, entity, reads, decisions, now, run, tick = question
    gone = {
        m: Read(ReadStatus.MISSING, tick=tick, complete=True)
        if r.status is ReadStatus.UNREAD and m in entity.links
        else r
        for m, r in reads.items()
    }
    return plan_entity(rules, entity, gone, decisions, now, run, tick)


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
    rules, entity, reads, decisions, now, run, tick = question
    fresh = {m: replace(r, tick=tick) for m, r in reads.items()}
    return plan_entity(rules, entity, fresh, decisions, now, run, tick)


MUTANTS: list[Callable[..., EntityPlan]] = [
    base_moved_before_confirmation,
    sequence_ignored,
    null_taken_for_unread,
    unread_taken_for_deleted,
    losers_keep_their_base,
    old_reads_believed,
]

SEARCH = settings(
    max_examples=600,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def caught(planner: Planner, strict: bool) -> bool:
    """Whether some history breaks a promise. strict: with the oracle beside the invariants."""

    def breaks(tale: Tale) -> bool:
        return bool(play(tale.rules, tale.natures, tale.steps, planner, tale.begin, strict).broken)

    tales = st.builds(
        Tale, flows(modes=False, deletes=Deletes.PROPAGATE), natures(plain=True), steps()
    )
    try:
        find(tales, breaks, settings=SEARCH)
    except NoSuchExample:
        return False
    return True


@pytest.mark.parametrize("planner", MUTANTS, ids=lambda planner: planner.__name__)
def test_the_oracle_catches(planner: Planner) -> None:
    assert caught(planner, strict=True)


@pytest.mark.parametrize("planner", MUTANTS, ids=lambda planner: planner.__name__)
def test_the_invariants_alone_catch(planner: Planner) -> None:
    assert caught(planner, strict=False)


@pytest.mark.parametrize("strict", [True, False])
def test_the_planner_itself_is_not_caught(strict: bool) -> None:
    assert not caught(plan_entity, strict)
