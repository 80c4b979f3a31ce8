"""A PostgreSQL server that a test may crash and start again.

A crash ends its processes, not the machine: what the server had handed to the operating system is
kept, what stood in its own memory is lost. So that as much as possible stands there, nothing of
the write-ahead log is written but for a COMMIT that asks for it, and by default none does.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
from servers import Postgres

_PATIENCE = 20_000  # milliseconds the processes may take to end


class CrashingPostgres(Postgres):
    settings = {  # noqa: RUF012
        **Postgres.settings,
        "wal_writer_delay": "10s",  # else it would write the log five times a second
        "wal_writer_flush_after": "1GB",
        "bgwriter_lru_maxpages": "0",
        "checkpoint_timeout": "1h",
        "shared_buffers": "32MB",
        "max_connections": "40",
        "wal_level": "replica",
        "max_wal_senders": "2",  # without any, no standby is waited for
    }

    def crash(self, how: signal.Signals = signal.SIGKILL) -> None:
        """SIGKILL: all its processes at once, none of which gets to write another byte. SIGQUIT:
        the immediate shutdown, where each ends at once by itself."""
        assert self._process is not None
        main = self._process.pid
        if how is signal.SIGKILL:
            os.kill(main, signal.SIGSTOP)  # else it would replace those that are killed
        family = [main, *_children(main)]
        with contextlib.ExitStack() as opened:
            ends = [end for pid in family if (end := _end_of(pid, opened)) is not None]
            for pid in reversed(family) if how is signal.SIGKILL else [main]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, how)
            self._process.wait(_PATIENCE / 1000)
            for end in ends:
                if not select.select([end], [], [], _PATIENCE / 1000)[0]:
                    raise RuntimeError("a process of the crashed server did not end")

    def restart(self) -> None:
        """Returns when it answers again, recovered."""
        if self._process is None or self._process.poll() is not None:
            self._start()

    def copy(self) -> None:
        """Of its files, as a standby that then lags."""
        self.crash()
        shutil.rmtree(self.home / "lagging", ignore_errors=True)
        subprocess.run(["cp", "-a", self.home / "data", self.home / "lagging"], check=True)
        self.restart()

    def fail_over(self) -> None:
        """Crashes; what answers from now on is the copy, which begins a timeline of its own."""
        self.crash()
        shutil.rmtree(self.home / "data")
        (self.home / "lagging").rename(self.home / "data")
        (self.home / "data" / "recovery.signal").touch()
        with (self.home / "data" / "postgresql.auto.conf").open("a") as settings:
            settings.write("restore_command = 'false'\nhot_standby = off\n")
        self.restart()

    def waiting_for_standby(self) -> bool:
        """Whether a COMMIT is on the disk and not answered."""
        with self._connect() as connection:
            sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            return bool(connection.execute(sql).fetchone()[0])

    @contextlib.contextmanager
    def answering_no_commit(self) -> Iterator[None]:
        """Commits that ask for more than the server's own disk wait for ever, done."""
        self._set_standby("nobody")
        try:
            yield
        finally:
            self.restart()
            self._set_standby("")

    def _set_standby(self, name: str) -> None:
        with self._connect() as connection:
            connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
            connection.execute("SELECT pg_reload_conf()")

    def people(self, url: str) -> psycopg.Connection:
        """A connection of somebody whose commits are safe when they are answered."""
        name = url.partition("?")[0].rpartition("/")[2]
        connection: psycopg.Connection = self._connect(name)
        connection.execute("SET synchronous_commit = local")
        return connection

    def keep(self, url: str) -> None:
        """What is committed there by now outlives a crash."""
        with self.people(url) as somebody:
            somebody.execute("SELECT pg_logical_emit_message(true, 'tests', 'kept')")


def _children(pid: int) -> list[int]:
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _end_of(pid: int, opened: contextlib.ExitStack) -> int | None:
    """A descriptor that becomes readable when the process has ended; None where it has."""
    try:
        end = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    opened.callback(os.close, end)
    return end


@contextlib.contextmanager
def crashing() -> Iterator[CrashingPostgres]:
    """Raises ServerMissing."""
    server = CrashingPostgres()
    try:
        yield server
    finally:
        server.stop()
