"""One entity's life among three simulated members, driven as the engine drives it.

record → apply → settle, with users editing, deleting and entering things at any time, persons
deciding cases (also stale ones), members missing for a run, writes refused, overtaken or
unanswered, answers lost, reads that lag or lack fields, members that truncate or prove nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from law.tables import Edit, Nature, Stand, Step, Tables, mark
from law.worlds import MEMBERS, shown
from syncd.core.model import (
    UNSET,
    Case,
    CaseKind,
    Choice,
    Decision,
    Entity,
    EntityPlan,
    EntityState,
    Link,
    LinkState,
    Note,
    Operation,
    OpKind,
    Read,
    ReadStatus,
    Value,
)
from syncd.core.rules import FlowRules
from syncd.core.settle import Settled, settled

Planner = Callable[..., EntityPlan]


class History(Tables):
    """The world of one entity. `planner` may be a wrong one."""

    def __init__(
        self, rules: FlowRules, natures: Mapping[str, Nature], planner: Planner, begin: str
    ) -> None:
        super().__init__(rules, natures, begin)
        self.planner = planner
        self.past: dict[str, tuple[int, dict[str, Stand]]] = {}
        self.tick, self.run_id = 10, 0
        self.times: dict[int, float] = {}
        self.entity = Entity(0)
        self.notes: list[Note] = []
        self.cases: tuple[Case, ...] = ()
        self.decisions: list[Decision] = []
        self.said: list[Decision] = []
        self.lost_answers: list[tuple[Operation, bool]] = []
        self.broken: list[str] = []

    def noticed(self, edit: Edit) -> Edit:
        link = self.entity.links.get(edit.member)
        base = link.bases.get(edit.name) if link is not None else None
        if base is None:
            return replace(edit, filled=not edit.value)
        back = base.sent is UNSET and mark(base.value) == mark(edit.value)
        return replace(edit, undone=back)

    def go_on(self) -> int:
        """The store's next transaction."""
        self.tick += 1
        self.times[self.tick] = self.now.timestamp()
        return self.tick

    # what persons do

    def decide(self, step: Step) -> None:
        """Of the cases that the last run left open; by the next run they may be others."""
        if not self.cases:
            return
        case = self.cases[step.pick % len(self.cases)]
        number = len(self.said) + 1
        choice = Choice(step.choice)
        source, values = None, {}
        if case.kind in (CaseKind.DELETE, CaseKind.REAPPEARED):
            choice = choice if choice not in (Choice.TAKE, Choice.VALUE) else Choice.KEEP
        elif choice is Choice.VALUE:
            values = {name: self.typed(name, step.blank) for name in case.fields}
        else:
            choice = Choice.TAKE
            heard = [c for c in case.candidates if c.heard]  # others are not offered
            source = heard[step.pick % len(heard)].source
        made = Decision(number, case.digest, choice, "jo", source, values)
        self.decisions.append(made)
        self.said.append(made)
        self.log.append(f"decided: {case.kind} {case.fields} {choice} {source} {values}")

    def typed(self, name: str, blank: bool) -> Value:
        if name == "tags":
            return self.altered([], False)
        return None if blank else self.fresh(name)

    # one run

    def reads(self, step: Step) -> dict[str, Read]:
        begun, found = self.go_on(), {}
        for member in MEMBERS:
            tick, table, lag = begun, self.rows[member], self.natures[member].lag
            if member in step.late and member in self.past:
                tick, table = self.past[member]
                if lag and self.times[begun] - self.times[tick] <= lag:
                    tick = begun  # begun just now, and still it shows what stood before
            link = self.relinked(member, table)
            without = step.bare.get(member, frozenset())
            if member in step.away:
                found[member] = Read(ReadStatus.UNREAD)
            elif link is None:
                found[member] = self.first_read(member, table, tick)
            elif link.key not in table:
                found[member] = Read(ReadStatus.MISSING, tick=tick, complete=True)
            else:
                record = self.record(member, table[link.key], without)
                known = tick == begun and link.row_hash is not None
                if known and link.row_hash == record.row_hash:
                    found[member] = Read(ReadStatus.SAME, tick=tick, complete=True)
                else:
                    found[member] = Read(ReadStatus.SEEN, record, tick=tick, complete=True)
            found[member] = replace(found[member], shows=shown(self.times, tick, lag))
        self.past = {m: (begun, dict(t)) for m, t in self.rows.items()}
        return found

    def relinked(self, member: str, table: Mapping[str, Stand]) -> Link | None:
        """Deleted and entered anew before anybody looked: linking finds the same entity."""
        link = self.entity.links.get(member)
        if link is not None and link.state is LinkState.LIVE and link.key not in table:
            for key in self.free(table):
                link = replace(link, key=key, row_hash=None, created=None)
                self.entity = replace(self.entity, links={**self.entity.links, member: link})
        return link

    def free(self, table: Mapping[str, Stand]) -> list[str]:
        """Records there that linking may take for this entity's."""
        if self.entity.state is not EntityState.LIVE:
            return []
        return [key for key in table if key not in {g.key for g in self.entity.gone}]

    def first_read(self, member: str, table: Mapping[str, Stand], tick: int) -> Read:
        """A member without a link: linking takes the one record there is as this entity's."""
        waiting = self.entity.unsettled.get(member) is OpKind.CREATE
        free = self.free(table)
        if not free or waiting:
            return Read(ReadStatus.SAME, tick=tick, complete=True)
        link = Link(member, free[0], fingerprint=self.rules.members[member].fingerprint)
        self.entity = replace(self.entity, links={**self.entity.links, member: link})
        record = self.record(member, table[free[0]])
        return Read(ReadStatus.SEEN, record, tick=tick, complete=True)

    def run(self, step: Step) -> EntityPlan:
        self.run_id += 1
        self.now += timedelta(seconds=30)
        if step.news:
            self.clear_up()
        reads = self.reads(step)
        asked = self.entity
        args = (tuple(self.decisions), self.run_id, self.go_on())
        plan = self.planner(self.rules, asked, reads, *args)
        self.log.append(
            f"run {self.run_id} sends {[(o.kind.value, o.member) for o in plan.operations]}"
            f" open {[(str(c.kind), c.fields) for c in plan.cases]}"
        )
        self.watch(asked, reads, plan, args)
        self.entity = replace(plan.entity, id=1)
        self.cases = plan.cases
        self.notes += plan.notes
        for made in self.decisions:
            if made.id in plan.used:
                self.edits += [Edit("", f, v, None) for f, v in made.values.items() if f != "tags"]
        closed = (*plan.used, *plan.voided)
        self.decisions = [made for made in self.decisions if made.id not in closed]
        for member, name in step.race:
            self.edit(member, name)
        for op in plan.operations:
            self.apply(op, step.fate.get(op.member, "ok"))
        return plan

    def watch(
        self, asked: Entity, reads: Mapping[str, Read], plan: EntityPlan, args: Sequence[Any]
    ) -> None:
        """A hook for judges: called with every question and answer."""

    def apply(self, op: Operation, fate: str) -> None:
        """What the member does with one write and what comes back of it."""
        table = self.rows[op.member]
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
        table = self.rows[op.member]
        if op.kind is OpKind.CREATE:
            if table:
                self.broken.append(f"I4: a second record is created at {op.member}")
            key = f"{op.member}{self.count + 1}"
            self.put(op.member, key, op.fields, ours=True)
            return key
        assert op.key is not None
        if op.kind is OpKind.DELETE:
            if not self.deleted:
                self.broken.append(f"I14: {op.member} is told to delete, nobody deleted")
            del table[op.key]
        else:
            self.put(op.member, op.key, op.fields, ours=True)
        return op.key

    def answer(self, op: Operation, status: str, key: str | None) -> None:
        record = None
        stand = self.rows[op.member].get(key) if key is not None else None
        if stand is not None and self.natures[op.member].proves:
            record = self.record(op.member, stand)
        outcome = Settled(status, record, key)
        self.entity = settled(self.entity, op, outcome, self.go_on())
        self.log.append(f"  {op.kind.value} {op.member} {dict(op.fields)}: {status}")

    def clear_up(self) -> None:
        """The journal asks again what became of writes without an answer; it gets no record."""
        for op, happened in self.lost_answers:
            outcome = Settled(
                "applied" if happened else "stale", None, op.key if happened else None
            )
            self.entity = settled(self.entity, op, outcome, self.go_on())
            self.log.append(f"  {op.kind.value} {op.member} cleared up: {outcome.status}")
        self.lost_answers.clear()

    @property
    def live(self) -> dict[str, Link]:
        return {m: k for m, k in self.entity.links.items() if k.state is LinkState.LIVE}
