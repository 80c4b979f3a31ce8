"""Pull and detect: one member's snapshot against what the store knows of it.

A row equal by its first hash costs a comparison of block lists, nothing else. What differs, is new
or is gone goes to the stage; what cannot be represented is set aside with its reason.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise

from sqlalchemy import Connection

from syncd.adapter import Block, Endpoint, Row, Snapshot
from syncd.config.compile_member import CompiledMember
from syncd.core import hashing, keys
from syncd.core.mapping import MemberMapping
from syncd.core.model import Record
from syncd.core.rules import MemberRules
from syncd.core.times import instant
from syncd.errors import SyncdError
from syncd.store.database import Store
from syncd.store.flows import fingerprints_of
from syncd.store.links import entities_of, links_in_order, live_links
from syncd.store.stage import Stage

Found = tuple[str, str, int, str, Record | None, str]  # as Stage.add_seen takes it


@dataclass(frozen=True, slots=True)
class Pulled:
    """complete  the whole object was read: absence is known
    searched  every unlinked record that could match one of this run's was looked for there
    tick      store tick at which the read began
    seed      of its row hashes
    empty     not a single live record, though links are live: nothing may follow from it
    listed    its listing had a live record
    keyed     its keys were listed, whole: what is gone is known, where a transaction proves it
    unlisted  what moved was read and its keys were not listed: nothing is known to be gone
    error     why it was not read to the end; its records then count as not read
    """

    member: str
    complete: bool = False
    tick: int = 0
    seed: int | None = None
    searched: bool = False
    rows: int = 0
    changed: int = 0
    missing: int = 0
    empty: bool = False
    listed: bool = False
    keyed: bool = False
    unlisted: bool = False
    cursor: str | None = None
    error: SyncdError | None = None

    @property
    def read(self) -> bool:
        return self.error is None


@dataclass(frozen=True, slots=True)
class Reader:
    """Everything needed to read one member. former: its earlier mappings by fingerprint; None =
    there are none."""

    flow: int
    rules: MemberRules
    compiled: CompiledMember
    endpoint: Endpoint
    former: Callable[[str], MemberMapping | None] | None
    store: Store
    stage: Stage

    def record(self, row: Row, row_hash: int | None, fingerprint: str = "") -> tuple[Record, str]:
        """The canonical record of a row, and a complaint where a value cannot be one.
        fingerprint: of the mapping its link's bases were made with."""
        fields, complaints = self.compiled.mapping.to_form(row.values)
        mapping = self.former(fingerprint) if self.former is not None else None
        former = None if mapping is None else mapping.to_form(row.values)[0]
        record = Record(
            row.key, fields, row.version, instant(row.modified), row.created, row_hash, former
        )
        return record, "; ".join(f"{name}: {why}" for name, why in sorted(complaints.items()))

    def fingerprints(self, keys: Sequence[str]) -> Mapping[str, str]:
        """Of the mappings that these linked records' bases were made with, where they may be
        others than now's."""
        if self.former is None or not keys:
            return {}
        with self.store.read() as conn:
            return fingerprints_of(conn, self.flow, self.rules.name, keys)

    def seed(self, snapshot: Snapshot) -> int:
        return hashing.seed(self.rules.fingerprint, snapshot.reader)


def pull_all(
    reader: Reader, watch: Callable[[int], None], may_be_empty: Callable[[], bool] = lambda: False
) -> Pulled:
    """Read the whole object. Never raises for the system: the error is in the result, and then
    nothing was inferred from absence.

    may_be_empty  whether a person said that not a single record is what is there
    """
    member = reader.rules.name
    rows = changed = missing = 0
    alive = False
    with reader.store.read() as conn:
        tick = reader.store.last_tick(conn)
        try:
            with (
                reader.endpoint.snapshot() as snapshot,
                closing(links_in_order(conn, reader.flow, member)) as known,
            ):
                seed = reader.seed(snapshot)
                links = _Links(known)
                doubles = _Doubles()
                for block in snapshot.blocks():
                    rows += len(block.keys)
                    alive = alive or _alive(reader, snapshot, block)
                    hashes = hashing.row_hashes(block.raws, seed)
                    if not links.same(block.keys, hashes):
                        missing += _gone(reader, links.until(block.keys))
                        found = _compare(
                            reader, snapshot, links.known, doubles, block.keys, block.raws, hashes
                        )
                        deleted = sum(1 for f in found if f[3] == "missing")
                        missing, changed = missing + deleted, changed + len(found) - deleted
                        reader.stage.add_seen(found)
                    watch(rows)
                empty = not alive and _lives(reader) and not may_be_empty()
                if not empty:
                    missing += _gone(reader, links.rest())
                return Pulled(
                    member,
                    snapshot.complete,
                    tick,
                    seed,
                    rows=rows,
                    changed=changed,
                    missing=missing,
                    empty=empty,
                    listed=alive,
                    cursor=snapshot.cursor,
                )
        except SyncdError as error:
            return Pulled(member, tick=tick, rows=rows, error=error)


def pull_since(
    reader: Reader,
    cursor: str,
    due: bool,
    watch: Callable[[int], None],
    may_be_empty: Callable[[], bool] = lambda: False,
) -> Pulled:
    """Read what moved since the cursor, then every key, which finds what is gone; where that is not
    due, only if there is a record without a link, which may be a gone one made again, or if all
    that moved was marked as deleted, which may be all there is."""
    member = reader.rules.name
    rows = changed = missing = listed = 0
    alive = empty = False
    with reader.store.read() as conn:
        tick = reader.store.last_tick(conn)
        try:
            with reader.endpoint.since(cursor) as snapshot:
                seed = reader.seed(snapshot)
                for block in snapshot.blocks():
                    rows += len(block.keys)
                    alive = alive or _alive(reader, snapshot, block)
                    known = entities_of(conn, reader.flow, member, block.keys)
                    due = due or not known.keys() >= set(block.keys)
                    prints = reader.fingerprints(list(known))
                    hashes = hashing.row_hashes(block.raws, seed)
                    found = []
                    for key, raw, row_hash in zip(block.keys, block.raws, hashes, strict=True):
                        row, entity = snapshot.decode(raw), known.get(key, 0)
                        one = _seen(reader, row, row_hash, entity, prints.get(key, ""))
                        if one is not None:
                            found.append(one)
                    changed += len(found)
                    reader.stage.add_seen(found)
                    watch(rows)
                following = snapshot.cursor
            due = due or (rows > 0 and not alive)
            if due:
                listed, missing, empty = _list(reader, conn, may_be_empty)
            return Pulled(
                member,
                tick=tick,
                seed=seed,
                rows=rows,
                changed=changed,
                missing=missing,
                empty=empty,
                listed=listed > 0,
                keyed=due,
                unlisted=not due,
                cursor=following,
            )
        except SyncdError as error:
            return Pulled(member, tick=tick, rows=rows, error=error)


def _list(
    reader: Reader, conn: Connection, may_be_empty: Callable[[], bool]
) -> tuple[int, int, bool]:
    """How many records there are, how many of those linked are missing, and whether there is
    suspiciously none."""
    alive = missing = 0
    with (
        reader.endpoint.keys() as listing,
        closing(links_in_order(conn, reader.flow, reader.rules.name)) as linked,
    ):
        links = _Links(linked)
        for block in listing.blocks():
            alive += len(block.keys)
            missing += _gone(reader, links.until(block.keys))
        empty = alive == 0 and _lives(reader) and not may_be_empty()
        if not empty:
            missing += _gone(reader, links.rest())
    return alive, missing, empty


def search(reader: Reader, wanted: Callable[[Record], bool], watch: Callable[[int], None]) -> int:
    """Put every record that `wanted` accepts on the stage, linked or not: the candidates for
    records that an incremental or single-record run found new elsewhere (law 11). Reads the whole
    object, decoding every row; raises what the system raises."""
    member = reader.rules.name
    rows = 0
    with reader.endpoint.snapshot() as snapshot, reader.store.read() as conn:
        seed = reader.seed(snapshot)
        for block in snapshot.blocks():
            rows += len(block.keys)
            known = entities_of(conn, reader.flow, member, block.keys)
            prints = reader.fingerprints(list(known))
            found: list[Found] = []
            for key, raw in zip(block.keys, block.raws, strict=True):
                row_hash = hashing.row_hash(raw, seed)
                row, entity = snapshot.decode(raw), known.get(key, 0)
                one = _seen(reader, row, row_hash, entity, prints.get(key, ""))
                if one is not None and one[4] is not None and wanted(one[4]):
                    found.append(one)
            reader.stage.add_new(found)
            watch(rows)
    return rows


class _Links:
    """The store's links in key order, consumed beside a snapshot, never all at once.

    known  of those consumed last, the ones the snapshot has: row hash and entity by key
    """

    def __init__(self, blocks: Iterator[list[tuple[str, int | None, int]]]) -> None:
        self.known: dict[str, tuple[int | None, int]] = {}
        self._blocks = blocks
        self._keys: list[str] = []
        self._hashes: list[int | None] = []
        self._entities: list[int] = []
        self._at = 0
        self._done = False

    def _fill(self, upto: int) -> None:
        while len(self._keys) - self._at < upto and not self._done:
            block = next(self._blocks, None)
            if block is None:
                self._done = True
                return
            if self._at:
                del self._keys[: self._at], self._hashes[: self._at], self._entities[: self._at]
                self._at = 0
            found, hashes, entities = zip(*block, strict=True)
            self._keys.extend(found)
            self._hashes.extend(hashes)
            self._entities.extend(entities)

    def same(self, keys: Sequence[str], hashes: Sequence[int]) -> bool:
        """Whether the next links are exactly these rows; then they are consumed."""
        size = len(keys)
        self._fill(size)
        at = self._at
        if self._hashes[at : at + size] == hashes and self._keys[at : at + size] == keys:
            self._at += size
            return True
        return False

    def until(self, keys: Sequence[str]) -> Iterator[list[tuple[str, int]]]:
        """Consume the links up to the last of these keys: those among them are `known` once this
        is through, the others come in blocks; there may be millions of them."""
        self.known = {}
        present, last = frozenset(keys), keys[-1]
        while True:
            self._fill(1)
            end = bisect_right(self._keys, last, self._at)
            if end == self._at:
                return
            gone = []
            for at in range(self._at, end):
                key = self._keys[at]
                if key in present:
                    self.known[key] = (self._hashes[at], self._entities[at])
                else:
                    gone.append((key, self._entities[at]))
            self._at = end
            if gone:
                yield gone

    def any(self) -> bool:
        """Whether there are more."""
        self._fill(1)
        return self._at < len(self._keys)

    def rest(self) -> Iterator[list[tuple[str, int]]]:
        while self.any():
            at, self._at = self._at, len(self._keys)
            yield list(zip(self._keys[at:], self._entities[at:], strict=True))


def _alive(reader: Reader, snapshot: Snapshot, block: Block) -> bool:
    """Whether one of these rows is not marked as deleted."""
    if reader.compiled.spec.soft_delete is None:
        return bool(block.keys)
    return any(not snapshot.decode(raw).deleted for raw in block.raws)


def _lives(reader: Reader) -> bool:
    """Whether a record of this member takes part: links that are excused, archived or out of
    scope say nothing of what should be there."""
    with reader.store.read() as conn:
        return live_links(conn, reader.flow).get(reader.rules.name, 0) > 0


def _gone(reader: Reader, blocks: Iterator[list[tuple[str, int]]]) -> int:
    """Onto the stage as missing: (key, entity)."""
    member, found = reader.rules.name, 0
    for block in blocks:
        reader.stage.add_seen([(member, k, entity, "missing", None, "") for k, entity in block])
        found += len(block)
    return found


class _Doubles:
    """Keys that come more than once: a view without a key, a broken one. Set aside (law: one
    record a key), across block borders too."""

    def __init__(self) -> None:
        self._last: str | None = None

    def among(self, keys: Sequence[str], stage: Stage, member: str) -> set[str]:
        found = {a for a, b in pairwise(keys) if a == b}
        if keys and keys[0] == self._last:
            found.add(keys[0])
            stage.set_bad(member, keys[0])
        self._last = keys[-1] if keys else self._last
        return found


def _compare(
    reader: Reader,
    snapshot: Snapshot,
    known: dict[str, tuple[int | None, int]],
    doubles: _Doubles,
    block: Sequence[str],
    raws: Sequence[bytes],
    hashes: Sequence[int],
) -> list[Found]:
    member = reader.rules.name
    twice = doubles.among(block, reader.stage, member)
    prints = reader.fingerprints(
        [k for k, h in zip(block, hashes, strict=True) if k in known and known[k][0] != h]
    )
    found: list[Found] = []
    for key, raw, row_hash in zip(block, raws, hashes, strict=True):
        link = known.pop(key, None)
        if key in twice:
            if link is not None or not found or found[-1][1] != key:
                why = f"{member} has more than one record {keys.show(key)}"
                record = reader.record(snapshot.decode(raw), row_hash)[0]
                found.append((member, key, link[1] if link else 0, "bad", record, why))
            continue
        if link is not None and link[0] == row_hash:
            continue
        entity = link[1] if link else 0
        one = _seen(reader, snapshot.decode(raw), row_hash, entity, prints.get(key, ""))
        if one is not None:
            found.append(one)
    return found


def _seen(reader: Reader, row: Row, row_hash: int, entity: int, fingerprint: str) -> Found | None:
    member = reader.rules.name
    if row.deleted:
        return (member, row.key, entity, "missing", None, "") if entity else None
    record, complaint = reader.record(row, row_hash, fingerprint)
    # what can be read of a bad one still tells that it may be the same thing as another record
    return member, row.key, entity, "bad" if complaint else "seen", record, complaint
