"""Where every record stands, in five words: in step, pending, conflict, held, quarantined.

Counted from the store alone, so it can be told while systems are down. Each record of a member
has one of them, the gravest that is true of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, func, select
from sqlalchemy import text as sql

from syncd.core.model import LinkState
from syncd.store import bulk, codec, tables
from syncd.store.flows import names
from syncd.store.links import agreed_values

IN_STEP = "in step"
PENDING = "pending"
CONFLICT = "conflict"
HELD = "held"
QUARANTINED = "quarantined"
WORDS = (IN_STEP, PENDING, CONFLICT, HELD, QUARANTINED)


@dataclass(frozen=True, slots=True)
class Standing:
    """Of one member: how many records each word is true of. unknown: operations whose outcome is
    not known; they are among the pending."""

    member: str
    counts: dict[str, int]
    unknown: int = 0


def standing(conn: Connection, flow: int) -> dict[str, Standing]:
    """By member. Reads every link that is not simply in step; the others it only counts."""
    known = names(conn, flow)
    live = _live(conn, list(known.members))
    conflict, held = _in_conflict(conn, flow), _held(conn, flow)
    refused = _refused(conn, flow)
    unknown = _unknown(conn, flow)
    grave: dict[int, dict[int, str]] = {number: {} for number in known.members}
    for member, entity in _links_of(conn, set(conflict) | set(held)):
        if member in grave:
            grave[member][entity] = HELD if entity in held else CONFLICT
    for member_name, entity in held_targets(conn, flow):
        number = known.ids.get(member_name)
        if number is not None:
            grave[number][entity] = HELD
    unlinked: dict[int, set[str | None]] = {}
    for member, entity, key in refused:
        if entity:
            grave.setdefault(member, {})[entity] = QUARANTINED
        else:
            unlinked.setdefault(member, set()).add(key)
    behind: Counter[int] = Counter()
    for member, entity in _behind(conn, list(known.members)):
        if entity not in grave[member]:
            behind[member] += 1
    found = {}
    for number, name in known.members.items():
        words = Counter(grave[number].values())
        words[QUARANTINED] += len(unlinked.get(number, ()))
        linked = set(_linked(conn, number, list(grave[number])))
        rest = max(0, live.get(number, 0) - len(linked) - behind[number])
        counts = {IN_STEP: rest, PENDING: behind[number]}
        counts |= {word: words[word] for word in WORDS[2:]}
        found[name] = Standing(name, counts, unknown.get(number, 0))
    return found


def held_targets(conn: Connection, flow: int) -> Iterator[tuple[str, int]]:
    """(member, entity) of every operation held; creates of new records are entity 0."""
    hold, item = tables.hold.c, tables.hold_item.c
    rows = conn.execute(
        select(item.member, item.entity_id)
        .join(tables.hold, hold.id == item.hold_id)
        .where(hold.flow_id == flow, hold.state == "open", item.state == "held")
    )
    for member, entity in rows:
        yield str(member), int(entity)


def last_runs(conn: Connection, flow: int) -> tuple[str | None, str | None, str | None]:
    """Times of the last attempt, the last success, and the last run that changed anything."""
    run = tables.run.c
    attempt = conn.execute(select(func.max(run.started_at)).where(run.flow_id == flow)).scalar()
    success = conn.execute(
        select(func.max(run.ended_at)).where(run.flow_id == flow, run.state == "done")
    ).scalar()
    audit = tables.audit.c
    change = conn.execute(
        select(audit.at)
        .where(
            audit.flow_id == flow,
            audit.outcome == "applied",
            audit.kind.in_(["create", "update", "delete", "archive"]),
        )
        .order_by(audit.id.desc())
        .limit(1)
    ).scalar()
    return attempt, success, change


def _live(conn: Connection, members: list[int]) -> dict[int, int]:
    link = tables.link.c
    rows = conn.execute(
        select(link.member_id, func.count())
        .where(link.member_id.in_(members), link.state == LinkState.LIVE.value)
        .group_by(link.member_id)
    )
    return {int(member): int(n) for member, n in rows}


def _behind(conn: Connection, members: list[int]) -> Iterator[tuple[int, int]]:
    """Live links with a field whose base is behind what is agreed. A link without explicit bases
    is in step."""
    link = tables.link.c
    for member in members:
        last = ""
        while True:
            rows = conn.execute(
                select(link.key, link.entity_id, link.base)
                .where(
                    link.member_id == member,
                    link.key > last,
                    link.state == LinkState.LIVE.value,
                    link.base.is_not(None),
                )
                .order_by(link.key)
                .limit(bulk.CHUNK)
            ).all()
            explicit = [(row.entity_id, codec.loads(row.base).get("!")) for row in rows]
            odd = {entity: bases for entity, bases in explicit if bases}
            agreed = agreed_values(conn, odd) if odd else {}
            for entity, bases in odd.items():
                values = agreed.get(entity, {})
                if any(name in values and b["s"] < values[name].seq for name, b in bases.items()):
                    yield member, entity
            if len(rows) < bulk.CHUNK:
                break
            last = rows[-1].key


def _in_conflict(conn: Connection, flow: int) -> set[int]:
    case = tables.case_.c
    rows = conn.execute(
        select(case.entity_id).where(
            case.flow_id == flow, case.entity_id != 0, sql("case_.state != 'closed'")
        )
    )
    return {int(entity) for entity in rows.scalars()}


def _held(conn: Connection, flow: int) -> set[int]:
    return {entity for _, entity in held_targets(conn, flow) if entity}


def _refused(conn: Connection, flow: int) -> list[tuple[int, int, str | None]]:
    """(member, entity or 0, key)"""
    q = tables.quarantine.c
    rows = conn.execute(
        select(q.member_id, q.entity_id, q.key).where(
            q.flow_id == flow, sql("quarantine.state IN ('open', 'retry')")
        )
    )
    return [(int(member), int(entity), key) for member, entity, key in rows]


def _unknown(conn: Connection, flow: int) -> dict[int, int]:
    op = tables.operation.c
    rows = conn.execute(
        select(op.member_id, func.count())
        .where(op.flow_id == flow, op.state == "unknown")
        .group_by(op.member_id)
    )
    return {int(member): int(n) for member, n in rows}


def _links_of(conn: Connection, entities: set[int]) -> Iterator[tuple[int, int]]:
    link = tables.link.c
    for part in bulk.chunks(sorted(entities)):
        rows = conn.execute(
            select(link.member_id, link.entity_id).where(
                bulk.among(link.entity_id, "entities"), link.state == LinkState.LIVE.value
            ),
            {"entities": part},
        )
        for member, entity in rows:
            yield int(member), int(entity)


def _linked(conn: Connection, member: int, entities: list[int]) -> Iterator[int]:
    """Which of these entities have a live link there: only those are among the live ones."""
    link = tables.link.c
    for part in bulk.chunks(sorted(set(entities))):
        yield from conn.execute(
            select(link.entity_id).where(
                bulk.among(link.entity_id, "entities"),
                link.member_id == member,
                link.state == LinkState.LIVE.value,
            ),
            {"entities": part},
        ).scalars()


def entity_page(
    conn: Connection, flow: int, *, after: int = 0, state: str | None = None, limit: int = 100
) -> list[int]:
    """Entities with a link, ascending; state: only those with a link in this state."""
    entity, link = tables.entity.c, tables.link.c
    linked = select(link.entity_id).where(link.entity_id == entity.id)
    if state is not None:
        linked = linked.where(link.state == state)
    query = (
        select(entity.id)
        .where(entity.flow_id == flow, entity.id > after, linked.exists())
        .order_by(entity.id)
        .limit(limit)
    )
    return [int(number) for number in conn.execute(query).scalars()]
