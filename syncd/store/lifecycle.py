"""Which stores are opened: what stands at the address, whether it is ours, how one begins.

look    what is there, without changing anything
create  a new store at an empty address
admit   the refusals: each says the way out
adopt   a person says: the state of this address belongs to this machine
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from sqlalchemy import Connection, Engine, column, select, table, text
from sqlalchemy.exc import DBAPIError

from syncd.errors import StoreRefused
from syncd.seams import Seams
from syncd.store import connect, sidecar
from syncd.store.connect import APPLICATION_ID, NOT_OURS, Place, corrupt, translated
from syncd.store.disk import refused
from syncd.store.migrate import migrate


@dataclass(frozen=True, slots=True)
class Facts:
    """What a store says of itself. rebuilt: when it took a lost one's place, "" if it did not."""

    revision: str
    deployment: str
    tick: int
    rebuilt: str = ""


def look(place: Place, engine: Engine) -> Facts | None:
    """None where there is nothing yet. Raises StoreRefused for what is there but is no store."""
    if place.path is not None and not _is_there(place.path):
        return None
    with translated(place):
        try:
            with engine.connect() as conn:
                return _described(conn, place)
        except DBAPIError as error:
            if connect.is_no_database(error):
                raise _not_ours(place) from error
            raise


def _described(conn: Connection, place: Place) -> Facts | None:
    names = _tables(conn, place)
    if not names:
        return None
    if "alembic_version" not in names or "meta" not in names:
        raise _not_ours(place)
    try:
        return facts(conn)
    except LookupError as error:
        raise corrupt("it lacks its own description", place) from error


_VERSION, _META, _COUNTER = (
    table("alembic_version", column("version_num")),
    table("meta", column("key"), column("value")),
    table("counter", column("name"), column("value")),
)
_FACTS = select(
    select(_VERSION.c.version_num).scalar_subquery(),
    select(_META.c.value).where(_META.c.key == "deployment").scalar_subquery(),
    select(_COUNTER.c.value).where(_COUNTER.c.name == "tick").scalar_subquery(),
    select(_META.c.value).where(_META.c.key == "rebuilt").scalar_subquery(),
)


def facts(conn: Connection) -> Facts:
    """Of a store of any age. Raises LookupError where it does not say."""
    revision, deployment, tick, rebuilt = conn.execute(_FACTS).one()
    if revision is None or deployment is None or tick is None:
        raise LookupError("a state without its own description")
    return Facts(str(revision), str(deployment), int(tick), str(rebuilt or ""))


def _is_there(path: Path) -> bool:
    """False for no file or an empty one. Nothing but SQLite opens the file: a process that closes a
    file gives up every lock it has on it, those of its connections too."""
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False
    except OSError as error:
        raise refused(
            "the state cannot be read",
            error,
            where=str(path),
            hint="The file must be readable and writable by the user that runs syncd.",
        ) from error


def _tables(conn: Connection, place: Place) -> set[str]:
    if place.path is not None:
        mark = conn.exec_driver_sql("PRAGMA application_id").scalar_one()
        found = conn.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'")
        names = {str(name) for (name,) in found}
        if names and mark != APPLICATION_ID:
            raise _not_ours(place)
        return names
    found = conn.execute(
        text("SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = :schema"),
        {"schema": place.schema},
    )
    return {str(name) for (name,) in found}


def _not_ours(place: Place) -> StoreRefused:
    return StoreRefused(
        "this is not a syncd state"
        + ("" if place.path else f": schema {place.schema} has others' tables"),
        code=NOT_OURS,
        where=place.name,
        hint="Give [state] url a file (or a schema) of its own; this one is left untouched.",
    )


def create(
    place: Place,
    engine: Engine,
    *,
    deployment: str | None,
    state_dir: Path,
    seams: Seams,
    tick: int = 0,
    rebuilt: str = "",
) -> Facts:
    """Makes the store, or leaves the address empty. The caller holds the file lock (SQLite).

    The counter file comes first: a store that nobody knows would be refused as another's.
    """
    if place.path is not None:
        _touch(place.path)
    with translated(place), engine.connect() as conn:
        if place.path is not None:
            raw = conn.connection.driver_connection
            assert raw is not None
            raw.execute("PRAGMA journal_mode=WAL")
        with conn.begin():
            if place.path is not None:
                conn.exec_driver_sql(f"PRAGMA application_id={APPLICATION_ID}")
            else:
                exclusive(conn, place)
                _make_schema(conn, place)
            if not _tables(conn, place):
                name = sidecar.checked_name(
                    deployment or _begun(place, state_dir) or seams.ids.new()
                )
                sidecar.write(state_dir, sidecar.Sidecar(name, tick, place.name))
                migrate(conn)
                conn.execute(
                    text("INSERT INTO meta (key, value) VALUES (:key, :value)"),
                    [{"key": "deployment", "value": name}, {"key": "rebuilt", "value": rebuilt}],
                )
                conn.execute(
                    text("INSERT INTO counter (name, value) VALUES ('tick', :tick)"),
                    {"tick": tick},
                )
            made = facts(conn)
    return made


def _begun(place: Place, state_dir: Path) -> str | None:
    """The name that a creation, stopped on its way, had given."""
    for seen in sidecar.known(state_dir):
        if seen.store == place.name and seen.tick == 0:
            return seen.deployment
    return None


def make_folder(place: Place) -> None:
    """The folder of a SQLite store, before anything is locked in it."""
    if place.path is None:
        return
    try:
        place.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise refused(
            "the folder of the state cannot be created",
            error,
            where=str(place.path.parent),
            hint="Create it, writable by the user that runs syncd, or change [state] url.",
        ) from error


def _touch(path: Path) -> None:
    """The state holds records: nobody else reads it. A file that is there is left closed."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise refused(
            "the state cannot be created",
            error,
            where=str(path),
            hint="The folder must exist and be writable by the user that runs syncd.",
        ) from error


def _make_schema(conn: Connection, place: Place) -> None:
    there = conn.execute(
        text("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = :schema"),
        {"schema": place.schema},
    ).first()
    if there is None:
        conn.exec_driver_sql(f'CREATE SCHEMA "{place.schema}"')


def lock_key(place: Place) -> int:
    digest = blake2b(f"syncd:{place.schema}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def exclusive(conn: Connection, place: Place) -> None:
    """PostgreSQL: nobody else writes to this store until the transaction ends."""
    conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": lock_key(place)})


def adopt(url: str, *, state_dir: Path, base: Path | None = None, patience: float = 20.0) -> Facts:
    """Makes the state at `url` this machine's own, as it stands. Raises StoreRefused."""
    place = connect.locate(url, base or state_dir)
    engine = connect.readers(place, patience)
    try:
        found = look(place, engine)
    finally:
        engine.dispose()
    if found is None:
        raise StoreRefused(
            "there is no state to adopt", code="SY0403", where=place.name, hint="Check [state] url."
        )
    sidecar.write(state_dir, sidecar.Sidecar(found.deployment, found.tick, place.name))
    return found
