"""Promises of a member that answers without a single record although records of it are linked
(law 16): nothing follows from it, in no kind of run, by no detour, until a person says so."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from kinds import LOCAL
from world import Member, World

from syncd.adapter import Write
from syncd.core.keys import encode
from syncd.core.model import CaseKind
from syncd.engine.result import RunMode
from syncd.errors import Unreachable

pytestmark = LOCAL
INCREMENTAL = RunMode.INCREMENTAL


def people(world: World, *members: str, count: int, **options: object) -> list[int]:
    """A flow whose members tell what moved; so many people, everywhere."""
    world.flow(
        {
            m: Member(extra={"touched": "INTEGER"}, options={"cursor": "touched", "overlap": 0})
            for m in members
        },
        **{"deletes": "propagate", **options},  # type: ignore[arg-type]
    )
    added = [
        world.add(members[0], email=f"p{n}@x.org", name="P", phone="1", touched=1)
        for n in range(count)
    ]
    world.settle()
    return added


def held(world: World) -> list[tuple[str, str]]:
    return [(hold.kind, hold.cause) for hold in world.holds()]


def test_i9_i14_work_left_open_takes_no_record_of_an_emptied_member_for_gone(world: World) -> None:
    """I9, I14: c lacks a's edits, so an incremental run looks up a's records by id; a has become
    empty, which proves nothing of any of them."""
    keys = people(world, "a", "b", "c", count=8)
    world.accidents["c"].unread = Unreachable("c is down")
    for key in keys:
        world.edit("a", key, name="edited", touched=2)
    world.run(mode=INCREMENTAL)
    world.accidents["c"].unread = None
    world.sql("a", "DELETE FROM {t}")
    assert world.run(mode=INCREMENTAL).exit_code == 3
    assert {op for _, op in world.written} <= {"update"}
    assert len(world.table("b")) == len(world.table("c")) == 8
    assert held(world) == [("empty", "a")]


@pytest.mark.parametrize("policy", ["delete-wins", "edit-wins", "review"])
def test_i9_i14_edits_elsewhere_meet_no_deletion_by_an_emptied_member(
    world: World, policy: str
) -> None:
    """I9, I14: few enough that no limit would stop them: none is deleted, made again in the
    emptied member, or asked about as deleted there."""
    people(world, "a", "b", count=60, delete_conflict=policy)
    for n in range(3):
        world.edit("b", world.find("b", email=f"p{n}@x.org"), name="edited", touched=2)
    world.sql("a", "DELETE FROM {t}")
    world.run(mode=INCREMENTAL)
    assert world.written == []
    assert world.cases(CaseKind.DELETE) == []
    assert held(world) == [("empty", "a")]


def test_i9_s41_a_record_that_moved_is_not_planned_anew_as_deleted(world: World) -> None:
    """I9, S41: what moved between plan and write is read once more, also at the emptied member."""
    people(world, "a", "b", "c", count=4, delete_conflict="delete-wins")
    key = world.find("c", email="p1@x.org")

    def meanwhile(writes: Sequence[Write]) -> None:
        world.accidents["c"].before = None
        world.edit("c", key, name="C")

    world.edit("b", world.find("b", email="p1@x.org"), name="B")
    world.accidents["c"].before = meanwhile
    world.sql("a", "DELETE FROM {t}")
    world.run()
    assert not {op for _, op in world.written} & {"delete", "insert"}
    assert world.cases(CaseKind.DELETE) == []
    assert held(world) == [("empty", "a")]


@pytest.mark.parametrize("mode", [RunMode.FULL, INCREMENTAL])
def test_i4_nothing_is_created_in_a_member_that_became_empty(world: World, mode: RunMode) -> None:
    """I4: that b shows no candidate proves nothing while it shows no record at all; when its rows
    are back, the new person of a turns out to be one of them."""
    people(world, "a", "b", count=3)
    rows = world.sql("b", "SELECT b_email, b_name, b_phone, touched FROM {t}")
    world.sql("b", "DELETE FROM {t}")
    new = world.add("a", email="new@x.org", name="New", phone="2", touched=2)
    world.run(mode=mode)
    assert world.written == []
    for email, name, phone, touched in rows:
        world.add("b", email=email, name=name, phone=phone, touched=touched)
    back = world.add("b", email="new@x.org", name="New", phone="2", touched=2)
    world.settle()
    assert [row[0] for row in world.table("b")].count("new@x.org") == 1
    assert world.linked("a", new) == {"a": encode([new]), "b": encode([back])}


def test_i9_a_run_for_one_record_heeds_what_a_listing_found_empty(world: World) -> None:
    """I9: the hold of the emptied member is open: a run for one entity, which lists nothing, may
    not take its record for deleted either, and leaves the hold open."""
    people(world, "a", "b", count=3)
    world.sql("a", "DELETE FROM {t}")
    world.run()
    assert held(world) == [("empty", "a")]
    key = world.find("b", email="p1@x.org")
    world.edit("b", key, name="edited")
    world.run(mode=RunMode.ENTITY, record=("b", encode([key])))
    assert world.written == []
    assert world.cases() == []
    assert held(world) == [("empty", "a")]


def test_i9_an_approved_emptiness_ends_when_records_are_listed_again(world: World) -> None:
    """I9: what came back is older than the cursor, so nothing has moved: the approval ends all the
    same, and another emptiness is asked about anew."""
    people(world, "a", "b", count=3, deletes="review")
    world.sql("a", "DELETE FROM {t}")
    world.run(mode=INCREMENTAL)
    (hold,) = world.holds()
    world.approve(hold)
    world.add("a", email="other@x.org", name="Other", phone="2", touched=0)
    world.run(mode=INCREMENTAL)
    assert held(world) == []
    world.sql("a", "DELETE FROM {t}")
    world.run(mode=INCREMENTAL)
    assert held(world) == [("empty", "a")]


@pytest.mark.parametrize("mode", [RunMode.FULL, INCREMENTAL])
def test_i9_every_record_marked_as_deleted_is_an_emptied_member(
    world: World, mode: RunMode
) -> None:
    """I9: a row marked as deleted is no record: with nothing but such rows a member is as empty as
    without any, and stays so until a person says so or a live one is there."""
    marked = Member(
        extra={"touched": "INTEGER DEFAULT 1", "gone": "INTEGER DEFAULT 0"},
        options={"soft_delete": "gone", "cursor": "touched", "overlap": 0},
    )
    world.flow({"a": marked, "b": Member()}, deletes="propagate")
    for n in range(5):
        world.add("a", email=f"p{n}@x.org", name="P", phone="1")
    world.settle()
    world.sql("a", "UPDATE {t} SET gone = 1, touched = 2")
    for _ in range(2):
        assert world.run(mode=mode).exit_code == 3
        assert world.written == []
        assert held(world) == [("empty", "a")]
    world.sql("a", "UPDATE {t} SET gone = 0, touched = 3 WHERE id = 1")
    world.run(mode=mode)
    assert held(world) == []
    assert len(world.table("b")) == 1


def test_i9_an_approved_emptiness_of_marked_rows_takes_effect(world: World) -> None:
    """I9: a person says that nothing is there but rows marked as deleted; then they are gone, and
    the approval stands while nothing else is there."""
    marked = Member(extra={"gone": "INTEGER DEFAULT 0"}, options={"soft_delete": "gone"})
    world.flow({"a": marked, "b": Member()}, deletes="review")
    for n in range(5):
        world.add("a", email=f"p{n}@x.org", name="P", phone="1")
    world.settle()
    world.sql("a", "UPDATE {t} SET gone = 1")
    world.run()
    (hold,) = world.holds()
    world.approve(hold)
    for _ in range(2):
        world.run()
        assert held(world) == []
    assert len(world.cases()) == 5


def unlisted(world: World, count: int) -> None:
    """So many people at a and b; the next incremental runs do not list a's keys."""
    extra = {"touched": "INTEGER DEFAULT 1", "gone": "INTEGER DEFAULT 0"}
    options = {"cursor": "touched", "list_every": "1h"}
    a = Member(extra=extra, options={**options, "soft_delete": "gone"})
    b = Member(extra=extra, options=options)
    world.flow({"a": a, "b": b}, deletes="propagate")
    for n in range(count):
        world.add("a", email=f"p{n}@x.org", name="P", phone="1")
    world.settle()
    for _ in range(2):
        world.run(mode=INCREMENTAL)
        assert world.written == []


@pytest.mark.parametrize(
    "emptied",
    [
        "DELETE FROM {t}",
        "UPDATE {t} SET gone = 1",
        "UPDATE {t} SET gone = 1, touched = 99999",
        "UPDATE {t} SET gone = 1, touched = 0",
    ],
)
def test_i9_i14_what_is_not_found_without_a_listing_is_not_gone(world: World, emptied: str) -> None:
    """I9, I14: a was emptied, and its keys are not listed yet; b's records, read again in the
    overlap, have a's looked up by their ids. The next incremental run lists a's keys, whatever
    its pace, and a person is asked."""
    unlisted(world, 8)
    world.sql("a", emptied)
    for _ in range(3):
        world.run(mode=INCREMENTAL)
        assert world.written == []
    assert held(world) == [("empty", "a")]


def test_i14_a_record_not_found_without_a_listing_is_deleted_after_the_next(world: World) -> None:
    """I14: a single record is gone: told one incremental run later, by a listing."""
    unlisted(world, 8)
    world.remove("a", 1)
    world.run(mode=INCREMENTAL)
    assert world.written == []
    world.run(mode=INCREMENTAL)
    assert world.written == [("b", "delete")]
