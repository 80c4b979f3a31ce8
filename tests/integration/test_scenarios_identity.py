"""Scenarios S14 to S23 on real databases: who is who."""

from __future__ import annotations

import unicodedata
from typing import Any

from world import PEOPLE, Member, World

from syncd.core.model import CaseKind, LinkState

CASES = {"sqlite": "", "postgresql": "", "mariadb": " COLLATE utf8mb4_bin"}
STAMPED = Member(
    extra={"made": "TIMESTAMP NULL", "edited": "TIMESTAMP NULL"},
    options={"created": "made", "modified": "edited"},
)


def _person(n: int, **values: Any) -> dict[str, Any]:
    return {"email": f"p{n}@x.org", "name": f"P{n}", "phone": str(n), **values}


def test_s14_one_record_matches_two_of_another_system(world: World) -> None:
    """S14: one A matches two Bs at the first sync: one case that shows all three, none of them
    linked or created anywhere; other records are linked."""
    world.flow({"a": Member(), "b": Member()})
    a = world.add("a", **_person(1))
    b1 = world.add("b", **_person(1))
    b2 = world.add("b", **_person(1, phone="9"))
    other = world.add("a", **_person(2))
    assert world.run().exit_code == 3
    assert world.written == [("b", "insert")]
    assert set(world.linked("a", other)) == {"a", "b"}
    for member, key in (("a", a), ("b", b1), ("b", b2)):
        assert world.linked(member, key) == {}
    (opened,) = world.cases()
    assert opened.case.kind is CaseKind.IDENTITY
    assert sorted(c.source for c in opened.case.candidates) == ["a", "b", "b"]
    assert world.run().exit_code == 3
    assert world.written == []
    assert [c.id for c in world.cases()] == [opened.id]


def test_s14_the_case_is_gone_once_the_double_is(world: World) -> None:
    """S14: the double is removed at its system: the rest links by itself."""
    world.flow({"a": Member(), "b": Member()})
    a = world.add("a", **_person(1))
    world.add("b", **_person(1))
    double = world.add("b", **_person(1))
    assert world.run().exit_code == 3
    world.remove("b", double)
    assert world.run().exit_code == 0
    assert world.written == []
    assert set(world.linked("a", a)) == {"a", "b"}
    assert world.cases() == []


def test_s15_two_records_match_one_of_another_system(world: World) -> None:
    """S15: two As match one B: one case, no link, no create, whichever of them came first."""
    world.flow({"a": Member(), "b": Member()})
    world.add("b", **_person(1))
    a1 = world.add("a", **_person(1))
    assert world.run().exit_code == 0
    a2 = world.add("a", **_person(1, phone="9"))
    assert world.run().exit_code == 3
    assert world.written == []
    assert set(world.linked("a", a1)) == {"a", "b"}
    assert world.linked("a", a2) == {}
    assert len(world.cases()) == 1
    world.add("a", **_person(3))
    world.add("a", **_person(3))
    world.add("b", **_person(3))
    assert world.run().exit_code == 3
    assert world.written == []
    assert len(world.cases()) == 2


def test_s16_match_keys_are_folded_and_stored_values_stay(world: World) -> None:
    """S16: e-mails that differ by case, blanks and normal form are the same key; what is stored
    stays as each system has it, also when another field is written."""
    fields = {**PEOPLE, "email": {"type": "text", "fold": ["trim", "lower", "NFC"]}}
    world.flow({"a": Member(), "b": Member()}, fields=fields)
    one = unicodedata.normalize("NFC", "zoë@x.org")
    other = "  " + unicodedata.normalize("NFD", "ZOË@X.org") + " "
    a = world.add("a", email=one, name="Zoë", phone="1")
    b = world.add("b", email=other, name="Zoë", phone="1")
    assert world.run().exit_code == 0
    assert world.written == []
    assert set(world.linked("a", a)) == {"a", "b"}
    world.edit("a", a, phone="2")
    world.run()
    assert world.written == [("b", "update")]
    assert world.rows("b")[b] == {"email": other, "name": "Zoë", "phone": "2"}
    assert world.rows("a")[a]["email"] == one


def _numbered(world: World) -> None:
    """Both members keyed by a text that is a field, and the match key."""
    keyed = Member(key=f"VARCHAR(20){CASES[world.kind]}", maps={"number": {"native": "id"}})
    fields = {"number": "text", "name": "text"}
    world.flow({"a": keyed, "b": keyed}, fields=fields, match=["number"])


def test_s17_ids_that_differ_by_case_are_distinct(world: World) -> None:
    """S17: ids that differ only by case are two records, on both sides and afterwards."""
    _numbered(world)
    world.add("a", number="ab1", name="small")
    world.add("a", number="AB1", name="large")
    assert world.run().exit_code == 0
    assert world.table("b") == [("AB1", "large"), ("ab1", "small")]
    world.edit("b", "AB1", name="LARGE")
    world.remove("b", "ab1")
    assert world.run().exit_code == 3  # deletions are reviewed by default
    assert world.table("a") == [("AB1", "LARGE"), ("ab1", "small")]
    assert world.case().case.kind is CaseKind.DELETE


def test_s18_zero_and_leading_zeros_are_preserved(world: World) -> None:
    """S18: id 0 is an id, and "007" stays "007" as an id and as a value."""
    _numbered(world)
    for number in ("0", "007", "7", "00"):
        world.add("a", number=number, name=number)
    assert world.run().exit_code == 0
    assert world.table("b") == world.table("a")
    assert len(world.rows("b")) == 4
    world.quiet(times=1)


def test_s18_the_number_zero_is_a_key(world: World) -> None:
    """S18: a record with the number 0 as its key is linked, written and deleted like any other."""
    world.flow({"a": Member(key="INTEGER"), "b": Member()}, deletes="propagate")
    world.add("a", 0, email="nil@x.org", name="Nil", phone="007")
    assert world.run().exit_code == 0
    b = world.find("b", phone="007")
    world.edit("b", b, name="Null")
    world.run()
    assert world.rows("a")[0]["name"] == "Null"
    world.remove("b", b)
    world.add("b", **_person(2))  # an empty answer would be no proof
    world.run()
    assert 0 not in world.rows("a")


def test_s19_an_empty_match_key_matches_nothing(world: World) -> None:
    """S19: records without a match key (null, empty, blank) never match each other, however many;
    each is a thing of its own."""
    world.flow({"a": Member(), "b": Member()})
    for email in (None, "", "  "):
        world.add("a", email=email, name="from a", phone="1")
        world.add("b", email=email, name="from b", phone="2")
    report = world.run()
    assert world.cases() == []
    assert report.exit_code == 0
    assert sorted(world.written) == [("a", "insert")] * 3 + [("b", "insert")] * 3
    assert world.equal()
    assert len({frozenset(world.linked("a", key).items()) for key in world.rows("a")}) == 6
    world.quiet()


def test_s21_a_native_id_given_to_another_thing_is_no_old_link(world: World) -> None:
    """S21: A's row is deleted and its id given to somebody else between two runs: the creation
    mark differs, so the old one is deleted and the new one is a record of its own."""
    world.flow({"a": STAMPED, "b": Member()}, deletes="propagate")
    a = world.add("a", **_person(1), made="2026-01-01 10:00:00")
    kept = world.add("a", **_person(9), made="2026-01-01 10:00:00")
    world.run()
    old = world.find("b", email="p1@x.org")
    world.remove("a", a)
    world.add("a", a, **_person(2), made="2026-02-01 10:00:00")
    world.settle()
    assert world.equal()
    assert old not in world.rows("b")
    assert world.linked("a", a)["b"] != world.linked("a", kept)["b"]
    assert world.entity("a", a).agreed["email"].value == "p2@x.org"


def test_s21_an_id_reused_after_the_deletion_was_seen(world: World) -> None:
    """S21: the same, with a run in between that saw the deletion: the tombstone is another
    incarnation's, and the new record is created at B."""
    world.flow({"a": STAMPED, "b": Member()}, deletes="propagate")
    a = world.add("a", **_person(1), made="2026-01-01 10:00:00")
    world.add("a", **_person(9), made="2026-01-01 10:00:00")
    world.run()
    world.remove("a", a)
    world.run()
    assert world.written == [("b", "delete")]
    assert world.tombstone("a", a)
    world.add("a", a, **_person(2), made="2026-02-01 10:00:00")
    assert world.run().exit_code == 0
    assert world.written == [("b", "insert")]
    assert world.equal()
    assert world.entity("a", a).agreed["email"].value == "p2@x.org"


def test_s22_a_match_key_edited_after_linking_keeps_the_link(world: World) -> None:
    """S22: the match key is edited: it is the same link, and the edit travels."""
    world.flow({"a": Member(), "b": Member()})
    a = world.add("a", **_person(1))
    world.run()
    before = world.linked("a", a)
    world.edit("a", a, email="new@x.org")
    assert world.run().exit_code == 0
    assert world.written == [("b", "update")]
    assert world.linked("a", a) == before
    assert world.link("a", a).state is LinkState.LIVE
    assert world.equal()
    world.quiet(times=1)


def test_s23_unique_values_swapped_between_two_records(world: World) -> None:
    """S23: two records swap a value that is unique at the target: it refuses both, a person sees
    them in quarantine and breaks the circle; no value is lost, other edits arrive."""
    world.flow({"a": Member(), "b": Member(types={"phone": "VARCHAR(50) UNIQUE"})})
    one = world.add("a", **_person(1))
    two = world.add("a", **_person(2))
    three = world.add("a", **_person(3))
    world.run()
    world.edit("a", one, phone="2")
    world.edit("a", two, phone="1")
    world.edit("a", three, name="Third")
    report = world.run()
    assert world.rows("a")[one]["phone"] == "2"
    assert world.rows("a")[two]["phone"] == "1"
    assert world.rows("b")[world.find("b", email="p3@x.org")]["name"] == "Third"
    assert report.exit_code == 3
    assert {q.refused.member for q in world.quarantine()} == {"b"}
    phones = {row["email"]: row["phone"] for row in world.rows("b").values()}
    assert phones == {"p1@x.org": "1", "p2@x.org": "2", "p3@x.org": "3"}
    world.edit("a", one, phone="11")  # a person breaks the circle
    world.run()
    world.clock.advance(3600)
    world.run()
    world.edit("a", one, phone="2")
    world.settle()
    assert world.rows("a")[two]["phone"] == "1"


def test_s23_a_unique_value_that_moves_along_arrives(world: World) -> None:
    """S23: one record takes the unique value that another one gives up: refused at first, it
    arrives once the value is free."""
    world.flow({"a": Member(), "b": Member(types={"phone": "VARCHAR(50) UNIQUE"})})
    one, two = world.add("a", **_person(1)), world.add("a", **_person(2))
    world.run()
    world.edit("a", one, phone="2")
    world.edit("a", two, phone="22")
    world.run()
    world.clock.advance(120)
    assert world.run().exit_code == 0
    assert world.equal()
    assert world.quarantine() == []
