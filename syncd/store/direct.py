"""Connections to a SQLite store that go straight to the driver with what they are asked again.

SQLite answers most of what a run asks within microseconds. What SQLAlchemy does around a statement
and a transaction (an execution context, a result, a way through its pool) takes ten times as long,
and a run of a single record, as a webhook starts it, is little else. So a statement that is asked
for a second time is kept as text, with what its values go through; SQLAlchemy still writes all of
them. PostgreSQL answers over a wire, where this is not worth another way.
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from operator import itemgetter
from types import TracebackType
from typing import Any, cast
from weakref import ref

from sqlalchemy import Connection, CursorResult, Engine
from sqlalchemy.exc import DBAPIError, MultipleResultsFound, NoResultFound
from sqlalchemy.sql.compiler import SQLCompiler

Process = Callable[[Any], Any]
Make = Callable[[Sequence[Any]], Any]


class Kept:
    """Connections of one engine. Those to SQLite stay open from one transaction to the next;
    PostgreSQL's go back to the pool, which asks whether they are still alive."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kind = Direct if engine.dialect.name == "sqlite" else Connection
        self._idle: list[Connection] = []

    @contextmanager
    def lent(self) -> Iterator[Connection]:
        """For one transaction; where that went wrong, the connection is closed."""
        conn = self._idle.pop() if self._idle else self._kind(self._engine)
        try:
            yield conn
        except BaseException:
            conn.close()
            raise
        if self._kind is Direct:
            self._idle.append(conn)
        else:
            conn.close()

    def close(self) -> None:
        """Those that nobody uses."""
        while self._idle:
            self._idle.pop().close()


class Direct(Connection):
    """A Connection of SQLAlchemy with a short way for statements that it has seen before."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._driver: Any = self.connection.driver_connection

    def execute(
        self, statement: Any, parameters: Any = None, *, execution_options: Any = None
    ) -> CursorResult[Any]:
        plan = self._plan(statement, parameters)
        if plan is None:
            return super().execute(statement, parameters, execution_options=execution_options)
        return plan.answer(self._ask(plan.sql, plan.values(parameters or {})))

    def exec_driver_sql(
        self, statement: str, parameters: Any = None, execution_options: Any = None
    ) -> CursorResult[Any]:
        # With rows: a write of many. Whatever else asks so may be SQLAlchemy itself.
        if not isinstance(parameters, list) or not self._is_short:
            return super().exec_driver_sql(statement, parameters, execution_options)
        return cast("CursorResult[Any]", Answer(self._ask(statement, parameters), _row))

    @property
    def _is_short(self) -> bool:
        """Whoever listens to statements hears them by SQLAlchemy, which also begins a transaction
        where there is none."""
        return self.in_transaction() and not (self._has_events or self.engine._has_events)

    def _plan(self, statement: Any, parameters: Any) -> _Plan | None:
        if not self._is_short or not (parameters is None or isinstance(parameters, dict)):
            return None
        known = _PLANS.get(id(statement))
        if known is None:
            # Most of those made for one question are never asked again.
            _note(statement)
            return None
        plans, names = known[1], tuple(parameters) if parameters else ()
        if names not in plans:
            plans[names] = _plan(self, statement, names)
        return plans[names]

    def _ask(self, sql: str, values: Sequence[Any]) -> sqlite3.Cursor:
        try:
            ask = self._driver.executemany if isinstance(values, list) else self._driver.execute
            cursor: sqlite3.Cursor = ask(sql, values)
        except sqlite3.Error as error:
            raise DBAPIError.instance(
                sql, None, error, sqlite3.Error, hide_parameters=True, dialect=self.dialect
            ) from error
        return cursor


class _Plan:
    """One statement as text. takes: (name, its value where none is given, what makes a value one
    of the driver's), in order; shows: what makes the driver's values ours, by column."""

    def __init__(
        self,
        sql: str,
        takes: Sequence[tuple[str, Any, Process | None]],
        shows: Sequence[tuple[int, Process]],
        names: Sequence[str],
    ) -> None:
        self.sql = sql
        self._shows = shows
        self._make: Make | None = None
        self.values = _picker(takes, names)

    def answer(self, cursor: sqlite3.Cursor) -> CursorResult[Any]:
        if self._make is None:
            self._make = self._maker([name for name, *_ in cursor.description or ()])
        return cast("CursorResult[Any]", Answer(cursor, self._make))

    def _maker(self, names: Sequence[str]) -> Make:
        row = partial(tuple.__new__, namedtuple("Row", names, rename=True))
        if not self._shows:
            return row

        def make(values: Sequence[Any]) -> Any:
            shown = list(values)
            for place, process in self._shows:
                shown[place] = process(shown[place])
            return row(shown)

        return make


def _picker(
    takes: Sequence[tuple[str, Any, Process | None]], names: Sequence[str]
) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """What makes the values that were given under these names those of the driver, in order."""
    if len(takes) > 1 and all(name in names and process is None for name, _, process in takes):
        return itemgetter(*(name for name, _, _ in takes))

    def pick(given: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(
            [
                given.get(name, value) if process is None else process(given.get(name, value))
                for name, value, process in takes
            ]
        )

    return pick


# By statement, as long as there is one, then by the names of the values given: they decide what an
# INSERT or UPDATE says. (By its id: a WeakKeyDictionary takes as long as a small statement.)
_PLANS: dict[int, tuple[ref[Any], dict[tuple[str, ...], _Plan | None]]] = {}


def _note(statement: Any) -> None:
    here = id(statement)
    _PLANS[here] = ref(statement, lambda _: _PLANS.pop(here, None)), {}


def _plan(conn: Connection, statement: Any, names: tuple[str, ...]) -> _Plan | None:
    """None where SQLAlchemy has to do more than to write the statement."""
    dialect = conn.dialect
    made = statement.compile(dialect=dialect, column_keys=list(names))
    if (
        not isinstance(made, SQLCompiler)
        or made.post_compile_params
        or made.literal_execute_params
        or made.insert_prefetch
        or made.update_prefetch
    ):
        return None
    takes = []
    for name in made.positiontup or ():
        bind = made.binds[name]
        given = bind.key if bind.key in names else name
        if bind.required and given not in names:
            return None
        kind = bind.type.dialect_impl(dialect)
        value = None if bind.required else bind.effective_value
        takes.append((given, value, kind.bind_processor(dialect)))
    shows = []
    for place, column in enumerate(made._result_columns):
        process = column.type.dialect_impl(dialect).result_processor(dialect, None)
        if process is not None:
            shows.append((place, process))
    return _Plan(str(made), takes, shows, names)


def _row(values: Sequence[Any]) -> Any:
    return values


class Answer:
    """What the store's modules use of SQLAlchemy's result. Rows are read as they are asked for."""

    __slots__ = ("_cursor", "_make")

    def __init__(self, cursor: sqlite3.Cursor, make: Make) -> None:
        self._cursor, self._make = cursor, make

    def __enter__(self) -> Answer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._cursor.close()

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount

    def __iter__(self) -> Iterator[Any]:
        return map(self._make, self._cursor)

    def all(self) -> list[Any]:
        return list(map(self._make, self._cursor.fetchall()))

    def first(self) -> Any:
        values = self._cursor.fetchone()
        self._cursor.close()  # a row left unread would hold on to this moment of the store
        return None if values is None else self._make(values)

    def one(self) -> Any:
        rows = self._cursor.fetchmany(2)
        self._cursor.close()
        if len(rows) != 1:
            raise MultipleResultsFound if rows else NoResultFound
        return self._make(rows[0])

    def scalar(self) -> Any:
        row = self.first()
        return None if row is None else row[0]

    def scalar_one(self) -> Any:
        return self.one()[0]

    def scalars(self) -> Answer:
        make = self._make
        return Answer(self._cursor, lambda values: make(values)[0])

    def partitions(self, size: int) -> Iterator[list[Any]]:
        while rows := self._cursor.fetchmany(size):
            yield list(map(self._make, rows))
