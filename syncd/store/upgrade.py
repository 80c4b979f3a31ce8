"""`syncd state upgrade`: back up, then every missing revision in one transaction.

Killed at any moment, the store is as it was: the next upgrade begins again.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine

import syncd_migrations
from syncd.errors import StoreError, StoreRefused
from syncd.seams import Seams
from syncd.store import admit, connect, lease, lifecycle
from syncd.store.connect import Place, translated
from syncd.store.database import PATIENCE, file_lock, shut
from syncd.store.lifecycle import Facts
from syncd.store.migrate import back_up_file, back_up_schema, migrate


@dataclass(frozen=True, slots=True)
class Upgraded:
    """Revisions before and after (equal: there was nothing to do); backup: a path or a schema."""

    before: str
    after: str
    backup: str


def upgrade(
    url: str,
    *,
    seams: Seams,
    state_dir: Path,
    deployment: str | None = None,
    base: Path | None = None,
    no_backup: bool = False,
    patience: float = PATIENCE,
) -> Upgraded:
    """Raises StoreRefused (newer, foreign, damaged, nothing there), FlowBusy while a run holds a
    flow, StoreBusy, StoreError."""
    place = connect.locate(url, base or state_dir)
    gate = file_lock(place, seams, patience)
    engines = connect.readers(place, patience), connect.writer(place, patience)
    try:
        if _look(place, engines[0], state_dir, deployment) is None:
            admit.missing(place, state_dir, create=False)
        with gate.held() if gate is not None else nullcontext():
            found = _look(place, engines[0], state_dir, deployment)
            assert found is not None
            if found.revision == syncd_migrations.REVISIONS[-1]:
                return Upgraded(found.revision, found.revision, "")
            backup = "" if no_backup or place.path is None else _back_up(place.path, found)
            with translated(place), engines[1].connect() as conn:
                if place.path is not None:
                    # Rebuilding a table drops the old one; references are checked at the end.
                    raw = conn.connection.driver_connection
                    assert raw is not None
                    raw.execute("PRAGMA foreign_keys=OFF")
                with conn.begin():
                    if place.path is None:
                        lifecycle.exclusive(conn, place)
                        found = lifecycle.facts(conn)
                    lease.refuse_while_held(conn, seams)
                    if place.path is None and not no_backup:
                        backup = back_up_schema(conn, place, found.revision)
                    migrate(conn)
                    if place.path is not None:
                        _check_references(conn, place)
                    after = lifecycle.facts(conn).revision
        return Upgraded(found.revision, after, backup)
    finally:
        shut(engines, gate)


def _look(place: Place, engine: Engine, state_dir: Path, deployment: str | None) -> Facts | None:
    found = lifecycle.look(place, engine)
    if found is not None:
        admit.refuse_newer(found, place)
        admit.admit_owner(found, place, deployment=deployment, state_dir=state_dir)
    return found


def _back_up(path: Path, found: Facts) -> str:
    try:
        return str(back_up_file(path, found.revision))
    except OSError as error:
        raise StoreError(
            f"the backup before the upgrade failed: {error.strerror}",
            code="SY0435",
            where=str(path),
            hint="The folder must have room for a copy of the state. Nothing was changed.",
        ) from error


def _check_references(conn: Connection, place: Place) -> None:
    broken = conn.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken is not None:
        raise StoreRefused(
            f"the upgrade would leave a broken reference in table {broken[0]}",
            code="SY0435",
            where=place.name,
            hint="Nothing was changed. Keep the older syncd and report this.",
        )
