"""What a run knows of each member's record of some entities: the planner's `reads`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from syncd.core.model import Entity, Link, LinkState, Read, ReadStatus
from syncd.engine.context import RunContext
from syncd.engine.pull import Pulled
from syncd.errors import SyncdError
from syncd.store.stage import Seen

ByKey = Mapping[tuple[str, str], Seen]  # (member, key) → what the stage has of it
Fetched = Mapping[tuple[str, str], Read]

# Of a member that answered without a single record: what is not there may be anywhere (law 16)
_EMPTY = Read(ReadStatus.UNREAD, reason="not a single record was read there")

# One that is not found may be one of many, and all of them: only a listing tells (law 16)
_UNLISTED = Read(ReadStatus.UNREAD, reason="it was not found, and the keys there were not listed")


def by_key(rows: Sequence[Seen]) -> dict[tuple[str, str], Seen]:
    """A key that was set aside stays so, whatever else was staged under it."""
    found: dict[tuple[str, str], Seen] = {}
    for row in rows:
        old = found.get((row.member, row.key))
        if old is None or old.status != "bad":
            found[row.member, row.key] = row
    return found


def reads(
    context: RunContext,
    entity: Entity,
    rows: ByKey,
    fetched: Fetched,
    blocked: bool,
) -> dict[str, Read]:
    """One read for every member of the flow."""
    return {
        name: _read(context, name, entity, rows, fetched, blocked) for name in context.rules.members
    }


def _read(
    context: RunContext,
    name: str,
    entity: Entity,
    rows: ByKey,
    fetched: Fetched,
    blocked: bool,
) -> Read:
    pulled = context.pulled.get(name)
    if pulled is None or not pulled.read:
        why = pulled.error.message if pulled and pulled.error else "not read"
        return Read(ReadStatus.UNREAD, reason=why)
    shows = context.begun.shows.get(name)
    searched = (pulled.complete or pulled.searched) and not blocked and not pulled.empty
    link = entity.links.get(name)
    if link is None:
        return Read(ReadStatus.SAME, None, pulled.tick, searched, shows=shows)
    if (name, link.key) in fetched:
        return fetched[name, link.key]
    row = rows.get((name, link.key))
    if row is not None and row.status in ("bad", "unread"):
        return Read(ReadStatus.UNREAD, reason=row.reason)
    if pulled.empty and (row is None or row.status == "missing"):
        return _EMPTY
    if row is not None and row.status == "missing":
        return Read(ReadStatus.MISSING, None, pulled.tick, searched, shows=shows)
    if row is not None:
        return Read(ReadStatus.SEEN, row.record, pulled.tick, searched, shows=shows)
    return Read(ReadStatus.SAME, None, pulled.tick, searched, shows=shows)


def fetch(
    context: RunContext, entities: Sequence[Entity], rows: ByKey
) -> dict[tuple[str, str], Read]:
    """Records that this run has not read although it plans for them: read now, by key. After a
    full read there are none."""
    wanted: dict[str, list[Link]] = {}
    for entity in entities:
        for name, link in entity.links.items():
            pulled = context.pulled.get(name)
            if pulled is None or not pulled.read or pulled.complete:
                continue
            if link.state is LinkState.LIVE and (name, link.key) not in rows:
                wanted.setdefault(name, []).append(link)
    found: dict[tuple[str, str], Read] = {}
    for name, links in wanted.items():
        found.update(_fetch(context, name, links, context.pulled[name]))
    return found


def _fetch(
    context: RunContext, name: str, links: Sequence[Link], pulled: Pulled
) -> dict[tuple[str, str], Read]:
    reader = context.readers[name]
    with context.store.read() as conn:
        tick = context.store.last_tick(conn)
    shows = context.begun.shows.get(name)
    searched = pulled.searched and not pulled.empty
    try:
        rows = {row.key: row for row in reader.endpoint.get([link.key for link in links])}
    except SyncdError as error:
        unread = Read(ReadStatus.UNREAD, reason=error.message)
        return {(name, link.key): unread for link in links}
    found: dict[tuple[str, str], Read] = {}
    for link in links:
        row = rows.get(link.key)
        if row is None or row.deleted:
            if pulled.unlisted:
                context.unlisted.add(name)
                found[name, link.key] = _UNLISTED
            elif pulled.empty:
                found[name, link.key] = _EMPTY
            else:
                found[name, link.key] = Read(ReadStatus.MISSING, None, tick, searched, shows=shows)
            continue
        record, complaint = reader.record(row, None, link.fingerprint)
        found[name, link.key] = (
            Read(ReadStatus.UNREAD, reason=complaint)
            if complaint
            else Read(ReadStatus.SEEN, record, tick, searched, shows=shows)
        )
    return found
