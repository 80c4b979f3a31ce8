"""Kills the real process with SIGKILL, at random moments and at each named point of a run:
`PYTHONPATH=tests:tests/acceptance python tests/acceptance/kill.py 1000 20 [seed]`.

Rounds of one world build on each other; worlds change so that first loads are killed too.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from killloop import Loop, Moment, NotSafe, Round
from killworld import VARIANTS, World
from servers import Servers

from syncd.engine.failpoint import NAMES

AGES = (1, 12)  # rounds a world lives
MOST_FAULTS = 5  # broken promises after which there is enough to look at
STATES = ("sqlite", "postgresql")
_TRIES = 4  # rounds for one kill at a point, of which some end before they come to it


@dataclass
class Tally:
    """What the kills came to."""

    rounds: int = 0
    kills: int = 0
    between: int = 0  # after the first row write, with some still to come
    finished: int = 0  # runs that ended before the kill reached them
    places: Counter[str] = field(default_factory=Counter)
    points: Counter[tuple[str, str]] = field(default_factory=Counter)  # (failpoint, kind of state)
    faults: list[str] = field(default_factory=list)

    def count(self, done: Round, state: str) -> None:
        self.rounds += 1
        if not done.reached:
            self.finished += 1
            return
        self.kills += 1
        self.between += done.between
        point = done.moment.point.partition(":")[0]
        self.places["point" if point else "writes" if done.moment.steps else "time"] += 1
        if point:
            self.points[point, state] += 1

    def at(self, name: str) -> int:
        return sum(self.points[name, state] for state in STATES)

    def __str__(self) -> str:
        return (
            f"{self.kills} kills, {self.between} between first and last write, "
            f"{len(self.faults)} violations"
        )

    def table(self) -> str:
        lines = [f"{'killed at':<16}" + "".join(f"{state:>12}" for state in STATES) + f"{'all':>8}"]
        for name in NAMES:
            of = "".join(f"{self.points[name, state]:>12}" for state in STATES)
            lines.append(f"{name:<16}{of}{self.at(name):>8}")
        lines.append(f"{'after n writes':<16}{self.places['writes']:>32}")
        lines.append(f"{'after a time':<16}{self.places['time']:>32}")
        lines.append(f"{self}; {self.finished} runs ended before their kill")
        return "\n".join(lines)


def worlds(servers: Servers, seed: str) -> Iterator[Loop]:
    """Endlessly: a variant, its rounds, the next."""
    random = Random(seed)
    number = 0
    while True:
        for variant in random.sample(VARIANTS, len(VARIANTS)):
            number += 1
            world = World(servers, variant, Random(f"{seed}.{number}"))
            try:
                world.fill(80, 40)
                loop = Loop(world, f"seed {seed}, world {number} ({variant.name})")
                for _ in range(random.randint(*AGES)):
                    yield loop
            finally:
                world.close()


class Campaign:
    """Rounds and what they come to; a broken promise ends its world, not the campaign."""

    def __init__(self, servers: Servers, seed: int, progress: bool = False) -> None:
        self.servers, self.seed, self.progress = servers, seed, progress
        self.tally = Tally()
        self._spoiled: Loop | None = None
        self._begun = time.monotonic()

    def at_random(self, count: int) -> None:
        """So many kills."""
        for loop in worlds(self.servers, f"{self.seed}"):
            if self.tally.kills >= count or len(self.tally.faults) >= MOST_FAULTS:
                break
            self._round(loop, loop.moment())

    def at_each_point(self, each: int) -> None:
        """So many kills at each, half of them on either kind of state."""
        half = (each + 1) // 2
        enough = self.tally.rounds + _TRIES * each * len(NAMES)
        for loop in worlds(self.servers, f"{self.seed}.points"):
            state = loop.world.variant.state
            due = {n: left for n in NAMES if (left := half - self.tally.points[n, state]) > 0}
            if all(self.tally.points[n, s] >= half for n in NAMES for s in STATES):
                break
            if self.tally.rounds >= enough or len(self.tally.faults) >= MOST_FAULTS:
                break
            if due:
                name = max(due, key=due.__getitem__)
                # only after another kill is there anything to recover
                first = loop.at("before-commit") if name == "recovered" else None
                self._round(loop, loop.at(name), first)

    def _round(self, loop: Loop, moment: Moment, first: Moment | None = None) -> None:
        if loop is self._spoiled:
            return
        tally = self.tally
        try:
            tally.count(loop.round(moment, first=first), loop.world.variant.state)
        except NotSafe as fault:
            tally.rounds += 1
            tally.faults.append(f"{loop.where}, round {tally.rounds}, {moment}: {fault}")
            self._spoiled = loop
            print(tally.faults[-1], file=sys.stderr, flush=True)
        if self.progress and tally.rounds % 10 == 0:
            print(f"{time.monotonic() - self._begun:6.0f} s  {tally}", flush=True)


def main(words: list[str]) -> int:
    count, each, seed = [int(word) for word in (*words, *("100", "4", "0")[len(words) :])]
    with Servers() as servers:
        campaign = Campaign(servers, seed or int(time.time()), progress=True)
        campaign.at_random(count)
        campaign.at_each_point(each)
    print(campaign.tally.table())
    return 1 if campaign.tally.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
