"""The short way of statements to SQLite: it answers as SQLAlchemy's own does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, bindparam, event, func, select, text
from sqlalchemy.exc import IntegrityError, MultipleResultsFound, NoResultFound, StatementError

from syncd.store import connect, direct, lease, lifecycle, matters, tables
from syncd.store.direct import Answer, Direct, Kept

FLOW, META = tables.flow, tables.meta
ALL = select(META).order_by(META.c.key)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = connect.writer(connect.locate(f"sqlite:///{tmp_path}/a.db", tmp_path), 1.0)
    with made.begin() as conn:
        tables.metadata.create_all(conn)
        conn.execute(META.insert(), [{"key": k, "value": k * 2} for k in "abc"])
        conn.execute(FLOW.insert(), {"id": 7, "name": "people"})
    yield made
    made.dispose()


@pytest.fixture
def conn(engine: Engine) -> Iterator[Connection]:
    made = Direct(engine)
    with made, made.begin():
        yield made


def again(conn: Connection, statement: Any, values: Any = None) -> Any:
    """The answer to a statement that was asked before."""
    conn.execute(statement, values).close()
    found: Any = conn.execute(statement, values)
    assert isinstance(found, Answer)
    return found


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        (ALL, None),
        (select(META.c.value).where(META.c.key == bindparam("key")), {"key": "b"}),
        (select(META.c.value).where(META.c.key == "b"), {"more": 1}),
        (select(META.c.key.in_(["a", "x"]), func.count()).group_by(META.c.key), None),
        (select(FLOW, META.c.key).join(META, META.c.key == "a"), None),
        (text("SELECT key, value AS class, 1 AS key FROM meta WHERE key > :k"), {"k": "a"}),
        (matters._LOOK, {"flow": 7}),
        (lease._FIND, {"of_flow": "people"}),
    ],
)
def test_rows_are_the_same(conn: Connection, statement: Any, values: Any) -> None:
    long = Connection.execute(conn, statement, values)  # the long way, whoever asked before
    names, rows = list(long.keys()), long.all()
    short = conn.execute(statement, values).all()
    assert short == rows
    for one, other in zip(short, rows, strict=True):
        for value, same in zip(one, other, strict=True):
            assert type(value) is type(same)
        for name in set(names):
            if name.isidentifier() and names.count(name) == 1 and name != "class":
                assert getattr(one, name) == getattr(other, name)


def test_what_is_given_decides_what_is_written(conn: Connection) -> None:
    add, change = META.insert(), META.update().where(META.c.key == bindparam("of"))
    for key in "xyz":
        conn.execute(add, {"key": key, "value": "1"})
    again(conn, change, {"of": "x", "value": "2"})
    again(conn, change, {"of": "x", "key": "w"})
    found = conn.execute(ALL).all()
    assert found[-3:] == [("w", "2"), ("y", "1"), ("z", "1")]


def test_a_change_counts_its_rows_and_answers(conn: Connection) -> None:
    change = META.update().where(META.c.key != "a").values(value="n")
    assert again(conn, change).rowcount == 2
    assert sorted(again(conn, change.returning(META.c.key)).scalars().all()) == ["b", "c"]


def test_one_is_one(conn: Connection) -> None:
    assert again(conn, ALL).first() == ("a", "aa")
    assert again(conn, ALL).scalar() == "a"
    assert [list(part) for part in again(conn, ALL.limit(3)).partitions(2)] == [
        [("a", "aa"), ("b", "bb")],
        [("c", "cc")],
    ]
    with pytest.raises(MultipleResultsFound):
        again(conn, ALL).one()
    none = ALL.where(META.c.key == "none")
    assert again(conn, none).first() is None
    assert again(conn, none).scalar() is None
    with pytest.raises(NoResultFound):
        again(conn, none).scalar_one()


def test_a_value_that_is_not_given_is_missed(conn: Connection) -> None:
    asked = select(META).where(META.c.key == bindparam("key"))
    again(conn, asked, {"key": "a"})
    with pytest.raises(StatementError, match="value is required"):
        conn.execute(asked)
    for _ in range(3):
        with pytest.raises(StatementError, match="value is required"):
            conn.execute(asked, {"other": 1})


def test_a_refusal_is_sqlalchemys_and_shows_no_values(conn: Connection) -> None:
    """I16"""
    add = META.insert()
    for key in "xy":
        conn.execute(add, {"key": key, "value": "secret"})
    with pytest.raises(IntegrityError) as refused:
        conn.execute(add, {"key": "x", "value": "secret"})
    assert "secret" not in str(refused.value)
    with pytest.raises(IntegrityError):
        conn.exec_driver_sql("INSERT INTO meta VALUES (?, ?)", [("a", "1")])


def test_statements_made_once_are_not_kept(conn: Connection) -> None:
    before = len(direct._PLANS)
    for number in range(50):
        conn.execute(ALL.where(META.c.key != str(number))).close()
    assert len(direct._PLANS) <= before + 1


def test_whoever_listens_hears_every_statement(engine: Engine, conn: Connection) -> None:
    heard: list[str] = []

    def note(conn: Any, cursor: Any, statement: str, *more: Any) -> None:
        heard.append(statement)

    again(conn, ALL)
    event.listen(engine, "before_cursor_execute", note)
    conn.execute(ALL).close()
    assert len(heard) == 1


def test_a_connection_kept_sees_the_moment_of_its_transaction(tmp_path: Path) -> None:
    """S1: also where rows of the last one were left unread."""
    place = connect.locate(f"sqlite:///{tmp_path}/b.db", tmp_path)
    readers, writer = connect.readers(place, 1.0), connect.writer(place, 1.0)
    with writer.connect() as made:
        raw = made.connection.driver_connection
        assert raw is not None
        raw.execute("PRAGMA journal_mode=WAL")
    with writer.begin() as made:
        tables.metadata.create_all(made)
        made.execute(META.insert(), [{"key": k, "value": k} for k in "abc"])
    kept, found, used = Kept(readers), [], set()
    for key in "xyz":
        with kept.lent() as conn, conn.begin():
            used.add(conn)
            found.append(len(conn.execute(ALL).all()))
            conn.execute(ALL).first()
        with writer.begin() as made:
            made.execute(META.insert(), {"key": key, "value": key})
    assert found == [3, 4, 5]
    assert len(used) == 1
    kept.close()
    readers.dispose()
    writer.dispose()


def test_a_connection_that_failed_is_not_kept(engine: Engine) -> None:
    kept, used = Kept(engine), []
    for _ in range(2):
        with pytest.raises(KeyError), kept.lent() as conn, conn.begin():
            used.append(conn)
            raise KeyError
    assert used[0] is not used[1]
    assert used[0].closed


def test_the_stores_own_description_is_read_the_same(conn: Connection) -> None:
    conn.exec_driver_sql("CREATE TABLE alembic_version (version_num TEXT)")
    conn.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", ("0001",))
    conn.execute(META.insert(), {"key": "deployment", "value": "d"})
    conn.execute(tables.counter.insert(), {"name": "tick", "value": 4})
    said = [lifecycle.facts(conn) for _ in range(3)]
    assert said == [lifecycle.Facts("0001", "d", 4, "")] * 3
