"""Buckets: nodes that share a match key hash, found by union-find at eight bytes a node.

Hashes only suggest: `linking` judges each bucket by its real keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from syncd.core import hashing
from syncd.core.link import Union, key_hashes, match_keys
from syncd.core.rules import FlowRules
from syncd.engine.context import RunContext
from syncd.store import shadow
from syncd.store.stage import Seen, Stage

CHUNK = 500
HUGE = 200  # what is shared by more records than this is no key; its case names so many
_ROWS = 5000


@dataclass(slots=True)
class Keyed:
    free: int = 0
    linked: int = 0
    keyed: _Bits = field(default_factory=lambda: _Bits())


class _Bits:
    """A set of small numbers, one bit each: a million records cost 125 kB."""

    def __init__(self) -> None:
        self._bits = bytearray()

    def add(self, number: int) -> None:
        byte = number >> 3
        if byte >= len(self._bits):
            self._bits.extend(bytes(byte + 1024 - len(self._bits)))
        self._bits[byte] |= 1 << (number & 7)

    def __contains__(self, number: int) -> bool:
        byte = number >> 3
        return byte < len(self._bits) and bool(self._bits[byte] >> (number & 7) & 1)


def find_keys(rules: FlowRules, stage: Stage) -> Keyed:
    """Match key hashes of every unlinked record, and of linked ones that changed: their keys may
    have come to meet another's."""
    result = Keyed()
    for block in stage.free():
        result.free += _note(rules, stage, block, result.keyed)
    for block in stage.barring():
        # what can be read of it may be enough to know that it is a candidate (law 11)
        _note(rules, stage, block, result.keyed)
    for block in stage.linked():
        result.linked += _note(rules, stage, block, result.keyed)
    return result


def _note(rules: FlowRules, stage: Stage, block: Sequence[Seen], keyed: _Bits) -> int:
    """The hashes of these records, under their own number or their entity's; how many of them
    could be read. keyed: gets the numbers of unlinked ones that have a key."""
    rows, readable = [], 0
    for seen in block:
        if seen.record is None:
            continue
        readable += 1
        number = 0 if seen.entity else seen.id
        for rule, key in match_keys(rules, seen.record.fields):
            rows.append((rule, hashing.key_hash(rule, key), number, seen.entity))
            if number:
                keyed.add(number)
    stage.add_keys(rows)
    return readable


def add_known(flow: int, conn: Connection, stage: Stage) -> None:
    """Entities of the store that have one of these keys join the buckets."""
    pending: dict[int, set[int]] = {}
    size = 0

    def flush() -> None:
        for rule, hashes in pending.items():
            for known in shadow.entities_by_key(conn, flow, rule, hashes):
                stage.add_known_keys([(rule, value, entity) for value, entity in known])
        pending.clear()

    for block in stage.keys_in_order():
        for rule, value, _, _ in block:
            pending.setdefault(rule, set()).add(value)
        size += len(block)
        if size >= 5 * CHUNK:
            flush()
            size = 0
    flush()
    stage.merge_known_keys()


def add_all_known(context: RunContext, conn: Connection) -> None:
    """As `add_known`, by the keys that the entities have under the rules of this run."""
    for block in shadow.all_entities(conn, context.flow):
        context.stage.add_known_keys(
            (*hashed, e.id) for e in block for hashed in key_hashes(context.rules, e)
        )
    context.stage.merge_known_keys()


def make_buckets(stage: Stage, found: Keyed) -> None:
    """Union of all nodes that share a hash, written to the stage as (root, record, entity). A
    record's node is its number on the stage, an entity's its own number behind all of those."""
    stage.number_entities()
    behind = stage.last_id()
    union = Union(behind + 1)
    last: tuple[int, int] | None = None
    lead = 0
    for keys in stage.nodes_in_order():
        for rule, value, seen, number in keys:
            this = seen or behind + number
            union.grow(this + 1)
            if (rule, value) == last:
                union.join(lead, this)
            else:
                last, lead = (rule, value), this
    for start in range(1, behind + 1, _ROWS):
        numbers = range(start, min(start + _ROWS, behind + 1))
        stage.add_components([(union.find(n), n, 0) for n in numbers if n in found.keyed])
    for block in stage.entity_nodes():
        stage.add_components([(union.find(behind + n), 0, entity) for n, entity in block])


@dataclass(slots=True)
class Bucket:
    """seen, entities: stage ids of records, and entities; not all of a huge one's. free: whether
    there is a record."""

    root: int
    seen: list[int] = field(default_factory=list)
    entities: list[int] = field(default_factory=list)
    size: int = 0
    free: bool = False

    def add(self, seen: int, entity: int) -> None:
        self.size += 1
        self.free = self.free or seen > 0
        if self.size <= HUGE:
            (self.seen if seen else self.entities).append(seen or entity)


def gather(stage: Stage) -> Iterator[list[Bucket]]:
    """Buckets with a record, or with two entities and more, some hundred at a time."""
    batch: list[Bucket] = []
    bucket = Bucket(-1)
    size = 0
    for block in stage.components():
        for root, seen, entity in block:
            if root != bucket.root:
                if bucket.free or bucket.size > 1:
                    batch.append(bucket)
                    size += min(bucket.size, HUGE)
                if size >= CHUNK:
                    yield batch
                    batch, size = [], 0
                bucket = Bucket(root)
            bucket.add(seen, entity)
    if bucket.free or bucket.size > 1:
        batch.append(bucket)
    if batch:
        yield batch
