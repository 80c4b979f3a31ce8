"""Whether a row is what a write made of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any

from syncd.adapter import Column, Native, Row, Write
from syncd_adapters.sql.layout import Layout


def holds(layout: Layout, write: Write, row: Row) -> bool:
    """Whether the row has every value sent, as its columns hold them."""
    columns = layout.schema.columns
    return all(
        same(sent, row.values[name], columns[name])
        for name, sent in write.values.items()
        if name in row.values and name not in layout.key
    )


def unproven(row: Row) -> Row:
    """The row without its version and time, which may be those of a later edit."""
    return replace(row, version=None, modified=None)


def same(sent: Native, read: Native, column: Column) -> bool:
    """Whether what was read is what was sent, put into the column."""
    if sent is None or read is None:
        return sent is None and read is None
    if column.family in ("integer", "decimal", "float", "boolean"):
        try:
            return _number(sent) == _number(read)
        except (InvalidOperation, ValueError):
            return str(sent) == str(read)
    if column.family == "datetime":
        return bool(_moment(sent) == _moment(read))
    return bool(_plain(sent) == _plain(read))


def _number(value: Any) -> Decimal:
    return Decimal(int(value)) if isinstance(value, bool) else Decimal(str(value))


def _moment(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return value
    if isinstance(value, datetime):
        return value.timestamp() if value.tzinfo is not None else value.isoformat()
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return value if isinstance(value, dict | list | bytes) else str(value)
