"""The types of fields: what a value is, in one spelling (canonical), and when two are the same.

    type               canonical value
    text, text(n)      the text, as it is
    integer            int, signed 64 bit
    decimal(p,s)       text with s places: "10.00"
    boolean            True, False
    date               "2024-03-31"
    datetime           "2024-03-31T01:30:00.000000Z"
    uuid               lower case, with hyphens
    enum               one of its choices, exactly
    set                list of distinct texts, sorted
    list, json         JSON; numbers finite, whole ones within 64 bit
    bytes              base64

Null is None, empty is "" (or [] or {}), and a field that a record does not carry is absent: three
things, unless the field says `null = "empty"`, which makes the first two the same.

Everything that does not fit raises `Unrepresentable` (SY0312, SY0313 at a column, SY0314 for text
nothing keeps), a sentence with the value, shortened, and why.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

import orjson

from syncd.core.codec import INSTANT, Codec, Misfit, Native, Reader, Writer
from syncd.core.folds import fold
from syncd.core.model import Value
from syncd.core.values_list import json_codec, list_codec, set_codec
from syncd.core.values_number import boolean_codec, decimal_codec, integer_codec
from syncd.core.values_text import bytes_codec, enum_codec, text_codec, uuid_codec
from syncd.core.values_time import PRECISIONS, cut, date_codec, datetime_codec, zone
from syncd.errors import ConfigError

KINDS = (
    "text", "integer", "decimal", "boolean", "date", "datetime",
    "uuid", "enum", "set", "list", "json", "bytes",
)  # fmt: skip
NULLS = ("distinct", "empty")
LIMIT = 1 << 20

_SPELLING = re.compile(r"\s*([a-z_]+)\s*(?:\(\s*([0-9]+)\s*(?:,\s*([0-9]+)\s*)?\))?\s*")
_TEXTS = frozenset({"text", "enum"})
_FOLDED = frozenset({"text", "enum", "set", "list"})


@dataclass(frozen=True, slots=True)
class FieldType:
    """text   its spelling in the config, tidied: "decimal(12,2)"
    kind   the part before the parenthesis
    null   "distinct" | "empty"
    zone, precision, choices, limit  as declared; limit in bytes
    """

    text: str
    kind: str
    null: str = "distinct"
    zone: str | None = None
    precision: str = "us"
    choices: tuple[str, ...] = ()
    limit: int = LIMIT
    codec: Codec = field(repr=False, compare=False, kw_only=True)

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        null: str | None = None,
        zone: str | None = None,
        precision: str | None = None,
        choices: Sequence[str] = (),
        limit: int | None = None,
    ) -> FieldType:
        """Raises ConfigError: SY0171 unknown type or option, SY0173 unknown zone."""
        kind, digits, scale = _spelled(text)
        _no_strangers(kind, zone=zone, precision=precision, choices=choices, limit=limit)
        if null not in (None, *NULLS):
            raise _wrong(f"null = {null!r} is neither {NULLS[0]!r} nor {NULLS[1]!r}")
        made = cls(
            _tidy(kind, digits, scale),
            kind,
            null or "distinct",
            zone,
            precision or "us",
            tuple(choices),
            LIMIT if limit is None else limit,
            codec=Codec(str, {}),
        )
        return replace(made, codec=_codec(made, digits, scale))

    def at(self, zone: str | None) -> FieldType:
        """The same type where wall times are meant in `zone`; None = as declared."""
        if zone is None or zone == self.zone:
            return self
        _no_strangers(self.kind, zone=zone)
        made = replace(self, zone=zone)
        return replace(made, codec=_codec(made, None, None))

    @property
    def identity(self) -> tuple[Any, ...]:
        """All that makes a canonical value of a native one: part of every fingerprint."""
        return (self.text, self.null, self.zone, self.precision, self.choices, self.limit)

    def canon(self, native: Native) -> Value:
        """From any native value. Raises Unrepresentable."""
        if native is None:
            return None
        if native == "" and self.null == "empty" and self.kind not in _TEXTS:
            return None
        return self.codec.canon(native)

    def native(self, value: Value, family: str, *, zoned: bool = False) -> Native:
        """For a column of that family. Raises Unrepresentable."""
        return self.writer(family, zoned)(value)

    def unfit(self, family: str, zoned: bool = False) -> str | None:
        """Why no column of that family can hold this type; None = it can."""
        slot = _slot(family, zoned)
        if slot not in self.codec.writers:
            return self.codec.advice.get(slot, f"{self.text} has no form there")
        if self.kind == "datetime" and slot == "datetime" and self.zone is None:
            return 'it stores wall times; say whose: zone = "Europe/Berlin"'
        return None

    def reader(self, family: str, zoned: bool = False) -> Reader:
        """`canon` for one column, made once for many rows."""
        slot = _slot(family, zoned)
        read = self.codec.readers.get(slot, self.codec.canon)
        empty_is_null = self.null == "empty" and (
            self.kind not in _TEXTS or slot in self.codec.readers
        )

        def canon(native: Native) -> Value:
            return None if native is None else read(native)

        def canon_or_null(native: Native) -> Value:
            return None if native is None or native == "" else read(native)

        return canon_or_null if empty_is_null else canon

    def writer(self, family: str, zoned: bool = False) -> Writer:
        """`native` for one column. Raises Unrepresentable where the family does not fit."""
        reason = self.unfit(family, zoned)
        if reason is not None:
            raise Misfit(self.text, f"does not fit a {family} column: {reason}", code="SY0313")
        write = self.codec.writers[_slot(family, zoned)]

        def native(value: Value) -> Native:
            return None if value is None else write(value)

        return native


class Comparison:
    """Canonical value → comparison form: hashable, JSON-native, equal iff the values are the same.

    folds  of `syncd.core.folds`, for text, enum, and the texts of a set or list
    null   overrides the type's; "empty": null, "", [] and {} are one
    Raises ConfigError (SY0172) for an unknown fold, or any on a type without texts.
    """

    __slots__ = ("_form", "folds", "identity", "null", "type")

    def __init__(self, of: FieldType, folds: Sequence[str] = (), null: str | None = None) -> None:
        if folds and of.kind not in _FOLDED:
            raise ConfigError(
                f"a {of.text} has no text to fold",
                code="SY0172",
                hint=f"folds are for {', '.join(sorted(_FOLDED))}",
            )
        self.type = of
        self.folds = tuple(folds)
        self.null = null or of.null
        self.identity = (of.kind, of.precision, self.null, tuple(sorted(set(folds))))
        self._form = _form(of, folds)

    def __call__(self, value: Value) -> Any:
        if value is None:
            return None
        try:
            form = self._form(value)
        except (TypeError, AttributeError, ValueError):
            # kept under a type the field no longer has: like nothing that is read now
            return "another type", _json(value)
        if self.null == "empty" and (form in ("", ()) or value in ("", [], {})):
            return None
        return form


def blank(value: Value) -> bool:
    """Nothing is said by it: null, a text that is empty or only white space, an empty list or
    object; also of comparison forms. False and 0 say something."""
    if value is None:
        return True
    if isinstance(value, str):
        return not value or value.isspace()
    return isinstance(value, (list, tuple, dict)) and not value


def _form(of: FieldType, folds: Sequence[str]) -> Callable[[Value], Any]:
    folded = fold(folds)
    if of.kind in _TEXTS:
        return folded
    if of.kind == "set":
        return lambda value: tuple(sorted({folded(element) for element in value}))
    if of.kind == "list":
        return lambda value: _json([folded(e) if isinstance(e, str) else e for e in value])
    if of.kind == "json":
        return _json
    if of.kind == "datetime" and of.precision != "us":
        return lambda value: cut(of.precision, value)
    return lambda value: value


def _json(value: Value) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _slot(family: str, zoned: bool) -> str:
    return INSTANT if zoned and family == "datetime" else family


def _spelled(text: str) -> tuple[str, int | None, int | None]:
    match = _SPELLING.fullmatch(text)
    kind = match[1] if match else text
    if match is None or kind not in KINDS:
        near = get_close_matches(kind, (*KINDS, "string", "int", "number", "bool"), n=1)
        meant = {"string": "text", "int": "integer", "number": "decimal(12,2)", "bool": "boolean"}
        hint = f"did you mean {meant.get(near[0], near[0])}?" if near else ""
        raise _wrong(f"no type is spelled {text!r}", hint or f"types are {', '.join(KINDS)}")
    digits, scale = (int(g) if g else None for g in (match[2], match[3]))
    if kind == "decimal":
        if digits is not None and (scale or 0) > digits:
            raise _wrong(f"{text!r} has more decimals than digits", 'say it like "decimal(12,2)"')
        if digits is None or not 1 <= digits <= 1000:
            raise _wrong(f"{text!r} does not say how many digits", 'say it like "decimal(12,2)"')
    elif digits is not None and kind == "text" and (scale is not None or digits < 1):
        raise _wrong(f"{text!r} does not say how many characters", 'say it like "text(80)"')
    elif digits is not None and kind != "text":
        raise _wrong(f"{text!r}: nothing in parentheses belongs there")
    return kind, digits, scale


def _tidy(kind: str, digits: int | None, scale: int | None) -> str:
    if kind == "decimal":
        return f"decimal({digits},{scale or 0})"
    return kind if digits is None else f"{kind}({digits})"


def _codec(made: FieldType, digits: int | None, scale: int | None) -> Codec:
    match made.kind:
        case "text":
            return text_codec(digits)
        case "decimal":
            assert digits is not None
            return decimal_codec(digits, scale or 0)
        case "datetime":
            return datetime_codec(None if made.zone is None else zone(made.zone), made.precision)
        case "enum":
            return enum_codec(made.choices)
        case "bytes":
            return bytes_codec(made.limit)
        case "integer":
            return integer_codec()
        case "boolean":
            return boolean_codec()
        case "date":
            return date_codec()
        case "uuid":
            return uuid_codec()
        case "set":
            return set_codec()
        case "list":
            return list_codec()
        case _:
            return json_codec()


def _no_strangers(
    kind: str,
    *,
    zone: str | None = None,
    precision: str | None = None,
    choices: Sequence[str] = (),
    limit: int | None = None,
) -> None:
    """Options that only some kinds have."""
    if kind != "datetime" and (zone is not None or precision is not None):
        raise _wrong(f"zone and precision are for datetime, not for {kind}")
    if precision not in (None, *PRECISIONS):
        raise _wrong(f"precision = {precision!r} is none of {', '.join(PRECISIONS)}")
    if (kind == "enum") != bool(choices):
        raise _wrong(
            "an enum needs `choices`" if kind == "enum" else f"choices are for enum, not for {kind}"
        )
    if limit is not None and (kind != "bytes" or limit < 1):
        raise _wrong("`limit` is for bytes, and at least 1")


def _wrong(message: str, hint: str = "") -> ConfigError:
    return ConfigError(message, code="SY0171", hint=hint)
