"""What the stages of one run share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from syncd.core.link import Pair
from syncd.core.model import Case, Decision, OpKind
from syncd.core.rules import FlowRules
from syncd.engine.beginning import Begun
from syncd.engine.opening import OpenFlow
from syncd.engine.pull import Pulled, Reader
from syncd.engine.result import RunOptions, RunReport
from syncd.seams import Seams, instant_text
from syncd.store import conflicts
from syncd.store.database import Store
from syncd.store.identity import never_blocks
from syncd.store.lease import Fence
from syncd.store.matters import UNASKED, Matters
from syncd.store.stage import Stage


@dataclass(slots=True)
class RunContext:
    """One run of one flow.

    store   the shadow state; of a dry run on an unknown flow, an empty one that is thrown away
    begun   what stood in the store when the run began
    fence   None in a dry run, which writes nothing
    beat    to be called often: keeps the lease, and raises Interrupted when asked to stop
    matters  what stood open in the flow when this run planned
    first_entry  the journal's number of this run's first operation; 0 = none yet
    recorded  of which member and kind there are operations of this run in the journal
    any_never  whether people said of any two records that they are not the same
    unlisted  members of which a record was not found, without a listing that tells what is gone
    bare    members without a live link when this run planned: creates there do not count (law 16)
    """

    open: OpenFlow
    begun: Begun
    store: Store
    stage: Stage
    seams: Seams
    fence: Fence | None
    options: RunOptions
    report: RunReport
    readers: Mapping[str, Reader]
    beat: Callable[[], None]
    matters: Matters = UNASKED
    first_entry: int = 0
    recorded: set[tuple[str, OpKind]] = field(default_factory=set)
    pulled: dict[str, Pulled] = field(default_factory=dict)
    unlisted: set[str] = field(default_factory=set)
    bare: frozenset[str] | None = None
    any_never: bool = False

    @property
    def rules(self) -> FlowRules:
        return self.open.compiled.rules

    @property
    def flow(self) -> int:
        return self.begun.flow

    @property
    def number(self) -> int:
        """Of the run in the store; 0 in a dry run."""
        return self.begun.run

    @property
    def now(self) -> datetime:
        return self.begun.now

    @property
    def at(self) -> str:
        return instant_text(self.now)

    def said(self, conn: Connection, case: Case) -> Decision | None:
        """What a person decided of a case of no entity, last of all."""
        if "said" not in self.stage.loaded:
            self.stage.loaded.add("said")
            for block in conflicts.pending_of_none(conn, self.flow):
                self.stage.add_said((d.digest, d.id, d) for d in block)
        found: Decision | None = self.stage.said(case.digest)
        return found

    def never(self, conn: Connection, records: Iterable[tuple[str, str]]) -> frozenset[Pair]:
        """Pairs with one of these records in it that a person said are not the same."""
        if "never" not in self.stage.loaded:
            self.stage.loaded.add("never")
            self.any_never = False
            for block in never_blocks(conn, self.flow):
                self.any_never = True
                pairs = [sorted(pair) for pair in block if len(pair) == 2]
                self.stage.add_never((*one, *other) for one, other in pairs)
        return frozenset(self.stage.never(records)) if self.any_never else frozenset()

    def say(self, level: str, text: str) -> None:
        self.report.messages.append((level, text))
