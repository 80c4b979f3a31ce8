"""Everything one process needs to run the flows of one config: the store and the systems, opened
when first asked for, closed together."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import TracebackType
from typing import Any

from syncd import log
from syncd.adapter import Adapter, Context, ObjectSchema
from syncd.config.compile import CompiledFlow, compile_flow
from syncd.config.compile_member import CompiledMember
from syncd.config.load import Loaded
from syncd.engine.opening import OpenFlow, memory, open_flow
from syncd.engine.result import RunOptions, RunReport
from syncd.engine.run import run_flow
from syncd.errors import ConfigError, StoreUnwritable, SyncdError, SystemFault
from syncd.registry import Registry
from syncd.seams import Holder, Seams
from syncd.secrets import Secrets
from syncd.store import shadow
from syncd.store.admit import check_counters
from syncd.store.database import Store
from syncd.store.scratch import full


class Session:
    """A context manager. Raises what opening raises: StoreRefused, ConfigError, SystemFault.

    opener  opens the store, taking what `Store.open` takes
    """

    def __init__(
        self,
        loaded: Loaded,
        *,
        seams: Seams,
        registry: Registry,
        secrets: Secrets,
        holder: Holder,
        alive: Callable[[Holder], bool | None],
        state_dir: Path,
        environ: Mapping[str, str],
        opener: Callable[..., Store] = Store.open,
    ) -> None:
        self.loaded = loaded
        self.seams = seams
        self.state_dir = state_dir
        self._registry = registry
        self._secrets = secrets
        self._holder = holder
        self._alive = alive
        self._environ = environ
        self._opener = opener
        self._store: Store | None = None
        self._adapters: dict[str, Adapter] = {}
        self._compiled: dict[str, tuple[dict[str, ObjectSchema], CompiledFlow]] = {}
        self._memories: dict[tuple[str, str], tuple[CompiledMember, dict[str, Any]]] = {}

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        for adapter in self._adapters.values():
            adapter.close()
        self._adapters.clear()
        if self._store is not None:
            self._store.close()
            self._store = None

    @property
    def state_url(self) -> str:
        """Of the store, secrets resolved."""
        return self.loaded.state_url(self._environ, self._secrets.resolve)

    def store(self, create: bool = False) -> Store:
        if self._store is None:
            self._store = self._opener(
                self.state_url,
                seams=self.seams,
                deployment=None,
                create=create,
                state_dir=self.state_dir,
                base=self.loaded.base,
            )
        return self._store

    def adapter(self, system: str) -> Adapter:
        if system not in self._adapters:
            config = self.loaded.system(system)
            where = self.loaded.where(("systems", system, "connector"))
            factory = self._registry.factory(config.connector, where)
            context = Context(
                system=system,
                options=config.options,
                secret=partial(self._secret, system),
                seams=self.seams,
                log=log.system_logger(system),
                base=str(self.loaded.base),
            )
            try:
                self._adapters[system] = factory(context)
            except ConfigError as error:
                raise self.loaded.placed(error) from None
        return self._adapters[system]

    def _secret(self, system: str, text: str) -> str:
        options = self.loaded.system(system).options
        key = [name for name, value in options.items() if value == text][:1]
        return self.loaded.resolved(("systems", system, *key), text, self._secrets.resolve)

    def open(self, flow: str, store: Store | None = None) -> OpenFlow:
        return open_flow(self.loaded, flow, self.adapter, store or self._store, self._compile)

    def _compile(self, flow: str, schemas: Mapping[str, ObjectSchema]) -> CompiledFlow:
        """Once, as long as the systems describe their objects alike."""
        before = self._compiled.get(flow)
        if before is None or before[0] != schemas:
            before = dict(schemas), compile_flow(self.loaded, flow, schemas)
            self._compiled[flow] = before
        return before[1]

    def in_order(self, flows: Sequence[str]) -> list[str]:
        """Flows whose objects are parents of another flow's come first (I10); where the foreign
        keys go in a circle, or a system does not answer, as given."""
        tables: dict[tuple[str, str], str] = {}
        wants: dict[str, set[tuple[str, str]]] = {}
        for flow in flows:
            for member, config in self.loaded.flow(flow).members.items():
                system = self.loaded.system_of(flow, member)
                try:
                    schema = self.adapter(system).describe(config.object, tuple(config.key or ()))
                except SyncdError:
                    continue
                tables[system, schema.name] = flow
                parents = {(system, parent) for _, parent, _ in schema.parents}
                wants.setdefault(flow, set()).update(parents)
        graph = {
            flow: {tables[p] for p in wants.get(flow, ()) if p in tables and tables[p] != flow}
            for flow in flows
        }
        try:
            return list(TopologicalSorter(graph).static_order())
        except CycleError:
            return list(flows)

    def run(self, flow: str, options: RunOptions) -> RunReport:
        """One run. A dry run writes nothing anywhere, also where there is no state yet."""
        if options.dry_run and not self.has(flow):
            with _scratch_folder() as folder:
                return self._run_dry(flow, options, folder)
        store = self.store(create=not options.dry_run)
        opened = self.open(flow, store)
        self._check_receipts(opened, store)
        report = self._run(opened, store, options)
        if not options.dry_run:
            self._leave_receipts(opened, store, report)
        return report

    def _run(self, opened: OpenFlow, store: Store, options: RunOptions) -> RunReport:
        def remember(member: str) -> dict[str, Any]:
            made = opened.compiled.members[member]
            kept = self._memories.get((opened.name, member))
            if kept is None or kept[0] is not made:
                kept = made, memory(self.loaded, opened.name, made)
                self._memories[opened.name, member] = kept
            return kept[1]

        def alive(holder: Holder) -> bool:
            return self._alive(holder) is not False

        return run_flow(
            opened,
            remember,
            store,
            self.seams,
            self._holder,
            alive,
            options,
            self.state_dir if self.state_dir.is_dir() else None,
        )

    def has(self, flow: str) -> bool:
        """Whether the store knows the flow; there may be no store at all."""
        try:
            store = self.store()
        except SyncdError as error:
            if error.code == "SY0403":
                return False
            raise
        with store.read() as conn:
            try:
                shadow.flow_id(conn, flow, create=False)
            except KeyError:
                return False
        return True

    def _run_dry(self, flow: str, options: RunOptions, folder: Path) -> RunReport:
        empty = self._opener(
            "sqlite:///empty.db", seams=self.seams, deployment=None, create=True, state_dir=folder
        )
        try:
            opened = open_flow(self.loaded, flow, self.adapter, None, self._compile)
            with empty.write() as conn:
                number = shadow.flow_id(conn, flow)
                for member in opened.compiled.members:
                    shadow.save_member(conn, number, shadow.MemberState(member))
            return self._run(opened, empty, options)
        finally:
            empty.close()

    def _check_receipts(self, opened: OpenFlow, store: Store) -> None:
        """A state older than a system's receipts of it is refused before anything happens."""
        check_counters(
            store,
            {
                member.system: self.adapter(member.system).counter(store.deployment)
                for name, member in opened.compiled.members.items()
                if member.spec.receipts and name not in opened.failed
            },
        )

    def _leave_receipts(self, opened: OpenFlow, store: Store, report: RunReport) -> None:
        """A system that is gone by now keeps the number it had, which is too low and no harm: what
        the run did is told all the same."""
        kept = [
            member.system
            for name, member in opened.compiled.members.items()
            if member.spec.receipts and name not in opened.failed
        ]
        if not kept:
            return
        with store.read() as conn:
            tick = store.last_tick(conn)
        for system in kept:
            try:
                self.adapter(system).counter(store.deployment, tick)
            except SystemFault as error:
                report.messages.append(("warning", error.message))


@contextmanager
def _scratch_folder() -> Iterator[Path]:
    """For the empty state that a first dry run plans on; what fails there is not the state."""
    try:
        made = tempfile.TemporaryDirectory(prefix="syncd-dry-")
    except OSError as error:
        raise full(error.strerror, "TMPDIR") from error
    with made as folder:
        try:
            yield Path(folder)
        except StoreUnwritable as error:
            raise full(error.message.rpartition(": ")[2], folder) from error
