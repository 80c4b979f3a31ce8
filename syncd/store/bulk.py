"""Many rows at once, as fast as each database takes them: the only dialect-specific code here.

SQLite takes a prepared statement with a list of tuples. PostgreSQL takes COPY for inserts and
arrays (`unnest`) for updates and deletes; one statement a row would cost it a first load.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import orjson
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Dialect,
    LargeBinary,
    Select,
    SmallInteger,
    Table,
    Text,
    TypeDecorator,
    bindparam,
)
from sqlalchemy import text as sql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.sqltypes import Integer
from sqlalchemy.types import TypeEngine

T = TypeVar("T")
Rows = Sequence[Sequence[Any]]

CHUNK = 1000

_ALLOCATE = sql(
    "INSERT INTO counter (name, value) VALUES (:name, :n) "
    "ON CONFLICT (name) DO UPDATE SET value = counter.value + excluded.value RETURNING value"
)

# The counter that every transaction of the store may take (`Store.tick`).
_FIRST_LOCK = sql("SELECT value FROM counter WHERE name = 'tick' FOR UPDATE")


def chunks(items: Sequence[T], size: int = CHUNK) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def allocate(conn: Connection, name: str, n: int = 1) -> range:
    """The next `n` ids of this kind, inside a write transaction (a rollback gives them back)."""
    if n <= 0:
        return range(0)
    if _postgres(conn):
        # Flows write side by side there: two of them could each hold the counter that the other
        # waits for, unless both take the same one first.
        conn.execute(_FIRST_LOCK)
    last = int(conn.execute(_ALLOCATE, {"name": name, "n": n}).scalar_one())
    return range(last - n + 1, last + 1)


def among(column: Column[Any], name: str) -> ColumnElement[bool]:
    """`column IN values` with a list as the one parameter `name`, however long it is: a statement
    of a thousand parameters costs more to bind than to run. Columns of numbers and of text only."""
    return _Among(column, bindparam(name, type_=_List(isinstance(column.type, Integer))))


class _List(TypeDecorator[Sequence[int | str]]):
    """A list as one parameter: an array in PostgreSQL, JSON in SQLite."""

    impl = Text
    cache_ok = True

    def __init__(self, numbers: bool) -> None:
        super().__init__()
        self.numbers = numbers

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(ARRAY(BigInteger() if self.numbers else Text()))
        return dialect.type_descriptor(Text())

    def process_bind_param(self, value: Sequence[int | str] | None, dialect: Dialect) -> Any:
        wanted = list(value or ())
        return wanted if dialect.name == "postgresql" else orjson.dumps(wanted).decode()


class _Among(FunctionElement[bool]):
    type = Boolean()
    inherit_cache = True

    def self_group(self, against: Any = None) -> Any:
        """As it is: `(… IN …) = 1`, which SQLAlchemy makes of a function's truth value where a
        database has no booleans, is a condition that SQLite takes no index for."""
        return self


@compiles(_Among)
def _in_json(element: _Among, compiler: Any, **options: Any) -> str:
    column, values = (compiler.process(part, **options) for part in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({values}))"


@compiles(_Among, "postgresql")
def _in_array(element: _Among, compiler: Any, **options: Any) -> str:
    column, values = (compiler.process(part, **options) for part in element.clauses)
    return f"{column} = ANY ({values})"


def page(query: Select[Any], column: Column[Any]) -> Select[Any]:
    """The next block of what `query` selects, in order of a column of ids: see `pages`."""
    return query.where(column > bindparam("after")).order_by(column).limit(bindparam("size"))


def pages(
    conn: Connection, query: Select[Any], values: Mapping[str, Any], size: int = CHUNK
) -> Iterator[Sequence[Any]]:
    """Rows of a query made by `page`, in blocks; their first column is the one they are ordered
    by, and above 0. Other statements may change what it selects between two blocks."""
    last = 0
    while True:
        rows = conn.execute(query, {**values, "after": last, "size": size}).all()
        if rows:
            yield rows
        if len(rows) < size:
            return
        last = rows[-1][0]


def insert(conn: Connection, table: Table, columns: Sequence[str], rows: Rows) -> None:
    """Insert whole rows; columns not named take their defaults."""
    if not rows:
        return
    if _postgres(conn):
        names = ", ".join(_quote(conn, c) for c in columns)
        cursor = _cursor(conn)
        with cursor, cursor.copy(f"COPY {_quote(conn, table.name)} ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        return
    marks = ", ".join("?" * len(columns))
    names = ", ".join(_quote(conn, c) for c in columns)
    conn.exec_driver_sql(
        f"INSERT INTO {_quote(conn, table.name)} ({names}) VALUES ({marks})",
        [tuple(row) for row in rows],
    )


def update(
    conn: Connection, table: Table, where: Sequence[str], sets: Sequence[str], rows: Rows
) -> None:
    """Each row holds the values of `where`, then those of `sets`."""
    if not rows:
        return
    name = _quote(conn, table.name)
    if _postgres(conn):
        assigned = ", ".join(f"{_quote(conn, c)} = v.s{i}" for i, c in enumerate(sets))
        matched = " AND ".join(f"t.{_quote(conn, c)} = v.w{i}" for i, c in enumerate(where))
        aliases = [f"w{i}" for i in range(len(where))] + [f"s{i}" for i in range(len(sets))]
        _arrays(
            conn,
            f"UPDATE {name} AS t SET {assigned} FROM unnest({{}}) AS v({', '.join(aliases)}) "
            f"WHERE {matched}",
            [table.c[c] for c in (*where, *sets)],
            rows,
        )
        return
    assigned = ", ".join(f"{_quote(conn, c)} = ?" for c in sets)
    matched = " AND ".join(f"{_quote(conn, c)} = ?" for c in where)
    n = len(where)
    conn.exec_driver_sql(
        f"UPDATE {name} SET {assigned} WHERE {matched}",
        [(*row[n:], *row[:n]) for row in rows],
    )


def delete(conn: Connection, table: Table, where: Sequence[str], rows: Rows) -> None:
    """Delete the rows whose `where` columns hold these values."""
    if not rows:
        return
    name = _quote(conn, table.name)
    if _postgres(conn):
        matched = " AND ".join(f"t.{_quote(conn, c)} = v.w{i}" for i, c in enumerate(where))
        aliases = ", ".join(f"w{i}" for i in range(len(where)))
        _arrays(
            conn,
            f"DELETE FROM {name} AS t USING unnest({{}}) AS v({aliases}) WHERE {matched}",
            [table.c[c] for c in where],
            rows,
        )
        return
    matched = " AND ".join(f"{_quote(conn, c)} = ?" for c in where)
    conn.exec_driver_sql(f"DELETE FROM {name} WHERE {matched}", [tuple(row) for row in rows])


def _arrays(conn: Connection, statement: str, columns: Sequence[Column[Any]], rows: Rows) -> None:
    """Run `statement` with one array a column. The planner would guess 100 rows for an array of
    any length; a chunk stays near enough."""
    casts = ", ".join(f"%s::{_type(c)}[]" for c in columns)
    for part in chunks(rows):
        arrays = tuple(list(column) for column in zip(*part, strict=True))
        conn.exec_driver_sql(statement.format(casts), arrays)


def _type(column: Column[Any]) -> str:
    kinds = ((SmallInteger, "smallint"), (BigInteger, "bigint"), (Integer, "integer"))
    for kind, name in (*kinds, (LargeBinary, "bytea"), (Boolean, "boolean")):
        if isinstance(column.type, kind):
            return name
    return "text"


def _postgres(conn: Connection) -> bool:
    return conn.dialect.name == "postgresql"


def _quote(conn: Connection, name: str) -> str:
    return conn.dialect.identifier_preparer.quote(name)


def _cursor(conn: Connection) -> Any:
    connection = conn.connection.driver_connection
    assert connection is not None, "a Connection in use has a driver connection"
    return connection.cursor()
