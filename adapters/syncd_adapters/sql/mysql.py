"""MySQL and MariaDB: rows read as the server's text, written by multi-row statements."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pymysql  # type: ignore[import-untyped]
from pymysql.constants import ER  # type: ignore[import-untyped]
from pymysql.cursors import SSCursor  # type: ignore[import-untyped]

from syncd.adapter import Column, Native
from syncd_adapters.sql import tuples
from syncd_adapters.sql.faults import Refused, Uncorrelated
from syncd_adapters.sql.flavor import BLOCK, Connection, chunks
from syncd_adapters.sql.keyparts import moved_keys
from syncd_adapters.sql.layout import Layout, Parts
from syncd_adapters.sql.mysql_server import MySqlServer
from syncd_adapters.sql.textual import json_text, parser, to_text
from syncd_adapters.sql.tokens import made_range, read_range

_AT_ONCE = 500
_STATEMENT = 2_000_000  # characters of values in one statement; servers allow 16 MB or more
_BATCH = "syncd_batch"
# no right to temporary tables; not allowed in a transaction there; needs another form there
_NO_STAGE = (ER.DBACCESS_DENIED_ERROR, ER.SPECIFIC_ACCESS_DENIED_ERROR, 1142, 1786, 1787)


class MySql(MySqlServer):
    # -- reading -----------------------------------------------------------------------------

    def key_column(self, layout: Layout, name: str, prefix: str = "") -> str:
        column = layout.column(name)
        quoted = prefix + self.quote(name)
        if column.family == "bytes":
            return f"LOWER(HEX({quoted}))"
        plain = column.family == "text" or layout.kinds[layout.key.index(name)] == "int"
        return quoted if plain else f"CAST({quoted} AS CHAR)"

    def _key_mark(self, layout: Layout, name: str) -> str:
        return "UNHEX(%s)" if layout.column(name).family == "bytes" else "%s"

    def ordered(self, layout: Layout) -> str:
        # a binary collation would still pad with blanks: only bytes compare as bytes
        return ", ".join(
            self.key_column(layout, name)
            if kind == "int"
            else f"CAST(CONVERT({self.key_column(layout, name)} USING utf8mb4) AS BINARY)"
            for name, kind in zip(layout.key, layout.kinds, strict=True)
        )

    def decoder(self, column: Column) -> Callable[[Any], Any]:
        return _decoder(column)

    def stream(
        self, connection: Connection, layout: Layout, sql: str, keys_only: bool
    ) -> Generator[tuple[list[str], list[bytes]], None, None]:
        cursor = connection.cursor(SSCursor)
        done = False
        try:
            cursor.execute(sql, ())
            yield from tuples.blocks(cursor, layout, self.row_maker(layout), keys_only, BLOCK)
            done = True
        finally:
            if done:
                cursor.close()
            elif connection.open:  # else the driver would read all the rest before going on
                cursor._result = None
                connection._result = None
                connection._force_close()

    def fetch(
        self, connection: Connection, layout: Layout, keys: Sequence[Parts], lock: bool
    ) -> list[bytes]:
        raws: list[bytes] = []
        for some in chunks(sorted(keys), _AT_ONCE // len(layout.key)):
            where, params = self._among(layout, some)
            raws += self._raws(connection, layout, where, params, lock)
        return raws

    def _among(self, layout: Layout, keys: Sequence[Parts]) -> tuple[str, list[Any]]:
        params = [part for key in keys for part in key]
        if len(layout.key) == 1:
            name = layout.key[0]
            marks = ", ".join([self._key_mark(layout, name)] * len(keys))
            return f"{self.quote(name)} IN ({marks})", params
        return "(" + " OR ".join([f"({self._on_marks(layout)})"] * len(keys)) + ")", params

    def _on_marks(self, layout: Layout) -> str:
        return " AND ".join(
            f"{self.quote(name)} = {self._key_mark(layout, name)}" for name in layout.key
        )

    def _raws(
        self, connection: Connection, layout: Layout, where: str, params: Sequence[Any], lock: bool
    ) -> list[bytes]:
        sql = self.read_sql(layout, where, order=False) + (" FOR UPDATE" if lock else "")
        return [tuples.pack(row) for row in self.rows(connection, sql, params)]

    def select_raws(
        self, connection: Connection, layout: Layout, where: str, params: Sequence[Any]
    ) -> list[bytes]:
        return self._raws(connection, layout, where, params, lock=False)

    def bind(self, value: Native, column: Column) -> Any:
        if value is None:
            return None
        if column.family == "json" or isinstance(value, dict | list):
            return json_text(value)
        if isinstance(value, bool):
            return int(value)
        if isinstance(value, datetime):
            if value.tzinfo is not None:  # the session's zone is UTC
                value = value.astimezone(UTC).replace(tzinfo=None)
            return value.isoformat(" ")
        if isinstance(value, str | bytes | int | Decimal | float):
            return value
        return to_text(value, column)

    def key_text(self, value: Native, column: Column) -> str:
        if column.family == "bytes" and isinstance(value, bytes):
            return value.hex()
        return str(self.bind(value, column))

    # -- writing -----------------------------------------------------------------------------

    def reserve(
        self, connection: Connection, layout: Layout, missing: Sequence[str], count: int
    ) -> list[list[Native]] | None:
        columns = self.columns(connection, layout.ref)
        found = {name: (default, extra) for name, _, default, extra in columns}
        made: list[list[Native]] = []
        for name in missing:
            if name not in found:
                return None  # the insert will say that the table is not there any more
            default, extra = found[name]
            if "auto_increment" in extra.lower():
                return None
            if default is None or default == "NULL":
                raise Refused(f"a new record needs a value for its key column {name!r}")
            expression = default.replace("%", "%%")
            sql = f"SELECT {expression}"  # once a row: the same call twice in one may be one value
            made.append([self.rows(connection, sql)[0][0] for _ in range(count)])
        return made

    def insert(
        self,
        connection: Connection,
        layout: Layout,
        columns: Sequence[str],
        rows: Sequence[Sequence[Native]],
        keys: Sequence[Parts] | None,
    ) -> list[bytes]:
        made: list[Parts] = []
        for some in self._by_size(layout, columns, rows):
            first = self._insert_rows(connection, self.table(layout.ref), columns, some)
            if keys is None:
                step = int(self.rows(connection, "SELECT @@auto_increment_increment")[0][0])
                # one statement's numbers follow each other, in the order of its rows
                made += [(first + n * step,) for n in range(len(some))]
        expected = made if keys is None else list(keys)
        found = self.fetch(connection, layout, expected, lock=True)
        maker = self.row_maker(layout)
        by_key = {maker.row_parts(raw): raw for raw in found}
        try:
            return [by_key[key] for key in expected]
        except KeyError:
            if len(rows) > 1:
                raise Uncorrelated from None
            raise Refused("the new row is not there under its key: a trigger changes it") from None

    def _by_size(
        self, layout: Layout, columns: Sequence[str], rows: Sequence[Sequence[Native]]
    ) -> Iterator[list[list[Any]]]:
        kinds = [layout.column(name) for name in columns]
        some: list[list[Any]] = []
        size = 0
        for row in rows:
            bound = [self.bind(value, kind) for value, kind in zip(row, kinds, strict=True)]
            weight = sum(len(v) if isinstance(v, str | bytes) else 20 for v in bound)
            if some and (size + weight > _STATEMENT or len(some) >= BLOCK):
                yield some
                some, size = [], 0
            some.append(bound)
            size += weight
        if some:
            yield some

    def _insert_rows(
        self,
        connection: Connection,
        table: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[Any]],
    ) -> int:
        """Inserts in one statement; returns the first number the database made."""
        names = ", ".join(map(self.quote, columns))
        row = "(" + ", ".join(["%s"] * len(columns)) + ")"
        sql = f"INSERT INTO {table} ({names}) VALUES {', '.join([row] * len(rows))}"
        with connection.cursor() as cursor:
            cursor.execute(sql, tuple(value for values in rows for value in values))
            return int(cursor.lastrowid or 0)

    def update(
        self,
        connection: Connection,
        layout: Layout,
        columns: Sequence[str],
        rows: Sequence[Sequence[Native]],
        keys: Sequence[Parts],
    ) -> list[bytes | None]:
        if len(rows) == 1 or not self._update_staged(connection, layout, columns, rows, keys):
            self._update_each(connection, layout, columns, rows, keys)
        now = moved_keys(self, layout, columns, rows, keys)
        maker = self.row_maker(layout)
        by_key = {
            maker.row_parts(raw): raw for raw in self.fetch(connection, layout, now, lock=True)
        }
        return [by_key.get(key) for key in now]

    def _update_each(
        self,
        connection: Connection,
        layout: Layout,
        columns: Sequence[str],
        rows: Sequence[Sequence[Native]],
        keys: Sequence[Parts],
    ) -> None:
        """One statement a row: for a single one, and for users without temporary tables."""
        setting = ", ".join(f"{self.quote(name)} = %s" for name in columns)
        sql = f"UPDATE {self.table(layout.ref)} SET {setting} WHERE {self._on_marks(layout)}"
        kinds = [layout.column(name) for name in columns]
        with connection.cursor() as cursor:
            for row, key in zip(rows, keys, strict=True):
                bound = [self.bind(value, kind) for value, kind in zip(row, kinds, strict=True)]
                cursor.execute(sql, (*bound, *key))

    def _update_staged(
        self,
        connection: Connection,
        layout: Layout,
        columns: Sequence[str],
        rows: Sequence[Sequence[Native]],
        keys: Sequence[Parts],
    ) -> bool:
        """All in one join with a temporary table; False where the user may not make one."""
        key = [f"{self.quote(name)} AS k{n}" for n, name in enumerate(layout.key)]
        values = [f"{self.quote(name)} AS v{n}" for n, name in enumerate(columns)]
        try:
            self.command(connection, f"DROP TEMPORARY TABLE IF EXISTS {_BATCH}")
            self.command(
                connection,
                f"CREATE TEMPORARY TABLE {_BATCH} (n INT PRIMARY KEY) AS SELECT 0 AS n, "
                f"{', '.join(key + values)} FROM {self.table(layout.ref)} LIMIT 0",
            )
        except pymysql.err.MySQLError as exc:
            if exc.args and exc.args[0] in _NO_STAGE:
                return False
            raise
        bound = self.bound_rows(layout, columns, rows)
        staged = [
            [n, *(self._staged_key(layout, i, part) for i, part in enumerate(keys[n])), *bound[n]]
            for n in range(len(rows))
        ]
        names = ["n", *(f"k{n}" for n in range(len(key))), *(f"v{n}" for n in range(len(values)))]
        for some in chunks(staged, BLOCK):
            self._insert_rows(connection, _BATCH, names, some)
        on = " AND ".join(f"t.{self.quote(name)} = b.k{n}" for n, name in enumerate(layout.key))
        setting = ", ".join(f"t.{self.quote(name)} = b.v{n}" for n, name in enumerate(columns))
        self.run(
            connection, f"UPDATE {self.table(layout.ref)} t JOIN {_BATCH} b ON {on} SET {setting}"
        )
        self.command(connection, f"DROP TEMPORARY TABLE {_BATCH}")
        return True

    @staticmethod
    def _staged_key(layout: Layout, n: int, part: Any) -> Any:
        is_bytes = layout.column(layout.key[n]).family == "bytes"
        return bytes.fromhex(part) if is_bytes else part

    def delete(self, connection: Connection, layout: Layout, keys: Sequence[Parts]) -> None:
        for some in chunks(keys, _AT_ONCE // len(layout.key)):
            where, params = self._among(layout, some)
            self.run(connection, f"DELETE FROM {self.table(layout.ref)} WHERE {where}", params)

    # -- what became of a transaction --------------------------------------------------------

    def token(
        self,
        connection: Connection,
        layout: Layout,
        written: Sequence[Parts],
        made: Sequence[Parts],
    ) -> str | None:
        return f"mysql:{made_range(made) or ':'}"

    def ended(self, connection: Connection, token: str | None) -> bool | None:
        """Its rows must tell, read under their locks: those wait for a transaction under way."""
        return False if token is None else None

    def candidates(
        self, connection: Connection, layout: Layout, token: str
    ) -> list[tuple[bytes, bool]]:
        numbers = read_range(token)
        if numbers is None:
            return []
        where = f"{self.quote(layout.key[0])} BETWEEN %s AND %s"
        return [(raw, False) for raw in self._raws(connection, layout, where, numbers, lock=True)]


def _decoder(column: Column) -> Callable[[Any], Any]:
    """Text as the server prints it → native value."""
    if column.family == "bytes":
        return lambda value: value if isinstance(value, bytes) else str(value).encode()
    if column.family == "boolean":
        return _boolean
    parse = parser(column)
    if column.family == "datetime" and column.zoned:

        def instant(text: Any) -> Any:
            value = parse(text)
            return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value

        return instant
    return lambda value: parse(value) if isinstance(value, str) else value


def _boolean(value: Any) -> Any:
    """tinyint(1), which may hold any small number, and bit(1)."""
    number = int.from_bytes(value) if isinstance(value, bytes) else int(value)
    return bool(number) if number in (0, 1) else number
