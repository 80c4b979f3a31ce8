"""What a run is asked to do and what it says afterwards: values for command line, daemon, tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from syncd.core import keys
from syncd.core.model import Case, Operation
from syncd.errors import SyncdError

_NAMED = 10  # records that one message names


class RunMode(StrEnum):
    FULL = "full"  # every record of every member
    INCREMENTAL = "incremental"  # by cursor where a member has one
    ENTITY = "entity"  # one record, read at every member


class RunState(StrEnum):
    DONE = "done"
    NEEDS_PERSON = "needs-person"  # done, with conflicts, holds or quarantine left
    PLANNED = "planned"  # a dry run, or one that was not confirmed
    FAILED = "failed"
    INTERRUPTED = "interrupted"


EXIT = {
    RunState.DONE: 0,
    RunState.PLANNED: 0,
    RunState.NEEDS_PERSON: 3,
    RunState.FAILED: 1,
    RunState.INTERRUPTED: 130,
}


@dataclass(slots=True)
class Named:
    """The records that one message is about: how many they are, the first of them by name."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, member: str, key: str | None) -> None:
        self.count += 1
        if key and len(self.first) < _NAMED:
            self.first.append(f"{member} {keys.show(key)}")

    def __bool__(self) -> bool:
        return self.count > 0

    def __str__(self) -> str:
        more = self.count - len(self.first)
        return ", ".join([*self.first, f"{more} more"] if more else self.first)


@dataclass(frozen=True, slots=True)
class PlannedOperation:
    """One operation of a plan, for people and for saved plans. digest: names the operation with
    its preconditions; held: the guard kind that holds it, "" = none."""

    entity: int
    operation: Operation
    digest: str
    held: str = ""


@dataclass(frozen=True, slots=True)
class OpenedCase:
    """A conflict that the run would open. entity: 0 = of records that are not linked."""

    entity: int
    case: Case


@dataclass(slots=True)
class MemberReport:
    """One member in one run.

    blocked  of the rejected: those that wait for another record (a parent to come, children to
             go), perhaps of another flow
    error    why it was not read, or not written; "" = fine
    failed   which of the two: "read" | "write"; "" = neither
    exit     what the error alone would make of the exit code
    """

    name: str
    system: str
    read: int = 0
    changed: int = 0
    created: int = 0
    updated: int = 0
    deleted: int = 0
    stale: int = 0
    rejected: int = 0
    blocked: int = 0
    unknown: int = 0
    planned: dict[str, int] = field(default_factory=dict)  # by operation kind
    held: int = 0
    error: str = ""
    code: str = ""
    hint: str = ""
    failed: str = ""
    exit: int = 0

    def fail(self, doing: str, error: SyncdError) -> None:
        """doing: "read" | "write"."""
        self.error, self.code, self.hint = error.message, error.code, error.hint
        self.failed, self.exit = doing, error.exit_code


@dataclass(slots=True)
class RunReport:
    """One run of one flow.

    conflicts, holds, quarantined, pending, unknown   what stands open in the flow afterwards; of
              a plan, what would (but for pending)
    opens     of a plan: the conflicts it would open
    suppressed  deleted ids that are back and not believed yet (law 12), of what was read
    wants_person  of a plan: whether something would stand open that a person has to look at
    messages  (level, text): what a person should know, in order
    moved     digests of a saved plan's operations that no longer hold
    """

    flow: str
    run: int
    mode: RunMode
    state: RunState
    members: dict[str, MemberReport]
    linked: int = 0
    conflicts: int = 0
    holds: int = 0
    quarantined: int = 0
    pending: int = 0
    unknown: int = 0
    suppressed: int = 0
    seconds: float = 0.0
    messages: list[tuple[str, str]] = field(default_factory=list)
    operations: list[PlannedOperation] = field(default_factory=list)
    opens: list[OpenedCase] = field(default_factory=list)
    wants_person: bool = False
    moved: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """A run that failed at systems which only need time is worth retrying; at one that needs
        a person first, it is not. A plan comes to what the run itself would."""
        state = self.state
        if state is RunState.PLANNED and any(m.error for m in self.members.values()):
            state = RunState.FAILED
        elif state is RunState.PLANNED and self.wants_person:
            state = RunState.NEEDS_PERSON
        if state is RunState.FAILED:
            return max((m.exit for m in self.members.values()), default=0) or EXIT[state]
        return EXIT[state]

    @property
    def changes(self) -> int:
        return sum(m.created + m.updated + m.deleted for m in self.members.values())


def joined(first: RunReport, second: RunReport) -> RunReport:
    """Two runs of a flow in one command: what both did, and how things stand after the second."""
    for name, member in second.members.items():
        before = first.members[name]
        member.created += before.created
        member.updated += before.updated
        member.deleted += before.deleted
    second.linked += first.linked
    second.seconds += first.seconds
    second.messages[:0] = first.messages
    second.operations[:0] = first.operations
    return second


Confirm = Callable[["RunReport"], bool]
"""Shown the plan before anything is recorded; False leaves everything as it is."""

Progress = Callable[[str, str, int, int | None], None]
"""(stage, member or "", done, total or None): called often, must be cheap."""


def no_progress(stage: str, member: str, done: int, total: int | None) -> None:
    """The default: nobody watches."""


def not_told(planned: PlannedOperation) -> None:
    """The default: nobody wants the whole plan."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """
    dry_run    plan and report, change nothing, not even the state
    only       digests of a saved plan: exactly these run; the rest of the plan is dropped
    whole      of these all, or where one is not planned any more none
    keep       how many planned operations the report carries (a first sync may have a million)
    planned    told of every operation of a dry run, one after the other
    confirm    asked when a first run would create into a member without links, or link and write
               between two filled ones; None = yes
    record     (member, native id as people write it): the record of an ENTITY run
    """

    mode: RunMode = RunMode.FULL
    dry_run: bool = False
    only: frozenset[str] | None = None
    whole: bool = False
    keep: int = 2_000
    planned: Callable[[PlannedOperation], None] = not_told
    confirm: Confirm | None = None
    record: tuple[str, str] | None = None
    progress: Progress = no_progress


def order(operations: Sequence[PlannedOperation]) -> list[PlannedOperation]:
    """As people read a plan: by member and kind, deletions last."""
    rank = {"update": 0, "create": 1, "archive": 2, "delete": 3}
    return sorted(
        operations,
        key=lambda p: (rank[p.operation.kind], p.operation.member, p.operation.key or ""),
    )
