"""The simulated members: their tables, their users, and what can happen in a history.

Every edit writes a value of its own (`007-city`, or a set with an element of its own), so a value
says which edit it came from, also after truncation to three characters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from law.worlds import FIELDS, MEMBERS
from syncd.core.model import Fields, Record, Value
from syncd.core.rules import FlowRules

START = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
SHORT = 3  # what a truncating member keeps


@dataclass(frozen=True, slots=True)
class Nature:
    """versioned: a version token; timed: a modified time; short: truncates texts;
    proves: the answer to a write holds the record as it stands then; lag: seconds for which a
    read may show what stood before."""

    versioned: bool = True
    timed: bool = True
    short: bool = False
    proves: bool = True
    lag: float = 0.0


@dataclass
class Stand:
    """A record in a member's table."""

    key: str
    fields: dict[str, Value]
    version: int
    modified: str
    touched: str  # when a user last changed it


@dataclass
class Edit:
    """A change of one field by a user, or by a person's decision (member "").

    saw      the value it replaced
    filled   a blank at first sight, which is filled and no edit (law 9)
    undone   it sets back what its member had confirmed before (S5): no change, and so neither
             are the ones it takes back
    """

    member: str
    name: str
    value: Value
    saw: Value
    filled: bool = False
    undone: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens. what: edit, delete, create, decide, run.

    edit: of `name` at `member`; `blank` empties it, or takes an element out of a set.
    decide: a person takes open case number `pick`, and of it `choice`, or candidate number `pick`.
    For a run: `away` members cannot be read, `late` ones answer with what they held when the
    last run began, `bare` are fields that a member's answer lacks, `fate` is what becomes of a
    write by member, `race` are edits of users between the read and the write, `news` says whether
    unknown outcomes are cleared up first.
    """

    what: str
    member: str = ""
    name: str = ""
    blank: bool = False
    pick: int = 0
    choice: str = "take"
    away: frozenset[str] = frozenset()
    late: frozenset[str] = frozenset()
    bare: Mapping[str, frozenset[str]] = field(default_factory=dict)
    fate: Mapping[str, str] = field(default_factory=dict)
    race: tuple[tuple[str, str], ...] = ()
    news: bool = True


def mark(value: Value) -> Any:
    """What tells edits apart, also truncated or folded."""
    if isinstance(value, list):
        return frozenset(value)
    return value[:SHORT] if isinstance(value, str) else value


class Tables:
    """What the members hold, and what their users do to it."""

    def __init__(
        self, rules: FlowRules, natures: Mapping[str, Nature], begin: Sequence[str]
    ) -> None:
        lagging = {m: replace(r, read_lag=natures[m].lag) for m, r in rules.members.items()}
        self.rules, self.natures = replace(rules, members=lagging), natures
        self.rows: dict[str, dict[str, Stand]] = {m: {} for m in MEMBERS}
        self.now, self.count = START, 0
        self.edits: list[Edit] = []
        self.deleted: list[str] = []
        self.touched: dict[tuple[str, str], str] = {}  # by member and time of the row
        self.before: dict[str, dict[str, Value]] = {}  # by member, what was deleted there
        self.log: list[str] = []
        values: dict[str, Value] = {f: self.fresh(f) for f in FIELDS}
        for member in begin:
            self.put(member, f"{member}1", values)

    def fresh(self, name: str) -> Value:
        self.count += 1
        return ["p"] if name == "tags" else f"{self.count:03d}-{name}"

    def put(self, member: str, key: str, values: Fields, ours: bool = False) -> None:
        own = {f: v for f, v in values.items() if f in self.rules.members[member].reads}
        stand = self.rows[member].get(key)
        old = dict.fromkeys(self.rules.members[member].reads) if stand is None else stand.fields
        if self.natures[member].short:
            own = {f: v[:SHORT] if isinstance(v, str) else v for f, v in own.items()}
        self.count += 1
        self.now += timedelta(seconds=1)
        now = self.now.isoformat().replace("+00:00", "Z")
        touched = stand.touched if ours and stand is not None else now
        self.rows[member][key] = Stand(key, {**old, **own}, self.count, now, touched)
        self.touched[member, now] = touched

    def record(self, member: str, stand: Stand, without: frozenset[str] = frozenset()) -> Record:
        nature = self.natures[member]
        return Record(
            stand.key,
            {f: v for f, v in stand.fields.items() if f not in without},
            version=str(stand.version) if nature.versioned else None,
            modified=stand.modified if nature.timed else None,
            row_hash=hash((stand.version, without)),
        )

    # what users do

    def edit(self, member: str, name: str, blank: bool = False) -> None:
        for stand in list(self.rows[member].values()):
            if name not in stand.fields:
                continue
            saw = stand.fields[name]
            value = self.altered(saw, blank) if name == "tags" else self.fresh(name)
            value = None if blank and name != "tags" else value
            if value == saw:
                continue
            self.put(member, stand.key, {name: value})
            stood = self.rows[member][stand.key].fields[name]
            self.edits.append(self.noticed(Edit(member, name, stood, saw)))
            self.log.append(f"user edits {member}.{name} = {stood!r}")

    def altered(self, value: Value, less: bool) -> Value:
        """A set with a new element of its own, or without its last."""
        self.count += 1
        return (value or [])[:-1] if less else sorted([*(value or []), f"{self.count:03d}"])

    def noticed(self, edit: Edit) -> Edit:
        """What the shadow state makes of an edit at once; see `History`."""
        return edit

    def create(self, member: str) -> None:
        """A user enters the thing anew where it is not, knowing what they deleted there."""
        if self.rows[member]:
            return
        values = {f: self.fresh(f) for f in FIELDS}
        self.put(member, f"{member}{self.count}", values)
        for stand in self.rows[member].values():
            for name, value in stand.fields.items():
                if name != "tags":
                    saw = self.before.get(member, {}).get(name)
                    self.edits.append(Edit(member, name, value, saw))
        self.log.append(f"user creates at {member} {values}")

    def delete(self, member: str) -> None:
        if self.rows[member]:
            self.before[member] = {
                n: v for s in self.rows[member].values() for n, v in s.fields.items()
            }
            self.rows[member].clear()
            self.deleted.append(member)
            self.log.append(f"user deletes at {member}")
