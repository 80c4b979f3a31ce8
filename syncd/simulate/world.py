"""The world around the engine: systems, the people who use them, the wires between, the clock.

Everything happens at a call: time passes, people do what the script says is due, and perhaps
something goes wrong. A call is also the point where another task of the process may go on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from syncd.adapter import Write
from syncd.simulate.clock import Clock, Ids, stream
from syncd.simulate.faults import FITS, LASTING
from syncd.simulate.objects import described, model_of, table_of
from syncd.simulate.people import People
from syncd.simulate.script import Event, Fault, Script
from syncd.simulate.tasks import Crash, Tasks
from syncd.simulate.trace import Happening, Trace

LATENCY = 0.05  # seconds of a call


class World:
    def __init__(self, script: Script) -> None:
        self.script = script
        self.trace = Trace()
        self.clock = Clock()
        self.chance = stream(script.seed, "schedule")
        self.users = stream(script.seed, "users")
        self.ids = Ids(stream(script.seed, "ids"))
        self.tasks = Tasks(self.chance, 0.3)
        self.schemas = {name: described(script, name) for name in script.systems}
        self.model = model_of(script, self.schemas)
        self.tables = {
            name: table_of(script, name, schema, self.model)
            for name, schema in self.schemas.items()
        }
        self.round, self.step = -1, 0
        self.introduced = False  # a run came to its end: the systems are known
        self.other: Callable[[], None] | None = None  # runs a second process
        self._events: list[Event] = []
        self._faults: list[Fault] = []
        self._lasting: dict[str, tuple[Fault, int]] = {}
        self.people = People(self)
        self._about: dict[tuple[str, str], int] = {}  # whom a value is about that does not say so

    # --- time

    def begin(self, number: int) -> None:
        self.round, self.step = number, 0
        self._events = [e for e in self.script.events if e.round == number and e.member]
        self._faults = [f for f in self.script.faults if f.round == number]
        self._lasting.clear()
        self.due()

    def heal(self) -> None:
        self._events, self._faults = [], []
        self._lasting.clear()

    def end(self) -> None:
        """What was due later in this round happens now."""
        self.step = 1 << 30
        self.due()
        self._faults.clear()
        self._lasting.clear()

    def sleep(self, seconds: float) -> None:
        self.alive()
        self.clock.seconds += seconds

    def seconds(self) -> float:
        return self.clock.seconds

    def alive(self) -> None:
        if self.tasks.dead:
            raise Crash

    def die(self, why: str) -> None:
        self.tasks.dead = True
        raise Crash(why)

    # --- the wires

    def call(self, member: str, what: str) -> Fault | None:
        self.alive()
        self.trace.calls += 1
        self.step += 1
        self.clock.seconds += LATENCY
        self.due()
        self.tasks.pause()
        fault = self._fault(member, what)
        if fault is None:
            return None
        if fault.kind in ("crash", "crash-write", "crash-answer"):
            self.die(fault.kind)
        if fault.kind == "jump":
            self.clock.ahead += 86400.0 * (1 if fault.many % 2 else -1) * fault.many
            return None
        if fault.kind == "pause":
            if self.other is not None:
                self.clock.seconds += 100.0
                self.other()
            return None
        return fault

    def stored(self, when: str) -> None:
        """The store begins, or is about to end, or has ended a write."""
        self.alive()
        if self._fault("", f"store-{when}") is not None:
            self.die(f"store-{when}")

    def _fault(self, member: str, what: str) -> Fault | None:
        lasting = self._lasting.get(member)
        if lasting is not None and what in FITS[lasting[0].kind]:
            fault, left = lasting
            if left <= 1:
                del self._lasting[member]
            else:
                self._lasting[member] = (fault, left - 1)
            return fault
        for fault in self._faults:
            fits = what in FITS[fault.kind] and fault.member in ("", member)
            if fault.kind == "moved" and not self.introduced:
                continue  # a database nobody knew before is none that moved
            if fits and fault.step <= self.step:
                self._faults.remove(fault)
                if fault.kind in LASTING and fault.many > 1:
                    self._lasting[member] = (fault, fault.many - 1)
                self.trace.fired[fault.kind] = self.trace.fired.get(fault.kind, 0) + 1
                self.tell("fault", fault.kind, member, detail=what)
                return fault
        return None

    def wrote(self, member: str, what: str, before: Any, after: Any, write: Write) -> None:
        row = after if after is not None else before
        self.tell(
            "syncd", what, member, row.number, row.person,
            before.values if before is not None else None,
            after.values if after is not None else None,
            write.op_id, dict(write.values),
        )  # fmt: skip
        if after is not None:
            self.people.wrote(member, after.number)

    def person(self, member: str, natives: Mapping[str, Any]) -> int:
        """Whom values are about: the tokens in them say so, or whoever gave them first."""
        values = self.model.sent(member, None, natives)
        found = self.model.person(values)
        if found >= 0:
            return found
        known = (self._about.get((name, repr(value))) for name, value in values.items())
        return next((person for person in known if person is not None), -1)

    def _note(self, person: int, values: Mapping[str, Any] | None) -> None:
        for name, value in (values or {}).items():
            if value is not None and not self.model.fields[name].vague:
                self._about.setdefault((name, repr(value)), person)

    def tell(
        self,
        who: str,
        what: str,
        member: str = "",
        key: int = 0,
        person: int = -1,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
        op_id: str = "",
        sent: Mapping[str, Any] | None = None,
        detail: str = "",
    ) -> None:
        """before, after, sent: by column."""
        model = self.model
        rows = [model.read(member, row) if row is not None else None for row in (before, after)]
        fields = model.sent(member, before, sent) if sent else {}
        self._note(person, rows[1])
        self.trace.happenings.append(
            Happening(
                len(self.trace.happenings), self.clock.seconds, self.round, who, what, member, key,
                person, rows[0], rows[1], op_id, fields, detail, (before, after, sent or {}),
            )
        )  # fmt: skip

    # --- people

    def due(self) -> None:
        while self._events and self._events[0].step <= self.step:
            self.people.act(self._events.pop(0))
        self.people.habits()
