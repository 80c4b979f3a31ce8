"""Receipts in the target: one row an effect, written in the effect's own transaction.

Which operation was carried out can then be asked of the very database, whatever became of the
acknowledgement; and a process that settles can void an operation that is still under way, since
only one of the two can insert its id. Nothing here deletes a receipt: how long a stopped deployment
will still ask is not known, and a receipt missed would be an operation repeated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from syncd.adapter import Outcome, Row, Status, Write
from syncd.core.keys import decode
from syncd.core.model import OpKind
from syncd.errors import AccessDenied, Kind, SyncdError
from syncd_adapters.sql.faults import FaultKind
from syncd_adapters.sql.flavor import Connection, Flavor, chunks
from syncd_adapters.sql.layout import Layout, RowMaker, TableRef
from syncd_adapters.sql.sameness import holds, unproven

VOID = "void"


class Receipt(NamedTuple):
    """effect: the kind of write, or VOID. key: "" where none."""

    effect: str
    key: str


class Receipts:
    """The tables `syncd_receipts` and `syncd_state` of one database."""

    def __init__(self, flavor: Flavor) -> None:
        self._flavor = flavor
        schema = flavor.options.schema
        self._receipts = flavor.table(TableRef(schema, "syncd_receipts"))
        self._state = flavor.table(TableRef(schema, "syncd_state"))
        self._there = False

    def there(self) -> bool:
        """Whether the tables exist."""
        if not self._there:
            with self._flavor.session("looking for the receipts table") as connection:
                try:
                    self._flavor.rows(connection, f"SELECT op_id FROM {self._receipts} WHERE 1 = 0")
                    self._flavor.rows(connection, f"SELECT name FROM {self._state} WHERE 1 = 0")
                    self._there = True
                except Exception as exc:
                    fault = self._flavor.fault(exc)
                    if fault is None or fault.kind not in (FaultKind.OBJECT, FaultKind.REFUSED):
                        raise
        return self._there

    def ensure(self) -> None:
        """Creates the tables. Raises AccessDenied with the statements somebody else may run."""
        if self.there():
            return
        op_id = self._flavor.key_type
        key = self._flavor.quote("key")
        receipts = (
            f"CREATE TABLE IF NOT EXISTS {self._receipts} (op_id {op_id} NOT NULL PRIMARY KEY, "
            f"effect VARCHAR(20) NOT NULL, {key} VARCHAR(2000) NOT NULL, at VARCHAR(40) NOT NULL)"
        )
        state = (
            f"CREATE TABLE IF NOT EXISTS {self._state} (name VARCHAR(200) NOT NULL PRIMARY KEY, "
            "value BIGINT NOT NULL)"
        )
        made = (receipts, state)
        try:
            with self._flavor.session("creating the receipts table") as connection:
                for statement in made:
                    self._flavor.run(connection, statement)
        except SyncdError as error:
            if error.kind is Kind.RETRYABLE:
                raise
            raise AccessDenied(
                "the receipts table cannot be created",
                code="SY0225",
                where=self._flavor.system,
                hint="let an owner run: "
                + "; ".join(s.replace("%%", "%") for s in made)
                + "; and grant select, insert, update, delete on both, or set receipts = false",
            ) from None
        self._there = True

    def read(self, connection: Connection, op_ids: Sequence[str]) -> dict[str, Receipt]:
        found: dict[str, Receipt] = {}
        key = self._flavor.quote("key")
        for some in chunks(op_ids, 500):
            marks = ", ".join([self._flavor.mark] * len(some))
            sql = f"SELECT op_id, effect, {key} FROM {self._receipts} WHERE op_id IN ({marks})"
            for op_id, effect, at in self._flavor.rows(connection, sql, some):
                found[op_id] = Receipt(effect, at)
        return found

    def write(self, connection: Connection, receipts: Mapping[str, Receipt]) -> None:
        """Waits for whoever is writing one of these ids; raises a unique violation if they did."""
        at = self._flavor.context.seams.clock.now().isoformat()
        row = "(" + ", ".join([self._flavor.mark] * 4) + ")"
        key = self._flavor.quote("key")
        for some in chunks(sorted(receipts.items()), 100):
            values: Iterable[str] = (
                value for op_id, (effect, of) in some for value in (op_id, effect, of, at)
            )
            rows = ", ".join([row] * len(some))
            sql = f"INSERT INTO {self._receipts} (op_id, effect, {key}, at) VALUES {rows}"
            self._flavor.run(connection, sql, tuple(values))

    def counter(self, deployment: str, advance_to: int | None) -> int:
        """The highest number recorded for the deployment, after recording `advance_to`."""
        mark = self._flavor.mark
        with self._flavor.session("recording the store's tick") as connection:
            self._flavor.begin_write(connection)
            sql = f"SELECT value FROM {self._state} WHERE name = {mark}"
            if advance_to is None:
                rows = self._flavor.rows(connection, sql, (deployment,))
                self._flavor.rollback(connection)
                return int(rows[0][0]) if rows else 0
            touched = self._flavor.run(
                connection,
                f"UPDATE {self._state} SET value = {mark} WHERE name = {mark} AND value < {mark}",
                (advance_to, deployment, advance_to),
            )
            rows = self._flavor.rows(connection, sql, (deployment,))
            if not touched and not rows:
                self._flavor.run(
                    connection,
                    f"INSERT INTO {self._state} (name, value) VALUES ({mark}, {mark})",
                    (deployment, advance_to),
                )
                rows = [(advance_to,)]
            self._flavor.commit(connection)
            return int(rows[0][0])


def receipt_outcome(
    flavor: Flavor,
    connection: Connection,
    layout: Layout,
    maker: RowMaker,
    write: Write,
    receipt: Receipt,
) -> Outcome:
    """What a receipt says of its operation; the row as it is now where it still is what was
    written, without its version, which may be of a later edit."""
    if receipt.effect == VOID:
        return Outcome(write.op_id, Status.STALE, write.key, error="voided: it never happened")
    key = receipt.key or write.key
    after: Row | None = None
    if key and write.kind is not OpKind.DELETE:
        raws = flavor.fetch(connection, layout, [decode(key)], lock=False)
        found = next((row for row in map(maker.row, raws) if row.key == key), None)
        after = unproven(found) if found is not None and holds(layout, write, found) else None
    return Outcome(write.op_id, Status.APPLIED, key, after=after)
