"""One file lock for every write and every checkpoint of a SQLite store, across processes.

SQLite before 3.51.3 can lose committed pages when two connections of a WAL database write or
checkpoint at the same moment. Holding this lock around both rules it out; readers never take it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from syncd.errors import StoreBusy
from syncd.seams import Seams
from syncd.store.disk import refused

_FIRST_PAUSE = 0.002
_LONGEST_PAUSE = 0.05


class FileLock:
    """An exclusive lock on a file of its own. Not re-entrant; its user serialises tasks."""

    def __init__(self, path: Path, seams: Seams, patience: float) -> None:
        self.path = path
        self._seams = seams
        self._patience = patience
        self._handle: int | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Waits at most `patience` seconds. Raises StoreBusy; StoreError if it cannot be made."""
        handle = self._take()
        try:
            yield
        finally:
            fcntl.flock(handle, fcntl.LOCK_UN)

    def close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _take(self) -> int:
        deadline = self._seams.clock.monotonic() + self._patience
        pause = _FIRST_PAUSE
        while True:
            handle = self._open()
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if self._seams.clock.monotonic() >= deadline:
                    raise StoreBusy(
                        f"another process has been writing for more than {self._patience:g} s",
                        where=str(self.path),
                        hint="Try again; if it lasts, look for a stopped syncd process "
                        f"(`fuser {self.path}` names it).",
                    ) from None
                # Random pauses: two processes waiting for a third must not stay in step.
                self._seams.sleep(pause * (0.5 + self._seams.random.random()))
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            if self._is_current(handle):
                return handle
            # Somebody removed the file: whoever comes next would lock another one.
            self.close()

    def _open(self) -> int:
        if self._handle is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            try:
                self._handle = os.open(self.path, flags, 0o600)
            except OSError as error:
                raise refused(
                    "cannot open the lock file",
                    error,
                    where=str(self.path),
                    hint="The folder of the state must exist and be writable by this user.",
                ) from error
        return self._handle

    def _is_current(self, handle: int) -> bool:
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return False
        mine = os.fstat(handle)
        return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)
