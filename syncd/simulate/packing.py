"""Rows as bytes: equal rows have equal bytes, which is what the engine hashes."""

from __future__ import annotations

import marshal
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

# Types that marshal does not know, most particular first; a tuple with the name stands for one.
_TYPES: tuple[tuple[type, str, Callable[[Any], str]], ...] = (
    (Decimal, "decimal", str),
    (UUID, "uuid", str),
    (datetime, "datetime", datetime.isoformat),
    (date, "date", date.isoformat),
    (time, "time", time.isoformat),
)
_BACK: Mapping[str, Callable[[str], Any]] = {
    "decimal": Decimal,
    "uuid": UUID,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
}
_OBJECT = "object"
_PLAIN = (type(None), str, int, bool, float, bytes)


def packed(row: tuple[Any, ...]) -> bytes:
    # version 2 knows no references, by which equal rows might differ
    return marshal.dumps(_put(row), 2)


def unpacked(raw: bytes) -> list[Any]:
    found: list[Any] = _get(marshal.loads(raw))
    return found


def _put(value: Any) -> Any:
    if type(value) in _PLAIN:
        return value
    if isinstance(value, (tuple, list)):
        return list(map(_put, value))
    if isinstance(value, dict):
        return _OBJECT, [[name, _put(value[name])] for name in sorted(value)]
    for kind, name, spell in _TYPES:
        if isinstance(value, kind):
            return name, spell(value)
    raise TypeError(f"no form for {type(value).__name__}")


def _get(value: Any) -> Any:
    if isinstance(value, tuple):
        name, said = value
        return {n: _get(v) for n, v in said} if name == _OBJECT else _BACK[name](said)
    return list(map(_get, value)) if isinstance(value, list) else value
