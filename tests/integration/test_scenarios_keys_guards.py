"""Scenarios from the law, of several records: who is who (S73 to S75), the guard's window and its
approvals (S76, S77), a crash and a new mapping (S78)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from faulty import Crash
from kinds import mostly
from world import PEOPLE, Member, World

from syncd.adapter import Write
from syncd.core.keys import encode
from syncd.core.model import CaseKind, Choice
from syncd.engine.result import RunMode, RunReport, RunState
from syncd.store import identity
from syncd.store.holds import ItemState

OFF = {"creates": "off", "updates": "off", "deletes": "off"}


def one(world: World, member: str, key: Any) -> RunReport:
    """What a webhook starts: a run for this record."""
    return world.run(mode=RunMode.ENTITY, record=(member, encode([key])))


def pairs(world: World, count: int) -> list[Any]:
    """So many people in a and in b, linked; their keys in a."""
    keys = []
    for n in range(count):
        for member in ("a", "b"):
            key = world.add(member, email=f"p{n}@x.org", name=f"P{n}", phone="1")
            keys += [key] if member == "a" else []
    world.quiet(times=1)
    return keys


# --- S73 to S75: who is who -----------------------------------------------------------------------


def test_s73_a_person_entered_twice_within_minutes_is_linked(world: World) -> None:
    """S73: the same new person stands in a and in b; a's webhook comes first: its run looks for
    candidates at b and links, and b's webhook finds nothing left to do."""
    world.flow({"a": Member(), "b": Member()})
    pairs(world, 2)
    a = world.add("a", email="ann@x.org", name="Ann", phone=None)
    b = world.add("b", email="Ann@x.org", name="Ann", phone="5")
    one(world, "a", a)
    assert world.written == [("a", "update")]
    assert set(world.linked("a", a)) == {"a", "b"}
    one(world, "b", b)
    assert world.written == []
    world.quiet()
    assert len(world.rows("a")) == len(world.rows("b")) == 3


def test_s73_a_new_record_is_created_once_by_its_webhook(world: World) -> None:
    """S73: where b has no such person the single run creates it, once."""
    world.flow({"a": Member(), "b": Member()})
    pairs(world, 2)
    a = world.add("a", email="ann@x.org", name="Ann", phone="5")
    one(world, "a", a)
    assert world.written == [("b", "insert")]
    one(world, "a", a)
    assert world.written == []
    world.edit("a", a, phone="6")
    one(world, "a", a)
    assert world.written == [("b", "update")]
    world.quiet(times=1)


def test_s74_a_chain_with_two_exclusive_values_is_one_case(world: World) -> None:
    """S74: a is b by e-mail and b is c by number, but a and c have different exclusive tax ids:
    one case, nothing linked, nothing created; other records go on."""
    fields = {
        "email": PEOPLE["email"],
        "number": "text",
        "tax": {"type": "text", "exclusive": True},
    }
    members = {"a": Member(), "b": Member(), "c": Member()}
    world.flow(members, fields, match=["email", "number"])
    a = world.add("a", email="x@x.org", number=None, tax="1")
    b = world.add("b", email="x@x.org", number="7", tax=None)
    c = world.add("c", email=None, number="7", tax="2")
    world.add("a", email="zoe@x.org", number="9", tax="3")
    report = world.run()
    assert sorted(world.written) == [("b", "insert"), ("c", "insert")]
    case = world.case(CaseKind.IDENTITY)
    assert {x.source for x in case.case.candidates} == {"a", "b", "c"}
    assert "tax" in case.case.reason
    assert report.state is RunState.NEEDS_PERSON
    assert [world.linked(m, k) for m, k in (("a", a), ("b", b), ("c", c))] == [{}, {}, {}]
    world.quiet()
    assert len(world.cases()) == 1
    world.edit("c", c, tax="1")
    world.settle()
    assert world.cases() == []
    assert set(world.linked("b", b)) == {"a", "b", "c"}


@mostly("first", "review", "prefer:b")
def test_s75_a_late_key_makes_two_entities_one(world: World, first: str) -> None:
    """S75: an edit gives a record the key of another entity: a same-entity case; a person merges
    them. Bases follow where the values are the same; the rest is first sight."""
    world.flow({"a": Member(), "b": Member()}, deletes="ignore", first=first, guard=OFF)
    mine, other, _ = pairs(world, 3)
    his = world.linked("a", other)["b"]
    world.remove("b", world.find("b", email="p0@x.org"))
    world.remove("a", other)
    world.quiet(times=1)
    world.edit("a", mine, email="p1@x.org")
    world.run()
    assert world.written == []
    case = world.case(CaseKind.SAME_ENTITY)
    assert {x.source for x in case.case.candidates} == {"a", "b"}
    with world.acting() as act:
        identity.join(act, [("a", encode([mine])), ("b", his)])
    world.settle()
    assert world.cases(CaseKind.SAME_ENTITY) == []
    assert world.linked("a", mine) == {"a": encode([mine]), "b": his}
    assert len(world.rows("a")) == len(world.rows("b")) == 2
    if first == "review":
        assert world.case(CaseKind.FIRST).case.fields == ("name",)
        world.decide(world.case(), Choice.TAKE, "b")
        world.settle()
    assert world.rows("a")[mine] == {"email": "p1@x.org", "name": "P1", "phone": "1"}
    world.edit("a", mine, phone="2")
    world.run()
    assert world.written == [("b", "update")]
    world.quiet()
    assert world.equal()


# --- S76, S77: guards -----------------------------------------------------------------------------


def test_s76_single_runs_count_together(world: World) -> None:
    """S76: one webhook run for each deletion; within the window the guard trips all the same,
    counts across restarts, and begins anew when the hold is settled and the window has passed."""
    world.flow({"a": Member(), "b": Member()}, deletes="propagate", guard={"deletes": 4})
    keys = pairs(world, 8)
    states = []
    for n, key in enumerate(keys[:6]):
        world.remove("a", key)
        if n == 2:
            world.restart()
        states.append(one(world, "a", key).state)
        assert world.written == ([("b", "delete")] if n < 4 else [])
    assert states == [RunState.DONE] * 4 + [RunState.NEEDS_PERSON] * 2
    (hold,) = world.holds()
    assert (hold.kind, hold.cause) == ("delete", "a")
    assert len(world.held(hold)) == 2
    assert len(world.rows("b")) == 4
    assert world.approve(hold) == 2
    world.run()
    assert world.written == [("b", "delete")] * 2
    world.clock.advance(25 * 3600)
    world.remove("a", keys[6])
    one(world, "a", keys[6])
    assert world.written == [("b", "delete")]


@pytest.mark.parametrize("days", [2, -2])
def test_s76_f37_a_wall_clock_that_jumps_does_not_empty_the_window(
    world: World, days: float
) -> None:
    """I9: set ahead, the deletions of an hour ago would lie outside of it; set back, they leave it
    when the day is over by the clock that nobody can set."""
    world.flow({"a": Member(), "b": Member()}, deletes="propagate", guard={"deletes": 4})
    keys = pairs(world, 12)
    world.remove("a", *keys[:3])
    world.run()
    world.clock.jump(days)
    world.restart()
    world.remove("a", *keys[3:5])
    world.run()
    assert world.written == [] and [h.kind for h in world.holds()] == ["delete"]
    world.approve(world.holds()[0])
    world.run()
    world.clock.advance(25 * 3600)
    world.remove("a", *keys[5:9])
    world.run()
    assert world.written == [("b", "delete")] * 4 and not world.holds()


def test_s77_an_approval_runs_what_is_still_true_and_lists_the_rest(world: World) -> None:
    """S77: twelve deletions held on Friday, three of the records edited by Monday: the approval
    runs nine, lists three, and touches nothing else."""
    world.flow({"a": Member(), "b": Member()}, deletes="propagate")
    keys = pairs(world, 20)
    mails = [f"p{n}@x.org" for n in range(20)]
    world.remove("a", *keys[:12])
    report = world.run()
    assert world.written == []
    assert report.members["b"].held == 12
    world.restart()
    world.clock.advance(3 * 86_400)
    (hold,) = world.holds()
    for mail in mails[:3]:
        world.edit("b", world.find("b", email=mail), phone="9")
    assert world.approve(hold) == 12
    report = world.run()
    assert world.written == [("b", "delete")] * 9
    left = {row["email"] for row in world.rows("b").values()}
    assert left == {*mails[:3], *mails[12:]}
    states = [item.state for item in world.held(hold)]
    assert states.count(ItemState.DONE) == 9
    assert states.count(ItemState.MOVED) == 3
    assert {c.case.kind for c in world.cases()} == {CaseKind.DELETE}
    assert len(world.cases()) == 3
    (told,) = [text for _, text in report.messages if "approved" in text]
    assert told.startswith("3 approved operations moved")
    world.quiet()


# --- S78: a crash, and another mapping before the restart -----------------------------------------


def test_s78_a_new_mapping_between_crash_and_restart_edits_nothing_en_masse(world: World) -> None:
    """S78: three updates of b.name are journalled, one takes effect, the process ends, and name is
    mapped to another column before the restart: what was sent is found by the payload kept, what
    was not is planned anew for the new column, and no other record is written. A column newly
    mapped is b's own form of what it confirmed (law 9): not an edit, and not written either."""
    b = Member(extra={"title": "VARCHAR(200)"}, types={"email": "VARCHAR(200) UNIQUE"})
    world.flow({"a": Member(), "b": b}, first="prefer:a", guard=OFF)
    keys = pairs(world, 6)
    world.sql("b", "UPDATE {t} SET title = b_name")
    for key in keys[:3]:
        world.edit("a", key, name="New")

    def die(writes: Sequence[Write]) -> None:
        raise Crash

    world.accidents["b"].batch = 1
    world.accidents["b"].after = die
    with pytest.raises(Crash):
        world.run()
    assert world.written == [("b", "update")]
    world.accidents["b"].after = None
    remapped = Member(extra=b.extra, types=b.types, maps={"name": {"native": "title"}})
    world.flow({"a": Member(), "b": remapped}, first="prefer:a", guard=OFF)
    report = world.run()
    assert report.unknown == 0
    assert world.written == [("b", "update")] * 2
    titles = dict(world.sql("b", "SELECT b_email, title FROM {t}"))
    assert titles == {f"p{n}@x.org": "New" if n in (1, 2) else f"P{n}" for n in range(6)}
    assert [row["name"] for row in world.rows("b").values()].count("New") == 1
    assert {row["name"] for row in world.rows("a").values()} == {"New", "P3", "P4", "P5"}
    world.quiet()


def test_s78_a_create_sent_before_the_new_mapping_is_found(world: World) -> None:
    """S78: the record created right before the crash is linked, not created again, and its empty
    new column blanks nothing elsewhere; the other one is created under the new mapping."""
    b = Member(extra={"title": "VARCHAR(200)"}, types={"email": "VARCHAR(200) UNIQUE"})
    world.flow({"a": Member(), "b": b}, first="prefer:a", guard=OFF)
    pairs(world, 2)
    world.sql("b", "UPDATE {t} SET title = b_name")
    for n in (7, 8):
        world.add("a", email=f"p{n}@x.org", name=f"P{n}", phone="1")

    def die(writes: Sequence[Write]) -> None:
        raise Crash

    world.accidents["b"].batch = 1
    world.accidents["b"].after = die
    with pytest.raises(Crash):
        world.run()
    assert world.written == [("b", "insert")]
    world.accidents["b"].after = None
    remapped = Member(extra=b.extra, types=b.types, maps={"name": {"native": "title"}})
    world.flow({"a": Member(), "b": remapped}, first="prefer:a", guard=OFF)
    world.settle()
    titles = dict(world.sql("b", "SELECT b_email, title FROM {t}"))
    assert titles == {f"p{n}@x.org": f"P{n}" if n != 7 else None for n in (0, 1, 7, 8)}
    assert {row["name"] for row in world.rows("a").values()} == {"P0", "P1", "P7", "P8"}
    world.quiet()
