"""What databases whose drivers give tuples have in common: a raw row is its tuple as JSON, and a
value goes in as one parameter."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from syncd.adapter import Column, Native
from syncd_adapters.sql import tuples
from syncd_adapters.sql.flavor import Flavor
from syncd_adapters.sql.layout import Layout, RowMaker


class TupleFlavor(Flavor):
    @abstractmethod
    def decoder(self, column: Column) -> Callable[[Any], Any]:
        """What the driver gave for a column → native value."""

    def reader(self, layout: Layout) -> str:
        types = ",".join(f"{name}:{layout.column(name).type}" for name in layout.names)
        return f"{self.name}-json/1:{types}"

    def row_maker(self, layout: Layout) -> RowMaker:
        decoders = [self.decoder(layout.column(name)) for name in layout.names]
        return RowMaker(layout, tuples.split, decoders, tuples.text)

    def selected(self, layout: Layout, alias: str = "") -> str:
        prefix = f"{alias}." if alias else ""
        return ", ".join(
            self.key_column(layout, name, prefix)
            if name in layout.key
            else prefix + self.quote(name)
            for name in layout.names
        )

    def key_column(self, layout: Layout, name: str, prefix: str = "") -> str:
        """A key column as it is selected, ordered and compared."""
        return prefix + self.quote(name)

    def bound_rows(
        self, layout: Layout, columns: Sequence[str], rows: Sequence[Sequence[Native]]
    ) -> list[list[Any]]:
        kinds = [layout.column(name) for name in columns]
        return [
            [self.bind(value, kind) for value, kind in zip(row, kinds, strict=True)] for row in rows
        ]
