"""One flow's configuration as the planner takes it: names resolved, defaults filled in, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from syncd.core.model import Fields, Value

Comparable = Any  # the comparison form of a value: hashable, equal iff "the same"


class Mode(StrEnum):
    SOURCE = "source"
    TARGET = "target"
    BOTH = "both"

    @property
    def is_source(self) -> bool:
        return self is not Mode.TARGET

    @property
    def is_target(self) -> bool:
        return self is not Mode.SOURCE


class Deletes(StrEnum):
    PROPAGATE = "propagate"
    ARCHIVE = "archive"
    UNLINK = "unlink"
    IGNORE = "ignore"
    REVIEW = "review"


class DeleteConflict(StrEnum):
    EDIT_WINS = "edit-wins"
    DELETE_WINS = "delete-wins"
    REVIEW = "review"


class Drift(StrEnum):
    REVERT = "revert"
    KEEP = "keep"
    REVIEW = "review"


@dataclass(frozen=True, slots=True)
class Policy:
    """`newest`, `prefer` (order = members, best first), `merge` (sets by element), `review`."""

    kind: str
    order: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"prefer:{','.join(self.order)}" if self.kind == "prefer" else self.kind


REVIEW = Policy("review")


@dataclass(frozen=True, slots=True)
class FieldRules:
    """compare   canonical value → comparison form
    owner     the only member whose changes count; None = every source of the field
    fill      a blanking is not a candidate
    conflict  policies in order; what none decides goes to review
    first     the same for first sight
    lossy     an edit from a degraded link is accepted as it is
    exclusive two different values of it never belong to one entity
    private   masked in all output
    """

    name: str
    compare: Callable[[Value], Comparable]
    is_set: bool = False
    owner: str | None = None
    fill: bool = False
    conflict: tuple[Policy, ...] = ()
    first: tuple[Policy, ...] = ()
    lossy: bool = False
    exclusive: bool = False
    private: bool = False


@dataclass(frozen=True, slots=True)
class MemberRules:
    """reads, writes   flow fields this member maps in that direction
    validate  record as it would stand at this member → complaints by field; empty = valid
    required  fields without which nothing can be created here
    fingerprint  of mapping, types and folds, per member; bases remember it
    read_lag  seconds (law 5)
    archives  the member has a soft-delete column, so ARCHIVE can be written
    undo      fields whose change here a person ordered to be taken back: no say in them, and
              drift that is reverted whatever the policy
    undelete  the same of a deletion here
    """

    name: str
    mode: Mode
    reads: frozenset[str]
    writes: frozenset[str]
    validate: Callable[[Fields], Mapping[str, str]]
    fingerprint: str
    read_lag: float = 0.0
    archives: bool = False
    creates: bool = True
    undo: frozenset[str] = frozenset()
    undelete: bool = False


@dataclass(frozen=True, slots=True)
class GuardLimit:
    """Trips above `count`, or above `percent` of the member's live links once over the floor.
    None = no such limit."""

    count: int | None = None
    percent: float | None = None


@dataclass(frozen=True, slots=True)
class FlowRules:
    """members  in config order; `order` ranks them where a policy or tie needs an order
    groups   fields that change, conflict and freeze together; each field is in exactly one
    match    rules, each a tuple of fields
    """

    name: str
    fields: Mapping[str, FieldRules]
    members: Mapping[str, MemberRules]
    groups: tuple[tuple[str, ...], ...]
    match: tuple[tuple[str, ...], ...]
    deletes: Deletes = Deletes.REVIEW
    deletes_from: tuple[str, ...] | None = None  # None: any of `sources`; see deletes_all
    deletes_all: bool = False  # a deletion propagates when all of deletes_from are gone
    delete_conflict: DeleteConflict = DeleteConflict.REVIEW
    drift: Drift = Drift.REVERT
    tolerance: float = 0.0  # seconds, for `newest`
    grace: float = 0.0  # seconds a reappearing id without marks is suppressed
    bridge_accept: bool = False
    guards: Mapping[str, GuardLimit] = field(default_factory=dict)
    guard_floor: int = 10

    def sources(self, name: str) -> tuple[str, ...]:
        """Members whose changes of this field are candidates (law 1)."""
        rules = self.fields[name]
        return tuple(
            m.name
            for m in self.members.values()
            if m.mode.is_source
            and name in m.reads
            and rules.owner in (None, m.name)
            and name not in m.undo
        )

    def drift_of(self, member: str, name: str) -> Drift:
        """What becomes of a change of this field by a member without authority over it."""
        return Drift.REVERT if name in self.members[member].undo else self.drift

    def targets(self, name: str) -> tuple[str, ...]:
        return tuple(m.name for m in self.members.values() if m.mode.is_target and name in m.writes)
