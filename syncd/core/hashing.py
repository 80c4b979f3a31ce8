"""Hashes that are kept in the store, and digests that name things.

Fast ones (xxh3, 64 bit, signed so that every database holds them) only save work: a row as read,
a record's forms, a match key. Digests (blake2b, 32 hexadecimal digits) name a case, an operation, a
mapping; two of those never meet by accident. A change of any of this needs another HASH_VERSION:
it enters every seed and digest, so hashes of the old kind are never taken for equal.
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Iterable
from hashlib import blake2b
from typing import Any

import orjson
from xxhash import xxh3_64_intdigest

HASH_VERSION = 1

_SIGN = 1 << 63
_WRAP = 1 << 64


def seed(*parts: str) -> int:
    """What all row hashes of one reading depend on (mapping, reader…): unsigned 64 bit."""
    return xxh3_64_intdigest(orjson.dumps((HASH_VERSION, *parts)))


def row_hash(raw: bytes, seed: int) -> int:
    """Of a row as read; signed 64 bit."""
    return _signed(xxh3_64_intdigest(raw, seed))


def row_hashes(raws: Iterable[bytes], seed: int) -> list[int]:
    """`row_hash` of each, in block."""
    block = array("Q", [xxh3_64_intdigest(raw, seed) for raw in raws])
    return memoryview(block).cast("B").cast("q").tolist()


def key_hash(rule: int, key: tuple[Hashable, ...]) -> int:
    """Of the comparison forms that make a match key under the rule of that number; signed 64 bit.
    Equal keys have equal hashes; equal hashes still need a look at the keys."""
    return _signed(xxh3_64_intdigest(orjson.dumps(key), (HASH_VERSION << 32) + rule))


def digest(thing: Any) -> str:
    """Of anything JSON-native (tuples and str enums too), by content: 32 hexadecimal digits."""
    text = orjson.dumps((HASH_VERSION, thing), option=orjson.OPT_SORT_KEYS)
    return blake2b(text, digest_size=16).hexdigest()


def _signed(number: int) -> int:
    return number - _WRAP if number >= _SIGN else number
