"""Kills the real process with SIGKILL at random moments, and has an independent judge look at
both databases after the next run: `PYTHONPATH=tests python tests/acceptance/kill.py 500 [seed]`.

One round: people edit → a run begins and is killed → people edit again → runs to the end → the
judge. Rounds of one world build on each other; worlds change so that first loads are killed too.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from killjudge import Judge
from killworld import FLOW, VARIANTS, World
from servers import Servers

PATIENCE = 120.0  # seconds a run may take
AGES = (1, 12)  # rounds a world lives
MOST_FAULTS = 5  # broken promises after which there is enough to look at
SYNCD = Path(sys.executable).with_name("syncd")
RECONCILE = (str(SYNCD), "reconcile", FLOW, "--yes", "--json", "--no-input")


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


@dataclass
class Tally:
    """What the kills came to."""

    kills: int = 0
    between: int = 0  # after the first row write, with some still to come
    finished: int = 0  # runs that ended before the kill reached them
    places: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.kills} kills, {self.between} between first and last write, "
            f"{len(self.faults)} violations"
        )


class Loop:
    """One world under the axe."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.judge = Judge(world.sides)
        self.random = world.random
        self.usual = 1.2  # seconds a run takes, start of Python included
        self.expected = 60  # row writes of a run

    # -- the process -------------------------------------------------------------------------

    def start(self, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            RECONCILE,
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

    def steps(self) -> int:
        return sum(side.steps() for side in self.world.sides)

    # -- a round -----------------------------------------------------------------------------

    def killed(self, moment: Moment, meddle: int = 0) -> Answer:
        """Begin a run and kill it at that moment; `meddle` edits of people fall into it."""
        before = self.steps()
        environment = {"SYNCD_FAILPOINT": moment.point} if moment.point else {}
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
        if dice < 0.2:
            point = self.random.choice(("marked-sent", "before-commit", "applied", "settled"))
            return Moment(f"{point}:{self.random.randint(1, 4)}")
        if dice < 0.25:
            return Moment(self.random.choice(("pulled", "planned", "recorded")))
        if dice < 0.95:
            steps = self.random.randint(1, max(1, self.expected * 9 // 10))
            return Moment(steps=steps, then=self.random.choice((0, 0, 0.01, 0.03)))
        return Moment(then=self.random.uniform(0.2, 1.2 * self.usual))

    def round(self, moment: Moment, tally: Tally, *, edits: int = 50, late: int = 8) -> None:
        """Raises NotSafe."""
        self.settle_some()
        self.world.edit(edits, 220)
        self.judge.hear()
        before = self.steps()
        answer = self.killed(moment, meddle=self.random.choice((0, 0, 4)))
        written, committed = self.steps() - before, len(self.judge.hear(late=True))
        self.world.edit(late, 220)
        self.world.edit_some(self.judge.recent, late)
        self.judge.hear(late=True)
        rest = self.to_the_end()
        tally.kills += 1
        if answer.code != -signal.SIGKILL:
            tally.finished += 1
            if answer.code not in (0, 3):
                raise NotSafe(f"the run to be killed ended with {answer.code}: {answer}")
        elif written and rest:
            tally.between += 1
        place = moment.point or ("writes" if moment.steps else "time")
        tally.places[place] += 1
        self.expected = max(10, committed + rest)
        self.check()

    def to_the_end(self) -> int:
        """Runs until nothing is left to do; answers how many writes were still to be made for
        what people had done before the kill. Raises NotSafe for a state that is stuck."""
        rest = 0
        for _ in range(2):
            begun = time.monotonic()
            answer = self.run()
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


def worlds(servers: Servers, seed: int) -> Iterator[tuple[str, Loop]]:
    """Endlessly: a variant, its rounds, the next."""
    random = Random(seed)
    number = 0
    while True:
        for variant in random.sample(VARIANTS, len(VARIANTS)):
            number += 1
            world = World(servers, variant, Random(f"{seed}.{number}"))
            try:
                world.fill(80, 40)
                loop = Loop(world)
                for _ in range(random.randint(*AGES)):
                    yield f"seed {seed}, world {number} ({variant.name})", loop
            finally:
                world.close()


def kill_many(servers: Servers, count: int, seed: int, progress: bool = False) -> Tally:
    """So many rounds; a broken promise ends that world, not the loop."""
    tally = Tally()
    spoiled: Loop | None = None
    begun = time.monotonic()
    for where, loop in worlds(servers, seed):
        if tally.kills >= count or len(tally.faults) >= MOST_FAULTS:
            break
        if loop is spoiled:
            continue
        moment = loop.moment()
        try:
            loop.round(moment, tally)
        except NotSafe as fault:
            tally.faults.append(f"{where}, kill {tally.kills}, {moment}: {fault}")
            spoiled = loop
            print(tally.faults[-1], file=sys.stderr, flush=True)
        if progress and tally.kills % 10 == 0:
            print(f"{time.monotonic() - begun:6.0f} s  {tally}", flush=True)
    return tally


def main(words: list[str]) -> int:
    count = int(words[0]) if words else 100
    seed = int(words[1]) if len(words) > 1 else int(time.time())
    with Servers() as servers:
        tally = kill_many(servers, count, seed, progress=True)
    print(dict(tally.places), f"{tally.finished} ended before the kill")
    print(tally)
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
