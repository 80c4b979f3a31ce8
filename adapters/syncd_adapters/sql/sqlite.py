"""SQLite, over the standard library's driver, on a file that must already be there."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import quote as percent

from syncd.adapter import Column, Native
from syncd_adapters.sql import tuples
from syncd_adapters.sql.faults import Fault, FaultKind, Refused, one_line
from syncd_adapters.sql.flavor import BLOCK, Connection, chunks
from syncd_adapters.sql.keyparts import moved_keys
from syncd_adapters.sql.layout import Layout, Part, Parts, TableRef
from syncd_adapters.sql.textual import PARSERS, json_text, to_text
from syncd_adapters.sql.tokens import made_range, read_range
from syncd_adapters.sql.tuple_flavor import TupleFlavor

_AT_ONCE = 400  # keys in one statement: SQLite allows 999 parameters in old builds
_PATIENCE = 20.0  # seconds for the lock of another writer, at most
_DECLARED = {
    "UUID": "uuid",
    "GUID": "uuid",
    "JSON": "json",
    "JSONB": "json",
    "BOOL": "boolean",
    "STRING": "text",
    "TIMESTAMPTZ": "datetime",
}
_FILE_HINTS = {
    "SQLITE_CANTOPEN": "see that the file is there (a relative path begins beside the config) and "
    "that this user may read and write it and its folder",
    "SQLITE_READONLY": "let this user write the file and its folder",
    "SQLITE_FULL": "free disk space; the run retries",
    "SQLITE_NOTADB": "see the path: this file is something else, or was overwritten",
}
_SPECIAL = ("syncd_receipts", "syncd_state", "sqlite_sequence")
# A word of CREATE TABLE, where names in quotes, texts and comments are left out
_AUTOINCREMENT = re.compile(r"\bAUTOINCREMENT\b", re.IGNORECASE)
_ASIDE = re.compile(r"""'[^']*'|"[^"]*"|`[^`]*`|\[[^\]]*\]|--[^\n]*|/\*.*?\*/""", re.DOTALL)


class Sqlite(TupleFlavor):
    name = "sqlite"
    mark = "?"

    def engine_options(self) -> dict[str, Any]:
        path = str(self.options.url.database)
        address = f"file:{percent(path)}?mode=rw"  # never creates an empty file

        patience = min(_PATIENCE, self.options.timeout)

        def connect() -> sqlite3.Connection:
            return sqlite3.connect(address, uri=True, timeout=patience, check_same_thread=False)

        # Closed after use: an idle handle would keep a replaced file open.
        return {"creator": connect, "pool_size": 4, "max_overflow": 12, "pool_timeout": 30}

    def prepare(self, connection: Connection) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")

    def quote(self, name: str) -> str:
        """In backticks: a name in double quotes that is not there, SQLite reads as a text, and a
        column that vanished would come as its own name in every row."""
        return "`" + name.replace("`", "``") + "`"

    def begin_write(self, connection: Connection) -> None:
        self.command(connection, "BEGIN IMMEDIATE")

    def rollback(self, connection: Connection) -> None:
        if connection.in_transaction:
            self.command(connection, "ROLLBACK")

    def classify(self, exc: BaseException) -> Fault | None:
        if not isinstance(exc, sqlite3.Error):
            return Fault(FaultKind.REFUSED, str(exc)) if isinstance(exc, OverflowError) else None
        name = getattr(exc, "sqlite_errorname", None) or ""
        text = one_line(str(exc))
        if name.startswith("SQLITE_CONSTRAINT"):
            return Fault(
                FaultKind.REFUSED,
                text,
                unique=name.endswith(("_UNIQUE", "_PRIMARYKEY", "_ROWID")),
                foreign=name.endswith("_FOREIGNKEY"),
            )
        for start, kind in (
            ("SQLITE_BUSY", FaultKind.AGAIN),
            ("SQLITE_LOCKED", FaultKind.AGAIN),
            ("SQLITE_CANTOPEN", FaultKind.DOWN),
            ("SQLITE_IOERR", FaultKind.DOWN),
            ("SQLITE_FULL", FaultKind.DOWN),
            ("SQLITE_READONLY", FaultKind.DENIED),
            ("SQLITE_PERM", FaultKind.DENIED),
            ("SQLITE_AUTH", FaultKind.DENIED),
            ("SQLITE_CORRUPT", FaultKind.CORRUPT),
            ("SQLITE_NOTADB", FaultKind.CORRUPT),
        ):
            if name.startswith(start):
                hint = next((said for of, said in _FILE_HINTS.items() if name.startswith(of)), "")
                if hint:
                    text = f"{self.options.url.database}: {text}"
                return Fault(kind, text, hint=hint)
        if "no such table" in text:
            return Fault(FaultKind.OBJECT, text)
        if "no such column" in text or "has no column named" in text:
            return Fault(FaultKind.COLUMN, text)
        return Fault(FaultKind.REFUSED, text)

    # -- what is there -----------------------------------------------------------------------

    def identity(self) -> str:
        """The resolved path and the application id: a database file carries nothing else that
        lasts. A backup restored in its place is the same database, another file is another."""
        with self.session("asking for the database's identity") as connection:
            application = int(self.rows(connection, "PRAGMA application_id")[0][0])
        return f"sqlite:{application & 0xFFFFFFFF:08x}:{self.options.url.database}"

    def tables(self) -> list[tuple[str, TableRef, bool]]:
        sql = (
            "SELECT name, type = 'view' FROM sqlite_master WHERE type IN ('table', 'view') "
            "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY 2, 1"
        )
        with self.session("listing the tables") as connection:
            found = self.rows(connection, sql)
        return [
            (name, TableRef(None, name), bool(view)) for name, view in found if name not in _SPECIAL
        ]

    def declared(self, ref: TableRef) -> dict[str, str]:
        with self.session(f"looking at {ref.name}") as connection:
            found = self.rows(connection, f"PRAGMA table_xinfo({self.quote(ref.name)})")
        return {row[1]: row[2] for row in found}

    def uniques(self, ref: TableRef) -> set[tuple[str, ...]]:
        """From the indexes: SQLAlchemy reads constraints out of the text of CREATE TABLE."""
        sql = (
            "SELECT l.name, i.name FROM pragma_index_list(?) AS l, pragma_index_info(l.name) AS i "
            'WHERE l."unique" AND NOT l.partial ORDER BY l.seq, i.seqno'
        )
        with self.session(f"looking at {ref.name}") as connection:
            found = self.rows(connection, sql, (ref.name,))
        sets: dict[str, list[str | None]] = {}
        for index, column in found:
            sets.setdefault(index, []).append(column)
        return {tuple(str(c) for c in columns) for columns in sets.values() if None not in columns}

    def refine(self, column: Column) -> Column:
        """By the declared name, since SQLAlchemy knows SQLite's names by affinity only."""
        name = re.sub(r"\W.*", "", column.type.upper())
        found = _DECLARED.get(name)
        if found is None and column.family == "decimal" and column.digits is None:
            found = "decimal" if name in ("DECIMAL", "NUMERIC", "NUMBER", "MONEY") else "other"
        return column if found is None else replace(column, family=found)

    def keys_not_null(self, ref: TableRef) -> bool:
        return not self._nullable_key(ref)

    def _nullable_key(self, ref: TableRef) -> bool:
        """SQLite allows null in a primary key, but for rowids and WITHOUT ROWID tables."""
        key = self._key(ref)
        return not _is_rowid(key) and any(not row[3] for row in key)

    def _key(self, ref: TableRef) -> list[Any]:
        """Of the primary key, the rows of the pragma."""
        with self.session(f"looking at {ref.name}") as connection:
            found = self.rows(connection, f"PRAGMA table_xinfo({self.quote(ref.name)})")
        return [row for row in found if row[5]]

    def generates(self, ref: TableRef, schema_key: Sequence[str], columns: Any) -> bool:
        if len(schema_key) == 1 and str(columns[schema_key[0]]["type"]) == "INTEGER":
            return self._has_rowid(ref)
        return super().generates(ref, schema_key, columns)

    def _has_rowid(self, ref: TableRef) -> bool:
        with self.session(f"looking at {ref.name}") as connection:
            try:
                self.rows(connection, f"SELECT rowid FROM {self.table(ref)} LIMIT 0")
            except sqlite3.OperationalError:  # WITHOUT ROWID
                return False
        return True

    def reuses(self, ref: TableRef) -> bool:
        """A rowid is the largest there is and one, but for AUTOINCREMENT, which only the text of
        CREATE TABLE tells."""
        if not _is_rowid(self._key(ref)):
            return False
        with self.session(f"looking at {ref.name}") as connection:
            sql = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?"
            found = self.rows(connection, sql, (ref.name,))
        return bool(found) and not _AUTOINCREMENT.search(_ASIDE.sub(" ", str(found[0][0])))

    # -- reading -----------------------------------------------------------------------------

    def key_column(self, layout: Layout, name: str, prefix: str = "") -> str:
        quoted = prefix + self.quote(name)
        family = layout.column(name).family
        return quoted if family in ("integer", "text", "uuid") else f"CAST({quoted} AS TEXT)"

    def ordered(self, layout: Layout) -> str:
        return ", ".join(
            self.key_column(layout, name)
            if kind == "int"
            else f"{self.key_column(layout, name)} COLLATE BINARY"
            for name, kind in zip(layout.key, layout.kinds, strict=True)
        )

    def decoder(self, column: Column) -> Callable[[Any], Any]:
        return _decoder(column)

    def stream(
        self, connection: Connection, layout: Layout, sql: str, keys_only: bool
    ) -> Generator[tuple[list[str], list[bytes]], None, None]:
        maker, given = self.row_maker(layout), 0
        try:
            for _ in range(2):
                cursor = connection.cursor()
                try:
                    cursor.execute(sql)
                    for start in range(0, given, BLOCK):  # the same moment: the same rows again
                        cursor.fetchmany(min(BLOCK, given - start))
                    for names, raws in tuples.blocks(cursor, layout, maker, keys_only, BLOCK):
                        given += len(names)
                        yield names, raws
                    return
                except sqlite3.OperationalError as error:
                    if connection.text_factory is not str or not _undecodable(error):
                        raise
                    connection.text_factory = _as_stored
                finally:
                    cursor.close()
        finally:
            connection.text_factory = str

    def rows(
        self, connection: Connection, sql: str, params: Sequence[Any] = ()
    ) -> list[tuple[Any, ...]]:
        try:
            return super().rows(connection, sql, params)
        except sqlite3.OperationalError as error:
            if not _undecodable(error):
                raise
        connection.text_factory = _as_stored
        try:
            return super().rows(connection, sql, params)
        finally:
            connection.text_factory = str

    def fetch(
        self, connection: Connection, layout: Layout, keys: Sequence[Parts], lock: bool
    ) -> list[bytes]:
        raws: list[bytes] = []
        for some in chunks(keys, _AT_ONCE // len(layout.key)):
            raws += self.select_raws(connection, layout, *self._among(layout, some))
        return raws

    def _among(self, layout: Layout, keys: Sequence[Parts]) -> tuple[str, list[Part]]:
        """(condition, parameters) of rows with these keys, so that the key's index serves."""
        if len(layout.key) == 1:
            marks = ", ".join("?" * len(keys))
            name = self.key_column(layout, layout.key[0])
            return f"{name} IN ({marks})", [key[0] for key in keys]
        names = ", ".join(self.key_column(layout, name) for name in layout.key)
        row = "(" + ", ".join("?" * len(layout.key)) + ")"
        rows = ", ".join([row] * len(keys))
        return f"({names}) IN (VALUES {rows})", [part for key in keys for part in key]

    def select_raws(
        self, connection: Connection, layout: Layout, where: str, params: Sequence[Any]
    ) -> list[bytes]:
        return [
            tuples.pack(row)
            for row in self.rows(connection, self.read_sql(layout, where, order=False), params)
        ]

    def bind(self, value: Native, column: Column) -> Any:
        if value is None or (isinstance(value, str | bytes | float) and column.family != "json"):
            return value
        if column.family == "json" or isinstance(value, dict | list):
            return json_text(value)
        if isinstance(value, bool | int):
            return int(value) if abs(value) < 2**63 else str(value)
        if isinstance(value, Decimal):  # as text: the column's affinity makes a number where exact
            return format(value, "f")
        return to_text(value)

    def key_text(self, value: Native, column: Column) -> str:
        bound = self.bind(value, column)
        return tuples.text(bound)

    # -- writing -----------------------------------------------------------------------------

    def reserve(
        self, connection: Connection, layout: Layout, missing: Sequence[str], count: int
    ) -> list[list[Native]] | None:
        if not layout.schema.generated:
            raise Refused(f"a new record needs a value for its key column {missing[0]!r}")
        name = missing[0]
        if layout.column(name).family != "integer":
            return None
        # The write lock is held, so nobody else takes these.
        table = self.table(layout.ref)
        last = self.rows(connection, f"SELECT max({self.quote(name)}) FROM {table}")[0][0] or 0
        if self.rows(connection, "SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'"):
            used = self.rows(
                connection, "SELECT seq FROM sqlite_sequence WHERE name = ?", (layout.ref.name,)
            )
            last = max(last, used[0][0] if used else 0)
        if last + count >= 2**63:
            return None  # SQLite then looks for free ones itself
        return [list(range(max(last, 0) + 1, max(last, 0) + count + 1))]

    def insert(
        self,
        connection: Connection,
        layout: Layout,
        columns: Sequence[str],
        rows: Sequence[Sequence[Native]],
        keys: Sequence[Parts] | None,
    ) -> list[bytes]:
        names = ", ".join(map(self.quote, columns))
        marks = ", ".join("?" * len(columns))
        sql = f"INSERT INTO {self.table(layout.ref)} ({names}) VALUES ({marks})"
        bound = self.bound_rows(layout, columns, rows)
        if keys is None:
            found: list[bytes] = []
            for row in bound:
                connection.execute(sql, row)
                found += self.select_raws(connection, layout, "rowid = last_insert_rowid()", ())
        else:
            connection.executemany(sql, bound)
            found = self.fetch(connection, layout, keys, lock=True)
        if len(found) != len(rows):
            raise Refused("the database kept no row, or another key: a trigger changes the insert")
        if keys is None:
            return found
        maker = self.row_maker(layout)
        by_key = {maker.parts(tuples.split(raw)): raw for raw in found}
        return [by_key[key] for key in keys]

    def update(
        self,
        connection: Connection,
        layout: Layout,
        columns: Sequence[str],
        rows: Sequence[Sequence[Native]],
        keys: Sequence[Parts],
    ) -> list[bytes | None]:
        setting = ", ".join(f"{self.quote(name)} = ?" for name in columns)
        where = " AND ".join(f"{self.key_column(layout, name)} = ?" for name in layout.key)
        bound = self.bound_rows(layout, columns, rows)
        connection.executemany(
            f"UPDATE {self.table(layout.ref)} SET {setting} WHERE {where}",
            [(*values, *key) for values, key in zip(bound, keys, strict=True)],
        )
        now = moved_keys(self, layout, columns, rows, keys)
        maker = self.row_maker(layout)
        found = self.fetch(connection, layout, now, lock=True)
        by_key = {maker.parts(tuples.split(raw)): raw for raw in found}
        return [by_key.get(key) for key in now]

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
        return f"sqlite:{made_range(made) or ':'}"

    def ended(self, connection: Connection, token: str | None) -> bool | None:
        """The write lock is held here, so no transaction is under way; whether one with this
        token was committed its rows must tell."""
        return False if token is None else None

    def candidates(
        self, connection: Connection, layout: Layout, token: str
    ) -> list[tuple[bytes, bool]]:
        numbers = read_range(token)
        if numbers is None:
            return []
        where = f"{self.quote(layout.key[0])} BETWEEN ? AND ?"
        return [(raw, False) for raw in self.select_raws(connection, layout, where, numbers)]


def _is_rowid(key: Sequence[Any]) -> bool:
    return len(key) == 1 and str(key[0][2]).upper() == "INTEGER"


def _undecodable(error: sqlite3.Error) -> bool:
    """A text that is no UTF-8: the driver ends the whole query over it."""
    return str(error).startswith("Could not decode to UTF-8")


def _as_stored(text: bytes) -> str | bytes:
    """Such a text comes as the bytes it is, for the mapping to refuse in its own record."""
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text


def _decoder(column: Column) -> Callable[[Any], Any]:
    """What SQLite stored, which may be anything, by the column's declared family; what does not
    fit comes out as it is, for the mapping to refuse."""
    family = column.family

    def decimal(value: Any) -> Any:
        try:
            return Decimal(repr(value) if isinstance(value, float) else value)
        except (InvalidOperation, TypeError, ValueError):
            return value

    if family == "decimal":
        return decimal
    if family == "boolean":
        return lambda value: bool(value) if value in (0, 1) else value
    if family in ("date", "datetime", "time", "uuid", "json"):
        parse = PARSERS[family]
        return lambda value: parse(value) if isinstance(value, str) else value
    return lambda value: value
