"""The invariants, checked on a history while it runs; `rest` has those of its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from law import show
from law.compare import disagreements, general
from law.history import History, Planner
from law.rest import at_rest
from law.tables import Nature, Step, mark
from law.worlds import MEMBERS, World
from syncd.core.model import (
    Choice,
    Decision,
    Entity,
    EntityPlan,
    EntityState,
    LinkState,
    Operation,
    OpKind,
    Read,
    ReadStatus,
)
from syncd.core.rules import DeleteConflict, FlowRules


class Judged(History):
    """A history that is judged while it runs."""

    strict = True  # compare each plan with the oracle as well

    def __init__(
        self, rules: FlowRules, natures: Mapping[str, Nature], planner: Planner, begin: str
    ) -> None:
        self.replaced: dict[str, set[Any]] = {}
        super().__init__(rules, natures, planner, begin)

    def watch(
        self, asked: Entity, reads: Mapping[str, Read], plan: EntityPlan, args: Sequence[Any]
    ) -> None:
        decisions: tuple[Decision, ...] = args[0]
        world = World(self.rules, asked, reads, self.times)
        self.broken += general(world, plan)
        self.broken += self.order(world, plan, args)
        if not plan.used:
            self.broken += self.echo(asked, plan)
        self.broken += self.obeyed(asked, reads, plan, args)
        self.broken += self.deletions(asked, plan)
        self.broken += self.latest(asked, reads, plan)
        if self.strict and not plan.used and modelled(world):
            self.broken += disagreements(world, plan)
        if len(plan.used) + len(plan.voided) > len(decisions):
            self.broken.append("a decision is both used and void")

    def echo(self, asked: Entity, plan: EntityPlan) -> list[str]:
        """I5: every value is given once, so one that was replaced comes back only as an echo.
        Not where unwritable sources are ranked: the rank may fall back (law 13)."""
        found = []
        for name, agreed in plan.entity.agreed.items():
            before = asked.agreed.get(name)
            sources, targets = self.rules.sources(name), self.rules.targets(name)
            if before is None or name == "tags" or len(set(sources) - set(targets)) > 1:
                continue
            old = self.replaced.setdefault(name, set())
            if mark(agreed.value) in old and mark(agreed.value) != mark(before.value):
                found.append(f"I5: {name} = {agreed.value!r} comes back after {before.value!r}")
            if mark(before.value) != mark(agreed.value) and before.value is not None:
                old.add(mark(before.value))
        return found

    def latest(self, asked: Entity, reads: Mapping[str, Read], plan: EntityPlan) -> list[str]:
        """S55: where `newest` decides between the edits of two members, the users of the winner's
        record were the last by more than the tolerance. Our own writes are nobody's edit."""
        found = []
        for note in plan.notes:
            for name in note.fields if note.text == "newest" else ():
                winner = plan.entity.agreed[name].origin.member or ""
                late, early = (self.edited(m, name, asked, reads) for m in (winner, note.member))
                standing = asked.agreed.get(name)
                if standing is not None and mark(note.values[name]) == mark(standing.value):
                    at = standing.origin.at  # it lost, not what a user made there since
                    early = None if at is None else datetime.fromisoformat(at)
                if winner == note.member or late is None or early is None:
                    continue
                if (late - early).total_seconds() <= self.rules.tolerance:
                    found.append(f"S55: {winner}, {late}, is newer than {note.member}, {early}")
        return found

    def edited(
        self, member: str, name: str, asked: Entity, reads: Mapping[str, Read]
    ) -> datetime | None:
        """When a user last changed the row read; None where the field tells of no edit."""
        record = reads[member].record if member in reads else None
        base = asked.links[member].bases.get(name) if member in asked.links else None
        if record is None or base is None or record.fields.get(name) in (None, base.value):
            return None
        touched = self.touched.get((member, record.modified or ""))
        return None if touched is None else datetime.fromisoformat(touched)

    def order(self, world: World, plan: EntityPlan, args: Sequence[Any]) -> list[str]:
        """Law 8: the order in which members, fields and links come changes nothing."""
        turned = Entity(
            world.entity.id,
            world.entity.state,
            back(world.entity.agreed),
            back(world.entity.links),
            world.entity.gone,
            back(world.entity.unsettled),
        )
        other = self.planner(self.rules, turned, back(world.reads), *args)
        same = (
            plan.entity == other.entity
            and named(plan) == named(other)
            and {c.digest for c in plan.cases} == {c.digest for c in other.cases}
            and (set(plan.used), set(plan.voided)) == (set(other.used), set(other.voided))
        )
        return (
            []
            if same
            else [f"law 8: another order, another plan:\n{show.plan(plan)}\n{show.plan(other)}"]
        )

    def obeyed(
        self, asked: Entity, reads: Mapping[str, Read], plan: EntityPlan, args: Sequence[Any]
    ) -> list[str]:
        """Law 3, S4, F71: a decision counts iff without it its very case would be open."""
        found = []
        for made in args[0]:
            rest = tuple(d for d in args[0] if d.digest != made.digest)
            without = self.planner(self.rules, asked, reads, rest, *args[1:])
            cases = [c for c in without.cases if c.digest == made.digest]
            if made.id in plan.used and not cases:
                found.append(f"law 3: {made} is used, but its candidates moved")
            if made.id in plan.voided and cases and asked.state is EntityState.LIVE:
                last = [d for d in args[0] if d.digest == made.digest][-1]
                if last is made:
                    found.append(f"law 3: {made} is void, but its case stands")
            if made.id in plan.used and made.choice in (Choice.TAKE, Choice.VALUE):
                case = cases[0] if cases else None
                given = (
                    [c.values for c in case.candidates if c.source == made.source] if case else []
                )
                wanted = made.values if made.choice is Choice.VALUE else given[0] if given else {}
                for name, value in (wanted or {}).items():
                    now, before = plan.entity.agreed[name], asked.agreed.get(name)
                    if now.value != value or (before is not None and now.seq <= before.seq):
                        found.append(f"law 3: {made} decides {value!r}, agreed is {now}")
        return found

    def deletions(self, asked: Entity, plan: EntityPlan) -> list[str]:
        """I3, I14, law 12: who may cause a delete, and that nothing is made after it."""
        found = []
        kinds = {op.kind for op in plan.operations}
        decided = asked.state in (EntityState.DELETING, EntityState.GONE)
        wins = self.rules.delete_conflict is DeleteConflict.DELETE_WINS
        if decided and wins and not self.kept() and kinds & {OpKind.CREATE, OpKind.UPDATE}:
            found.append(f"I3: {kinds} after the deletion was decided")
        if asked.state is EntityState.ENDED and kinds:
            found.append(f"S71: {kinds} after the entity has ended")
        for op in plan.operations:
            if op.kind in (OpKind.DELETE, OpKind.ARCHIVE):
                found += self.entitled(op)
        return found

    def entitled(self, op: Operation) -> list[str]:
        if any(d.choice is Choice.DELETE for d in self.said):
            return []
        named_ = self.rules.deletes_from
        heard = [
            m
            for m in MEMBERS
            if self.rules.members[m].mode.is_source and (named_ is None or m in named_)
        ]
        if not any(m in self.deleted for m in heard):
            return [f"law 12: {op.member} is told to delete, and nobody of {heard} deleted"]
        if self.rules.deletes_all and op.member in heard:
            return [f"law 12: {op.member} is told to delete, but all of {heard} have to be gone"]
        return []

    def kept(self) -> bool:
        """A person may have said that the deleted thing lives."""
        return any(d.choice is Choice.KEEP for d in self.said)


def named(plan: EntityPlan) -> dict[tuple[str, str], Any]:
    return {(op.member, op.kind.value): op for op in plan.operations}


def back(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return dict(reversed(list(mapping.items())))


def modelled(world: World) -> bool:
    """Whether the oracle of merges speaks of this: no first sight, no deletion, all agreed."""
    entity = world.entity
    if entity.state is not EntityState.LIVE or entity.gone:
        return False
    if any(read.status is ReadStatus.MISSING for read in world.reads.values()):
        return False
    if any(state.value == "create" for state in entity.unsettled.values()):
        return False
    if set(entity.agreed) != set(world.rules.fields):
        return False
    for member, read in world.reads.items():
        mapped = world.rules.members[member].reads
        if read.record is not None and not mapped <= set(read.record.fields):
            return False
    return all(
        link.state is LinkState.LIVE and world.rules.members[member].reads == set(link.bases)
        for member, link in entity.links.items()
    )


def play(
    rules: Any,
    natures: Any,
    steps: Sequence[Step],
    planner: Planner,
    begin: str = "abc",
    strict: bool = True,
) -> Judged:
    """Runs the history to its rest; `broken` lists what did not hold."""
    life = Judged(rules, natures, planner, begin)
    life.strict = strict
    life.run(Step("run"))
    for step in steps:
        match step.what:
            case "edit":
                life.edit(step.member, step.name, step.blank)
            case "delete":
                life.delete(step.member)
            case "create":
                life.create(step.member)
            case "decide":
                life.decide(step)
            case _:
                life.run(step)
        if life.broken:
            return life
    life.broken += at_rest(life)
    return life
