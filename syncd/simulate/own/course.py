"""Many lives of one flow, in several processes, until seeds or time are used up or somebody has
enough; then the smallest life for each promise that was broken."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from syncd import host
from syncd.simulate import campaign
from syncd.simulate.own.copy import Copy
from syncd.simulate.own.lives import is_crowd, is_plain, script
from syncd.simulate.own.noted import Note, notes
from syncd.simulate.own.promises import CRASHES
from syncd.simulate.own.tale import (
    Subject,
    culprit,
    ending,
    mark,
    restless,
    steps,
    subject,
    swings,
)
from syncd.simulate.process import Desk
from syncd.simulate.script import Script
from syncd.simulate.shrink import shrink
from syncd.simulate.trace import Trace

TRIES = 150  # lives played to make one smaller
EXAMPLES = 3  # of each promise

Tell = Callable[[str, int, int | None], None]
"""(stage, done, of how many)"""


@dataclass(frozen=True, slots=True)
class Lived:
    """What one life came to. broken: the oracle's sentences, by what tells them apart; size: of
    its script."""

    seed: int
    edits: int
    runs: int
    crashes: bool
    broken: Mapping[str, str]
    notes: tuple[Note, ...]
    size: int


@dataclass(frozen=True, slots=True)
class Example:
    """A broken promise, shown. path: where in the flow's table to look; steps: what happened;
    swings: values that come again and again; ending: what stands where in the end."""

    law: str
    seed: int
    text: str
    path: tuple[str, ...]
    steps: tuple[str, ...]
    swings: tuple[str, ...]
    ending: tuple[str, ...]
    crash: bool


@dataclass(slots=True)
class Course:
    """All lives of one flow. stopped: before the seeds were used up."""

    copy: Copy
    lives: list[Lived] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    stopped: bool = False
    seconds: float = 0.0

    @property
    def plain(self) -> list[Lived]:
        return [lived for lived in self.lives if is_plain(lived.seed)]

    @property
    def edits(self) -> int:
        return sum(lived.edits for lived in self.lives)

    def broken(self) -> dict[str, list[Lived]]:
        """By what tells the ways apart, in the order of the seeds."""
        found: dict[str, list[Lived]] = {}
        for lived in sorted(self.lives, key=lambda lived: lived.seed):
            for way in sorted(lived.broken):
                found.setdefault(way, []).append(lived)
        return found


def ways(trace: Trace) -> dict[str, str]:
    """The oracle's sentences, one of each kind."""
    found: dict[str, str] = {}
    for text in trace.broken:
        found.setdefault(mark(text, trace), text)
    return found


def play(copy: Copy, seed: int, desk: Desk) -> Lived:
    made = script(copy, seed)
    life = campaign.play(made, desk)
    trace = life.trace
    plain = is_plain(seed)
    return Lived(
        seed,
        trace.edits,
        len(trace.runs),
        bool(CRASHES & set(trace.fired)),
        ways(trace),
        tuple(notes(life, is_crowd(seed))) if plain else (),
        len(made.events) + len(made.faults),
    )


def run(
    copy: Copy,
    seeds: Iterable[int],
    *,
    processes: int,
    enough: Callable[[], bool],
    stop: Callable[[], bool],
    tell: Tell,
) -> Course:
    """enough: no life is begun any more, as wished; stop: the same, because somebody said so."""
    course = Course(copy)
    total = len(seeds) if isinstance(seeds, range) else None
    base = campaign.desk()
    base.folder.mkdir(exist_ok=True)
    try:
        with _silent():
            left = _while(seeds, lambda: not (enough() or stop()))
            for lived in _lives(copy, left, processes, base.folder):
                course.lives.append(lived)
                tell("lives", len(course.lives), total)
            course.stopped = stop()
            for way in _few(course.broken()):
                if not stop():
                    least = min(way[1], key=lambda lived: (not is_plain(lived.seed), lived.size))
                    course.examples.append(_example(copy, way[0], least.seed, base, stop, tell))
    finally:
        base.remove()
    course.stopped = course.stopped or stop()
    return course


def _few(broken: Mapping[str, list[Lived]]) -> Iterator[tuple[str, list[Lived]]]:
    """The most frequent ways of breaking each promise. Sides that never rest are not equal
    either: one story will do."""
    restless = {lived.seed for lived in broken.get("I17", ())}
    many: dict[str, int] = {}
    for way, lives in sorted(broken.items(), key=lambda one: -len(one[1])):
        law = way.partition(" ")[0]
        if law == "I1" and restless.issuperset(lived.seed for lived in lives):
            continue
        many[law] = many.get(law, 0) + 1
        if many[law] <= EXAMPLES:
            yield way, lives


def _while(seeds: Iterable[int], goes_on: Callable[[], bool]) -> Iterator[int]:
    for seed in seeds:
        if not goes_on():
            return
        yield seed


def _lives(copy: Copy, seeds: Iterator[int], processes: int, folder: Path) -> Iterator[Lived]:
    """In the order in which they end."""
    if processes < 2:
        desk = Desk(folder / "lives")
        for seed in seeds:
            yield play(copy, seed, desk)
        return
    with ProcessPoolExecutor(processes, initializer=_begin, initargs=(copy, folder)) as pool:
        at_work: set[Future[Lived]] = set()
        for seed in seeds:
            at_work.add(pool.submit(_lived, seed))
            if len(at_work) >= 2 * processes:
                done, at_work = wait(at_work, return_when=FIRST_COMPLETED)
                yield from (one.result() for one in done)
        while at_work:
            done, at_work = wait(at_work, return_when=FIRST_COMPLETED)
            yield from (one.result() for one in done)


_here: list[tuple[Copy, Desk]] = []  # of a process that plays lives


def _begin(copy: Copy, folder: Path) -> None:
    host.ignore_interrupts()
    logging.disable(logging.CRITICAL)
    _here[:] = [(copy, Desk(folder / f"{os.getpid()}"))]


def _lived(seed: int) -> Lived:
    copy, desk = _here[0]
    return play(copy, seed, desk)


@contextmanager
def _silent() -> Iterator[None]:
    """What simulated runs log is nothing that happened."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


# --- counterexamples


def _example(
    copy: Copy, way: str, seed: int, base: Desk, stop: Callable[[], bool], tell: Tell
) -> Example:
    desk = Desk(base.folder / "smallest")
    law, tried = way.partition(" ")[0], 0

    def fails(candidate: Script) -> bool:
        nonlocal tried
        if stop():
            return False
        tried += 1
        tell(f"smallest life that breaks {law}:", tried, TRIES)
        return way in ways(campaign.live(candidate, desk))

    small = shrink(script(copy, seed), fails, TRIES)
    life = campaign.play(small, desk)
    text = ways(life.trace)[way]
    about: Subject | None = subject(text, life.trace) or restless(life.trace)
    return Example(
        law,
        seed,
        text,
        culprit(law, about),
        tuple(steps(life.trace)),
        tuple(swings(life.trace, about)) if law in ("I1", "I17") and about else (),
        tuple(ending(life.model, life.truth, about)) if about else (),
        any(fault.kind in CRASHES for fault in small.faults),
    )
