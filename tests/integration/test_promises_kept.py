"""Promises where a run cannot finish at once, or cannot be sure: what waits is not forgotten, what
may be the same is not made a second time, what a person approved stays approved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from kinds import LOCAL
from world import PEOPLE, Member, World

from syncd.adapter import Write
from syncd.core.keys import encode
from syncd.core.model import CaseKind, Choice
from syncd.engine.result import RunMode, RunReport
from syncd.errors import ConfigError, Unreachable
from syncd.store import conflicts, identity

pytestmark = LOCAL

AWAY = Unreachable("no route to it", where="system")
THREE = {name: Member() for name in "abc"}
NUMBERED = {**PEOPLE, "number": "text"}


def person(n: Any, **values: Any) -> dict[str, Any]:
    return {"email": f"p{n}@x.org", "name": f"P{n}", "phone": "1", **values}


def one(world: World, member: str, key: Any) -> RunReport:
    return world.run(mode=RunMode.ENTITY, record=(member, encode([key])))


# --- what waits is not forgotten ------------------------------------------------------------------


def test_s13_a_new_record_reaches_a_member_that_was_away(world: World) -> None:
    """S13, I1: b has its record, c was away; it is made there once c is back."""
    world.flow(THREE)
    world.add("a", **person(1))
    world.run()
    world.accidents["c"].unread = AWAY
    world.add("a", **person(2))
    world.run()
    assert world.written == [("b", "insert")]
    world.accidents["c"].unread = None
    world.run()
    assert world.written == [("c", "insert")]
    assert world.equal()
    world.quiet()


def test_s13_a_deletion_reaches_a_member_that_was_away(world: World) -> None:
    """S13, I1: the deletion arrived at b only; it goes on at c."""
    world.flow(THREE, deletes="propagate")
    key = world.add("a", **person(1))
    world.add("a", **person(2))
    world.run()
    world.accidents["c"].unread = AWAY
    world.remove("a", key)
    world.run()
    assert world.written == [("b", "delete")]
    world.accidents["c"].unread = None
    world.run()
    assert world.written == [("c", "delete")]
    assert world.equal()
    world.quiet()


def test_s48_what_could_not_be_sent_is_sent_the_next_time(world: World) -> None:
    """S48: c fails between plan and write; that b took the same records changes nothing."""
    world.flow(THREE, deletes="propagate")
    key = world.add("a", **person(1))
    world.add("a", **person(2))
    world.run()

    def fail(writes: Sequence[Write]) -> None:
        raise AWAY

    world.accidents["c"].before = fail
    world.remove("a", key)
    world.add("a", **person(3))
    world.run()
    world.accidents["c"].before = None
    world.run()
    assert world.equal()
    world.quiet()


def test_a_saved_plan_leaves_what_it_does_not_name_for_the_next_incremental_run(
    world: World,
) -> None:
    """Law, section 4: a cursor advances once the changes up to it are in the journal."""
    stamped = Member(options={"cursor": "upd", "overlap": 0}, extra={"upd": "INTEGER"})
    world.flow({"a": stamped, "b": stamped})
    keys = [world.add("a", **person(n), upd=n) for n in (1, 2)]
    world.run()
    world.edit("a", keys[0], name="later", upd=11)
    world.edit("a", keys[1], name="sooner", upd=10)
    plan = world.run(mode=RunMode.INCREMENTAL, dry_run=True).operations
    (named,) = (p.digest for p in plan if p.operation.fields["name"] == "later")
    world.run(mode=RunMode.INCREMENTAL, only=frozenset([named]))
    world.run(mode=RunMode.INCREMENTAL)
    assert world.equal()


# --- what may be the same is not made a second time -----------------------------------------------


def test_i4_a_record_that_cannot_be_read_whole_is_a_candidate_still(world: World) -> None:
    """I4, law 11: any record with the key is a candidate; nothing is made beside it until it can
    be read, then the two are linked."""
    fields = {**PEOPLE, "phone": "integer"}
    numbers = Member(types={"phone": "INTEGER"})
    world.flow({"a": numbers, "b": numbers}, fields=fields, first="prefer:a")
    world.add("a", email="ann@x.org", name="Ann", phone=1)
    bad = world.add("b", email="Ann@x.org", name="Ann", phone="one")
    other = world.add("a", email="bob@x.org", name="Bob", phone=2)
    assert world.run().exit_code == 3
    assert world.written == [("b", "insert")]
    assert set(world.linked("a", other)) == {"a", "b"}
    world.edit("b", bad, phone=1)
    world.run()
    assert len(world.rows("a")) == len(world.rows("b")) == 2
    assert set(world.linked("b", bad)) == {"a", "b"}


def test_i4_s71_a_record_unlinked_earlier_is_a_candidate_still(world: World) -> None:
    """I4, S71, law 11: under `unlink` b keeps its record; a person entered anew in a is a case
    and no second record of b, until somebody says what it is."""
    world.flow({"a": Member(), "b": Member()}, deletes="unlink", first="prefer:a")
    key = world.add("a", **person(1))
    world.add("a", **person(2))
    world.run()
    world.remove("a", key)
    world.run()
    again = world.add("a", **person(1, phone="7"))
    world.run()
    assert world.written == []
    case = world.case(CaseKind.IDENTITY)
    assert [c.source for c in case.case.candidates] == ["a", "b"]
    world.quiet()
    kept = world.find("b", email="p1@x.org")
    records = (("a", encode([again])), ("b", encode([kept])))
    answer = conflicts.Answer(Choice.LINK, "pat", None, {}, records)
    with world.store.write() as conn:
        conflicts.decide(conn, case.id, case.case.digest, answer, at=world.now)
    world.settle()
    assert world.linked("a", again) == dict(records)
    assert world.cases() == []
    assert len(world.rows("b")) == 2


def test_i4_other_match_rules_know_the_entities_there_are(world: World) -> None:
    """I4, law 10: with another match rule a member joins; its records are found among those
    linked under the old rule, in a dry run too."""
    world.flow({"a": Member(), "b": Member()})
    world.add("a", **person(1, phone="11"))
    world.run()
    world.flow(THREE, match=["phone"])
    key = world.add("c", email="", name="P1", phone="11")
    plan = world.run(dry_run=True).operations
    assert [(p.operation.member, str(p.operation.kind)) for p in plan] == [("c", "update")]
    world.run()
    assert world.written == [("c", "update")]
    assert set(world.linked("c", key)) == {"a", "b", "c"}
    world.quiet()


def test_i4_s73_a_single_run_follows_the_bridge(world: World) -> None:
    """I4, S73, law 11: a is b by e-mail, b is c by number; a's webhook finds all three."""
    world.flow(THREE, fields=NUMBERED, match=["email", "number"])
    key = world.add("a", **person(1), number="")
    world.add("b", **person(1), number="7")
    world.add("c", **person(1, email=""), number="7")
    one(world, "a", key)
    assert set(world.linked("a", key)) == {"a", "b", "c"}
    assert len(world.rows("c")) == 1
    world.quiet()


def test_i4_a_single_run_sees_that_a_linked_record_took_the_key(world: World) -> None:
    """I4, law 11: any record with the key is a candidate, linked or not."""
    world.flow({"a": Member(), "b": Member()})
    world.add("a", **person(1))
    world.run()
    world.edit("b", world.find("b", email="p1@x.org"), email="new@x.org")
    key = world.add("a", email="new@x.org", name="New", phone="1")
    one(world, "a", key)
    assert len(world.rows("b")) == 1
    assert world.case().case.kind is CaseKind.IDENTITY


def test_i4_the_record_of_an_unknown_create_is_no_new_one(world: World) -> None:
    """Law 7: while a create is unknown, a record that appeared there is a case and is not made
    anywhere else; a person says that it is the one."""
    world.flow({"a": Member(), "b": Member()})
    world.add("a", **person(1))
    world.run()
    key = world.add("a", email="", name="Nobody", phone="1")
    world.accidents["b"].lose, world.accidents["b"].unknown = "create", True
    world.run()
    world.accidents["b"].lose = None
    world.run()
    assert world.written == []
    case = world.case(CaseKind.IDENTITY)
    made = world.find("b", name="Nobody")
    records = (("a", encode([key])), ("b", encode([made])))
    answer = conflicts.Answer(Choice.LINK, "pat", None, {}, records)
    with world.store.write() as conn:
        conflicts.decide(conn, case.id, case.case.digest, answer, at=world.now)
    world.settle()
    assert world.linked("a", key) == dict(records)
    assert world.cases() == []
    assert world.run().unknown == 0
    world.edit("b", made, phone="2")
    world.settle()
    assert world.equal()


def test_i4_the_record_of_an_unknown_create_is_found_by_its_key(world: World) -> None:
    """Law 7: what was sent is found by match key; then it is unknown no more."""
    world.flow({"a": Member(), "b": Member()})
    world.add("a", **person(1))
    world.run()
    key = world.add("a", **person(2))
    world.accidents["b"].lose, world.accidents["b"].unknown = "create", True
    world.run()
    world.accidents["b"].lose = None
    world.edit("a", key, phone="9")
    world.run()
    world.run()
    assert world.run().unknown == 0
    assert world.equal()
    world.quiet()


# --- what a person approved stays approved --------------------------------------------------------


def test_i9_another_run_between_does_not_lose_an_approval_of_creates(world: World) -> None:
    """I9: a webhook's run of another record says nothing of what was approved."""
    world.flow({"a": Member(), "b": Member()}, guard={"creates": 2})
    old = world.add("a", **person(0))
    world.add("b", **person(0))
    world.run()
    for n in range(1, 5):
        world.add("a", **person(n))
    world.run()
    (hold,) = world.holds()
    assert world.approve(hold) == 4
    world.edit("a", old, phone="5")
    one(world, "a", old)
    assert world.written == [("b", "update")]
    world.run()
    assert world.written == [("b", "insert")] * 4
    world.quiet()


def test_i9_s77_a_member_away_does_not_lose_an_approval(world: World) -> None:
    """I9, S77: unread is not moved; the deletes approved run once b is back."""
    world.flow({"a": Member(), "b": Member()}, deletes="propagate", guard={"deletes": 2})
    keys = [world.add("a", **person(n)) for n in range(6)]
    world.run()
    world.remove("a", *keys[:4])
    world.run()
    (hold,) = world.holds()
    world.approve(hold)
    world.accidents["b"].unread = AWAY
    world.run()
    world.accidents["b"].unread = None
    world.run()
    assert world.written == [("b", "delete")] * 4
    world.quiet()


def test_a_hold_of_creates_is_not_reverted(world: World) -> None:
    """Taking back that somebody made a record would delete it; that is refused with the way out."""
    world.flow({"a": Member(), "b": Member()}, guard={"creates": 1})
    for member in "ab":
        world.add(member, **person(0))
    world.run()
    for n in (1, 2):
        world.add("a", **person(n))
    world.run()
    (hold,) = world.holds()
    with pytest.raises(ConfigError) as caught:
        world.discard(hold, revert=True)
    assert caught.value.code == "SY0189"
    world.discard(hold)
    world.quiet()


# --- another type ---------------------------------------------------------------------------------


def test_another_type_with_a_fold_meets_values_of_the_old_one(world: World) -> None:
    """Law 9: numbers become folded texts; what was edited meanwhile travels, the rest stays."""
    numbers = Member(types={"phone": "INTEGER"})
    fields: dict[str, Any] = {**PEOPLE, "phone": "integer"}
    world.flow({"a": numbers, "b": numbers}, fields=fields)
    key = world.add("a", email="p1@x.org", name="P1", phone=5)
    world.add("a", email="p2@x.org", name="P2", phone=7)
    world.run()
    world.edit("a", key, phone=6)
    fields["phone"] = {"type": "text", "fold": ["trim"]}
    world.flow({"a": numbers, "b": numbers}, fields=fields)
    world.run()
    assert world.written == [("b", "update")]
    assert world.equal()
    world.quiet()


def test_an_unlinked_record_and_its_person_entered_anew(world: World) -> None:
    """I4, law 11: b's record was unlinked by a person, a's deleted and entered again."""
    world.flow({"a": Member(), "b": Member()}, deletes="propagate")
    key = world.add("a", **person(1))
    world.add("a", **person(2))
    world.run()
    kept = world.find("b", email="p1@x.org")
    with world.acting() as act:
        identity.unlink(act, ("b", encode([kept])))
    world.run()
    world.remove("a", key)
    world.run()
    world.add("a", **person(1))
    world.run()
    assert world.written == []
    assert world.case().case.kind is CaseKind.IDENTITY
