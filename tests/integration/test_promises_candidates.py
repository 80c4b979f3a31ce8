"""Promises of creating (law 11): a record is made only where this run has proved that none with
its key stands there, whether that one takes part or not, and however the key came to be."""

from __future__ import annotations

from typing import Any

import pytest
from kinds import LOCAL
from world import PEOPLE, Member, World

from syncd.core.keys import encode
from syncd.core.model import CaseKind, Choice, LinkState
from syncd.engine.result import RunMode
from syncd.errors import Unreachable
from syncd.store import identity

pytestmark = LOCAL
DOWN = Unreachable("b is down")
TOLD = Member(extra={"touched": "INTEGER"}, options={"cursor": "touched", "overlap": 0})


def person(email: str, name: str = "P", phone: str = "1", **more: Any) -> dict[str, Any]:
    return {"email": email, "name": name, "phone": phone, **more}


def emails(world: World, member: str = "b") -> list[str]:
    return [row[0] for row in world.table(member)]


def unlink(world: World, member: str, key: Any) -> None:
    with world.acting() as act:
        identity.unlink(act, (member, encode([key])))


def waiting(world: World, mode: RunMode = RunMode.FULL, **values: Any) -> Any:
    """A new person of a, whom b, which is down, did not get."""
    world.accidents["b"].unread = DOWN
    key = world.add("a", **values)
    world.run(mode=mode)
    assert "a" in world.linked("a", key) and "b" not in world.linked("a", key)
    world.accidents["b"].unread = None
    return key


# --- in an incremental run ----------------------------------------------------------------------


@pytest.mark.parametrize("readable", [True, False])
def test_i4_what_waits_is_not_created_by_a_search_for_others(world: World, readable: bool) -> None:
    """I4: a search of b for one new person proves nothing for another, who waits: two of b have her
    key, or one that cannot be read, and neither moved since the cursor."""
    fields = {**PEOPLE, "age": "integer"}
    world.flow({"a": TOLD, "b": TOLD}, fields)
    world.add("a", **person("x@x.org", age="1", touched=1))
    world.settle()
    ages = ("1", "2") if readable else ("none",)
    for age in ages:
        world.add("b", **person("k@x.org", age=age, touched=2))
    world.add("b", **person("later@x.org", age="3", touched=3))
    world.settle()
    waiting(world, RunMode.INCREMENTAL, **person("k@x.org", age="4", touched=4))
    world.add("a", **person("other@x.org", age="5", touched=5))
    world.run(mode=RunMode.INCREMENTAL)
    assert emails(world).count("k@x.org") == len(ages)
    assert emails(world).count("other@x.org") == 1


def test_i1_what_waits_is_created_once_a_run_has_looked_for_it(world: World) -> None:
    """I1: the next full run looks for everybody."""
    world.flow({"a": TOLD, "b": TOLD})
    world.add("a", **person("x@x.org", touched=1))
    world.settle()
    waiting(world, RunMode.INCREMENTAL, **person("k@x.org", touched=2))
    world.add("a", **person("other@x.org", touched=3))
    world.run(mode=RunMode.INCREMENTAL)
    world.settle()
    assert world.equal() and len(emails(world)) == 3


# --- beside a record that takes no part ---------------------------------------------------------


def test_i4_a_waiting_record_takes_the_key_of_an_unlinked_one(world: World) -> None:
    """I4, law 10: the key it is given is that of a record that stays in b, unlinked: one case, and
    nothing is created, as often as that is asked."""
    world.flow({"a": Member(), "b": Member()}, deletes="unlink")
    old = world.add("a", **person("old@x.org"))
    world.add("a", **person("x@x.org"))
    world.settle()
    world.remove("a", old)
    world.settle()
    key = waiting(world, **person("new@x.org"))
    world.edit("a", key, email="old@x.org")
    for _ in range(3):
        world.run()
        assert emails(world).count("old@x.org") == 1
        assert world.case().case.kind is CaseKind.SAME_ENTITY
    world.remove("b", world.find("b", email="old@x.org"))  # and now there is none
    world.settle()
    assert world.cases() == []
    assert world.linked("a", key).keys() == {"a", "b"}


def test_i4_a_person_says_that_the_unlinked_record_is_another(world: World) -> None:
    """Law 10: never one; then both stand in b."""
    world.flow({"a": Member(), "b": Member()}, deletes="unlink")
    old = world.add("a", **person("old@x.org"))
    world.add("a", **person("x@x.org"))
    world.settle()
    world.remove("a", old)
    world.settle()
    left = world.find("b", email="old@x.org")
    key = waiting(world, **person("new@x.org"))
    world.edit("a", key, email="old@x.org")
    world.run()
    with world.acting() as act:
        pair = frozenset({("a", encode([key])), ("b", encode([left]))})
        identity.never(act, [pair])
    world.settle()
    assert world.cases() == []
    assert emails(world).count("old@x.org") == 2


def test_i4_a_declined_record_stays_a_candidate_when_its_entity_moves_on(world: World) -> None:
    """I4, law 11: b's record was declined with a discarded hold and keeps the old key; whoever
    comes with it next is a case."""
    world.flow({"a": Member(), "b": Member()}, guard={"updates": {"count": 0}})
    key = world.add("a", **person("k@x.org"))
    world.add("a", **person("x@x.org"))
    world.settle()
    world.edit("a", key, name="New")
    world.run()
    (hold,) = world.holds()
    world.discard(hold)
    world.run()
    assert world.link("a", key).state is LinkState.LIVE
    assert world.entity("a", key).links["b"].state is LinkState.DECLINED
    world.edit("a", key, email="new@x.org")
    world.run()
    world.add("a", **person("k@x.org", "Other"))
    for _ in range(2):
        world.run()
        assert emails(world).count("k@x.org") == 1
        assert world.case().case.kind is CaseKind.IDENTITY


@pytest.mark.parametrize("mode", [RunMode.FULL, RunMode.INCREMENTAL])
def test_i4_an_unlinked_record_is_a_candidate_by_the_key_it_has_now(
    world: World, mode: RunMode
) -> None:
    """I4, law 11: a person unlinked b's record, and it was edited afterwards."""
    world.flow({"a": TOLD, "b": TOLD})
    world.add("a", **person("k@x.org", touched=1))
    world.add("a", **person("x@x.org", touched=1))
    world.settle()
    left = world.find("b", email="k@x.org")
    unlink(world, "b", left)
    world.settle()
    world.edit("b", left, email="q@x.org", touched=2)
    world.run(mode=mode)
    world.add("b", **person("later@x.org", touched=3))
    world.run(mode=mode)
    world.add("a", **person("q@x.org", "Q", touched=4))
    world.run(mode=mode)
    assert emails(world).count("q@x.org") == 1
    assert world.case().case.kind is CaseKind.IDENTITY


def test_i4_a_key_that_a_person_typed_is_looked_up_too(world: World) -> None:
    """I4, law 11: no record read holds the key, so linking could not judge it: the value decided
    is that of a record unlinked from b, and c joins the case by lacking the person."""
    world.flow({"a": Member(), "c": Member(), "b": Member()}, match=["email"], deletes="unlink")
    old = world.add("a", **person("old@x.org"))
    world.add("a", **person("x@x.org"))
    world.settle()
    world.remove("a", old)
    world.settle()
    key = waiting(world, **person("new@x.org"))
    other = world.find("c", email="new@x.org")
    world.edit("a", key, email="one@x.org")
    world.edit("c", other, email="two@x.org")
    world.run()
    case = world.case(CaseKind.FIELD)
    world.decide(case, Choice.VALUE, None, email="old@x.org")
    for _ in range(3):
        world.run()
        assert emails(world).count("old@x.org") == 1
        assert world.case().case.kind is CaseKind.SAME_ENTITY
