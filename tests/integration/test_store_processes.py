"""Several processes on one store, killed ones, full disks, and a database that goes away."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from syncd.errors import Interrupted, StoreBusy, StoreError
from syncd.host import Interrupt, real_seams
from syncd.seams import Seams
from syncd.store import database, lifecycle
from syncd.store.database import Store, wal_size

PRELUDE = """
import sys
from pathlib import Path
from sqlalchemy import text
from syncd.host import Interrupt, real_seams
from syncd.store.database import Store
seams = real_seams(Interrupt())
def opened():
    return Store.open(
        sys.argv[1], seams=seams, deployment=None, create=True, state_dir=Path(sys.argv[2])
    )
"""


@pytest.fixture
def seams() -> Iterator[Seams]:
    interrupt = Interrupt()
    yield real_seams(interrupt)
    interrupt.close()


@pytest.fixture
def open_(tmp_path: Path, seams: Seams) -> Iterator[Callable[..., Store]]:
    stores: list[Store] = []

    def opened(url: str = "sqlite:///state.db", **changed: object) -> Store:
        given = {"seams": seams, "deployment": None, "create": True, "state_dir": tmp_path}
        stores.append(Store.open(url, **{**given, **changed}))  # type: ignore[arg-type]
        return stores[-1]

    yield opened
    for store in stores:
        store.close()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Runs a script beside the test, with the store's url and state folder as arguments."""
    running: list[subprocess.Popen[str]] = []

    def start(script: str, url: str = "sqlite:///state.db") -> subprocess.Popen[str]:
        running.append(
            subprocess.Popen(
                [sys.executable, "-c", PRELUDE + script, url, str(tmp_path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return running[-1]

    yield start
    for one in running:
        one.kill()
        one.communicate()


def _tick(store: Store) -> int:
    with store.read() as conn:
        return store.last_tick(conn)


COUNT = """
store = opened()
for number in range(60):
    with store.write() as conn:
        store.tick(conn)
        conn.execute(
            text("INSERT INTO meta (key, value) VALUES (:k, :v)"),
            {"k": f"{sys.argv[3:]}{store.seams.ids.new()}", "v": "x" * 60_000},
        )
    if number % 7 == 0:
        store.checkpoint()
store.close()
"""


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_f56_processes_write_and_checkpoint_in_turn(
    kind: str,
    open_: Callable[..., Store],
    process: Callable[..., subprocess.Popen[str]],
    fresh_db: Callable[[str], str],
) -> None:
    """They also race to make the store: one does, the others find it."""
    url = fresh_db(kind)
    workers = [process(COUNT, url) for _ in range(4)]
    for worker in workers:
        assert worker.communicate(timeout=60)[1] == ""
        assert worker.returncode == 0
    store = open_(url)
    assert _tick(store) == 240
    with store.read() as conn:
        assert conn.execute(text("SELECT count(*) FROM meta WHERE value LIKE 'x%'")).scalar() == 240
        if kind == "sqlite":
            assert conn.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"


def test_f56_ordinary_connections_never_checkpoint_by_themselves(
    open_: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_CHECKPOINT", 1 << 40)
    store = open_()
    assert store.place.path is not None
    store.checkpoint()
    before = store.place.path.read_bytes()
    for number in range(30):
        with store.write() as conn:
            conn.execute(
                text("INSERT INTO meta (key, value) VALUES (:k, :v)"),
                {"k": str(number), "v": "x" * 300_000},
            )
    assert wal_size(store.place) > 8 << 20
    assert store.place.path.read_bytes() == before
    store.checkpoint()
    assert wal_size(store.place) == 0


def test_f54_log_is_kept_short_by_checkpoints_under_the_lock(open_: Callable[..., Store]) -> None:
    store = open_()
    for number in range(100):
        with store.write() as conn:
            conn.execute(
                text("INSERT INTO meta (key, value) VALUES (:k, :v)"),
                {"k": str(number), "v": "x" * 300_000},
            )
    assert wal_size(store.place) < 8 << 20


def test_f54_log_that_a_reader_kept_long_is_shortened_afterwards(
    open_: Callable[..., Store],
) -> None:
    store = open_()

    def write(number: int) -> None:
        with store.write() as conn:
            conn.execute(
                text("INSERT INTO meta (key, value) VALUES (:k, :v)"),
                {"k": str(number), "v": "x" * 300_000},
            )

    with store.read() as conn:
        store.last_tick(conn)
        for number in range(80):
            write(number)
    assert wal_size(store.place) > 20 << 20
    for number in range(80, 120):
        write(number)
    assert wal_size(store.place) < 8 << 20


HOLD = """
store = opened()
with store.write() as conn:
    store.tick(conn)
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_f54_wait_for_another_process_is_bounded(
    kind: str,
    open_: Callable[..., Store],
    process: Callable[..., subprocess.Popen[str]],
    fresh_db: Callable[[str], str],
) -> None:
    url = fresh_db(kind)
    store = open_(url, patience=0.3)
    holder = process(HOLD, url)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    with pytest.raises(StoreBusy) as caught, store.write():
        pass
    assert (caught.value.code, caught.value.kind) == ("SY0402", "retryable")
    assert _tick(store) == 0  # reading goes on
    holder.communicate("")
    with store.write() as conn:
        assert store.tick(conn) == 2


def test_f54_other_program_that_holds_sqlites_own_lock(open_: Callable[..., Store]) -> None:
    store = open_(patience=0.2)
    assert store.place.path is not None
    other = sqlite3.connect(store.place.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreBusy), store.write():
        pass
    other.execute("ROLLBACK")
    other.close()
    with store.write() as conn:
        assert store.tick(conn) == 1


def test_waiting_for_the_lock_is_interruptible(
    open_: Callable[..., Store], seams: Seams, process: Callable[..., subprocess.Popen[str]]
) -> None:
    def interrupted(seconds: float) -> None:
        raise Interrupted("stopped by SIGINT")

    store = open_(seams=replace(seams, sleep=interrupted))
    holder = process(HOLD)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    with pytest.raises(Interrupted), store.write():
        pass
    holder.communicate("")
    with store.write() as conn:
        assert store.tick(conn) == 2


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_f51_killed_writer_leaves_nothing_behind(
    kind: str,
    open_: Callable[..., Store],
    process: Callable[..., subprocess.Popen[str]],
    fresh_db: Callable[[str], str],
) -> None:
    url = fresh_db(kind)
    store = open_(url)
    holder = process(HOLD, url)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with store.write() as conn:
        assert store.tick(conn) == 1


MIGRATE = """
from syncd.store import lifecycle
whole = lifecycle.migrate
def slow(conn):
    whole(conn)
    print("held", flush=True)
    sys.stdin.read()
lifecycle.migrate = slow
opened()
"""


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_f59_creation_killed_before_its_commit_goes_again(
    kind: str,
    open_: Callable[..., Store],
    process: Callable[..., subprocess.Popen[str]],
    fresh_db: Callable[[str], str],
) -> None:
    url = fresh_db(kind)
    holder = process(MIGRATE, url)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with open_(url).write() as conn:
        assert conn.execute(text("SELECT count(*) FROM lease")).scalar() == 0


def test_removed_lock_file_does_not_split_the_lock(
    open_: Callable[..., Store], process: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    store = open_(patience=0.3)
    with store.write():
        pass
    (tmp_path / "state.db.lock").unlink()
    holder = process(HOLD)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    with pytest.raises(StoreBusy, match="another process"), store.write():
        pass


FULL = """
import resource, signal
from syncd.errors import StoreError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = opened()
with store.write() as conn:
    store.tick(conn)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    with store.write() as conn:
        store.tick(conn)
        conn.execute(text("INSERT INTO meta (key, value) VALUES ('big', :v)"), {"v": "x" * 3000000})
    print("effect!")
except StoreError as error:
    print(error.code, error.exit_code)
"""


def test_f53_disk_that_takes_no_more_stops_the_step_before_its_effect(
    open_: Callable[..., Store], process: Callable[..., subprocess.Popen[str]]
) -> None:
    said, complaints = process(FULL).communicate(timeout=60)
    assert (said, complaints) == ("SY0432 1\n", "")
    store = open_()
    assert _tick(store) == 1
    with store.read() as conn:
        assert conn.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"


def test_f53_full_database_stops_the_step_and_the_next_one_works(
    open_: Callable[..., Store],
) -> None:
    store = open_()

    def put(size: int) -> None:
        with store.write() as conn:
            store.tick(conn)
            conn.exec_driver_sql("PRAGMA max_page_count=100")
            conn.execute(text("INSERT INTO meta (key, value) VALUES ('x', :v)"), {"v": "x" * size})

    with pytest.raises(StoreError) as caught:
        put(1_000_000)
    assert caught.value.code == "SY0432"
    put(10)
    assert _tick(store) == 1


def test_f53_counter_file_on_a_full_disk_keeps_the_old_one(
    open_: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_()
    (path,) = store.state_dir.glob("*.counter")
    before = path.read_bytes()
    with store.write() as conn:
        store.tick(conn)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match="No space left"):
            store.stamp()
    assert path.read_bytes() == before
    store.stamp()
    assert path.read_bytes() != before


class Cutter:
    """Between syncd and PostgreSQL: breaks the connection at the next COMMIT, before or after
    the server has done it, and stays away for some connections afterwards."""

    def __init__(self, server: Path) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="cut-", dir="/tmp"))
        self.mode = ""
        self.away = 0
        self._server = str(server / ".s.PGSQL.5432")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.home / ".s.PGSQL.5432"))
        self._listener.listen()
        self._open: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self.away:
                self.away -= 1
                near.close()
                continue
            far = socket.socket(socket.AF_UNIX)
            far.connect(self._server)
            self._open += [near, far]
            threading.Thread(target=self._up, args=(near, far), daemon=True).start()
            threading.Thread(target=self._down, args=(far, near), daemon=True).start()

    def _up(self, near: socket.socket, far: socket.socket) -> None:
        try:
            while data := near.recv(65536):
                if self.mode and b"COMMIT\0" in data:
                    mode, self.mode = self.mode, ""
                    near.shutdown(socket.SHUT_RDWR)
                    if mode == "after":
                        far.sendall(data)
                    break
                far.sendall(data)
        except OSError:
            pass
        with suppress(OSError):
            # The server reads what was sent, then sees the end.
            far.shutdown(socket.SHUT_WR)

    @staticmethod
    def _down(far: socket.socket, near: socket.socket) -> None:
        try:
            while data := far.recv(65536):
                near.sendall(data)
            near.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for one in self._open:
            one.close()
        (self.home / ".s.PGSQL.5432").unlink()
        self.home.rmdir()


@pytest.fixture
def cutter(fresh_db: Callable[[str], str]) -> Iterator[tuple[str, Cutter]]:
    url = make_url(fresh_db("postgresql"))
    host = url.query["host"]
    assert isinstance(host, str)
    between = Cutter(Path(host))
    through = url.update_query_dict({"host": str(between.home)})
    yield through.render_as_string(hide_password=False), between
    between.close()


@pytest.mark.parametrize("away", [0, 3])
def test_f58_commit_that_happened_without_an_answer_is_no_error(
    cutter: tuple[str, Cutter], open_: Callable[..., Store], away: int
) -> None:
    url, between = cutter
    store = open_(url)
    with store.write() as conn:
        store.tick(conn)
    with store.write() as conn:
        assert store.tick(conn) == 2
        between.mode, between.away = "after", away
    assert between.mode == ""
    assert _tick(store) == 2


def test_f58_commit_that_never_arrived_is_reported_and_worth_a_retry(
    cutter: tuple[str, Cutter], open_: Callable[..., Store]
) -> None:
    url, between = cutter
    store = open_(url)
    with pytest.raises(StoreBusy) as caught, store.write() as conn:
        assert store.tick(conn) == 1
        between.mode = "before"
    assert (caught.value.code, between.mode) == ("SY0434", "")
    with store.write() as conn:
        assert store.tick(conn) == 1


def test_f58_database_that_stays_away_leaves_it_open(
    cutter: tuple[str, Cutter], open_: Callable[..., Store]
) -> None:
    url, between = cutter
    store = open_(url, patience=0.5)
    with pytest.raises(StoreError, match="not known yet") as caught, store.write() as conn:
        store.tick(conn)
        between.mode, between.away = "after", 10_000
    assert caught.value.code == "SY0433"
    between.away = 0
    assert _tick(store) == 1


def test_s49_looking_at_an_open_state_leaves_its_locks_alone(
    open_: Callable[..., Store], tmp_path: Path
) -> None:
    """A process that closes a file loses all its locks on it: another one would then take itself
    for the last user of the state, and remove the log that this one is writing."""
    path = tmp_path / "state.db"
    store = open_()
    with store.write() as conn:
        store.tick(conn)
    before = locks(path)
    assert before
    open_()
    lifecycle.look(store.place, store._readers)
    lifecycle._touch(path)
    assert before <= locks(path)


def locks(path: Path) -> set[str]:
    """Of this process on the file: access and bytes."""
    inode = path.stat().st_ino
    rows = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return {
        " ".join(row[3:4] + row[6:])
        for row in rows
        if row[4] == str(os.getpid()) and row[5].endswith(f":{inode}")
    }
