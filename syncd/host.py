"""The real seams: this machine's clock, sleep, random numbers, ids and threads.

The only module that reads a clock, draws a number or starts a thread. A simulator brings its own.
"""

from __future__ import annotations

import contextvars
import gc
import os
import queue
import random
import select
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, Generic, TextIO, TypeVar

from syncd import seams
from syncd.errors import Interrupted

T = TypeVar("T")


class Interrupt:
    """Set once, by a signal or by `set`; every sleeper wakes.

    A byte in a pipe and not an Event: an Event's lock, taken in a signal handler that hit the
    very thread that holds it, would never be given.
    """

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._cause: str | None = None

    @property
    def cause(self) -> str | None:
        """What asked to stop ("SIGTERM"); None = nothing did."""
        return self._cause

    def set(self, cause: str) -> None:
        if self._cause is None:
            self._cause = cause
            os.write(self._write, b"!")

    def check(self) -> None:
        """Raises Interrupted once set."""
        if self._cause is not None:
            raise Interrupted(f"stopped by {self._cause}", hint="the next run goes on from here")

    def wait(self, seconds: float) -> None:
        """Raises Interrupted as soon as set, else returns after so long."""
        self.check()
        if seconds <= 0:
            return
        poll = select.poll()
        poll.register(self._read, select.POLLIN)
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            poll.poll(min(left, 3600.0) * 1000.0 + 1.0)
            self.check()

    def line(self, stream: TextIO) -> str:
        """What somebody types, or "" at the end of it. Raises Interrupted as soon as set: a signal
        alone does not wake a reader."""
        self.check()
        poll = select.poll()
        poll.register(self._read, select.POLLIN)
        poll.register(stream, select.POLLIN)
        poll.poll()
        self.check()
        return stream.readline()

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM set this; a second one of the same kind ends the process as it
        would have without us."""
        kinds = (signal.SIGINT, signal.SIGTERM)
        before = {kind: signal.getsignal(kind) for kind in kinds}

        def handle(number: int, frame: FrameType | None) -> None:
            kind = signal.Signals(number)
            self.set(kind.name)
            signal.signal(kind, before[kind])

        for kind in kinds:
            signal.signal(kind, handle)
        try:
            yield
        finally:
            for kind in kinds:
                signal.signal(kind, before[kind])

    def close(self) -> None:
        os.close(self._read)
        os.close(self._write)


def ignore_interrupts() -> None:
    """For a process that works for another: Ctrl-C reaches both, and the other one decides."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class HostClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class HostRandom:
    def __init__(self) -> None:
        self._source = random.Random()

    def random(self) -> float:
        return self._source.random()

    def randrange(self, stop: int) -> int:
        return self._source.randrange(stop)


class HostIds:
    def new(self) -> str:
        return uuid.uuid4().hex


class HostTask(Generic[T]):
    """One thread. It is a daemon thread: a driver that hangs for ever must not keep the process
    from ending; whoever spawned it awaits its result."""

    def __init__(self, work: Callable[[], T], name: str) -> None:
        self._work = work
        self._value: T
        self._error: BaseException | None = None
        context = contextvars.copy_context()  # the log's fields go along
        self._thread = threading.Thread(
            target=context.run, args=(self._run,), name=name, daemon=True
        )
        self._thread.start()

    def _run(self) -> None:
        try:
            self._value = self._work()
        except BaseException as error:
            self._error = error

    def result(self) -> T:
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._value


class HostTasks:
    def spawn(self, work: Callable[[], T], name: str) -> HostTask[T]:
        return HostTask(work, name)

    def lock(self) -> AbstractContextManager[Any]:
        return threading.RLock()

    def queue(self, size: int) -> queue.Queue[Any]:
        return queue.Queue(size)

    def gather(self, works: Iterable[Callable[[], T]], name: str) -> list[T]:
        tasks = [self.spawn(work, f"{name}-{n}") for n, work in enumerate(works)]
        values: list[T] = []
        failure: BaseException | None = None
        for task in tasks:
            try:
                values.append(task.result())
            except BaseException as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return values


def real_seams(interrupt: Interrupt) -> seams.Seams:
    """`seams.sleep(0)` is the cheap question whether to stop."""
    return seams.Seams(
        clock=HostClock(),
        sleep=interrupt.wait,
        random=HostRandom(),
        ids=HostIds(),
        tasks=HostTasks(),
    )


def holder() -> seams.Holder:
    """This process, as the lease knows it."""
    return seams.Holder(socket.gethostname(), os.getpid(), _started("self"))


def alive(process: seams.Holder) -> bool | None:
    """Whether it still runs; None where that cannot be told from here (another host, boot or
    container), so that only its lease's end frees what it holds."""
    if process.host != socket.gethostname():
        return None
    place, _, _ = process.started.rpartition(".")
    here, _, _ = _started("self").rpartition(".")
    if place != here:
        return None
    try:
        return _started(str(process.pid)) == process.started
    except OSError:
        return False


def _started(pid: str) -> str:
    """ "<boot>.<pid namespace>.<clock ticks since boot>"; a pid means nothing without the first
    two, and two processes of one pid differ in the third."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
    space = Path("/proc/self/ns/pid").stat().st_ino
    # the command's name stands in brackets and may itself hold brackets and spaces
    ticks = Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[19]
    return f"{boot}.{space}.{ticks}"


def calm_collector() -> None:
    """Once the program's modules are loaded: they are never garbage, and looking through them
    again and again costs a third of a long read's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
