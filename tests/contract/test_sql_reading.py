"""What an SQL endpoint reads: keys of every kind, cursors, soft deletes, views, consistency."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import pytest
from sqlworld import SqlWorld
from suite import create, forget, go, key, read_all, snapshot_of

from syncd.adapter import Write
from syncd.core import keys
from syncd.core.model import OpKind
from syncd.errors import SystemFault

HOSTILE = ['we"ird', "se`lect", "per%cent %s", "co:lon", "sp ace", "ünïcode", "group", "back\\sl'q"]


def test_keys_of_numbers_are_in_numeric_order(world: SqlWorld) -> None:
    numbers = [-12, -2, 0, 2, 9, 10, 99, 100, 10**15]
    world.run("CREATE TABLE t (id BIGINT PRIMARY KEY, v VARCHAR(9))")
    for number in sorted(numbers, key=str):
        world.run("INSERT INTO t VALUES (:id, 'v')", id=number)
    rows = snapshot_of(world.open("t", ["v"]))
    assert list(rows) == [keys.encode([n]) for n in numbers]


def test_s17_s18_keys_of_text_keep_case_and_leading_zeros(world: SqlWorld) -> None:
    collation = {"sqlite": "", "postgresql": "", "mariadb": "COLLATE utf8mb4_bin"}[world.kind]
    world.run(f"CREATE TABLE t (id VARCHAR(20) {collation} PRIMARY KEY, v VARCHAR(9))")
    texts = ["007", "7", "ABC", "abc", "aBc", "0", "é", "Z", "a b", "10", "a\tb", "😀"]
    for text in texts:
        world.run("INSERT INTO t VALUES (:id, 'v')", id=text)
    endpoint = world.open("t", ["id", "v"])
    rows = snapshot_of(endpoint)
    assert list(rows) == [keys.encode([text]) for text in sorted(texts)]
    assert [row.values["id"] for row in rows.values()] == sorted(texts)
    assert {row.key for row in endpoint.get([keys.encode(["abc"])])} == {keys.encode(["abc"])}
    (outcome,) = endpoint.apply(
        [Write("o", OpKind.UPDATE, keys.encode(["ABC"]), {"v": "x"})], go, forget
    )
    assert outcome.key == keys.encode(["ABC"])
    changed = world.run("SELECT id FROM t WHERE v = 'x'")
    assert changed == [("ABC",)]


def test_s17_a_key_that_differs_by_case_only_is_not_there(world: SqlWorld) -> None:
    """Where the column's own collation finds it, it still is another id."""
    world.run("CREATE TABLE t (id VARCHAR(20) PRIMARY KEY, v VARCHAR(9))")
    world.run("INSERT INTO t VALUES ('abc', 'v')")
    endpoint = world.open("t", ["v"])
    assert endpoint.get([keys.encode(["ABC"])]) == []
    (outcome,) = endpoint.apply(
        [Write("o", OpKind.UPDATE, keys.encode(["ABC"]), {"v": "x"})], go, forget
    )
    assert outcome.status == "stale"
    assert world.run("SELECT v FROM t") == [("v",)]


def test_composite_keys_are_ordered_part_by_part(world: SqlWorld) -> None:
    collation = {"mariadb": "COLLATE utf8mb4_bin"}.get(world.kind, "")
    world.run(f"CREATE TABLE t (a INT, b VARCHAR(9) {collation}, v VARCHAR(9), PRIMARY KEY (a, b))")
    pairs = [(10, "a"), (9, "b"), (9, "B"), (-1, ""), (9, "a!"), (9, "a"), (10, "")]
    for a, b in pairs:
        world.run("INSERT INTO t VALUES (:a, :b, 'v')", a=a, b=b)
    endpoint = world.open("t", ["a", "b", "v"])
    assert [keys.decode(k) for k in snapshot_of(endpoint)] == sorted(pairs)
    with endpoint.keys() as snapshot:
        assert [keys.decode(k) for b in snapshot.blocks() for k in b.keys] == sorted(pairs)
    outcomes = endpoint.apply(
        [
            Write("o1", OpKind.UPDATE, keys.encode([9, "a"]), {"v": "x"}),
            Write("o2", OpKind.UPDATE, keys.encode([9, "B"]), {"v": "y"}),
        ],
        go,
        forget,
    )
    assert [o.status for o in outcomes] == ["applied"] * 2
    endpoint.apply([Write("o3", OpKind.DELETE, keys.encode([10, ""]))], go, forget)
    made = endpoint.apply([create("o4", a=11, b="new", v="z")], go, forget)
    assert made[0].key == keys.encode([11, "new"])
    assert sorted(world.run("SELECT a, b, v FROM t WHERE v <> 'v'")) == [
        (9, "B", "y"),
        (9, "a", "x"),
        (11, "new", "z"),
    ]
    assert len(world.run("SELECT a FROM t")) == 7


def test_uuid_keys_given_or_made_by_the_database(world: SqlWorld) -> None:
    kind = {
        "sqlite": "UUID PRIMARY KEY",
        "postgresql": "UUID PRIMARY KEY DEFAULT gen_random_uuid()",
        "mariadb": "UUID PRIMARY KEY DEFAULT uuid()",
    }[world.kind]
    world.run(f"CREATE TABLE t (id {kind}, v VARCHAR(9))")
    endpoint = world.open("t", ["id", "v"])
    given = [uuid.UUID(int=n * 2**100 + n) for n in (3, 1, 2)]
    outcomes = endpoint.apply(
        [create(f"o{n}", id=u, v=f"v{n}") for n, u in enumerate(given)], go, forget
    )
    assert [o.key for o in outcomes] == [keys.encode([str(u)]) for u in given]
    assert list(snapshot_of(endpoint)) == [keys.encode([str(u)]) for u in sorted(given, key=str)]
    if endpoint.schema.generated:
        tokens: list[str] = []
        writes = [create(f"p{n}", v=f"w{n}") for n in range(3)]
        made = endpoint.apply(writes, go, tokens.append)
        assert [o.after.values["v"] for o in made if o.after] == ["w0", "w1", "w2"]
        assert len({o.key for o in made}) == 3
        if world.kind == "postgresql":
            found = endpoint.settle(writes, tokens[0])
            assert [o.key for o in found] == [o.key for o in made]


def test_hostile_names_are_quoted_everywhere(world: SqlWorld) -> None:
    names = [n for n in HOSTILE if world.kind != "mariadb" or not n.endswith(" ")]
    table = 'Ta"b`le %s :x'
    columns = ", ".join(f"{world.quote(n)} VARCHAR(20)" for n in names)
    with world.engine.begin() as connection:
        cursor = connection.connection.cursor()
        quoted = world.quote(table)
        cursor.execute(f"CREATE TABLE {quoted} (id {world.number}, {columns})".replace("%%", "%"))
    shown = next(n for n in world.adapter().objects() if n.endswith(table))
    endpoint = world.open(shown, names, soft_delete=names[4], cursor=names[5], receipts=True)
    values = {n: f"x{k}" for k, n in enumerate(names) if k != 4}
    made = endpoint.apply([create(f"o{n}", **values) for n in range(3)], go, forget)
    assert [o.error for o in made] == [""] * 3
    updates = [
        Write(f"u{n}", OpKind.UPDATE, o.key, {names[0]: "y", names[2]: "z"})
        for n, o in enumerate(made)
    ]
    assert [o.status for o in endpoint.apply(updates, go, forget)] == ["applied"] * 3
    rows = snapshot_of(endpoint)
    assert {row.values[names[0]] for row in rows.values()} == {"y"}
    assert len(endpoint.get(list(rows))) == 3
    with endpoint.since("x0") as snapshot:
        assert len(read_all(snapshot)) == 3
    with endpoint.keys() as snapshot:
        assert sum(len(b.keys) for b in snapshot.blocks()) == 3
    gone = [Write("d", OpKind.DELETE, made[0].key)]
    assert endpoint.apply(gone, go, forget)[0].status == "applied"
    assert endpoint.settle(gone, None)[0].status == "applied"


def test_a_snapshot_does_not_see_what_is_committed_after_it_began(world: SqlWorld) -> None:
    if world.kind == "sqlite":
        world.run("PRAGMA journal_mode = WAL")
    numbers = [world.add(name="a", email=f"e{n}") for n in range(5)]
    endpoint = world.open("people", ["name"])
    with endpoint.snapshot() as snapshot:
        world.edit(numbers[0], name="late")
        world.remove(numbers[4])
        world.add(name="later", email="x")
        rows = read_all(snapshot)
    assert list(rows) == [key(n) for n in numbers]
    assert {row.values["name"] for row in rows.values()} == {"a"}


def test_a_read_left_early_frees_its_connection(world: SqlWorld) -> None:
    for n in range(2500):
        if n % 500 == 0:
            world.run(
                "INSERT INTO people (name, email) VALUES "
                + ", ".join(f"('n', 'e{n + k}')" for k in range(500))
            )
    endpoint = world.open("people", ["name"])
    for _ in range(30):  # more often than the pool has connections
        with endpoint.snapshot() as snapshot:
            assert len(next(iter(snapshot.blocks())).keys) == 1000
    assert len(snapshot_of(endpoint)) == 2500


def test_disorder_is_an_incomplete_read(world: SqlWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(5):
        world.add(name="a", email=f"e{n}")
    endpoint = world.open("people", ["name"])
    monkeypatch.setattr(endpoint._flavor, "ordered", lambda layout: "id DESC")
    with endpoint.snapshot() as snapshot, pytest.raises(SystemFault, match="out of order"):
        list(snapshot.blocks())


def test_s57_f9_a_cursor_reads_ties_and_late_commits_again(world: SqlWorld) -> None:
    kind = {"postgresql": "TIMESTAMPTZ"}.get(world.kind, "DATETIME")
    world.run(f"CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(9), at {kind})")
    for number, at in ((1, "10:00:00"), (2, "10:00:30"), (3, "10:01:00"), (4, "10:01:00")):
        world.run(f"INSERT INTO t VALUES ({number}, 'v', '2024-05-01 {at}')")
    endpoint = world.open("t", ["v"], cursor="at", overlap=30.0)
    with endpoint.snapshot() as snapshot:
        assert len(read_all(snapshot)) == 4
        cursor = snapshot.cursor
    assert cursor is not None and cursor == endpoint.cursor()
    world.run("INSERT INTO t VALUES (5, 'tie', '2024-05-01 10:01:00')")
    world.run("INSERT INTO t VALUES (6, 'late', '2024-05-01 10:00:40')")
    world.run("INSERT INTO t VALUES (7, 'undated', NULL)")
    world.run("INSERT INTO t VALUES (8, 'new', '2024-05-01 10:02:00')")
    with endpoint.since(cursor) as snapshot:
        rows = read_all(snapshot)
        assert not snapshot.complete
        after = snapshot.cursor
    assert list(rows) == [key(n) for n in (2, 3, 4, 5, 6, 7, 8)]
    assert after is not None and after > cursor
    with endpoint.since(after) as snapshot:
        assert list(read_all(snapshot)) == [key(n) for n in (7, 8)]
        assert snapshot.cursor == after


def test_s57_a_row_dated_ahead_does_not_carry_the_cursor_away(world: SqlWorld) -> None:
    kind = {"postgresql": "TIMESTAMPTZ"}.get(world.kind, "DATETIME")
    world.run(f"CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(9), at {kind})")
    world.run(
        "INSERT INTO t VALUES (1, 'v', '2024-05-01 10:00:00'), (2, 'v', '2999-01-01 00:00:00')"
    )
    endpoint = world.open("t", ["v"], cursor="at")
    cursor = endpoint.cursor()
    assert cursor is not None and cursor.startswith("2024-05-01")


def test_a_numeric_cursor_reads_from_its_number_on(world: SqlWorld) -> None:
    world.run("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(9), rev BIGINT)")
    for n in range(1, 6):
        world.run(f"INSERT INTO t VALUES ({n}, 'v', {n * 100})")
    endpoint = world.open("t", ["v"], cursor="rev", overlap=0)
    assert endpoint.cursor() == "500"
    with endpoint.since("300") as snapshot:
        assert list(read_all(snapshot)) == [key(n) for n in (3, 4, 5)]


@pytest.mark.parametrize("mark", ["flag", "at", "word"])
def test_soft_deleted_rows_are_marked_and_archived(world: SqlWorld, mark: str) -> None:
    kinds = {"flag": "BOOLEAN", "at": "TIMESTAMP NULL", "word": "VARCHAR(20)"}
    live = {"flag": "false", "at": "NULL", "word": "''"}[mark]
    dead = {"flag": "true", "at": "'2024-05-01 10:00:00'", "word": "'yes'"}[mark]
    if world.kind == "sqlite":
        live, dead = live.replace("false", "0"), dead.replace("true", "1")
    world.run(f"CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(9), gone {kinds[mark]})")
    world.run(
        f"INSERT INTO t VALUES (1, 'a', {live}), (2, 'b', {dead}), (3, 'c', NULL), (4, 'd', {live})"
    )
    endpoint = world.open("t", ["v"], ["v", "gone"], soft_delete="gone")
    assert [row.deleted for row in snapshot_of(endpoint).values()] == [False, True, False, False]
    with endpoint.keys() as snapshot:
        assert [k for b in snapshot.blocks() for k in b.keys] == [key(1), key(3), key(4)]
    outcomes = endpoint.apply(
        [Write("a1", OpKind.ARCHIVE, key(1)), Write("a3", OpKind.ARCHIVE, key(3))], go, forget
    )
    assert [o.after.deleted for o in outcomes if o.after] == [True, True]
    assert [row.deleted for row in snapshot_of(endpoint).values()] == [True, True, True, False]


def test_a_view_is_a_source_with_a_key_given(world: SqlWorld) -> None:
    for n in range(4):
        world.add(name=f"n{n}", email=f"e{n}")
    world.run("CREATE VIEW v AS SELECT email, name FROM people UNION ALL SELECT 'e1', 'twice'")
    endpoint = world.open("v", ["email", "name"], [], key=("email",))
    assert not endpoint.schema.writable
    with endpoint.snapshot() as snapshot:
        found = [keys.decode(k)[0] for b in snapshot.blocks() for k in b.keys]
    assert found == ["e0", "e1", "e1", "e2", "e3"]  # doubles come out as often as read


def test_rows_without_a_key_are_left_out_and_said(
    world: SqlWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world.add(name="n", email="e")
    world.add(name="m", email=None)
    world.run("CREATE VIEW v AS SELECT email, name FROM people")
    endpoint = world.open("v", ["name"], [], key=("email",))
    with caplog.at_level("WARNING"):
        assert list(snapshot_of(endpoint)) == [keys.encode(["e"])]
    assert "1 row(s) of" in caplog.text


def test_every_type_comes_as_a_plain_value_and_goes_back(world: SqlWorld) -> None:
    typed = {
        "sqlite": "b BOOLEAN, n BIGINT, d DECIMAL(12,2), f DOUBLE, day DATE, at DATETIME, "
        "tm TIME, u UUID, raw BLOB, j JSON",
        "postgresql": "b BOOLEAN, n BIGINT, d NUMERIC(12,2), f DOUBLE PRECISION, day DATE, "
        "at TIMESTAMP, tm TIME, u UUID, raw BYTEA, j JSONB, z TIMESTAMPTZ, l TEXT[], i INT[]",
        "mariadb": "b BOOLEAN, n BIGINT, d DECIMAL(12,2), f DOUBLE, day DATE, at DATETIME(6), "
        "tm TIME, u UUID, raw BLOB, j JSON, z TIMESTAMP(6) NULL",
    }[world.kind]
    values: dict[str, Any] = {
        "b": True,
        "n": -(2**62),
        "d": Decimal("1234567.89"),
        "f": 0.1,
        "day": dt.date(2024, 2, 29),
        "at": dt.datetime(2024, 2, 29, 23, 59, 58, 123456),
        "tm": dt.time(12, 30, 15),
        "u": uuid.UUID("123e4567-e89b-12d3-a456-426614174000"),
        "raw": b"\x00\xff\t\n\\x",
        "j": {"a": [1, None, "ü"], "b": {"c": True}},
        "z": dt.datetime(2024, 2, 29, 23, 59, 58, 123456, dt.UTC),
        "l": ["a", None, 'q"u\\o,te{}', ""],
        "i": [1, -2, None],
    }
    world.run(f"CREATE TABLE t (id INT PRIMARY KEY, {typed})")
    columns = [name for name in values if f"{name} " in typed]
    endpoint = world.open("t", [*columns, "id"])
    sent = {name: values[name] for name in columns}
    outcomes = endpoint.apply(
        [create("o1", id=1, **sent), create("o2", id=2, **dict.fromkeys(columns))], go, forget
    )
    assert [o.error for o in outcomes] == ["", ""]
    rows = snapshot_of(endpoint)
    assert {name: rows[key(1)].values[name] for name in columns} == sent
    assert {type(rows[key(1)].values[name]) for name in ("d", "u")} == {Decimal, uuid.UUID}
    assert {rows[key(2)].values[name] for name in columns} == {None}
    (again,) = endpoint.apply([Write("o3", OpKind.UPDATE, key(2), sent)], go, forget)
    assert again.after is not None and again.after.raw[1:] != rows[key(2)].raw[1:]
    assert {name: again.after.values[name] for name in columns} == sent
