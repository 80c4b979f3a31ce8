"""`status`, `runs`, `holds`, `quarantine`, `links`, `state`: what stands open, and who is who."""

from __future__ import annotations

from pathlib import Path

import pytest
from cliworld import World

from syncd import host
from syncd.store.database import Store


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


# --- status and runs -----------------------------------------------------------------------


def test_status_before_the_first_run(world: World) -> None:
    result = world.ok("status")
    assert "never ran; next: syncd reconcile people" in result.stdout
    assert world.json("status")["flows"][0]["last_attempt"] is None
    assert not (world.folder / "state.db").exists()


def test_status_tells_attempt_success_and_change_apart_with_the_systems_down(world: World) -> None:
    world.synced(3)
    world.sql("crm", "UPDATE contacts SET name = 'New' WHERE id = 1")
    world.ok("reconcile")
    changed = world.json("status")["flows"][0]
    for system in ("crm", "erp"):
        (world.folder / f"{system}.db").rename(world.folder / f"{system}.away")
        (world.folder / f"{system}.db").mkdir()
    world.ok("reconcile", code=1)
    now = world.json("status")["flows"][0]
    assert now["last_change"] == changed["last_change"]
    assert now["last_success"] == changed["last_success"]
    assert now["last_attempt"] > now["last_success"] >= now["last_change"]
    assert now["last_state"] == "failed"
    assert "(failed)" in world.ok("status").stdout


def test_each_record_has_one_of_the_five_words(world: World) -> None:
    world.change("[flows.people.fields]", "guard = { deletes = 0 }\n[flows.people.fields]")
    world.synced(20)
    world.sql(
        "erp",
        "CREATE TRIGGER no_bad BEFORE UPDATE ON customers WHEN NEW.full_name = 'Bad'"
        " BEGIN SELECT RAISE(ABORT, 'bad name'); END",
    )
    world.sql("crm", "UPDATE contacts SET name = 'X' WHERE id = 1")
    world.sql("erp", "UPDATE customers SET full_name = 'Y' WHERE no = 101")
    world.sql("crm", "UPDATE contacts SET name = 'Bad' WHERE id = 2")
    world.sql("crm", "DELETE FROM contacts WHERE id = 3")
    world.ok("reconcile", code=3)
    flow = world.json("status", code=3)["flows"][0]
    records = {member["name"]: member["records"] for member in flow["members"]}
    assert records["erp"] == {
        "in_step": 17,
        "pending": 0,
        "conflict": 1,
        "held": 1,
        "quarantined": 1,
    }
    assert sum(records["crm"].values()) in (19, 20)
    assert (flow["conflicts"], flow["holds"], flow["quarantined"]) == (1, 1, 1)
    text = world.ok("status", code=3).stdout
    for word in ("in step", "pending", "conflict", "held", "quarantined"):
        assert word in text


def test_runs_tell_what_happened(world: World) -> None:
    assert "no run so far" in world.ok("runs").stdout
    world.synced(2)
    world.sql("crm", "UPDATE contacts SET name = 'New' WHERE id = 1")
    world.ok("reconcile")
    newest, oldest = world.json("runs")["runs"]
    assert newest["counts"]["updated"] == 1
    assert oldest["run"] == 1
    shown = world.json("runs", "show", str(newest["run"]))
    (update,) = [e for e in shown["events"] if e["kind"] == "update"]
    assert (update["member"], update["key"], update["outcome"]) == ("erp", "101", "applied")
    assert update["after"]["name"] == "New"
    assert "Person 1 → New" in world.ok("runs", "show", str(newest["run"])).stdout
    assert world.run("runs", "show", "99").exit_code == 2


# --- holds ---------------------------------------------------------------------------------


def held(world: World) -> str:
    """S29: more deletions than the guard lets through."""
    world.synced(40)
    world.sql("crm", "DELETE FROM contacts WHERE id > 25")
    world.ok("reconcile", code=3)
    (hold,) = world.json("holds", "list", code=3)["holds"]
    assert hold["items"] == {"held": 15}
    assert len(world.sql("erp", "SELECT * FROM customers")) == 40
    return str(hold["id"])


def test_s29_approving_deletions_wants_the_flows_name(world: World) -> None:
    number = held(world)
    result = world.run("holds", "approve", number)
    assert result.exit_code == 2
    assert f"syncd holds approve {number} --confirm people" in result.stderr
    assert world.run("holds", "approve", number, "--confirm", "wrong").exit_code == 2
    assert world.json("holds", "approve", number, "--confirm", "people")["operations"] == 15
    world.ok("reconcile")
    assert len(world.sql("erp", "SELECT * FROM customers")) == 25
    world.ok("holds", "list")
    assert world.json("holds", "list", "--all")["holds"][0]["state"] == "closed"


def test_s77_what_moved_since_drops_out_of_an_approval(world: World) -> None:
    number = held(world)
    world.ok("holds", "approve", number, "--confirm", "people", "--by", "anna")
    world.sql("erp", "UPDATE customers SET full_name = 'Edited' WHERE no = 130")
    world.run("reconcile")
    assert len(world.sql("erp", "SELECT * FROM customers")) == 26
    assert world.sql("erp", "SELECT full_name FROM customers WHERE no = 130") == [("Edited",)]


def test_a_discarded_hold_leaves_the_records_alone(world: World) -> None:
    number = held(world)
    world.ok("holds", "discard", number)
    world.ok("reconcile")
    assert world.ok("reconcile").stdout.startswith("people: nothing to do")
    assert len(world.sql("erp", "SELECT * FROM customers")) == 40


def test_a_reverted_hold_takes_the_change_back(world: World) -> None:
    number = held(world)
    world.ok("holds", "discard", number, "--revert")
    world.run("reconcile", "--yes")
    world.run("reconcile", "--yes")
    assert len(world.sql("crm", "SELECT * FROM contacts")) == 40
    assert len(world.sql("erp", "SELECT * FROM customers")) == 40


def test_an_approval_names_what_was_seen(world: World) -> None:
    number = held(world)
    shown = world.json("holds", "show", number)
    assert len(shown["operations"]) == 15
    world.sql("crm", "DELETE FROM contacts WHERE id = 25")
    world.ok("reconcile", code=3)
    result = world.run(
        "holds", "approve", number, "--seen", shown["hold"]["digest"], "--confirm", "people"
    )
    assert result.exit_code == 2
    assert "SY0198" in result.stderr
    text = world.ok("holds", "show", number, "--limit", "3").stdout
    assert "13 more; --limit shows them" in text
    assert "- crm → erp" in text


# --- quarantine ----------------------------------------------------------------------------


def refused(world: World) -> str:
    world.synced(3)
    world.sql(
        "erp",
        "CREATE TRIGGER no_bad BEFORE UPDATE ON customers WHEN NEW.full_name = 'Bad'"
        " BEGIN SELECT RAISE(ABORT, 'bad name'); END",
    )
    world.sql("crm", "UPDATE contacts SET name = 'Bad' WHERE id = 1")
    world.sql("crm", "UPDATE contacts SET name = 'Good' WHERE id = 2")
    world.ok("reconcile", code=3)
    (one,) = world.json("quarantine", "list", code=3)["quarantined"]
    assert "bad name" in one["error"]
    assert (one["member"], one["key"]) == ("erp", "101")
    return str(one["id"])


def test_i12_quarantine_holds_up_nobody_and_is_retried_when_asked(world: World) -> None:
    number = refused(world)
    assert world.sql("erp", "SELECT full_name FROM customers WHERE no = 102") == [("Good",)]
    world.ok("reconcile", code=3)
    world.sql("erp", "DROP TRIGGER no_bad")
    world.ok("quarantine", "retry", number)
    world.ok("reconcile")
    assert world.sql("erp", "SELECT full_name FROM customers WHERE no = 101") == [("Bad",)]
    world.ok("quarantine", "list")


def test_the_quarantine_says_when_each_is_tried_again(world: World) -> None:
    """A refused write at its time, or in the next run once asked for; what was given up when asked;
    an unreadable record in every run."""

    def when(record: str, *more: str) -> str:
        lines = world.run("quarantine", "list", *more).stdout.splitlines()
        (line,) = (line for line in lines if f" {record} " in line)
        return line

    number = refused(world)
    (one,) = world.json("quarantine", "list", code=3)["quarantined"]
    assert one["next_at"] is not None
    assert not any(word in when("erp 101") for word in ("next run", "every run", "when asked"))
    world.ok("quarantine", "retry", number)
    assert "next run" in when("erp 101")
    world.ok("quarantine", "drop", number)
    assert "when asked" in when("erp 101", "--dropped")
    world.sql("crm", "UPDATE contacts SET credit = 'abc' WHERE id = 3")
    world.ok("reconcile", code=3)
    (one,) = world.json("quarantine", "list", code=3)["quarantined"]
    assert one["next_at"] is None
    assert "every run" in when("crm 3")
    world.sql("crm", "UPDATE contacts SET credit = 30 WHERE id = 3")
    world.ok("reconcile")
    assert world.ok("quarantine", "list").stdout == "none\n"


def test_what_was_dropped_stays_in_sight_and_is_taken_up_again(world: World) -> None:
    number = refused(world)
    world.ok("quarantine", "drop", number)
    world.ok("reconcile")
    assert world.ok("quarantine", "list").stdout == "none\n"
    assert number in world.ok("quarantine", "list", "--dropped").stdout
    (one,) = world.json("quarantine", "list", "--dropped")["quarantined"]
    assert (str(one["id"]), one["state"]) == (number, "dropped")
    world.ok("quarantine", "retry", number)
    assert world.run("reconcile").exit_code == 3  # refused once more
    assert world.ok("quarantine", "list", "--dropped").stdout == "none\n"


def test_a_dropped_operation_is_given_up_and_the_next_edit_tried(world: World) -> None:
    number = refused(world)
    world.ok("quarantine", "drop", number)
    world.ok("reconcile")
    assert world.sql("erp", "SELECT full_name FROM customers WHERE no = 101") == [("Person 1",)]
    world.sql("crm", "UPDATE contacts SET name = 'Better' WHERE id = 1")
    world.ok("reconcile")
    assert world.sql("erp", "SELECT full_name FROM customers WHERE no = 101") == [("Better",)]
    assert world.run("quarantine", "retry", "99").exit_code == 2
    assert world.run("quarantine", "retry").exit_code == 2


# --- links ---------------------------------------------------------------------------------


def linked(world: World, record: str) -> set[str]:
    links = world.json("links", "show", "people", record)["links"]
    return {f"{link['member']}:{link['key']}" for link in links}


def test_links_are_listed_page_by_page(world: World) -> None:
    assert world.ok("links", "list", "people").stdout == "none\n"
    world.synced(5)
    first = world.json("links", "list", "people", "--limit", "3")
    rest = world.json("links", "list", "people", "--after", str(first["after"]))
    assert [len(first["entities"]), len(rest["entities"]), rest["after"]] == [3, 2, None]
    assert "crm:1 = erp:101" in world.ok("links", "list", "people").stdout
    assert world.run("links", "show", "people", "crm:99").exit_code == 2
    assert world.run("links", "show", "people", "crm").exit_code == 2


def test_an_unlinked_record_takes_no_part_until_it_is_linked_again(world: World) -> None:
    world.synced(3)
    world.ok("links", "unlink", "people", "erp:101", "--by", "anna")
    world.sql("crm", "UPDATE contacts SET name = 'New' WHERE id = 1")
    world.ok("reconcile")
    assert world.sql("erp", "SELECT full_name FROM customers WHERE no = 101") == [("Person 1",)]
    assert "erp:101 (unlinked)" in world.ok("links", "list", "people").stdout
    world.ok("links", "link", "people", "crm:1", "erp:101")
    world.ok("reconcile")
    assert world.sql("erp", "SELECT full_name FROM customers WHERE no = 101") == [("New",)]


def test_records_that_are_misnamed_are_not_taken_for_parts_of_the_one_before(world: World) -> None:
    """A comma may belong to an id; a blank never does."""
    world.synced(2)
    result = world.ok("links", "link", "people", "crm:1", "eroo:101", code=2)
    assert "flow people has no member `eroo`" in result.stderr
    world.ok("links", "unlink", "people", "crm:1")
    assert "crm:1 takes part again" in world.ok("links", "link", "people", "crm:1").stdout
    assert "crm:1, erp:101 are one thing now" in (
        world.ok("links", "link", "people", "crm:1", "erp:101").stdout
    )


def test_s75_a_person_links_what_no_key_would(world: World) -> None:
    world.synced(3)
    world.sql("crm", "INSERT INTO contacts VALUES (50, 'bob@home.example', 'Bob', '1', NULL)")
    world.sql("erp", "INSERT INTO customers VALUES (150, 'bob@work.example', 'Bob', '1', 5)")
    assert world.run("links", "link", "people", "crm:50", "erp:999").exit_code == 2
    world.ok("links", "link", "people", "crm:50,erp:150")
    assert linked(world, "crm:50") == {"crm:50", "erp:150"}
    run = world.json("reconcile", "--yes", code=3)["flows"][0]
    assert run["conflicts"] == 1  # the two addresses: first sight, nobody overwritten unasked
    assert len(world.sql("crm", "SELECT * FROM contacts")) == 4
    assert len(world.sql("erp", "SELECT * FROM customers")) == 4
    assert world.sql("erp", "SELECT email FROM customers WHERE no = 150") == [("bob@work.example",)]


def test_s75_two_entities_are_merged_and_bases_follow(world: World) -> None:
    world.synced(3)
    world.ok("links", "split", "people", "erp:101")
    assert linked(world, "crm:1") == {"crm:1"}
    world.ok("links", "merge", "people", "crm:1", "erp:101")
    assert linked(world, "crm:1") == {"crm:1", "erp:101"}
    assert world.ok("reconcile", "-n").stdout.startswith("people: plan of 0 operations")
    world.sql("erp", "UPDATE customers SET full_name = 'New' WHERE no = 101")
    world.ok("reconcile")
    assert world.sql("crm", "SELECT name FROM contacts WHERE id = 1") == [("New",)]
    result = world.run("links", "merge", "people", "crm:1", "crm:2")
    assert result.exit_code == 2
    assert "one record a member" in result.stderr


def test_never_is_remembered_and_refused_for_what_is_linked(world: World) -> None:
    world.synced(3)
    assert world.run("links", "never", "people", "crm:1", "erp:101").exit_code == 2
    world.ok("links", "never", "people", "crm:1", "erp:102")
    interrupt = host.Interrupt()
    store = Store.open(
        f"sqlite:///{world.folder}/state.db",
        seams=host.real_seams(interrupt),
        deployment=None,
        create=False,
        state_dir=world.folder / "home/syncd",
    )
    try:
        from syncd.store import identity, shadow

        with store.read() as conn:
            pairs = identity.never_pairs(conn, shadow.flow_id(conn, "people", create=False))
    finally:
        store.close()
        interrupt.close()
    assert pairs == {frozenset({("crm", "a1"), ("erp", "c102")})}


# --- state ---------------------------------------------------------------------------------


def test_doctor_tells_what_it_finds(world: World) -> None:
    world.synced(2)
    document = world.json("state", "doctor")
    assert "error" not in {finding["level"] for finding in document["findings"]}
    assert "SY0450" in {finding["code"] for finding in document["findings"]}
    assert world.json("state", "upgrade")["backup"] == ""


def test_s37_a_system_that_is_another_database_halts_until_accepted(world: World) -> None:
    world.synced(3)
    (world.folder / "erp.db").rename(world.folder / "moved.db")
    world.change("sqlite:///erp.db", "sqlite:///moved.db")
    result = world.run("reconcile")
    assert result.exit_code == 2
    assert "syncd state doctor --accept erp" in result.output + result.stderr
    assert world.run("state", "doctor", "--accept", "nobody").exit_code == 2
    world.ok("state", "doctor", "--accept", "erp")
    assert world.ok("reconcile").stdout.startswith("people: nothing to do")


def test_f55_a_lost_state_is_rebuilt_and_confirmed(world: World) -> None:
    world.synced(3)
    for part in world.folder.glob("state.db*"):
        part.unlink()
    result = world.run("reconcile")
    assert result.exit_code == 2
    assert "syncd state rebuild" in result.stderr
    assert world.run("state", "rebuild").exit_code == 2
    world.ok("state", "rebuild", "--yes")
    world.sql("crm", "DELETE FROM contacts WHERE id = 1")
    world.run("reconcile", "--yes")
    assert len(world.sql("crm", "SELECT * FROM contacts")) == 2  # nothing is created on a guess
    assert len(world.sql("erp", "SELECT * FROM customers")) == 3
    assert "rebuilt" in world.run("status").stdout
    world.ok("state", "confirm", "people")
    assert "rebuilt" not in world.run("status").stdout


def test_a_foreign_state_is_refused_until_adopted(world: World) -> None:
    world.synced(2)
    for counter in (world.folder / "home/syncd").glob("*.counter"):
        counter.unlink()
    result = world.run("status")
    assert result.exit_code == 2
    assert "syncd state doctor --adopt" in result.stderr
    world.ok("state", "doctor", "--adopt")
    world.ok("status")


def test_status_says_why_the_last_run_failed(world: World) -> None:
    world.synced(3)
    world.sql("crm", "ALTER TABLE contacts RENAME TO elsewhere")
    world.ok("reconcile", code=2)
    assert "! crm: there is no table or view 'contacts'" in world.ok("status").stdout


def test_each_unreadable_record_counts_in_the_status(world: World) -> None:
    world.people(3)
    world.sql("crm", "UPDATE contacts SET credit = 'abc' WHERE id < 3")
    world.ok("reconcile", "--yes", code=3)
    (flow,) = world.json("status", code=3)["flows"]
    (crm,) = [m["records"] for m in flow["members"] if m["name"] == "crm"]
    assert crm["quarantined"] == 2


def test_s35_an_id_that_is_back_shows_in_the_status(world: World) -> None:
    """S35: the newest contact is deleted, and the next one gets its id: nothing is made of it for
    the grace, and the status says so until it is over or the record is gone."""
    world.synced(3)
    world.sql("crm", "DELETE FROM contacts WHERE id = 3")
    world.ok("reconcile")
    assert world.json("status")["flows"][0]["suppressed"] == 0
    world.sql("crm", "INSERT INTO contacts (mail, name) VALUES ('new@example.com', 'New')")
    world.ok("reconcile")
    assert world.sql("erp", "SELECT count(*) FROM customers") == [(2,)]
    assert world.json("status")["flows"][0]["suppressed"] == 1
    assert "1 deleted id is back and suppressed for now" in world.ok("status").stdout
    assert "crm 3 was deleted; it is back" in world.ok("reconcile", "-v").stdout
    world.sql("crm", "DELETE FROM contacts WHERE id = 3")
    world.ok("reconcile")
    assert world.json("status")["flows"][0]["suppressed"] == 0
    assert "suppressed" not in world.ok("status").stdout


def test_an_empty_answer_asks_what_it_is_about(world: World) -> None:
    world.synced(3)
    world.sql("crm", "DELETE FROM contacts")
    world.ok("reconcile", code=3)
    shown = world.ok("holds", "show", "1").stdout
    assert "crm is empty indeed: its records count as deleted there" in shown
    assert "(new)" not in shown
    assert "--revert" not in shown


def test_a_run_tells_only_what_an_update_changed(world: World) -> None:
    world.synced(3)
    world.sql("crm", "UPDATE contacts SET name = 'Ann' WHERE id = 1")
    world.ok("reconcile")
    shown = world.ok("runs", "show", "2").stdout
    assert "update  erp 101  name Person 1 → Ann" in shown
    assert "p1@example.com" not in shown


def test_a_hold_goes_on_saying_why_it_was_opened(world: World) -> None:
    world.synced(20)
    kept = world.sql("crm", "SELECT * FROM contacts WHERE id BETWEEN 5 AND 12")
    world.sql("crm", "DELETE FROM contacts WHERE id <= 12")
    world.ok("reconcile", code=3)
    world.sql("crm", "INSERT INTO contacts VALUES (?,?,?,?,?)", *kept)
    world.ok("reconcile", code=3)
    assert "erp: 12 of 20 records, more than 5 %" in world.ok("holds", "list", code=3).stdout
