"""Writes of one kind as one transaction, in sets; a record the database refuses goes alone.

begin → lock and re-read → check each → write in sets, halving where refused
      → receipts, token → commit
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from syncd.adapter import Check, Native, Outcome, Row, Status, Token, Write
from syncd.core.model import OpKind
from syncd.errors import SyncdError, SystemFault, Unrepresentable
from syncd_adapters.sql.batch import Batch, Item, by_columns, promised
from syncd_adapters.sql.existing import find_existing
from syncd_adapters.sql.faults import Fault, FaultKind, Refused, Uncorrelated, to_error
from syncd_adapters.sql.flavor import Connection, Flavor
from syncd_adapters.sql.keyparts import key_part
from syncd_adapters.sql.layout import Layout, Parts, RowMaker
from syncd_adapters.sql.receipts import Receipt, Receipts, receipt_outcome
from syncd_adapters.sql.tokens import joined

_TRIES = 4
GONE = "the record is not there any more"


class CommitRefused(Exception):
    """The database said no at COMMIT: nothing of the batch stands."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.text)
        self.fault = fault


class TryAgain(Exception):
    """A deadlock or the like rolled the transaction back."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.text)
        self.fault = fault


class Writer:
    """Applies writes to one endpoint's table."""

    def __init__(self, flavor: Flavor, layout: Layout, receipts: Receipts | None) -> None:
        self._flavor = flavor
        self._layout = layout
        self._receipts = receipts
        self._doing = f"writing {layout.schema.name}"

    def apply(self, writes: Sequence[Write], check: Check, token: Token) -> list[Outcome]:
        if not writes:
            return []
        if self._receipts is not None:
            self._receipts.ensure()
        done = self._patiently(list(writes), check, token)
        return [done[write.op_id] for write in writes]

    def _patiently(self, writes: list[Write], check: Check, token: Token) -> dict[str, Outcome]:
        """Again after a deadlock; in halves after a refusal at COMMIT."""
        for attempt in range(1, _TRIES + 1):
            try:
                return self._once(writes, check, token)
            except TryAgain as again:
                if attempt == _TRIES:
                    raise to_error(again.fault, self._flavor.system, self._doing) from None
                seams = self._flavor.context.seams
                seams.sleep(0.05 * 2**attempt * (0.5 + seams.random.random()))
            except CommitRefused as refused:
                if len(writes) == 1:
                    outcome = self._rejected(writes[0], refused.fault, None)
                    return {writes[0].op_id: outcome}
                return self._in_halves(writes, check, token)
        raise AssertionError("unreachable")

    def _in_halves(self, writes: list[Write], check: Check, token: Token) -> dict[str, Outcome]:
        """The journal keeps one token for all: the second half's must not hide the first's."""
        half = len(writes) // 2
        said = ""

        def of_first(name: str) -> None:
            nonlocal said
            said = name
            token(name)

        first = self._patiently(writes[:half], check, of_first)
        return first | self._other_half(
            writes[half:], check, lambda name: token(joined(said, name))
        )

    def _other_half(self, writes: list[Write], check: Check, token: Token) -> dict[str, Outcome]:
        """The first half stands committed, so a fault is an answer here, not an error."""
        try:
            return self._patiently(writes, check, token)
        except SystemFault as fault:
            text = f"nothing was written: {fault.message}"
            return {w.op_id: Outcome(w.op_id, Status.STALE, w.key, error=text) for w in writes}

    def _once(self, writes: list[Write], check: Check, token: Token) -> dict[str, Outcome]:
        flavor = self._flavor
        with flavor.session(self._doing) as connection:
            self._guard(lambda: flavor.begin_write(connection))
            batch = Batch([Item(write, dict(write.values)) for write in writes])
            self._guard(lambda: self._work(connection, batch, check))
            applied = [o for o in batch.outcomes.values() if o.status is Status.APPLIED]
            if not applied:
                flavor.rollback(connection)
                return batch.outcomes
            written = [self._layout.parts(o.after.key) for o in applied if o.after is not None]
            name = self._guard(lambda: flavor.token(connection, self._layout, written, batch.made))
            if name is not None:
                token(promised(name, batch))
            return self._commit(connection, batch.outcomes)

    def _guard(self, step: Callable[[], Any]) -> Any:
        """Before COMMIT: what may be tried again is told apart; the rest crosses the border."""
        try:
            return step()
        except SyncdError:
            raise
        except Exception as exc:
            fault = self._flavor.fault(exc)
            if fault is not None and fault.kind is FaultKind.AGAIN:
                raise TryAgain(fault) from None
            raise

    def _commit(self, connection: Connection, outcomes: dict[str, Outcome]) -> dict[str, Outcome]:
        try:
            self._flavor.commit(connection)
        except Exception as exc:
            fault = self._flavor.fault(exc)
            if fault is None:
                raise
            if fault.kind is FaultKind.REFUSED:
                raise CommitRefused(fault) from None
            if fault.kind is FaultKind.AGAIN:
                raise TryAgain(fault) from None
            text = f"the connection was lost at commit: {fault.text}"
            return {
                op_id: Outcome(op_id, Status.UNKNOWN, o.key, error=text)
                if o.status is Status.APPLIED
                else o
                for op_id, o in outcomes.items()
            }
        return outcomes

    # -- inside the transaction --------------------------------------------------------------

    def _work(self, connection: Connection, batch: Batch, check: Check) -> None:
        maker = self._flavor.row_maker(self._layout)
        items = self._without_receipt(connection, batch, maker)
        kind = batch.items[0].write.kind
        if kind is OpKind.CREATE:
            self._creates(connection, batch, items, maker)
        else:
            ready = self._checked(connection, batch, items, maker, check)
            if kind is OpKind.DELETE:
                self._deletes(connection, batch, ready)
            else:
                self._updates(connection, batch, ready, maker)
        if self._receipts is not None:
            already = {item.write.op_id for item in batch.items} - {i.write.op_id for i in items}
            given = {
                o.op_id: Receipt(kind.value, o.key or "")
                for o in batch.outcomes.values()
                if o.status is Status.APPLIED and o.op_id not in already
            }
            self._give_receipts(connection, self._receipts, given)

    def _give_receipts(
        self, connection: Connection, receipts: Receipts, given: dict[str, Receipt]
    ) -> None:
        """One that is there by now was given to another process: the next try answers by it."""
        try:
            receipts.write(connection, given)
        except Exception as exc:
            fault = self._flavor.fault(exc)
            if fault is not None and fault.unique:
                raise TryAgain(fault) from None
            raise

    def _without_receipt(self, connection: Connection, batch: Batch, maker: RowMaker) -> list[Item]:
        """Operations whose receipt is there were carried out, or voided: answered, not repeated."""
        if self._receipts is None:
            return batch.items
        found = self._receipts.read(connection, [item.write.op_id for item in batch.items])
        for item in batch.items:
            receipt = found.get(item.write.op_id)
            if receipt is None:
                continue
            batch.outcomes[item.write.op_id] = receipt_outcome(
                self._flavor, connection, self._layout, maker, item.write, receipt
            )
        return [item for item in batch.items if item.write.op_id not in found]

    def _checked(
        self,
        connection: Connection,
        batch: Batch,
        items: list[Item],
        maker: RowMaker,
        check: Check,
    ) -> list[Item]:
        """Locks and re-reads; the items whose precondition holds."""
        for item in items:
            assert item.write.key is not None, "an update, delete or archive names its record"
            item.parts = self._layout.parts(item.write.key)
        keys = [item.parts for item in items if item.parts is not None]
        rows: dict[str, Row] = {}
        for raw in self._flavor.fetch(connection, self._layout, keys, lock=True):
            row = maker.row(raw)
            rows[row.key] = row
        ready: list[Item] = []
        for item in items:
            write = item.write
            row = item.before = rows.get(write.key or "")  # type: ignore[assignment]
            if row is None and write.kind is OpKind.DELETE:
                batch.outcomes[write.op_id] = Outcome(write.op_id, Status.APPLIED, write.key)
                continue
            if row is None:
                reason: str | None = check(write, None) or GONE
            elif write.version is not None and row.version != write.version:
                reason = "the record has another version than the one planned on"
            else:
                reason = check(write, row)
            if reason is not None:
                batch.outcomes[write.op_id] = Outcome(
                    write.op_id, Status.STALE, write.key, before=row, error=reason
                )
                continue
            if write.kind is OpKind.ARCHIVE:
                item.values = self._archiving(item)
            ready.append(item)
        return ready

    def _archiving(self, item: Item) -> dict[str, Native]:
        """The values that mark a row as deleted, beside those given."""
        name = self._layout.spec.soft_delete
        assert name is not None, "archiving needs a soft-delete column"
        if name in item.values:
            return item.values
        column = self._layout.column(name)
        now = self._flavor.context.seams.clock.now()
        marks: dict[str, Native] = {
            "boolean": True,
            "integer": 1,
            "decimal": 1,
            "date": now.date(),
            "datetime": now if column.zoned else now.replace(tzinfo=None),
        }
        already = item.before is not None and item.before.deleted
        return (
            item.values if already else {**item.values, name: marks.get(column.family, "deleted")}
        )

    def _creates(
        self, connection: Connection, batch: Batch, items: list[Item], maker: RowMaker
    ) -> None:
        for group in by_columns(items):
            self._halving(
                connection, batch, group, lambda some: self._insert(connection, some, batch, maker)
            )

    def _insert(
        self, connection: Connection, items: list[Item], batch: Batch, maker: RowMaker
    ) -> list[bytes | None]:
        layout = self._layout
        missing = [name for name in layout.key if name not in items[0].values]
        columns = list(items[0].values)
        rows = [[item.values[name] for name in columns] for item in items]
        if missing:
            reserved = self._flavor.reserve(connection, layout, missing, len(items))
            if reserved is not None:
                columns += missing
                rows = [
                    [*row, *made]
                    for row, made in zip(rows, zip(*reserved, strict=True), strict=True)
                ]
        known = set(layout.key) <= set(columns)
        keys: list[Parts] | None = None
        if known:
            at = [columns.index(name) for name in layout.key]
            keys = [
                tuple(
                    key_part(self._flavor, layout, name, row[n])
                    for name, n in zip(layout.key, at, strict=True)
                )
                for row in rows
            ]
        after = self._flavor.insert(connection, layout, columns, rows, keys)
        if missing:
            batch.made += [maker.row_parts(raw) for raw in after]
        return list(after)

    def _updates(
        self, connection: Connection, batch: Batch, items: list[Item], maker: RowMaker
    ) -> None:
        def update(some: list[Item]) -> list[bytes | None]:
            columns = list(some[0].values)
            if not columns:
                return [item.before.raw if item.before is not None else None for item in some]
            rows = [[item.values[name] for name in columns] for item in some]
            keys = [item.parts for item in some if item.parts is not None]
            return self._flavor.update(connection, self._layout, columns, rows, keys)

        for group in by_columns(items):
            self._halving(connection, batch, group, update)

    def _deletes(self, connection: Connection, batch: Batch, items: list[Item]) -> None:
        def delete(some: list[Item]) -> list[bytes | None]:
            keys = [item.parts for item in some if item.parts is not None]
            self._flavor.delete(connection, self._layout, keys)
            return [None] * len(some)

        self._halving(connection, batch, items, delete)

    def _halving(
        self,
        connection: Connection,
        batch: Batch,
        items: list[Item],
        work: Callable[[list[Item]], list[bytes | None]],
    ) -> None:
        """Does the work on all; where it is refused, on each half, down to the one at fault."""
        if not items:
            return
        flavor = self._flavor
        flavor.savepoint(connection, "syncd_part")
        made = len(batch.made)
        try:
            after = work(items)
            flavor.release(connection, "syncd_part")
        except Exception as exc:
            fault = self._refusal(exc)
            if fault is None:
                raise
            flavor.rollback_to(connection, "syncd_part")
            del batch.made[made:]
            if len(items) == 1:
                item = items[0]
                exists = (
                    find_existing(flavor, connection, self._layout, item.values)
                    if fault.unique and item.write.kind is OpKind.CREATE
                    else None
                )
                batch.outcomes[item.write.op_id] = self._rejected(
                    item.write, fault, exists, item.before
                )
                return
            half = len(items) // 2
            self._halving(connection, batch, items[:half], work)
            self._halving(connection, batch, items[half:], work)
            return
        maker = flavor.row_maker(self._layout)
        for item, raw in zip(items, after, strict=True):
            row = None if raw is None else maker.row(raw)
            batch.outcomes[item.write.op_id] = Outcome(
                item.write.op_id,
                Status.APPLIED,
                row.key if row is not None else item.write.key,
                before=item.before,
                after=row,
            )

    def _refusal(self, exc: Exception) -> Fault | None:
        """The fault if the record may be to blame, None if it is the connection or the schema."""
        if isinstance(exc, Refused | Uncorrelated):
            return Fault(FaultKind.REFUSED, str(exc) or "the new record cannot be told from others")
        if isinstance(exc, Unrepresentable):
            return Fault(FaultKind.REFUSED, exc.message)
        if isinstance(exc, UnicodeEncodeError):
            return Fault(FaultKind.REFUSED, "a text with half a surrogate pair cannot be stored")
        fault = self._flavor.fault(exc)
        return fault if fault is not None and fault.kind is FaultKind.REFUSED else None

    def _rejected(
        self, write: Write, fault: Fault, exists: str | None, before: Row | None = None
    ) -> Outcome:
        return Outcome(
            write.op_id,
            Status.REJECTED,
            write.key,
            before=before,
            error=fault.text,
            exists=exists,
            blocked=fault.foreign,
        )
