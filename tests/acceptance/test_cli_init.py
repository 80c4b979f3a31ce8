"""`init` and `check`: from two databases to a proved config."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from cliworld import World

from syncd.config import load


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path, monkeypatch)
    world.people(12)
    return world


SYSTEMS = ("--system", "crm=sqlite:///crm.db", "--system", "erp=sqlite:///erp.db")


def test_init_writes_a_config_that_checks_and_runs(world: World) -> None:
    world.config.unlink()
    document = world.json("init", *SYSTEMS)
    assert document["match"] == [["email"]]
    loaded = load(world.config)
    assert set(loaded.config.flows["contacts"].fields) == {"email", "name", "phone", "credit"}
    assert world.json("check")["ok"] is True
    run = world.json("reconcile", "--yes")["flows"][0]
    assert run["linked"] == 12
    assert sum(m["created"] + m["updated"] for m in run["members"]) == 0


def test_init_says_what_to_type_next(world: World) -> None:
    text = world.ok("init", *SYSTEMS, "--output", "other.toml").stdout
    assert "next: syncd check --config other.toml" in text
    assert "crm.mail, erp.email" in text


def test_init_never_overwrites_unless_forced(world: World) -> None:
    before = world.config.read_text()
    result = world.run("init", *SYSTEMS)
    assert result.exit_code == 2
    assert "SY0165" in result.stderr
    assert world.config.read_text() == before
    world.ok("init", *SYSTEMS, "--force", "--name", "people")
    assert "[flows.people]" in world.config.read_text()


def test_init_writes_secrets_as_references_only_i16(
    world: World, fresh_db: Callable[[str], str]
) -> None:
    literal = fresh_db("postgresql").replace("postgres@", "postgres:hunter22@")
    engine = sa.create_engine(literal)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE people (id serial PRIMARY KEY, email text)")
        connection.exec_driver_sql("INSERT INTO people (email) VALUES ('p1@example.com')")
    engine.dispose()
    world.config.unlink()
    result = world.ok("init", "--system", "crm=sqlite:///crm.db", "--system", f"erp={literal}")
    assert 'url = "env:ERP_URL"' in world.config.read_text()
    assert "hunter22" not in world.config.read_text() + result.output
    assert "export ERP_URL=…" in result.stdout
    result = world.run("check", env={"ERP_URL": literal})
    assert result.exit_code == 0, result.output
    assert "hunter22" not in result.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--system", "crm=sqlite:///crm.db"), "one system alone"),
        (("--system", "crm"), "NAME=VALUE"),
        ((*SYSTEMS, "--object", "shop=x"), "no --system is called `shop`"),
        ((*SYSTEMS, "--object", "crm=contcts"), "contacts"),
        ((*SYSTEMS, "--connector", "crm=sqll"), "sql"),
        (("--system", "crm=sqlite:///crm.db", "--system", "erp=env:NOWHERE"), "NOWHERE"),
    ],
)
def test_init_refuses_in_words(world: World, words: tuple[str, ...], said: str) -> None:
    world.config.unlink()
    result = world.run("init", *words)
    assert result.exit_code in (1, 2)
    assert said in result.stderr
    assert not world.config.exists()


def test_init_finds_nothing_alike(world: World) -> None:
    world.config.unlink()
    world.sql("erp", "DROP TABLE customers")
    world.sql("erp", "CREATE TABLE readings (id INTEGER PRIMARY KEY, celsius REAL)")
    result = world.run("init", *SYSTEMS)
    assert result.exit_code == 2
    assert "SY0166" in result.stderr


def test_a_hostile_column_name_is_quoted_in_the_config(world: World) -> None:
    world.config.unlink()
    for system, table in (("crm", "contacts"), ("erp", "customers")):
        world.sql(system, f'ALTER TABLE {table} ADD COLUMN "we""ird\\\n[x]" TEXT')
        world.sql(system, f'UPDATE {table} SET "we""ird\\\n[x]" = \'v\' || rowid % 100')
    world.ok("init", *SYSTEMS)
    columns = {
        native
        for options in load(world.config).config.flows["contacts"].members["crm"].fields.values()
        for native in options.native
    }
    assert 'we"ird\\\n[x]' in columns


# --- check ---------------------------------------------------------------------------------


def messages(world: World, level: str, code: int = 0) -> list[str]:
    findings = world.json("check", code=code)["findings"]
    return [f["message"] for f in findings if f["level"] == level]


def test_check_proves_a_good_config_and_writes_nothing(world: World) -> None:
    before = world.state()
    text = world.ok("check").stdout
    assert "system crm: answers as" in text
    assert "12 records of contacts there and back" in text
    assert "a lost answer to a create is cleared up" in text
    assert "0 errors" in text
    assert world.state() == before


def test_check_names_a_column_that_is_not_there_with_line_and_nearest(world: World) -> None:
    world.change('credit = "credit_limit"', 'credit = "credit_limt"')
    result = world.run("check")
    assert result.exit_code == 2
    assert "did you mean `credit_limit`" in result.stdout + result.stderr
    assert "syncd.toml:" in result.stdout


def test_check_goes_on_when_a_system_is_down(world: World) -> None:
    (world.folder / "erp.db").unlink()
    (world.folder / "erp.db").mkdir()
    document = world.json("check", code=1)
    said = {(f["level"], f["where"]) for f in document["findings"]}
    assert ("ok", "system crm") in said
    assert any(level == "error" and "erp" in where for level, where in said)
    assert document["ok"] is False


def test_check_tries_real_rows(world: World) -> None:
    world.change('name = "text"', 'name = "integer"')
    world.change('phone = { type = "text"', 'phone = { type = "date"')
    world.sql("erp", "UPDATE customers SET full_name = '7', tel = NULL")
    world.sql("crm", "UPDATE contacts SET name = NULL, phone = NULL WHERE id > 4")
    world.sql("crm", "UPDATE contacts SET name = '7', phone = '2026-01-01' WHERE id = 2")
    warnings = messages(world, "warning")
    name = next(text for text in warnings if text.startswith("`name`"))
    assert '"Person 1" is not a whole number (3 of 12 records: 1, 3, 4)' in name
    phone = next(text for text in warnings if text.startswith("`phone`"))
    assert "(3 of 12 records: 1, 3, 4)" in phone
    assert "+49" not in phone


def test_check_refuses_a_type_that_fits_no_value_there(world: World) -> None:
    """Every value of the sample fails, nulls aside: a mistake in the config, with its line; a
    private value is not shown."""
    world.sql("crm", "UPDATE contacts SET name = NULL WHERE id > 4")
    world.sql("erp", "UPDATE customers SET full_name = NULL, tel = NULL")
    world.change('name = "text"', 'name = "integer"')
    world.change('phone = { type = "text"', 'phone = { type = "date"')
    document = world.json("check", code=2)
    wrong = {f["message"].split()[0]: f for f in document["findings"] if f["level"] == "error"}
    assert set(wrong) == {"`name`", "`phone`"}
    text = wrong["`name`"]["message"]
    assert '"Person 1" is not a whole number (4 of 12 records: 1, 2, 3, …)' in text
    assert "fits no value" in text
    assert wrong["`name`"]["where"].startswith("syncd.toml:")
    assert wrong["`name`"]["code"] == "SY0176"
    assert "+49" not in json.dumps(document)


@pytest.mark.parametrize(
    ("kind", "column"), [("date", "BLOB"), ("integer", "BOOLEAN"), ("integer", "DATE")]
)
def test_check_refuses_a_type_that_the_column_can_never_hold(
    world: World, kind: str, column: str
) -> None:
    """Also of an empty table, where no row could tell."""
    world.sql("crm", f"ALTER TABLE contacts ADD COLUMN extra {column}")
    world.sql("erp", "ALTER TABLE customers ADD COLUMN extra TEXT")
    world.change('name = "text"', f'name = "text"\nextra = "{kind}"')
    world.change('name = "name",', 'name = "name", extra = "extra",')
    world.change('name = "full_name",', 'name = "full_name", extra = "extra",')
    result = world.ok("check", code=2)
    assert "[SY0176]" in result.stdout
    assert f"{kind} does not fit extra ({column})" in result.stdout


def test_check_refuses_to_write_a_column_that_the_database_computes(world: World) -> None:
    column = "extra TEXT GENERATED ALWAYS AS (lower(email)) VIRTUAL"
    world.sql("crm", "ALTER TABLE contacts ADD COLUMN extra TEXT")
    world.sql("erp", f"ALTER TABLE customers ADD COLUMN {column}")
    world.change('name = "text"', 'name = "text"\nextra = "text"')
    world.change('name = "name",', 'name = "name", extra = "extra",')
    world.change('name = "full_name",', 'name = "full_name", extra = "extra",')
    said = world.ok("check", code=2).stdout
    assert "erp.fields.extra: `extra` is computed by the database" in said and "[SY0133]" in said
    assert world.run("reconcile", "--yes").exit_code == 2
    both = 'extra = { native = "extra", read_only = true }'
    world.change('name = "full_name", extra = "extra",', f'name = "full_name", {both},')
    world.ok("check")


@pytest.mark.parametrize(("wrong", "code"), [(12, 2), (3, 0)])
def test_check_refuses_times_that_are_none(world: World, wrong: int, code: int) -> None:
    """`newest` would never decide, and nobody would know why."""
    world.sql("crm", "ALTER TABLE contacts ADD COLUMN seen TEXT DEFAULT '2026-03-01 08:00:00'")
    world.sql("crm", f"UPDATE contacts SET seen = 'yesterday' WHERE id <= {wrong}")
    world.change('object = "contacts"', 'object = "contacts"\nmodified = "seen"')
    level = "error" if code else "warning"
    (text,) = (t for t in messages(world, level, code) if t.startswith("`seen`"))
    assert f"holds what is no time ({wrong} of 12 records: 1, 2, 3" in text


def test_check_says_what_clears_up_a_lost_answer_there(world: World) -> None:
    """SQLite keeps no record of transactions: the rows under the keys it made are looked at, or
    the receipts; a key that it makes and nothing can find leaves it unknown."""
    said = messages(world, "ok")
    assert any("cleared up by looking at the rows under the keys" in text for text in said)
    assert not any("transaction" in text for text in said)
    world.sql("erp", "DROP TABLE customers")
    world.sql(
        "erp",
        "CREATE TABLE customers (no TEXT PRIMARY KEY DEFAULT (hex(randomblob(8))), email TEXT,"
        " full_name TEXT, tel TEXT, credit_limit NUMERIC)",
    )
    assert any("would be parked as unknown" in text for text in messages(world, "warning"))
    world.change("[systems.erp]\n", "[systems.erp]\nreceipts = true\n")
    assert any("its receipt, written in the same transaction" in t for t in messages(world, "ok"))


def test_check_warns_of_match_keys_that_stand_twice(world: World) -> None:
    world.sql("crm", "DROP TABLE contacts")
    world.sql(
        "crm",
        "CREATE TABLE contacts (id INTEGER PRIMARY KEY, mail TEXT, name TEXT, phone TEXT,"
        " credit NUMERIC)",
    )
    rows = [(1, "a@example.com"), (2, "A@example.com "), (3, "b@example.com")]
    world.sql("crm", "INSERT INTO contacts (id, mail) VALUES (?, ?)", *rows)
    warnings = messages(world, "warning")
    assert any("1 match key of the sample stand" in text and "1, 2" in text for text in warnings)
    assert any("two records with the same mail" in text for text in warnings)


@pytest.mark.parametrize(
    ("key", "reused"),
    [
        ("no INTEGER PRIMARY KEY", True),
        ("no INTEGER PRIMARY KEY /* no autoincrement */", True),
        ("no INTEGER PRIMARY KEY autoincrement", False),
        ("no TEXT PRIMARY KEY DEFAULT (hex(randomblob(8)))", False),
    ],
)
def test_check_warns_of_ids_that_are_given_anew(world: World, key: str, reused: bool) -> None:
    """A new record under the id of a deleted one would be suppressed, and nobody would know why."""

    def warned() -> list[str]:
        return [t for t in messages(world, "warning") if t.startswith("customers gives the `no`")]

    world.sql("erp", "DROP TABLE customers")
    world.sql(
        "erp",
        f"CREATE TABLE customers ({key}, email TEXT UNIQUE, full_name TEXT, tel TEXT,"
        ' credit_limit NUMERIC(12,2), "autoincrement" TEXT, made TEXT)',
    )
    assert len(warned()) == reused
    world.change('object = "customers"', 'object = "customers"\ncreated = "made"')
    assert warned() == []


def test_check_warns_where_nobody_makes_the_key(world: World) -> None:
    world.sql("erp", "DROP TABLE customers")
    world.sql(
        "erp",
        "CREATE TABLE customers (no TEXT PRIMARY KEY, email TEXT, full_name TEXT, tel TEXT,"
        " credit_limit NUMERIC)",
    )
    assert any("`no` is the key, and no field" in text for text in messages(world, "warning"))


def test_check_warns_of_a_secret_file_that_everybody_can_read(world: World) -> None:
    secret = world.folder / "erp-url"
    secret.write_text("sqlite:///erp.db\n")
    secret.chmod(0o644)
    world.change('url = "sqlite:///erp.db"', 'url = "file:erp-url"')
    assert any("every user of this machine" in text for text in messages(world, "warning"))


def test_check_of_some_flows_only(world: World) -> None:
    assert world.run("check", "nobody").exit_code == 2
    world.ok("check", "people", "--rows", "0")


def test_init_without_a_key_names_no_line_of_a_file_it_did_not_write(world: World) -> None:
    world.config.unlink()
    for system in ("one", "two"):
        world.sql(system, "CREATE TABLE people (email TEXT, name TEXT)")
    said = world.run("init", "-s", "one=sqlite:///one.db", "-s", "two=sqlite:///two.db")
    assert said.exit_code == 2
    assert "SY0132" in said.stderr and "people has no key" in said.stderr
    assert "syncd.toml" not in said.stderr
    assert "--object" in said.stderr
    assert not world.config.exists()


def test_check_blames_the_line_that_names_a_table_which_is_not_there(world: World) -> None:
    world.change('object = "contacts"', 'object = "contcats"')
    line = world.config.read_text().splitlines().index('object = "contcats"') + 1
    said = world.ok("check", code=2).stdout
    assert f"syncd.toml:{line}: flows.people.members.crm.object" in said
    assert "did you mean 'contacts'?" in said
