"""What became of writes whose acknowledgement was lost.

With receipts: the receipt says so, or is made void here, which fences a transaction still under
way. Without: the token says which transaction it was, and the rows, read under their locks, say
what it did. A token is durable before COMMIT is sent; a write without one was never committed.
"""

from __future__ import annotations

from collections.abc import Sequence

from syncd.adapter import Outcome, Row, Status, Write
from syncd.core.model import OpKind
from syncd_adapters.sql.existing import find_existing
from syncd_adapters.sql.faults import FaultKind, Refused, UnderWay
from syncd_adapters.sql.flavor import Connection, Flavor
from syncd_adapters.sql.keyparts import key_part
from syncd_adapters.sql.layout import Layout
from syncd_adapters.sql.receipts import VOID, Receipt, Receipts, receipt_outcome
from syncd_adapters.sql.sameness import holds, unproven
from syncd_adapters.sql.tokens import made_count, read_joined, read_promises, read_range

NEVER = "it never happened"
UNDER_WAY = "the transaction that would have written it has not ended yet"
UNTOLD = "it cannot be told whether it happened"
_TELLING = (Status.STALE, Status.UNKNOWN, Status.APPLIED)


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
    answers = [_by_token(flavor, layout, writes, part, doing) for part in read_joined(token)]
    return [
        max(said, key=lambda o: _TELLING.index(o.status)) for said in zip(*answers, strict=True)
    ]


def _by_token(
    flavor: Flavor, layout: Layout, writes: Sequence[Write], token: str | None, doing: str
) -> list[Outcome]:
    token, whole, ordered = read_promises(token)
    try:
        with flavor.session(doing) as connection:
            flavor.begin_read(connection)
            ended = flavor.ended(connection, token)
            flavor.rollback(connection)
    except UnderWay:
        return [Outcome(w.op_id, Status.UNKNOWN, w.key, error=UNDER_WAY) for w in writes]
    if ended is False and all(write.kind is OpKind.CREATE for write in writes):
        return [Outcome(w.op_id, Status.STALE, w.key, error=NEVER) for w in writes]
    with flavor.session(doing) as connection:
        flavor.begin_write(connection)  # on SQLite: nobody else is writing from here on
        asker = _Asker(flavor, connection, layout, token, ended)
        asker.whole, asker.ordered = whole, whole and ordered
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
    """Reads rows under lock and tells what the transaction did. A row is proof while nobody but
    that transaction has written it; one edited since only tells that the write was there."""

    whole = False
    ordered = False

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
        self._ours: dict[str, Row] = {}
        self._untouched: set[str] = set()
        if token is not None:
            for raw, untouched in flavor.candidates(connection, layout, token):
                row = self._maker.row(raw)
                self._ours[row.key] = row
                if untouched:
                    self._untouched.add(row.key)
        self._made = made_count(token)
        self._range = None if token is None else read_range(token)
        self._unmarked = flavor.settles != "transaction" and self._range is None

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
        if row is not None and (holds(self._layout, write, row) or write.key in self._untouched):
            return self._done(write, row)
        if self.whole and self._ended is True:
            return Outcome(write.op_id, Status.APPLIED, write.key)
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
        if row is not None:
            return self._done(write, row)
        if self.whole and self._ended is True:  # and deleted since
            return Outcome(write.op_id, Status.APPLIED, key)
        return Outcome(write.op_id, Status.STALE, key, error=NEVER)

    def _done(self, write: Write, row: Row) -> Outcome:
        """It happened; the row is proof of it or has been edited since."""
        after = None
        if row.key in self._untouched:
            after = row
        elif holds(self._layout, write, row):
            after = unproven(row)
        return Outcome(write.op_id, Status.APPLIED, row.key, after=after)

    def _in_order(self, writes: Sequence[Write]) -> dict[str, Outcome]:
        """The batch was committed as a whole, and the keys made follow its operations: nothing
        that happened to the rows since can blur which is which."""
        if not (self.ordered and self._ended is True and self._range and writes):
            return {}
        first, last = self._range
        if not len(writes) == self._made == last - first + 1:
            return {}
        done: dict[str, Outcome] = {}
        for number, write in enumerate(writes, first):
            key = self._layout.encode((number,))
            row = self._ours.get(key)
            gone = Outcome(write.op_id, Status.APPLIED, key)
            done[write.op_id] = gone if row is None else self._done(write, row)
        return done

    def _made_keys(self, writes: Sequence[Write]) -> dict[str, Outcome]:
        """Creates whose key the database made: among the rows of the transaction, by values."""
        done = self._in_order(writes)
        if done:
            return done
        free = dict(self._ours)
        for write in writes:
            if self._ended is False:
                done[write.op_id] = Outcome(write.op_id, Status.STALE, error=NEVER)
                continue
            row = next((row for row in free.values() if holds(self._layout, write, row)), None)
            if row is not None:
                del free[row.key]
                done[write.op_id] = self._done(write, row)
        left = [write for write in writes if write.op_id not in done]
        for write in left:
            key = find_existing(self._flavor, self._connection, self._layout, write.values)
            if key is not None and key in free:
                done[write.op_id] = self._done(write, free.pop(key))
            elif self._unmarked and self._named(write):
                # nothing but the unique columns to go by
                status = Status.STALE if key is None else Status.APPLIED
                done[write.op_id] = Outcome(write.op_id, status, key)
        left = [write for write in left if write.op_id not in done]
        if len(left) == 1 and len(free) == 1 and self._ended is True:
            (row,) = free.values()
            done[left[0].op_id] = self._done(left[0], row)
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
