"""Values with parts: set, list, json.

A **set** is its distinct texts in code point order (every spelling kept; which of them are the
same is for the comparison form); a **list** is JSON whose order matters; **json** is anything JSON,
whose order of keys does not. Numbers in them are finite; whole ones within 64 bit, however they
are spelled (1.0 is 1).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal

import orjson

from syncd.core import jsontext
from syncd.core.codec import Codec, Misfit, Native
from syncd.core.model import Value
from syncd.core.values_text import text_codec

_DEEPEST = 100
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1
_EXACT_FLOAT = 1 << 53
_text = text_codec(None).canon
_NO_LIST = "a text column has no list form; a list, array or json column has"


def set_codec() -> Codec:
    def canon(native: Native) -> list[str]:
        if not isinstance(native, (list, tuple, set, frozenset)):
            raise Misfit(native, "is not a set of texts")
        for element in native:
            if not isinstance(element, str):
                raise Misfit(element, "stands in a set, which holds texts only")
            _text(element)
        return sorted(set(native))

    return Codec(
        canon, writers={"list": list, "json": list}, advice={"text": _NO_LIST, "other": _NO_LIST}
    )


def list_codec() -> Codec:
    def canon(native: Native) -> list[Value]:
        if not isinstance(native, (list, tuple)):
            raise Misfit(native, "is not a list")
        return [_canon_json(element, 1) for element in native]

    return Codec(
        canon, writers={"list": list, "json": list}, advice={"text": _NO_LIST, "other": _NO_LIST}
    )


def json_codec() -> Codec:
    def canon(native: Native) -> Value:
        return _canon_json(native, 0)

    def from_text(native: Native) -> Value:
        """A text column holds JSON as text. Its null is null, as if the column were."""
        try:
            parsed = jsontext.loads(native)
        except ValueError:
            raise Misfit(native, "is not JSON") from None
        return _canon_json(parsed, 0)

    def to_text(value: Value) -> str:
        return orjson.dumps(value).decode()

    return Codec(
        canon,
        writers={"json": lambda value: value, "text": to_text},
        readers={"text": from_text},
        advice={"list": "declare the field as list or set"},
    )


def _canon_json(native: Native, depth: int) -> Value:
    if isinstance(native, str):
        return _text(native)
    if native is None or isinstance(native, bool):
        return native
    if isinstance(native, int):
        if not _LEAST <= native <= _MOST:
            raise Misfit(native, "is beyond 64 bit", hint="keep it as a text")
        return int(native)
    if isinstance(native, (float, Decimal)):
        return _number(native)
    if depth >= _DEEPEST:
        raise Misfit(native, f"is nested deeper than {_DEEPEST}")
    if isinstance(native, (list, tuple)):
        return [_canon_json(element, depth + 1) for element in native]
    if isinstance(native, Mapping):
        for key in native:
            if not isinstance(key, str):
                raise Misfit(key, "is a key in JSON, where keys are texts")
            _text(key)
        return {key: _canon_json(native[key], depth + 1) for key in sorted(native)}
    raise Misfit(native, "has no form in JSON")


def _number(native: float | Decimal) -> int | float:
    finite = native.is_finite() if isinstance(native, Decimal) else math.isfinite(native)
    number = float(native) if finite else math.inf
    if not math.isfinite(number):
        raise Misfit(native, "is no number that JSON keeps")
    # a Decimal is meant as a float if it is that float's shortest spelling, like 0.1
    if number != native and Decimal(repr(number)) != native:
        raise Misfit(native, "is not exact as a JSON number", hint="keep it as a text")
    return int(number) if abs(number) <= _EXACT_FLOAT and number == int(number) else number
