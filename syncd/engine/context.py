"""What the stages of one run share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from syncd.core.link import Pair
from syncd.core.model import Case, Decision
from syncd.core.rules import FlowRules
from syncd.engine.opening import OpenFlow
from syncd.engine.pull import Pulled, Reader
from syncd.engine.result import RunOptions, RunReport
from syncd.seams import Seams
from syncd.store import conflicts
from syncd.store.database import Store
from syncd.store.identity import never_pairs
from syncd.store.lease import Fence
from syncd.store.stage import Stage


@dataclass(slots=True)
class RunContext:
    """One run of one flow.

    store   the shadow state; of a dry run on an unknown flow, an empty one that is thrown away
    fence   None in a dry run, which writes nothing
    number  of the run in the store; 0 in a dry run
    identity_cases, used  cases of who is who, each with an entity in it (0 = none), and the
            decisions on such cases that this run acts on
    beat    to be called often: keeps the lease, and raises Interrupted when asked to stop
    first_entry  the journal's number of this run's first operation; 0 = none yet
    bare    members without a live link when this run planned: creates there do not count (law 16)
    """

    open: OpenFlow
    flow: int
    number: int
    now: datetime
    store: Store
    stage: Stage
    seams: Seams
    fence: Fence | None
    options: RunOptions
    report: RunReport
    readers: Mapping[str, Reader]
    relinking: bool
    beat: Callable[[], None]
    first_entry: int = 0
    pulled: dict[str, Pulled] = field(default_factory=dict)
    identity_cases: list[tuple[int, Case]] = field(default_factory=list)
    used: list[int] = field(default_factory=list)
    bare: frozenset[str] | None = None
    _said: list[Decision] | None = None
    _never: frozenset[Pair] | None = None

    @property
    def rules(self) -> FlowRules:
        return self.open.compiled.rules

    @property
    def at(self) -> str:
        return self.now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def said(self, conn: Connection) -> list[Decision]:
        """What people decided of cases of no entity, oldest first."""
        if self._said is None:
            pending = conflicts.pending_decisions(conn, self.flow, [conflicts.NO_ENTITY])
            self._said = list(pending.get(conflicts.NO_ENTITY, ()))
        return self._said

    def never(self, conn: Connection) -> frozenset[Pair]:
        """Pairs of records a person said are not the same."""
        if self._never is None:
            self._never = never_pairs(conn, self.flow)
        return self._never

    def say(self, level: str, text: str) -> None:
        self.report.messages.append((level, text))
