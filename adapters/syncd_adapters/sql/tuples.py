"""Raw rows for databases whose drivers give tuples: the tuple as JSON, values undecoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from syncd.core import keys as codec
from syncd.errors import SystemFault
from syncd_adapters.sql.layout import Layout, RowMaker

_INF = float("inf")


def _default(value: Any) -> Any:
    """Bytes become an object, which no driver at hand gives; the rest is text to be parsed."""
    if isinstance(value, bytes | bytearray | memoryview):
        return {"x": bytes(value).hex()}
    return str(value)


def pack(row: Sequence[Any]) -> bytes:
    """Equal rows give equal bytes, and only they: JSON would turn infinity into null."""
    if _INF in row or -_INF in row:
        row = [str(v) if isinstance(v, float) and abs(v) == _INF else v for v in row]
    try:
        return orjson.dumps(row, default=_default, option=orjson.OPT_PASSTHROUGH_DATETIME)
    except TypeError:  # an integer beyond 64 bits, a lone surrogate
        return orjson.dumps([_plain(v) for v in row], default=_default)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return {"x8": value.encode("utf-8", "surrogatepass").hex()}
    return value if value is None or isinstance(value, float | bytes) else str(value)


def split(raw: bytes) -> list[Any]:
    fields: list[Any] = orjson.loads(raw)
    if b'{"x' in raw:
        return [_unpack(f) if isinstance(f, dict) else f for f in fields]
    return fields


def _unpack(field: dict[str, str]) -> Any:
    if "x8" in field:
        return bytes.fromhex(field["x8"]).decode("utf-8", "surrogatepass")
    return bytes.fromhex(field["x"])


def text(field: Any) -> str:
    return field.hex() if isinstance(field, bytes) else str(field)


def block(
    layout: Layout, maker: RowMaker, rows: Sequence[Sequence[Any]], keys_only: bool
) -> tuple[list[str], list[bytes]]:
    """Keys and raws of rows as a driver gave them. Raises SystemFault for a key that is none."""
    raws = [b""] * len(rows) if keys_only else [pack(row) for row in rows]
    try:
        if layout.kinds == ("int",):
            return codec.encode_ints([row[0] for row in rows]), raws
        if layout.kinds == ("text",):
            return codec.encode_texts([text(row[0]) for row in rows]), raws
        return [codec.encode(maker.parts(row)) for row in rows], raws
    except (ValueError, TypeError):
        raise SystemFault(
            f"a row of {layout.schema.name} has a key that is no whole number",
            code="SY0221",
            hint=f"see the column(s) {', '.join(layout.key)} of the table",
        ) from None


def blocks(
    cursor: Any, layout: Layout, maker: RowMaker, keys_only: bool, size: int
) -> Iterator[tuple[list[str], list[bytes]]]:
    while rows := cursor.fetchmany(size):
        yield block(layout, maker, rows, keys_only)
