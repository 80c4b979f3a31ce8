"""Scenarios from the law: S63 to S71, one rule of it at a time."""

from __future__ import annotations

from typing import Any

from kinds import LOCAL, mostly
from world import PEOPLE, Member, World, shown

from syncd.core.model import CaseKind, Choice, LinkState
from syncd.engine.result import RunState
from syncd.errors import Unreachable
from syncd.store.rebuild import rebuild, relinked

SOURCE = Member(options={"mode": "source"})
TARGET = Member(options={"mode": "target"})
AWAY = Unreachable("no route to it", where="system c")


def everywhere(world: World, *members: str, **values: Any) -> dict[str, Any]:
    """One record with these values at each of the members; its keys."""
    row = {"email": "ann@x.org", "name": "Ann", "phone": "1", **values}
    return {member: world.add(member, **row) for member in members}


def phone(world: World, member: str, key: Any) -> Any:
    return world.rows(member)[key]["phone"]


# --- S63 to S65: bases that lag, edits around our own writes --------------------------------------


def c_was_down(world: World, **options: Any) -> dict[str, Any]:
    """Bases 2, 2, 1: c was away when a's edit went to b; then c was edited to 3, unseen."""
    world.flow({"a": Member(), "b": Member(), "c": Member()}, **options)
    keys = everywhere(world, "a", "b", "c")
    world.quiet(times=1)
    world.accidents["c"].unread = AWAY
    world.edit("a", keys["a"], phone="2")
    report = world.run()
    assert report.state is RunState.FAILED
    assert report.members["c"].error
    assert world.written == [("b", "update")]
    assert report.pending == 1
    world.edit("c", keys["c"], phone="3")
    world.accidents["c"].unread = None
    return keys


def test_s63_an_edit_on_a_base_behind_meets_the_agreed_value(world: World) -> None:
    """S63: bases 2, 2, 1 and c says 3: the candidates are 3 and the agreed 2, nothing is
    overwritten; a person decides and everybody follows."""
    keys = c_was_down(world)
    world.run()
    assert world.written == []
    case = world.case(CaseKind.FIELD)
    assert shown(case) == {"c": {"phone": "3"}, "agreed": {"phone": "2"}}
    assert [phone(world, m, k) for m, k in keys.items()] == ["2", "2", "3"]
    world.decide(case, Choice.TAKE, "c")
    world.settle()
    assert [phone(world, m, k) for m, k in keys.items()] == ["3", "3", "3"]


@LOCAL
def test_s63_a_preference_counts_the_agreed_value_as_its_origins(world: World) -> None:
    """S63: under prefer:a the agreed value is a's; it goes to c, whose 3 stands in the audit."""
    keys = c_was_down(world, conflict="prefer:a")
    report = world.run()
    assert world.written == [("c", "update")]
    assert phone(world, "c", keys["c"]) == "2"
    lost = [e for e in world.audit(report) if e.kind == "lost"]
    assert [(e.member, e.after) for e in lost] == [("c", {"phone": "3"})]
    world.quiet()


@LOCAL
def test_s63_back_and_unedited_a_member_is_brought_up_to_date(world: World) -> None:
    """S63, S13: without an edit of its own c simply gets what it missed."""
    keys = c_was_down(world)
    world.edit("c", keys["c"], phone="1")
    world.run()
    assert world.written == [("c", "update")]
    assert world.equal()
    assert world.cases() == []


def test_s64_an_edit_right_after_our_write_is_an_edit(world: World) -> None:
    """S64: we write 2 to b, a user there sets 3 before anybody reads it again; 3 travels."""
    world.flow({"a": Member(), "b": Member()})
    keys = everywhere(world, "a", "b")
    world.run()
    world.edit("a", keys["a"], phone="2")
    world.accidents["b"].after = lambda writes: world.edit("b", keys["b"], phone="3")
    world.run()
    world.accidents["b"].after = None
    world.run()
    assert world.written == [("a", "update")]
    assert [phone(world, m, k) for m, k in keys.items()] == ["3", "3"]
    world.quiet(times=1)


@mostly("when", "after", "before")
def test_s65_an_edit_of_another_field_beside_our_write_travels(world: World, when: str) -> None:
    """S65: while we write b.phone a user edits b.name; only phone's base moved, so the name is
    seen as the edit it is."""
    world.flow({"a": Member(), "b": Member()})
    keys = everywhere(world, "a", "b")
    world.run()
    world.edit("a", keys["a"], phone="2")
    setattr(world.accidents["b"], when, lambda writes: world.edit("b", keys["b"], name="Anna"))
    world.run()
    setattr(world.accidents["b"], when, None)
    world.settle()
    for member, key in keys.items():
        assert world.rows(member)[key] == {"email": "ann@x.org", "name": "Anna", "phone": "2"}


# --- S66: a member that joins ---------------------------------------------------------------------


def test_s64_an_edit_after_a_write_that_another_field_proves_is_not_behind(world: World) -> None:
    """Law 5, S64: the answer to a write of name and phone was lost, then b's phone is edited. The
    name proves that write: no preference takes the one edit since for older than it."""
    world.flow({"a": Member(), "b": Member()}, conflict="prefer:a")
    keys = everywhere(world, "a", "b")
    world.quiet(times=1)
    world.edit("a", keys["a"], name="Anna", phone="2")
    world.accidents["b"].lose, world.accidents["b"].unknown = "update", True
    assert world.run().unknown == 1
    world.accidents["b"].lose = None
    world.edit("b", keys["b"], phone="3")
    for _ in range(2):
        assert world.run().exit_code == 3
        assert world.written == []
        assert shown(world.case(CaseKind.UNPROVEN))["b"]["phone"] == "3"
    world.decide(world.case(CaseKind.UNPROVEN), Choice.TAKE, "b")
    world.settle()
    assert phone(world, "a", keys["a"]) == phone(world, "b", keys["b"]) == "3"


@mostly("first", "review", "prefer:a", "prefer:c")
def test_s66_a_member_that_joins_is_first_sight(world: World, first: str) -> None:
    """S66: c joins with older values of many records. `first` decides: by default each is a
    question and nothing is written; preferring a only c is written; and only when asked for do
    c's values reach a and b. c's blanks are filled."""
    count = 15
    world.flow({"a": Member(), "b": Member()}, guard={"updates": "off"})
    for n in range(count):
        everywhere(world, "a", "b", email=f"p{n}@x.org")
    world.quiet(times=1)
    before = world.table("a")
    members = {"a": Member(), "b": Member(), "c": Member()}
    world.flow(members, first=first, guard={"updates": "off"})
    for n in range(count):
        world.add("c", email=f"P{n}@x.org", name=None, phone="0")
    report = world.run()
    writes = {who for who, _ in world.written}
    if first == "review":
        assert report.conflicts == count
        assert {c.case.kind for c in world.cases()} == {CaseKind.FIRST}
        assert writes == {"c"}  # the names it lacked
        assert {row["phone"] for row in world.rows("c").values()} == {"0"}
    if first == "prefer:c":
        assert {row["phone"] for row in world.rows("b").values()} == {"0"}
    else:
        assert world.table("a") == world.table("b") == before
    if first != "review":
        world.settle()
        assert {row[2] for m in "abc" for row in world.table(m)} == {"0" if "c" in first else "1"}
    assert {row["name"] for row in world.rows("c").values()} == {"Ann"}
    assert {len(world.rows(m)) for m in "abc"} == {count}


# --- S67: drift -----------------------------------------------------------------------------------


@mostly("drift", "revert", "keep", "review")
def test_s67_an_edit_without_authority_is_drift(world: World, drift: str) -> None:
    """S67: phone is b's; a's edit of it is taken back, kept as a's own form, or asked about, and
    never written to b. b's own edit goes to a."""
    fields = {**PEOPLE, "phone": {"type": "text", "owner": "b"}}
    world.flow({"a": Member(), "b": Member()}, fields, drift=drift)
    keys = everywhere(world, "a", "b")
    world.run()
    world.edit("a", keys["a"], phone="9", name="Anna")
    report = world.settle()
    assert phone(world, "b", keys["b"]) == "1"
    assert world.rows("b")[keys["b"]]["name"] == "Anna"
    assert phone(world, "a", keys["a"]) == ("1" if drift == "revert" else "9")
    assert (report.state is RunState.NEEDS_PERSON) == (drift == "review")
    if drift == "review":
        assert world.case(CaseKind.DRIFT).case.fields == ("phone",)
    else:
        world.edit("b", keys["b"], phone="5")
        world.settle()
        assert phone(world, "a", keys["a"]) == "5"
    world.quiet()


def test_s67_a_blank_that_was_kept_is_filled_again_unasked(world: World) -> None:
    """S67: under `fill` a's blank is drift and kept; what its user then enters is the one edit, and
    none of a form that was cut."""
    fields = {**PEOPLE, "phone": {"type": "text", "fill": True}}
    world.flow({"a": Member(), "b": Member()}, fields, drift="keep")
    keys = everywhere(world, "a", "b")
    world.quiet(times=1)
    world.edit("a", keys["a"], phone=None)
    world.quiet(times=1)
    assert phone(world, "b", keys["b"]) == "1"
    world.edit("a", keys["a"], phone="5")
    assert world.settle().exit_code == 0
    assert phone(world, "b", keys["b"]) == "5"
    world.quiet()


# --- S68, S69: sources that cannot be written -----------------------------------------------------


def aggregation(world: World, **options: Any) -> dict[str, Any]:
    world.flow({"a": SOURCE, "b": SOURCE, "t": TARGET}, conflict="prefer:a", **options)
    keys = everywhere(world, "a", phone="1") | everywhere(world, "b", phone="8")
    world.run()
    keys["t"] = world.find("t", email="ann@x.org")
    assert phone(world, "t", keys["t"]) == "1"
    return keys


def test_s68_the_preferred_source_stands_though_only_the_other_moves(world: World) -> None:
    """S68: under prefer:a the target keeps a's value while b's alone moves."""
    keys = aggregation(world)
    for value in ("9", "7"):
        world.edit("b", keys["b"], phone=value)
        world.quiet(times=1)
    world.edit("a", keys["a"], phone="2")
    world.run()
    assert world.written == [("t", "update")]
    assert phone(world, "t", keys["t"]) == "2"


def test_s68_a_rebuilt_state_comes_to_the_same_value(world: World) -> None:
    """S68: after a rebuild the same ranking gives the same value: nothing is written."""
    keys = aggregation(world)
    world.edit("b", keys["b"], phone="9")
    world.run()
    world.restart()
    rebuild("sqlite:///state.db", seams=world.seams, state_dir=world.folder, base=world.folder)
    world.run()
    assert world.written == []
    with world.store.write() as conn:
        relinked(conn, "people")
    world.quiet()
    assert phone(world, "t", keys["t"]) == "1"
    assert set(world.linked("t", keys["t"])) == {"a", "b", "t"}


def test_s68_the_last_source_left_is_heard(world: World) -> None:
    """Law 13, S68: a's record is gone: what it had last is no value of now, and no preference for a
    holds it against b, the only source left."""
    keys = aggregation(world, deletes="propagate")
    for member in ("a", "b"):
        world.add(member, email="zoe@x.org", name="Zoe", phone="0")
    world.run()
    world.remove("a", keys["a"])
    world.quiet()
    assert phone(world, "t", keys["t"]) == "1"
    world.edit("b", keys["b"], phone="9")
    world.run()
    assert phone(world, "t", keys["t"]) == "9"
    world.quiet()


def test_s69_a_record_that_one_source_drops_stays(world: World) -> None:
    """S69: b drops the record, a still has it: the target keeps it; once both dropped it, the
    deletion propagates."""
    keys = aggregation(world, deletes="propagate")
    for member in ("a", "b", "t"):
        world.add(member, email="zoe@x.org", name="Zoe", phone="0")
    world.run()
    world.remove("b", keys["b"])
    world.quiet()
    world.edit("a", keys["a"], phone="3")
    world.run()
    assert phone(world, "t", keys["t"]) == "3"
    world.remove("a", keys["a"])
    world.settle()
    assert keys["t"] not in world.rows("t")


# --- S70: a member that truncates -----------------------------------------------------------------


def truncate(world: World, member: str, column: str, length: int) -> None:
    """Whatever is written there is cut, silently, as old programs do."""
    table, cut = f"{member}_people", f"substr(NEW.{column}, 1, {length})"
    if world.kind == "postgresql":
        world.sql(
            member,
            f"CREATE FUNCTION cut_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"NEW.{column} = {cut}; RETURN NEW; END $$",
            f"CREATE TRIGGER cut_it BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW "
            "EXECUTE FUNCTION cut_it()",
        )
        return
    for op in ("INSERT", "UPDATE"):
        if world.kind == "mariadb":
            world.sql(
                member,
                f"CREATE TRIGGER cut_{op} BEFORE {op} ON {table} FOR EACH ROW "
                f"SET NEW.{column} = {cut}",
            )
        else:
            world.sql(
                member,
                f"CREATE TRIGGER cut_{op} AFTER {op} ON {table} "
                f"WHEN length(NEW.{column}) > {length} BEGIN "
                f"UPDATE {table} SET {column} = {cut} WHERE id = NEW.id; END",
            )


@mostly("lossy", "review", "accept")
def test_s70_a_fix_at_a_member_that_truncates_loses_nothing_unasked(
    world: World, lossy: str
) -> None:
    """S70: b holds 40 of a's 60 characters and a user fixes a letter there: a's last 20 are a
    candidate of a case, unless the field accepts the loss."""
    fields = {**PEOPLE, "name": {"type": "text", "lossy": lossy}}
    world.flow({"a": Member(), "b": Member()}, fields)
    truncate(world, "b", "b_name", 40)
    long = "x" * 60
    a = world.add("a", email="ann@x.org", name=long, phone="1")
    world.run()
    b = world.find("b", email="ann@x.org")
    assert world.rows("b")[b]["name"] == long[:40]
    world.quiet()
    world.edit("b", b, name="y" + long[:39])
    world.run()
    if lossy == "accept":
        world.settle()
        assert world.rows("a")[a]["name"] == "y" + long[:39]
        return
    assert world.written == []
    case = world.case(CaseKind.LOSSY)
    assert shown(case) == {"b": {"name": "y" + long[:39]}, "agreed": {"name": long}}
    world.decide(case, Choice.VALUE, name="y" + long[1:])
    world.settle()
    assert world.rows("a")[a]["name"] == "y" + long[1:]
    assert world.rows("b")[b]["name"] == "y" + long[:39]
    assert world.cases() == []


# --- S71: deletions that do not travel ------------------------------------------------------------


@mostly("deletes", "ignore", "unlink")
def test_s71_after_a_deletion_that_does_not_travel_nothing_comes_back(
    world: World, deletes: str
) -> None:
    """S71: a deletes its record under `unlink` or `ignore`; b edits it: nothing is created or
    written in a, then or later, and the tombstone stays."""
    world.flow({"a": Member(), "b": Member()}, deletes=deletes)
    keys = everywhere(world, "a", "b")
    everywhere(world, "a", "b", email="zoe@x.org")
    world.run()
    world.remove("a", keys["a"])
    world.quiet(times=1)
    for value in ("2", "3"):
        world.edit("b", keys["b"], phone=value)
        world.quiet(times=1)
    assert keys["a"] not in world.rows("a")
    assert phone(world, "b", keys["b"]) == "3"
    state = LinkState.UNLINKED if deletes == "unlink" else LinkState.LIVE
    assert world.link("b", keys["b"]).state is state
