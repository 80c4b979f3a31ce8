"""Where a store is, how its connections behave, and what its drivers' errors mean here."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from syncd.errors import ConfigError, StoreBusy, StoreError, StoreRefused, StoreUnwritable
from syncd.store import disk

# Written into the header of a SQLite store, so that nobody's database is taken for one.
APPLICATION_ID = 0x73796E64  # "synd"

_READERS = 16
_STATEMENTS = 512  # that a connection keeps ready; the driver's 128 are fewer than a run has
_SCHEMA = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,40}")

# Codes of two refusals that `state rebuild` tells apart.
NOT_OURS = "SY0404"
DAMAGED = "SY0405"

_UNWRITABLE = "the state cannot be written"
_MAKE_ROOM = (
    "Free disk space or mend the disk's permissions, then run again; nothing was sent that the "
    "state does not know of."
)
# Refusals that PostgreSQL gives while connecting come as text only.
_NOT_LET_IN = re.compile(
    "authentication failed|no password supplied|no pg_hba.conf entry|"
    r"(role|database) .* does not exist|is not permitted to log in"
)


@dataclass(frozen=True)
class Place:
    """path: of the SQLite file; schema: of the PostgreSQL database. One of them is set.

    name  the address without its password, for messages and sidecar files
    """

    url: URL
    name: str
    path: Path | None = None
    schema: str | None = None

    @cached_property
    def log(self) -> Path:
        """The write-ahead log of the SQLite file."""
        return Path(f"{self.path}-wal")


def locate(url: str, base: Path) -> Place:
    """`base` is the folder of a relative SQLite path. Raises ConfigError."""
    try:
        parsed = make_url(url)
        if "@" in (parsed.host or ""):  # the rest of a password
            raise ArgumentError
    except ArgumentError:
        # The text is not shown: it may hold a password.
        raise _unusable("is not a database URL") from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        name = parsed.database
        if not name or name == ":memory:" or name.startswith("file:"):
            raise _unusable("names no file; state in memory would forget what was synced")
        path = (base / Path(name).expanduser()).resolve()
        return Place(URL.create("sqlite", database=str(path)), f"sqlite:///{path}", path=path)
    if backend == "postgresql":
        schema = parsed.query.get("schema", "syncd")
        if not isinstance(schema, str) or not _SCHEMA.fullmatch(schema):
            raise _unusable("has a schema that is not a plain name")
        parsed = parsed.set(drivername="postgresql+psycopg").difference_update_query(["schema"])
        # Only what tells one database from another; a query may hold a password too.
        kept = {key: parsed.query[key] for key in ("host", "port") if key in parsed.query}
        shown = parsed.set(drivername="postgresql", password=None, query={**kept, "schema": schema})
        return Place(parsed, shown.render_as_string(), schema=schema)
    raise _unusable(f"is of {backend}, which cannot hold the state")


def _unusable(what: str) -> ConfigError:
    return ConfigError(
        f"the state's url {what}",
        code="SY0190",
        where="state.url",
        hint='Use "sqlite:///state.db" or "postgresql://user@host/database?schema=syncd".',
    )


def readers(place: Place, patience: float) -> Engine:
    """Connections that cannot write; each transaction sees one moment of the store."""
    return _engine(place, patience, writing=False)


def writer(place: Place, patience: float) -> Engine:
    """One connection, which takes the write lock with BEGIN."""
    return _engine(place, patience, writing=True)


def _engine(place: Place, patience: float, *, writing: bool) -> Engine:
    # Connections are kept until the engine is disposed of: closing the last one of a SQLite
    # database checkpoints it, and that must happen under the file lock.
    pool = {
        "pool_size": 1 if writing else _READERS,
        "max_overflow": 0,
        "pool_timeout": patience,
        "hide_parameters": True,
    }
    if place.path is not None:
        engine = create_engine(
            place.url.set(drivername="sqlite+syncd_writer" if writing else "sqlite+syncd_reader"),
            connect_args={
                "timeout": patience,
                "check_same_thread": False,
                "cached_statements": _STATEMENTS,
            },
            **pool,
        )
        event.listen(engine, "connect", _tune_writer if writing else _tune_reader)
        return engine
    options = [
        f"search_path={place.schema}",
        f"lock_timeout={int(patience * 1000)}",
        "synchronous_commit=on",
        "timezone=UTC",
    ]
    if not writing:
        options.append("default_transaction_read_only=on")
    given = place.url.query.get("options", "")
    return create_engine(
        place.url.difference_update_query(["options"]),
        connect_args={
            "options": " ".join([str(given), *(f"-c {option}" for option in options)]).strip(),
            "connect_timeout": max(2, int(patience)),
            "application_name": "syncd",
        },
        isolation_level="READ COMMITTED" if writing else "REPEATABLE READ",
        pool_pre_ping=True,
        **pool,
    )


def _tune_writer(connection: sqlite3.Connection, record: object) -> None:
    _tune(connection)
    # FULL: a journalled operation is on the disk before its effect is sent.
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA journal_size_limit=16777216")


def _tune_reader(connection: sqlite3.Connection, record: object) -> None:
    _tune(connection)
    connection.execute("PRAGMA query_only=ON")


def _tune(connection: sqlite3.Connection) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA cache_size=-8192")
    connection.execute("PRAGMA mmap_size=0")
    connection.execute("PRAGMA wal_autocheckpoint=0")


class _Reading(SQLiteDialect_pysqlite):
    """Says BEGIN where SQLAlchemy begins: a listener to that would be looked for at every
    statement."""

    supports_statement_cache = True
    begin = "BEGIN"

    def do_begin(self, dbapi_connection: Any) -> None:
        dbapi_connection.execute(self.begin)


class _Writing(_Reading):
    supports_statement_cache = True
    begin = "BEGIN IMMEDIATE"


registry.register("sqlite.syncd_reader", __name__, _Reading.__name__)
registry.register("sqlite.syncd_writer", __name__, _Writing.__name__)


@contextmanager
def translated(place: Place) -> Iterator[None]:
    """Whatever a driver raises inside leaves as one of our errors, without values or secrets."""
    try:
        yield
    except DBAPIError as error:
        raise translate(error, place) from error
    except PoolTimeout as error:
        raise StoreBusy(
            "every connection to the state is in use", where=place.name, hint="Try again."
        ) from error
    except sqlite3.Error as error:
        raise translate(error, place) from error


def translate(error: Exception, place: Place) -> StoreError:
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        return _from_sqlite(cause, place)
    if isinstance(cause, OSError):
        return disk.refused(_UNWRITABLE, cause, where=place.name, hint=_MAKE_ROOM)
    return _from_postgresql(cause, place, lost=getattr(error, "connection_invalidated", False))


def is_no_database(error: DBAPIError) -> bool:
    """Whether SQLite says that the file is something else."""
    return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_NOTADB


def _from_sqlite(error: sqlite3.Error, place: Place) -> StoreError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    match code:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return _busy("another program holds the state's write lock", place)
        case sqlite3.SQLITE_FULL | sqlite3.SQLITE_IOERR:
            return _unwritable(StoreUnwritable, str(error), place)
        case (
            sqlite3.SQLITE_READONLY
            | sqlite3.SQLITE_CANTOPEN
            | sqlite3.SQLITE_PERM
            | sqlite3.SQLITE_AUTH
        ):
            return _unwritable(StoreError, str(error), place)
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return corrupt(str(error), place)
    # SQLite's own words name tables and columns, never values.
    return StoreError(f"the state refused a statement: {error}", code="SY0438", where=place.name)


def _from_postgresql(cause: Any, place: Place, *, lost: bool) -> StoreError:
    diagnosis = getattr(cause, "diag", None)
    state = getattr(cause, "sqlstate", None) or ""
    # The primary message only: DETAIL holds values of records.
    text = getattr(diagnosis, "message_primary", None) or _why(cause, place)
    if state in {"53100", "58030"}:
        return _unwritable(StoreUnwritable, text, place)
    if state in {"55P03", "40001", "40P01", "57014"}:
        return _busy(f"the state was locked for too long: {text}", place)
    if state.startswith(("28", "3D")) or (not state and _NOT_LET_IN.search(text)):
        return StoreRefused(
            f"the state's database does not let us in: {text.rpartition('FATAL:')[2].strip()}",
            code="SY0436",
            where=place.name,
            hint="Check user, password and database of [state] url.",
        )
    if state == "42501":
        return StoreRefused(
            f"a privilege is missing on the state: {text}",
            code="SY0436",
            where=place.name,
            hint=f"Grant the user all privileges on schema {place.schema}, or CREATE on the "
            "database if the schema is not there yet.",
        )
    if state in {"XX001", "XX002"}:
        return corrupt(text, place)
    if lost or state.startswith(("08", "57P", "53")) or not state:
        return StoreBusy(
            f"the state's database is not reachable: {text}",
            code="SY0434",
            where=place.name,
            hint="See that the server runs, and that host, port and network in [state] url are "
            "right; nothing was lost.",
        )
    return StoreError(f"the state refused a statement: {text}", code="SY0438", where=place.name)


def _why(cause: Any, place: Place) -> str:
    """What a connection that did not come about says, one line of it, without the password."""
    said = str(cause).partition("\n")[0].strip()
    said = said.removeprefix("connection failed: ").removeprefix("connection is bad: ")
    secrets = (place.url.password, place.url.query.get("password"))
    if not said or any(secret and str(secret) in said for secret in secrets):
        return type(cause).__name__
    return said[:200]


def corrupt(text: str, place: Place) -> StoreRefused:
    return StoreRefused(
        f"the state is damaged: {text}",
        code=DAMAGED,
        where=place.name,
        hint="Restore a backup of it, or run `syncd state rebuild`: it keeps the damaged one "
        "aside and links the records anew; nothing is deleted or created without you.",
    )


def _busy(text: str, place: Place) -> StoreBusy:
    return StoreBusy(text, where=place.name, hint="Try again in a moment.")


def _unwritable(kind: type[StoreError], text: str, place: Place) -> StoreError:
    return kind(f"{_UNWRITABLE}: {text}", code="SY0432", where=place.name, hint=_MAKE_ROOM)
