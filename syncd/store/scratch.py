"""A private SQLite file that dies with its run: for what is too much for memory.

A crash loses nothing, since everything in it is derived from the systems and the store. Payloads
are pickled: only this process writes and reads them.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from syncd.errors import StoreUnwritable

BLOCK = 1000

# Nobody else opens the file, and nobody needs it after a crash.
_TUNE = """
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -4000;
PRAGMA temp_store = FILE;
"""


def prepared(schema: str) -> sqlite3.Connection:
    """An empty scratch, to be copied from."""
    made = sqlite3.connect(":memory:", check_same_thread=False)
    made.executescript(schema)
    return made


class Scratch:
    """Safe to use from several tasks; `lock` comes from the run's seams. empty: what it begins
    as, copied page by page: making the tables anew would cost a small run more than its work."""

    def __init__(
        self, folder: Path | None, lock: AbstractContextManager[Any], empty: sqlite3.Connection
    ) -> None:
        self._lock = lock
        try:
            self._file = tempfile.NamedTemporaryFile(  # noqa: SIM115
                prefix="syncd-run-", suffix=".scratch", dir=folder
            )
        except OSError as error:
            raise full(error.strerror, str(folder or "TMPDIR")) from error
        try:
            self._db = sqlite3.connect(
                self._file.name, check_same_thread=False, isolation_level=None
            )
            self._db.executescript(_TUNE)
            empty.backup(self._db)
        except sqlite3.Error as error:
            self._file.close()
            raise self._full(error) from error

    def close(self) -> None:
        self._db.close()
        self._file.close()

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> Iterator[list[Any]]:
        """Blocks of one query; other statements may run between two blocks."""
        try:
            with self._lock:
                cursor = self._db.execute(sql, values)
            while True:
                with self._lock:
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
                self._db.execute("BEGIN")
                changed = self._db.executemany(sql, rows).rowcount
                self._db.execute("COMMIT")
                return changed
        except sqlite3.Error as error:
            raise self._full(error) from error

    def _full(self, error: sqlite3.Error) -> StoreUnwritable:
        return full(error, self._file.name)


def full(why: object, where: str) -> StoreUnwritable:
    return StoreUnwritable(
        f"the scratch file of this run cannot be written: {why}",
        code="SY0439",
        where=where,
        hint="free disk space there, or point TMPDIR elsewhere; nothing was changed",
    )
