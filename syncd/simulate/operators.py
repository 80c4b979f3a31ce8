"""The people who mind the engine: they settle cases, answer holds, retry what was refused."""

from __future__ import annotations

from collections.abc import Sequence

from syncd.core.model import CaseKind, Choice
from syncd.errors import SyncdError
from syncd.simulate.script import Event
from syncd.simulate.world import World
from syncd.store import conflicts, holds, quarantine
from syncd.store.database import Store

_FIELDS = (CaseKind.FIELD, CaseKind.FIRST, CaseKind.LOSSY, CaseKind.UNPROVEN, CaseKind.DRIFT)


class Operators:
    def __init__(self, world: World, store: Store) -> None:
        self._world, self._store = world, store

    def act(self, events: Sequence[Event]) -> None:
        """Each does one thing, if there is something of the kind to be done."""
        for event in events:
            try:
                getattr(self, f"_{event.kind}")(event)
            except SyncdError as error:  # it does not fit what stands open now
                self._world.tell("operator", "refused", detail=str(error))

    def _at(self) -> str:
        return self._world.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def _decide(self, event: Event) -> None:
        with self._store.read() as conn:
            open_ = list(conflicts.open_cases(conn, 1))
        if not open_:
            return
        case = open_[event.person % len(open_)]
        kind = case.case.kind
        if kind in _FIELDS:
            sources = [c.source for c in case.case.candidates if c.values is not None]
            if not sources:
                return
            answer = conflicts.Answer(
                Choice.TAKE, "jo", source=sources[event.person % len(sources)]
            )
        elif kind is CaseKind.DELETE:
            choices = (Choice.DELETE, Choice.KEEP, Choice.UNLINK)
            answer = conflicts.Answer(choices[event.person % 3], "jo")
        elif kind is CaseKind.REAPPEARED:
            answer = conflicts.Answer(Choice.KEEP, "jo")
        else:
            return
        with self._store.write() as conn:
            conflicts.decide(conn, case.id, case.case.digest, answer, at=self._at())
        detail = f"case {case.id} {kind} {list(case.case.fields)}: {answer.choice} {answer.source}"
        self._world.tell("operator", "decide", detail=detail)

    def _hold(self, event: Event, approve: bool) -> None:
        with self._store.read() as conn:
            open_ = holds.holds(conn, 1)
        if not open_:
            return
        hold = open_[event.person % len(open_)]
        at = self._at()
        with self._store.write() as conn:
            if approve:
                many = holds.approve(conn, hold.id, hold.digest, by="jo", at=at)
            else:
                revert = event.how == "revert"
                many = holds.discard(conn, hold.id, hold.digest, by="jo", at=at, revert=revert)
        word = "approve" if approve else "discard"
        self._world.tell(
            "operator", word, detail=f"hold {hold.id} {hold.kind} {hold.cause}: {many} operations"
        )

    def _approve(self, event: Event) -> None:
        self._hold(event, True)

    def _discard(self, event: Event) -> None:
        self._hold(event, False)

    def _retry(self, event: Event) -> None:
        with self._store.read() as conn:
            waiting = quarantine.quarantined(conn, 1)
        for one in waiting[:1]:
            with self._store.write() as conn:
                quarantine.retry(conn, one.id)
            self._world.tell("operator", "retry", detail=f"quarantine {one.id}")
