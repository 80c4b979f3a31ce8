"""The store as its users hold it: open, read, write, tick, close.

Any number of readers, each seeing one moment; one writer at a time. A write is one transaction:
it is wholly in the store when `write` returns, or not at all when it raises.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import DBAPIError

from syncd.errors import StoreError, StoreRefused, SyncdError
from syncd.seams import Seams
from syncd.store import admit, connect, lease, lifecycle, sidecar
from syncd.store.commit import CommitMark
from syncd.store.connect import Place, translated
from syncd.store.direct import Kept
from syncd.store.locking import FileLock
from syncd.store.tables import counter

PATIENCE = 20.0  # seconds that a write waits for its turn

_TICK = counter.c.name == "tick"
_NEXT_TICK = (
    counter.update().where(_TICK).values(value=counter.c.value + 1).returning(counter.c.value)
)
_LAST_TICK = select(counter.c.value).where(_TICK)

_CHECKPOINT = 4 << 20  # bytes of log that are worth a checkpoint


class Store:
    """Made by `Store.open`. Safe to use from several tasks; a write within a write is refused.

    place       where it is
    deployment  whose it is
    """

    def __init__(
        self,
        place: Place,
        deployment: str,
        *,
        seams: Seams,
        state_dir: Path,
        patience: float,
        engines: tuple[Engine, Engine],
        gate: FileLock | None,
    ) -> None:
        self.place = place
        self.deployment = deployment
        self.seams = seams
        self.state_dir = state_dir
        self._patience = patience
        self._readers, self._writer = engines
        self._reads, self._writes = Kept(engines[0]), Kept(engines[1])
        self._gate = gate
        self._turn = seams.tasks.lock()
        self._counter = FileLock(state_dir / f"{deployment}.counter.lock", seams, patience)
        self._writing: Connection | None = None
        self._ticked: int | None = None
        self._identity = _identity(place)
        self._checkpointed = 0
        self._mark = None if place.path is not None else CommitMark(place, seams, patience)

    @classmethod
    def open(
        cls,
        url: str,
        *,
        seams: Seams,
        deployment: str | None,
        create: bool,
        state_dir: Path,
        base: Path | None = None,
        patience: float = PATIENCE,
    ) -> Store:
        """deployment  demanded id; None = the one this machine knows
        create      an empty address becomes a new store
        state_dir   folder of the counter file
        base        folder of a relative SQLite path; None = `state_dir`
        patience    seconds to wait for a turn to write

        Raises StoreRefused (newer, older, damaged, foreign, gone), StoreBusy, StoreError,
        ConfigError.
        """
        if deployment is not None:
            sidecar.checked_name(deployment)
        place = connect.locate(url, base or state_dir)
        gate = file_lock(place, seams, patience)
        engines = cls.engines(place, patience)
        try:
            found = lifecycle.look(place, engines[0])
            if found is None:
                admit.missing(place, state_dir, create=create)
                if gate is not None:
                    lifecycle.make_folder(place)
                with gate.held() if gate is not None else nullcontext():
                    # Another process may have been faster.
                    found = lifecycle.look(place, engines[0]) or lifecycle.create(
                        place, engines[1], deployment=deployment, state_dir=state_dir, seams=seams
                    )
            admit.admit(found, place, deployment=deployment, state_dir=state_dir)
            store = cls(
                place,
                found.deployment,
                seams=seams,
                state_dir=state_dir,
                patience=patience,
                engines=engines,
                gate=gate,
            )
        except BaseException:
            shut(engines, gate)
            raise
        return store

    @staticmethod
    def engines(place: Place, patience: float) -> tuple[Engine, Engine]:
        """For its readers and its writer."""
        return connect.readers(place, patience), connect.writer(place, patience)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One moment of the store; never waits for a writer. Writing through it fails."""
        with translated(self.place), self._reads.lent() as conn, conn.begin():
            yield conn

    @contextmanager
    def write(self, fence: lease.Fence | None = None) -> Iterator[Connection]:
        """One transaction, the only one that writes.

        With a fence, its epoch is checked at the beginning and at the end. Raises LeaseLost,
        StoreBusy after `patience` seconds, StoreError when the disk refuses; then nothing of it
        is in the store. Only SY0433 (PostgreSQL gone at COMMIT and not back) leaves that open.
        """
        with self._turn:
            if self._writing is not None:
                raise RuntimeError("a write transaction of this store is open in this task")
            with self._passed():
                with translated(self.place), self._writes.lent() as conn:
                    self._writing, self._ticked = conn, None
                    try:
                        yield from self._transaction(conn, fence)
                    finally:
                        self._writing = None
                self._checkpoint_if_due()

    def tick(self, conn: Connection) -> int:
        """This write transaction's number: one more than that of the last one that asked."""
        if conn is not self._writing:
            raise RuntimeError("a tick is taken within write()")
        if self._ticked is None:
            self._ticked = int(conn.execute(_NEXT_TICK).scalar_one())
        return self._ticked

    def last_tick(self, conn: Connection) -> int:
        """The number of the last transaction that `conn` sees: what a read begun now knows."""
        return int(conn.execute(_LAST_TICK).scalar_one())

    def stamp(self, tick: int | None = None) -> None:
        """Record outside the store that it has come this far. Done at the begin and end of a lease.

        tick  where the caller knows it; it is never recorded that the store went back
        """
        with self._turn, self._counter.held():
            if tick is None:
                with self.read() as conn:
                    tick = self.last_tick(conn)
            known = sidecar.read(self.state_dir, self.deployment)
            if known is None or known.tick < tick or known.store != self.place.name:
                mine = sidecar.Sidecar(self.deployment, tick, self.place.name)
                sidecar.write(self.state_dir, mine)

    def checkpoint(self) -> None:
        """SQLite: move the whole log into the database and shorten it, as far as readers let."""
        if self._gate is not None:
            with self._turn, self._passed():
                self._writes.close()
                checkpoint(self.place, self._writer, wait=True)

    def close(self) -> None:
        """Closing the last connection of a SQLite database checkpoints it: under the lock too."""
        with suppress(SyncdError), self._turn, self._passed():
            if self._mark is not None:
                with translated(self.place):
                    self._mark.remove(self._writer)
            self._drop()
        self._let_go()

    def _let_go(self) -> None:
        """Of what it holds in this process, whatever became of the rest."""
        shut((self._readers, self._writer), self._gate)
        self._counter.close()

    def _drop(self) -> None:
        """All connections."""
        for kept, engine in ((self._reads, self._readers), (self._writes, self._writer)):
            kept.close()
            engine.dispose()

    def _passed(self) -> AbstractContextManager[None]:
        return nullcontext() if self._gate is None else self._held()

    @contextmanager
    def _held(self) -> Iterator[None]:
        assert self._gate is not None
        with self._gate.held():
            if _identity(self.place) != self._identity:
                raise StoreRefused(
                    "the state's file was moved away or replaced while it was in use",
                    code="SY0437",
                    where=self.place.name,
                    hint="Stop this process and start it again.",
                )
            yield

    def _transaction(self, conn: Connection, fence: lease.Fence | None) -> Iterator[Connection]:
        transaction = conn.begin()
        try:
            if self._gate is None:
                self._enter(conn)
            if fence is not None:
                lease.check(conn, fence)
            yield conn
            if fence is not None:
                lease.check(conn, fence)
            if self._mark is not None:
                self._mark.set(conn)
        except BaseException:
            with suppress(DBAPIError):  # the connection may be what broke
                transaction.rollback()
            raise
        try:
            transaction.commit()
        except DBAPIError as error:
            if self._mark is None or not error.connection_invalidated:
                raise
            self._mark.ask(self._writer, error)

    def _enter(self, conn: Connection) -> None:
        """PostgreSQL: one writer at a time, as on SQLite. Every write takes a tick or an id, so
        they would queue behind those rows anyway, and then in an order that may deadlock."""
        # A process that is stopped within a transaction must not lock the others out for good.
        idle = int(max(60.0, 3 * self._patience) * 1000)
        conn.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = {idle}")
        lifecycle.exclusive(conn, self.place)

    def _checkpoint_if_due(self) -> None:
        if self.place.path is None:
            return
        size = wal_size(self.place)
        if size < self._checkpointed:  # somebody else emptied it
            self._checkpointed = 0
        if size - self._checkpointed >= _CHECKPOINT:
            # The transaction is safe in the log; a disk that refuses here will refuse the next
            # write, which says so.
            self._writes.close()
            with suppress(StoreError):
                checkpoint(self.place, self._writer, wait=False)
            # Where a reader kept it from being emptied, it is not tried again at every write.
            self._checkpointed = wal_size(self.place)


def checkpoint(place: Place, engine: Engine, *, wait: bool) -> None:
    """Move the log into the database, then empty it if no reader needs it any more.

    On the writing connection; the caller holds the file lock. wait: for readers, a bounded time.
    """
    with translated(place):
        raw = engine.raw_connection()
        try:
            driver = raw.driver_connection
            assert driver is not None
            (patience,) = driver.execute("PRAGMA busy_timeout").fetchone()
            if not wait:
                driver.execute("PRAGMA busy_timeout=0")
            try:
                driver.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                driver.execute(f"PRAGMA busy_timeout={patience}")
        finally:
            raw.close()


def file_lock(place: Place, seams: Seams, patience: float) -> FileLock | None:
    """SQLite's `<file>.lock`; None for PostgreSQL, which has locks of its own."""
    if place.path is None:
        return None
    return FileLock(place.path.with_name(place.path.name + ".lock"), seams, patience)


def shut(engines: tuple[Engine, Engine], gate: FileLock | None) -> None:
    for engine in engines:
        engine.dispose()
    if gate is not None:
        gate.close()


def wal_size(place: Place) -> int:
    """Bytes of the write-ahead log of a SQLite store; 0 where there is none."""
    if place.path is None:
        return 0
    try:
        return place.log.stat().st_size
    except FileNotFoundError:
        return 0


def _identity(place: Place) -> tuple[int, int] | None:
    if place.path is None:
        return None
    try:
        there = place.path.stat()
    except FileNotFoundError:
        return (0, 0)
    return there.st_dev, there.st_ino
