"""The invariants, checked on a history: while it runs, and after it has come to rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from law import show
from law.compare import disagreements, general
from law.history import Edit, History, Nature, Planner, Step
from law.worlds import MEMBERS, World
from syncd.core.model import (
    CaseKind,
    Entity,
    EntityPlan,
    EntityState,
    LinkState,
    NoteKind,
    Read,
    ReadStatus,
    Value,
)
from syncd.core.rules import DeleteConflict, FlowRules

# What keeps a value that did not win. DEGRADED: law 5 takes the same form read twice on an
# unproven base for the member's own; an edit made just then stays there, shown as that.
TELLING = (NoteKind.LOST, NoteKind.DRIFT, NoteKind.DEGRADED)
QUIET_RUNS = 6  # never needed so many: a run to write, two to know an unproven form, see `bound`


def mark(value: Value) -> Any:
    """What tells edits apart, also truncated or folded."""
    return (
        value[:3] if isinstance(value, str) else tuple(value) if isinstance(value, list) else value
    )


class Judged(History):
    """A history that is judged while it runs."""

    strict = True  # compare each plan with the oracle as well

    def __init__(
        self, rules: FlowRules, natures: Mapping[str, Nature], planner: Planner, begin: str
    ) -> None:
        self.replaced: dict[str, set[Any]] = {}
        super().__init__(rules, natures, planner, begin)

    def watch(
        self, asked: Entity, reads: Mapping[str, Read], plan: EntityPlan, args: tuple[Any, ...]
    ) -> None:
        world = World(self.rules, asked, reads)
        self.broken += general(world, plan)
        self.broken += self.order(world, plan, args)
        self.broken += self.echo(asked, plan)
        decided = asked.state in (EntityState.DELETING, EntityState.GONE)
        if decided and self.rules.delete_conflict is DeleteConflict.DELETE_WINS:
            effects = [o.kind for o in plan.operations if o.kind not in ("delete", "archive")]
            if effects:
                self.broken.append(f"I3: {effects} after the deletion was decided")
        if self.strict and modelled(world):
            self.broken += disagreements(world, plan)

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

    def order(self, world: World, plan: EntityPlan, args: tuple[Any, ...]) -> list[str]:
        """Law 8: the order in which members, fields and links come changes nothing."""
        turned = Entity(
            world.entity.id,
            world.entity.state,
            back(world.entity.agreed),
            back(world.entity.links),
            world.entity.gone,
            back(world.entity.unsettled),
        )
        other = self.planner(self.rules, turned, back(world.reads), (), *args)
        same = (
            plan.entity == other.entity
            and named(plan) == named(other)
            and {c.digest for c in plan.cases} == {c.digest for c in other.cases}
        )
        return (
            []
            if same
            else [f"law 8: another order, another plan:\n{show.plan(plan)}\n{show.plan(other)}"]
        )

    def settle_down(self) -> None:
        """Faults and edits are over (I1, I5, S62)."""
        for _ in range(self.bound()):
            self.run(Step("run"))
        plan = self.run(Step("run"))
        if plan.operations or plan.changed:
            self.broken.append(
                f"I1: not at rest after {self.bound()} runs: changed={plan.changed},"
                f" {plan.operations}"
            )
        self.in_step()
        self.no_lost_update()

    def bound(self) -> int:
        return 2 if all(nature.proves for nature in self.natures.values()) else QUIET_RUNS

    def in_step(self) -> None:
        """I1: nothing is pending but for what an open case explains."""
        if self.entity.state is not EntityState.LIVE:
            return
        shut = {f for case in self.cases for f in case.fields}
        whole = any(c.kind in (CaseKind.DELETE, CaseKind.REAPPEARED) for c in self.cases)
        for member, link in self.live.items():
            for name, base in link.bases.items():
                target = member in self.rules.targets(name)
                agreed = self.entity.agreed.get(name)
                if not target or agreed is None or name in shut or whole:
                    continue
                if base.seq < agreed.seq:
                    self.broken.append(f"I1: {member}.{name} stays behind: {base} {agreed}")
                stands = self.tables[member][link.key].fields[name]
                if mark(stands) != mark(agreed.value) and not self.kept(name, stands):
                    self.broken.append(f"I1: {member}.{name} holds {stands!r}, agreed {agreed}")

    def kept(self, name: str, stands: Value) -> bool:
        """Drift that the flow keeps, or what counts as the member's own form."""
        return any(
            note.kind in (NoteKind.DRIFT, NoteKind.DEGRADED)
            and mark(note.values.get(name, "?")) == mark(stands)
            for note in self.notes
        )

    def no_lost_update(self) -> None:
        """I2: every edit is final, seen by a later one, in a case, or noted with its value."""
        if self.entity.state is not EntityState.LIVE:
            return
        for name in self.rules.fields:
            told = {mark(self.entity.agreed[name].value)} if name in self.entity.agreed else set()
            for case in self.cases:
                whole = case.kind in (CaseKind.DELETE, CaseKind.REAPPEARED)
                told |= {
                    mark(c.values[name]) for c in case.candidates if c.values and name in c.values
                }
                if whole:
                    told |= {
                        mark(t.fields.get(name)) for m in MEMBERS for t in self.tables[m].values()
                    }
            for note in self.notes:
                if note.kind in TELLING and name in note.values:
                    told.add(mark(note.values[name]))
            told |= self.waiting(name)
            known: list[Edit] = []
            mine = [e for e in self.edits if e.name == name]
            for edit in reversed(mine):
                seen = any(mark(k.saw) == mark(edit.value) for k in known)
                if seen or edit.filled or mark(edit.value) in told:
                    known.append(edit)
                elif not self.died(edit):
                    self.broken.append(f"I2: {edit} is lost; accounted for are {told}")

    def waiting(self, name: str) -> set[Any]:
        """Values no base has moved over, so that they still count: drift under an open case of
        the field, and what is still at first sight."""
        shut = any(name in case.fields for case in self.cases)
        found = set()
        for member, link in self.live.items():
            stand = self.tables[member].get(link.key)
            if stand is None or name not in stand.fields:
                continue
            base = link.bases.get(name)
            if base is None or (shut and base.value != stand.fields[name]):
                found.add(mark(stand.fields[name]))
        return found

    def died(self, edit: Edit) -> bool:
        """Its author's record was deleted by a user, who saw it."""
        link = self.entity.links.get(edit.member)
        return edit.member in self.deleted or (
            link is not None and link.state is not LinkState.LIVE
        )


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
        if step.what == "edit":
            life.edit(step.member, step.name, step.blank)
        elif step.what == "delete":
            life.delete(step.member)
        else:
            life.run(step)
        if life.broken:
            return life
    life.settle_down()
    return life
