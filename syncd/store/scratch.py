"""What one run has to remember and nobody needs after it: too much for memory at times.

It begins in memory and moves into a private SQLite file before it is as big as what that file's
cache would hold anyway: a run of a few records never waits for a disk. A crash loses nothing, since
everything in it is derived from the systems and the store. What else than rows is kept is pickled,
but for the first few: only this process writes and reads them.
"""

from __future__ import annotations

import pickle
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path
from typing import IO, Any

from syncd.errors import StoreUnwritable

BLOCK = 1000

_CACHE = 1000  # pages of the file
_MEMORY = 500  # pages, from which on there is one
_THINGS = 500  # that are kept as they are; a block of a plan
_IDLE = 4  # scratches of runs that are over, kept for the next ones

# Nobody else opens the file, and nobody needs it after a crash.
_TUNE = f"""
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = {_CACHE};
PRAGMA temp_store = FILE;
"""
_INDEXES = "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"


class Blank:
    """Scratches of one schema as they begin: in memory, without a row. Those that stayed there are
    emptied and used again, for making the tables and reading the statements anew would cost a
    small run more than its work."""

    def __init__(self, schema: str) -> None:
        self._made = _connected(":memory:")
        self._made.executescript(schema)
        tables = "SELECT name FROM sqlite_master WHERE type = 'table'"
        self._tables = [name for (name,) in self._made.execute(tables)]
        self.indexes = {name for (name,) in self._made.execute(_INDEXES)}
        self._idle: list[sqlite3.Connection] = []

    def take(self) -> sqlite3.Connection:
        try:
            return self._idle.pop()
        except IndexError:
            fresh = _connected(":memory:")
            self._made.backup(fresh)
            fresh.execute("BEGIN")
            return fresh

    def give(self, used: sqlite3.Connection) -> None:
        """Back, by the last one who has it."""
        if len(self._idle) < _IDLE:
            for name in self._tables:
                used.execute(f"DELETE FROM {name}")
            self._idle.append(used)
        else:
            used.close()


class Scratch:
    """Safe to use from several tasks; `lock` comes from the run's seams. blank: what it begins as;
    folder: of its file, if it comes to need one.

    There is one transaction, which never ends: nothing here is to be safe from a crash.
    """

    def __init__(
        self, folder: Path | None, lock: AbstractContextManager[Any], blank: Blank
    ) -> None:
        self._folder, self._lock, self._blank = folder, lock, blank
        self._db = blank.take()
        self._file: IO[bytes] | None = None
        self._indexes: set[str] = set()
        self._things: dict[int, Any] = {}
        self._marks = count()
        self._closed = False

    def close(self) -> None:
        with self._lock:
            used, self._db, self._closed = self._db, _CLOSED, True
            if self._file is None:
                self._blank.give(used)
            else:
                used.close()
                self._file.close()

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> Iterator[list[Any]]:
        """Blocks of one query; other statements may run between two blocks. What they add to the
        tables it reads is seen or not."""
        try:
            with self._lock:
                cursor = self._db.execute(sql, values)
            while True:
                with self._lock:
                    if self._closed:
                        raise sqlite3.ProgrammingError("the run is over")
                    block = cursor.fetchmany(BLOCK)
                if not block:
                    return
                yield block
        except sqlite3.Error as error:
            raise self._full(error) from error

    def _run(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        try:
            with self._lock:
                return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise self._full(error) from error

    def _many(self, sql: str, rows: Iterable[Any]) -> int:
        """Answers how many rows it changed."""
        try:
            with self._lock:
                changed = self._db.executemany(sql, rows).rowcount
                if self._file is None:
                    (pages,) = self._db.execute("PRAGMA page_count").fetchone()
                    if pages > _MEMORY:
                        self._spill()
                return changed
        except sqlite3.Error as error:
            raise self._full(error) from error

    def _index(self, name: str, on: str) -> None:
        """Made when it is first needed: after the many rows, not with each of them."""
        if name not in self._indexes:
            self._indexes.add(name)
            self._run(f"CREATE INDEX IF NOT EXISTS {name} ON {on}")

    def _keep(self, thing: Any) -> int | bytes:
        """What a column holds of something that is no value of SQLite's."""
        mark = next(self._marks)
        if mark >= _THINGS:
            return pickle.dumps(thing, 5)
        self._things[mark] = thing
        return mark

    def _kept(self, mark: int | bytes) -> Any:
        return self._things[mark] if isinstance(mark, int) else pickle.loads(mark)

    def _spill(self) -> None:
        """From memory into the file. Queries that are being read go on with what they see, which
        stays until they are through."""
        try:
            file = tempfile.NamedTemporaryFile(  # noqa: SIM115
                prefix="syncd-run-", suffix=".scratch", dir=self._folder
            )
        except OSError as error:
            raise full(error.strerror, str(self._folder or "TMPDIR")) from error
        self._file = file
        there = _connected(file.name)
        self._db.execute("COMMIT")
        self._db.backup(there)
        # An earlier run may have needed more of them.
        for (name,) in there.execute(_INDEXES).fetchall():
            if name not in self._blank.indexes and name not in self._indexes:
                there.execute(f"DROP INDEX {name}")
        there.execute("BEGIN")
        self._db = there

    def _full(self, error: sqlite3.Error) -> StoreUnwritable:
        return full(error, self._file.name if self._file else str(self._folder or "TMPDIR"))


def _connected(name: str) -> sqlite3.Connection:
    made = sqlite3.connect(name, check_same_thread=False, isolation_level=None)
    made.executescript(_TUNE)
    return made


_CLOSED = sqlite3.connect(":memory:", check_same_thread=False)
_CLOSED.close()


def full(why: object, where: str) -> StoreUnwritable:
    return StoreUnwritable(
        f"the scratch file of this run cannot be written: {why}",
        code="SY0439",
        where=where,
        hint="free disk space there, or point TMPDIR elsewhere; nothing was changed",
    )
