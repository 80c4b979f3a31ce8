"""Records that a complete listing did not show, where a listing is no single transaction.

One such listing proves nothing: a record may merely have moved past it. Two in a row do (law 6).
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, select

from syncd.store import bulk, tables
from syncd.store.flows import names

_M = tables.missed.c
_SINCE = select(_M.key, _M.tick).where(
    _M.member_id == bindparam("member"), bulk.among(_M.key, "keys")
)
_FORGET = tables.missed.delete().where(
    _M.member_id == bindparam("member"), _M.run_id < bindparam("run")
)


def since(conn: Connection, flow: int, member: str, keys: Sequence[str]) -> dict[str, int]:
    """Those of the records that the last complete listing did not show either, and at which tick
    they were first missed."""
    number = names(conn, flow).ids.get(member)
    found: dict[str, int] = {}
    for part in bulk.chunks(keys):
        rows = conn.execute(_SINCE, {"member": number, "keys": part})
        found.update((str(key), int(tick)) for key, tick in rows)
    return found


def note(
    conn: Connection, flow: int, member: str, keys: Sequence[str], *, run: int, tick: int
) -> None:
    """A complete listing did not show these."""
    number = names(conn, flow).ids[member]
    known = since(conn, flow, member, keys)
    bulk.update(
        conn,
        tables.missed,
        ("member_id", "key"),
        ("run_id",),
        [(number, key, run) for key in keys if key in known],
    )
    bulk.insert(
        conn,
        tables.missed,
        ("member_id", "key", "run_id", "tick"),
        [(number, key, run, tick) for key in keys if key not in known],
    )


def forget(conn: Connection, flow: int, member: str, *, run: int) -> None:
    """After a complete listing: what it showed again, or what is linked no more."""
    conn.execute(_FORGET, {"member": names(conn, flow).ids[member], "run": run})
