"""The stop before harm (law 16): how much of one kind, from one cause, at one target."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from syncd.core.model import Operation, OpKind
from syncd.core.rules import FlowRules

KINDS = ("create", "update", "blanking", "delete", "scope-exit", "first-sight", "rebase", "empty")

Measure = tuple[str, str, str]  # kind, causing member, target member


@dataclass(frozen=True, slots=True)
class Trip:
    """Operations that are held. `taken` of this run's plan, `before` in the window.

    along  the target at which the limit was passed, where that is another one
    """

    kind: str
    cause: str
    target: str
    taken: int
    before: int
    links: int
    reason: str
    along: str = ""


def kinds(operation: Operation) -> tuple[str, ...]:
    """What an operation counts as, the most telling first. Filling and overwriting at first sight
    is no edit, so it counts as such only where an edit travels with it."""
    match operation.kind:
        case OpKind.CREATE:
            return ("create",)
        case OpKind.DELETE | OpKind.ARCHIVE:
            return ("delete",)
        case OpKind.UPDATE:
            found = ["blanking"] if operation.blanks else []
            if operation.first_sight:
                found.append("first-sight")
            if operation.rebase:
                found.append("rebase")
            elif len(operation.first_sight) < len(operation.fields):
                found.append("update")
            return tuple(found)


def measures(operation: Operation) -> list[Measure]:
    return [(kind, operation.cause, operation.member) for kind in kinds(operation)]


def trips(
    rules: FlowRules,
    planned: Mapping[Measure, int],
    window: Mapping[Measure, int],
    live: Mapping[str, int],
) -> list[Trip]:
    """The limits this plan would pass, and what is held with them: limits are counted by target,
    but over one of them nothing of that kind and cause runs anywhere (I9).

    planned  operations of this plan, approved ones left out
    window   operations of all runs within the rolling window (24 h)
    live     live links by member: the percentages refer to the target's
    """
    found = []
    for measure in sorted(planned):
        kind, cause, target = measure
        limit = rules.guards.get(kind)
        links = live.get(target, 0)
        if limit is None or (kind == "create" and links == 0):
            continue
        before = window.get(measure, 0)
        total = planned[measure] + before
        why = ""
        if limit.count is not None and total > limit.count:
            why = f"{total} {kind}s, more than {limit.count}"
        elif (
            limit.percent is not None
            and total > rules.guard_floor
            and total * 100 > limit.percent * links
        ):
            why = f"{total} of {links} records, more than {limit.percent:g} %"
        if why:
            found.append(Trip(kind, cause, target, planned[measure], before, links, why))
    passed: dict[tuple[str, str], Trip] = {}
    for trip in found:
        passed.setdefault((trip.kind, trip.cause), trip)
    over = {(trip.kind, trip.cause, trip.target) for trip in found}
    for measure in sorted(planned.keys() - over):
        kind, cause, target = measure
        first = passed.get((kind, cause))
        if first is not None:
            before, links = window.get(measure, 0), live.get(target, 0)
            why = f"the limit is passed at {first.target}"
            found.append(
                Trip(kind, cause, target, planned[measure], before, links, why, first.target)
            )
    return found


def count(operations: Iterable[Operation]) -> dict[Measure, int]:
    totals: dict[Measure, int] = {}
    for operation in operations:
        for measure in measures(operation):
            totals[measure] = totals.get(measure, 0) + 1
    return totals
