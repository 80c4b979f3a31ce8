"""Cases and the decisions people take of them: values that name their candidates by digest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from syncd.core.hashing import digest
from syncd.core.model import Candidate, Case, CaseKind, Choice, Decision, Fields
from syncd.core.observe import Side


def make_case(
    kind: CaseKind,
    fields: Sequence[str],
    candidates: Sequence[Candidate],
    reason: str,
    member: str | None = None,
) -> Case:
    """A case whose digest changes iff its kind, its fields or what any candidate says does."""
    names = [[c.source, None if c.values is None else dict(c.values), c.key] for c in candidates]
    return Case(
        kind,
        tuple(fields),
        tuple(candidates),
        reason,
        digest([str(kind), list(fields), names, member]),
        member,
    )


def answer(case: Case, decisions: Sequence[Decision]) -> tuple[Fields, Decision] | None:
    """What a person decided of exactly this case's values; the latest decision counts."""
    for decision in reversed(decisions):
        if decision.digest != case.digest:
            continue
        if decision.choice is Choice.VALUE:
            return {n: v for n, v in decision.values.items() if n in case.fields}, decision
        if decision.choice is Choice.TAKE:
            for candidate in case.candidates:
                taken = candidate.source == decision.source and candidate.heard
                if taken and candidate.values is not None:
                    return candidate.values, decision
    return None


def still_open(
    cases: Sequence[Case], fields: Sequence[str], sides: Mapping[str, Side]
) -> Case | None:
    """A stored case of these fields one of whose candidates was not read in this run: it cannot
    be derived afresh, so it stays (law 5)."""
    for case in cases:
        if case.kind in (CaseKind.INVALID, CaseKind.DELETE) or not set(case.fields) & set(fields):
            continue
        for candidate in case.candidates:
            side = sides.get(candidate.source)
            if side is not None and not side.read and not side.missing:
                return case
    return None
