"""Many records that want the same thing of a run: cases stay stable, holds add up, nothing is made
of a key that everybody has."""

from __future__ import annotations

import pytest
from kinds import LOCAL
from world import Member, World

from syncd.core.model import CaseKind, Choice
from syncd.engine import buckets, linking
from syncd.engine.result import RunState

pytestmark = LOCAL


def test_a_key_that_everybody_has_is_one_stable_case(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S15, I4: more records under one key than a bucket takes: nothing is linked or created of
    them, later runs find the same case, and split by a person, those it named go their own ways."""
    monkeypatch.setattr(buckets, "HUGE", 6)
    monkeypatch.setattr(linking, "HUGE", 6)
    world.flow({"a": Member(), "b": Member()})
    for n in range(5):
        world.add("a", email="all@x.org", name=f"A{n}")
        world.add("b", email="all@x.org", name=f"B{n}")
    alone = world.add("a", email="one@x.org", name="One")
    assert world.run().state is RunState.NEEDS_PERSON
    assert world.written == [("b", "insert")]
    assert set(world.linked("a", alone)) == {"a", "b"}
    (opened,) = world.cases()
    assert opened.case.kind is CaseKind.IDENTITY
    assert [c.source for c in opened.case.candidates] == ["a"] * 5 + ["b"]
    assert "10 records" in opened.case.reason
    world.run()
    assert world.written == []
    assert [c.id for c in world.cases()] == [opened.id]
    world.decide(opened, Choice.SPLIT)
    world.run()
    assert world.linked("a", 1) != {}
    assert world.linked("b", 5) == {}


def test_of_many_entities_that_come_to_one_key_neighbours_are_asked_about(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S75: every linked record is given one key: a case between neighbours, not for every two, and
    the same ones in the next run, also where there are more of them than a bucket takes."""
    monkeypatch.setattr(linking, "_PAIRED", 3)
    world.flow({"a": Member(), "b": Member()}, guard={"updates": "off"})
    for n in range(8):
        world.add("a", email=f"p{n}@x.org", name=f"P{n}")
    world.run()
    world.sql("a", "UPDATE {t} SET a_email = 'all@x.org'")
    world.run()
    world.run()  # which shows what was written to b meanwhile
    first = world.cases(CaseKind.SAME_ENTITY)
    assert len(first) == 7
    monkeypatch.setattr(buckets, "HUGE", 4)
    monkeypatch.setattr(linking, "HUGE", 4)
    world.sql("a", "UPDATE {t} SET a_phone = '1'")
    world.run()
    assert [c.id for c in world.cases(CaseKind.SAME_ENTITY)] == [c.id for c in first]


def test_everything_gone_but_one_is_deleted_after_an_approval(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I9, S77: a hold of more items than are written at once is one hold with one digest, and its
    approval runs all of them."""
    monkeypatch.setattr("syncd.engine.holding._FLUSH", 4)
    world.flow({"a": Member(), "b": Member()}, deletes="propagate")
    for n in range(30):
        world.add("a", email=f"p{n}@x.org", name=f"P{n}")
    world.run()
    world.sql("a", "DELETE FROM {t} WHERE id < 30")
    world.run()
    assert world.written == []
    (held,) = world.holds()
    assert len(world.held(held)) == 29
    world.run()
    (again,) = world.holds()
    assert again.digest == held.digest
    assert world.approve(again) == 29
    world.run()
    assert sorted(world.written) == [("b", "delete")] * 29
    assert world.holds() == []
    assert world.equal()


def test_held_creates_wait_and_run_after_their_approval(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I9, S77: creates of what is not in the store yet are told apart by what they are, also when
    more of them are held at another time; the ones that moved are listed."""
    monkeypatch.setattr("syncd.engine.holding._FLUSH", 4)
    world.flow({"a": Member(), "b": Member()}, guard={"creates": 3})
    world.add("a", email="first@x.org", name="First")
    world.run()
    for n in range(10):
        world.add("a", email=f"p{n}@x.org", name=f"P{n}")
    world.run()
    (one,) = world.holds()
    assert len(world.held(one)) == 10
    world.add("a", email="late@x.org", name="Late")
    world.run()
    (two,) = world.holds()
    assert (two.id, len(world.held(two))) == (one.id, 11)
    assert two.digest != one.digest
    assert world.approve(two) == 11
    world.edit("a", 5, name="Moved")
    report = world.run()
    assert (
        world.written == [("b", "insert")] * 11
    )  # the one that moved is a new one, below the limit
    assert any("1 approved operations moved" in text for _, text in report.messages)
    assert world.equal()
    assert world.holds() == []


def test_unreadable_records_leave_quarantine_one_by_one(world: World) -> None:
    """I12: of many records that cannot be read, those that can be again leave it, the others stay
    with their first date."""
    fields = {"email": "text", "name": "text", "phone": "integer"}
    types = {"phone": "NUMERIC"}
    world.flow({"a": Member(types=types), "b": Member(types=types)}, fields=fields)
    for n in range(6):
        world.add("a", email=f"p{n}@x.org", name=f"P{n}", phone="many")
    world.run()
    before = {q.refused.key: q.first_at for q in world.quarantine()}
    assert len(before) == 6
    world.edit("a", 2, phone=7)
    world.remove("a", 3)
    world.run()
    after = {q.refused.key: q.first_at for q in world.quarantine()}
    assert len(after) == 4
    assert after.items() <= before.items()
