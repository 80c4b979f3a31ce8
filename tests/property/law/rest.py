"""The end of a history: faults and edits are over; what holds then (I1, I2, I5, S62)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from law.history import History
from law.tables import Edit, Step, mark
from law.worlds import MEMBERS
from syncd.core.model import CaseKind, EntityState, LinkState, NoteKind, Value

TELLING = (NoteKind.LOST, NoteKind.DRIFT)  # notes that keep a value which did not win
QUIET_RUNS = 6  # never needed so many: a run to write, two to know an unproven form, see `bound`
WHOLE = (CaseKind.DELETE, CaseKind.REAPPEARED)  # cases that freeze the whole entity


def at_rest(life: History) -> list[str]:
    """Runs until the bound of I1, then complains."""
    for _ in range(bound(life)):
        run(life)
    plan = run(life)
    if life.broken:
        return []
    found = []
    if plan.operations or plan.changed:
        found.append(
            f"I1: not at rest after {bound(life)} runs: changed={plan.changed}, {plan.operations}"
        )
    if life.decisions:
        found.append(f"law 3: neither used nor void: {life.decisions}")
    if life.entity.state is EntityState.LIVE:
        found += in_step(life)
        for name in life.rules.fields:
            found += elements(life, name) if merges(life, name) else no_lost_update(life, name)
    return found


def run(life: History) -> Any:
    """One run after the read lag."""
    life.now += timedelta(seconds=max(nature.lag for nature in life.natures.values()))
    return life.run(Step("run"))


def bound(life: History) -> int:
    return 2 if all(nature.proves for nature in life.natures.values()) else QUIET_RUNS


def in_step(life: History) -> list[str]:
    """I1: nothing is pending but for what an open case explains."""
    found: list[str] = []
    shut = {f for case in life.cases for f in case.fields}
    if any(c.kind in WHOLE for c in life.cases):
        return found
    for member, link in life.live.items():
        for name, base in link.bases.items():
            target = member in life.rules.targets(name)
            agreed = life.entity.agreed.get(name)
            if not target or agreed is None or name in shut:
                continue
            if base.seq < agreed.seq:
                found.append(f"I1: {member}.{name} stays behind: {base} {agreed}")
            stands = life.rows[member][link.key].fields[name]
            if mark(stands) != mark(agreed.value) and not drifted(life, name, stands):
                found.append(f"I1: {member}.{name} holds {stands!r}, agreed {agreed}")
    return found


def drifted(life: History, name: str, stands: Value) -> bool:
    """Drift that the flow keeps."""
    return any(
        note.kind is NoteKind.DRIFT and mark(note.values.get(name, "?")) == mark(stands)
        for note in life.notes
    )


def merges(life: History, name: str) -> bool:
    conflict = life.rules.fields[name].conflict
    return bool(conflict) and conflict[0].kind == "merge"


def told(life: History, name: str) -> set[Any]:
    """Values that are accounted for: agreed, in an open case, noted, or still to be judged."""
    known = {mark(life.entity.agreed[name].value)} if name in life.entity.agreed else set()
    for case in life.cases:
        known |= {mark(c.values[name]) for c in case.candidates if c.values and name in c.values}
        if case.kind in WHOLE:
            known |= {mark(t.fields.get(name)) for m in MEMBERS for t in life.rows[m].values()}
    for note in life.notes:
        if note.kind in TELLING and name in note.values:
            known.add(mark(note.values[name]))
    return known | waiting(life, name)


def waiting(life: History, name: str) -> set[Any]:
    """Values no base has moved over, so that they still count: drift under an open case of
    the field, and what is still at first sight."""
    shut = any(name in case.fields for case in life.cases)
    found = set()
    for member, link in life.live.items():
        stand = life.rows[member].get(link.key)
        if stand is None or name not in stand.fields:
            continue
        base = link.bases.get(name)
        if base is None or (shut and base.value != stand.fields[name]):
            found.add(mark(stand.fields[name]))
    return found


def no_lost_update(life: History, name: str) -> list[str]:
    """I2: every edit is final, seen by a later one, in a case, or noted with its value."""
    found, accounted = [], told(life, name)
    known: list[Edit] = []
    for edit in reversed([e for e in life.edits if e.name == name]):
        seen = any(mark(k.saw) == mark(edit.value) for k in known)
        if seen or edit.filled or edit.undone or mark(edit.value) in accounted:
            known.append(edit)
        elif not died(life, edit):
            found.append(f"I2: {edit} is lost; accounted for are {accounted}")
    return found


def elements(life: History, name: str) -> list[str]:
    """I2 of a set that merges (law 15), element by element; each is added by one edit only."""
    sources, targets = life.rules.sources(name), life.rules.targets(name)
    if len(set(sources) - set(targets)) > 1 or name not in life.entity.agreed:
        return []  # law 13 does not say what ranking and merging make of each other
    found = []
    edits = [e for e in life.edits if e.name == name]
    final = set(life.entity.agreed[name].value or [])
    accounted = set().union(*(known for known in told(life, name) if known is not None))
    shut = any(name in case.fields or case.kind in WHOLE for case in life.cases)
    for edit in edits:
        if edit.filled or died(life, edit) or noted(life, edit):
            continue
        for element in set(edit.value) - set(edit.saw or []):
            taken = any(element in (e.saw or []) and element not in e.value for e in edits)
            if not taken and element not in accounted:
                found.append(f"I2: {element} of {edit} is lost; accounted for are {accounted}")
        for element in set(edit.saw or []) - set(edit.value):
            if element in final and edit.member in sources and not shut:
                found.append(f"I2: {element} is back, although {edit}; agreed {final}")
    return found


def noted(life: History, edit: Edit) -> bool:
    return any(
        note.kind in TELLING and mark(note.values.get(edit.name, "?")) == mark(edit.value)
        for note in life.notes
    )


def died(life: History, edit: Edit) -> bool:
    """Its author's record was deleted by a user, who saw it."""
    link = life.entity.links.get(edit.member)
    return edit.member in life.deleted or (link is not None and link.state is not LinkState.LIVE)
