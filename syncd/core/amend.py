"""What a person says instead of an agreed value that some target cannot take.

No edit is behind such a case, so that no merge asks for its answer: the value said becomes the
agreed one, with the next sequence, before the entity's groups are merged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from syncd.core.model import (
    Agreed,
    Case,
    CaseKind,
    Choice,
    Decision,
    Note,
    NoteKind,
    Origin,
)
from syncd.core.observe import Side
from syncd.core.rules import FlowRules
from syncd.core.stance import unmoved

Amended = tuple[dict[str, Agreed], tuple[Note, ...], tuple[int, ...]]


def amend(
    rules: FlowRules,
    agreed: Mapping[str, Agreed],
    sides: Mapping[str, Side],
    cases: Sequence[Case],
    decisions: Sequence[Decision],
    run: int,
) -> Amended:
    """The agreed values, the ones they replace as notes, and the decisions used. cases: those
    open in the store; a decision holds for the very values that it was shown, and not beside an
    edit made since."""
    now = dict(agreed)
    notes: list[Note] = []
    used: list[int] = []
    for case in cases:
        said = _said(case, decisions)
        shown = case.candidates[0].values if case.candidates else None
        if said is None or not shown:
            continue
        groups = [group for group in rules.groups if set(said.values) & set(group)]
        if not all(unmoved(group, sides) for group in groups):
            continue
        held = {name: now[name].value if name in now else None for name in shown}
        if held != dict(shown):
            continue  # something else was agreed meanwhile: the case will be another
        used.append(said.id)
        origin = Origin(None, run, f"person:{said.by}")
        values = {name: value for name, value in said.values.items() if name in shown}
        for group in groups:
            seq = max((now[name].seq for name in group if name in now), default=0) + 1
            for name in group:
                if name in values or name in now:
                    value = values[name] if name in values else now[name].value
                    now[name] = Agreed(value, seq, origin)
        for name in values:
            before = agreed[name].origin.member or "" if name in agreed else ""
            notes.append(Note(NoteKind.LOST, before, (name,), {name: shown[name]}, origin.rule))
    return now, tuple(notes), tuple(used)


def _said(case: Case, decisions: Sequence[Decision]) -> Decision | None:
    """The latest decision of exactly this case."""
    if case.kind is not CaseKind.INVALID:
        return None
    for decision in reversed(decisions):
        if decision.digest == case.digest and decision.choice is Choice.VALUE:
            return decision
    return None
