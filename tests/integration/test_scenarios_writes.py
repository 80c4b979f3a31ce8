"""Scenarios S38 to S49 on real databases: what a system makes of a write, and what becomes of one
whose answer is late, lost or no."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from world import PEOPLE, Member, World, shown

from syncd.adapter import Write
from syncd.core.model import CaseKind
from syncd.errors import Unreachable

LONG = "x" * 60
BORN = "2026-01-01 10:00:00"


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


def test_s41_the_field_to_be_written_was_edited_meanwhile(world: World) -> None:
    """S41: B's phone is edited between plan and write: the write does not happen, the record is
    planned anew in the same run, and the two edits are a conflict."""
    a, _ = _pair(world)
    b = _b(world, 1)
    world.edit("a", a, phone="from a")
    _once(world, lambda: world.edit("b", b, phone="from b"))
    report = world.run()
    assert report.exit_code == 3
    assert report.members["b"].stale == 1
    assert world.written == []
    assert world.rows("b")[b]["phone"] == "from b"
    assert shown(world.case(CaseKind.FIELD)) == {
        "agreed": {"phone": "from a"},
        "b": {"phone": "from b"},
    } or shown(world.case()) == {"a": {"phone": "from a"}, "b": {"phone": "from b"}}


def test_s41_another_field_was_edited_meanwhile(world: World) -> None:
    """S41: another field of the record is edited meanwhile: that edit stays and travels."""
    a, _ = _pair(world)
    b = _b(world, 1)
    world.edit("a", a, phone="from a")
    _once(world, lambda: world.edit("b", b, name="from b"))
    world.run()
    world.settle()
    assert world.equal()
    assert world.rows("b")[b] == {"email": "p1@x.org", "name": "from b", "phone": "from a"}


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


def test_s43_a_create_that_timed_out_but_was_stored_is_found(world: World) -> None:
    """S43: the create happened, its answer was lost, the process ends: the next one finds the
    record by its key; there is one."""
    world.flow({"a": Member(), "b": UNIQUE})
    a = world.add("a", **_person(1))
    world.accidents["b"].lose = "create"
    report = world.run()
    assert report.members["b"].unknown == 1
    assert report.exit_code == 3
    world.accidents["b"].lose = None
    world.restart()
    assert world.run().exit_code == 0
    assert world.written == []
    assert len(world.rows("b")) == 1
    assert set(world.linked("a", a)) == {"a", "b"}
    world.edit("b", _b(world, 1), phone="9")
    world.run()
    assert world.rows("a")[a]["phone"] == "9"


def test_s43_a_create_that_cannot_be_looked_up_is_not_repeated(world: World) -> None:
    """S43: nothing can tell whether the create happened: it stays unknown, in sight, and is not
    repeated; the record that appeared meanwhile is no entity of its own."""
    world.flow({"a": Member(), "b": Member()})
    world.add("a", **_person(1))
    world.accidents["b"].lose = "create"
    world.accidents["b"].unknown = True
    world.run()
    world.accidents["b"].lose = None
    for _ in range(2):
        world.restart()
        report = world.run()
        assert report.exit_code == 3
        assert report.unknown == 1
        assert world.written == []
    assert len(world.rows("b")) == 1
    assert len(world.rows("a")) == 1


def test_s43_an_update_whose_answer_was_lost_is_proven_by_a_read(world: World) -> None:
    """S43: the same for an update: the base stays behind until a read proves it; no echo."""
    a, _ = _pair(world)
    world.accidents["b"].lose = "update"
    world.edit("a", a, phone="9")
    world.run()
    assert world.rows("b")[_b(world, 1)]["phone"] == "9"
    world.accidents["b"].lose = None
    world.restart()
    assert world.run().exit_code == 0
    assert world.written == []
    world.quiet()


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


def test_s43_nothing_was_sent_at_all(world: World) -> None:
    """S43: B cannot be reached when the write begins: nothing happened there, and the next run
    does it, once."""
    a, _ = _pair(world)
    world.edit("a", a, phone="9")
    world.add("a", **_person(3))

    def refuse(writes: Sequence[Write]) -> None:
        raise Unreachable("b hung up")

    world.accidents["b"].before = refuse
    assert world.run().exit_code == 1
    assert world.written == []
    world.accidents["b"].before = None
    assert world.run().exit_code == 0
    assert world.written == [("b", "update"), ("b", "insert")] or world.written == [
        ("b", "insert"),
        ("b", "update"),
    ]
    assert world.equal()
    world.quiet()


def test_s44_a_create_that_exists_already_is_linked(world: World) -> None:
    """S44: somebody enters the same person in B between plan and write: B answers "exists", and
    the two are linked; there is one."""
    world.flow({"a": Member(), "b": UNIQUE})
    a = world.add("a", **_person(1))
    world.add("a", **_person(2))
    _once(world, lambda: world.add("b", **_person(1)) and None)
    world.run()
    assert len(world.rows("b")) == 2
    world.settle()
    assert set(world.linked("a", a)) == {"a", "b"}
    assert world.equal()
    assert world.run().exit_code == 0


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
    """B refuses phone numbers that begin with "bad"."""
    strict = Member(types={"phone": "VARCHAR(50) CHECK (b_phone NOT LIKE 'bad%')"})
    off = {"updates": "off"}
    return _pair(world, people, members={"a": Member(), "b": strict}, guard=off)


@pytest.mark.parametrize("bad", [3])
def test_s46_three_of_two_hundred_fail(world: World, bad: int) -> None:
    """S46: three of 200 updates are refused: 197 are written and their bases advance; the three
    are tried again alone."""
    world.flow(
        {"a": Member(), "b": Member(types={"phone": "VARCHAR(50) CHECK (b_phone <> 'bad')"})},
        guard={"updates": "off"},
    )
    rows = ", ".join(f"('p{n}@x.org', 'P{n}', '{n}')" for n in range(200))
    world.sql("a", f"INSERT INTO {{t}} (a_email, a_name, a_phone) VALUES {rows}")
    world.run()
    assert len(world.rows("b")) == 200
    world.sql(
        "a",
        "UPDATE {t} SET a_phone = concat('n', a_phone)"
        if world.kind != "sqlite"
        else "UPDATE {t} SET a_phone = 'n' || a_phone",
    )
    refused = [world.find("a", email=f"p{n}@x.org") for n in (7, 77, 177)]
    for key in refused:
        world.edit("a", key, phone="bad")
    report = world.run()
    assert (report.members["b"].updated, report.members["b"].rejected) == (197, bad)
    assert world.written == [("b", "update")] * 197
    assert len(world.quarantine()) == bad
    good = world.entity("a", world.find("a", email="p8@x.org"))
    assert good.links["b"].bases["phone"].seq == good.agreed["phone"].seq
    world.accidents["b"].sent.clear()
    world.clock.advance(3600)
    world.run()
    assert len(world.accidents["b"].sent) == bad
    for key in refused:
        world.edit("a", key, phone="fine")
    report = world.run()
    assert report.exit_code == 0
    assert world.written == [("b", "update")] * bad
    assert world.equal()
    assert world.quarantine() == []


def test_s47_a_poison_record_waits_in_sight_and_delays_nobody(world: World) -> None:
    """S47: B refuses one record again and again: it is tried ever more rarely, visible, and the
    run goes on for all others; put right, it leaves quarantine by itself."""
    one, two, _ = _refusing(world, 3)
    world.edit("a", one, phone="bad 1")
    world.edit("a", two, phone="good")
    report = world.run()
    assert report.exit_code == 3
    assert world.written == [("b", "update")]
    (poison,) = world.quarantine()
    assert poison.refused.member == "b"
    assert poison.refused.error
    assert poison.attempts == 1
    world.accidents["b"].sent.clear()
    assert world.run().exit_code == 3  # not due yet
    assert world.accidents["b"].sent == []
    tries = 1
    for _ in range(8):
        world.clock.advance(400)
        world.edit("a", two, phone=f"good {_}")
        world.run()
        assert world.written == [("b", "update")]
        (poison,) = world.quarantine()
        tries = poison.attempts
    assert 2 <= tries <= 6
    world.edit("a", one, phone="fine")
    assert world.run().exit_code == 0
    assert world.quarantine() == []
    assert world.equal()
    world.quiet(times=1)


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
