"""Values given for key columns, as parts of the key."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from syncd.adapter import Native
from syncd_adapters.sql.faults import Refused
from syncd_adapters.sql.flavor import Flavor
from syncd_adapters.sql.layout import Layout, Part, Parts


def moved_keys(
    flavor: Flavor,
    layout: Layout,
    columns: Sequence[str],
    rows: Sequence[Sequence[Native]],
    keys: Sequence[Parts],
) -> list[Parts]:
    """The keys under which rows stand after an update that may have written key columns."""
    if not set(columns) & set(layout.key):
        return list(keys)
    moved: list[Parts] = []
    for row, key in zip(rows, keys, strict=True):
        given = dict(zip(columns, row, strict=True))
        moved.append(
            tuple(
                key_part(flavor, layout, name, given[name]) if name in given else part
                for name, part in zip(layout.key, key, strict=True)
            )
        )
    return moved


def key_part(flavor: Flavor, layout: Layout, name: str, value: Native) -> Part:
    """A value given for a key column, as a part of the key. Raises Refused."""
    column = layout.column(name)
    if value is None:
        raise Refused(f"a record needs a value for its key column {name!r}")
    if layout.kinds[layout.key.index(name)] != "int":
        return flavor.key_text(value, column)
    try:
        number = int(value)
    except (ValueError, TypeError, OverflowError):
        raise Refused(f"the key column {name!r} takes whole numbers only") from None
    if isinstance(value, float | Decimal) and number != value:
        raise Refused(f"the key column {name!r} takes whole numbers only")
    return number
