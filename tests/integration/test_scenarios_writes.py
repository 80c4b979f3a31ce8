"""Scenarios S38 and S39 on real databases, what a system makes of a write; and of S41 to S47 the
deletes and creates (the rest of them: `test_scenarios_loops`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from world import PEOPLE, Member, World, shown

from syncd.adapter import Write
from syncd.core.model import CaseKind

LONG = "x" * 60


def _person(n: int, **values: Any) -> dict[str, Any]:
    return {"email": f"p{n}@x.org", "name": f"P{n}", "phone": str(n), **values}


def _pair(world: World, people: int = 2, **options: Any) -> list[Any]:
    """Two members in step on some people; answers their keys at A."""
    world.flow(options.pop("members", {"a": Member(), "b": Member()}), **options)
    found = [world.add("a", **_person(n)) for n in range(1, people + 1)]
    world.run()
    assert len(world.rows("b")) == people
    return found


def _b(world: World, n: int) -> Any:
    return world.find("b", email=f"p{n}@x.org")


def _rewrites(world: World, column: str, expression: str) -> None:
    """B's database turns each new value of the column into `expression` of it (`{v}`)."""
    table, database = "b_people", world.database("b")
    new = expression.format(v=f"NEW.{column}")
    if world.kind == "postgresql":
        database.run(
            "CREATE FUNCTION rewrite() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN NEW.{column} = {new}; RETURN NEW; END $$",
            f"CREATE TRIGGER rewrite BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW "
            "EXECUTE FUNCTION rewrite()",
        )
    elif world.kind == "mariadb":
        for op in ("INSERT", "UPDATE"):
            database.run(
                f"CREATE TRIGGER rewrite_{op.lower()} BEFORE {op} ON {table} FOR EACH ROW "
                f"SET NEW.{column} = {new}"
            )
    else:
        for op in ("INSERT", "UPDATE"):
            database.run(
                f"CREATE TRIGGER rewrite_{op.lower()} AFTER {op} ON {table} "
                f"WHEN NEW.{column} <> {new} BEGIN UPDATE {table} SET {column} = {new} "
                "WHERE id = NEW.id; END"
            )


_DIGITS = "replace(replace(replace({v}, '(', ''), ')', ''), ' ', '')"


def _kinds(world: World) -> set[tuple[str, str]]:
    """Which tables were written and how; a trigger of ours may show one write twice."""
    return set(world.written)


# --- S38, S39: a member's own form ------------------------------------------------------------


def test_s38_a_normalised_value_is_not_written_back(world: World) -> None:
    """S38: B turns "+1 (555)" into "+1555": that is B's own form, A is not written, and nothing
    goes round."""
    world.flow({"a": Member(), "b": Member()})
    _rewrites(world, "b_phone", _DIGITS)
    a = world.add("a", **_person(1, phone="+1 (555)"))
    assert world.run().exit_code == 0
    b = _b(world, 1)
    assert world.rows("b")[b]["phone"] == "+1555"
    world.quiet()
    world.edit("a", a, phone="+1 (666)")
    world.run()
    assert _kinds(world) == {("b", "update")}
    assert world.rows("b")[b]["phone"] == "+1666"
    world.quiet()
    assert world.rows("a")[a]["phone"] == "+1 (666)"


@pytest.mark.parametrize("lossy", ["accept", "review"])
def test_s38_a_users_edit_of_a_normalised_value_is_still_seen(world: World, lossy: str) -> None:
    """S38: a user then edits that field in B: with `lossy = "accept"` it travels; else it is asked
    about, since B's form may hold less than what is agreed."""
    fields = {**PEOPLE, "phone": {"type": "text", "lossy": lossy}}
    world.flow({"a": Member(), "b": Member()}, fields=fields)
    _rewrites(world, "b_phone", _DIGITS)
    a = world.add("a", **_person(1, phone="+1 (555)"))
    world.run()
    world.edit("b", _b(world, 1), phone="+1777")
    report = world.run()
    if lossy == "accept":
        assert report.exit_code == 0
        assert world.rows("a")[a]["phone"] == "+1777"
        world.quiet()
    else:
        assert report.exit_code == 3
        assert world.written == []
        found = shown(world.case(CaseKind.LOSSY))
        assert found == {"agreed": {"phone": "+1 (555)"}, "b": {"phone": "+1777"}}


def test_s39_a_truncating_member_is_told_once_and_no_ping_pong(world: World) -> None:
    """S39: B keeps 40 characters of 60: said once, A keeps its 60, nothing goes round."""
    world.flow({"a": Member(), "b": Member()})
    _rewrites(world, "b_name", "substr({v}, 1, 40)")
    a = world.add("a", **_person(1, name=LONG))
    first = world.run()
    assert world.rows("b")[_b(world, 1)]["name"] == LONG[:40]
    told = [e for e in world.audit(first) if e.kind == "degraded"]
    for _ in range(2):
        report = world.run()
        assert world.written == []
        told += [e for e in world.audit(report) if e.kind == "degraded"]
    assert [(e.member, e.after) for e in told] == [("b", {"name": LONG[:40]})]
    assert world.rows("a")[a]["name"] == LONG
    assert world.link("a", a).bases["name"].value == LONG
    assert world.entity("a", a).links["b"].bases["name"].value == LONG[:40]


# --- S41: moved between plan and write ---------------------------------------------------------


def _once(world: World, edit: Callable[[], None], when: str = "before") -> None:
    """Somebody does this at B as soon as syncd writes there, once."""

    def interfere(writes: Sequence[Write]) -> None:
        setattr(world.accidents["b"], when, None)
        edit()

    setattr(world.accidents["b"], when, interfere)


def test_s41_the_record_was_deleted_meanwhile(world: World) -> None:
    """S41: B's record is deleted between plan and write: nothing is made again; the deletion is
    against an edit."""
    a, _ = _pair(world, deletes="propagate")
    b = _b(world, 1)
    world.edit("a", a, phone="from a")
    _once(world, lambda: world.remove("b", b))
    world.run()
    assert world.run().exit_code == 3
    assert len(world.rows("b")) == 1
    assert world.rows("a")[a]["phone"] == "from a"
    assert world.case().case.kind is CaseKind.DELETE


def test_s41_a_record_edited_before_it_is_deleted(world: World) -> None:
    """S41: B's record is edited just before A's deletion arrives: it is not deleted."""
    a, _ = _pair(world, deletes="propagate")
    b = _b(world, 1)
    world.remove("a", a)
    _once(world, lambda: world.edit("b", b, phone="late"))
    assert world.run().exit_code == 3
    assert world.rows("b")[b]["phone"] == "late"
    assert world.case().case.kind is CaseKind.DELETE


# --- S43, S44: creates whose answer is lost, or that exist --------------------------------------

UNIQUE = Member(types={"email": "VARCHAR(100) UNIQUE"})


def test_s43_a_delete_whose_answer_was_lost(world: World) -> None:
    """S43: the same for a delete: it is found done, and stays done."""
    a, _ = _pair(world, deletes="propagate")
    world.remove("a", a)
    world.accidents["b"].lose = "delete"
    world.run()
    world.accidents["b"].lose = None
    world.restart()
    assert world.run().exit_code == 0
    assert world.written == []
    assert world.equal()
    world.quiet()


def test_s44_what_exists_differs_and_is_reviewed(world: World) -> None:
    """S44: the same with another phone number: linked, and the difference is asked about."""
    world.flow({"a": Member(), "b": UNIQUE})
    a = world.add("a", **_person(1))
    _once(world, lambda: world.add("b", **_person(1, phone="other")) and None)
    world.run()
    assert world.run().exit_code == 3
    assert len(world.rows("b")) == 1
    assert set(world.linked("a", a)) == {"a", "b"}
    assert shown(world.case(CaseKind.FIRST)) == {
        "agreed": {"phone": "1"},
        "b": {"phone": "other"},
    }


# --- S46, S47: refusals --------------------------------------------------------------------------


def _refusing(world: World, people: int) -> list[Any]:
    """Members in step on some people; B refuses phone numbers that begin with "bad"."""
    strict = Member(types={"phone": "VARCHAR(50) CHECK (b_phone NOT LIKE 'bad%')"})
    off = {"updates": "off"}
    return _pair(world, people, members={"a": Member(), "b": strict}, guard=off)


def test_s47_a_refused_create_delays_nobody(world: World) -> None:
    """S47: the same for a record that B will not take at all."""
    _refusing(world, 1)
    bad = world.add("a", **_person(5, phone="bad"))
    world.add("a", **_person(6))
    assert world.run().exit_code == 3
    assert world.written == [("b", "insert")]
    (poison,) = world.quarantine()
    assert poison.refused.member == "b"
    world.edit("a", bad, phone="fine")
    assert world.run().exit_code == 0
    assert world.written == [("b", "insert")]
    assert world.equal()
