"""Two flows whose tables refer to each other (I10): the order is the foreign keys', not the
config's, and one `reconcile` is enough in both directions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from cliworld import World

CONFIG = """\
[state]
url = "sqlite:///state.db"
[systems.shop]
connector = "sql"
url = "sqlite:///shop.db"
[systems.erp]
connector = "sql"
url = "sqlite:///erp.db"

[flows.a_orders]
match = ["number"]
deletes = "propagate"
[flows.a_orders.fields]
number = "text"
customer = "text"
[flows.a_orders.members.shop]
object = "orders"
fields = { number = "number", customer = "customer" }
[flows.a_orders.members.erp]
object = "sales"
fields = { number = "number", customer = "customer_no" }

[flows.b_customers]
match = ["no"]
deletes = "propagate"
[flows.b_customers.fields]
no = "text"
name = "text"
[flows.b_customers.members.shop]
object = "customers"
fields = { no = "no", name = "name" }
[flows.b_customers.members.erp]
object = "clients"
fields = { no = "no", name = "name" }
"""

TABLES = {
    "shop": """
        CREATE TABLE customers (no TEXT PRIMARY KEY, name TEXT);
        CREATE TABLE orders (number TEXT PRIMARY KEY, customer TEXT REFERENCES customers (no));
    """,
    "erp": """
        CREATE TABLE clients (no TEXT PRIMARY KEY, name TEXT);
        CREATE TABLE sales (number TEXT PRIMARY KEY, customer_no TEXT REFERENCES clients (no));
    """,
}


@pytest.fixture
def family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = World(tmp_path, monkeypatch)
    world.config.write_text(CONFIG)
    for system, tables in TABLES.items():
        connection = sqlite3.connect(tmp_path / f"{system}.db")
        connection.executescript(tables)
        connection.close()
    numbers = range(1, 6)
    world.sql("shop", "INSERT INTO customers VALUES (?, ?)", *[(f"C{n}", f"n{n}") for n in numbers])
    world.sql("shop", "INSERT INTO orders VALUES (?, ?)", *[(f"O{n}", f"C{n}") for n in numbers])
    yield world


def test_i10_parents_are_created_first_and_children_deleted_first(family: World) -> None:
    made = family.run("reconcile", "--yes")
    assert made.exit_code == 0, made.output
    assert len(family.sql("erp", "SELECT * FROM sales")) == 5

    family.sql("shop", "DELETE FROM orders WHERE number = 'O3'")
    family.sql("shop", "DELETE FROM customers WHERE no = 'C3'")
    gone = family.run("reconcile")

    assert gone.exit_code == 0, gone.output
    assert family.sql("erp", "SELECT no FROM clients WHERE no = 'C3'") == []
    assert family.sql("erp", "SELECT number FROM sales WHERE number = 'O3'") == []


def test_s36_a_parent_with_children_left_is_reported_and_kept(family: World) -> None:
    assert family.run("reconcile", "--yes").exit_code == 0
    family.sql("erp", "INSERT INTO sales VALUES ('X1', 'C4')")
    family.sql("shop", "DELETE FROM orders WHERE number = 'O4'")
    family.sql("shop", "DELETE FROM customers WHERE no = 'C4'")

    left = family.run("reconcile", "b_customers")

    assert left.exit_code == 3, left.output
    assert family.sql("erp", "SELECT no FROM clients WHERE no = 'C4'") == [("C4",)]
    listed = family.run("quarantine", "list")
    assert "C4" in listed.output


def test_what_waited_for_a_parent_and_came_through_was_not_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I10: a table that refers to itself, whose children come first by key. They are tried again
    in the same run; counted is how each ended."""
    world = World(tmp_path, monkeypatch)
    for system in ("crm", "erp"):
        world.sql(system, "CREATE TABLE parts (c TEXT PRIMARY KEY, up TEXT REFERENCES parts (c))")
    world.sql("crm", "INSERT INTO parts VALUES (?,?)", ("a", "b"), ("b", "c"), ("c", None))
    head = world.config.read_text().partition("[flows.people]")[0]
    same = 'object = "parts"\nfields = { c = "c", up = "up" }\n'
    world.config.write_text(
        f'{head}[flows.parts]\nmatch = ["c"]\n[flows.parts.fields]\nc = "text"\nup = "text"\n'
        f"[flows.parts.members.crm]\n{same}[flows.parts.members.erp]\n{same}"
    )
    run = world.json("reconcile", "--yes")["flows"][0]
    assert [(m["created"], m["rejected"]) for m in run["members"]] == [(0, 0), (3, 0)]
    world.sql("crm", "INSERT INTO parts VALUES ('d', 'nobody')")  # SQLite lets it, here
    run = world.json("reconcile", code=3)["flows"][0]
    assert [(m["created"], m["rejected"]) for m in run["members"]] == [(0, 0), (0, 1)]
