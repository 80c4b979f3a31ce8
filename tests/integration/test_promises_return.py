"""Promises about deleted records that come back: the entity lives again once, with every record of
it that stands anywhere, and no second one is made beside such a record (S35, I4)."""

from __future__ import annotations

from typing import Any

import pytest
from world import Member, World

from syncd.core.model import CaseKind, Choice

BORN, LATER = "2026-01-01 10:00:00", "2026-01-05 10:00:00"
STAMPED = Member(
    extra={"made": "TIMESTAMP NULL", "edited": "TIMESTAMP NULL", "erased": "INTEGER"},
    options={"created": "made", "modified": "edited", "soft_delete": "erased"},
)
MARKED = Member(extra={"erased": "INTEGER"}, options={"soft_delete": "erased"})
STAMPS = {"made": BORN, "edited": BORN, "erased": 0}


def person(number: int) -> dict[str, Any]:
    return {"email": f"p{number}@x.org", "name": f"P{number}", "phone": str(number)}


def deleted(world: World, b: Member) -> tuple[Any, Any]:
    """A record that was deleted at a, and so at b; its keys."""
    world.flow({"a": STAMPED, "b": b}, deletes="propagate")
    key = world.add("a", **person(1), **STAMPS)
    world.add("a", **person(2), **STAMPS)
    other = world.add("b", **person(1), **(STAMPS if b is STAMPED else {}))
    world.settle()
    world.edit("a", key, erased=1)
    world.settle()
    return key, other


def restore(world: World, member: str, key: Any) -> None:
    world.edit(member, key, erased=0, edited=LATER)


def test_s35_restored_at_two_members_it_lives_again_once(world: World) -> None:
    """I1, I4: every later run failed, as the state refused two plans for one entity."""
    a, b = deleted(world, STAMPED)
    restore(world, "a", a)
    restore(world, "b", b)
    assert world.run().exit_code == 0
    assert world.written == []
    assert set(world.linked("a", a)) == set(world.linked("b", b)) == {"a", "b"}
    world.quiet()


def test_s34_s35_restored_beside_a_late_copy_it_waits_for_that_to_go(world: World) -> None:
    """I4: b still shows the deleted record; once it does not, b gets a new one."""
    a, b = deleted(world, Member())
    restore(world, "a", a)
    world.add("b", b, **person(1))
    world.quiet()
    world.remove("b", b)
    world.run()
    assert world.written == [("b", "insert")]
    assert world.equal()
    world.quiet()


@pytest.mark.parametrize("choice", [Choice.KEEP, Choice.SPLIT])
def test_s35_restored_beside_one_that_is_asked_about_it_waits_for_the_answer(
    world: World, choice: Choice
) -> None:
    """I4: told that b's is the same, or another thing under its id, it is linked with that."""
    a, b = deleted(world, Member())
    restore(world, "a", a)
    world.add("b", b, **person(1))
    world.clock.advance(25 * 3600)
    assert world.run().exit_code == 3
    assert world.written == []
    world.decide(world.case(CaseKind.REAPPEARED), choice)
    assert world.run().exit_code == 0
    assert world.written == []
    assert set(world.linked("a", a)) == {"a", "b"}
    world.quiet()


def test_s35_restored_beside_a_new_record_with_its_key_it_is_linked_with_that(
    world: World,
) -> None:
    """I4: whoever missed it at b entered it anew."""
    a, _ = deleted(world, Member())
    restore(world, "a", a)
    other = world.add("b", 77, **person(1))
    assert world.run().exit_code == 0
    assert world.written == []
    assert world.linked("a", a) == world.linked("b", other)
    world.quiet()


def test_s35_restored_beside_another_entity_with_its_key_a_person_is_asked(world: World) -> None:
    """I4: it was entered anew at b, and came to a from there, before it was restored at a."""
    a, _ = deleted(world, Member())
    world.add("b", 77, **person(1))
    world.settle()
    restore(world, "a", a)
    assert world.run().exit_code == 3
    assert world.written == []
    assert world.case().case.kind is CaseKind.SAME_ENTITY
    world.quiet()


@pytest.mark.parametrize("deletes", ["archive", "propagate"])
def test_s34_i4_one_taken_out_of_the_archive_is_back_and_no_second_is_made(
    world: World, deletes: str
) -> None:
    """Law 12: marked as deleted at b it was gone; somebody clears the mark. Entered anew at a it
    got a second live record at b."""
    world.flow({"a": MARKED, "b": MARKED}, deletes=deletes)
    key = world.add("a", **person(1), erased=0)
    world.add("a", **person(2), erased=0)
    world.settle()
    other = world.find("b", email="p1@x.org")
    world.edit("a", key, erased=1)
    world.settle()
    assert world.tombstone("b", other)
    world.edit("b", other, erased=0)
    assert any("suppressed" in text for _, text in world.run().messages)
    world.add("a", **person(1), erased=0)
    world.quiet()
    world.clock.advance(25 * 3600)
    assert world.run().exit_code == 3
    assert world.written == []
    assert world.case().case.kind is CaseKind.REAPPEARED
