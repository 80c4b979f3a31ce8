"""The contract of an adapter: the code that speaks one kind of protocol.

Reading order: `Adapter` (one system) opens an `Endpoint` (one object of it, as one member uses
it); an endpoint reads `Snapshot`s of `Block`s and applies `Write`s, answering one `Outcome` each.

**Native values** are plain Python: None, bool, int, float, Decimal, str, bytes, date, datetime
(aware or naive as the system holds it), time, UUID, list, dict. Mapping turns them into canonical
values and back; an adapter never sees a flow's fields.

**Keys** are native ids encoded by `syncd.core.keys`, whose order as Python strings is the order
in which snapshots come.

Errors: every foreign exception leaves an adapter as one of `syncd.errors`: `Unreachable`,
`AccessDenied`, `SchemaChanged`, `ReadIncomplete`; a refused record is an `Outcome`, not an error.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from syncd.core.model import OpKind
from syncd.seams import Seams

Native = Any
NativeFields = Mapping[str, Native]


@dataclass(frozen=True, slots=True)
class Context:
    """What an adapter is handed. It builds none of these itself.

    system   the name in the config
    options  the system's table from the config, secrets still as references
    secret   resolves a reference ("env:ERP_URL"); raises ConfigError naming the reference
    base     folder that relative paths in the config refer to
    """

    system: str
    options: Mapping[str, Any]
    secret: Callable[[str], str]
    seams: Seams
    log: logging.Logger
    base: str = "."


@dataclass(frozen=True, slots=True)
class Column:
    """One native field. type: the system's own word for it, for messages.

    family  text | integer | decimal | float | boolean | date | datetime | time | uuid | bytes |
            json | enum | list | other
    zoned   datetime: the system stores an instant (True) or a wall time (False)
    length  text and bytes: at most so many; None = unbounded or unknown
    digits, scale   decimal
    choices enum: what it may hold
    default the system fills it on insert when it is not sent
    derived computed by the system: never written
    """

    name: str
    type: str
    family: str
    nullable: bool = True
    length: int | None = None
    digits: int | None = None
    scale: int | None = None
    zoned: bool = False
    choices: tuple[str, ...] = ()
    default: bool = False
    derived: bool = False


@dataclass(frozen=True, slots=True)
class ObjectSchema:
    """What an object looks like now.

    key         columns of the native id, in order
    generated   the system makes the key on insert
    unique      sets of columns that are unique among themselves (the key left out)
    parents     (columns, parent object, its columns): foreign keys
    writable    False for a view
    privileges  of read, insert, update, delete: those granted; None = cannot be asked
    rows        an estimate; None = unknown
    versions    fields not among the columns that the system itself changes with every write
    """

    name: str
    columns: Mapping[str, Column]
    key: tuple[str, ...]
    generated: bool = False
    unique: tuple[tuple[str, ...], ...] = ()
    parents: tuple[tuple[tuple[str, ...], str, tuple[str, ...]], ...] = ()
    writable: bool = True
    privileges: frozenset[str] | None = None
    rows: int | None = None
    versions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """How one member uses an object; straight from the config.

    columns      native fields its mapping reads
    writes       those it may write (also on create); nothing else is ever written
    key          overrides the reflected key (a view needs it)
    version      column that changes with every write
    modified     column with the time of the last edit
    created      column with a creation mark
    cursor       column that only grows with edits: incremental reads
    overlap      seconds re-read behind the cursor for ties and late commits
    soft_delete  column that marks a row as deleted (null/false/0 = live)
    receipts     keep a receipts table in the target, written with each effect
    """

    object: str
    columns: tuple[str, ...]
    writes: frozenset[str] = frozenset()
    key: tuple[str, ...] = ()
    version: str | None = None
    modified: str | None = None
    created: str | None = None
    cursor: str | None = None
    overlap: float = 60.0
    soft_delete: str | None = None
    receipts: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One record as read, decoded. values: the spec's columns; deleted: a soft-deleted row."""

    key: str
    values: NativeFields
    raw: bytes
    version: str | None = None
    modified: Native = None
    created: str | None = None
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """About a thousand rows, undecoded: `raws[i]` is row `keys[i]` as read.

    Equal raws mean an equal row; the engine hashes them and decodes only those that differ.
    `key` stands in the raw too, so two rows never share one.
    """

    keys: Sequence[str]
    raws: Sequence[bytes]


class Snapshot(Protocol):
    """A stream of records, consistent as of its opening, ordered by key without repeats.

    complete    the stream, once exhausted, is every record there is (law 6)
    cursor      where the next incremental read begins; valid once the stream is exhausted
    reader      names the way rows are read and raws are built; part of the row hash
    """

    complete: bool
    cursor: str | None
    reader: str

    def blocks(self) -> Iterator[Block]:
        """Raises ReadIncomplete where the stream breaks, SystemFault where its order is violated.
        Rows of one key come out as many times as they were read; the engine sets such keys
        aside."""

    def decode(self, raw: bytes) -> Row: ...


@dataclass(frozen=True, slots=True)
class Write:
    """One effect. op_id: the journal's durable id of it, the same on every retry.

    key      None for a create whose key the system makes
    values   native values by column: only these are written
    version  the version it must still have, where the spec names a version column
    parents  for ordering inside one batch: nothing needed here, the engine orders
    """

    op_id: str
    kind: OpKind
    key: str | None
    values: NativeFields = field(default_factory=dict)
    version: str | None = None


class Status(StrEnum):
    APPLIED = "applied"
    STALE = "stale"  # the precondition does not hold any more, or the record is not there
    REJECTED = "rejected"  # the system refuses this record
    UNKNOWN = "unknown"  # it may or may not have happened


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one write.

    before, after  the row as it stood under the write's own lock and after it: proof (law 5)
    exists         REJECTED create: key of the record that is already there
    blocked        REJECTED by a reference (a parent absent, children left): try again later
    """

    op_id: str
    status: Status
    key: str | None = None
    before: Row | None = None
    after: Row | None = None
    error: str = ""
    exists: str | None = None
    blocked: bool = False


Check = Callable[[Write, Row | None], str | None]
"""Says why a write must not happen, given the row as it stands under the write's lock (None =
there is none); None = go on. The adapter calls it for every update, delete and archive."""

Token = Callable[[str], None]
"""Makes a token durable in the journal before the commit it names; may raise to stop the write."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the engine's law needs to know of a member.

    consistent   a complete snapshot is one transaction: absence in it is proof
    settles      what clears up a lost acknowledgement of a create: "key" | "unique" (it is looked
                 for) | "rows" (under the keys the system made) | "receipts" | "transaction" (the
                 system is asked what became of it) | "" = nothing
    read_lag     seconds for which a read may miss our own write
    reuses       the id of a deleted record may be given to another one
    """

    consistent: bool
    settles: str
    read_lag: float = 0.0
    batch: int = 1000
    reuses: bool = False


class Endpoint(Protocol):
    """One object of one system, as one member uses it. Methods may be called from several tasks."""

    spec: EndpointSpec
    schema: ObjectSchema
    capabilities: Capabilities

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """Every record, in one consistent read."""

    def since(self, cursor: str) -> AbstractContextManager[Snapshot]:
        """Records touched since `cursor` (and some more); `complete` is False."""

    def keys(self) -> AbstractContextManager[Snapshot]:
        """Every key, nothing else (raws are empty): finds deletions. `complete` is True."""

    def cursor(self) -> str | None:
        """Where an incremental read that begins after a full one would start; None = no cursor."""

    def get(self, keys: Sequence[str]) -> list[Row]:
        """The rows of these keys that exist, read now, in no order."""

    def apply(self, writes: Sequence[Write], check: Check, token: Token) -> list[Outcome]:
        """All of one kind. Everything that succeeds does so in one transaction where the system
        has them; a record the system refuses does not take the others with it. One outcome a
        write. Never raises for a record; raises Unreachable only when nothing was sent."""

    def settle(self, writes: Sequence[Write], token: str | None) -> list[Outcome]:
        """What became of writes sent earlier (by a process that may be dead): APPLIED (with key
        and, where it can be told, after), STALE = it never happened and never will, UNKNOWN."""

    def lookup_is_exact(self) -> bool:
        """Whether `get` reflects every write committed before the call (no search lag)."""


class Adapter(Protocol):
    """One system. Built by a factory `(Context) -> Adapter` that connects lazily."""

    def identity(self) -> str:
        """Names the database behind the address; another answer than last time halts (S37)."""

    def objects(self) -> list[str]:
        """Names of the objects it holds, tables before views."""

    def describe(self, name: str, key: Sequence[str] = ()) -> ObjectSchema:
        """Raises SchemaChanged (unknown object, with the nearest right one as hint)."""

    def open(self, spec: EndpointSpec) -> Endpoint:
        """Raises SchemaChanged for a column that is not there, ConfigError for a spec that
        cannot work (no key, a view to be written)."""

    def counter(self, deployment: str, advance_to: int | None = None) -> int | None:
        """The highest store tick this system has a receipt of for the deployment, None where no
        receipts are granted; `advance_to` records a new one. Tells an old state from a new one."""

    def close(self) -> None: ...


Factory = Callable[[Context], Adapter]
"""What an entry point of the group `syncd.adapters` names."""
