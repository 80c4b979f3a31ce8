"""Any other database that SQLAlchemy has a dialect for: plain SQL, nothing taken for granted.

Rows are sorted here, in a temporary file, since a binary order cannot be asked for everywhere; a
snapshot is one statement, and not called consistent, so an absence has to be seen twice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator, Sequence
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from syncd.adapter import Column, Native
from syncd_adapters.sql import tuples
from syncd_adapters.sql.faults import Fault, FaultKind, Refused, Uncorrelated, one_line
from syncd_adapters.sql.flavor import BLOCK, Connection, chunks
from syncd_adapters.sql.keyparts import moved_keys
from syncd_adapters.sql.layout import Layout, Parts, TableRef
from syncd_adapters.sql.textual import json_text, parser, to_text
from syncd_adapters.sql.tuple_flavor import TupleFlavor

_MARK = "\x00"  # stands for a parameter until the driver's own style is known
_AT_ONCE = 100
_SAVEPOINTS = {  # set, go back, release
    "mssql": ("SAVE TRANSACTION {}", "ROLLBACK TRANSACTION {}", ""),
    "oracle": ("SAVEPOINT {}", "ROLLBACK TO SAVEPOINT {}", ""),
}
_STANDARD = ("SAVEPOINT {}", "ROLLBACK TO SAVEPOINT {}", "RELEASE SAVEPOINT {}")


class Generic(TupleFlavor):
    name = "sql"
    mark = _MARK
    settles = ""
    consistent = False
    batch = 500

    def prepare(self, connection: Connection) -> None:
        """Drivers begin a transaction by themselves."""

    # -- statements --------------------------------------------------------------------------

    def quote(self, name: str) -> str:
        return str(self.engine.dialect.identifier_preparer.quote_identifier(name))

    def _styled(self, sql: str) -> str:
        pieces = sql.split(_MARK)
        return pieces[0] + "".join(
            self._parameter(n) + piece for n, piece in enumerate(pieces[1:], 1)
        )

    def _parameter(self, n: int) -> str:
        match self.engine.dialect.paramstyle:
            case "qmark":
                return "?"
            case "format":
                return "%s"
            case "pyformat":
                return f"%(p{n})s"
            case "named":
                return f":p{n}"
            case _:
                return f":{n}"

    def bound(self, params: Sequence[Any]) -> Any:
        if self.engine.dialect.paramstyle in ("pyformat", "named"):
            return {f"p{n}": value for n, value in enumerate(params, 1)}
        return tuple(params)

    def rows(
        self, connection: Connection, sql: str, params: Sequence[Any] = ()
    ) -> list[tuple[Any, ...]]:
        return super().rows(connection, self._styled(sql), params)

    def run(self, connection: Connection, sql: str, params: Sequence[Any] = ()) -> int:
        return super().run(connection, self._styled(sql), params)

    def run_many(self, connection: Connection, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        cursor = connection.cursor()
        try:
            cursor.executemany(self._styled(sql), [self.bound(row) for row in rows])
        finally:
            cursor.close()

    def begin_read(self, connection: Connection) -> None:
        connection.rollback()

    def begin_write(self, connection: Connection) -> None:
        connection.rollback()

    def commit(self, connection: Connection) -> None:
        connection.commit()

    def rollback(self, connection: Connection) -> None:
        connection.rollback()

    def _savepoint_words(self, step: int, connection: Connection, name: str) -> None:
        words = _SAVEPOINTS.get(self.engine.dialect.name, _STANDARD)[step]
        if words:
            self.command(connection, words.format(name))

    def savepoint(self, connection: Connection, name: str) -> None:
        self._savepoint_words(0, connection, name)

    def rollback_to(self, connection: Connection, name: str) -> None:
        self._savepoint_words(1, connection, name)

    def release(self, connection: Connection, name: str) -> None:
        self._savepoint_words(2, connection, name)

    def classify(self, exc: BaseException) -> Fault | None:
        dialect = self.engine.dialect
        driver: Any = dialect.dbapi
        if not isinstance(exc, driver.Error):
            return None
        text = one_line(str(exc))
        low = text.lower()
        if dialect.is_disconnect(exc, None, None):
            return Fault(FaultKind.DOWN, text)
        if isinstance(exc, driver.IntegrityError):
            unique = "unique" in low or "duplicate" in low
            return Fault(FaultKind.REFUSED, text, unique=unique, foreign="foreign key" in low)
        if isinstance(exc, driver.OperationalError):
            again = "deadlock" in low or "locked" in low or "lock wait" in low
            absent = "no such table" in low or "does not exist" in low
            kind = FaultKind.AGAIN if again else FaultKind.OBJECT if absent else FaultKind.DOWN
            return Fault(kind, text)
        return Fault(FaultKind.REFUSED, text)

    # -- what is there -----------------------------------------------------------------------

    def identity(self) -> str:
        """The address: there is no common way to ask a database for its name."""
        url = self.options.url
        return f"{url.get_backend_name()}:{url.host or ''}:{url.port or ''}:{url.database or ''}"

    def tables(self) -> list[tuple[str, TableRef, bool]]:
        schema = self.options.schema
        with self.border("listing the tables"), self.engine.connect() as connection:
            inspector = sa.inspect(connection)
            tables = sorted(inspector.get_table_names(schema))
            views = sorted(inspector.get_view_names(schema))
        own = ("syncd_receipts", "syncd_state")
        found = [(n, TableRef(schema, n), False) for n in tables if n not in own]
        return found + [(n, TableRef(schema, n), True) for n in views]

    # -- reading -----------------------------------------------------------------------------

    def ordered(self, layout: Layout) -> str:
        return ", ".join(self.quote(name) for name in layout.key)

    def decoder(self, column: Column) -> Callable[[Any], Any]:
        return _decoder(column)

    def stream(
        self, connection: Connection, layout: Layout, sql: str, keys_only: bool
    ) -> Generator[tuple[list[str], list[bytes]], None, None]:
        maker = self.row_maker(layout)
        staged = sqlite3.connect("")  # a temporary file of SQLite's own
        cursor = connection.cursor()
        try:
            staged.execute("CREATE TABLE rows (key TEXT, raw BLOB)")
            cursor.execute(self._styled(sql.rpartition(" ORDER BY ")[0]))
            while rows := cursor.fetchmany(BLOCK):
                texts = [tuple(map(_json_ready, row)) for row in rows]
                keys, raws = tuples.block(layout, maker, texts, keys_only)
                staged.executemany("INSERT INTO rows VALUES (?, ?)", zip(keys, raws, strict=True))
            found = staged.execute("SELECT key, raw FROM rows ORDER BY key, raw")
            while block := found.fetchmany(BLOCK):
                yield [key for key, _ in block], [raw for _, raw in block]
        finally:
            cursor.close()
            staged.close()

    def fetch(
        self, connection: Connection, layout: Layout, keys: Sequence[Parts], lock: bool
    ) -> list[bytes]:
        raws: list[bytes] = []
        for some in chunks(sorted(keys), _AT_ONCE):
            where = " OR ".join([f"({self.where_equal(layout, layout.key)})"] * len(some))
            params = [part for key in some for part in key]
            raws += self._raws(connection, layout, where, params, lock)
        return raws

    def _raws(
        self, connection: Connection, layout: Layout, where: str, params: Sequence[Any], lock: bool
    ) -> list[bytes]:
        hint = " WITH (UPDLOCK, ROWLOCK)" if lock and self.engine.dialect.name == "mssql" else ""
        end = " FOR UPDATE" if lock and self.engine.dialect.name not in ("mssql", "sqlite") else ""
        table = self.table(layout.ref)
        sql = f"SELECT {self.selected(layout)} FROM {table}{hint} WHERE {where}{end}"
        return [
            tuples.pack([_json_ready(value) for value in row])
            for row in self.rows(connection, sql, params)
        ]

    def select_raws(
        self, connection: Connection, layout: Layout, where: str, params: Sequence[Any]
    ) -> list[bytes]:
        return self._raws(connection, layout, where, params, lock=False)

    def bind(self, value: Native, column: Column) -> Any:
        if column.family == "json" or isinstance(value, dict | list):
            return None if value is None else json_text(value)
        if self.engine.dialect.name == "sqlite" and isinstance(value, Decimal):
            return str(value)
        return value

    def key_text(self, value: Native, column: Column) -> str:
        return to_text(value) or ""

    # -- writing -----------------------------------------------------------------------------

    def insert(
        self,
        connection: Connection,
        layout: Layout,
        columns: Sequence[str],
        rows: Sequence[Sequence[Native]],
        keys: Sequence[Parts] | None,
    ) -> list[bytes]:
        if keys is None and len(rows) > 1:
            raise Uncorrelated
        names = ", ".join(map(self.quote, columns))
        marks = ", ".join([_MARK] * len(columns))
        sql = f"INSERT INTO {self.table(layout.ref)} ({names}) VALUES ({marks})"
        bound = self.bound_rows(layout, columns, rows)
        self.run_many(connection, sql, bound)
        if keys is None:
            return [self._newest(connection, layout, columns, bound[0])]
        maker = self.row_maker(layout)
        found = self.fetch(connection, layout, keys, lock=True)
        by_key = {maker.row_parts(raw): raw for raw in found}
        if set(by_key) != set(keys):
            raise Refused("the new row is not there under its key: a trigger changes it")
        return [by_key[key] for key in keys]

    def _newest(
        self, connection: Connection, layout: Layout, columns: Sequence[str], row: Sequence[Any]
    ) -> bytes:
        """The row just inserted: of those with its values, the one with the highest key."""
        given = [(name, value) for name, value in zip(columns, row, strict=True)]
        where = " AND ".join(
            f"{self.quote(n)} IS NULL" if v is None else f"{self.quote(n)} = {_MARK}"
            for n, v in given
        )
        params = [value for _, value in given if value is not None]
        raws = self._raws(connection, layout, where, params, lock=False)
        if not raws:
            raise Refused("the new row is not to be found: a trigger changes its values")
        return max(raws, key=self.row_maker(layout).key)

    def update(
        self,
        connection: Connection,
        layout: Layout,
        columns: Sequence[str],
        rows: Sequence[Sequence[Native]],
        keys: Sequence[Parts],
    ) -> list[bytes | None]:
        setting = ", ".join(f"{self.quote(name)} = {_MARK}" for name in columns)
        sql = (
            f"UPDATE {self.table(layout.ref)} SET {setting} "
            f"WHERE {self.where_equal(layout, layout.key)}"
        )
        bound = self.bound_rows(layout, columns, rows)
        both = [[*values, *key] for values, key in zip(bound, keys, strict=True)]
        self.run_many(connection, sql, both)
        now = moved_keys(self, layout, columns, rows, keys)
        maker = self.row_maker(layout)
        found = self.fetch(connection, layout, now, lock=True)
        by_key = {maker.row_parts(raw): raw for raw in found}
        return [by_key.get(key) for key in now]

    def delete(self, connection: Connection, layout: Layout, keys: Sequence[Parts]) -> None:
        sql = f"DELETE FROM {self.table(layout.ref)} WHERE {self.where_equal(layout, layout.key)}"
        self.run_many(connection, sql, [list(key) for key in keys])

    def ended(self, connection: Connection, token: str | None) -> bool | None:
        return None


def _json_ready(value: Any) -> Any:
    """As JSON holds it without loss; everything but numbers, texts and bytes as text."""
    if value is None or isinstance(value, str | int | float | bytes):
        return value
    return to_text(value)


def _decoder(column: Column) -> Callable[[Any], Any]:
    parse = parser(column)
    if column.family in ("integer", "decimal", "boolean", "date", "datetime", "time", "uuid"):
        return lambda value: parse(str(value)) if not isinstance(value, bytes) else value
    return lambda value: parse(value) if isinstance(value, str) else value
