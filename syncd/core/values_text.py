"""Types whose canonical value is a text: text, enum, uuid, bytes.

Text is kept as it is, character by character; only what no database or JSON carries faithfully
(NUL, half a surrogate pair) is refused. Whole numbers are taken for text (an id kept as a number
on one side), and are only written to a number column if they come back the same: "007" is not.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from datetime import date, time
from decimal import Decimal
from uuid import UUID

from syncd.core.codec import Codec, Misfit, Native, Reader, Writer

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LOOSE_UUID = re.compile(
    r"(?:urn:uuid:)?(\{)?[0-9a-f]{8}(-?)(?:[0-9a-f]{4}\2){3}[0-9a-f]{12}(?(1)\})", re.IGNORECASE
)
_DECLARE = "declare the field as {}"


def text_codec(length: int | None) -> Codec:
    def canon(native: Native) -> str:
        if type(native) is not str:
            native = _as_text(native)
        if not native.isprintable():
            _faithful(native)
        if length is not None and len(native) > length:
            raise Misfit(native, f"has {len(native)} characters, the field takes {length}")
        return native  # type: ignore[no-any-return]

    return Codec(
        canon,
        writers={
            "text": _same,
            "enum": _same,
            "other": _same,
            "integer": _to_int,
            "decimal": _to_decimal,
            "uuid": _to_uuid_exactly,
            "time": _to_time,
        },
        advice={
            "boolean": _DECLARE.format("boolean"),
            "date": _DECLARE.format("date"),
            "datetime": _DECLARE.format("datetime"),
            "instant": _DECLARE.format("datetime"),
            "float": _DECLARE.format("decimal(p,s)"),
            "bytes": _DECLARE.format("bytes"),
            "list": _DECLARE.format("list or set"),
            "json": _DECLARE.format("json"),
        },
    )


def enum_codec(choices: Sequence[str]) -> Codec:
    allowed = frozenset(choices)
    listed = ", ".join(choices) if len(choices) <= 8 else ", ".join(choices[:8]) + ", …"

    def canon(native: Native) -> str:
        text = native if type(native) is str else _as_text(native)
        if text not in allowed:
            raise Misfit(
                native,
                f"is none of the choices ({listed})",
                hint="add it to `choices`, or translate it with a `table`",
            )
        return text

    return Codec(
        canon,
        writers={"enum": _same, "text": _same, "other": _same, "integer": _to_int},
        advice={"boolean": "declare the field as boolean, or translate it with a table"},
    )


def uuid_codec() -> Codec:
    def canon(native: Native) -> str:
        if type(native) is str:
            if _UUID.fullmatch(native):
                return native
            if _LOOSE_UUID.fullmatch(native):
                return str(UUID(native))
        elif isinstance(native, UUID):
            return str(native)
        elif isinstance(native, (bytes, bytearray, memoryview)) and len(native) == 16:
            return str(UUID(bytes=bytes(native)))
        raise Misfit(native, "is not a uuid")

    return Codec(
        canon,
        writers={"uuid": UUID, "text": _same, "other": _same, "bytes": lambda v: UUID(v).bytes},
    )


def bytes_codec(limit: int) -> Codec:
    """limit: bytes, before base64."""

    def canon(native: Native) -> str:
        if isinstance(native, str):
            raise Misfit(native, "is text, not bytes", hint="declare the field as text")
        if not isinstance(native, (bytes, bytearray, memoryview)):
            raise Misfit(native, "is not bytes")
        return _limited(bytes(native))

    def from_text(native: Native) -> str:
        try:
            raw = base64.b64decode(native, validate=True)
        except (binascii.Error, ValueError, TypeError):
            raise Misfit(native, "is not base64") from None
        return _limited(raw)

    def _limited(raw: bytes) -> str:
        if len(raw) > limit:
            raise Misfit(
                raw, f"is over the limit of {limit}", hint="raise `limit`, or do not sync this one"
            )
        return base64.b64encode(raw).decode("ascii")

    writers: dict[str, Writer] = {"bytes": base64.b64decode, "text": _same, "other": _same}
    readers: dict[str, Reader] = {"text": from_text, "other": from_text}
    return Codec(canon, writers, readers)


def _same(value: str) -> str:
    return value


def _as_text(native: Native) -> str:
    """A native that is no str but has exactly one text. Raises Misfit for the others."""
    if isinstance(native, bool):
        raise Misfit(native, "is not a text", hint="declare the field as boolean")
    if isinstance(native, (str, UUID)):
        return str(native)
    if isinstance(native, int):
        if native.bit_length() > 4096:
            raise Misfit(native, "is not a text")
        return str(native)
    if isinstance(native, Decimal) and native.is_finite() and native == native.to_integral_value():
        return f"{native:.0f}"
    if isinstance(native, time):
        return native.isoformat()
    if isinstance(native, (float, Decimal)):
        raise Misfit(native, "is not a text", hint="declare the field as decimal(p,s)")
    if isinstance(native, date):
        raise Misfit(native, "is not a text", hint="declare the field as date or datetime")
    raise Misfit(native, "is not a text")


def _faithful(text: str) -> None:
    if "\x00" in text:
        raise Misfit(text, "holds the character NUL, which databases do not keep", code="SY0314")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Misfit(
            text, "holds half a character (a lone surrogate), which nothing keeps", code="SY0314"
        ) from None


def _to_int(value: str) -> int:
    try:
        number = int(value)
        if str(number) == value:
            return number
    except ValueError:
        pass
    raise Misfit(
        value,
        "would not come back the same from a column of whole numbers",
        code="SY0313",
        hint="a text column keeps it",
    )


def _to_decimal(value: str) -> Decimal:
    return Decimal(_to_int(value))


def _to_uuid_exactly(value: str) -> UUID:
    if _UUID.fullmatch(value):
        return UUID(value)
    raise Misfit(
        value,
        "would not come back the same from a uuid column",
        code="SY0313",
        hint="declare the field as uuid",
    )


def _to_time(value: str) -> time:
    try:
        when = time.fromisoformat(value)
        if when.isoformat() == value:
            return when
    except ValueError:
        pass
    raise Misfit(value, "is not a time of day like 09:30:00", code="SY0313")
