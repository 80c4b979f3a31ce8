"""Scenarios S1 to S13 on real databases: what changed, and what several changes come to."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from world import PEOPLE, Member, World, shown

from syncd.core.model import Base, CaseKind, Choice
from syncd.errors import ConfigError, Unreachable
from syncd.store import rebuild
from syncd.store.conflicts import CLOSED, VOID, case, decisions_of

ANN = {"email": "ann@x.org", "name": "Ann", "phone": "1"}
BOB = {"email": "bob@x.org", "name": "Bob", "phone": "5"}
THREE = [("a", "b", "c"), ("c", "b", "a")]


def _pair(world: World, **options: Any) -> tuple[Any, Any]:
    """Two members in step on Ann; answers her keys."""
    world.flow({"a": Member(), "b": Member()}, **options)
    ann = world.add("a", **ANN)
    world.run()
    assert world.written == [("b", "insert")]
    return ann, world.find("b", email="ann@x.org")


def test_s01_edits_of_different_fields_both_travel(world: World) -> None:
    """S1: equal bases, A's phone and B's name are edited: both travel, no conflict."""
    a, b = _pair(world)
    world.edit("a", a, phone="2")
    world.edit("b", b, name="Anna")
    report = world.run()
    assert world.written == [("a", "update"), ("b", "update")]
    assert world.table("a") == world.table("b") == [("ann@x.org", "Anna", "2")]
    assert report.exit_code == 0
    assert world.cases() == []
    world.quiet()


def test_s02_the_same_edit_on_both_sides_writes_nothing(world: World) -> None:
    """S2: both set the phone to the same value: no write, and both bases advance with it."""
    a, b = _pair(world)
    world.edit("a", a, phone="2")
    world.edit("b", b, phone="2")
    assert world.run().exit_code == 0
    assert world.written == []
    entity = world.entity("a", a)
    assert entity.agreed["phone"].value == "2"
    for link in entity.links.values():
        assert link.bases["phone"] == Base("2", entity.agreed["phone"].seq)
    world.edit("b", b, phone="1")  # the value of the first base is an edit against the new one
    world.run()
    assert world.written == [("a", "update")]
    assert world.rows("a")[a]["phone"] == "1"


def test_s03_different_edits_freeze_the_field_and_open_one_case(world: World) -> None:
    """S3: both edit the phone differently under `review`: the phone stays as it is on both sides,
    the other fields flow, there is one case, and a rerun adds none."""
    a, b = _pair(world)
    world.edit("a", a, phone="2", name="Anna")
    world.edit("b", b, phone="3")
    report = world.run()
    assert report.exit_code == 3
    assert world.rows("a")[a] == {"email": "ann@x.org", "name": "Anna", "phone": "2"}
    assert world.rows("b")[b] == {"email": "ann@x.org", "name": "Anna", "phone": "3"}
    opened = world.case(CaseKind.FIELD)
    assert opened.case.fields == ("phone",)
    assert shown(opened) == {"a": {"phone": "2"}, "b": {"phone": "3"}}
    again = world.run()
    assert (again.exit_code, world.written) == (3, [])
    assert world.case() == replace(opened, seen_run=again.run)


def test_s04_a_decision_on_candidates_that_moved_is_refused(world: World) -> None:
    """S4: a person takes A's value, B edits meanwhile: the decision is void or refused, whether
    the engine or the person comes first, and the case shows the new candidates."""
    a, b = _pair(world)
    world.edit("a", a, phone="2")
    world.edit("b", b, phone="3")
    world.run()
    before = world.case()
    world.decide(before, Choice.TAKE, "a")
    world.edit("b", b, phone="4")
    assert world.run().exit_code == 3
    assert world.written == []
    with world.looking() as (conn, _):
        assert [d.state for d in decisions_of(conn, before.id)] == [VOID]
        stored = case(conn, before.id)
        assert stored is not None
        assert stored.state == CLOSED
    fresh = world.case()
    assert shown(fresh) == {"a": {"phone": "2"}, "b": {"phone": "4"}}
    with pytest.raises(ConfigError) as refused:
        world.decide(before, Choice.TAKE, "a")
    assert refused.value.code in ("SY0193", "SY0194")
    world.decide(fresh, Choice.TAKE, "a")
    assert world.run().exit_code == 0
    assert world.written == [("b", "update")]
    assert world.rows("b")[b]["phone"] == "2"
    world.quiet()


def test_s05_an_edit_taken_back_is_no_change(world: World) -> None:
    """S5: A edits and edits back before the run: nothing changed, nothing is written."""
    a, _ = _pair(world)
    before = world.entity("a", a)
    world.edit("a", a, phone="2")
    world.edit("a", a, phone="1")
    report = world.run()
    assert world.written == []
    assert report.members["a"].changed == 0
    assert world.entity("a", a).agreed == before.agreed


def test_s06_only_the_time_of_the_last_edit_moves(world: World) -> None:
    """S6: only `modified` moves: no write, no conflict, and no new agreed value."""
    stamped = Member(extra={"edited": "TIMESTAMP NULL"}, options={"modified": "edited"})
    world.flow({"a": stamped, "b": stamped})
    a = world.add("a", **ANN, edited="2026-01-01 10:00:00")
    world.run()
    b = world.find("b", email="ann@x.org")
    before = world.entity("a", a)
    world.edit("a", a, edited="2026-01-02 10:00:00")
    world.edit("b", b, edited="2026-01-03 10:00:00")
    assert world.run().exit_code == 0
    assert world.written == []
    assert world.entity("a", a).agreed == before.agreed
    world.quiet()


def _lose_state(world: World) -> None:
    """As `syncd state rebuild` does."""
    url = world.session.state_url
    world.restart()
    rebuild.rebuild(url, seams=world.seams, state_dir=world.folder, base=world.folder)


def test_s07_base_lost_records_equal_are_linked_without_a_write(world: World) -> None:
    """S7: the state is lost, the records are equal: they are linked again, nothing is written."""
    a, b = _pair(world)
    _lose_state(world)
    report = world.run()
    assert world.written == []
    assert report.exit_code == 0
    assert set(world.linked("a", a)) == {"a", "b"}
    assert world.cases() == []
    world.edit("b", b, phone="9")
    world.run()
    assert world.rows("a")[a]["phone"] == "9"


def test_s08_base_lost_records_differ_is_a_conflict_and_deletes_nothing(world: World) -> None:
    """S8: the state is lost, the records differ: a conflict; a record that only one side has is
    neither deleted nor made again without a person."""
    a, b = _pair(world)
    bob = world.add("a", **BOB)
    world.run()
    world.remove("b", world.find("b", email="bob@x.org"))
    world.edit("b", b, phone="9")
    _lose_state(world)
    report = world.run()
    assert world.written == []
    assert report.exit_code == 3
    assert shown(world.case(CaseKind.FIRST)) == {"a": {"phone": "1"}, "b": {"phone": "9"}}
    assert bob in world.rows("a")
    (hold,) = world.holds()
    assert (hold.kind, [item.member for item in world.held(hold)]) == ("create", ["b"])
    assert set(world.linked("a", a)) == {"a", "b"}


JSON = {"tags": "JSON"}
TAGGED = {**PEOPLE, "tags": {"type": "set", "conflict": "merge"}}


def _tags(world: World, member: str) -> list[str]:
    (row,) = world.rows(member).values()
    found = row["tags"]
    return sorted(json.loads(found) if isinstance(found, str) else found)


def test_s10_sets_merge_by_element(world: World) -> None:
    """S10: A adds tag x, B removes tag y: both happen, no conflict."""
    world.flow({"a": Member(types=JSON), "b": Member(types=JSON)}, fields=TAGGED)
    a = world.add("a", **ANN, tags='["y", "z"]')
    world.run()
    b = world.find("b", email="ann@x.org")
    world.edit("a", a, tags='["x", "y", "z"]')
    world.edit("b", b, tags='["z"]')
    assert world.run().exit_code == 0
    assert _tags(world, "a") == _tags(world, "b") == ["x", "z"]
    assert world.written == [("a", "update"), ("b", "update")]
    world.quiet()


def test_s11_a_record_invalid_at_a_target_is_not_half_written(world: World) -> None:
    """S11: the merged record is not valid at B: one case of the whole record there, none of it is
    written, other records go on."""
    needs = Member(types={"phone": "VARCHAR(200) NOT NULL"})
    world.flow({"a": Member(), "b": needs})
    a = world.add("a", **ANN)
    bob = world.add("a", **BOB)
    world.run()
    world.edit("a", a, name="Anna", phone=None)
    world.edit("a", bob, phone="6")
    report = world.run()
    assert report.exit_code == 3
    assert world.written == [("b", "update")]
    assert world.table("b") == [("ann@x.org", "Ann", "1"), ("bob@x.org", "Bob", "6")]
    assert world.case(CaseKind.INVALID).case.member == "b"
    world.edit("a", a, phone="2")
    world.settle()
    assert world.equal()
    assert world.cases() == []


@pytest.mark.parametrize("order", THREE, ids="".join)
def test_s12_three_systems_two_agree_one_differs(world: World, order: tuple[str, ...]) -> None:
    """S12: A and C set the same phone, B another: one conflict that lists the values with their
    sources, whatever the order of the members in the config."""
    world.flow({m: Member() for m in order})
    a = world.add("a", **ANN)
    world.run()
    world.edit("a", a, phone="2")
    world.edit("c", world.find("c", phone="1"), phone="2")
    world.edit("b", world.find("b", phone="1"), phone="3")
    assert world.run().exit_code == 3
    assert world.written == []
    opened = world.case(CaseKind.FIELD)
    assert shown(opened) == {"a": {"phone": "2"}, "b": {"phone": "3"}, "c": {"phone": "2"}}
    assert [c.source for c in opened.case.candidates] == ["a", "b", "c"]


@pytest.mark.parametrize("order", THREE, ids="".join)
def test_s12_a_policy_decides_alike_in_any_order(world: World, order: tuple[str, ...]) -> None:
    """S12: the same under `prefer:b`: B's value wins in every order of the members, and the one
    that lost is in the audit."""
    world.flow({m: Member() for m in order}, conflict="prefer:b")
    a = world.add("a", **ANN)
    world.run()
    world.edit("a", a, phone="2")
    world.edit("c", world.find("c", phone="1"), phone="2")
    world.edit("b", world.find("b", phone="1"), phone="3")
    report = world.run()
    assert report.exit_code == 0
    assert sorted(world.written) == [("a", "update"), ("c", "update")]
    assert world.table("a") == world.table("b") == world.table("c")
    assert world.rows("a")[a]["phone"] == "3"
    lost = [e for e in world.audit(report) if e.kind == "lost"]
    assert {e.member for e in lost} == {"a", "c"}
    assert all(e.after == {"phone": "2"} for e in lost)
    world.quiet(times=1)


def test_s13_a_system_that_was_down_is_brought_up_to_date(world: World) -> None:
    """S13: C cannot be read while A and B go on: C is pending, says so, and is brought up to date
    once it is back."""
    world.flow({m: Member() for m in "abc"})
    a = world.add("a", **ANN)
    world.run()
    world.accidents["c"].unread = Unreachable("c is down")
    world.edit("a", a, phone="2")
    report = world.run()
    assert report.exit_code == 1
    assert report.members["c"].error
    assert world.written == [("b", "update")]
    assert report.pending == 1
    world.accidents["c"].unread = None
    assert world.run().exit_code == 0
    assert world.written == [("c", "update")]
    assert world.table("c") == world.table("a")
    world.quiet(times=1)


def test_s13_an_edit_made_while_down_meets_the_agreed_value(world: World) -> None:
    """S13: C was edited while it could not be read: its edit and the agreed value are the
    candidates of a conflict, and neither is overwritten."""
    world.flow({m: Member() for m in "abc"})
    a = world.add("a", **ANN)
    world.run()
    c = world.find("c", phone="1")
    world.accidents["c"].unread = Unreachable("c is down")
    world.edit("a", a, phone="2")
    world.run()
    world.edit("c", c, phone="3")
    world.accidents["c"].unread = None
    assert world.run().exit_code == 3
    assert world.written == []
    assert shown(world.case(CaseKind.FIELD)) == {"agreed": {"phone": "2"}, "c": {"phone": "3"}}
    world.decide(world.case(), Choice.TAKE, "c")
    world.run()
    assert sorted(world.written) == [("a", "update"), ("b", "update")]
    assert world.table("a") == world.table("b") == world.table("c")
