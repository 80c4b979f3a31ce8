"""One entity's life among three simulated members, driven as the engine drives it.

record → apply → settle, with users editing and deleting at any time, members missing for a run,
writes refused, overtaken or unanswered, answers lost, members that truncate or prove nothing.
Every edit writes a value of its own (`007-city`), so a value says which edit it came from, also
after truncation to three characters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from law.worlds import FIELDS, MEMBERS
from syncd.core.model import (
    Case,
    Entity,
    EntityPlan,
    EntityState,
    Fields,
    Link,
    LinkState,
    Note,
    Operation,
    OpKind,
    Read,
    ReadStatus,
    Record,
    Value,
)
from syncd.core.rules import FlowRules
from syncd.core.settle import Settled, settled

Planner = Callable[..., EntityPlan]
START = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
SHORT = 3  # what a truncating member keeps


@dataclass(frozen=True, slots=True)
class Nature:
    """versioned: a version token; timed: a modified time; short: truncates texts;
    proves: the answer to a write holds the record as it stands then."""

    versioned: bool = True
    timed: bool = True
    short: bool = False
    proves: bool = True


@dataclass
class Stand:
    """A record in a member's table."""

    key: str
    fields: dict[str, Value]
    version: int
    modified: str


@dataclass
class Edit:
    """A person's change of one field.

    saw      the value it replaced
    filled   a blank at first sight, which is filled and no edit (law 9)
    """

    member: str
    name: str
    value: Value
    saw: Value
    filled: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens. what: edit, delete, run.

    For a run: `away` members cannot be read, `late` ones answer with what they held when the
    last run began, `fate` is what becomes of a write by member, `race` are edits of users
    between the read and the write, `news` says whether unknown outcomes are cleared up first.
    """

    what: str
    member: str = ""
    name: str = ""
    blank: bool = False
    away: frozenset[str] = frozenset()
    late: frozenset[str] = frozenset()
    fate: Mapping[str, str] = field(default_factory=dict)
    race: tuple[tuple[str, str], ...] = ()
    news: bool = True


class History:
    """The world of one entity. `planner` may be a wrong one."""

    def __init__(
        self, rules: FlowRules, natures: Mapping[str, Nature], planner: Planner, begin: str
    ) -> None:
        self.rules, self.natures, self.planner = rules, natures, planner
        self.tables: dict[str, dict[str, Stand]] = {m: {} for m in MEMBERS}
        self.past: dict[str, tuple[int, dict[str, Stand]]] = {}
        self.now, self.tick, self.run_id, self.count = START, 10, 0, 0
        self.edits: list[Edit] = []
        self.deleted: list[str] = []
        self.notes: list[Note] = []
        self.cases: tuple[Case, ...] = ()
        self.lost_answers: list[tuple[Operation, bool]] = []
        self.log: list[str] = []
        self.broken: list[str] = []
        self.entity = Entity(0)
        values: dict[str, Value] = {f: self.fresh(f) for f in FIELDS}
        for member in begin:
            self.put(member, f"{member}1", values)

    # what users do

    def fresh(self, name: str) -> Value:
        self.count += 1
        return ["p"] if name == "tags" else f"{self.count:03d}-{name}"

    def put(self, member: str, key: str, values: Fields) -> None:
        own = {f: v for f, v in values.items() if f in self.rules.members[member].reads}
        stand = self.tables[member].get(key)
        old = dict.fromkeys(self.rules.members[member].reads) if stand is None else stand.fields
        if self.natures[member].short:
            own = {f: v[:SHORT] if isinstance(v, str) else v for f, v in own.items()}
        self.count += 1
        self.now += timedelta(seconds=1)
        self.tables[member][key] = Stand(
            key, {**old, **own}, self.count, self.now.isoformat().replace("+00:00", "Z")
        )

    def edit(self, member: str, name: str, blank: bool = False) -> None:
        for stand in list(self.tables[member].values()):
            if name not in stand.fields or name == "tags":
                continue
            value = None if blank else self.fresh(name)
            if value == stand.fields[name]:
                continue
            saw = stand.fields[name]
            self.put(member, stand.key, {name: value})
            stood = self.tables[member][stand.key].fields[name]
            link = self.entity.links.get(member)
            first = link is None or name not in link.bases
            self.edits.append(Edit(member, name, stood, saw, filled=value is None and first))
            self.log.append(f"user edits {member}.{name} = {stood!r}")

    def delete(self, member: str) -> None:
        if self.tables[member]:
            self.tables[member].clear()
            self.deleted.append(member)
            self.log.append(f"user deletes at {member}")

    # one run

    def record(self, member: str, stand: Stand) -> Record:
        nature = self.natures[member]
        return Record(
            stand.key,
            dict(stand.fields),
            version=str(stand.version) if nature.versioned else None,
            modified=stand.modified if nature.timed else None,
            row_hash=stand.version,
        )

    def reads(self, step: Step) -> dict[str, Read]:
        self.tick += 1
        begun, found = self.tick, {}
        for member in MEMBERS:
            tick, table = begun, self.tables[member]
            if member in step.late and member in self.past:
                tick, table = self.past[member]
            link = self.entity.links.get(member)
            if member in step.away:
                found[member] = Read(ReadStatus.UNREAD)
            elif link is None:
                found[member] = self.first_read(member, table, tick)
            elif link.key not in table:
                found[member] = Read(ReadStatus.MISSING, tick=tick, complete=True)
            else:
                record = self.record(member, table[link.key])
                known = tick == begun and link.row_hash is not None
                if known and link.row_hash == record.row_hash:
                    found[member] = Read(ReadStatus.SAME, tick=tick, complete=True)
                else:
                    found[member] = Read(ReadStatus.SEEN, record, tick=tick, complete=True)
        self.past = {m: (begun, dict(t)) for m, t in self.tables.items()}
        return found

    def first_read(self, member: str, table: Mapping[str, Stand], tick: int) -> Read:
        """A member without a link: linking takes the one record there is as this entity's."""
        waiting = self.entity.unsettled.get(member) is OpKind.CREATE
        free = [s for s in table.values() if s.key not in {g.key for g in self.entity.gone}]
        if not free or waiting or self.entity.state is not EntityState.LIVE:
            return Read(ReadStatus.SAME, tick=tick, complete=True)
        link = Link(member, free[0].key, fingerprint=self.rules.members[member].fingerprint)
        self.entity = replace(self.entity, links={**self.entity.links, member: link})
        return Read(ReadStatus.SEEN, self.record(member, free[0]), tick=tick, complete=True)

    def run(self, step: Step) -> EntityPlan:
        self.run_id += 1
        self.now += timedelta(seconds=30)
        if step.news:
            self.clear_up()
        reads = self.reads(step)
        asked = self.entity
        self.tick += 1
        args = (self.now, self.run_id, self.tick)
        plan = self.planner(self.rules, asked, reads, (), *args)
        self.log.append(
            f"run {self.run_id} sends {[(o.kind.value, o.member) for o in plan.operations]}"
        )
        self.watch(asked, reads, plan, args)
        self.entity = replace(plan.entity, id=1)
        self.cases = plan.cases
        self.notes += plan.notes
        for member, name in step.race:
            self.edit(member, name)
        for op in plan.operations:
            self.apply(op, step.fate.get(op.member, "ok"))
        return plan

    def watch(
        self, asked: Entity, reads: Mapping[str, Read], plan: EntityPlan, args: tuple[Any, ...]
    ) -> None:
        """A hook for judges: called with every question and answer."""

    def apply(self, op: Operation, fate: str) -> None:
        """What the member does with one write and what comes back of it."""
        table = self.tables[op.member]
        holds = op.kind is OpKind.CREATE or (
            op.key in table and all(table[op.key].fields.get(f) == v for f, v in op.expect.items())
        )
        if fate == "reject":
            return self.answer(op, "rejected", None)
        if not holds:
            return self.answer(op, "stale", None)
        if fate == "lost":
            self.lost_answers.append((op, False))
            return self.answer(op, "unknown", None)
        key = self.effect(op)
        if fate == "silent":
            self.lost_answers.append((replace(op, key=key), True))
            return self.answer(op, "unknown", None)
        return self.answer(op, "applied", key)

    def effect(self, op: Operation) -> str:
        table = self.tables[op.member]
        if op.kind is OpKind.CREATE:
            if table:
                self.broken.append(f"I4: a second record is created at {op.member}")
            key = f"{op.member}{self.count + 1}"
            self.put(op.member, key, op.fields)
            return key
        assert op.key is not None
        if op.kind is OpKind.DELETE:
            if not self.deleted:
                self.broken.append(f"I14: {op.member} is told to delete, nobody deleted")
            del table[op.key]
        else:
            self.put(op.member, op.key, op.fields)
        return op.key

    def answer(self, op: Operation, status: str, key: str | None) -> None:
        record = None
        stand = self.tables[op.member].get(key) if key is not None else None
        if stand is not None and self.natures[op.member].proves:
            record = self.record(op.member, stand)
        self.tick += 1
        outcome = Settled(status, record, key)
        self.entity = settled(self.entity, op, outcome, self.tick, self.now)
        self.log.append(f"  {op.kind.value} {op.member} {dict(op.fields)}: {status}")

    def clear_up(self) -> None:
        """The journal asks again what became of writes without an answer; it gets no record."""
        for op, happened in self.lost_answers:
            self.tick += 1
            outcome = Settled(
                "applied" if happened else "stale", None, op.key if happened else None
            )
            self.entity = settled(self.entity, op, outcome, self.tick, self.now)
            self.log.append(f"  {op.kind.value} {op.member} cleared up: {outcome.status}")
        self.lost_answers.clear()

    @property
    def live(self) -> dict[str, Link]:
        return {m: k for m, k in self.entity.links.items() if k.state is LinkState.LIVE}
