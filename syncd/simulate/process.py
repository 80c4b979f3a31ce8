"""One simulated process: the real session, engine and store, which may die at any moment."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine

from syncd.adapter import Context
from syncd.config.load import Loaded
from syncd.config.models import Config
from syncd.engine.result import RunMode, RunOptions, RunReport
from syncd.engine.session import Session
from syncd.errors import SyncdError
from syncd.registry import Registry
from syncd.seams import Holder, Seams
from syncd.secrets import Secrets
from syncd.simulate.systems import Adapter
from syncd.simulate.tasks import Crash, Tasks
from syncd.simulate.world import World
from syncd.store import connect
from syncd.store.connect import Place
from syncd.store.database import PATIENCE, Store
from syncd.store.direct import Kept
from syncd.store.lease import Fence

CONNECTOR = "simulated"
DEPLOYMENT = "simulation"


class Desk:
    """The folder in which lives are played, one after the other. All have the same state's file,
    emptied before each: to make one by its migrations, and connections to it that know their
    statements, costs more than a whole life."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self._empty = folder / "empty"
        self._rows: dict[str, list[tuple[Any, ...]]] = {}

    @property
    def url(self) -> str:
        return f"sqlite:///{self.state / 'state.db'}"

    def remove(self) -> None:
        FragileStore.forget(connect.locate(self.url, self.state))
        shutil.rmtree(self.folder, ignore_errors=True)

    def clear(self, world: World) -> None:
        """Nothing was ever synced."""
        if not self._rows:
            self._begin(world)
            return
        shutil.copy(self._counter, self.state)
        with FragileStore.bare(connect.locate(self.url, self.state)) as db:
            db.execute("PRAGMA foreign_keys = OFF")
            db.execute("BEGIN IMMEDIATE")
            for table, rows in self._rows.items():
                db.execute(f"DELETE FROM {table}")
                for row in rows:
                    db.execute(f"INSERT INTO {table} VALUES ({','.join('?' * len(row))})", row)
            db.execute("COMMIT")
            db.execute("PRAGMA foreign_keys = ON")

    def lend(self, folder: Path) -> None:
        """The empty state, as `empty.db` in another folder."""
        shutil.copy(self._empty / "state.db", folder / "empty.db")
        shutil.copy(self._counter, folder)

    def _begin(self, world: World) -> None:
        shutil.rmtree(self.state, ignore_errors=True)
        self.state.mkdir(parents=True)
        Store.open(
            self.url, seams=seams(world), deployment=DEPLOYMENT, create=True, state_dir=self.state
        ).close()
        shutil.copytree(self.state, self._empty)
        with FragileStore.bare(connect.locate(self.url, self.state)) as db:
            tables = "SELECT name FROM sqlite_master WHERE type = 'table'"
            for (name,) in db.execute(tables).fetchall():
                self._rows[name] = db.execute(f"SELECT * FROM {name}").fetchall()

    @property
    def _counter(self) -> Path:
        return self._empty / f"{DEPLOYMENT}.counter"


def seams(world: World) -> Seams:
    return Seams(world.clock, world.sleep, world.chance, world.ids, world.tasks)


class FragileStore(Store):
    """The real store, whose process may die around each of its transactions.

    Connections are kept for the next process, with the statements that they know. What one that
    died had begun is rolled back on the way out of the transaction.
    """

    world: World
    spare: ClassVar[dict[Place, list[tuple[Engine, Engine]]]] = {}
    lines: ClassVar[WeakKeyDictionary[Engine, Kept]] = WeakKeyDictionary()

    def __init__(self, place: Place, deployment: str, **rest: Any) -> None:
        super().__init__(place, deployment, **rest)
        self._reads = self.lines.setdefault(self._readers, self._reads)
        self._writes = self.lines.setdefault(self._writer, self._writes)
        self._open = True

    @staticmethod
    def engines(place: Place, patience: float) -> tuple[Engine, Engine]:
        spare = FragileStore.spare.get(place)
        return spare.pop() if spare else Store.engines(place, patience)

    @classmethod
    @contextmanager
    def bare(cls, place: Place) -> Iterator[sqlite3.Connection]:
        """The driver's connection to a state that no process uses."""
        both = cls.engines(place, PATIENCE)
        with cls.lines.setdefault(both[1], Kept(both[1])).lent() as conn:
            driver: Any = conn.connection.driver_connection
            yield driver
        cls.spare.setdefault(place, []).append(both)

    @classmethod
    def forget(cls, place: Place) -> None:
        for engine in chain.from_iterable(cls.spare.pop(place, [])):
            cls.lines.pop(engine, Kept(engine)).close()
            engine.dispose()

    @contextmanager
    def write(self, fence: Fence | None = None) -> Iterator[Connection]:
        self.world.stored("begin")
        with super().write(fence) as conn:
            yield conn
            self.world.stored("commit")
        self.world.stored("after")

    def abandon(self) -> None:
        """What the operating system does for a process that died."""
        self._let_go()

    def _drop(self) -> None:
        """Its connections stay."""

    def _let_go(self) -> None:
        if self._gate is not None:
            self._gate.close()
        self._counter.close()
        if self._open:
            self._open = False
            self.spare.setdefault(self.place, []).append((self._readers, self._writer))


class Process:
    """number: its process id. Its session is made when first used."""

    def __init__(self, world: World, desk: Desk, number: int, living: set[int]) -> None:
        self.world, self.desk, self.number, self._living = world, desk, number, living
        self._session: Session | None = None
        self._store: FragileStore | None = None
        living.add(number)

    def run(
        self,
        loaded: Loaded,
        mode: str,
        record: tuple[str, str] | None = None,
        only: frozenset[str] | None = None,
    ) -> RunReport:
        """record: member and native id of an entity run; only: what a saved plan has. Raises Crash,
        and what a run raises."""
        modes = {"incremental": RunMode.INCREMENTAL, "entity": RunMode.ENTITY}
        options = RunOptions(
            mode=modes.get(mode, RunMode.FULL), dry_run=mode == "dry", record=record, only=only
        )
        return self._open(loaded).run(self.world.script.name, options)

    def store(self, loaded: Loaded) -> Store:
        return self._open(loaded).store(create=True)

    def bury(self) -> None:
        """It is dead: only what the store has committed is left."""
        self._living.discard(self.number)
        if self._store is not None:
            self._store.abandon()

    def close(self) -> None:
        self._living.discard(self.number)
        if self._session is not None:
            with suppress(Crash, SyncdError):
                self._session.close()

    def _open(self, loaded: Loaded) -> Session:
        world = self.world
        if self._session is None or self._session.loaded is not loaded:
            before, self._session = self._session, None
            if before is not None:
                before.close()
            registry = Registry(())
            registry.add(CONNECTOR, self._adapter)
            self._session = Session(
                loaded,
                seams=seams(world),
                registry=registry,
                secrets=Secrets(self.desk.folder, {}),
                holder=Holder("simulated", self.number, f"boot.1.{self.number}"),
                alive=lambda holder: holder.pid in self._living,
                state_dir=self.desk.state,
                environ={},
                opener=self._open_store,
            )
        return self._session

    def _open_store(self, url: str, **options: Any) -> Store:
        folder: Path = options["state_dir"]
        if folder != self.desk.state:  # the empty one of a first dry run
            self.desk.lend(folder)
            return Store.open(url, **options)
        store = FragileStore.open(url, **options)
        assert isinstance(store, FragileStore)
        store.world = self.world
        self._store = store
        return store

    def _adapter(self, context: Context) -> Any:
        table = self.world.tables[context.system]
        return Adapter(table, self.world.schemas[context.system], self.world)


def config(world: World, desk: Desk, flow: dict[str, Any]) -> Loaded:
    """A config made in memory, checked as one from a file is."""
    raw = {
        "state": {"url": desk.url, "deployment": DEPLOYMENT},
        "systems": {
            name: {"connector": CONNECTOR, "receipts": traits.proof == "receipts"}
            for name, traits in world.script.systems.items()
        },
        "flows": {world.script.name: flow},
    }
    return Loaded(Config.model_validate(raw), None)


def fresh_tasks(world: World) -> Tasks:
    """Of a process that starts now."""
    world.tasks = Tasks(world.chance, 0.3)
    return world.tasks
