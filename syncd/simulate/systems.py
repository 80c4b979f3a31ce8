"""Simulated systems behind the adapter's contract."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import timedelta
from typing import Any, Protocol

from syncd.adapter import (
    Block,
    Capabilities,
    Check,
    Column,
    EndpointSpec,
    ObjectSchema,
    Outcome,
    Row,
    Status,
    Token,
    Write,
)
from syncd.core import keys
from syncd.core.model import OpKind
from syncd.errors import (
    AccessDenied,
    Interrupted,
    ReadIncomplete,
    SchemaChanged,
    Unreachable,
)
from syncd.simulate import table as truth
from syncd.simulate.clock import BEGIN, Chance
from syncd.simulate.packing import packed, unpacked
from syncd.simulate.script import Fault, Traits
from syncd.simulate.table import Refusal, Table


class Wires(Protocol):
    """What stands between the engine and a system."""

    chance: Chance

    def call(self, member: str, what: str) -> Fault | None:
        """One call goes out: time passes, others act, and perhaps something goes wrong with it."""

    def seconds(self) -> float: ...

    def person(self, member: str, natives: Mapping[str, Any]) -> int: ...

    def wrote(self, member: str, what: str, before: Any, after: Any, write: Write) -> None: ...


class Adapter:
    """One system with one object."""

    def __init__(self, table: Table, schema: ObjectSchema, wires: Wires) -> None:
        self._table, self._schema, self._wires = table, schema, wires

    def identity(self) -> str:
        fault = self._call("connect")
        return "another" if fault is not None and fault.kind == "moved" else self._table.name

    def objects(self) -> list[str]:
        return [self._schema.name]

    def describe(self, name: str, key: Sequence[str] = ()) -> ObjectSchema:
        fault = self._call("describe")
        columns = dict(self._schema.columns)
        if fault is not None and fault.kind == "column":
            others = sorted(set(columns).difference(self._schema.key))
            del columns[others[fault.many % len(others)]]
        unique = tuple(one for one in self._schema.unique if all(name in columns for name in one))
        return replace(self._schema, columns=columns, unique=unique)

    def open(self, spec: EndpointSpec) -> Endpoint:
        missing = [name for name in spec.columns if name not in self._schema.columns]
        if missing:
            raise SchemaChanged(f"no column {missing[0]}", where=self._table.name)
        return Endpoint(spec, self._table, self.describe(spec.object), self._wires)

    def counter(self, deployment: str, advance_to: int | None = None) -> int | None:
        if self._table.traits.proof != "receipts":
            return None
        if advance_to is not None:
            self._table.ticks = max(self._table.ticks or 0, advance_to)
        return self._table.ticks

    def close(self) -> None:
        pass

    def _call(self, what: str) -> Fault | None:
        return called(self._wires, self._table.name, what)


def called(wires: Wires, member: str, what: str) -> Fault | None:
    """The fault left for the caller to act on; those that every call answers alike are raised."""
    fault = wires.call(member, what)
    if fault is None:
        return None
    if fault.kind == "down":
        raise Unreachable("no answer", where=member)
    if fault.kind == "denied":
        raise AccessDenied("not allowed any more", where=member)
    if fault.kind == "interrupt":
        raise Interrupted("asked to stop")
    return fault


class Listing:
    """A stream of records in the order of their keys."""

    reader = "simulated/1"

    def __init__(self, endpoint: Endpoint, after: float | None, bare: bool) -> None:
        self._endpoint, self._after, self._bare = endpoint, after, bare
        self.complete = after is None
        self.cursor: str | None = None
        self._begun = endpoint.wires.seconds()
        self._moment = endpoint.seen() if endpoint.table.traits.consistent else None

    def blocks(self) -> Iterator[Block]:
        endpoint = self._endpoint
        page, place, empty = endpoint.table.traits.page, 0, False
        while True:
            fault = called(endpoint.wires, endpoint.table.name, "page")
            if fault is not None and fault.kind == "cut":
                raise ReadIncomplete("the listing broke off", where=endpoint.table.name)
            if fault is not None and fault.kind == "empty":
                # a listing of one moment has all its pages or none
                empty = empty or not place or self._moment is None
            found = self._rows()[place : place + page]
            if not found or empty:
                break
            place += len(found)
            ids = [endpoint.key(row.number) for row in found]
            yield Block(ids, [b"" if self._bare else endpoint.raw(row) for row in found])
        self.cursor = str(self._begun)

    def _rows(self) -> list[truth.Row]:
        rows = self._moment if self._moment is not None else self._endpoint.seen()
        rows = sorted(rows, key=lambda row: self._endpoint.key(row.number))
        if self._bare:
            return [row for row in rows if not row.gone]
        return [row for row in rows if self._after is None or row.changed >= self._after]

    def decode(self, raw: bytes) -> Row:
        return self._endpoint.decode(raw)


class Endpoint:
    """Its object, as one member uses it."""

    def __init__(
        self, spec: EndpointSpec, table: Table, schema: ObjectSchema, wires: Wires
    ) -> None:
        self.spec, self.table, self.schema, self.wires = spec, table, schema, wires
        traits = table.traits
        self.capabilities = Capabilities(
            consistent=traits.consistent,
            settles=traits.proof,
            read_lag=traits.lag,
            batch=traits.batch,
        )

    # --- reading

    def snapshot(self) -> AbstractContextManager[Listing]:
        called(self.wires, self.table.name, "list")
        return nullcontext(Listing(self, None, bare=False))

    def since(self, cursor: str) -> AbstractContextManager[Listing]:
        called(self.wires, self.table.name, "list")
        return nullcontext(Listing(self, float(cursor) - self.spec.overlap, bare=False))

    def keys(self) -> AbstractContextManager[Listing]:
        called(self.wires, self.table.name, "list")
        return nullcontext(Listing(self, None, bare=True))

    def cursor(self) -> str | None:
        return str(self.wires.seconds()) if self.table.traits.cursor else None

    def get(self, keys: Sequence[str]) -> list[Row]:
        called(self.wires, self.table.name, "get")
        wanted = set(keys)
        rows = [row for row in self.seen() if self.key(row.number) in wanted]
        return [self.decode(self.raw(row)) for row in rows]

    def lookup_is_exact(self) -> bool:
        return not self.table.traits.lag

    def seen(self) -> list[truth.Row]:
        """The records as a read begun now shows them: of some moment within the lag."""
        lag = self.table.traits.lag
        if not lag:
            return list(self.table.ordered(self.table.rows))
        then = self.wires.seconds() - lag * self.wires.chance.random()
        return list(self.table.ordered(self.table.at(then)))

    # --- writing

    def apply(self, writes: Sequence[Write], check: Check, token: Token) -> list[Outcome]:
        member = self.table.name
        fault = called(self.wires, member, "write")
        kind = fault.kind if fault is not None else ""
        if kind == "before":
            raise Unreachable("the connection broke before anything was sent", where=member)
        name = ""
        if self.table.traits.proof == "transaction":
            name = f"t{self.wires.chance.getrandbits(64):x}"
            token(name)
        if kind == "silent":
            return [Outcome(w.op_id, Status.UNKNOWN, error="no answer") for w in writes]
        many = len(writes) // 2 if kind == "half" else len(writes)
        outcomes = []
        for place, write in enumerate(writes[:many]):
            if kind == "refuse" and fault is not None and place < fault.many:
                # as many do, it quotes what it was given, whatever that is
                error = f"it does not like {dict(write.values)}"
                outcomes.append(Outcome(write.op_id, Status.REJECTED, error=error))
            else:
                outcomes.append(self._effect(write, check, name))
        if self.table.traits.proof == "transaction" and many:
            self.table.commits.setdefault(name, {})
        called(self.wires, member, "answer")
        if kind in ("lost", "half"):
            return [Outcome(w.op_id, Status.UNKNOWN, error="no answer") for w in writes]
        if kind == "shuffle":
            self.wires.chance.shuffle(outcomes)
        if kind == "missing" and outcomes:
            outcomes.pop(self.wires.chance.randrange(len(outcomes)))
        return outcomes

    def _effect(self, write: Write, check: Check, token: str) -> Outcome:
        table, now = self.table, self.wires.seconds()
        if table.traits.proof == "receipts" and write.op_id in table.receipts:
            word, number = table.receipts[write.op_id]
            if word == "void":
                return Outcome(write.op_id, Status.STALE, error="made void")
            return Outcome(write.op_id, Status.APPLIED, self.key(number))
        row = self._row(write.key)
        if write.kind is not OpKind.CREATE:
            complaint = check(write, None if row is None else self.decode(self.raw(row)))
            if complaint is None and row is None and write.kind is not OpKind.DELETE:
                complaint = "it is not there"
            if (
                complaint is None
                and row is not None
                and write.version not in (None, str(row.version))
            ):
                complaint = "its version moved"
            if complaint is not None:
                return Outcome(write.op_id, Status.STALE, write.key, error=complaint)
        try:
            after = self._change(write, row, now)
        except Refusal as refusal:
            exists = None if refusal.exists is None else self.key(refusal.exists)
            return Outcome(
                write.op_id, Status.REJECTED, write.key, error=str(refusal), exists=exists
            )
        number = after.number if after is not None else row.number if row is not None else 0
        key = self.key(number)
        if table.traits.proof == "receipts":
            table.receipts[write.op_id] = ("done", number)
        if token:
            table.commits.setdefault(token, {})[write.op_id] = number
        shown = None
        if table.traits.answers and after is not None and not after.gone:
            shown = self.decode(self.raw(after))
        return Outcome(write.op_id, Status.APPLIED, key, after=shown)

    def _change(self, write: Write, row: truth.Row | None, now: float) -> truth.Row | None:
        table, values = self.table, dict(write.values)
        if write.kind is OpKind.CREATE:
            after = table.insert(values, now, self.wires.person(table.name, values), by_us=True)
            self.wires.wrote(table.name, "insert", None, after, write)
            return after
        if row is None:
            return None
        if write.kind is OpKind.UPDATE:
            after = table.update(row.number, values, now)
            self.wires.wrote(table.name, "update", row, after, write)
            return after
        table.delete(row.number, now)
        self.wires.wrote(table.name, "delete", row, None, write)
        return table.rows.get(row.number)

    # --- lost answers

    def settle(self, writes: Sequence[Write], token: str | None) -> list[Outcome]:
        fault = called(self.wires, self.table.name, "settle")
        if fault is not None and fault.kind == "mute":
            return [Outcome(w.op_id, Status.UNKNOWN, error="no answer") for w in writes]
        return [self._settled(write, token) for write in writes]

    def _settled(self, write: Write, token: str | None) -> Outcome:
        proof, table = self.table.traits.proof, self.table
        if proof == "receipts":
            word, number = table.receipts.setdefault(write.op_id, ("void", 0))
            return self._told(write, number if word == "done" else None)
        if proof == "transaction":
            return self._told(write, table.commits.get(token or "", {}).get(write.op_id))
        row = self._row(write.key)
        if write.kind is OpKind.DELETE or write.kind is OpKind.ARCHIVE:
            there = row is not None and not row.gone
            return Outcome(write.op_id, Status.STALE if there else Status.APPLIED, write.key)
        if write.kind is OpKind.UPDATE:
            if row is None:
                return Outcome(write.op_id, Status.STALE, write.key, error="it never happened")
            wanted = table.shaped(dict(write.values))
            if all(row.values[name] == value for name, value in wanted.items()):
                return Outcome(write.op_id, Status.APPLIED, write.key, after=self._shown(row))
            return Outcome(write.op_id, Status.UNKNOWN, write.key, error="it cannot be told")
        if proof != "unique":
            return Outcome(write.op_id, Status.UNKNOWN, error="it cannot be told")
        wanted = table.shaped(dict(write.values))
        if any(wanted.get(name) is None for name in table.traits.unique):
            return Outcome(write.op_id, Status.UNKNOWN, error="it cannot be told")
        for row in table.live():
            if all(row.values[name] == wanted.get(name) for name in table.traits.unique):
                return Outcome(write.op_id, Status.APPLIED, self.key(row.number))
        return Outcome(write.op_id, Status.STALE, error="it never happened")

    def _told(self, write: Write, number: int | None) -> Outcome:
        if number is None:
            return Outcome(write.op_id, Status.STALE, write.key, error="it never happened")
        return Outcome(write.op_id, Status.APPLIED, self.key(number))

    # --- forms

    def key(self, number: int) -> str:
        return keys.encode((f"k{number}",) if self.table.traits.text_keys else (number,))

    def _row(self, key: str | None) -> truth.Row | None:
        if key is None:
            return None
        return next((r for r in self.table.rows.values() if self.key(r.number) == key), None)

    def _shown(self, row: truth.Row) -> Row:
        return self.decode(self.raw(row))

    def raw(self, row: truth.Row) -> bytes:
        values = [row.values[name] for name in self.spec.columns if name in row.values]
        facts = (row.number, values, row.version, row.changed, row.born, row.gone)
        return packed(facts)

    def decode(self, raw: bytes) -> Row:
        number, values, version, changed, born, gone = unpacked(raw)
        named = [name for name in self.spec.columns if name in self.table.blank]
        spec = self.spec
        return Row(
            self.key(number),
            dict(zip(named, values, strict=True)),
            raw,
            str(version) if spec.version else None,
            BEGIN + timedelta(seconds=changed) if spec.modified else None,
            str(born) if spec.created else None,
            gone and spec.soft_delete is not None,
        )


def columns_of(traits: Traits) -> dict[str, Column]:
    """What a system with these traits says of its object."""
    families = {
        "email": "text", "name": "text", "city": "text", "amount": "integer", "tags": "list",
        "memo": "text", "stamp": "text", "rev": "integer", "changed": "datetime",
        "born": "integer", "gone": "boolean",
    }  # fmt: skip
    found = {n: Column(n, f, f, zoned=f == "datetime") for n, f in families.items()}
    kind = "text" if traits.text_keys else "integer"
    return {"id": Column("id", kind, kind, nullable=False), **found}


def schema_of(traits: Traits) -> ObjectSchema:
    unique = tuple((name,) for name in traits.unique)
    return ObjectSchema("people", columns_of(traits), ("id",), generated=True, unique=unique)
