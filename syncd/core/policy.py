"""Choosing among candidates (law 3): what a policy decides, and what it leaves to a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from syncd.core.model import Fields
from syncd.core.rules import Comparable, Policy


@dataclass(frozen=True, slots=True)
class Rival:
    """One distinct value with everybody who stands for it.

    values   by field, in the form of the first of `holders`
    same     comparison form of all of them; rivals differ in it
    holders  members whose value it is; the agreed value counts as its origin's
    agreed   the agreed value is among them
    at       time of the newest edit that gave it; None = unknown
    """

    values: Fields
    same: Comparable
    holders: tuple[str, ...]
    agreed: bool = False
    at: str | None = None


def choose(
    policies: Sequence[Policy], rivals: Sequence[Rival], tolerance: float
) -> tuple[Rival, Policy] | None:
    """The rival that the first policy able to decide takes; None leaves it to review."""
    for policy in policies:
        if policy.kind == "review":
            return None
        winner: Rival | None = None
        if policy.kind == "prefer":
            winner = _preferred(policy.order, rivals)
        elif policy.kind == "newest":
            winner = _newest(rivals, tolerance)
        if winner is not None:
            return winner, policy
    return None


def rank(policies: Sequence[Policy], name: str) -> tuple[int, str]:
    """Order of members by policy, then by name: picks one of several forms of one value."""
    order = [member for policy in policies for member in policy.order]
    return (order.index(name) if name in order else len(order)), name


def _preferred(order: Sequence[str], rivals: Sequence[Rival]) -> Rival | None:
    for name in order:
        for rival in rivals:
            if name in rival.holders:
                return rival
    return None


def _newest(rivals: Sequence[Rival], tolerance: float) -> Rival | None:
    """The one later than every other by more than the tolerance (seconds); a missing time on
    any side decides nothing (S55)."""
    if len(rivals) == 1:
        return rivals[0]
    times: list[tuple[datetime, int]] = []
    for index, rival in enumerate(rivals):
        if rival.at is None:
            return None
        times.append((datetime.fromisoformat(rival.at), index))
    times.sort()
    (second, _), (latest, index) = times[-2], times[-1]
    return rivals[index] if (latest - second).total_seconds() > tolerance else None
