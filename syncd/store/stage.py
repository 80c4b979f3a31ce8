"""The scratch of one run: what was read and differs, who was found, what is planned.

It keeps memory flat: a first sync of a million records passes through here in blocks, and sets
that may be as big (cases, approvals that wait, records that moved) lie here too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

from syncd.core.model import Record
from syncd.store.scratch import BLOCK, Blank, Scratch

_BLANK = Blank("""
CREATE TABLE seen (
    id INTEGER PRIMARY KEY, member TEXT, key TEXT, entity INTEGER, status TEXT,
    record BLOB, reason TEXT);
CREATE TABLE seen_key (rule INTEGER, hash INTEGER, seen INTEGER, entity INTEGER);
CREATE TABLE known_key (rule INTEGER, hash INTEGER, entity INTEGER);
CREATE TABLE component (root INTEGER, seen INTEGER, entity INTEGER);
CREATE TABLE node (number INTEGER PRIMARY KEY, entity INTEGER UNIQUE);
CREATE TABLE unit (id INTEGER PRIMARY KEY, entity INTEGER, payload BLOB);
CREATE UNIQUE INDEX unit_entity ON unit (entity) WHERE entity > 0;
CREATE TABLE todo (entity INTEGER PRIMARY KEY);
CREATE TABLE blocked (entity INTEGER PRIMARY KEY);
CREATE TABLE draft (id INTEGER PRIMARY KEY, payload BLOB);
CREATE TABLE sought (hash INTEGER PRIMARY KEY);
CREATE TABLE who_case (id INTEGER PRIMARY KEY, payload BLOB);
CREATE TABLE said (digest TEXT, id INTEGER, payload BLOB, PRIMARY KEY (digest, id));
CREATE TABLE used (id INTEGER PRIMARY KEY);
CREATE TABLE never (member TEXT, key TEXT, other TEXT, other_key TEXT,
    PRIMARY KEY (member, key, other, other_key)) WITHOUT ROWID;
CREATE TABLE waiting (id INTEGER PRIMARY KEY, digest TEXT, payload BLOB, fate TEXT);
CREATE INDEX waiting_digest ON waiting (digest);
CREATE TABLE stale (entity INTEGER PRIMARY KEY);
""")
_NAME_INDEX = "seen_name", "seen (member, key)"
_KEY_INDEX = "seen_key_hash", "seen_key (rule, hash, seen, entity)"


class Seen(NamedTuple):
    """One record that differs from what the store knows, or is gone.

    entity  0 = unlinked
    status  seen | missing | bad (a value that cannot be represented: set aside, with `reason`) |
            unread (there is no telling) | answered (unlinked, and no free record)
    """

    id: int
    member: str
    key: str
    entity: int
    status: str
    record: Record | None
    reason: str


class Stage(Scratch):
    """loaded: names of what was copied here from the store once; any_waiting: whether operations
    wait that are held for entities not stored yet."""

    def __init__(self, folder: Path | None, lock: AbstractContextManager[Any]) -> None:
        super().__init__(folder, lock, _BLANK)
        self.loaded: set[str] = set()
        self.any_waiting = False

    # -- what was read -----------------------------------------------------------------------

    def add_seen(self, rows: Iterable[tuple[str, str, int, str, Record | None, str]]) -> None:
        """(member, key, entity, status, record, reason)"""
        packed = [
            (m, k, e, s, None if r is None else self._keep(_flat(r)), why)
            for m, k, e, s, r, why in rows
        ]
        self._many(
            "INSERT INTO seen (member, key, entity, status, record, reason) VALUES (?,?,?,?,?,?)",
            packed,
        )

    def add_new(self, rows: Sequence[tuple[str, str, int, str, Record | None, str]]) -> None:
        """Those of `add_seen` whose record is not on the stage yet."""
        self._index(*_NAME_INDEX)
        fresh = [
            row
            for row in rows
            if not self._run("SELECT 1 FROM seen WHERE member = ? AND key = ?", row[:2])
        ]
        self.add_seen(fresh)

    def set_bad(self, member: str, key: str) -> None:
        """A record staged before turns out to be one of several with this key."""
        self._index(*_NAME_INDEX)
        self._run("UPDATE seen SET status = 'bad' WHERE member = ? AND key = ?", (member, key))

    def index_seen(self) -> None:
        self._index("seen_entity", "seen (entity)")

    def seen_of(self, entities: Sequence[int]) -> list[Seen]:
        marks = ",".join("?" * len(entities))
        return self._seen(f"SELECT * FROM seen WHERE entity IN ({marks}) ORDER BY id", entities)

    def seen(self, ids: Sequence[int]) -> list[Seen]:
        marks = ",".join("?" * len(ids))
        return self._seen(f"SELECT * FROM seen WHERE id IN ({marks}) ORDER BY id", ids)

    def free(self, but: Callable[[int], bool] | None = None) -> Iterator[list[Seen]]:
        """Unlinked records, in blocks; those whose ids `but` has are not even unpacked."""
        for block in self.free_names():
            ids = [i for i, _, _ in block if but is None or not but(i)]
            if ids:
                yield self.seen(ids)

    def free_names(self) -> Iterator[list[tuple[int, str, str]]]:
        """(id, member, key) of unlinked records, in blocks."""
        last = 0
        sql = "SELECT id, member, key FROM seen WHERE id > ? AND entity = 0 AND status = 'seen' "
        while block := self._run(f"{sql} ORDER BY id LIMIT {BLOCK}", (last,)):
            yield block
            last = block[-1][0]

    def linked(self) -> Iterator[list[Seen]]:
        """Linked records that changed, in blocks."""
        return self._stream("entity > 0 AND status = 'seen'")

    def unreadable(self) -> Iterator[list[Seen]]:
        """Unlinked records with a value that cannot be represented, in blocks."""
        return self._stream("entity = 0 AND status = 'bad'")

    def unlinked(self, member: str, key: str) -> list[Seen]:
        """As which this record was read, if it is not linked."""
        self._index(*_NAME_INDEX)
        sql = "SELECT * FROM seen WHERE member = ? AND key = ? AND entity = 0"
        return self._seen(sql, (member, key))

    def barring(self) -> Iterator[list[Seen]]:
        """Unlinked records of which nothing may be made, in blocks: unreadable ones, and those
        that were dealt with otherwise (suppressed, asked about). Each may be the same thing as
        another with its key."""
        return self._stream("entity = 0 AND status IN ('bad', 'answered')")

    def missing(self, member: str) -> Iterator[list[Seen]]:
        return self._stream("member = ? AND status = 'missing'", (member,))

    def doubt(self, ids: Sequence[int], reason: str) -> None:
        """Not missing after all, or not provably so: these count as not read."""
        sql = "UPDATE seen SET status = 'unread', reason = ? WHERE id = ?"
        self._many(sql, [(reason, i) for i in ids])

    def answer(self, ids: Iterable[int]) -> None:
        """Unlinked records that were dealt with and are no free ones any more."""
        sql = "UPDATE seen SET status = 'answered' WHERE id = ? AND entity = 0"
        self._many(sql, [(i,) for i in ids])

    def set_aside(self) -> Iterator[list[Seen]]:
        return self._stream("status = 'bad'")

    def unreadable_among(self, member: str, keys: Sequence[str]) -> set[str]:
        """Which of these are of an unlinked record with a value that cannot be represented."""
        self._index(*_NAME_INDEX)
        marks = ",".join("?" * len(keys))
        sql = "SELECT key FROM seen WHERE member = ? AND status = 'bad' AND entity = 0"
        return {r[0] for r in self._run(f"{sql} AND key IN ({marks})", (member, *keys))}

    def count(self, what: str = "1") -> int:
        return int(self._run(f"SELECT count(*) FROM seen WHERE {what}")[0][0])

    def last_id(self) -> int:
        return int(self._run("SELECT coalesce(max(id), 0) FROM seen")[0][0])

    def adopt(self, ids: Sequence[int], entity: int) -> None:
        """These records belong to this entity from now on."""
        self._many("UPDATE seen SET entity = ? WHERE id = ?", [(entity, i) for i in ids])

    # -- what is looked for ------------------------------------------------------------------

    def seek(self, hashes: Iterable[int]) -> int:
        """Match key hashes to look for; answers how many of them are new."""
        return self._many("INSERT OR IGNORE INTO sought VALUES (?)", [(h,) for h in hashes])

    def sought(self, value: int) -> bool:
        return bool(self._run("SELECT 1 FROM sought WHERE hash = ?", (value,)))

    # -- who is who --------------------------------------------------------------------------

    def add_keys(self, rows: Iterable[tuple[int, int, int, int]]) -> None:
        """(rule, key hash, seen id or 0, entity or 0)"""
        self._many("INSERT INTO seen_key VALUES (?,?,?,?)", rows)

    def add_known_keys(self, rows: Iterable[tuple[int, int, int]]) -> None:
        """(rule, key hash, entity), set apart while the keys above are being read."""
        self._many("INSERT INTO known_key VALUES (?,?,?)", rows)

    def merge_known_keys(self) -> None:
        """Those of them that something read has, too."""
        self._index(*_KEY_INDEX)
        self._run(
            "INSERT INTO seen_key SELECT rule, hash, 0, entity FROM known_key AS k WHERE EXISTS "
            "(SELECT 1 FROM seen_key AS s WHERE s.rule = k.rule AND s.hash = k.hash)"
        )

    def keyed(self, rule: int, hashes: Sequence[int]) -> list[tuple[int, int]]:
        """(seen id or 0, entity or 0) of what was read with one of these key hashes."""
        self._index(*_KEY_INDEX)
        marks = ",".join("?" * len(hashes))
        sql = f"SELECT seen, entity FROM seen_key WHERE rule = ? AND hash IN ({marks})"
        return self._run(sql, (rule, *hashes))

    def keys_in_order(self) -> Iterator[list[tuple[int, int, int, int]]]:
        self._index(*_KEY_INDEX)
        return self._rows("SELECT rule, hash, seen, entity FROM seen_key ORDER BY 1, 2, 3, 4")

    def number_entities(self) -> None:
        """Small numbers for the entities that have keys here, ascending: see `entity_nodes`."""
        self._run(
            "INSERT INTO node (entity) SELECT DISTINCT entity FROM seen_key WHERE entity > 0 "
            "ORDER BY 1"
        )

    def entity_nodes(self) -> Iterator[list[tuple[int, int]]]:
        """(number, entity), in order"""
        return self._rows("SELECT number, entity FROM node ORDER BY 1")

    def nodes_in_order(self) -> Iterator[list[tuple[int, int, int, int]]]:
        """As `keys_in_order`, with the entity's small number in its place."""
        self._index(*_KEY_INDEX)
        return self._rows(
            "SELECT k.rule, k.hash, k.seen, coalesce(n.number, 0) FROM seen_key AS k "
            "LEFT JOIN node AS n ON n.entity = k.entity "
            "ORDER BY k.rule, k.hash, k.seen, k.entity"
        )

    def add_components(self, rows: Iterable[tuple[int, int, int]]) -> None:
        """(root, seen id or 0, entity or 0)"""
        self._many("INSERT INTO component VALUES (?,?,?)", rows)

    def components(self) -> Iterator[list[tuple[int, int, int]]]:
        """Ordered by root."""
        self._index("component_root", "component (root, seen, entity)")
        return self._rows("SELECT root, seen, entity FROM component ORDER BY 1, 2, 3")

    def seen_under(self, root: int, limit: int) -> list[Seen]:
        """The first records of one component, in an order that is the same in every run."""
        return self._seen(
            "SELECT s.* FROM component AS c JOIN seen AS s ON s.id = c.seen WHERE c.root = ? "
            "ORDER BY s.member, s.key LIMIT ?",
            (root, limit),
        )

    def entities_under(self, root: int) -> Iterator[list[int]]:
        sql = "SELECT entity FROM component WHERE root = ? AND entity > 0 ORDER BY entity"
        for block in self._rows(sql, (root,)):
            yield [entity for (entity,) in block]

    def add_units(self, rows: Iterable[tuple[int, Any]]) -> None:
        """(entity or 0, what linking found); of one entity the last counts"""
        packed = [(entity, self._keep(payload)) for entity, payload in rows]
        self._many("INSERT OR REPLACE INTO unit (entity, payload) VALUES (?,?)", packed)

    def units_of(self, entities: Sequence[int]) -> list[Any]:
        marks = ",".join("?" * len(entities))
        sql = f"SELECT payload FROM unit WHERE entity IN ({marks}) AND entity > 0 ORDER BY id"
        return [self._kept(payload) for (payload,) in self._run(sql, entities)]

    def units(self) -> Iterator[list[Any]]:
        for block in self._rows("SELECT id, payload FROM unit ORDER BY id"):
            yield [self._kept(payload) for _, payload in block]

    def block(self, entities: Iterable[int]) -> None:
        """Entities in an open identity case: nothing is created for them."""
        self._many("INSERT OR IGNORE INTO blocked VALUES (?)", [(e,) for e in entities])

    def blocked(self, entities: Sequence[int]) -> set[int]:
        marks = ",".join("?" * len(entities))
        return {
            r[0]
            for r in self._run(f"SELECT entity FROM blocked WHERE entity IN ({marks})", entities)
        }

    def add_cases(self, cases: Iterable[Any]) -> None:
        """Of who is who."""
        packed = [(self._keep(case),) for case in cases]
        self._many("INSERT INTO who_case (payload) VALUES (?)", packed)

    def cases(self) -> Iterator[list[Any]]:
        for block in self._rows("SELECT id, payload FROM who_case ORDER BY id"):
            yield [self._kept(payload) for _, payload in block]

    def add_said(self, rows: Iterable[tuple[str, int, Any]]) -> None:
        """(digest of the case, id, what a person decided of it)"""
        packed = [(digest, number, self._keep(said)) for digest, number, said in rows]
        self._many("INSERT INTO said VALUES (?,?,?)", packed)

    def said(self, digest: str) -> Any | None:
        """The latest decision of a case."""
        sql = "SELECT payload FROM said WHERE digest = ? ORDER BY id DESC LIMIT 1"
        found = self._run(sql, (digest,))
        return self._kept(found[0][0]) if found else None

    def use(self, number: int) -> None:
        """This run acts on that decision."""
        self._run("INSERT OR IGNORE INTO used VALUES (?)", (number,))

    def used(self) -> Iterator[list[int]]:
        for block in self._rows("SELECT id FROM used ORDER BY id"):
            yield [number for (number,) in block]

    def add_never(self, pairs: Iterable[tuple[str, str, str, str]]) -> int:
        """(member, key, other member, its key) of records that are not the same."""
        both = [row for a, b, c, d in pairs for row in ((a, b, c, d), (c, d, a, b))]
        return self._many("INSERT OR IGNORE INTO never VALUES (?,?,?,?)", both)

    def never(self, records: Iterable[tuple[str, str]]) -> set[frozenset[tuple[str, str]]]:
        """Those pairs that one of these records is in."""
        sql = "SELECT other, other_key FROM never WHERE member = ? AND key = ?"
        return {
            frozenset((one, (other, key))) for one in records for other, key in self._run(sql, one)
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
        self._many("INSERT INTO draft (payload) VALUES (?)", [(self._keep(d),) for d in drafts])

    def drafts(self) -> Iterator[list[Any]]:
        for block in self._rows("SELECT id, payload FROM draft ORDER BY id"):
            yield [self._kept(payload) for _, payload in block]

    # -- what people were asked, and what moved ----------------------------------------------

    def add_waiting(self, rows: Iterable[tuple[str, Any]]) -> None:
        """(digest, hold item) of operations held for entities that are not stored yet."""
        packed = [(digest, self._keep(item)) for digest, item in rows]
        sql = "INSERT INTO waiting (digest, payload, fate) VALUES (?,?,'')"
        self._many(sql, packed)
        self.any_waiting = True

    def waiting(self, digest: str) -> list[Any]:
        found = self._run("SELECT payload FROM waiting WHERE digest = ? ORDER BY id", (digest,))
        return [self._kept(payload) for (payload,) in found]

    def set_fates(self, digests: Iterable[str], fate: str) -> None:
        """What this run did with those of these that wait: "run" or "held"."""
        sql = "UPDATE waiting SET fate = ? WHERE digest = ?"
        self._many(sql, [(fate, digest) for digest in digests])

    def fates(self) -> Iterator[list[tuple[Any, str]]]:
        """(hold item, "run", "held" or "" for not planned any more)"""
        for block in self._rows("SELECT payload, fate FROM waiting ORDER BY id"):
            yield [(self._kept(payload), fate) for payload, fate in block]

    def add_stale(self, entities: Iterable[int]) -> None:
        """Entities whose records moved between plan and write."""
        self._many("INSERT OR IGNORE INTO stale VALUES (?)", [(e,) for e in entities])

    def stale(self) -> Iterator[list[int]]:
        for block in self._rows("SELECT entity FROM stale ORDER BY 1"):
            yield [entity for (entity,) in block]

    def clear_stale(self) -> None:
        self._run("DELETE FROM stale")

    def count_stale(self) -> int:
        return int(self._run("SELECT count(*) FROM stale")[0][0])

    # -- plumbing ----------------------------------------------------------------------------

    def _stream(self, where: str, values: Sequence[Any] = ()) -> Iterator[list[Seen]]:
        last = 0
        while True:
            block = self._seen(
                f"SELECT * FROM seen WHERE id > ? AND {where} ORDER BY id LIMIT {BLOCK}",
                (last, *values),
            )
            if not block:
                return
            yield block
            last = block[-1].id

    def _seen(self, sql: str, values: Sequence[Any]) -> list[Seen]:
        return [
            Seen(i, m, k, e, s, None if r is None else _record(k, self._kept(r)), why)
            for i, m, k, e, s, r, why in self._run(sql, values)
        ]


def _flat(record: Record) -> tuple[Any, ...]:
    return (
        record.fields, record.version, record.modified, record.created, record.row_hash,
        record.former,
    )  # fmt: skip


def _record(key: str, flat: tuple[Any, ...]) -> Record:
    fields, version, modified, created, row_hash, former = flat
    return Record(key, fields, version, modified, created, row_hash, former)
