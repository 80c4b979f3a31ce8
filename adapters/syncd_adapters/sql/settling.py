"""What became of writes whose acknowledgement was lost.

With receipts: the receipt says so, or is made void here, which fences a transaction still under
way. Without: the token says which transaction it was, and the rows, read under their locks, say
what it did. A token is durable before COMMIT is sent; a write without one was never committed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any

from syncd.adapter import Column, Native, Outcome, Row, Status, Write
from syncd.core.model import OpKind
from syncd_adapters.sql.existing import find_existing
from syncd_adapters.sql.faults import FaultKind, Refused
from syncd_adapters.sql.flavor import Connection, Flavor
from syncd_adapters.sql.keyparts import key_part
from syncd_adapters.sql.layout import Layout
from syncd_adapters.sql.receipts import VOID, Receipt, Receipts
from syncd_adapters.sql.tokens import made_count
from syncd_adapters.sql.writing import receipt_outcome

NEVER = "it never happened"
UNTOLD = "it cannot be told whether it happened"


def settle(
    flavor: Flavor,
    layout: Layout,
    receipts: Receipts | None,
    writes: Sequence[Write],
    token: str | None,
) -> list[Outcome]:
    if not writes:
        return []
    doing = f"settling writes to {layout.schema.name}"
    if receipts is not None and receipts.there():
        return _by_receipt(flavor, layout, receipts, writes, doing)
    with flavor.session(doing) as connection:
        flavor.begin_read(connection)
        ended = flavor.ended(connection, token)
        flavor.rollback(connection)
    if ended is False and all(write.kind is OpKind.CREATE for write in writes):
        return [Outcome(w.op_id, Status.STALE, w.key, error=NEVER) for w in writes]
    with flavor.session(doing) as connection:
        flavor.begin_write(connection)  # on SQLite: nobody else is writing from here on
        asker = _Asker(flavor, connection, layout, token, ended)
        outcomes = asker.outcomes(writes)
        flavor.rollback(connection)
    return outcomes


def _by_receipt(
    flavor: Flavor, layout: Layout, receipts: Receipts, writes: Sequence[Write], doing: str
) -> list[Outcome]:
    ids = [write.op_id for write in writes]
    with flavor.session(doing) as connection:
        flavor.begin_read(connection)
        found = receipts.read(connection, ids)
        flavor.rollback(connection)
    for op_id in ids:
        if op_id not in found:
            found[op_id] = _void(flavor, receipts, op_id, doing)
    with flavor.session(doing) as connection:
        flavor.begin_read(connection)
        maker = flavor.row_maker(layout)
        outcomes = [
            receipt_outcome(flavor, connection, layout, maker, write, found[write.op_id])
            for write in writes
        ]
        flavor.rollback(connection)
    return outcomes


def _void(flavor: Flavor, receipts: Receipts, op_id: str, doing: str) -> Receipt:
    """Inserts the id as void; if the operation got there first, its receipt."""
    void = Receipt(VOID, "")
    with flavor.session(doing) as connection:
        flavor.begin_write(connection)
        try:
            receipts.write(connection, {op_id: void})
            flavor.commit(connection)
        except Exception as exc:
            fault = flavor.fault(exc)
            if fault is None or fault.kind is not FaultKind.REFUSED:
                raise
            flavor.rollback(connection)
            flavor.begin_read(connection)
            void = receipts.read(connection, [op_id]).get(op_id, void)
            flavor.rollback(connection)
    return void


class _Asker:
    """Reads rows under lock and tells what the transaction did."""

    def __init__(
        self,
        flavor: Flavor,
        connection: Connection,
        layout: Layout,
        token: str | None,
        ended: bool | None,
    ) -> None:
        self._flavor = flavor
        self._connection = connection
        self._layout = layout
        self._ended = ended
        self._maker = flavor.row_maker(layout)
        raws = [] if token is None else flavor.candidates(connection, layout, token)
        self._ours = {row.key: row for row in map(self._maker.row, raws)}
        self._made = made_count(token)

    def outcomes(self, writes: Sequence[Write]) -> list[Outcome]:
        done: dict[str, Outcome] = {}
        nameless: list[Write] = []
        for write in writes:
            if write.kind is OpKind.CREATE and write.key is None and not self._given(write):
                nameless.append(write)
            elif write.kind is OpKind.CREATE:
                done[write.op_id] = self._created(write)
            else:
                done[write.op_id] = self._changed(write)
        done |= self._made_keys(nameless)
        return [done[write.op_id] for write in writes]

    def _given(self, write: Write) -> bool:
        return all(write.values.get(name) is not None for name in self._layout.key)

    def _row(self, key: str) -> Row | None:
        parts = [self._layout.parts(key)]
        raws = self._flavor.fetch(self._connection, self._layout, parts, lock=True)
        return next((row for row in map(self._maker.row, raws) if row.key == key), None)

    def _changed(self, write: Write) -> Outcome:
        assert write.key is not None
        row = self._row(write.key)
        if write.kind is OpKind.DELETE:
            status = Status.APPLIED if row is None else Status.STALE
            return Outcome(write.op_id, status, write.key)
        if row is not None and (self._holds(write, row) or write.key in self._ours):
            return Outcome(write.op_id, Status.APPLIED, write.key, after=row)
        if row is None or self._ended is False:
            return Outcome(write.op_id, Status.STALE, write.key, error=NEVER)
        return Outcome(write.op_id, Status.UNKNOWN, write.key, error=UNTOLD)

    def _created(self, write: Write) -> Outcome:
        """Its key was given: whatever stands there is the record."""
        if self._ended is False:
            return Outcome(write.op_id, Status.STALE, write.key, error=NEVER)
        try:
            parts = tuple(
                key_part(self._flavor, self._layout, name, write.values[name])
                for name in self._layout.key
            )
        except (Refused, KeyError):
            parts = self._layout.parts(write.key) if write.key else ()
        key = self._layout.encode(parts)
        row = self._row(key)
        if row is None:
            return Outcome(write.op_id, Status.STALE, key, error=NEVER)
        known = key in self._ours or self._holds(write, row)
        return Outcome(write.op_id, Status.APPLIED, key, after=row if known else None)

    def _made_keys(self, writes: Sequence[Write]) -> dict[str, Outcome]:
        """Creates whose key the database made: among the rows of the transaction, by values."""
        free = dict(self._ours)
        done: dict[str, Outcome] = {}
        for write in writes:
            if self._ended is False:
                done[write.op_id] = Outcome(write.op_id, Status.STALE, error=NEVER)
                continue
            row = next((row for row in free.values() if self._holds(write, row)), None)
            if row is not None:
                del free[row.key]
                done[write.op_id] = Outcome(write.op_id, Status.APPLIED, row.key, after=row)
        left = [write for write in writes if write.op_id not in done]
        for write in left:
            key = find_existing(self._flavor, self._connection, self._layout, write.values)
            if key is not None and key in free:
                row = free.pop(key)
                done[write.op_id] = Outcome(write.op_id, Status.APPLIED, key, after=row)
            elif not self._flavor.settles and self._named(write):
                # nothing but the unique columns to go by
                status = Status.STALE if key is None else Status.APPLIED
                done[write.op_id] = Outcome(write.op_id, status, key)
        left = [write for write in left if write.op_id not in done]
        if len(left) == 1 and len(free) == 1 and self._ended is True:
            (row,) = free.values()
            done[left[0].op_id] = Outcome(left[0].op_id, Status.APPLIED, row.key, after=row)
            left = []
        none_left = self._made is not None and len(self._ours) - len(free) == self._made
        nothing = self._made is not None and not self._ours
        for write in left:
            if none_left or nothing:
                done[write.op_id] = Outcome(write.op_id, Status.STALE, error=NEVER)
            else:
                done[write.op_id] = Outcome(write.op_id, Status.UNKNOWN, error=UNTOLD)
        return done

    def _named(self, write: Write) -> bool:
        """Whether a unique set of columns is given, by which it would be found."""
        return any(
            all(write.values.get(name) is not None for name in columns)
            for columns in self._layout.schema.unique
        )

    def _holds(self, write: Write, row: Row) -> bool:
        """Whether the row has every value sent, as its columns hold them."""
        columns = self._layout.schema.columns
        return all(
            same(sent, row.values[name], columns[name])
            for name, sent in write.values.items()
            if name in row.values and name not in self._layout.key
        )


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
