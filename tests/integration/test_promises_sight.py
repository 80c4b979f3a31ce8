"""Promises at first sight: a member without authority brings no value, loses none unasked, and a
mapping that changed under a record makes no edit of it."""

from __future__ import annotations

from typing import Any

import pytest
from kinds import LOCAL, mostly
from world import PEOPLE, Member, World, shown

from syncd.cli.resolve import answers_to
from syncd.core.model import CaseKind, Choice
from syncd.errors import ConfigError

OWNED = {**PEOPLE, "phone": {"type": "text", "owner": "b"}}
TARGET = Member(options={"mode": "target"})


def ann(phone: str | None, name: str = "Ann") -> dict[str, Any]:
    return {"email": "ann@x.org", "name": name, "phone": phone}


@mostly("drift", "revert", "keep", "review")
def test_s66_s67_a_first_seen_value_without_authority_is_drift(world: World, drift: str) -> None:
    """S66, S67: phone is b's. What a, which joins, has there is overwritten and noted, left with
    a, or asked about; a's name counts as anybody's."""
    world.flow({"b": Member(), "c": Member()}, OWNED, drift=drift)
    for member in "bc":
        world.add(member, **ann("1"))
    world.quiet(times=1)
    world.flow({m: Member() for m in "abc"}, OWNED, drift=drift, first="prefer:a")
    key = world.add("a", **ann("9", "Anna"))
    report = world.run()
    phones = {m: world.rows(m)[world.find(m, email="ann@x.org")]["phone"] for m in "abc"}
    assert phones == {"a": "1" if drift == "revert" else "9", "b": "1", "c": "1"}
    assert {world.rows(m)[1]["name"] for m in "abc"} == {"Anna"}
    assert world.linked("a", key).keys() == {"a", "b", "c"}
    noted = [(e.kind, e.after) for e in world.audit(report) if e.member == "a" and e.after]
    if drift == "review":
        case = world.case(CaseKind.DRIFT)
        assert shown(case) == {"a": {"phone": "9"}, "agreed": {"phone": "1"}}
        assert answers_to(case) == ["--take agreed", "--value phone=…"]
        with pytest.raises(ConfigError) as refused:
            world.decide(case, Choice.TAKE, "a")
        assert refused.value.code == "SY0195" and "no authority" in refused.value.message
        world.decide(case, Choice.TAKE, "agreed")
        world.settle()
        assert world.equal()
    else:
        kind = "lost" if drift == "revert" else "drift"
        assert (kind, {"phone": "9"}) in noted
        assert world.cases() == []
    world.quiet()


def test_s08_two_filled_members_one_of_them_a_mere_target(world: World) -> None:
    """S8: the records differ and only the source has a say: no question, the target follows; where
    only the target has a value, a person is asked, and may take it."""
    world.flow({"a": Member(), "t": TARGET})
    world.add("a", **ann(None))
    world.add("t", **ann("5", "Old"))
    world.run()
    row = world.rows("t")[1]
    assert (row["name"], row["phone"]) == ("Ann", "5")
    case = world.case(CaseKind.FIRST)
    assert shown(case) == {"a": {"phone": None}, "t": {"phone": "5"}}
    world.decide(case, Choice.TAKE, "t")
    world.settle()
    assert world.rows("a")[1]["phone"] == "5"
    assert world.equal()


@LOCAL
def test_i9_first_sight_at_a_target_is_counted_as_such(world: World) -> None:
    """I9, law 16: overwriting what a target had before is first sight for the guard, no update."""
    world.flow({"a": Member(), "t": TARGET}, guard={"updates": 0, "first_sight": 2})
    for n in range(4):
        for member, phone in (("a", "1"), ("t", "9")):
            world.add(member, email=f"p{n}@x.org", name="P", phone=phone)
    world.run()
    (hold,) = world.holds()
    assert (hold.kind, len(world.held(hold))) == ("first-sight", 4)
    assert world.written == []
    world.approve(hold)
    world.run()
    assert world.equal()


# --- changed mappings -----------------------------------------------------------------------------


def phones(world: World, kind: str = "text", conflict: str = "review", **b_phone: Any) -> None:
    """The flow with phones of this type, and b's mapped like this."""
    b = Member(extra={"b_other": "VARCHAR(20)"}, maps={"phone": b_phone})
    world.flow(
        {"a": Member(), "b": b},
        {**PEOPLE, "phone": kind},
        guard={"updates": "off"},
        conflict=conflict,
    )


@LOCAL
def test_s78_a_record_not_read_under_one_mapping_is_no_edit_under_the_next(world: World) -> None:
    """S78, law 9: under the second mapping the row could not be read; its link still knows the
    first one, and what the third makes of the same row is no edit."""
    phones(world)
    for member in "ab":
        world.add(member, **ann("one"))
        world.add(member, email="bob@x.org", name="Bob", phone="2")
    world.quiet(times=1)
    phones(world, "integer")
    assert world.run().exit_code == 3
    assert world.written == []
    phones(world, table={"one": "uno", "2": "due"})
    world.quiet()
    assert world.cases() == []
    assert world.link("b", 1).bases["phone"].value == "uno"
    assert world.link("b", 2).bases["phone"].value == "due"
    world.edit("b", 1, name="Anna")
    world.run()
    assert world.written == [("a", "update")]
    assert world.rows("a")[1]["phone"] == "one"


@LOCAL
def test_i9_what_a_changed_mapping_makes_of_values_is_a_rebase(world: World) -> None:
    """I9, law 16: b's phones come from another column all of a sudden. The old one is not read any
    more, so nothing tells edits from that: they are candidates, and what the policy makes of them
    is counted as rebases."""
    phones(world, conflict="prefer:b")
    for n in range(12):
        row = {"email": f"p{n}@x.org", "name": "P", "phone": "1"}
        world.add("a", **row)
        world.add("b", **row, b_other="3")
    world.quiet(times=1)
    phones(world, conflict="prefer:b", native="b_other")
    world.run()
    assert world.written == []
    (hold,) = world.holds()
    assert (hold.kind, hold.cause, hold.target) == ("rebase", "b", "a")
    world.approve(hold)
    world.run()
    assert {row["phone"] for row in world.rows("a").values()} == {"3"}
    world.quiet()


# --- a version of the system's own ----------------------------------------------------------------


@pytest.mark.parametrize("sql_kind", ["postgresql"])
def test_s41_a_system_column_is_the_version(world: World) -> None:
    """S41: `version = "xmin"` fits where the database has it, and a row edited between plan and
    write is left alone by it."""
    member = Member(options={"version": "xmin"})
    world.flow({"a": member, "b": member})
    keys = {m: world.add(m, **ann("1")) for m in "ab"}
    world.quiet(times=1)
    assert world.link("b", keys["b"]).version
    world.edit("a", keys["a"], phone="2")
    world.accidents["b"].before = lambda writes: world.edit("b", keys["b"], name="Anna")
    world.run()
    world.accidents["b"].before = None
    world.settle()
    assert world.equal()
    assert world.rows("a")[keys["a"]] == ann("2", "Anna")


@LOCAL
def test_a_system_column_elsewhere_is_no_column(world: World) -> None:
    """Another database has none."""
    world.flow({"a": Member(options={"version": "xmin"}), "b": Member()})
    with pytest.raises(ConfigError) as refused:
        world.run()
    assert refused.value.code == "SY0130"


def test_law_9_a_field_pointed_at_another_column_is_no_mass_edit(world: World) -> None:
    """What stands in the new column was nobody's edit of this field: where it is not what was
    agreed, the policy decides, here a person."""
    extra = {"a_tel2": "VARCHAR(50)"}
    world.flow({"a": Member(extra=extra), "b": Member()})
    for n in range(4):
        world.add("a", email=f"p{n}@x.org", name="Ann", phone=str(n))
    world.settle()
    there = {"phone": {"native": "a_tel2"}}
    world.flow({"a": Member(extra=extra, maps=there), "b": Member()})
    world.run()
    assert world.written == []
    assert [c.case.fields for c in world.cases()] == [("phone",)] * 4
    for case in world.cases():
        world.decide(case, Choice.TAKE, "agreed")
    world.settle()
    assert world.equal() and [row["phone"] for row in world.rows("b").values()] == list("0123")
