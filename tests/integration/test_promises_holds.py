"""Promises about what a guard held (law 16): a member is away, or somebody edits meanwhile."""

from __future__ import annotations

import pytest
from kinds import LOCAL
from world import Member, World

from syncd.errors import Unreachable

pytestmark = LOCAL


def people(world: World, members: str, count: int) -> list[int]:
    """So many people, the same everywhere."""
    world.flow({m: Member() for m in members}, deletes="propagate")
    keys = [world.add("a", email=f"p{n}@x.org", name="P", phone="1") for n in range(count)]
    world.settle()
    return keys


def away(world: World, member: str) -> None:
    """One run without it."""
    world.accidents[member].unread = Unreachable("it does not answer")
    world.run()
    world.accidents[member].unread = None


def held(world: World) -> list[tuple[str, str, int]]:
    return [(hold.kind, hold.cause, len(world.held(hold))) for hold in world.holds()]


def test_i9_what_is_held_stays_so_while_its_target_is_away(world: World) -> None:
    """I9: were the edits recorded while b is away, they would go out as nobody's."""
    keys = people(world, "ab", 60)
    for key in keys[:20]:
        world.edit("a", key, name=f"x{key}")
    world.run()
    for key in keys[20:30]:
        world.edit("a", key, name=f"bad{key}")
    world.run()
    assert world.written == [] and held(world) == [("update", "a", 10)]
    away(world, "b")
    world.run()
    assert world.written == [] and held(world) == [("update", "a", 10)]
    world.approve(world.holds()[0])
    world.settle()
    assert world.equal() and held(world) == []


def test_i9_a_deletion_that_is_held_stays_so_while_its_target_is_away(world: World) -> None:
    keys = people(world, "ab", 30)
    world.remove("a", *keys[:20])
    world.run()
    assert held(world) == [("delete", "a", 20)]
    away(world, "b")
    world.run()
    assert world.written == [] and held(world) == [("delete", "a", 20)]
    world.approve(world.holds()[0])
    world.settle()
    assert len(world.rows("b")) == 10


def test_law_16_whose_change_it_is_is_known_when_its_target_is_back(world: World) -> None:
    """40 of 60 updates caused by a within the window, half of them decided while b was away."""
    keys = people(world, "ab", 60)
    for key in keys[:20]:
        world.edit("a", key, name=f"x{key}")
    world.run()
    assert len(world.written) == 20
    for key in keys[20:40]:
        world.edit("a", key, name=f"y{key}")
    away(world, "b")
    world.run()
    assert world.written == [] and held(world) == [("update", "a", 20)]


def test_law_16_a_late_create_counts_for_the_member_it_came_from(world: World) -> None:
    people(world, "abc", 5)
    world.add("c", email="new@x.org", name="N", phone="1")
    away(world, "b")
    report = world.run()
    assert [(p.operation.member, p.operation.cause) for p in report.operations] == [("b", "c")]


@pytest.mark.parametrize("later", [{"name": "right"}, {"phone": "new", "name": "right"}])
def test_i2_taking_back_what_is_held_leaves_what_was_edited_since(
    world: World, later: dict[str, str]
) -> None:
    """I2: a mass mistake is held; somebody mends a record of it by hand, and only then the rest is
    taken back."""
    keys = people(world, "ab", 30)
    changed = {"name": "bad"} if len(later) == 1 else {"phone": None}
    for key in keys:
        world.edit("a", key, **changed)
    world.run()
    (hold,) = world.holds()
    world.edit("a", keys[0], **later)
    world.discard(hold, revert=True)
    world.settle()
    rows = world.rows("a")
    assert {n: rows[keys[0]][n] for n in later} == later
    assert {(rows[key]["name"], rows[key]["phone"]) for key in keys[1:]} == {("P", "1")}
    assert world.equal() and held(world) == []


def test_law_16_a_deletion_is_taken_back_though_its_target_was_away(world: World) -> None:
    keys = people(world, "ab", 30)
    world.remove("a", *keys[:20])
    away(world, "b")
    world.run()
    assert held(world) == [("delete", "a", 20)]
    world.discard(world.holds()[0], revert=True)
    world.settle()
    assert held(world) == [] and len(world.rows("a")) == len(world.rows("b")) == 30
