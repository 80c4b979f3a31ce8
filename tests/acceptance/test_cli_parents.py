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
