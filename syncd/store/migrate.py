"""Moving a store's schema forward, and keeping what was there before."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, text

import syncd_migrations
from syncd.errors import StoreRefused
from syncd.store.connect import Place
from syncd.store.sidecar import sync_folder

# Where revisions are looked for.
LOCATIONS = (str(Path(str(syncd_migrations.__file__)).parent / "versions"),)


def migrate(conn: Connection) -> None:
    """Every missing revision, inside the transaction that is open on `conn`."""
    # Alembic takes a fifth of a second to import; only rare commands pay for it.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "syncd_migrations:")
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", "\n".join(LOCATIONS))
    config.attributes["connection"] = conn
    command.upgrade(config, "head")


def back_up_file(path: Path, revision: str) -> Path:
    """Copy a SQLite store, log included, to `<file>.<revision>.bak`: whole, or not at all."""
    kept = path.with_name(f"{path.name}.{revision}.bak")
    fresh = kept.with_name(kept.name + ".new")
    fresh.unlink(missing_ok=True)
    os.close(os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(fresh)) as copy:
        source.execute("PRAGMA query_only=ON")
        source.backup(copy)
        # A backup stands alone: no log of its own beside it.
        copy.execute("PRAGMA journal_mode=DELETE")
    handle = os.open(fresh, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    fresh.replace(kept)
    sync_folder(path.parent)
    return kept


def back_up_schema(conn: Connection, place: Place, revision: str) -> str:
    """Copy every table of a PostgreSQL store into a schema beside it, in this transaction."""
    kept = f"{place.schema}_{revision}_bak"
    there = conn.execute(
        text("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = :name"), {"name": kept}
    ).first()
    if there is not None:
        raise StoreRefused(
            f"a backup of schema {revision} is there already: {kept}",
            code="SY0435",
            where=place.name,
            hint=f"Drop schema {kept} if it is not needed any more, or make a backup with pg_dump "
            "and give --no-backup.",
        )
    conn.exec_driver_sql(f'CREATE SCHEMA "{kept}"')
    tables = conn.execute(
        text("SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = :schema ORDER BY 1"),
        {"schema": place.schema},
    )
    for (table,) in tables.all():
        conn.exec_driver_sql(f'CREATE TABLE "{kept}"."{table}" AS TABLE "{place.schema}"."{table}"')
    return kept
