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
from syncd.simulate.script import Event, Fault, Script
from syncd.simulate.table import Refusal, Row, Table
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
        self._tokens = 0
        self._deleted: dict[tuple[str, int], Row] = {}
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
            self.act(self._events.pop(0))

    def act(self, event: Event) -> None:
        """A user does it, if the system lets them."""
        table = self.tables[event.member]
        row = next((r for r in table.live() if r.person == event.person), None)
        try:
            if event.kind == "add" and row is None:
                self._add(table, event)
            elif event.kind == "edit" and row is not None:
                self._edit(table, row, event)
            elif event.kind == "delete" and row is not None:
                self._deleted[table.name, row.person] = row
                table.delete(row.number, self.seconds())
                self._did("delete", table, row, None)
            elif event.kind == "restore" and row is None:
                before = self._deleted.get((table.name, event.person))
                if before is not None and not _occupied(table, before):
                    self._did("restore", table, None, table.restore(before, self.seconds()))
        except Refusal:
            pass

    def _add(self, table: Table, event: Event) -> None:
        """how: "p3." where it is entered under what another person is known by."""
        number = event.person
        alias = int(event.how[1:-1]) if event.how.startswith("p") else number
        natives: dict[str, Any] = {"memo": f"m{number}"} if "memo" in table.blank else {}
        for name, field in self.model.fields.items():
            if name in self.model.places[table.name]:
                value = field.own(alias) if field.key else self._fresh(number, name)
                natives.update(self._entered(table, name, value))
        row = table.insert(natives, self.seconds(), number)
        self._did("insert", table, None, row)

    def _edit(self, table: Table, row: Row, event: Event) -> None:
        name, model = event.name, self.model
        if name not in model.places[table.name]:
            return
        value = there = model.read(table.name, row.values)[name]
        match event.how:
            case "new":
                value = self._fresh(row.person, name, value)
            case "blank":
                value = None
            case "back":
                value = next(
                    (
                        h.before[name]
                        for h in reversed(self.trace.happenings)
                        if h.member == table.name and h.key == row.number and h.before
                        and h.after and h.before[name] != value
                    ),
                    value,
                )  # fmt: skip
            case "same":
                value = next(
                    (
                        model.read(other.name, r.values)[name]
                        for other in self.tables.values()
                        if other is not table and name in model.places[other.name]
                        for r in other.live()
                        if r.person == row.person
                    ),
                    value,
                )
            case "spelling":
                value = f" {value.swapcase()} " if isinstance(value, str) else value
        natives = self._entered(table, name, value)
        after = table.update(row.number, natives, self.seconds())
        if model.read(table.name, after.values)[name] != there:
            self.trace.edits += 1
        self._did("update", table, row, after)

    def _entered(self, table: Table, name: str, value: Any) -> dict[str, Any]:
        """The columns that a user fills in, to say this. Raises Refusal where there is no way."""
        try:
            return self.model.write(table.name, name, value)
        except (LookupError, ValueError, TypeError, ArithmeticError) as error:
            raise Refusal(f"{name} cannot be {value!r} there") from error

    def _did(self, what: str, table: Table, before: Row | None, after: Row | None) -> None:
        row = after or before
        assert row is not None
        self.tell(
            "user", what, table.name, row.number, row.person,
            before.values if before else None, after.values if after else None,
        )  # fmt: skip

    def _fresh(self, person: int, name: str, before: Any = None) -> Any:
        """A value nobody gave before: it tells which edit it comes from."""
        self._tokens += 1
        return self.model.fields[name].fresh(person, self._tokens, before, self.users)


def _occupied(table: Table, row: Row) -> bool:
    there = table.rows.get(row.number)
    return there is not None and not there.gone
