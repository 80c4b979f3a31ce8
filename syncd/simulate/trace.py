"""What happened, in order: all that the oracle gets to see, and what a person reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Natives = tuple[Mapping[str, Any] | None, Mapping[str, Any] | None, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Happening:
    """One change of the truth, or one thing that went wrong.

    who      user | syncd | fault | operator
    what     insert | update | delete | restore | refused, or the fault's or answer's kind
    run      number of the round; -1 = before the first
    before, after, sent  values by field
    op_id    of the journal, for what syncd did
    natives  the same three by column, where a system has other columns than the flow has fields
    """

    number: int
    time: float
    run: int
    who: str
    what: str
    member: str = ""
    key: int = 0
    person: int = -1
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    op_id: str = ""
    sent: Mapping[str, Any] = field(default_factory=dict)
    detail: str = ""
    natives: Natives | None = None

    @property
    def rows(self) -> Natives:
        return self.natives or (self.before, self.after, self.sent)


@dataclass(slots=True)
class RunEnd:
    """How one run of the engine came out. state: as the report says, or crash | error: …;
    person: of an entity run, whose record it was about."""

    round: int
    state: str
    mode: str = "full"
    writes: int = 0
    calls: int = 0
    first: int = 0  # number of the first happening of this run
    last: int = 0
    text: str = ""
    settling: bool = False
    person: int = -1

    def read(self, person: int) -> bool:
        """Whether it looked at the records of this person."""
        return self.mode != "dry" and (self.mode != "entity" or self.person == person)


@dataclass(slots=True)
class Trace:
    happenings: list[Happening] = field(default_factory=list)
    runs: list[RunEnd] = field(default_factory=list)
    calls: int = 0
    edits: int = 0
    fired: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
