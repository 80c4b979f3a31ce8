"""What an SQL endpoint writes: triggers, constraints, versions, races, retries."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlworld import SqlWorld
from suite import create, delete, forget, go, key, snapshot_of, statuses, update

from syncd.adapter import Row, Status, Write
from syncd.core import keys
from syncd.core.model import OpKind
from syncd.errors import SyncdError, Unreachable


def trigger(world: SqlWorld, table: str, assign: str, when: str = "BEFORE") -> None:
    """A trigger that changes rows on insert and update. assign: `name = expression of NEW`."""
    column, _, expression = assign.partition(" = ")
    if world.kind == "postgresql":
        body = (
            f"NEW.{column} := {expression}; RETURN NEW;"
            if when == "BEFORE"
            else f"UPDATE {table} SET {column} = {expression} WHERE id = NEW.id "
            f"AND {column} IS DISTINCT FROM {expression}; RETURN NULL;"
        )
        with world.engine.begin() as connection:
            cursor = connection.connection.cursor()
            cursor.execute(
                f"CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {body} END$$"
            )
            cursor.execute(
                f"CREATE TRIGGER tr {when} INSERT OR UPDATE ON {table} "
                "FOR EACH ROW EXECUTE FUNCTION f()"
            )
        return
    for event in ("INSERT", "UPDATE"):
        if world.kind == "mariadb":
            world.run(
                f"CREATE TRIGGER tr_{event} BEFORE {event} ON {table} FOR EACH ROW "
                f"SET NEW.{column} = {expression}"
            )
        else:
            world.run(
                f"CREATE TRIGGER tr_{event} AFTER {event} ON {table} FOR EACH ROW BEGIN "
                f"UPDATE {table} SET {column} = {expression} WHERE id = NEW.id "
                f"AND {column} IS NOT {expression}; END"
            )


@pytest.mark.parametrize("when", ["BEFORE", "AFTER"])
def test_s38_s39_f25_what_triggers_make_of_a_write_comes_back(world: SqlWorld, when: str) -> None:
    trigger(world, "people", "name = substr(upper(NEW.name), 1, 4)", when)
    endpoint = world.open("people", ["name", "email"])
    made = endpoint.apply([create("o1", name="abcdef"), create("o2", name="xy")], go, forget)
    assert [o.after.values["name"] for o in made if o.after] == ["ABCD", "XY"]
    writes = [
        Write(f"u{n}", OpKind.UPDATE, o.key, {"name": f"new{n}s"}) for n, o in enumerate(made)
    ]
    changed = endpoint.apply(writes, go, forget)
    assert [o.after.values["name"] for o in changed if o.after] == ["NEW0", "NEW1"]
    rows = snapshot_of(endpoint)
    assert all(rows[o.key or ""] == o.after for o in changed)


def test_f25_s53_rounding_and_defaults_come_back(world: SqlWorld) -> None:
    world.run(
        f"CREATE TABLE t (id {world.number}, amount DECIMAL(10,2), kind VARCHAR(9) DEFAULT 'std')"
    )
    endpoint = world.open("t", ["amount", "kind"], ["amount"])
    (outcome,) = endpoint.apply([create("o", amount=Decimal("1.239"))], go, forget)
    assert outcome.after is not None
    assert outcome.after.values["kind"] == "std"
    if world.kind != "sqlite":  # which does not round
        assert outcome.after.values["amount"] == Decimal("1.24")


def test_s11_s47_every_refusal_says_why_and_leaves_nothing(world: SqlWorld) -> None:
    length = "CHECK (length(code) <= 5)" if world.kind == "sqlite" else ""
    world.run(
        f"CREATE TABLE t (id {world.number}, code VARCHAR(5) NOT NULL {length}, "
        "age INT CHECK (age >= 0))"
    )
    endpoint = world.open("t", ["code", "age"])
    writes = [
        create("ok1", code="a", age=1),
        create("null", code=None, age=1),
        create("long", code="abcdefgh", age=1),
        create("check", code="b", age=-1),
        create("surrogate", code="\ud800", age=1),
        create("ok2", code="c", age=None),
    ]
    if world.kind == "postgresql":
        writes += [create("nul", code="a\x00", age=1), create("type", code="d", age="many")]
    outcomes = {o.op_id: o for o in endpoint.apply(writes, go, forget)}
    assert {o for o, out in outcomes.items() if out.status is Status.APPLIED} == {"ok1", "ok2"}
    assert all(out.error and "\n" not in out.error for o, out in outcomes.items() if "ok" not in o)
    assert world.run("SELECT count(*) FROM t") == [(2,)]


def test_s36_f31_references_block_and_do_not_reject_for_good(world: SqlWorld) -> None:
    world.run(
        f"CREATE TABLE child (id {world.number}, parent BIGINT, "
        "FOREIGN KEY (parent) REFERENCES people (id))"
    )
    number = world.add(name="parent", email="p")
    world.run(f"INSERT INTO child (parent) VALUES ({number})")
    children = world.open("child", ["parent"])
    assert children.schema.parents == ((("parent",), children_parent(world), ("id",)),)
    outcomes = children.apply(
        [create("o1", parent=number), create("o2", parent=number + 50)], go, forget
    )
    assert [(o.status.value, o.blocked) for o in outcomes] == [
        ("applied", False),
        ("rejected", True),
    ]
    (outcome,) = world.open("people", ["name"]).apply([delete("o3", number)], go, forget)
    assert (outcome.status.value, outcome.blocked) == ("rejected", True)
    assert number in world.all()


def children_parent(world: SqlWorld) -> str:
    return "public.people" if world.kind == "postgresql" else "people"


def test_s36_a_reference_checked_at_commit_takes_only_its_own_record(world: SqlWorld) -> None:
    if world.kind == "mariadb":
        pytest.skip("MariaDB checks references at once")
    world.run(
        f"CREATE TABLE child (id {world.number}, parent BIGINT, "
        "FOREIGN KEY (parent) REFERENCES people (id) DEFERRABLE INITIALLY DEFERRED)"
    )
    number = world.add(name="parent", email="p")
    endpoint = world.open("child", ["parent"])
    writes = [create(f"o{n}", parent=number + (50 if n == 3 else 0)) for n in range(6)]
    outcomes = endpoint.apply(writes, go, forget)
    assert statuses(outcomes) == ["applied"] * 3 + ["rejected"] + ["applied"] * 2
    assert outcomes[3].blocked
    assert world.run("SELECT count(*) FROM child") == [(5,)]


def test_s41_a_version_that_moved_is_stale(world: SqlWorld) -> None:
    world.run(f"CREATE TABLE t (id {world.number}, v VARCHAR(9), rev INT DEFAULT 1)")
    world.run("INSERT INTO t (v) VALUES ('a'), ('b')")
    endpoint = world.open("t", ["v"], version="rev")
    rows = snapshot_of(endpoint)
    assert [row.version for row in rows.values()] == ["1", "1"]
    world.run("UPDATE t SET rev = 2 WHERE id = 2")
    outcomes = endpoint.apply(
        [Write(f"o{n}", OpKind.UPDATE, key(n), {"v": "x"}, version="1") for n in (1, 2)],
        go,
        forget,
    )
    assert statuses(outcomes) == ["applied", "stale"]
    assert world.run("SELECT v FROM t ORDER BY id") == [("x",), ("b",)]


def test_s41_postgresql_rows_have_a_version_of_their_own(fresh_db: Any) -> None:
    world = SqlWorld("postgresql", fresh_db("postgresql"))
    number = world.add(name="a", email="e")
    endpoint = world.open("people", ["name"], version="xmin")
    planned = snapshot_of(endpoint)[key(number)].version
    first, second = (
        endpoint.apply(
            [Write("o", OpKind.UPDATE, key(number), {"name": name}, version=planned)], go, forget
        )[0]
        for name in ("b", "c")
    )
    assert (first.status, second.status) == (Status.APPLIED, Status.STALE)
    assert world.all()[number]["name"] == "b"
    world.close()


def test_f24_an_edit_between_read_and_write_is_seen_under_the_lock(world: SqlWorld) -> None:
    """The race is lost before the lock is taken: the check sees the winner's row."""
    number = world.add(name="a", email="e")
    endpoint = world.open("people", ["name"])
    snapshot_of(endpoint)
    world.edit(number, name="theirs")
    seen: list[str] = []

    def check(write: Write, row: Row | None) -> str | None:
        assert row is not None
        seen.append(row.values["name"])
        return "moved"

    endpoint.apply([update("o", number, name="ours")], check, forget)
    assert seen == ["theirs"]


def test_f24_nobody_can_edit_between_the_check_and_the_write(world: SqlWorld) -> None:
    number = world.add(name="a", email="e")
    endpoint = world.open("people", ["name"])
    blocked: list[str] = []
    quick = {
        "sqlite": "SELECT 1",
        "postgresql": "SET lock_timeout = '50ms'",
        "mariadb": "SET innodb_lock_wait_timeout = 0",
    }[world.kind]

    def check(write: Write, row: Row | None) -> str | None:
        try:
            with world.engine.connect() as connection:
                if world.kind == "sqlite":
                    connection.exec_driver_sql("PRAGMA busy_timeout = 20")
                connection.exec_driver_sql(quick)
                connection.exec_driver_sql(f"UPDATE people SET name = 'x' WHERE id = {number}")
                connection.commit()
        except Exception as refused:
            blocked.append(type(refused).__name__)
        return None

    endpoint.apply([update("o", number, name="ours")], check, forget)
    assert len(blocked) == 1
    assert world.all()[number]["name"] == "ours"


def test_s23_swapping_unique_values_loses_nothing(world: SqlWorld) -> None:
    one, two = world.add(name="a", email="1"), world.add(name="b", email="2")
    outcomes = world.open("people", ["email"]).apply(
        [update("o1", one, email="2"), update("o2", two, email="1")], go, forget
    )
    now = {world.all()[one]["email"], world.all()[two]["email"]}
    assert now == {"1", "2"}
    assert set(statuses(outcomes)) in ({"rejected"}, {"applied"})


def test_f46_a_key_that_is_edited_is_answered_with_the_new_one(world: SqlWorld) -> None:
    world.run("CREATE TABLE t (code VARCHAR(9) PRIMARY KEY, v VARCHAR(9))")
    world.run("INSERT INTO t VALUES ('a', '1'), ('b', '2')")
    endpoint = world.open("t", ["code", "v"])
    writes = [
        Write("o1", OpKind.UPDATE, keys.encode(["a"]), {"code": "x"}),
        Write("o2", OpKind.UPDATE, keys.encode(["b"]), {"code": "y"}),
    ]
    outcomes = endpoint.apply(writes, go, forget)
    assert [o.key for o in outcomes] == [keys.encode(["x"]), keys.encode(["y"])]
    assert sorted(world.run("SELECT code, v FROM t")) == [("x", "1"), ("y", "2")]


def test_a_token_that_cannot_be_kept_stops_the_write(world: SqlWorld) -> None:
    class JournalFull(Exception):
        pass

    def refuse(token: str) -> None:
        raise JournalFull

    endpoint = world.open("people", ["name"])
    with pytest.raises(JournalFull):
        endpoint.apply([create("o", name="n")], go, refuse)
    assert world.all() == {}
    assert statuses(endpoint.apply([create("o", name="n")], go, forget)) == ["applied"]


def test_a_locked_row_is_retried_and_then_unreachable(world: SqlWorld) -> None:
    """Nothing was written, so the error may be raised; the lock's holder keeps its edit."""
    number = world.add(name="a", email="e")
    endpoint = world.adapter(timeout=1).open(world.open("people", ["name"]).spec)
    if world.kind == "sqlite":
        endpoint._flavor.engine.dispose()
        sa.event.listen(
            endpoint._flavor.engine,
            "connect",
            lambda connection, _: connection.execute("PRAGMA busy_timeout = 10"),
        )
    with world.engine.connect() as holder:
        if world.kind == "sqlite":
            holder.exec_driver_sql("BEGIN IMMEDIATE")
        holder.exec_driver_sql(f"UPDATE people SET name = 'theirs' WHERE id = {number}")
        with pytest.raises(Unreachable) as raised:
            endpoint.apply([update("o", number, name="ours")], go, forget)
        assert raised.value.hint
        holder.commit()
    assert world.all()[number]["name"] == "theirs"


def test_large_batches_go_in_sets(world: SqlWorld) -> None:
    endpoint = world.open("people", ["name", "email"])
    made = endpoint.apply(
        [create(f"o{n}", name="x" * 50, email=f"e{n}") for n in range(2300)], go, forget
    )
    assert {o.status for o in made} == {Status.APPLIED}
    assert len({o.key for o in made}) == 2300
    changed = endpoint.apply(
        [Write(f"u{n}", OpKind.UPDATE, o.key, {"name": f"n{n}"}) for n, o in enumerate(made)],
        go,
        forget,
    )
    assert [o.after.values["name"] for o in changed if o.after] == [f"n{n}" for n in range(2300)]
    gone = endpoint.apply(
        [Write(f"d{n}", OpKind.DELETE, o.key) for n, o in enumerate(made[:2000])], go, forget
    )
    assert {o.status for o in gone} == {Status.APPLIED}
    assert len(world.all()) == 300


def test_nothing_to_write_is_no_error(world: SqlWorld) -> None:
    assert world.open("people", ["name"]).apply([], go, forget) == []
    assert world.open("people", ["name"]).settle([], None) == []


def test_identity_always_keys_are_made_by_their_own_sequence(fresh_db: Any) -> None:
    world = SqlWorld("postgresql", fresh_db("postgresql"))
    world.run("CREATE TABLE t (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v TEXT)")
    endpoint = world.open("t", ["v"])
    made = endpoint.apply([create(f"o{n}", v=f"v{n}") for n in range(3)], go, forget)
    assert [o.key for o in made] == [key(1), key(2), key(3)]
    world.run("INSERT INTO t (v) VALUES ('theirs')")
    assert world.run("SELECT id FROM t WHERE v = 'theirs'") == [(4,)]
    world.close()


def test_a_dropped_insert_is_a_refusal_not_a_success(fresh_db: Any) -> None:
    world = SqlWorld("postgresql", fresh_db("postgresql"))
    with world.engine.begin() as connection:
        cursor = connection.connection.cursor()
        cursor.execute(
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS "
            "$$BEGIN IF NEW.name = 'drop' THEN RETURN NULL; END IF; RETURN NEW; END$$"
        )
        cursor.execute(
            "CREATE TRIGGER tr BEFORE INSERT ON people FOR EACH ROW EXECUTE FUNCTION f()"
        )
    endpoint = world.open("people", ["name"])
    writes = [create("o1", name="a"), create("o2", name="drop"), create("o3", name="b")]
    assert statuses(endpoint.apply(writes, go, forget)) == ["applied", "rejected", "applied"]
    world.close()


def test_errors_name_the_system_and_never_the_address(world: SqlWorld) -> None:
    endpoint = world.open("people", ["name"])
    world.run("DROP TABLE people")
    with pytest.raises(SyncdError) as raised:
        endpoint.apply([create("o", name="n")], go, forget)
    assert raised.value.where == "erp"
    assert world.url not in str(raised.value) + raised.value.hint
