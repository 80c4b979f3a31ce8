"""Values as COPY text, a column at a time: what can be told of a whole column is asked once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, time
from decimal import Decimal
from uuid import UUID

from syncd.adapter import Column, Native
from syncd_adapters.sql.faults import Refused
from syncd_adapters.sql.textual import to_text

NULL = "\\N"
_ESCAPES = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))
_PLAIN = (int, float, Decimal, UUID)  # types whose text is their str() and needs no escape


def copy_lines(columns: Sequence[Sequence[str]]) -> bytes:
    """Lines of fields given by column. Raises Refused for a text that has no UTF-8."""
    if not columns:
        return b""
    lines = map("\t".join, zip(*columns, strict=True))
    try:
        return "\n".join((*lines, "")).encode()
    except UnicodeEncodeError:
        raise Refused("a text with half a surrogate pair cannot be stored") from None


def copy_fields(values: Sequence[Native], column: Column) -> list[str]:
    """One column's values as fields. Raises Refused for NUL."""
    kinds = set(map(type, values))
    if column.family not in ("json", "list"):
        if len(kinds) == 1:
            (kind,) = kinds
            if kind is str:
                return escaped(list(values))
            if kind is bool:
                return ["t" if value else "f" for value in values]
            if kind in _PLAIN:
                return list(map(str, values))
            if issubclass(kind, date | time):
                return [to_text(value) or "" for value in values]
        elif kinds == {str, type(None)}:
            return [NULL if v is None else f for v, f in zip(values, _blanked(values), strict=True)]
    return [NULL if t is None else _escape(t) for t in (to_text(v, column) for v in values)]


def _blanked(values: Sequence[str | None]) -> list[str]:
    return escaped(["" if value is None else value for value in values])


def escaped(texts: list[str]) -> list[str]:
    """Texts as fields; nearly always they are."""
    together = "".join(texts)
    if together.isprintable() and "\\" not in together:
        return texts
    return [_escape(text) for text in texts]


def _escape(text: str) -> str:
    for char, code in _ESCAPES:
        text = text.replace(char, code)
    if "\x00" in text:
        raise Refused("a text with a NUL character cannot be stored")
    return text
