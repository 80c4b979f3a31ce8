"""`syncd state rebuild`: set a lost, damaged or outdated state aside and begin a new one that
links records anew.

A rebuilt state knows nothing of what was deleted or never linked, so until a person confirms
(`relinked`) a flow only links: the engine asks `relinking` and sends no delete and no create.
"""

from __future__ import annotations

from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, bindparam, select, text, update

from syncd.errors import StoreError, StoreRefused
from syncd.seams import Seams
from syncd.store import admit, connect, lease, lifecycle, sidecar
from syncd.store.connect import DAMAGED, NOT_OURS, Place, translated
from syncd.store.database import PATIENCE, checkpoint, file_lock, shut
from syncd.store.disk import refused
from syncd.store.lifecycle import Facts
from syncd.store.tables import flow as flows
from syncd.store.tables import meta

# Runs may have gone on after the counter was last written down; no tick is given twice.
_GAP = 1_000_000

_RELINK = select(flows.c.relink).where(flows.c.name == bindparam("name"))
_FACT = select(meta.c.value).where(meta.c.key == bindparam("about"))


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """kept: path or schema of the state that was set aside, "" where nothing was left of it."""

    kept: str
    deployment: str
    tick: int


def rebuild(
    url: str,
    *,
    seams: Seams,
    state_dir: Path,
    deployment: str | None = None,
    base: Path | None = None,
    at_least: int = 0,
    patience: float = PATIENCE,
) -> Rebuilt:
    """at_least  the highest tick of which a system has a receipt

    Raises StoreRefused (newer, another deployment's, not a syncd state), FlowBusy while a run
    holds a flow, StoreBusy, StoreError.
    """
    place = connect.locate(url, base or state_dir)
    lifecycle.make_folder(place)
    gate = file_lock(place, seams, patience)
    engines = connect.readers(place, patience), connect.writer(place, patience)
    try:
        with gate.held() if gate is not None else nullcontext():
            known = next((s for s in sidecar.known(state_dir) if s.store == place.name), None)
            found = _look(place, engines, known, deployment, state_dir, seams)
            stamp = seams.clock.now().strftime("%Y%m%dt%H%M%S")
            for engine in engines:
                engine.dispose()  # no connection may point at what is moved
            kept = (
                _set_files_aside(place.path, stamp)
                if place.path is not None
                else _set_schema_aside(place, engines[1], stamp)
            )
            name = deployment or (found.deployment if found else known and known.deployment)
            if found is not None:
                known = sidecar.read(state_dir, found.deployment)
            tick = max(found.tick if found else 0, known.tick if known else 0, at_least) + _GAP
            made = lifecycle.create(
                place,
                engines[1],
                deployment=name or None,
                state_dir=state_dir,
                seams=seams,
                tick=tick,
                rebuilt=stamp,
            )
        return Rebuilt(kept, made.deployment, made.tick)
    finally:
        shut(engines, gate)


def relinking(conn: Connection, flow: str) -> bool:
    """Whether the flow may only link: neither delete nor create until a person confirms."""
    if conn.execute(_RELINK, {"name": flow}).scalar():
        return True
    rebuilt = conn.execute(_FACT, {"about": "rebuilt"}).scalar()
    return bool(rebuilt) and conn.execute(_FACT, {"about": _key(flow)}).scalar() != rebuilt


def relinked(conn: Connection, flow: str) -> None:
    """A person confirmed what was linked: the flow works as before."""
    conn.execute(update(flows).where(flows.c.name == flow).values(relink=False))
    conn.execute(
        text(
            "INSERT INTO meta (key, value) "
            "SELECT :key, value FROM meta WHERE key = 'rebuilt' "
            "ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        ),
        {"key": _key(flow)},
    )


def _key(flow: str) -> str:
    return f"relinked:{flow}"


def _look(
    place: Place,
    engines: tuple[Engine, Engine],
    known: sidecar.Sidecar | None,
    deployment: str | None,
    state_dir: Path,
    seams: Seams,
) -> Facts | None:
    """None where nothing readable is left. Raises StoreRefused for what is not ours to move."""
    try:
        found = lifecycle.look(place, engines[0])
    except StoreRefused as refused:
        # A damaged header looks like another program's file, but we know what stood here.
        if refused.code == DAMAGED or (refused.code == NOT_OURS and known is not None):
            return None
        raise
    if found is None:
        return None
    admit.refuse_newer(found, place)
    admit.admit_owner(found, place, deployment=deployment, state_dir=state_dir)
    with translated(place), engines[0].connect() as conn:
        lease.refuse_while_held(conn, seams)
    if place.path is not None:
        with suppress(StoreError):
            checkpoint(place, engines[1], wait=True)
    return found


def _set_files_aside(path: Path, stamp: str) -> str:
    """The log goes first: were we killed between, it must not meet a new file."""
    if not path.exists() or not path.stat().st_size:
        return ""
    kept, number = path.with_name(f"{path.name}.{stamp}.old"), 1
    while kept.exists():
        number += 1
        kept = path.with_name(f"{path.name}.{stamp}-{number}.old")
    try:
        for end in ("-wal", "-shm", ""):
            part = path.with_name(path.name + end)
            if part.exists():
                part.rename(kept.with_name(kept.name + end))
        sidecar.sync_folder(path.parent)
    except OSError as error:
        raise refused(
            "the old state cannot be set aside",
            error,
            where=str(path),
            hint="The folder must be writable by this user.",
        ) from error
    return str(kept)


def _set_schema_aside(place: Place, engine: Engine, stamp: str) -> str:
    with translated(place), engine.begin() as conn:
        lifecycle.exclusive(conn, place)
        names = set(conn.execute(text("SELECT nspname FROM pg_catalog.pg_namespace")).scalars())
        if place.schema not in names:
            return ""
        kept, number = f"{place.schema}_old_{stamp}", 1
        while kept in names:
            number += 1
            kept = f"{place.schema}_old_{stamp}_{number}"
        conn.exec_driver_sql(f'ALTER SCHEMA "{place.schema}" RENAME TO "{kept}"')
    return kept
