"""One simulated process: the real session, engine and store, which may die at any moment."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

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
from syncd.store.connect import Place
from syncd.store.database import Store
from syncd.store.lease import Fence

CONNECTOR = "simulated"
DEPLOYMENT = "simulation"


class Desk:
    """The folder in which lives are played, one after the other, and an empty store to begin
    each with: making one by its migrations costs more than a whole life."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self._empty = folder / "empty"

    @property
    def url(self) -> str:
        return f"sqlite:///{self.state / 'state.db'}"

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def clear(self, world: World) -> None:
        shutil.rmtree(self.state, ignore_errors=True)
        if not self._empty.exists():
            self.state.mkdir(parents=True)
            store = Store.open(
                self.url, seams=seams(world), deployment=DEPLOYMENT, create=True,
                state_dir=self.state,
            )  # fmt: skip
            store.close()
            shutil.copytree(self.state, self._empty)
        else:
            shutil.copytree(self._empty, self.state)


def seams(world: World) -> Seams:
    return Seams(world.clock, world.sleep, world.chance, world.ids, world.tasks)


class FragileStore(Store):
    """The real store, whose process may die around each of its transactions."""

    world: World
    # Of stores that were closed: making engines and their statements anew costs more than a run.
    spare: ClassVar[dict[Place, list[tuple[Engine, Engine]]]] = {}
    ended = False

    @staticmethod
    def engines(place: Place, patience: float) -> tuple[Engine, Engine]:
        spare = FragileStore.spare.get(place)
        return spare.pop() if spare else Store.engines(place, patience)

    def close(self) -> None:
        super().close()
        self._spare()

    @contextmanager
    def write(self, fence: Fence | None = None) -> Iterator[Connection]:
        self.world.stored("begin")
        with super().write(fence) as conn:
            yield conn
            self.world.stored("commit")
        self.world.stored("after")

    def abandon(self) -> None:
        """What the operating system does for a process that died."""
        self._drop()
        if self._gate is not None:
            self._gate.close()
        self._counter.close()
        self._spare()

    def _spare(self) -> None:
        if not self.ended:
            self.ended = True
            self.spare.setdefault(self.place, []).append((self._readers, self._writer))


class Process:
    """number: its process id. Its session is made when first used."""

    def __init__(self, world: World, desk: Desk, number: int, living: set[int]) -> None:
        self.world, self.desk, self.number, self._living = world, desk, number, living
        self._session: Session | None = None
        self._store: FragileStore | None = None
        living.add(number)

    def run(self, loaded: Loaded, mode: str) -> RunReport:
        """Raises Crash, and what the engine raises."""
        session = self._open(loaded)
        options = RunOptions(
            mode=RunMode.INCREMENTAL if mode == "incremental" else RunMode.FULL,
            dry_run=mode == "dry",
        )
        return session.run(self.world.script.name, options)

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
