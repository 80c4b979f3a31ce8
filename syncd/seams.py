"""What the outside world looks like to syncd: clock, sleep, random, ids, tasks.

Nothing below the command line and the daemon reads a clock, draws a number, starts a thread or
takes a lock any other way; `syncd.host` has the real ones, a simulator brings its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Clock(Protocol):
    def now(self) -> datetime:
        """Wall time, aware, UTC. Never decides a merge; jumps are survived."""

    def monotonic(self) -> float:
        """Seconds that only grow; deadlines and durations use these."""


def instant_text(moment: datetime) -> str:
    """An instant in UTC as the state keeps it. (`strftime` takes ten times as long.)"""
    return f"{moment.isoformat(timespec='microseconds')[:26]}Z"


class Sleep(Protocol):
    def __call__(self, seconds: float) -> None:
        """Wait; returns early only by raising `errors.Interrupted`."""


class Random(Protocol):
    def random(self) -> float: ...

    def randrange(self, stop: int, /) -> int: ...


class Ids(Protocol):
    def new(self) -> str:
        """A fresh identifier, 32 lowercase hexadecimal digits."""


class Task(Protocol[T_co]):
    def result(self) -> T_co:
        """Wait for the end; returns the value or raises what the task raised."""


class Queue(Protocol[T]):
    """A bounded hand-over between two tasks; `put` waits while it is full."""

    def put(self, item: T) -> None: ...

    def get(self) -> T: ...


class Tasks(Protocol):
    def spawn(self, work: Callable[[], T], name: str) -> Task[T]:
        """Run `work` beside the caller. The caller must await its result."""

    def lock(self) -> AbstractContextManager[Any]:
        """A new re-entrant mutual exclusion for tasks of this process."""

    def queue(self, size: int) -> Queue[Any]:
        """A new bounded queue."""

    def gather(self, works: Iterable[Callable[[], T]], name: str) -> list[T]:
        """Run all beside each other, wait for all; the first failure is raised after the last."""


@dataclass(frozen=True, slots=True)
class Seams:
    clock: Clock
    sleep: Sleep
    random: Random
    ids: Ids
    tasks: Tasks


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that may own a flow. started: "<boot>.<pid namespace>.<clock ticks>" (see
    `syncd.host.holder`): tells it from a later process with the same pid."""

    host: str
    pid: int
    started: str

    @property
    def boot(self) -> str:
        """Processes of one boot share a monotonic clock; "" = not known."""
        boot, dot, _ = self.started.partition(".")
        return boot if dot else ""

    @property
    def clock(self) -> str:
        """Names the monotonic clock it reads; where no boot is known, nobody else's."""
        return self.boot or f"{self.host} {self.pid} {self.started}"

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"
