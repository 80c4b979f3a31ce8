"""Many lives: played in several processes, counted, and kept in a ledger, so that a long
campaign may be stopped and gone on with."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path

import orjson

import syncd
from syncd.simulate.fields import Model
from syncd.simulate.generate import script as generated
from syncd.simulate.oracle.facts import Flow
from syncd.simulate.oracle.judge import judge
from syncd.simulate.oracle.rest import Truth
from syncd.simulate.play import Life
from syncd.simulate.process import Desk
from syncd.simulate.script import Script
from syncd.simulate.trace import Trace

CHUNK = 25  # seeds that one process plays at a time


@dataclass(slots=True)
class Count:
    """What some lives came to. broken: (seed, what) of those that broke a promise."""

    seeds: int = 0
    edits: int = 0
    calls: int = 0
    runs: int = 0
    fired: dict[str, int] = field(default_factory=dict)
    broken: list[tuple[int, str]] = field(default_factory=list)

    def add(self, other: Count) -> None:
        self.seeds += other.seeds
        self.edits += other.edits
        self.calls += other.calls
        self.runs += other.runs
        self.fired = dict(Counter(self.fired) + Counter(other.fired))
        self.broken += other.broken

    def __str__(self) -> str:
        return (
            f"{self.seeds:,} seeds, {self.edits:,} edits, {self.calls:,} calls, "
            f"{len(self.broken):,} violations"
        )


@dataclass(frozen=True, slots=True)
class Played:
    """A life that is over. truth: what stands at each member, by field; store: the state's file."""

    trace: Trace
    model: Model
    truth: Truth
    store: Path


def play(script: Script, desk: Desk) -> Played:
    """Plays one life and judges it."""
    life = Life(script, desk)
    trace = life.play()
    flows = {number: Flow(raw) for number, raw in life.flows.items()}
    model = life.world.model
    truth = {
        name: {row.number: (row.person, model.read(name, row.values)) for row in table.live()}
        for name, table in life.world.tables.items()
    }
    store = desk.state / "state.db"
    trace.broken += judge(script, model.judged, flows, trace, truth, store)
    return Played(trace, model, truth, store)


def live(script: Script, desk: Desk) -> Trace:
    return play(script, desk).trace


def desk() -> Desk:
    """In memory where the machine has a file system there: a life writes much and keeps nothing."""
    memory = Path("/dev/shm")
    base = memory if os.access(memory, os.W_OK) else None
    return Desk(Path(tempfile.mkdtemp(prefix="syncd-simulate-", dir=base)))


def chunk(seeds: range, here: Desk) -> Count:
    """Plays these one after the other."""
    count = Count()
    for seed in seeds:
        trace = live(generated(seed), here)
        count.seeds += 1
        count.edits += trace.edits
        count.calls += trace.calls
        count.runs += len(trace.runs)
        count.fired = dict(Counter(count.fired) + Counter(trace.fired))
        count.broken += [(seed, text) for text in trace.broken[:3]]
    return count


def chunks(seeds: range) -> list[range]:
    """Cut at multiples of CHUNK, so that overlapping campaigns share their chunks."""
    found, first = [], seeds.start
    while first < seeds.stop:
        last = min(seeds.stop, (first // CHUNK + 1) * CHUNK)
        found.append(range(first, last))
        first = last
    return found


def campaign(
    seeds: range, ledger: Ledger | None, processes: int, tell: Callable[[Count], None]
) -> Count:
    """Plays all seeds; `tell` hears how far it came. Chunks in the ledger are not played again."""
    total = Count()
    left = []
    for part in chunks(seeds):
        known = ledger.known(part) if ledger is not None else None
        if known is None:
            left.append(part)
        else:
            total.add(known)
    for part, count in _played(left, processes):
        total.add(count)
        if ledger is not None:
            ledger.keep(part, count)
        tell(total)
    return total


def _played(parts: Sequence[range], processes: int) -> Iterator[tuple[range, Count]]:
    base = desk()
    try:
        if processes < 2 or len(parts) < 2:
            for part in parts:
                yield part, chunk(part, base)
            return
        with ProcessPoolExecutor(processes, initializer=_begin, initargs=(base.folder,)) as pool:
            yield from zip(parts, pool.map(_chunk, parts), strict=True)
    finally:
        base.remove()


_here: list[Desk] = []  # of a process that plays chunks


def _begin(folder: Path) -> None:
    _here[:] = [Desk(folder / f"{os.getpid()}")]


def _chunk(seeds: range) -> Count:
    return chunk(seeds, _here[0])


class Ledger:
    """A file of JSON lines: which chunks were played on which code, and what they came to.

    Lives add up only as long as the code they prove is the same: each line names a digest of it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._code = code()
        self._known: dict[tuple[int, int], Count] = {}
        if path.exists():
            for line in path.read_bytes().splitlines():
                said = orjson.loads(line)
                if said["code"] == self._code:
                    broken = [(seed, text) for seed, text in said["count"].pop("broken")]
                    count = Count(**said["count"], broken=broken)
                    self._known[said["first"], said["end"]] = count

    def known(self, part: range) -> Count | None:
        return self._known.get((part.start, part.stop))

    def keep(self, part: range, count: Count) -> None:
        said = {"code": self._code, "first": part.start, "end": part.stop, "count": asdict(count)}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write(orjson.dumps(said) + b"\n")


def code() -> str:
    """A digest of what is proved, and of what proves it."""
    root = Path(syncd.__file__).parent
    made = blake2b(digest_size=8)
    for path in sorted(root.rglob("*.py")):
        if path.relative_to(root).parts[0] not in ("cli", "daemon"):
            made.update(path.relative_to(root).as_posix().encode())
            made.update(path.read_bytes())
    return made.hexdigest()
