"""How far a run has come: a redrawn line on a terminal, a plain line every half minute elsewhere.

Nothing is said in the first half second: most runs are over by then.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from syncd.cli.app import App

_QUIET = 0.5
_REDRAW = 0.1
_PLAIN = 30.0


class Watcher(Protocol):
    """A `result.Progress`; `pause` clears the terminal, for a question, until the next call."""

    def __call__(self, stage: str, member: str, done: int, total: int | None) -> None: ...

    def pause(self) -> None: ...


@contextmanager
def watching(app: App) -> Iterator[Watcher]:
    """What `RunOptions.progress` wants."""
    if app.quiet:
        yield _Silent()
        return
    console = Console(
        stderr=True, no_color=app.color is False, force_terminal=None, highlight=False
    )
    if console.is_terminal and not console.is_dumb_terminal and sys.stderr.isatty():
        bars = _Bars(app, console)
        try:
            yield bars
        finally:
            bars.pause()
    else:
        yield _Lines(app)


class _Bars:
    """One line for each stage and member that is at work."""

    def __init__(self, app: App, console: Console) -> None:
        self._clock = app.seams.clock.monotonic
        self._begun = self._drawn = self._clock()
        self._lock = app.seams.tasks.lock()
        self._tasks: dict[tuple[str, str], TaskID] = {}
        self._started = False
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            console=console,
            auto_refresh=False,
            transient=True,
        )

    def __call__(self, stage: str, member: str, done: int, total: int | None) -> None:
        now = self._clock()
        if now - self._begun < _QUIET or now - self._drawn < _REDRAW:
            return
        with self._lock:
            self._drawn = now
            if not self._started:
                self._progress.start()
                self._started = True
            mark = (stage, member)
            if mark not in self._tasks:
                said = f"{stage} {member}".strip()
                self._tasks[mark] = self._progress.add_task(said, total=total, rate="")
            rate = f"{done / max(now - self._begun, 0.001):,.0f}/s"
            self._progress.update(self._tasks[mark], completed=done, total=total, rate=rate)
            self._progress.refresh()

    def pause(self) -> None:
        with self._lock:
            if self._started:
                self._progress.stop()
                self._started = False


class _Silent:
    def __call__(self, stage: str, member: str, done: int, total: int | None) -> None:
        pass

    def pause(self) -> None:
        pass


class _Lines:
    def __init__(self, app: App) -> None:
        self._app = app
        self._said = app.seams.clock.monotonic()
        self._lock = app.seams.tasks.lock()

    def __call__(self, stage: str, member: str, done: int, total: int | None) -> None:
        now = self._app.seams.clock.monotonic()
        if now - self._said < _PLAIN:
            return
        with self._lock:
            self._said = now
            of = f" of {total:,}" if total else ""
            self._app.out.note(f"{stage} {member}: {done:,}{of}".replace(" :", ":"))

    def pause(self) -> None:
        pass
