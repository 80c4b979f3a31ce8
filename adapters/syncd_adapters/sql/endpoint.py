"""One table or view, as one member uses it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from syncd.adapter import (
    Capabilities,
    Check,
    EndpointSpec,
    ObjectSchema,
    Outcome,
    Row,
    Token,
    Write,
)
from syncd.errors import ConfigError
from syncd_adapters.sql.flavor import Flavor, chunks
from syncd_adapters.sql.layout import Layout
from syncd_adapters.sql.reading import SqlSnapshot, latest_cursor, open_snapshot
from syncd_adapters.sql.receipts import Receipts
from syncd_adapters.sql.settling import settle
from syncd_adapters.sql.writing import Writer

_GET = 1000


class SqlEndpoint:
    """Implements `syncd.adapter.Endpoint`; holds no connection between calls."""

    spec: EndpointSpec
    schema: ObjectSchema
    capabilities: Capabilities

    def __init__(self, flavor: Flavor, layout: Layout, receipts: Receipts | None) -> None:
        self.spec = layout.spec
        self.schema = layout.schema
        self._flavor = flavor
        self._layout = layout
        self._receipts = receipts
        self._writer = Writer(flavor, layout, receipts)
        self._maker = flavor.row_maker(layout)
        self._bare = Layout(
            layout.ref, layout.schema, layout.spec, layout.key, layout.kinds, layout.key
        )
        self.capabilities = Capabilities(
            consistent=flavor.consistent and flavor.transactional(layout.ref),
            settles="receipts" if receipts is not None else self._settles(),
            batch=flavor.batch,
            reuses=layout.schema.generated and flavor.reuses(layout.ref),
        )

    def _settles(self) -> str:
        """How the acknowledgement of a create is found again without receipts."""
        if self._flavor.settles == "transaction":
            return self._flavor.settles
        if set(self._layout.key) <= self.spec.writes:
            return "key"
        if self._flavor.settles == "rows" and self._layout.kinds == ("int",):
            return "rows"
        unique = any(set(columns) <= self.spec.writes for columns in self.schema.unique)
        return "unique" if unique else ""

    def snapshot(self) -> AbstractContextManager[SqlSnapshot]:
        return open_snapshot(self._flavor, self._layout)

    def since(self, cursor: str) -> AbstractContextManager[SqlSnapshot]:
        return open_snapshot(self._flavor, self._layout, since=cursor)

    def keys(self) -> AbstractContextManager[SqlSnapshot]:
        return open_snapshot(self._flavor, self._bare, keys_only=True)

    def cursor(self) -> str | None:
        return latest_cursor(self._flavor, self._layout)

    def get(self, keys: Sequence[str]) -> list[Row]:
        wanted = set(keys)
        rows: list[Row] = []
        doing = f"reading {self.schema.name}"
        with self._flavor.session(doing) as connection:
            self._flavor.begin_lookup(connection)
            for some in chunks(sorted(wanted), _GET):
                parts = [p for p in map(self._layout.parts, some) if self._layout.fits(p)]
                if not parts:
                    continue
                raws = self._flavor.fetch(connection, self._layout, parts, lock=False)
                rows += (row for row in map(self._maker.row, raws) if row.key in wanted)
            self._flavor.rollback(connection)
        return rows

    def apply(self, writes: Sequence[Write], check: Check, token: Token) -> list[Outcome]:
        if not self.schema.writable:
            raise ConfigError(
                f"{self.schema.name} cannot be written",
                code="SY0186",
                where=self._flavor.system,
                hint='use it with mode = "source", or name its table',
            )
        for write in writes:
            beyond = set(write.values) - self.spec.writes
            if beyond:  # never a matter of data: a mapping that grants less than it sends
                raise ConfigError(
                    f"{self.schema.name}: {', '.join(sorted(beyond))} may not be written",
                    code="SY0187",
                    where=self._flavor.system,
                )
        return self._writer.apply(writes, check, token)

    def settle(self, writes: Sequence[Write], token: str | None) -> list[Outcome]:
        return settle(self._flavor, self._layout, self._receipts, writes, token)

    def lookup_is_exact(self) -> bool:
        return True
