"""`conflicts`: the queue, side by side, and what a person may say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cliworld import World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def disputed(world: World, crm: str = "Ann", erp: str = "Anna", column: str = "name") -> int:
    """A conflict over one field of the first person; answers its id."""
    native = {"name": "full_name", "phone": "tel"}[column]
    world.synced(3)
    world.sql("crm", f"UPDATE contacts SET {column} = '{crm}' WHERE id = 1")
    world.sql("erp", f"UPDATE customers SET {native} = '{erp}' WHERE no = 101")
    world.ok("reconcile", code=3)
    (case,) = world.json("conflicts", "list", code=3)["conflicts"]
    return int(case["id"])


def both(world: World) -> tuple[Any, Any]:
    ((crm,),) = world.sql("crm", "SELECT name FROM contacts WHERE id = 1")
    ((erp,),) = world.sql("erp", "SELECT full_name FROM customers WHERE no = 101")
    return crm, erp


def test_s3_a_conflict_is_listed_once_and_shown_side_by_side(world: World) -> None:
    number = disputed(world)
    world.ok("reconcile", code=3)
    assert len(world.json("conflicts", "list", code=3)["conflicts"]) == 1
    shown = world.ok("conflicts", "show", str(number)).stdout
    assert "crm 1" in shown
    assert "erp 101" in shown
    row = next(line for line in shown.splitlines() if line.strip().startswith("name"))
    assert row.split() == ["name", "Ann", "Anna", "Person", "1"]
    assert f"syncd conflicts resolve {number} --take crm" in shown
    assert both(world) == ("Ann", "Anna")


def test_s4_a_decision_travels_with_the_next_run(world: World) -> None:
    number = disputed(world)
    document = world.json("conflicts", "resolve", str(number), "--take", "erp", "--by", "anna")
    assert document["by"] == "anna"
    assert both(world) == ("Ann", "Anna")
    assert world.json("status")["flows"][0]["decided"] == 1
    world.ok("reconcile")
    assert both(world) == ("Anna", "Anna")
    world.ok("conflicts", "list")


def test_s4_f71_a_decision_on_records_that_changed_is_refused(world: World) -> None:
    number = disputed(world)
    digest = world.json("conflicts", "show", str(number))["conflict"]["digest"]
    world.sql("erp", "UPDATE customers SET full_name = 'Annette' WHERE no = 101")
    world.ok("reconcile", code=3)
    result = world.run("conflicts", "resolve", str(number), "--take", "erp")
    assert result.exit_code == 2
    assert "closed already" in result.stderr
    assert "error SY0193" in result.stderr
    for words in (("resolve", "77", "--take", "crm"), ("show", "77")):
        assert "error SY0192" in world.ok("conflicts", *words, code=2).stderr
    (case,) = world.json("conflicts", "list", code=3)["conflicts"]
    assert case["digest"] != digest
    result = world.run("conflicts", "resolve", str(case["id"]), "--take", "erp", "--seen", digest)
    assert result.exit_code == 2
    assert "SY0194" in result.stderr


def test_s4_a_decision_whose_records_move_before_the_run_is_void(world: World) -> None:
    number = disputed(world)
    world.ok("conflicts", "resolve", str(number), "--take", "erp")
    world.sql("erp", "UPDATE customers SET full_name = 'Annette' WHERE no = 101")
    said = world.ok("reconcile", code=3).stdout
    assert both(world) == ("Ann", "Annette")
    (case,) = world.json("conflicts", "list", code=3)["conflicts"]
    assert f"decision on conflict {number} (name) is void, its records changed since" in said
    assert f"it waits again: syncd conflicts show {case['id']}" in said
    assert "void" not in world.ok("reconcile", code=3).stdout  # said once


def test_s4_a_decision_that_nobody_needs_any_more_is_no_cause_for_worry(world: World) -> None:
    number = disputed(world)
    world.ok("conflicts", "resolve", str(number), "--take", "erp")
    world.sql("erp", "UPDATE customers SET full_name = 'Ann' WHERE no = 101")
    document = world.json("reconcile")
    (said,) = [m for m in document["flows"][0]["messages"] if "decision" in m["text"]]
    assert said["level"] == "info" and "nothing is left to decide" in said["text"]


def test_values_a_person_types_are_read_with_the_fields_type(world: World) -> None:
    number = disputed(world)
    result = world.run("conflicts", "resolve", str(number), "--value", "nam=x")
    assert result.exit_code == 2
    assert "did you mean `name`" in result.stderr
    world.ok("conflicts", "resolve", str(number), "--value", "name=Ann = Anna")
    world.ok("reconcile")
    assert both(world) == ("Ann = Anna", "Ann = Anna")


def test_a_typed_value_that_does_not_fit_is_refused(world: World) -> None:
    world.change(', owner = "erp"', "")
    world.synced(2)
    world.sql("crm", "UPDATE contacts SET credit = 11 WHERE id = 1")
    world.sql("erp", "UPDATE customers SET credit_limit = 12 WHERE no = 101")
    world.ok("reconcile", code=3)
    result = world.run("conflicts", "resolve", "1", "--value", "credit=12.345")
    assert result.exit_code == 2
    assert "more than 2 places" in result.stderr
    world.ok("conflicts", "resolve", "1", "--value", "credit=12.5")
    world.ok("reconcile")
    assert world.sql("crm", "SELECT credit FROM contacts WHERE id = 1") == [(12.5,)]


def test_null_is_a_value_too(world: World) -> None:
    number = disputed(world)
    world.ok("conflicts", "resolve", str(number), "--null", "name")
    world.ok("reconcile")
    assert both(world) == (None, None)


def test_private_values_stay_masked_in_the_queue(world: World) -> None:
    number = str(disputed(world, "+49 555 secret", "+49 777 secret", "phone"))
    said = [
        world.ok("conflicts", "list", code=3).output,
        world.ok("conflicts", "list", "--json", code=3).output,
        world.ok("conflicts", "show", number).output,
        world.ok("conflicts", "show", number, "--json").output,
        world.ok("conflicts", "resolve", number, "--value", "phone=+49 999 secret").output,
        world.ok("conflicts", "show", number, "--json").output,
    ]
    assert not [text for text in said if "secret" in text]
    world.ok("reconcile")
    assert world.sql("erp", "SELECT tel FROM customers WHERE no = 101") == [("+49 999 secret",)]


def test_what_does_not_fit_a_conflict_is_refused_with_what_does(world: World) -> None:
    number = str(disputed(world))
    for words in (["--keep"], ["--take", "shop"], ["--split"], []):
        result = world.run("conflicts", "resolve", number, *words)
        assert result.exit_code == 2, words
        assert "→" in result.stderr
    assert world.run("conflicts", "resolve", number, "--take", "crm", "--keep").exit_code == 2
    assert world.run("conflicts", "show", "999").exit_code == 2


@pytest.mark.parametrize(
    ("answer", "left"), [("--delete", (0, 0)), ("--keep", (1, 1)), ("--unlink", (0, 1))]
)
def test_a_deletion_in_review_is_decided(world: World, answer: str, left: tuple[int, int]) -> None:
    world.change('deletes = "propagate"', 'deletes = "review"')
    world.synced(12)
    world.sql("crm", "DELETE FROM contacts WHERE id = 2")
    world.ok("reconcile", code=3)
    world.ok("conflicts", "resolve", "1", answer)
    world.ok("reconcile")
    world.ok("reconcile")
    query = "SELECT count(*) FROM {} WHERE {} = 'p2@example.com'"
    assert world.sql("crm", query.format("contacts", "mail")) == [(left[0],)]
    assert world.sql("erp", query.format("customers", "email")) == [(left[1],)]


def ambiguous(world: World) -> int:
    """S14: one CRM record matches two of the ERP."""
    world.sql("erp", "DROP TABLE customers")
    world.sql(
        "erp",
        "CREATE TABLE customers (no INTEGER PRIMARY KEY, email TEXT, full_name TEXT, tel TEXT,"
        " credit_limit NUMERIC)",
    )
    world.sql("crm", "INSERT INTO contacts VALUES (1, 'a@example.com', 'A', '1', NULL)")
    rows = [(101, "a@example.com", "A", "1", None), (102, "A@example.com", "A", "1", None)]
    world.sql("erp", "INSERT INTO customers VALUES (?,?,?,?,?)", *rows)
    world.ok("reconcile", "--yes", code=3)
    (case,) = world.json("conflicts", "list", "--kind", "identity", code=3)["conflicts"]
    return int(case["id"])


def test_s14_identity_is_settled_by_naming_the_records(world: World) -> None:
    number = str(ambiguous(world))
    shown = world.ok("conflicts", "show", number).stdout
    assert "--link crm:1,erp:101\n" in shown
    assert "--link crm:1,erp:102\n" in shown
    world.ok("conflicts", "resolve", number, "--link", "crm:1,erp:102")
    world.run("reconcile", "--yes")
    entity = world.json("links", "show", "people", "crm:1")
    assert {(link["member"], link["key"]) for link in entity["links"]} == {
        ("crm", "1"),
        ("erp", "102"),
    }
    world.sql("crm", "UPDATE contacts SET name = 'B' WHERE id = 1")
    world.run("reconcile", "--yes")
    assert world.sql("erp", "SELECT full_name FROM customers ORDER BY no") == [("A",), ("B",)]


def test_the_field_and_kind_filters(world: World) -> None:
    disputed(world)
    assert world.json("conflicts", "list", "--field", "name", code=3)["conflicts"]
    assert not world.json("conflicts", "list", "--field", "phone")["conflicts"]
    assert not world.json("conflicts", "list", "--kind", "identity")["conflicts"]


def shared_key(world: World) -> tuple[int, int]:
    """Two conflicts of identity: two records of the CRM with one key, alone, and beside one of
    the ERP."""
    world.synced(1)
    for n, mail in ((50, "new@x"), (51, "New@x"), (61, "w@x"), (62, "W@x")):
        world.sql("crm", f"INSERT INTO contacts (id, mail, name) VALUES ({n}, '{mail}', 'N')")
    world.sql("erp", "INSERT INTO customers (no, email, full_name) VALUES (300, 'w@x', 'W')")
    world.ok("reconcile", code=3)
    cases = world.json("conflicts", "list", code=3)["conflicts"]
    of = {len(case["candidates"]): int(case["id"]) for case in cases}
    return of[2], of[3]


def test_what_is_offered_to_link_can_be_linked(world: World) -> None:
    alone, beside = shared_key(world)
    assert world.json("conflicts", "show", str(alone))["answers"] == ["--split"]
    assert world.json("conflicts", "show", str(beside))["answers"] == [
        "--link crm:61,erp:300",
        "--link crm:62,erp:300",
        "--split",
    ]
    world.ok("conflicts", "resolve", str(beside), "--link", "crm:61,erp:300")


@pytest.mark.parametrize(
    ("records", "why"),
    [
        ("crm:50,crm:51", "an entity has one record of crm"),
        ("crm:50,crm:999", "crm:999 is none of its records"),
        ("crm:50", "alone is nothing to link"),
    ],
)
def test_a_link_that_could_never_be_made_is_refused_at_once(
    world: World, records: str, why: str
) -> None:
    """Else the conflict would stay "decided" for ever."""
    alone, _ = shared_key(world)
    result = world.ok("conflicts", "resolve", str(alone), "--link", records, code=2)
    assert "SY0195" in result.stderr
    assert why in result.stderr
    assert world.json("conflicts", "show", str(alone))["conflict"]["state"] == "open"
