"""Tasks of a simulated process: one runs at a time, and a seed says which goes on.

Each task is a thread, but only the one that holds the baton runs. It hands it on where it waits,
where it calls a system and where it ends, never between: a seed gives one order of things.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, ClassVar, Generic, TypeVar

from syncd.simulate.clock import Chance

T = TypeVar("T")


class Crash(BaseException):
    """The simulated process is dead; nothing of the engine may catch this."""


class Tasks:
    """chance   chooses who goes on
    sharing  how often works handed over together run interleaved; else one after the other, in
             an order of chance, which is a schedule too and costs no threads
    """

    def __init__(self, chance: Chance, sharing: float) -> None:
        self._chance, self._sharing = chance, sharing
        self._ready: list[threading.Lock] = []
        self._mine = _baton()
        self.dead = False

    def spawn(self, work: Callable[[], T], name: str) -> Task[T]:
        return Task(self, work)

    def queue(self, size: int) -> Queue:
        return Queue(self, size)

    def lock(self) -> Lock:
        return Lock(self)

    def gather(self, works: Iterable[Callable[[], T]], name: str) -> list[T]:
        order = list(enumerate(works))
        self._chance.shuffle(order)
        ends: dict[int, Callable[[], T]] = {}
        if len(order) < 2 or self._chance.random() >= self._sharing:
            ends = {place: _end(work) for place, work in order if not self.dead}
        else:
            tasks = {place: self.spawn(work, name) for place, work in order}
            for task in tasks.values():
                task.wait()
            ends = {place: task.result for place, task in tasks.items()}
        if self.dead:
            raise Crash
        return [ends[place]() for place in sorted(ends)]

    def pause(self) -> None:
        """A point where another task may go on."""
        if self._ready and self._chance.random() < 0.5:
            self.wait()

    def wait(self) -> None:
        """Another task goes on, if there is one. Raises Crash where the process died meanwhile."""
        self.switch()
        if self.dead:
            raise Crash

    def switch(self) -> None:
        if self._ready:
            mine = self._mine
            self._ready.append(mine)
            self.hand_on()
            mine.acquire()

    def hand_on(self) -> None:
        """The baton goes to one of those that wait; the caller waits or ends."""
        self._mine = self._ready.pop(self._chance.randrange(len(self._ready)))
        self._mine.release()

    def join(self, baton: threading.Lock) -> None:
        self._ready.append(baton)


def _baton() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


def _end(work: Callable[[], T]) -> Callable[[], T]:
    """Does it now; the result, or what it raised, is for later."""
    try:
        value = work()
    except BaseException as error:
        failure = error

        def raises() -> T:
            raise failure

        return raises
    return lambda: value


class _Hand:
    """A thread that does one task after the other: to start one for each costs more than most of
    them do."""

    idle: ClassVar[list[_Hand]] = []

    def __init__(self) -> None:
        self.baton = _baton()
        self.run: Callable[[], None] = lambda: None
        threading.Thread(target=self._work, name="simulated", daemon=True).start()

    @classmethod
    def with_work(cls, run: Callable[[], None]) -> _Hand:
        """Does it as soon as it gets the baton. Nobody else does anything meanwhile."""
        hand = cls.idle.pop() if cls.idle else cls()
        hand.run = run
        return hand

    def _work(self) -> None:
        while True:
            self.baton.acquire()
            self.run()


os.register_at_fork(after_in_child=_Hand.idle.clear)  # threads stay behind


class Task(Generic[T]):
    def __init__(self, tasks: Tasks, work: Callable[[], T]) -> None:
        self._tasks = tasks
        self._end: Callable[[], T] | None = None

        def run() -> None:
            self._end = _end(work)
            _Hand.idle.append(hand)  # before another goes on, who may need one
            tasks.hand_on()

        hand = _Hand.with_work(run)
        tasks.join(hand.baton)

    def wait(self) -> None:
        while self._end is None:
            self._tasks.switch()

    def result(self) -> T:
        self.wait()
        assert self._end is not None
        return self._end()


class Lock:
    """Re-entrant; whoever finds it taken lets others go on until it is free."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._owner: int | None = None
        self._depth = 0

    def __enter__(self) -> Lock:
        me = threading.get_ident()
        while self._owner not in (None, me):
            self._tasks.wait()
        self._owner = me
        self._depth += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._depth -= 1
        if not self._depth:
            self._owner = None


class Queue:
    """Bounded; `put` and `get` let others go on while it is full or empty."""

    def __init__(self, tasks: Tasks, size: int) -> None:
        self._tasks, self._size = tasks, size
        self._items: list[Any] = []

    def put(self, item: Any) -> None:
        while len(self._items) >= self._size:
            self._tasks.wait()
        self._items.append(item)

    def get(self) -> Any:
        while not self._items:
            self._tasks.wait()
        return self._items.pop(0)
