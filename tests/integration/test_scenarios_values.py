"""Scenarios of values, times and plans: S52 to S57, S59, S60, S62."""

from __future__ import annotations

import sqlite3
from itertools import permutations
from typing import Any

from kinds import LOCAL, mostly
from world import PEOPLE, Member, World, shown

from syncd.core.model import CaseKind
from syncd.engine.result import RunMode, RunState

MAIL = {"email": PEOPLE["email"]}
WALL = {"sqlite": "DATETIME", "postgresql": "TIMESTAMP", "mariadb": "DATETIME"}


def ann(world: World, member: str, **values: Any) -> Any:
    return world.add(member, email="ann@x.org", **values)


# --- S52: null, empty, missing, white space -------------------------------------------------------


def test_s52_null_empty_and_white_space_are_kept_apart(world: World) -> None:
    """S52: unless the field says otherwise null, empty and a blank are three values, and each of
    them travels as it is."""
    world.flow({"a": Member(), "b": Member()}, {**MAIL, "note": "text"})
    a, b = ann(world, "a", note="x"), ann(world, "b", note="x")
    world.run()
    for value in (None, "", "  ", " x"):
        world.edit("a", a, note=value)
        world.run()
        assert world.written == [("b", "update")]
        assert world.rows("b")[b]["note"] == value
    world.quiet()


@LOCAL
def test_s52_a_field_may_take_null_and_empty_for_the_same(world: World) -> None:
    """S52: under `null = "empty"` and a fold, null, empty and blanks are one: no write."""
    note = {"type": "text", "null": "empty", "fold": ["trim"]}
    world.flow({"a": Member(), "b": Member()}, {**MAIL, "note": note})
    a, b = ann(world, "a", note=None), ann(world, "b", note="")
    world.quiet(times=1)
    for value in ("", "  ", None):
        world.edit("a", a, note=value)
        world.quiet(times=1)
    world.edit("b", b, note="x")
    world.run()
    assert world.written == [("a", "update")]
    world.edit("a", a, note=" x ")
    world.quiet(times=1)
    assert world.rows("b")[b]["note"] == "x"


def test_s52_a_field_that_a_member_does_not_map_is_never_cleared(world: World) -> None:
    """S52: c knows nothing of phone; neither its edits nor its new records blank it anywhere."""
    world.flow({"a": Member(), "b": Member(), "c": Member(["email", "name"])})
    for member in ("a", "b"):
        ann(world, member, name="Ann", phone="1")
    c = ann(world, "c", name="Ann")
    world.quiet(times=1)
    world.edit("c", c, name="Anna")
    world.run()
    assert world.table("a") == world.table("b") == [("ann@x.org", "Anna", "1")]
    world.add("c", email="bob@x.org", name="Bob")
    world.settle()
    bob = world.find("a", email="bob@x.org")
    world.edit("a", bob, phone="7")
    world.settle()
    assert world.rows("b")[world.find("b", email="bob@x.org")]["phone"] == "7"


# --- S53: numbers ---------------------------------------------------------------------------------


def test_s53_numbers_are_equal_at_their_scale_and_a_cent_is_a_change(world: World) -> None:
    """S53: 10, 10.0 and 10.00 are one amount, 0.1+0.2 is 0.3; a real cent travels."""
    kinds = {"a": "VARCHAR(20)", "b": "DECIMAL(12,2)", "c": "DOUBLE PRECISION"}
    members = {who: Member(types={"amount": kind}) for who, kind in kinds.items()}
    world.flow(members, {**MAIL, "amount": "decimal(12,2)"})
    keys = {"a": ann(world, "a", amount="10"), "b": ann(world, "b", amount="10.00")}
    keys["c"] = ann(world, "c", amount=10.0)
    world.quiet(times=1)
    world.edit("a", keys["a"], amount="10.0")
    world.quiet(times=1)
    world.edit("a", keys["a"], amount="0.3")
    world.edit("c", keys["c"], amount=0.1 + 0.2)
    world.run()
    assert world.written == [("b", "update")]
    assert float(world.rows("b")[keys["b"]]["amount"]) == 0.3
    world.edit("b", keys["b"], amount="0.31")
    world.run()
    assert sorted(world.written) == [("a", "update"), ("c", "update")]
    assert world.rows("a")[keys["a"]]["amount"] == "0.31"
    assert world.rows("c")[keys["c"]]["amount"] == 0.31
    world.quiet()


# --- S54 to S56: times ----------------------------------------------------------------------------


def times(world: World, zone: str = "Europe/Berlin") -> None:
    """a keeps wall times, b and c texts with offset."""
    wall = Member(types={"at": WALL[world.kind], "day": "DATE"}, maps={"at": {"zone": zone}})
    fields = {**MAIL, "at": {"type": "datetime", "precision": "s"}, "day": "date"}
    world.flow({"a": wall, "b": Member(), "c": Member()}, fields)


def test_s54_one_instant_in_three_spellings_is_one_value(world: World) -> None:
    """S54: a wall time with its declared zone, one with an offset and one in UTC are equal where
    they are the same instant; a day never shifts."""
    times(world)
    ann(world, "a", at="2024-07-01 12:00:00", day="2024-03-31")
    b = ann(world, "b", at="2024-07-01T12:00:00+02:00", day="2024-03-31")
    ann(world, "c", at="2024-07-01T10:00:00Z", day="2024-03-31")
    world.quiet()
    world.edit("b", b, day="2024-12-31")
    world.run()
    assert str(next(iter(world.rows("a").values()))["day"]) == "2024-12-31"
    assert next(iter(world.rows("c").values()))["day"] == "2024-12-31"
    world.quiet(times=1)


def test_s54_the_hour_that_comes_twice_is_stable(world: World) -> None:
    """S54: the first of the two equal wall times is written and read back as itself; the second
    cannot be said by a wall time, so it is shown to a person and never shifted."""
    times(world)
    for member in ("a", "b", "c"):
        value = "2024-07-01 12:00:00" if member == "a" else "2024-07-01T10:00:00Z"
        ann(world, member, at=value, day="2024-03-31")
    world.run()
    c = world.find("c", email="ann@x.org")
    world.edit("c", c, at="2024-10-27T00:30:00Z")
    world.run()
    assert str(next(iter(world.rows("a").values()))["at"]).startswith("2024-10-27 02:30:00")
    world.quiet()
    world.edit("c", c, at="2024-10-27T01:30:00Z")
    report = world.run()
    assert world.written == [("b", "update")]
    assert report.state is RunState.NEEDS_PERSON
    assert world.case(CaseKind.INVALID).case.member == "a"
    assert str(next(iter(world.rows("a").values()))["at"]).startswith("2024-10-27 02:30:00")
    world.quiet()


def newest(world: World, conflict: Any) -> dict[str, Any]:
    """Two members that say when a record was edited, with a conflict on phone to be timed."""
    members = {
        who: Member(extra={"edited": WALL[world.kind]}, options={"modified": "edited"})
        for who in ("a", "b")
    }
    world.flow(members, conflict=conflict)
    keys = {
        who: ann(world, who, name="Ann", phone="1", edited="2024-01-01 00:00:00")
        for who in ("a", "b")
    }
    world.run()
    return keys


def test_s55_the_newest_edit_wins_beyond_the_tolerance(world: World) -> None:
    """S55: b's edit is later by more than the tolerance; it wins, and the loser is in the audit."""
    keys = newest(world, "newest")
    world.edit("a", keys["a"], phone="2", edited="2024-01-02 00:00:00")
    world.edit("b", keys["b"], phone="3", edited="2024-01-02 00:00:03")
    report = world.run()
    assert world.written == [("a", "update")]
    assert world.rows("a")[keys["a"]]["phone"] == "3"
    assert any(e.kind == "lost" and e.after == {"phone": "2"} for e in world.audit(report))
    world.quiet()


@mostly("other", None, "2024-01-02 00:00:01", "2024-01-02 00:00:00")
def test_s55_without_a_clear_later_time_nothing_is_guessed(world: World, other: str | None) -> None:
    """S55: within the tolerance, equal or missing, time decides nothing: review, or the declared
    tiebreak; a missing time is never the epoch."""
    keys = newest(world, "newest")
    world.edit("a", keys["a"], phone="2", edited="2024-01-02 00:00:00")
    world.edit("b", keys["b"], phone="3", edited=other)
    world.run()
    assert world.written == []
    assert set(shown(world.case(CaseKind.FIELD))) == {"a", "b"}
    world.flow(world_members(world), conflict=["newest", "prefer:a"])
    world.run()
    assert world.written == [("b", "update")]
    assert world.rows("b")[keys["b"]]["phone"] == "2"


def timed(world: World) -> dict[str, Any]:
    """Three equal records of members that say when they were edited, a minute apart."""
    members = {
        who: Member(extra={"edited": WALL[world.kind]}, options={"modified": "edited"})
        for who in "abc"
    }
    world.flow(members, conflict="newest")
    keys = {
        who: ann(world, who, name="Ann", phone="1", edited=f"2024-01-01 00:0{minute}:00")
        for minute, who in enumerate("abc")
    }
    world.settle()
    return keys


def test_s55_a_tie_stays_one_after_our_own_write(world: World) -> None:
    """S55: two edits of one moment wait for a person; another field is written to both meanwhile.
    That hides nobody's time: the next run knows no better."""
    keys = timed(world)
    world.edit("a", keys["a"], phone="2", edited="2024-01-02 00:04:00")
    for who, name in (("b", "Bea"), ("c", "Cleo")):
        world.edit(who, keys[who], name=name, edited="2024-01-02 00:05:00")
    for _ in range(3):
        world.run()
        assert shown(world.case(CaseKind.FIELD)).keys() == {"b", "c"}
        assert [row["name"] for who in "abc" for row in world.rows(who).values()] == [
            "Ann",
            "Bea",
            "Cleo",
        ]


def test_s55_an_edit_that_our_own_write_overtook_has_no_known_time(world: World) -> None:
    """S55: b's user edits the name while we write b's phone; c's older edit must not win by a time
    that is from before both."""
    keys = timed(world)
    world.edit("a", keys["a"], phone="2", edited="2024-01-02 00:01:00")

    def race(writes: object) -> None:
        world.accidents["b"].before = None
        world.edit("b", keys["b"], name="Bea", edited="2024-01-02 00:03:00")

    world.accidents["b"].before = race
    world.run()
    world.edit("c", keys["c"], name="Cleo", edited="2024-01-02 00:02:00")
    world.run()
    assert world.rows("b")[keys["b"]]["name"] == "Bea"
    assert shown(world.case(CaseKind.FIELD)).keys() == {"b", "c"}


def test_s55_an_edit_within_the_second_of_our_write_has_no_known_time(world: World) -> None:
    """S55: b's times are of whole seconds, and its user edits the name in that of our write: the
    time before it is not his, and a's older edit must not win by it."""
    keys = timed(world)
    world.edit("c", keys["c"], phone="2", edited="2024-01-02 00:01:00")

    def race(writes: object) -> None:
        world.accidents["b"].before = None
        world.edit("a", keys["a"], name="Anna", edited="2024-01-02 00:02:00")
        world.edit("b", keys["b"], edited="2024-01-02 00:05:00")  # as our write is stamped

    world.accidents["b"].before = race
    world.run()
    world.edit("b", keys["b"], name="Bea", edited="2024-01-02 00:05:00")
    world.run()
    assert world.rows("b")[keys["b"]]["name"] == "Bea"
    assert shown(world.case(CaseKind.FIELD)).keys() == {"a", "b"}
    world.quiet()


def world_members(world: World) -> dict[str, Member]:
    return {
        who: Member(extra={"edited": WALL[world.kind]}, options={"modified": "edited"})
        for who in ("a", "b")
    }


def test_s56_a_change_of_every_row_is_held(world: World) -> None:
    """S56: a program moves all times by an hour; the guard holds the updates and writes none."""
    times(world)
    for n in range(12):
        for member in ("a", "b", "c"):
            at = (
                f"2024-07-{n + 1:02} 12:00:00" if member == "a" else f"2024-07-{n + 1:02}T10:00:00Z"
            )
            world.add(member, email=f"p{n}@x.org", at=at, day="2024-03-31")
    world.quiet(times=1)
    for key in world.rows("b"):
        world.edit("b", key, at=f"2024-07-{int(key):02}T11:00:00Z")
    report = world.run()
    assert world.written == []
    assert report.state is RunState.NEEDS_PERSON
    (hold,) = world.holds()
    assert (hold.kind, hold.cause) == ("update", "b")
    assert len(world.held(hold)) == 24
    world.quiet()
    assert len(world.holds()) == 1


def test_s56_another_zone_in_the_config_is_no_edit(world: World) -> None:
    """S56: the wall times of a are declared to mean another zone; bases are made anew, and no
    row is written anywhere."""
    times(world)
    for n in range(12):
        for member in ("a", "b", "c"):
            at = (
                f"2024-07-{n + 1:02} 12:00:00" if member == "a" else f"2024-07-{n + 1:02}T10:00:00Z"
            )
            world.add(member, email=f"p{n}@x.org", at=at, day="2024-03-31")
    world.quiet(times=1)
    times(world, "UTC")
    world.quiet()
    assert world.cases() == []


# --- S57: the cursor ------------------------------------------------------------------------------


def test_s57_rows_at_the_edge_of_the_cursor_are_not_missed(world: World) -> None:
    """S57: a row with the very time at which the last reading ended, and one that was committed
    late, are found by the next incremental read; a deletion too."""
    kind = WALL[world.kind]
    a = Member(extra={"touched": kind}, options={"cursor": "touched", "overlap": "60s"})
    world.flow({"a": a, "b": Member()}, deletes="propagate")
    world.add("a", email="p0@x.org", touched="2024-01-01 00:00:00")
    world.run()
    for n, touched in enumerate(["00:10:00", "00:10:00", "00:09:30", "00:10:00"], 1):
        world.add("a", email=f"p{n}@x.org", touched=f"2024-01-01 {touched}")
        report = world.run(mode=RunMode.INCREMENTAL)
        assert world.written == [("b", "insert")]
        assert report.members["a"].error == ""
    world.remove("a", world.find("a", email="p2@x.org"))
    world.run(mode=RunMode.INCREMENTAL)
    assert world.written == [("b", "delete")]
    assert world.equal()
    world.run(mode=RunMode.INCREMENTAL)
    assert world.written == []


def test_s24_a_listing_of_keys_has_a_pace_of_its_own(world: World) -> None:
    """An incremental run looks for deletions only so often; but a record made again under the same
    key at once, which is found new, is the old one, and no case."""
    kind = WALL[world.kind]
    options = {"cursor": "touched", "overlap": "0s", "list_every": "10m"}
    a = Member(extra={"touched": kind}, options=options)
    world.flow({"a": a, "b": Member()}, deletes="propagate")
    for n in range(3):
        world.add("a", email=f"p{n}@x.org", touched="2024-01-01 00:00:00")
    world.run()
    world.remove("a", world.find("a", email="p0@x.org"))
    world.run(mode=RunMode.INCREMENTAL)
    assert world.written == []
    world.clock.advance(599)
    world.run(mode=RunMode.INCREMENTAL)
    assert world.written == []
    world.clock.advance(2)
    world.run(mode=RunMode.INCREMENTAL)
    assert world.written == [("b", "delete")]
    world.remove("a", world.find("a", email="p1@x.org"))
    world.add("a", email="p1@x.org", phone="7", touched="2024-01-01 00:10:00")
    world.run(mode=RunMode.INCREMENTAL)
    assert world.written == [("b", "update")]
    assert world.cases() == [] and world.equal()


# --- S59: a column that vanishes ------------------------------------------------------------------


def test_s59_a_vanished_column_halts_that_member_only(world: World) -> None:
    """S59: a's phone column is gone; a is neither read nor written, nothing is blanked, b and c
    go on; back again, everything goes on."""
    world.flow({"a": Member(), "b": Member(), "c": Member()})
    keys = {who: ann(world, who, name="Ann", phone="1") for who in ("a", "b", "c")}
    world.run()
    world.sql("a", "ALTER TABLE {t} RENAME COLUMN a_phone TO a_tel")
    world.restart()
    world.edit("b", keys["b"], name="Anna")
    report = world.run()
    assert report.state is RunState.FAILED
    assert report.exit_code == 2
    assert report.members["a"].code == "SY0230"
    assert "a_phone" in report.members["a"].error
    assert world.written == [("c", "update")]
    assert world.rows("c")[keys["c"]] == {"email": "ann@x.org", "name": "Anna", "phone": "1"}
    world.sql("a", "ALTER TABLE {t} RENAME COLUMN a_tel TO a_phone")
    world.restart()
    world.run()
    assert world.written == [("a", "update")]
    assert world.equal()
    world.quiet(times=1)


# --- S60: dry runs --------------------------------------------------------------------------------


def state_of(world: World) -> list[str]:
    """Everything in the store."""
    with sqlite3.connect(world.folder / "state.db") as conn:
        dump = list(conn.iterdump())
    conn.close()
    return dump


def test_s60_a_dry_run_changes_nothing_not_even_the_state(world: World) -> None:
    """S60: before there is a state and afterwards, twice: no writes, no change of state, the same
    plan each time."""
    world.flow({"a": Member(), "b": Member()})
    for n in range(3):
        world.add("a", email=f"p{n}@x.org", name="P", phone="1")
    first, second = (world.run(dry_run=True) for _ in range(2))
    assert world.written == []
    assert not (world.folder / "state.db").exists()
    assert {p.digest for p in first.operations} == {p.digest for p in second.operations}
    assert len(first.operations) == 3
    assert first.state is RunState.PLANNED
    world.run()
    world.edit("a", world.find("a", email="p1@x.org"), phone="2")
    world.remove("b", world.find("b", email="p2@x.org"))
    before = state_of(world)
    first, second = (world.run(dry_run=True) for _ in range(2))
    assert world.written == []
    assert state_of(world) == before
    assert [p.digest for p in first.operations] == [p.digest for p in second.operations]
    assert len(first.operations) == 1


def test_s60_the_approved_operations_run_and_what_moved_is_listed(world: World) -> None:
    """S60: of a plan shown yesterday exactly the operations still true run; those whose records
    moved drop out and are listed; what came since waits for another run."""
    world.flow({"a": Member(), "b": Member()}, conflict="prefer:a")
    for n in range(4):
        for member in ("a", "b"):
            world.add(member, email=f"p{n}@x.org", name="P", phone="1")
    world.run()
    keys = [world.find("a", email=f"p{n}@x.org") for n in range(4)]
    for key in keys[:3]:
        world.edit("a", key, phone="2")
    plan = world.run(dry_run=True)
    shown_then = {p.operation.key: p.digest for p in plan.operations}
    assert len(shown_then) == 3
    world.edit("a", keys[1], phone="9")
    world.edit("a", keys[3], phone="7")
    report = world.run(only=frozenset(shown_then.values()))
    assert world.written == [("b", "update")] * 2
    phones = [world.rows("b")[world.find("b", email=f"p{n}@x.org")]["phone"] for n in range(4)]
    assert phones == ["2", "1", "2", "1"]
    assert len(report.moved) == 1
    world.run()
    assert world.written == [("b", "update")] * 2
    assert world.equal()


# --- S62: at rest ---------------------------------------------------------------------------------


def test_s62_at_rest_nothing_is_written_in_any_order_of_members(world: World) -> None:
    """S62: converged, run again in every order of the members: zero writes."""
    members = {who: Member() for who in ("a", "b", "c")}
    world.flow(members)
    for who in members:
        world.add(who, email=f"{who}@x.org", name=who, phone=None)
        ann(world, who, name="Ann", phone="1")
    world.settle()
    assert world.equal()
    for order in list(permutations(members))[:: 1 if world.kind == "sqlite" else 3]:
        world.flow({who: members[who] for who in order})
        world.quiet(times=1)
