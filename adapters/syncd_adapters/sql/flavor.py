"""What differs between databases, behind one class: a `Flavor` a database kind.

Everything runs on the driver's own connections, taken from SQLAlchemy's pool, with transactions
begun and ended by hand. Statements are built with `mark` for parameters and `quote` for names, so
no name, however hostile, is ever part of the text unquoted.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from syncd.adapter import Column, Context, Native, ObjectSchema
from syncd.errors import ConfigError, SyncdError
from syncd_adapters.sql.faults import Fault, FaultKind, to_error
from syncd_adapters.sql.layout import Layout, Parts, RowMaker, TableRef
from syncd_adapters.sql.options import SqlOptions

BLOCK = 1000
Connection = Any  # a driver's connection


class Flavor(ABC):
    """One database, spoken to in its own way."""

    name: str
    mark = "%s"
    settles = "rows"  # what tells of a create whose key the database made; see `Capabilities`
    consistent = True
    key_type = "VARCHAR(64)"  # for an id in a table of our own
    batch = 1000

    def __init__(self, context: Context, options: SqlOptions) -> None:
        self.context = context
        self.system = context.system
        self.options = options
        self.engine = self._engine()

    # -- connections -------------------------------------------------------------------------

    def _engine(self) -> Engine:
        try:
            engine = sa.create_engine(self.options.url, **self.engine_options())
        except (sa.exc.NoSuchModuleError, ImportError):
            raise ConfigError(
                f"no driver for {self.options.url.drivername!r} is installed",
                code="SY0183",
                where=f"systems.{self.system}.url",
                hint="pip install the SQLAlchemy dialect into syncd's environment",
            ) from None
        sa.event.listen(engine, "connect", lambda connection, _: self.prepare(connection))
        return engine

    def engine_options(self) -> dict[str, Any]:
        return {"pool_size": 4, "max_overflow": 12, "pool_timeout": 30, "pool_pre_ping": True}

    def prepare(self, connection: Connection) -> None:
        """Sets up a new connection so that transactions begin only where we say."""
        connection.autocommit = True

    def take(self, connection: Connection) -> None:  # noqa: B027
        """A pooled connection becomes ours for a while."""

    def give_back(self, connection: Connection) -> None:  # noqa: B027
        """It goes back to the pool, which SQLAlchemy's inspector uses too."""

    def broken(self, connection: Connection) -> bool:
        """Whether it is of no use to the next one."""
        return False

    def true_name(self, reflected: str) -> str:
        """A column's name as SQLAlchemy's inspector gives it, unescaped."""
        return reflected

    @contextmanager
    def border(self, doing: str) -> Iterator[None]:
        """Driver errors leave as errors of syncd; `doing` says at what, for the message."""
        try:
            yield
        except SyncdError:
            raise
        except Exception as exc:
            fault = self.fault(exc)
            if fault is None:
                raise
            raise to_error(fault, self.system, doing) from None

    def fault(self, exc: BaseException) -> Fault | None:
        """None for an exception that is not the database's."""
        original = getattr(exc, "orig", None)
        if isinstance(exc, sa.exc.TimeoutError):
            return Fault(FaultKind.DOWN, "all connections are in use")
        return self.classify(original if isinstance(original, Exception) else exc)

    @contextmanager
    def session(self, doing: str) -> Iterator[Connection]:
        """A pooled connection, rolled back and given back at the end; a broken one is dropped."""
        with self.border(f"cannot connect ({doing})"):
            pooled = self._pooled()
        connection = pooled.driver_connection
        self.take(connection)
        failed = True
        try:
            with self.border(doing):
                yield connection
            failed = False
        finally:
            with suppress(Exception):
                self.rollback(connection)
            self.give_back(connection)
            with suppress(Exception):
                if failed or self.broken(connection):  # a new one is cheaper than a doubt
                    pooled.invalidate()
                pooled.close()

    def _pooled(self) -> Any:
        try:
            return self.engine.raw_connection()
        except TypeError as exc:  # a driver takes the parameters behind the "?" as arguments
            unknown = next((n for n in self.options.url.query if f"'{n}'" in str(exc)), None)
            if unknown is None:
                raise
            raise ConfigError(
                f"the driver knows no parameter `{unknown}`",
                code="SY0182",
                where=f"systems.{self.system}.url",
                hint="take it out of the address, or see the driver's own name for it",
            ) from None

    def close(self) -> None:
        self.engine.dispose()

    # -- statements --------------------------------------------------------------------------

    def quote(self, name: str) -> str:
        quoted = '"' + name.replace('"', '""') + '"'
        return quoted.replace("%", "%%") if self.mark == "%s" else quoted

    def table(self, ref: TableRef) -> str:
        name = self.quote(ref.name)
        return name if ref.schema is None else f"{self.quote(ref.schema)}.{name}"

    def rows(
        self, connection: Connection, sql: str, params: Sequence[Any] = ()
    ) -> list[tuple[Any, ...]]:
        cursor = connection.cursor()
        try:
            cursor.execute(sql, self.bound(params))
            return [tuple(row) for row in cursor.fetchall()]
        finally:
            cursor.close()

    def run(self, connection: Connection, sql: str, params: Sequence[Any] = ()) -> int:
        """Executes; returns the number of rows touched."""
        cursor = connection.cursor()
        try:
            cursor.execute(sql, self.bound(params))
            return int(cursor.rowcount)
        finally:
            cursor.close()

    def bound(self, params: Sequence[Any]) -> Any:
        """Parameters as the driver takes them. Always given, so that %% is read the same way."""
        return tuple(params)

    def command(self, connection: Connection, sql: str) -> None:
        """A statement without names and parameters."""
        self.run(connection, sql)

    def begin_read(self, connection: Connection) -> None:
        self.command(connection, "BEGIN")

    def begin_lookup(self, connection: Connection) -> None:
        """For a few rows by key, as they are now."""
        self.begin_read(connection)

    def begin_write(self, connection: Connection) -> None:
        self.command(connection, "BEGIN")

    def commit(self, connection: Connection) -> None:
        self.command(connection, "COMMIT")

    def rollback(self, connection: Connection) -> None:
        self.command(connection, "ROLLBACK")

    def savepoint(self, connection: Connection, name: str) -> None:
        self.command(connection, f"SAVEPOINT {name}")

    def rollback_to(self, connection: Connection, name: str) -> None:
        self.command(connection, f"ROLLBACK TO SAVEPOINT {name}")
        self.command(connection, f"RELEASE SAVEPOINT {name}")

    def release(self, connection: Connection, name: str) -> None:
        """Also brings out what constraints put off until the commit would say."""
        self.command(connection, f"RELEASE SAVEPOINT {name}")

    # -- what differs ------------------------------------------------------------------------

    @abstractmethod
    def classify(self, exc: BaseException) -> Fault | None: ...

    @abstractmethod
    def identity(self) -> str: ...

    @abstractmethod
    def tables(self) -> list[tuple[str, TableRef, bool]]:
        """(name for the config, where it is, whether it is a view), tables first."""

    def shown(self, ref: TableRef) -> str:
        """The object's name as `tables` gives it."""
        return ref.name

    def declared(self, ref: TableRef) -> dict[str, str]:
        """The database's own words for the types of the columns."""
        return {}

    def refine(self, column: Column) -> Column:
        """A reflected column, with what only this database knows of its type."""
        return column

    def uniques(self, ref: TableRef) -> set[tuple[str, ...]] | None:
        """Unique sets of columns; None: SQLAlchemy's inspector knows them all."""
        return None

    def keys_not_null(self, ref: TableRef) -> bool:
        return True

    def system_columns(self) -> dict[str, Column]:
        """Columns every table has without showing them."""
        return {}

    def privileges(self, ref: TableRef) -> frozenset[str] | None:
        return None

    def estimate(self, ref: TableRef) -> int | None:
        return None

    def generates(self, ref: TableRef, schema_key: Sequence[str], columns: Any) -> bool:
        """Whether the database makes the key on insert; `columns` as reflected."""
        return bool(schema_key) and all(
            columns[name].get("default")
            or columns[name].get("identity")
            or columns[name].get("autoincrement") is True
            for name in schema_key
        )

    def reuses(self, ref: TableRef) -> bool:
        """Whether a key that the database made is made again once its row is deleted."""
        return False

    def transactional(self, ref: TableRef) -> bool:
        return True

    @abstractmethod
    def row_maker(self, layout: Layout) -> RowMaker: ...

    @abstractmethod
    def reader(self, layout: Layout) -> str:
        """Names how raws are built; equal raws under equal readers are equal rows."""

    @abstractmethod
    def selected(self, layout: Layout, alias: str = "") -> str:
        """The select list, `alias.` before each column."""

    @abstractmethod
    def ordered(self, layout: Layout) -> str:
        """The ORDER BY list: integers by number, text by its bytes."""

    @abstractmethod
    def stream(
        self, connection: Connection, layout: Layout, sql: str, keys_only: bool
    ) -> Generator[tuple[list[str], list[bytes]], None, None]:
        """Blocks of (keys, raws) of a select with `selected` columns."""

    def literal(self, text: str) -> str:
        """A text as an SQL literal."""
        return "'" + text.replace("'", "''") + "'"

    @abstractmethod
    def fetch(
        self, connection: Connection, layout: Layout, keys: Sequence[Parts], lock: bool
    ) -> list[bytes]:
        """Raws of the rows of these keys; `lock` keeps them for this transaction."""

    def bind(self, value: Native, column: Column) -> Any:
        """A native value as a parameter."""
        return value

    @abstractmethod
    def key_text(self, value: Native, column: Column) -> str:
        """A native value given for a text key column, as the key part reads."""

    def reserve(
        self, connection: Connection, layout: Layout, missing: Sequence[str], count: int
    ) -> list[list[Native]] | None:
        """Values for the key columns `missing`, `count` of each, column by column, that the
        database would make itself. None: it must make them, one insert at a time."""
        return None

    @abstractmethod
    def insert(
        self,
        connection: Connection,
        layout: Layout,
        columns: Sequence[str],
        rows: Sequence[Sequence[Native]],
        keys: Sequence[Parts] | None,
    ) -> list[bytes]:
        """Inserts all or raises; the rows as they then stand, in the order given. `keys` None:
        the database makes them. Raises Uncorrelated where rows cannot be told apart."""

    @abstractmethod
    def update(
        self,
        connection: Connection,
        layout: Layout,
        columns: Sequence[str],
        rows: Sequence[Sequence[Native]],
        keys: Sequence[Parts],
    ) -> list[bytes | None]:
        """Updates all or raises; the rows as they then stand, in the order given, None for one
        that is gone."""

    @abstractmethod
    def delete(self, connection: Connection, layout: Layout, keys: Sequence[Parts]) -> None: ...

    def token(
        self,
        connection: Connection,
        layout: Layout,
        written: Sequence[Parts],
        made: Sequence[Parts],
    ) -> str | None:
        """Names the transaction at hand so that `ended` can tell later what became of it.
        written: keys of the rows that stand after it; made: those the database made in it."""
        return None

    @abstractmethod
    def ended(self, connection: Connection, token: str | None) -> bool | None:
        """Whether the transaction of the token was committed; waits a bounded time for one that
        is still under way. None = its rows must tell. Raises UnderWay."""

    def candidates(
        self, connection: Connection, layout: Layout, token: str
    ) -> list[tuple[bytes, bool]]:
        """Rows that the transaction of the token may have written, and whether it is sure that
        nobody has since."""
        return []

    def where_equal(self, layout: Layout, names: Sequence[str]) -> str:
        return " AND ".join(f"{self.quote(name)} = {self.mark}" for name in names)

    def read_sql(self, layout: Layout, where: str = "", order: bool = True) -> str:
        sql = f"SELECT {self.selected(layout)} FROM {self.table(layout.ref)}"
        if where:
            sql += f" WHERE {where}"
        return f"{sql} ORDER BY {self.ordered(layout)}" if order else sql

    @abstractmethod
    def select_raws(
        self, connection: Connection, layout: Layout, where: str, params: Sequence[Any]
    ) -> list[bytes]:
        """Raws of a few rows, in no order."""


def nothing_live(schema: ObjectSchema, column: str, quoted: str) -> str:
    """The condition that a row is not marked as deleted, by the column's family."""
    family = schema.columns[column].family
    if family in ("integer", "decimal", "float"):
        return f"COALESCE({quoted}, 0) = 0"
    if family == "boolean":
        return f"({quoted} IS NULL OR NOT {quoted})"
    if family == "text":
        return f"(COALESCE({quoted}, '') IN ('', '0', 'f', 'false'))"
    return f"{quoted} IS NULL"


Chunks = Callable[[Sequence[Any], int], Iterator[Sequence[Any]]]


def chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
