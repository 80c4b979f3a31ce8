"""Promises of holds: what a person gives up is what the hold took, and an object may be empty of
records that take no part."""

from __future__ import annotations

import pytest
from kinds import LOCAL
from world import PEOPLE, Member, World

from syncd.core.keys import encode
from syncd.errors import ConfigError
from syncd.store import identity

pytestmark = LOCAL


def people(world: World, *members: str, count: int = 3) -> dict[tuple[str, int], int]:
    keys = {}
    for n in range(count):
        for member in members:
            made = world._made[member].member.fields or PEOPLE
            row = {"email": f"p{n}@x.org", "name": "P", "phone": "1"}
            keys[member, n] = world.add(member, **{f: v for f, v in row.items() if f in made})
    return keys


def phones(world: World, member: str) -> set[str]:
    return {row["phone"] for row in world.rows(member).values()}


def test_i9_reverting_a_hold_takes_back_what_it_took_and_no_more(world: World) -> None:
    """Law 16: b's limit stopped a's phones; c's new name for a, of a record that waits whole, is
    no part of that."""
    b, c = Member(fields=("email", "phone")), Member(fields=("email", "name"))
    world.flow({"a": Member(), "b": b, "c": c}, guard={"updates": 2})
    keys = people(world, "a", "b", "c")
    world.quiet(times=1)
    for n in range(3):
        world.edit("a", keys["a", n], phone="9")
    world.edit("c", keys["c", 0], name="New")
    world.run()
    (hold,) = world.holds()
    assert (hold.cause, hold.target) == ("a", "b")
    world.discard(hold, revert=True)
    world.run()
    assert phones(world, "a") == phones(world, "b") == {"1"}
    assert world.rows("a")[keys["a", 0]]["name"] == "New"
    assert world.rows("c")[keys["c", 0]]["name"] == "New"
    assert world.holds() == []
    world.quiet()


def test_i9_a_hold_takes_its_kind_and_cause_at_every_target(world: World) -> None:
    """I9, law 16: twelve deletions of a are too many for b, of which only few are left, and not for
    c; none of them runs, and an approval lets all of them."""
    guard = {"deletes": {"percent": 20}, "floor": 3}
    world.flow({m: Member() for m in "abc"}, deletes="propagate", guard=guard)
    keys = people(world, "a", count=60)
    world.settle()
    with world.acting() as act:
        for n in range(20, 60):
            identity.unlink(act, ("b", encode([world.find("b", email=f"p{n}@x.org")])))
    world.settle()
    world.remove("a", *(keys["a", n] for n in [*range(10), 20, 21]))
    world.run()
    assert world.written == []
    (hold,) = world.holds()
    assert (hold.kind, hold.cause, hold.target) == ("delete", "a", "b")
    assert hold.reason.startswith("b: 10 of 20 records")
    assert sorted(i.member for i in world.held(hold)) == ["b"] * 10 + ["c"] * 12
    world.approve(hold)
    world.run()
    assert sorted(world.written) == [("b", "delete")] * 10 + [("c", "delete")] * 12


def test_i9_reverting_a_hold_lets_no_other_change_past_its_limit(world: World) -> None:
    """Law 16: nothing unlisted is approved; c's names, which came since, are held in their turn,
    and the phones go back with them."""
    world.flow({m: Member() for m in "abc"}, guard={"updates": 2})
    keys = people(world, "a", "b", "c")
    world.quiet(times=1)
    for n in range(3):
        world.edit("a", keys["a", n], phone="9")
    world.run()
    (hold,) = world.holds()
    world.discard(hold, revert=True)
    for n in range(3):
        world.edit("c", keys["c", n], name="New")
    world.run()
    assert world.written == []
    (hold,) = world.holds()
    assert (hold.kind, hold.cause) == ("update", "c")
    world.approve(hold)
    world.settle()
    assert world.equal()
    assert world.table("a")[0][1:] == ("New", "1")


def test_i9_drift_that_is_kept_stays_when_another_change_is_reverted(world: World) -> None:
    """Law 16: the flow keeps drift; only the change that the hold took is put back."""
    fields = {**PEOPLE, "name": {"type": "text", "owner": "b"}}
    world.flow({"a": Member(), "b": Member()}, fields, drift="keep", guard={"updates": 2})
    keys = people(world, "a", "b")
    world.quiet(times=1)
    for n in range(3):
        world.edit("a", keys["a", n], phone="9")
    world.run()
    (hold,) = world.holds()
    world.discard(hold, revert=True)
    world.edit("a", keys["a", 0], name="Mine")
    world.run()
    assert phones(world, "a") == {"1"}
    assert world.rows("a")[keys["a", 0]]["name"] == "Mine"
    world.quiet()


def test_s29_a_reverted_deletion_makes_the_records_again(world: World) -> None:
    """S29: a's deletions are taken back where they were made, under whatever drift policy."""
    world.flow({"a": Member(), "b": Member()}, deletes="propagate", drift="keep",
               guard={"deletes": 2})  # fmt: skip
    keys = people(world, "a", "b", count=4)
    world.quiet(times=1)
    world.remove("a", *(keys["a", n] for n in range(3)))
    world.run()
    (hold,) = world.holds()
    world.discard(hold, revert=True)
    world.run()
    assert world.written == [("a", "insert")] * 3
    assert world.equal()
    world.quiet()


def test_a_hold_that_no_member_is_behind_is_not_reverted(world: World) -> None:
    """There is nothing to take back: refused with the way out; nothing runs by it."""
    fields = {**PEOPLE, "phone": {"type": "text", "owner": "b"}}
    world.flow({"a": Member(), "b": Member()}, fields, guard={"updates": 2})
    keys = people(world, "a", "b")
    world.quiet(times=1)
    for n in range(3):
        world.edit("a", keys["a", n], phone="9")
    world.run()
    (hold,) = world.holds()
    assert hold.cause == ""
    with pytest.raises(ConfigError) as refused:
        world.discard(hold, revert=True)
    assert refused.value.code == "SY0189"
    world.discard(hold)
    world.quiet()


def test_an_object_may_be_empty_of_records_that_take_no_part(world: World) -> None:
    """Law 16: an empty read trips where links are live; what a person unlinked is none."""
    world.flow({"a": Member(), "b": Member()})
    keys = people(world, "a", "b", count=1)
    world.quiet(times=1)
    with world.acting() as act:
        identity.unlink(act, ("b", encode([keys["b", 0]])))
    world.remove("b", keys["b", 0])
    report = world.run()
    assert world.holds() == []
    assert not [text for _, text in report.messages if "without a single record" in text]
    world.quiet()
