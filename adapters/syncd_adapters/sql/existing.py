"""Which record stood in the way of a create."""

from __future__ import annotations

from collections.abc import Mapping

from syncd.adapter import Native
from syncd_adapters.sql.flavor import Connection, Flavor
from syncd_adapters.sql.layout import Layout


def find_existing(
    flavor: Flavor, connection: Connection, layout: Layout, values: Mapping[str, Native]
) -> str | None:
    """Key of the one record that has the values of a unique set of columns; None where an index
    over expressions refused, or several records hold parts of them."""
    found: set[str] = set()
    maker = flavor.row_maker(layout)
    for columns in (layout.key, *layout.schema.unique):
        given = [values.get(name) for name in columns]
        if any(value is None for value in given):
            continue
        params = [
            flavor.bind(value, layout.column(name))
            for name, value in zip(columns, given, strict=True)
        ]
        where = flavor.where_equal(layout, columns)
        flavor.savepoint(connection, "syncd_look")
        try:
            raws = flavor.select_raws(connection, layout, where, params)
        except Exception as exc:
            if flavor.fault(exc) is None:
                raise
            flavor.rollback_to(connection, "syncd_look")
            continue
        flavor.release(connection, "syncd_look")
        found.update(maker.key(raw) for raw in raws[:2])
    return found.pop() if len(found) == 1 else None
