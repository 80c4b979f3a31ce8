"""A snapshot of an object: blocks in key order from one transaction, the order verified."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from syncd.adapter import Block, Row
from syncd.errors import ConfigError, SystemFault
from syncd_adapters.sql.flavor import Connection, Flavor, nothing_live
from syncd_adapters.sql.layout import Layout

_CAPPED = ("datetime",)


class SqlSnapshot:
    """One open read transaction; ends with the `with` block of `open_snapshot`."""

    def __init__(
        self,
        flavor: Flavor,
        connection: Connection,
        layout: Layout,
        where: str,
        complete: bool,
        cursor: str | None,
        keys_only: bool,
    ) -> None:
        self.complete = complete
        self.cursor = cursor
        self.reader = flavor.reader(layout)
        self._flavor = flavor
        self._connection = connection
        self._layout = layout
        self._where = where
        self._keys_only = keys_only
        self._maker = flavor.row_maker(layout)
        self._streams: list[Generator[tuple[list[str], list[bytes]], None, None]] = []

    def close(self) -> None:
        """Ends a stream that was left early, so that its connection can go on."""
        for stream in self._streams:
            stream.close()

    def blocks(self) -> Iterator[Block]:
        name = self._layout.schema.name
        last = ""
        sql = self._flavor.read_sql(self._layout, self._where)
        with self._flavor.border(f"reading {name}"):
            stream = self._flavor.stream(self._connection, self._layout, sql, self._keys_only)
            self._streams.append(stream)
            for keys, raws in stream:
                # sorted() of a list in order is one linear pass
                if not keys or keys[0] < last or keys != sorted(keys):
                    raise SystemFault(
                        f"{name} came out of order, so nothing can be said of what is missing",
                        code="SY0222",
                        where=self._flavor.system,
                        hint="the key's index may be damaged: rebuild it (REINDEX), then run again",
                    )
                last = keys[-1]
                yield Block(keys, raws)

    def decode(self, raw: bytes) -> Row:
        return self._maker.row(raw)


@contextmanager
def open_snapshot(
    flavor: Flavor,
    layout: Layout,
    *,
    since: str | None = None,
    keys_only: bool = False,
) -> Iterator[SqlSnapshot]:
    """since: only rows touched since that cursor, less the overlap."""
    spec = layout.spec
    name = layout.schema.name
    conditions: list[str] = []
    for column in layout.key:
        if layout.column(column).nullable:
            conditions.append(f"{flavor.quote(column)} IS NOT NULL")
    if since is not None:
        conditions.append(_touched_since(flavor, layout, since))
    if keys_only and spec.soft_delete is not None:
        quoted = flavor.quote(spec.soft_delete)
        conditions.append(nothing_live(layout.schema, spec.soft_delete, quoted))
    with flavor.session(f"reading {name}") as connection:
        flavor.begin_read(connection)
        # the first read, not BEGIN, is where a transaction begins to see one state
        flavor.rows(connection, f"SELECT 1 FROM {flavor.table(layout.ref)} WHERE 1 = 0")
        _warn_of_keyless(flavor, connection, layout)
        cursor = None if keys_only else _latest(flavor, connection, layout)
        snapshot = SqlSnapshot(
            flavor,
            connection,
            layout,
            " AND ".join(conditions),
            since is None,
            _later(cursor, since, layout),
            keys_only,
        )
        try:
            yield snapshot
        finally:
            snapshot.close()


def _warn_of_keyless(flavor: Flavor, connection: Connection, layout: Layout) -> None:
    nullable = [name for name in layout.key if layout.column(name).nullable]
    if not nullable:
        return
    where = " OR ".join(f"{flavor.quote(name)} IS NULL" for name in nullable)
    sql = f"SELECT count(*) FROM {flavor.table(layout.ref)} WHERE {where}"
    count = int(flavor.rows(connection, sql)[0][0])
    if count:
        flavor.context.log.warning(
            "%s: %d row(s) of %s have no key (%s is null) and are left out",
            flavor.system,
            count,
            layout.schema.name,
            ", ".join(nullable),
        )


def _latest(flavor: Flavor, connection: Connection, layout: Layout) -> str | None:
    """The highest cursor there is in this transaction; rows dated ahead do not count, or every
    edit until their date would be missed."""
    name = layout.spec.cursor
    if name is None:
        return None
    quoted = flavor.quote(name)
    where = ""
    params: list[Any] = []
    if layout.column(name).family in _CAPPED:
        # a wall time without zone may be ahead of UTC by half a day
        ahead = timedelta(0 if layout.column(name).zoned else 14 / 24)
        now = flavor.context.seams.clock.now() + ahead + timedelta(seconds=layout.spec.overlap)
        where = f" WHERE {quoted} <= {flavor.mark}"
        params = [
            flavor.bind(
                now if layout.column(name).zoned else now.replace(tzinfo=None), layout.column(name)
            )
        ]
    sql = f"SELECT max({quoted}) FROM {flavor.table(layout.ref)}{where}"
    found = flavor.rows(connection, sql, params)[0][0]
    if found is None:
        return None
    return str(found)


def latest_cursor(flavor: Flavor, layout: Layout) -> str | None:
    if layout.spec.cursor is None:
        return None
    with flavor.session(f"reading {layout.schema.name}") as connection:
        flavor.begin_read(connection)
        found = _latest(flavor, connection, layout)
        flavor.rollback(connection)
        return found


def _later(found: str | None, since: str | None, layout: Layout) -> str | None:
    if since is None or found is None:
        return found or since
    name = layout.spec.cursor
    assert name is not None
    kind = layout.column(name)
    try:
        return max(found, since, key=lambda text: cursor_value(text, kind.family))
    except TypeError:
        return found


def cursor_value(text: str, family: str) -> Any:
    """A cursor as something that compares and, but for text, subtracts. Raises ValueError."""
    if family in ("integer", "other"):
        return int(text)
    if family in ("decimal", "float"):
        return Decimal(text)
    if family == "datetime":
        return datetime.fromisoformat(text)
    if family == "date":
        return date.fromisoformat(text)
    return text


def _touched_since(flavor: Flavor, layout: Layout, since: str) -> str:
    """The condition of an incremental read. For numbers the overlap is counted in ones, since
    late commits of a sequence are near in number; for text there is none."""
    name = layout.spec.cursor
    if name is None:
        raise ConfigError(
            f"{layout.schema.name} has no cursor column configured",
            code="SY0184",
            where=flavor.system,
            hint="name one with `cursor` in the member's table",
        )
    column = layout.column(name)
    try:
        value = cursor_value(since, column.family)
    except ValueError:
        raise SystemFault(
            f"the cursor kept for {layout.schema.name} does not fit the column {name!r} any more",
            code="SY0223",
            where=flavor.system,
            hint="a full run starts a new one",
        ) from None
    overlap = layout.spec.overlap
    if isinstance(value, datetime):
        value -= timedelta(seconds=overlap)
    elif isinstance(value, date):
        value -= timedelta(days=1 + overlap // 86400)
    elif isinstance(value, int | Decimal):
        value -= int(overlap)
    bound = flavor.bind(value, column)
    quoted = flavor.quote(name)
    low = str(bound) if isinstance(bound, int | float) else flavor.literal(str(bound))
    return f"({quoted} >= {low} OR {quoted} IS NULL)"
