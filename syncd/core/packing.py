"""Native values and canonical mappings as bytes, without loss: what the journal keeps.

JSON as far as JSON reaches; everything else is an object with the one key "!": [kind, text].
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson

from syncd.core.codec import shown
from syncd.errors import StoreError, Unrepresentable

_MARK = "!"
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1


def pack(fields: Mapping[str, Any]) -> bytes:
    """Raises Unrepresentable (SY0316) for a value of a kind that no adapter should hand over."""
    return orjson.dumps(_wrap_mapping(fields))


def unpack(packed: bytes) -> dict[str, Any]:
    """Raises StoreError (SY0410) for bytes that `pack` never gives."""
    try:
        fields = _unwrap(orjson.loads(packed))
        if isinstance(fields, dict):
            return fields
    except (ValueError, TypeError, KeyError, ArithmeticError):
        pass
    raise StoreError(
        "a packed record cannot be read",
        code="SY0410",
        hint="the state may be damaged: syncd state doctor",
    )


def _wrap(value: Any) -> Any:
    kind = type(value)
    if kind is str:
        # printable leaves no lone surrogate, which orjson refuses
        return value if value.isprintable() or _is_unicode(value) else _marked("str", value)
    if value is None or kind is bool:
        return value
    if kind is int:
        return value if _LEAST <= value <= _MOST else _marked("int", value)
    if kind is float:
        return value if math.isfinite(value) else _marked("float", value)
    if kind is list:
        return [_wrap(element) for element in value]
    if kind is dict:
        return _wrap_mapping(value)
    if kind in _WRITE:
        return _marked(kind.__name__, value)
    return _wrap_kin(value)


def _wrap_kin(value: Any) -> Any:
    """Subclasses (a driver's own str or dict) are kept as the kind they are of."""
    for plain in (int, float, str):
        if isinstance(value, plain):
            return _wrap(plain(value))
    for kind in _WRITE:
        if isinstance(value, kind):
            return _marked(kind.__name__, value)
    if isinstance(value, (bytearray, memoryview)):
        return _wrap(bytes(value))
    if isinstance(value, tuple):
        return _wrap(list(value))
    if isinstance(value, Mapping):
        return _wrap_mapping(value)
    raise Unrepresentable(
        f"{shown(value)} cannot be kept",
        code="SY0316",
        hint="cast the column to a text in a view, or do not map it",
    )


def _wrap_mapping(mapping: Mapping[str, Any]) -> dict[str, Any]:
    wrapped = {}
    for key, value in mapping.items():
        if type(key) is not str or not _is_unicode(key):
            raise Unrepresentable(f"{shown(key)} cannot be a name in an object", code="SY0316")
        wrapped[key] = _wrap(value)
    return {_MARK: ["dict", wrapped]} if _MARK in wrapped else wrapped


def _unwrap(value: Any) -> Any:
    if isinstance(value, list):
        return [_unwrap(element) for element in value]
    if isinstance(value, dict):
        if _MARK in value:
            kind, text = value[_MARK]
            if kind == "dict":
                return {key: _unwrap(element) for key, element in text.items()}
            return _READ[kind](text)
        return {key: _unwrap(element) for key, element in value.items()}
    return value


def _marked(kind: str, value: Any) -> dict[str, list[str]]:
    return {_MARK: [kind, _PLAIN[kind](value)]}


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _moment(value: datetime | time) -> str:
    return f"{value.fold}{value.isoformat()}"


def _span(value: timedelta) -> str:
    return f"{value.days} {value.seconds} {value.microseconds}"


def _read_span(text: str) -> timedelta:
    days, seconds, micros = map(int, text.split())
    return timedelta(days, seconds, micros)


# datetime stands before date, whose subclass it is
_WRITE: dict[type, Callable[[Any], str]] = {
    Decimal: str,
    datetime: _moment,
    date: date.isoformat,
    time: _moment,
    timedelta: _span,
    UUID: str,
    bytes: lambda raw: base64.b64encode(raw).decode("ascii"),
}
_PLAIN: dict[str, Callable[[Any], str]] = {
    **{kind.__name__: write for kind, write in _WRITE.items()},
    "int": hex,
    "float": repr,
    "str": lambda text: base64.b64encode(text.encode("utf-8", "surrogatepass")).decode("ascii"),
}
_READ: dict[str, Callable[[str], Any]] = {
    "Decimal": Decimal,
    "datetime": lambda text: datetime.fromisoformat(text[1:]).replace(fold=int(text[0])),
    "date": date.fromisoformat,
    "time": lambda text: time.fromisoformat(text[1:]).replace(fold=int(text[0])),
    "timedelta": _read_span,
    "UUID": UUID,
    "bytes": base64.b64decode,
    "int": lambda text: int(text, 16),
    "float": float,
    "str": lambda text: base64.b64decode(text).decode("utf-8", "surrogatepass"),
}
