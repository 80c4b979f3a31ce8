"""Pull and detect: one member's snapshot against what the store knows of it.

A row equal by its first hash costs a comparison of block lists, nothing else. What differs, is new
or is gone goes to the stage; what cannot be represented is set aside with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from syncd.adapter import Endpoint, Row, Snapshot
from syncd.config.compile_member import CompiledMember
from syncd.core import hashing, keys
from syncd.core.mapping import MemberMapping
from syncd.core.model import Record
from syncd.core.rules import MemberRules
from syncd.core.times import instant
from syncd.errors import SyncdError
from syncd.store.database import Store
from syncd.store.links import entities_of, links_in_order
from syncd.store.stage import Stage

Found = tuple[str, str, int, str, Record | None, str]  # as Stage.add_seen takes it


@dataclass(frozen=True, slots=True)
class Pulled:
    """complete  the whole object was read: absence is known
    searched  every unlinked record that could match one of this run's was looked for there
    tick      store tick at which the read began
    seed      of its row hashes
    empty     not a single record, though links are live: nothing may follow from it
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
    cursor: str | None = None
    error: SyncdError | None = None

    @property
    def read(self) -> bool:
        return self.error is None


@dataclass(frozen=True, slots=True)
class Reader:
    """Everything needed to read one member."""

    flow: int
    rules: MemberRules
    compiled: CompiledMember
    endpoint: Endpoint
    former: MemberMapping | None
    store: Store
    stage: Stage

    def record(self, row: Row, row_hash: int | None) -> tuple[Record, str]:
        """The canonical record of a row, and a complaint where a value cannot be one."""
        fields, complaints = self.compiled.mapping.to_form(row.values)
        former = None
        if self.former is not None:
            former, _ = self.former.to_form(row.values)
        record = Record(
            row.key, fields, row.version, instant(row.modified), row.created, row_hash, former
        )
        return record, "; ".join(f"{name}: {why}" for name, why in sorted(complaints.items()))

    def seed(self, snapshot: Snapshot) -> int:
        return hashing.seed(self.rules.fingerprint, snapshot.reader)


def pull_all(reader: Reader, watch: Callable[[int], None], may_be_empty: bool = False) -> Pulled:
    """Read the whole object. Never raises for the system: the error is in the result, and then
    nothing was inferred from absence.

    may_be_empty  a person said that not a single record is what is there
    """
    member = reader.rules.name
    with reader.store.read() as conn:
        tick = reader.store.last_tick(conn)
    rows = changed = missing = 0
    try:
        with reader.endpoint.snapshot() as snapshot, reader.store.read() as conn:
            seed = reader.seed(snapshot)
            links = _Links(links_in_order(conn, reader.flow, member))
            doubles = _Doubles()
            for block in snapshot.blocks():
                rows += len(block.keys)
                hashes = hashing.row_hashes(block.raws, seed)
                if not links.same(block.keys, hashes):
                    found = _compare(
                        reader, snapshot, links, doubles, block.keys, block.raws, hashes
                    )
                    changed += sum(1 for f in found if f[3] != "missing")
                    missing += sum(1 for f in found if f[3] == "missing")
                    reader.stage.add_seen(found)
                watch(rows)
            gone = links.rest()
            empty = rows == 0 and bool(gone) and not may_be_empty
            if not empty:
                missing += len(gone)
                reader.stage.add_seen(
                    (member, key, entity, "missing", None, "") for key, entity in gone
                )
            return Pulled(
                member,
                snapshot.complete,
                tick,
                seed,
                rows=rows,
                changed=changed,
                missing=missing,
                empty=empty,
                cursor=snapshot.cursor,
            )
    except SyncdError as error:
        return Pulled(member, tick=tick, rows=rows, error=error)


def pull_since(
    reader: Reader, cursor: str, watch: Callable[[int], None], may_be_empty: bool = False
) -> Pulled:
    """Read what moved since the cursor, then every key, which finds what is gone."""
    member = reader.rules.name
    with reader.store.read() as conn:
        tick = reader.store.last_tick(conn)
    rows = changed = missing = 0
    try:
        with reader.endpoint.since(cursor) as snapshot, reader.store.read() as conn:
            seed = reader.seed(snapshot)
            for block in snapshot.blocks():
                rows += len(block.keys)
                known = entities_of(conn, reader.flow, member, block.keys)
                hashes = hashing.row_hashes(block.raws, seed)
                found = [
                    one
                    for key, raw, row_hash in zip(block.keys, block.raws, hashes, strict=True)
                    if (one := _seen(reader, snapshot.decode(raw), row_hash, known.get(key, 0)))
                ]
                changed += len(found)
                reader.stage.add_seen(found)
                watch(rows)
            following = snapshot.cursor
        with reader.endpoint.keys() as listing, reader.store.read() as conn:
            links = _Links(links_in_order(conn, reader.flow, member))
            alive = 0
            for block in listing.blocks():
                alive += len(block.keys)
                gone = links.skip(block.keys)
                missing += len(gone)
                reader.stage.add_seen(
                    (member, key, entity, "missing", None, "") for key, entity in gone
                )
            gone = links.rest()
            empty = alive == 0 and bool(gone) and not may_be_empty
            if not empty:
                missing += len(gone)
                reader.stage.add_seen(
                    (member, key, entity, "missing", None, "") for key, entity in gone
                )
        return Pulled(
            member,
            tick=tick,
            seed=seed,
            rows=rows,
            changed=changed,
            missing=missing,
            empty=empty,
            cursor=following,
        )
    except SyncdError as error:
        return Pulled(member, tick=tick, rows=rows, error=error)


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
            found: list[Found] = []
            for key, raw in zip(block.keys, block.raws, strict=True):
                row_hash = hashing.row_hash(raw, seed)
                one = _seen(reader, snapshot.decode(raw), row_hash, known.get(key, 0))
                if one is not None and one[4] is not None and wanted(one[4]):
                    found.append(one)
            reader.stage.add_new(found)
            watch(rows)
    return rows


class _Links:
    """The store's links in key order, consumed beside a snapshot."""

    def __init__(self, blocks: Iterator[list[tuple[str, int | None, int]]]) -> None:
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

    def take(self, last: str) -> dict[str, tuple[int | None, int]]:
        """All links up to and including this key."""
        taken: dict[str, tuple[int | None, int]] = {}
        while True:
            self._fill(1)
            if self._at >= len(self._keys) or self._keys[self._at] > last:
                return taken
            taken[self._keys[self._at]] = (self._hashes[self._at], self._entities[self._at])
            self._at += 1

    def skip(self, keys: Sequence[str]) -> list[tuple[str, int]]:
        """Links up to the last of these keys that are not among them."""
        present = set(keys)
        return [(k, e) for k, (_, e) in self.take(keys[-1]).items() if k not in present]

    def rest(self) -> list[tuple[str, int]]:
        gone: list[tuple[str, int]] = []
        while True:
            self._fill(1)
            if self._at >= len(self._keys):
                return gone
            gone.extend(zip(self._keys[self._at :], self._entities[self._at :], strict=True))
            self._at = len(self._keys)


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
    links: _Links,
    doubles: _Doubles,
    block: Sequence[str],
    raws: Sequence[bytes],
    hashes: Sequence[int],
) -> list[Found]:
    member = reader.rules.name
    known = links.take(block[-1])
    twice = doubles.among(block, reader.stage, member)
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
        one = _seen(reader, snapshot.decode(raw), row_hash, link[1] if link else 0)
        if one is not None:
            found.append(one)
    found.extend((member, key, entity, "missing", None, "") for key, (_, entity) in known.items())
    return found


def _seen(reader: Reader, row: Row, row_hash: int, entity: int) -> Found | None:
    member = reader.rules.name
    if row.deleted:
        return (member, row.key, entity, "missing", None, "") if entity else None
    record, complaint = reader.record(row, row_hash)
    # what can be read of a bad one still tells that it may be the same thing as another record
    return member, row.key, entity, "bad" if complaint else "seen", record, complaint
