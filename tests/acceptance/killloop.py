"""One world under the axe: the real process is run in it, killed, and judged.

One round: people edit → a run begins and is killed → people edit again → runs to the end → the
judge, which asks both databases' own logs and not syncd.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from killjudge import Judge
from killworld import FLOW, World

from syncd.engine.failpoint import NAMES

PATIENCE = 120.0  # seconds a run may take
SYNCD = Path(sys.executable).with_name("syncd")
RECONCILE = (str(SYNCD), "reconcile", FLOW, "--yes", "--json", "--no-input")
T = TypeVar("T")
_AMONG_WRITES = ("marking-sent", "marked-sent", "before-commit", "applied", "settling", "settled")


def share(*cases: T, few: int = 1) -> list[T]:
    """All of them under `make kill`; for the quick everyday run the first ones."""
    return list(cases if "SYNCD_KILLS" in os.environ else cases[:few])


class NotSafe(Exception):
    """A promise was broken; the message says which, and how to see it again."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Of one run. data: its JSON, empty where it was killed."""

    code: int
    data: Mapping[str, Any]
    err: str

    @property
    def flow(self) -> Mapping[str, Any]:
        return self.data["flows"][0] if self.data.get("flows") else {}

    def __str__(self) -> str:
        said = self.data.get("errors") or self.data
        return f"exit {self.code}: {str(said)[:900]} {self.err[-900:]}"


@dataclass(frozen=True, slots=True)
class Moment:
    """When to kill. point: at a named place of the run; steps: after so many row writes, and
    `then` seconds; neither: after `then` seconds from the start."""

    point: str = ""
    steps: int = 0
    then: float = 0.0


@dataclass(frozen=True, slots=True)
class Round:
    """What became of one kill. reached: the run had not ended before; between: it fell after the
    first row write, with some still to come."""

    moment: Moment
    reached: bool
    between: bool


class Loop:
    """One world under the axe."""

    def __init__(self, world: World, where: str = "") -> None:
        self.world, self.where = world, where
        self.judge = Judge(world.sides)
        self.random = world.random
        self.usual = 1.2  # seconds a run takes, start of Python included
        self.expected = 60  # row writes of a run

    # -- the process -------------------------------------------------------------------------

    def start(self, words: Sequence[str] = RECONCILE, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            words,
            cwd=self.world.folder,
            env={**os.environ, **self.environment(), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def environment(self) -> dict[str, str]:
        return {
            "SYNCD_CONFIG": str(self.world.config),
            "STATE_DIRECTORY": str(self.world.folder / "state"),
        }

    @staticmethod
    def end(process: subprocess.Popen[str]) -> Answer:
        try:
            out, err = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise NotSafe(f"a run stood still for {PATIENCE:g} s\n{out}\n{err}") from None
        return Answer(process.returncode, json.loads(out) if out.strip() else {}, err)

    def run(self, **environment: str) -> Answer:
        return self.end(self.start(**environment))

    def say(self, *words: str) -> Answer:
        """Another command than `reconcile`."""
        return self.end(self.start((str(SYNCD), *words, "--json")))

    def held(self, point: str, **environment: str) -> subprocess.Popen[str]:
        """A run that stands still at the point; fails if it ended instead."""
        process = self.start(SYNCD_FAILPOINT=f"{point}:1:stop", **environment)
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            raise NotSafe(f"it ended with {status}: {process.communicate()}")
        return process

    def until(self, process: subprocess.Popen[str], come: Callable[[], bool]) -> None:
        """Returns as soon as that is so; fails if the run ends before."""
        begun = time.monotonic()
        while not come():
            if process.poll() is not None or time.monotonic() - begun > PATIENCE:
                raise NotSafe(f"that never came: {process.poll()}")
            self._wait(process, 0.005)

    def steps(self) -> int:
        return sum(side.steps() for side in self.world.sides)

    # -- a round -----------------------------------------------------------------------------

    def killed(self, moment: Moment, meddle: int = 0, **environment: str) -> Answer:
        """Begin a run and kill it at that moment; `meddle` edits of people fall into it."""
        before = self.steps()
        if moment.point:
            environment["SYNCD_FAILPOINT"] = moment.point
        process = self.start(**environment)
        begun = time.monotonic()
        try:
            if meddle:
                self._wait(process, self.random.uniform(0.3, self.usual))
                self.world.edit(meddle, 0, calm=False)
            if moment.point:
                return self.end(process)
            if moment.steps:
                while process.poll() is None and self.steps() - before < moment.steps:
                    self._wait(process, 0.001)
                self._wait(process, moment.then)
            else:
                self._wait(process, begun + moment.then - time.monotonic())
        finally:
            if not moment.point:
                process.send_signal(signal.SIGKILL)
        return self.end(process)

    @staticmethod
    def _wait(process: subprocess.Popen[str], seconds: float) -> None:
        if seconds > 0:
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                return

    def moment(self) -> Moment:
        """Most often between the first and the last write."""
        dice = self.random.random()
        if dice < 0.25:
            return self.at(self.random.choice(NAMES if dice < 0.05 else _AMONG_WRITES))
        if dice < 0.95:
            steps = self.random.randint(1, max(1, self.expected * 9 // 10))
            return Moment(steps=steps, then=self.random.choice((0, 0, 0.01, 0.03)))
        return Moment(then=self.random.uniform(0.2, 1.2 * self.usual))

    def at(self, name: str) -> Moment:
        """One passing of the point, where a run has several of them."""
        return Moment(f"{name}:{self.random.randint(1, 4 if name in _AMONG_WRITES else 1)}")

    def round(
        self, moment: Moment, *, first: Moment | None = None, edits: int = 50, late: int = 8
    ) -> Round:
        """People edit, the run is killed, people edit, and it goes on to the end. first: a kill
        before that one, which leaves something to recover. Raises NotSafe."""
        self.settle_some()
        self.world.edit(edits, 220)
        self.judge.hear()
        if first is not None:
            self.fell(first, late)
        before = self.steps()
        answer = self.killed(moment, meddle=self.random.choice((0, 0, 4)))
        written, committed = self.steps() - before, len(self.judge.hear(late=True))
        self.people_go_on(late)
        rest = self.to_the_end()
        self.expected = max(10, committed + rest)
        reached = answer.code == -signal.SIGKILL
        if not reached and answer.code not in (0, 3):
            raise NotSafe(f"the run to be killed ended with {answer.code}: {answer}")
        self.check()
        return Round(moment, reached, reached and bool(written and rest))

    def fell(self, moment: Moment, late: int = 8) -> bool:
        """One kill, after which people go on; whether the run came that far."""
        answer = self.killed(moment)
        self.judge.hear(late=True)
        self.people_go_on(late)
        return answer.code == -signal.SIGKILL

    def people_go_on(self, count: int) -> None:
        self.world.edit(count, 220)
        self.world.edit_some(self.judge.recent, count)
        self.judge.hear(late=True)

    def quiet_end(self, **environment: str) -> None:
        """Runs to the end, and nothing was lost, doubled or left over."""
        self.to_the_end(**environment)
        self.check()

    def to_the_end(self, **environment: str) -> int:
        """Runs until nothing is left to do; answers how many writes were still to be made for
        what people had done before the kill. Raises NotSafe for a state that is stuck."""
        rest = 0
        for _ in range(2):
            begun = time.monotonic()
            answer = self.run(**environment)
            self.usual = time.monotonic() - begun
            if answer.code not in (0, 3):
                raise NotSafe(f"the run after the kill ended with {answer.code}: {answer}")
            late = set(self.judge.late)
            rest += sum(1 for change in self.judge.hear() if change.ref not in late)
            stuck = {n: answer.flow[n] for n in ("unknown", "holds", "quarantined")}
            if any(stuck.values()):
                raise NotSafe(f"stuck: {stuck} after the kill: {answer}")
            if not any(member["stale"] for member in answer.flow["members"]):
                break
        return rest

    def check(self) -> None:
        """The next run plans nothing, and the judge is content."""
        planned, cases = self.look()
        if planned:
            raise NotSafe(f"the next run still plans {planned[:5]} of {len(planned)}")
        self.judge.rest(cases)
        if self.judge.faults:
            shown = "\n  ".join(self.judge.faults[:12])
            raise NotSafe(f"{len(self.judge.faults)} broken promises:\n  {shown}")

    def look(self) -> tuple[list[str], dict[str, list[str]]]:
        """(operations that a run would plan now, fields in an open case by ref), asked of the
        engine within this process: it saves half a second a round."""
        from syncd import host
        from syncd.config.load import load
        from syncd.engine.result import RunOptions
        from syncd.engine.session import Session
        from syncd.registry import Registry
        from syncd.secrets import Secrets
        from syncd.store import conflicts, shadow

        environ = {**os.environ, **self.environment()}
        interrupt = host.Interrupt()
        folder = self.world.folder
        try:
            with Session(
                load(self.world.config),
                seams=host.real_seams(interrupt),
                registry=Registry(),
                secrets=Secrets(folder, environ),
                holder=host.holder(),
                alive=host.alive,
                state_dir=folder / "state",
                environ=environ,
            ) as session:
                report = session.run(FLOW, RunOptions(dry_run=True))
                planned = [
                    f"{p.operation.kind} {p.operation.member} {p.operation.key} "
                    f"{dict(p.operation.fields)} {dict(p.operation.reasons)}"
                    for p in report.operations
                ]
                cases: dict[str, list[str]] = {}
                with session.store().read() as conn:
                    flow = shadow.flow_id(conn, FLOW, create=False)
                    for stored in conflicts.open_cases(conn, flow):
                        for ref in self._refs(
                            stored, shadow.load_entities(conn, flow, [stored.entity])
                        ):
                            cases.setdefault(ref, []).extend(stored.case.fields or ("",))
        finally:
            interrupt.close()
        return planned, cases

    def _refs(self, stored: Any, entities: Iterable[Any]) -> set[str]:
        """Of the records a case is about."""
        keys = {
            (link.member, link.key)
            for entity in entities
            for link in (*entity.links.values(), *entity.gone)
        }
        keys |= {(c.source, c.key) for c in stored.case.candidates if c.key is not None}
        plain = {(side, shown_key(key)) for side, key in keys if key}
        found = {self.judge.ref_of[key] for key in plain if key in self.judge.ref_of}
        if not found:
            raise NotSafe(f"a case about no record: {stored}")
        return found

    def settle_some(self) -> None:
        """People answer open cases in their own way: by making both sides equal."""
        for ref, fields in self.judge.cases.items():
            if self.random.random() < 0.3:
                continue
            for name in sorted(fields):
                value = {name: self.world.value(name)} if name else {}
                for side in self.world.sides:
                    if name:
                        side.update(ref, value)
                    else:
                        side.delete(ref)


def shown_key(key: str) -> str:
    """A native id as the database's people write it."""
    from syncd.core.keys import decode

    return "/".join(map(str, decode(key)))


def edited(world: World) -> Loop:
    """In step, then edited on both sides."""
    world.fill(15, 8)
    loop = Loop(world)
    loop.judge.hear()
    loop.to_the_end()
    loop.world.edit(30, 60)
    loop.judge.hear()
    return loop
