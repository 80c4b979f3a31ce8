"""One life of a flow, from its script to its trace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from syncd.config.load import Loaded
from syncd.core import keys
from syncd.errors import SyncdError
from syncd.simulate.operators import Operators
from syncd.simulate.process import Desk, Process, config, fresh_tasks
from syncd.simulate.script import Round, Script
from syncd.simulate.tasks import Crash
from syncd.simulate.trace import RunEnd, Trace
from syncd.simulate.world import World

SETTLING = 8  # runs after the last fault within which all must come to rest
REST = 90_000.0  # seconds between them: longer than a guard's window, a lag and a retry


class Life:
    """Plays a script. `world` and `trace` are there for whoever judges."""

    def __init__(self, script: Script, desk: Desk) -> None:
        self.script, self.desk = script, desk
        self.world = World(script)
        self.flow: dict[str, Any] = dict(script.flow)
        self.flows = {0: self.flow}  # by the round from which on it holds
        self._living: set[int] = set()
        self._born = 0
        self._plan: frozenset[str] = frozenset()  # what the last run planned, by digest
        self._loaded: Loaded | None = None
        desk.clear(self.world)
        self.process = self._start()

    @property
    def trace(self) -> Trace:
        return self.world.trace

    def play(self) -> Trace:
        for number, part in enumerate(self.script.rounds):
            self.world.clock.seconds += part.wait
            for change in self.script.changes:
                if change.round == number:
                    self.flow = patched(self.flow, change.patch)
                    self.flows[number] = self.flow
                    self._loaded = None
            self._operate(number)
            self.world.begin(number)
            self.world.other = self._other
            if part.mode == "saved":
                self._run(replace(part, mode="dry"))
            self._run(part)
            self.world.end()
        self._settle()
        self.process.close()
        return self.trace

    def _settle(self) -> None:
        self.world.heal()
        quiet = 0
        for number in range(len(self.script.rounds), len(self.script.rounds) + SETTLING):
            self.world.clock.seconds += REST
            self.world.begin(number)
            end = self._run(Round(self.script.settle), settling=True)
            quiet = quiet + 1 if not end.writes else 0
            if quiet == 2:
                break

    @property
    def loaded(self) -> Loaded:
        if self._loaded is None:
            self._loaded = config(self.world, self.desk, self.flow)
        return self._loaded

    def _start(self) -> Process:
        fresh_tasks(self.world)
        self._born += 1
        return Process(self.world, self.desk, self._born, self._living)

    def _operate(self, number: int) -> None:
        said = [e for e in self.script.events if e.round == number and not e.member]
        if said:
            store = self.process.store(self.loaded)
            Operators(self.world, store).act(said)

    def _record(self, part: Round) -> tuple[str, str] | None:
        """The native id of an entity run's record; where there is none, one that nobody has."""
        if part.mode != "entity":
            return None
        table = self.world.tables[part.member]
        rows = [row.number for row in table.live() if row.person == part.person]
        number = rows[0] if rows else 0
        return part.member, keys.encode((f"k{number}",) if table.traits.text_keys else (number,))

    def _run(self, part: Round, settling: bool = False) -> RunEnd:
        trace, world, mode = self.trace, self.world, part.mode
        end = RunEnd(world.round, "", first=len(trace.happenings), settling=settling)
        calls = trace.calls
        try:
            only = self._plan if mode == "saved" else None
            self._plan = frozenset()
            report = self.process.run(self.loaded, mode, self._record(part), only)
            self._plan = frozenset(o.digest for o in report.operations if not o.held)
            end.state = str(report.state)
            world.introduced = world.introduced or end.state in ("done", "needs-person")
            end.text = "; ".join(text for _, text in report.messages)
        except Crash as crash:
            end.state, end.text = "crash", str(crash)
            self.process.bury()
            self.process = self._start()
        except SyncdError as error:
            end.state, end.text = f"error {error.code}", str(error)
        except Exception as error:  # a bug of the engine is a finding, and ends that process only
            end.state, end.text = "error", f"{type(error).__name__}: {error}"
            trace.broken.append(f"error: round {world.round}: {end.text}")
            self.process.bury()
            self.process = self._start()
        end.calls = trace.calls - calls
        end.last = len(trace.happenings)
        end.writes = sum(h.who == "syncd" for h in trace.happenings[end.first :])
        end.mode = mode
        end.person = part.person if mode == "entity" else -1
        trace.runs.append(end)
        return end

    def _other(self) -> None:
        """Another process takes the flow over and runs it, while this one stands still."""
        world, mine = self.world, self.world.tasks
        world.other = None
        process = self._start()
        first = len(self.trace.happenings)
        world.tell("fault", "takeover")
        try:
            process.run(self.loaded, "full")
        except Crash:
            process.bury()
        except SyncdError as error:
            world.tell("fault", "other", detail=str(error))
        else:
            process.close()
        world.tasks = mine
        world.tell("fault", "resume", detail=str(len(self.trace.happenings) - first))


def patched(flow: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """The flow's table with parts replaced; None takes one out; tables are gone into."""
    made = dict(flow)
    for name, value in patch.items():
        if value is None:
            made.pop(name, None)
        elif isinstance(value, Mapping) and isinstance(made.get(name), Mapping):
            made[name] = patched(made[name], value)
        else:
            made[name] = value
    return made
