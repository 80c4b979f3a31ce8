"""`syncd state doctor`: everything that can be told about a store by looking at it.

It reads only. What it finds is worded for the person who must decide; `code` is permanent.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, text

import syncd_migrations
from syncd.store import lease, sidecar
from syncd.store.database import Store, wal_size
from syncd.store.lifecycle import facts

_SOUND_SQLITE = (3, 51, 3)
_LARGE_LOG = 64 << 20
_LITTLE_ROOM = 200 << 20


class Level(StrEnum):
    OK = "ok"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    level: Level
    code: str
    text: str
    hint: str = ""


def doctor(store: Store, boot: str = "") -> list[Finding]:
    """In a fixed order, the good news included. boot: this host's (`Holder.boot`), if known."""
    with store.read() as conn:
        engine = _sqlite if store.place.path is not None else _postgresql
        found = [
            finding
            for look in (engine, _identity, _counters, _relinking, _orphans, _unsettled)
            for finding in look(store, conn)
        ]
    return [*found, *_leases(store, boot)]


def _sqlite(store: Store, conn: Connection) -> Iterator[Finding]:
    path = store.place.path
    assert path is not None
    broken = [str(row[0]) for row in conn.exec_driver_sql("PRAGMA integrity_check(20)")]
    if broken == ["ok"]:
        yield Finding(Level.OK, "SY0450", "the file is whole (full integrity check)")
    else:
        yield Finding(
            Level.ERROR,
            "SY0450",
            f"the file is damaged: {'; '.join(broken)}",
            "Restore a backup, or run `syncd state rebuild`.",
        )
    if (table := conn.exec_driver_sql("PRAGMA foreign_key_check").first()) is not None:
        yield Finding(Level.ERROR, "SY0451", f"table {table[0]} refers to rows that are gone")
    mode = str(conn.exec_driver_sql("PRAGMA journal_mode").scalar_one())
    if mode != "wal":
        yield Finding(
            Level.WARNING,
            "SY0452",
            f"the file is in journal mode {mode}: readers and the writer wait for each other",
            f'Stop syncd and run: sqlite3 {path} "PRAGMA journal_mode=WAL"',
        )
    if sqlite3.sqlite_version_info < _SOUND_SQLITE:
        yield Finding(
            Level.INFO,
            "SY0453",
            f"SQLite {sqlite3.sqlite_version} can damage a database when two connections write "
            "at once; syncd keeps every write and checkpoint under one lock",
            "Let no other program write to this file, or use SQLite 3.51.3 or newer.",
        )
    if (size := wal_size(store.place)) > _LARGE_LOG:
        yield Finding(
            Level.WARNING,
            "SY0454",
            f"the write-ahead log has {size >> 20} MB: a reader has kept it from being emptied",
            "Look for a long-running or stopped process that has the file open.",
        )
    usage = shutil.disk_usage(path.parent)
    if usage.free < max(_LITTLE_ROOM, path.stat().st_size):
        yield Finding(
            Level.WARNING,
            "SY0455",
            f"only {usage.free >> 20} MB are free on the disk of the state",
            "A run stops when the state cannot be written; an upgrade needs room for a copy.",
        )


def _postgresql(store: Store, conn: Connection) -> Iterator[Finding]:
    yield Finding(
        Level.OK, "SY0450", f"PostgreSQL {conn.exec_driver_sql('SHOW server_version').scalar()}"
    )
    for setting in ("fsync", "full_page_writes"):
        if conn.exec_driver_sql(f"SHOW {setting}").scalar_one() == "off":
            yield Finding(
                Level.WARNING,
                "SY0452",
                f"the server runs with {setting} = off: a power cut can take back what was "
                "recorded, and then the state is older than the systems",
                f"Set {setting} = on.",
            )


def _identity(store: Store, conn: Connection) -> Iterator[Finding]:
    said = facts(conn)
    newest = syncd_migrations.REVISIONS[-1]
    if said.revision == newest:
        yield Finding(Level.OK, "SY0456", f"schema {said.revision}, deployment {said.deployment}")
    else:
        yield Finding(
            Level.ERROR,
            "SY0456",
            f"schema {said.revision}, but this syncd works with {newest}",
            "Run `syncd state upgrade` if it is older, a newer syncd if it is not.",
        )


def _counters(store: Store, conn: Connection) -> Iterator[Finding]:
    tick = store.last_tick(conn)
    known = sidecar.read(store.state_dir, store.deployment)
    if known is None or known.tick > tick:
        came = "nothing" if known is None else str(known.tick)
        yield Finding(
            Level.ERROR,
            "SY0457",
            f"the state stands at {tick}, {store.state_dir} knows of {came}",
            "Run `syncd state rebuild` if it was restored from a backup.",
        )
        return
    yield Finding(Level.OK, "SY0457", f"the state stands at {tick}, as far as this machine knows")
    yield Finding(
        Level.INFO,
        "SY0458",
        f"were the state and {store.state_dir} restored together, from one backup, only receipts "
        "kept in the systems would tell",
        "Grant `receipts = true` where you can; after such a restore run `syncd state rebuild`.",
    )


def _relinking(store: Store, conn: Connection) -> Iterator[Finding]:
    rebuilt = facts(conn).rebuilt
    query = (
        "SELECT name FROM flow WHERE relink OR (:rebuilt <> '' AND NOT EXISTS (SELECT 1 FROM meta "
        "WHERE meta.key = 'relinked:' || flow.name AND meta.value = :rebuilt)) ORDER BY name"
    )
    for (name,) in conn.execute(text(query), {"rebuilt": rebuilt}):
        yield Finding(
            Level.WARNING,
            "SY0459",
            f"flow {name} was rebuilt: it links, and neither creates nor deletes",
            "Look at `syncd links list` and at the plan, then confirm the flow.",
        )


def _count(
    code: str, level: Level, sql: str, says: str, hint: str
) -> Callable[..., Finding | None]:
    def look(conn: Connection) -> Finding | None:
        number = int(conn.execute(text(sql)).scalar_one())
        return Finding(level, code, says.format(n=number), hint) if number else None

    return look


_REPORT = "This should never be; keep a copy of the state and report it."

_ORPHANS = (
    _count(
        "SY0460",
        Level.ERROR,
        "SELECT count(*) FROM link LEFT JOIN entity ON entity.id = link.entity_id "
        "WHERE entity.id IS NULL",
        "{n} links belong to no entity",
        _REPORT,
    ),
    _count(
        "SY0461",
        Level.WARNING,
        "SELECT count(*) FROM entity WHERE state = 'live' AND NOT EXISTS "
        "(SELECT 1 FROM link WHERE link.entity_id = entity.id) AND NOT EXISTS "
        "(SELECT 1 FROM tombstone WHERE tombstone.entity_id = entity.id)",
        "{n} entities have no link at all",
        "They stand for nothing; the next full run links or leaves them.",
    ),
    _count(
        "SY0462",
        Level.ERROR,
        "SELECT count(*) FROM (SELECT 1 FROM link GROUP BY entity_id, member_id "
        "HAVING count(*) > 1) AS twice",
        "{n} entities have two live links in one member",
        _REPORT,
    ),
    _count(
        "SY0463",
        Level.ERROR,
        "SELECT count(*) FROM link LEFT JOIN member ON member.id = link.member_id "
        "WHERE member.id IS NULL",
        "{n} links belong to no member",
        _REPORT,
    ),
    _count(
        "SY0464",
        Level.WARNING,
        "SELECT count(*) FROM match_key LEFT JOIN entity ON entity.id = match_key.entity_id "
        "WHERE entity.id IS NULL",
        "{n} match keys point at no entity",
        _REPORT,
    ),
)


def _orphans(store: Store, conn: Connection) -> Iterator[Finding]:
    found = [finding for look in _ORPHANS if (finding := look(conn)) is not None]
    yield from found or [Finding(Level.OK, "SY0460", "links, entities and members fit together")]


def _unsettled(store: Store, conn: Connection) -> Iterator[Finding]:
    rows = conn.execute(
        text(
            "SELECT flow.name, operation.state, count(*) FROM operation "
            "JOIN flow ON flow.id = operation.flow_id "
            "WHERE operation.state IN ('planned', 'sent', 'unknown') "
            "GROUP BY flow.name, operation.state ORDER BY flow.name, operation.state"
        )
    )
    for name, state, number in rows:
        yield Finding(
            Level.INFO if state == "planned" else Level.WARNING,
            "SY0465",
            f"flow {name}: {number} operations are {state}",
            "A run is at work, or the next one settles them.",
        )


def _leases(store: Store, boot: str) -> Iterator[Finding]:
    for one in lease.held(store, boot):
        if one.ended:
            yield Finding(
                Level.WARNING,
                "SY0466",
                f"flow {one.flow}: {one.holder} left without giving it back",
                "The next run takes it over.",
            )
        else:
            yield Finding(
                Level.INFO,
                "SY0466",
                f"flow {one.flow}: held by {one.holder} until {one.expires_at}",
            )
