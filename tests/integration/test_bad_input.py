"""Bad input: one clear message, the right exit code, and nothing changed beyond the records
concerned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from kinds import LOCAL, SERVERS
from servers import KINDS
from world import PEOPLE, Member, World

from syncd.core.model import CaseKind, Choice
from syncd.engine.result import RunReport, RunState
from syncd.errors import AccessDenied, ConfigError, Unreachable

AMOUNT = {"email": PEOPLE["email"], "amount": "decimal(12,2)"}
WORD = "s3cret-w0rd"


# --- the config -----------------------------------------------------------------------------------


def unknown_key(world: World) -> None:
    world.flow({"a": Member(options={"modifed": "x"}), "b": Member()})


def unknown_policy(world: World) -> None:
    world.flow({"a": Member(), "b": Member()}, deletes="propogate")


def unknown_field(world: World) -> None:
    world.flow({"a": Member(["email", "name", "phone", "phne"]), "b": Member()})


def unknown_column(world: World) -> None:
    world.flow({"a": Member(), "b": Member()})
    world.flow({"a": Member(), "b": Member(maps={"phone": {"native": "b_fone"}})})


def unknown_object(world: World) -> None:
    world.flow({"a": Member(), "b": Member(options={"object": "b_peple"})})


def unfit_type(world: World) -> None:
    world.flow({"a": Member(types={"amount": "DATE"}), "b": Member()}, AMOUNT)


def two_writers(world: World) -> None:
    world.flow({"a": Member(), "b": Member()})
    world.flow({"a": Member(), "b": Member()}, name="again")


def unmapped_key(world: World) -> None:
    world.flow({"a": Member(), "b": Member(["email", "name"])}, match=["phone"])


def written_view(world: World) -> None:
    world.flow({"a": Member(), "b": Member()})
    world.sql("b", "CREATE VIEW b_view AS SELECT * FROM {t} WHERE id > 0 GROUP BY id")
    world.flow({"a": Member(), "b": Member(options={"object": "b_view", "key": "id"})})


FOUND_IN_THE_FILE = [
    (unknown_key, "SY0103", "unknown key `modifed`", "modified"),
    (unknown_policy, "SY0104", "'propogate' is not one of", "propagate"),
    (unknown_field, "SY0112", "no field `phne`", "phone"),
    (two_writers, "SY0118", "is written by flow `people` too", ""),
    (unmapped_key, "SY0115", "`phone` is not mapped by b", ""),
]
FOUND_IN_THE_DATABASE = [
    (unknown_column, "SY0130", "b_people has no column `b_fone`", "b_phone"),
    (unfit_type, "SY0176", "amount", ""),
    (written_view, "SY0133", "is a view and cannot be written", "source"),
]


@pytest.mark.parametrize(
    ("sql_kind", "mistake", "code", "says", "hint"),
    [("sqlite", *case) for case in FOUND_IN_THE_FILE]
    + [(kind, *case) for kind in KINDS for case in FOUND_IN_THE_DATABASE],
)
def test_a_mistake_in_the_config_is_said_with_its_line_and_changes_nothing(
    world: World, mistake: Callable[[World], None], code: str, says: str, hint: str
) -> None:
    """One message with file, line and the nearest right word; exit 2; no row, no state."""
    mistake(world)
    world.add("a", email="ann@x.org")
    with pytest.raises(ConfigError) as found:
        world.run()
    error = found.value
    assert error.exit_code == 2
    assert error.code == code
    assert says in error.message
    assert "syncd.toml:" in error.where
    assert hint in error.hint
    assert world.written == []
    assert world.rows("b") == {}


def test_an_object_that_is_not_there_is_named(world: World) -> None:
    """The nearest right name is in the hint; nothing is planned for the other member alone."""
    unknown_object(world)
    world.add("a", email="ann@x.org", name="Ann", phone="1")
    with pytest.raises(Exception, match="b_peple") as found:
        world.run()
    assert "b_people" in getattr(found.value, "hint", "")
    assert world.written == []


# --- systems that say no --------------------------------------------------------------------------


def three(world: World) -> dict[str, Any]:
    world.flow({m: Member() for m in "abc"}, deletes="propagate")
    row = {"email": "ann@x.org", "name": "Ann", "phone": "1"}
    keys = {m: world.add(m, **row) for m in "abc"}
    world.quiet(times=1)
    return keys


def lead_elsewhere(world: World, system: str, url: str) -> None:
    """The system's address, kept in a file beside the config, is another one from now on."""
    (world.folder / f"{system}_url").write_text(url)
    world.database(system).url = f"file:{system}_url"
    world.restart()


def b_is_out(world: World, report: RunReport, keys: dict[str, Any], code: str) -> None:
    """a and c went on, b stands as it was, and the run says why."""
    assert report.state is RunState.FAILED
    assert report.exit_code == (1 if code == "SY0211" else 2)
    assert report.members["b"].code == code
    assert report.members["b"].hint
    assert not (report.members["a"].error or report.members["c"].error)
    assert world.written == [("c", "update")]
    assert world.rows("b")[keys["b"]]["phone"] == "1"
    said = f"{report.messages}{report.members['b']}"
    assert WORD not in said


NOWHERE = {
    "sqlite": "sqlite:////nowhere/at/all.db",
    "postgresql": "postgresql://postgres@127.0.0.1:1/t",
    "mariadb": "mysql://root@127.0.0.1:1/t",
}


def test_an_unreachable_host_stops_its_member_only(world: World) -> None:
    """The others go on; the member catches up when it is back."""
    keys = three(world)
    right = world.database("b").url
    world.edit("a", keys["a"], phone="2")
    lead_elsewhere(world, "b", NOWHERE[world.kind])
    b_is_out(world, world.run(), keys, "SY0211")
    lead_elsewhere(world, "b", right)
    world.run()
    assert world.written == [("b", "update")]
    assert world.equal()


@LOCAL
def test_a_member_that_was_never_reached_stops_the_flow(world: World) -> None:
    """Without having seen its object once nothing can be planned for the others either."""
    world.flow({m: Member() for m in "abc"})
    world.add("a", email="ann@x.org", name="Ann", phone="1")
    lead_elsewhere(world, "b", NOWHERE[world.kind])
    with pytest.raises(Unreachable) as found:
        world.run()
    assert found.value.exit_code == 1
    assert found.value.hint
    assert world.written == []


def user(world: World, word: str = WORD) -> str:
    """A user of b's server with this password and no right but to read; the address with it."""
    database = world.database("b")
    place, _, socket = database.url.partition("?")
    name = place.rpartition("/")[2]
    if world.kind == "postgresql":
        database.run(
            "DO $$ BEGIN CREATE ROLE guarded; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
            f"ALTER ROLE guarded LOGIN PASSWORD '{WORD}'",
            "GRANT SELECT ON b_people TO guarded",
        )
        return f"postgresql://guarded:{word}@/{name}?{socket}"
    database.run(
        f"CREATE USER IF NOT EXISTS guarded@localhost IDENTIFIED BY '{WORD}'",
        f"GRANT SELECT ON {name}.b_people TO guarded@localhost",
    )
    return f"mysql://guarded:{word}@localhost/{name}?{socket}"


def allow(world: World) -> None:
    database = world.database("b")
    if world.kind == "postgresql":
        database.run("GRANT ALL ON b_people, writes_seen TO guarded")
        database.run("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO guarded")
    else:
        database.run("GRANT ALL ON *.* TO guarded@localhost")


def end(world: World) -> None:
    """The user is gone, for the server is shared with other tests."""
    if world.kind == "postgresql":
        world.database("b").run("DROP OWNED BY guarded", "DROP ROLE guarded")
    else:
        world.database("b").run("DROP USER guarded@localhost")


@SERVERS
def test_a_wrong_password_stops_its_member_only_and_is_never_shown(world: World) -> None:
    """The message names system and user's url, not the password."""
    keys = three(world)
    right = world.database("b").url
    wrong = user(world, f"not-{WORD}")
    world.edit("a", keys["a"], phone="2")
    lead_elsewhere(world, "b", wrong)
    b_is_out(world, world.run(), keys, "SY0212")
    world.database("b").url = right
    world.restart()
    world.run()
    assert world.written == [("b", "update")]
    end(world)


@SERVERS
def test_a_missing_privilege_stops_its_member_only(world: World) -> None:
    """b may be read and not written: the update and the create are not made, nothing is unknown
    for ever, the others go on; once granted, both are made, once."""
    keys = three(world)
    right = world.database("b").url
    lead_elsewhere(world, "b", user(world))
    world.edit("a", keys["a"], phone="2")
    b_is_out(world, world.run(), keys, "SY0213")
    world.add("a", email="bob@x.org", name="Bob", phone="7")
    world.run()
    assert world.written == [("c", "insert")]
    allow(world)
    world.restart()
    world.settle()
    assert world.equal()
    assert len(world.rows("b")) == 2
    assert world.run().state is RunState.DONE
    world.database("b").url = right
    world.restart()
    end(world)


@SERVERS
def test_a_wrong_password_on_the_first_run_is_an_error(world: World) -> None:
    world.flow({"a": Member(), "b": Member()})
    lead_elsewhere(world, "b", user(world, f"not-{WORD}"))
    with pytest.raises(AccessDenied) as found:
        world.run()
    assert WORD not in f"{found.value}{found.value.hint}{found.value.__cause__}"
    end(world)


# --- records --------------------------------------------------------------------------------------


def test_records_that_share_a_native_id_are_set_aside(world: World) -> None:
    """A view that shows one id twice: that record is in quarantine, the others are synced; once
    the view is mended, it too."""
    world.flow({"a": Member(), "b": Member()})
    for n in range(3):
        world.add("a", email=f"p{n}@x.org", name="P", phone="1")
    world.sql(
        "a",
        "CREATE TABLE twice (of INTEGER)",
        "INSERT INTO twice VALUES (2)",
        "CREATE VIEW a_view AS SELECT * FROM {t} "
        "UNION ALL SELECT {t}.* FROM {t} JOIN twice ON twice.of = {t}.id",
    )
    view = {"object": "a_view", "key": "id", "mode": "source"}
    world.flow({"a": Member(options=view), "b": Member()})
    report = world.run()
    assert report.state is RunState.NEEDS_PERSON
    assert world.written == [("b", "insert")] * 2
    (refused,) = world.quarantine()
    assert "more than one record 2" in refused.refused.error
    world.quiet()
    world.sql("a", "DELETE FROM twice")
    report = world.run()
    assert world.written == [("b", "insert")]
    assert report.state is RunState.DONE
    assert world.quarantine() == []


@LOCAL
def test_records_that_share_a_match_key_are_a_case(world: World) -> None:
    """Two records of a with one e-mail: one case, neither is created; the rest goes on."""
    world.flow({"a": Member(), "b": Member()})
    for mail in ("x@x.org", "X@x.org ", "y@x.org"):
        world.add("a", email=mail, name="P", phone="1")
    report = world.run()
    assert report.state is RunState.NEEDS_PERSON
    assert world.written == [("b", "insert")]
    assert len(world.case(CaseKind.IDENTITY).case.candidates) == 2
    world.quiet()


def test_values_that_cannot_be_read_set_their_records_aside(world: World) -> None:
    """Amounts that are no numbers, in a linked record and in two new ones: each is seen in
    quarantine, nothing of them is written or deleted, the rest goes on; mended, they go on too."""
    world.flow({"a": Member(types={"amount": "VARCHAR(20)"}), "b": Member()}, AMOUNT)
    keys = [world.add(m, email="ann@x.org", amount="1.00") for m in ("a", "b")]
    world.quiet(times=1)
    world.edit("a", keys[0], amount="ten")
    new = [world.add("a", email=f"p{n}@x.org", amount="?") for n in range(2)]
    world.add("a", email="zoe@x.org", amount="3.00")
    report = world.run()
    assert report.state is RunState.NEEDS_PERSON
    assert world.written == [("b", "insert")]
    assert len(world.quarantine()) == 3
    assert all("amount" in q.refused.error for q in world.quarantine())
    assert world.rows("b")[keys[1]]["amount"] == "1.00"
    world.quiet()
    assert len(world.quarantine()) == 3
    for key in (keys[0], *new):
        world.edit("a", key, amount="2.00")
    report = world.settle()
    assert world.equal()
    assert report.state is RunState.DONE
    assert world.quarantine() == []


def test_a_value_that_the_target_refuses_waits_in_quarantine(world: World) -> None:
    """The database's own words, the record concerned, everything else done; edited, it goes."""
    picky = Member(types={"phone": "VARCHAR(200) CHECK (b_phone <> 'bad')"})
    world.flow({"a": Member(), "b": picky})
    eve = world.add("a", email="eve@x.org", name="Eve", phone="bad")
    world.add("a", email="ann@x.org", name="Ann", phone="1")
    report = world.run()
    assert report.state is RunState.NEEDS_PERSON
    assert report.exit_code == 3
    assert world.written == [("b", "insert")]
    (refused,) = world.quarantine()
    assert refused.refused.member == "b"
    assert refused.refused.error
    world.edit("a", eve, phone="good")
    assert world.run().state is RunState.DONE
    assert world.equal()


@pytest.mark.parametrize("private", [True, False])
def test_i16_a_private_value_is_not_quoted_from_what_a_target_says(
    world: World, private: bool
) -> None:
    """The database names the value that it refuses; of a private field nothing keeps it."""
    world.flow(
        {"a": Member(), "b": Member(types={"phone": "VARCHAR(200) UNIQUE"})},
        {**PEOPLE, "phone": {"type": "text", "private": private}},
    )
    world.add("b", email="eve@x.org", name="Eve", phone="Zq7-555-1234")
    world.run()
    world.add("a", email="ann@x.org", name="Ann", phone="Zq7-555-1234")
    report = world.run()
    (refused,) = world.quarantine()
    said = [refused.refused.error, *(str(e.reason) for e in world.audit(report))]
    quoted = any("Zq7" in text or "1234" in text for text in said)
    assert quoted is (not private and world.kind == "mariadb")  # the others name columns


@LOCAL
def test_i12_a_text_that_is_none_is_set_aside_alone(world: World) -> None:
    """SQLite holds whatever bytes were called a text; the driver ends a whole read over them."""
    world.flow({m: Member() for m in "ab"})
    keys = [world.add("a", email=f"p{n}@x.org", name="Ann", phone="1") for n in range(3)]
    world.run()
    world.sql("a", "UPDATE {t} SET a_name = CAST(x'ff41' AS TEXT) WHERE id = :id", id=keys[1])
    world.edit("a", keys[2], name="Anna")
    report = world.run()
    assert report.state is RunState.NEEDS_PERSON
    (refused,) = world.quarantine()
    assert "2 bytes" in refused.refused.error
    assert [name for _, name, _ in world.table("b")] == ["Ann", "Ann", "Anna"]
    world.edit("a", keys[1], name="Bea")
    world.settle()
    assert world.equal()


def test_f40_json_numbers_that_no_float_holds_are_set_aside(world: World) -> None:
    """Neither changed on their way nor written back changed."""
    world.flow({m: Member(types={"phone": "JSON"}) for m in "ab"}, {**PEOPLE, "phone": "json"})
    world.add("a", email="ann@x.org", name="Ann", phone='{"n": 12345678901234567.89}')
    world.add("a", email="bob@x.org", name="Bob", phone='{"n": 12345678901234567890123}')
    world.add("a", email="eve@x.org", name="Eve", phone='{"n": [0.30000000000000004, 1e3, 7]}')
    report = world.run()
    assert report.state is RunState.NEEDS_PERSON
    assert len(world.quarantine()) == 2
    assert [email for email, _, _ in world.table("b")] == ["eve@x.org"]


def test_i1_records_that_cannot_be_made_somewhere_are_told_of(world: World) -> None:
    """b's `code` must have a value and no field gives it one: nothing fails, the run says so."""
    world.flow({"a": Member(), "b": Member(extra={"code": "VARCHAR(9) NOT NULL"})})
    world.add("a", email="ann@x.org", name="Ann", phone="1")
    report = world.run()
    assert any(
        "1 record is not made in b" in text and "code" in text for _, text in report.messages
    )
    assert world.table("b") == []


def test_a_value_too_long_for_the_target_is_asked_about_before_anything_is_sent(
    world: World,
) -> None:
    """S11: the record is validated as it would stand at the target; nothing half-written."""
    world.flow({"a": Member(), "b": Member(types={"name": "VARCHAR(5)"})})
    keys = [world.add(m, email="ann@x.org", name="Ann", phone="1") for m in ("a", "b")]
    world.quiet(times=1)
    world.edit("a", keys[0], name="Annabella", phone="2")
    report = world.run()
    assert report.state is RunState.NEEDS_PERSON
    assert world.written == []
    case = world.case(CaseKind.INVALID).case
    assert (case.member, case.fields) == ("b", ("name",))
    assert world.accidents["b"].sent == []


@pytest.mark.parametrize("created", [True, False])
def test_what_a_person_types_for_a_value_too_long_becomes_the_agreed_one(
    world: World, created: bool
) -> None:
    """S11, I2: it goes to every member, where it came from too; the audit has what it replaces."""
    world.flow({"a": Member(), "b": Member(types={"name": "VARCHAR(5)"})})
    long = {"email": "ann@x.org", "name": "Annabella", "phone": "1"}
    if created:
        world.add("a", **long)
    else:
        keys = [world.add(m, **{**long, "name": "Ann"}) for m in ("a", "b")]
        world.quiet(times=1)
        world.edit("a", keys[0], name="Annabella")
    world.run()
    world.decide(world.case(CaseKind.INVALID), Choice.VALUE, name="Anna")
    report = world.run()
    assert world.cases() == []
    assert world.table("a") == world.table("b") == [("ann@x.org", "Anna", "1")]
    assert any("Annabella" in str((e.before, e.after)) for e in world.audit(report))
    world.quiet()


def test_an_answer_for_a_value_that_was_edited_since_is_void(world: World) -> None:
    """S4, F71: what was entered since fits, and there is nothing to decide any more."""
    world.flow({"a": Member(), "b": Member(types={"name": "VARCHAR(5)"})})
    keys = [world.add(m, email="ann@x.org", name="Ann", phone="1") for m in ("a", "b")]
    world.quiet(times=1)
    world.edit("a", keys[0], name="Annabella")
    world.run()
    world.decide(world.case(CaseKind.INVALID), Choice.VALUE, name="Anna")
    world.edit("a", keys[0], name="Annie")
    world.settle()
    assert world.cases() == []
    assert world.table("a") == world.table("b") == [("ann@x.org", "Annie", "1")]


def test_a_column_of_another_type_halts_its_member(world: World) -> None:
    """F50: a's amount became a date; a halts with its mapping, nothing is blanked, b and c go
    on."""
    world.flow({m: Member() for m in "abc"}, {**AMOUNT, "name": "text"})
    row = {"email": "ann@x.org", "amount": "1.00", "name": "Ann"}
    keys = {m: world.add(m, **row) for m in "abc"}
    world.quiet(times=1)
    world.sql(
        "a",
        "ALTER TABLE {t} DROP COLUMN a_amount",
        "ALTER TABLE {t} ADD COLUMN a_amount DATE",
    )
    world.restart()
    world.edit("b", keys["b"], name="Anna")
    report = world.run()
    assert report.state is RunState.FAILED
    assert report.members["a"].code == "SY0230"
    assert "a_amount" in report.members["a"].error or "amount" in report.members["a"].error
    assert world.written == [("c", "update")]
    assert world.rows("b")[keys["b"]]["amount"] == world.rows("c")[keys["c"]]["amount"] == "1.00"


@LOCAL
def test_law_5_a_case_of_a_member_that_is_not_read_stays_open(world: World) -> None:
    """Nobody finds the same question under another number after an outage, or loses an answer."""
    world.flow({"a": Member(), "b": Member(types={"phone": "VARCHAR(4)"})})
    key = world.add("a", email="ann@x.org", name="Ann", phone="1")
    world.settle()
    world.edit("a", key, phone="123456")
    world.run()
    (before,) = world.cases(CaseKind.INVALID)
    world.accidents["b"].unread = Unreachable("it does not answer")
    world.run()
    (during,) = world.cases(CaseKind.INVALID)
    assert during.id == before.id
    world.decide(during, Choice.VALUE, phone="12")
    world.accidents["b"].unread = None
    world.settle()
    assert world.equal() and world.rows("b")[1]["phone"] == "12"
