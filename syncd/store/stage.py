"""The scratch of one run: what was read and differs, who was found, what is planned.

A private SQLite file that dies with its run; a crash loses nothing, since everything in it is
derived from the systems and the store. It keeps memory flat: a first sync of a million records
passes through here in blocks. Payloads are pickled: only this process writes and reads them.
"""

from __future__ import annotations

import pickle
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

from syncd.core.model import Record
from syncd.errors import StoreError

_SCHEMA = """
CREATE TABLE seen (
    id INTEGER PRIMARY KEY, member TEXT, key TEXT, entity INTEGER, status TEXT,
    record BLOB, reason TEXT);
CREATE TABLE seen_key (rule INTEGER, hash INTEGER, seen INTEGER, entity INTEGER);
CREATE TABLE known_key (rule INTEGER, hash INTEGER, entity INTEGER);
CREATE TABLE component (root INTEGER, seen INTEGER, entity INTEGER);
CREATE TABLE unit (id INTEGER PRIMARY KEY, entity INTEGER, payload BLOB);
CREATE TABLE todo (entity INTEGER PRIMARY KEY);
CREATE TABLE blocked (entity INTEGER PRIMARY KEY);
CREATE TABLE draft (id INTEGER PRIMARY KEY, payload BLOB);
"""
_KEY_INDEX = "CREATE INDEX IF NOT EXISTS seen_key_hash ON seen_key (rule, hash, seen, entity)"
_BLOCK = 1000


class Seen(NamedTuple):
    """One record that differs from what the store knows, or is gone.

    entity  0 = unlinked
    status  seen | missing | bad (a value that cannot be represented: set aside, with `reason`) |
            unread (there is no telling)
    """

    id: int
    member: str
    key: str
    entity: int
    status: str
    record: Record | None
    reason: str


class Stage:
    """Safe to use from several tasks; `lock` comes from the run's seams."""

    def __init__(self, folder: Path | None, lock: AbstractContextManager[Any]) -> None:
        self._lock = lock
        self._file = tempfile.NamedTemporaryFile(  # noqa: SIM115
            prefix="syncd-run-", suffix=".scratch", dir=folder
        )
        try:
            self._db = sqlite3.connect(
                self._file.name, check_same_thread=False, isolation_level=None
            )
            self._db.execute("PRAGMA journal_mode = OFF")
            self._db.execute("PRAGMA synchronous = OFF")
            self._db.execute("PRAGMA cache_size = -4000")
            self._db.execute("PRAGMA temp_store = FILE")
            self._db.executescript(_SCHEMA)
        except sqlite3.Error as error:
            self._file.close()
            raise self._full(error) from error

    def close(self) -> None:
        self._db.close()
        self._file.close()

    # -- what was read -----------------------------------------------------------------------

    def add_seen(self, rows: Iterable[tuple[str, str, int, str, Record | None, str]]) -> None:
        """(member, key, entity, status, record, reason)"""
        packed = [
            (m, k, e, s, None if r is None else pickle.dumps(_flat(r), 5), why)
            for m, k, e, s, r, why in rows
        ]
        self._many(
            "INSERT INTO seen (member, key, entity, status, record, reason) VALUES (?,?,?,?,?,?)",
            packed,
        )

    def add_new(self, rows: Sequence[tuple[str, str, int, str, Record | None, str]]) -> None:
        """Those of `add_seen` whose record is not on the stage yet."""
        fresh = [
            row
            for row in rows
            if not self._run("SELECT 1 FROM seen WHERE member = ? AND key = ?", row[:2])
        ]
        self.add_seen(fresh)

    def set_bad(self, member: str, key: str) -> None:
        """A record staged before turns out to be one of several with this key."""
        self._run("UPDATE seen SET status = 'bad' WHERE member = ? AND key = ?", (member, key))

    def index_seen(self) -> None:
        self._run("CREATE INDEX IF NOT EXISTS seen_entity ON seen (entity)")

    def seen_of(self, entities: Sequence[int]) -> list[Seen]:
        marks = ",".join("?" * len(entities))
        return self._seen(f"SELECT * FROM seen WHERE entity IN ({marks}) ORDER BY id", entities)

    def seen(self, ids: Sequence[int]) -> list[Seen]:
        marks = ",".join("?" * len(ids))
        return self._seen(f"SELECT * FROM seen WHERE id IN ({marks}) ORDER BY id", ids)

    def free(self) -> Iterator[list[Seen]]:
        """Unlinked records, in blocks."""
        return self._stream("entity = 0 AND status = 'seen'")

    def linked(self) -> Iterator[list[Seen]]:
        """Linked records that changed, in blocks."""
        return self._stream("entity > 0 AND status = 'seen'")

    def unreadable(self) -> Iterator[list[Seen]]:
        """Unlinked records with a value that cannot be represented, in blocks."""
        return self._stream("entity = 0 AND status = 'bad'")

    def missing(self, member: str) -> Iterator[list[Seen]]:
        return self._stream("member = ? AND status = 'missing'", (member,))

    def doubt(self, ids: Sequence[int], reason: str) -> None:
        """Not missing after all, or not provably so: these count as not read."""
        sql = "UPDATE seen SET status = 'unread', reason = ? WHERE id = ?"
        self._many(sql, [(reason, i) for i in ids])

    def set_aside(self) -> Iterator[list[Seen]]:
        return self._stream("status = 'bad'")

    def count(self, what: str = "1") -> int:
        return int(self._run(f"SELECT count(*) FROM seen WHERE {what}")[0][0])

    def last_id(self) -> int:
        return int(self._run("SELECT coalesce(max(id), 0) FROM seen")[0][0])

    def adopt(self, ids: Sequence[int], entity: int) -> None:
        """These records belong to this entity from now on."""
        self._many("UPDATE seen SET entity = ? WHERE id = ?", [(entity, i) for i in ids])

    # -- who is who --------------------------------------------------------------------------

    def add_keys(self, rows: Iterable[tuple[int, int, int, int]]) -> None:
        """(rule, key hash, seen id or 0, entity or 0)"""
        self._many("INSERT INTO seen_key VALUES (?,?,?,?)", rows)

    def add_known_keys(self, rows: Iterable[tuple[int, int, int]]) -> None:
        """(rule, key hash, entity), set apart while the keys above are being read."""
        self._many("INSERT INTO known_key VALUES (?,?,?)", rows)

    def merge_known_keys(self) -> None:
        """Those of them that something read has, too."""
        self._run(_KEY_INDEX)
        self._run(
            "INSERT INTO seen_key SELECT rule, hash, 0, entity FROM known_key AS k WHERE EXISTS "
            "(SELECT 1 FROM seen_key AS s WHERE s.rule = k.rule AND s.hash = k.hash)"
        )

    def keys_in_order(self) -> Iterator[list[tuple[int, int, int, int]]]:
        self._run(_KEY_INDEX)
        return self._rows("SELECT rule, hash, seen, entity FROM seen_key ORDER BY 1, 2, 3, 4")

    def add_components(self, rows: Iterable[tuple[int, int, int]]) -> None:
        """(root, seen id or 0, entity or 0)"""
        self._many("INSERT INTO component VALUES (?,?,?)", rows)

    def components(self) -> Iterator[list[tuple[int, int, int]]]:
        """Ordered by root."""
        self._run("CREATE INDEX IF NOT EXISTS component_root ON component (root, seen, entity)")
        return self._rows("SELECT root, seen, entity FROM component ORDER BY 1, 2, 3")

    def add_units(self, rows: Iterable[tuple[int, Any]]) -> None:
        """(entity or 0, what linking found)"""
        packed = [(entity, pickle.dumps(payload, 5)) for entity, payload in rows]
        self._many("INSERT INTO unit (entity, payload) VALUES (?,?)", packed)

    def units(self) -> Iterator[list[Any]]:
        for block in self._rows("SELECT id, payload FROM unit ORDER BY id"):
            yield [pickle.loads(payload) for _, payload in block]

    def block(self, entities: Iterable[int]) -> None:
        """Entities in an open identity case: nothing is created for them."""
        self._many("INSERT OR IGNORE INTO blocked VALUES (?)", [(e,) for e in entities])

    def blocked(self, entities: Sequence[int]) -> set[int]:
        marks = ",".join("?" * len(entities))
        return {
            r[0]
            for r in self._run(f"SELECT entity FROM blocked WHERE entity IN ({marks})", entities)
        }

    # -- what to plan ------------------------------------------------------------------------

    def add_todo(self, entities: Iterable[int]) -> None:
        self._many("INSERT OR IGNORE INTO todo VALUES (?)", [(e,) for e in entities])

    def todo_seen(self) -> None:
        """Every linked entity with something read or missing, but those that are units."""
        self._run("INSERT OR IGNORE INTO todo SELECT DISTINCT entity FROM seen WHERE entity > 0")
        self._run("DELETE FROM todo WHERE entity IN (SELECT entity FROM unit WHERE entity > 0)")

    def todo(self) -> Iterator[list[int]]:
        for block in self._rows("SELECT entity, entity FROM todo ORDER BY 1"):
            yield [entity for _, entity in block]

    def add_drafts(self, drafts: Iterable[Any]) -> None:
        self._many(
            "INSERT INTO draft (payload) VALUES (?)", [(pickle.dumps(d, 5),) for d in drafts]
        )

    def drafts(self) -> Iterator[list[Any]]:
        for block in self._rows("SELECT id, payload FROM draft ORDER BY id"):
            yield [pickle.loads(payload) for _, payload in block]

    # -- plumbing ----------------------------------------------------------------------------

    def _stream(self, where: str, values: Sequence[Any] = ()) -> Iterator[list[Seen]]:
        last = 0
        while True:
            block = self._seen(
                f"SELECT * FROM seen WHERE id > ? AND {where} ORDER BY id LIMIT {_BLOCK}",
                (last, *values),
            )
            if not block:
                return
            yield block
            last = block[-1].id

    def _seen(self, sql: str, values: Sequence[Any]) -> list[Seen]:
        return [
            Seen(i, m, k, e, s, None if r is None else _record(k, pickle.loads(r)), why)
            for i, m, k, e, s, r, why in self._run(sql, values)
        ]

    def _rows(self, sql: str) -> Iterator[list[Any]]:
        """Blocks of one query; other statements may run between two blocks."""
        with self._lock:
            cursor = self._db.execute(sql)
        while True:
            with self._lock:
                block = cursor.fetchmany(_BLOCK)
            if not block:
                return
            yield block

    def _run(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        try:
            with self._lock:
                return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise self._full(error) from error

    def _many(self, sql: str, rows: Iterable[Any]) -> None:
        try:
            with self._lock:
                self._db.execute("BEGIN")
                self._db.executemany(sql, rows)
                self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._full(error) from error

    def _full(self, error: sqlite3.Error) -> StoreError:
        return StoreError(
            f"the scratch file of this run cannot be written: {error}",
            code="SY0439",
            where=self._file.name,
            hint="free disk space there, or point TMPDIR elsewhere; nothing was changed",
        )


def _flat(record: Record) -> tuple[Any, ...]:
    return (
        record.fields, record.version, record.modified, record.created, record.row_hash,
        record.former,
    )  # fmt: skip


def _record(key: str, flat: tuple[Any, ...]) -> Record:
    fields, version, modified, created, row_hash, former = flat
    return Record(key, fields, version, modified, created, row_hash, former)
