"""Entities as whole values: what is agreed, every link with its bases, what is gone.

An entity is written whole. That keeps the one rule of the store's layout in one place: a link
whose base is NULL is in step with what is agreed, so both change together or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, exists, func, select
from sqlalchemy import text as sql

from syncd.core.model import Agreed, Entity, EntityState, Link, LinkState, OpKind
from syncd.errors import StoreError
from syncd.store import bulk, codec, tables
from syncd.store.cases import cases_of
from syncd.store.flows import Names, know_fingerprints, names
from syncd.store.links import (
    LINK_COLUMNS,
    TOMBSTONE_COLUMNS,
    insert_links,
    insert_tombstones,
    read_link,
)

_ENTITY = ("id", "flow_id", "state", "agreed", "meta", "work", "updated_run")
_MATCH_KEY = ("flow_id", "rule", "hash", "entity_id")

# In the words of the partial indexes, so that the databases see that they apply.
OPEN_WORK = sql("entity.work != 0")
_UNSETTLED = sql("operation.state IN ('planned', 'sent', 'unknown')")

_E, _L, _T, _K, _O = (
    tables.entity.c,
    tables.link.c,
    tables.tombstone.c,
    tables.match_key.c,
    tables.operation.c,
)
_FLOW: BindParameter[Any] = bindparam("flow")
_LOAD = select(_E.id, _E.state, _E.agreed, _E.meta).where(
    bulk.among(_E.id, "ids"), _E.flow_id == _FLOW
)
_LOAD_LINKS = select(*LINK_COLUMNS).where(bulk.among(_L.entity_id, "ids")).order_by(_L.member_id)
_LOAD_GONE = select(*TOMBSTONE_COLUMNS).where(bulk.among(_T.entity_id, "ids")).order_by(_T.id)
_LOAD_UNSETTLED = (
    select(_O.entity_id, _O.member_id, _O.kind)
    .where(_O.flow_id == _FLOW, bulk.among(_O.entity_id, "ids"), _UNSETTLED, _O.state != "planned")
    .order_by(_O.id)
)
_BY_KEY = (
    select(_K.hash, _K.entity_id)
    .where(_K.flow_id == _FLOW, _K.rule == bindparam("rule"), bulk.among(_K.hash, "hashes"))
    .order_by(_K.hash, _K.entity_id)
    .execution_options(stream_results=True, max_row_buffer=bulk.CHUNK)
)
_ALL = bulk.page(select(_E.id).where(_E.flow_id == _FLOW), _E.id)
_WITH_WORK = bulk.page(select(_E.id).where(_E.flow_id == _FLOW, OPEN_WORK), _E.id)
_WITHOUT = select(func.count()).where(
    _E.flow_id == _FLOW,
    _E.state == EntityState.LIVE.value,
    ~exists().where(_L.entity_id == _E.id, _L.member_id == bindparam("member")),
    ~exists().where(_T.entity_id == _E.id, _T.member_id == bindparam("member")),
)
_WORK_AMONG = select(_E.id).where(bulk.among(_E.id, "ids"), OPEN_WORK)
_GONE_TIMES = (
    select(_T.entity_id, _T.member_id, _T.key, _T.created, _T.gone_at)
    .where(bulk.among(_T.entity_id, "ids"))
    .order_by(_T.id)
)
_DROP_LINKS = tables.link.delete().where(bulk.among(_L.entity_id, "ids"))
_DROP_KEYS = tables.match_key.delete().where(bulk.among(_K.entity_id, "ids"))
_ALL_WORK = tables.entity.update().where(_E.flow_id == _FLOW).values(work=1)

# (member, key, creation mark) → when each such tombstone of an entity came to be, oldest first
_GoneAt = dict[tuple[str, str, str | None], list[str]]


@dataclass(frozen=True, slots=True)
class Save:
    """One entity as it shall stand.

    keys  (rule number, key hash) of each of its match keys, agreed ones and current forms
    work  it must be looked at again in the next run, whatever the reads say
    """

    entity: Entity
    keys: tuple[tuple[int, int], ...] = ()
    work: bool = False


# --- reading -------------------------------------------------------------------------------


def load_entities(conn: Connection, flow: int, ids: Sequence[int]) -> list[Entity]:
    """In the order of `ids`; those the flow does not have are left out."""
    known = names(conn, flow)
    found: dict[int, Entity] = {}
    for part in bulk.chunks(sorted(set(ids))):
        found.update(_load(conn, flow, known, part))
    return [found[i] for i in ids if i in found]


def _load(
    conn: Connection, flow: int, known: Names, ids: Sequence[int]
) -> Iterator[tuple[int, Entity]]:
    rows = conn.execute(_LOAD, {"ids": ids, "flow": flow}).all()
    agreed = {row.id: codec.decode_agreed(row.agreed, row.meta) for row in rows}
    in_step = {number: codec.decode_base(None, what) for number, what in agreed.items()}
    links: dict[int, dict[str, Link]] = {}
    for row in conn.execute(_LOAD_LINKS, {"ids": ids}):
        if row.entity_id in agreed:
            one = read_link(row, known, agreed[row.entity_id], in_step[row.entity_id])
            links.setdefault(row.entity_id, {})[one.member] = one
    tombs: dict[int, list[Link]] = {}
    for row in conn.execute(_LOAD_GONE, {"ids": ids}):
        if row.entity_id in agreed:
            tombs.setdefault(row.entity_id, []).append(read_link(row, known, agreed[row.entity_id]))
    open_operations = _unsettled(conn, flow, known, ids)
    cases = cases_of(conn, flow, ids)
    for row in rows:
        yield (
            row.id,
            Entity(
                id=row.id,
                state=EntityState(row.state),
                agreed=agreed[row.id],
                links=links.get(row.id, {}),
                gone=tuple(tombs.get(row.id, ())),
                unsettled=open_operations.get(row.id, {}),
                cases=cases.get(row.id, ()),
            ),
        )


def _unsettled(
    conn: Connection, flow: int, known: Names, ids: Sequence[int]
) -> dict[int, dict[str, OpKind]]:
    found: dict[int, dict[str, OpKind]] = {}
    for row in conn.execute(_LOAD_UNSETTLED, {"flow": flow, "ids": ids}):
        found.setdefault(row.entity_id, {})[known.members[row.member_id]] = OpKind(row.kind)
    return found


def entities_by_key(
    conn: Connection, flow: int, rule: int, hashes: Iterable[int]
) -> Iterator[list[tuple[int, int]]]:
    """(hash, entity) of those with one of these keys under this match rule, in blocks: one key
    may be every entity's. Hashes only suggest: compare keys."""
    for part in bulk.chunks(sorted(set(hashes))):
        with conn.execute(_BY_KEY, {"flow": flow, "rule": rule, "hashes": part}) as result:
            for block in result.partitions(bulk.CHUNK):
                yield [(row.hash, row.entity_id) for row in block]


def open_work(conn: Connection, flow: int, *, size: int = bulk.CHUNK) -> Iterator[list[int]]:
    """Ids with something left to do, ascending, in blocks. The same entity comes once, also when
    its work is saved or settled between two blocks."""
    for block in bulk.pages(conn, _WITH_WORK, {"flow": flow}, size):
        yield [number for (number,) in block]


def with_work(conn: Connection, ids: Sequence[int]) -> set[int]:
    """Those of `ids` whose work is open."""
    found: set[int] = set()
    for part in bulk.chunks(sorted(set(ids))):
        found.update(conn.execute(_WORK_AMONG, {"ids": part}).scalars())
    return found


# --- writing -------------------------------------------------------------------------------


def save_entities(
    conn: Connection, flow: int, saves: Sequence[Save], *, run: int, at: str
) -> list[int]:
    """Store whole new states and answer their ids, in order; entities with id 0 are new.

    Links in state gone become tombstones. `Entity.unsettled` is the journal's, `.cases` are
    those of `conflicts`: both are ignored here.
    at: canonical time, for tombstones not seen before. Raises StoreError (SY0411) where a record
    would belong to two entities; entities that swap records must be saved in one call.
    """
    known = names(conn, flow)
    know_fingerprints(
        conn,
        flow,
        known,
        (
            (link.member, link.fingerprint)
            for save in saves
            for link in (*save.entity.links.values(), *save.entity.gone)
        ),
    )
    old = [save.entity.id for save in saves if save.entity.id]
    fresh = iter(bulk.allocate(conn, "entity", len(saves) - len(old)))
    ids = [save.entity.id or next(fresh) for save in saves]
    since = _clear(conn, known, old)

    new_rows: list[tuple[Any, ...]] = []
    old_rows: list[tuple[Any, ...]] = []
    links: list[tuple[int, Link, Mapping[str, Agreed]]] = []
    gone: list[tuple[int, Link, Mapping[str, Agreed], str]] = []
    keys: list[tuple[int, int, int, int]] = []
    for number, save in zip(ids, saves, strict=True):
        entity = save.entity
        values, meta = codec.encode_agreed(entity.agreed)
        facts = (number, flow, entity.state.value, values, meta, int(save.work), run)
        (old_rows if entity.id else new_rows).append(facts)
        for member, link in entity.links.items():
            _check(number, member, link)
            if link.state is not LinkState.GONE:
                links.append((number, link, entity.agreed))
        before = since.get(number, {})
        for link in _gone(entity):
            times = before.get((link.member, link.key, link.created))
            gone.append((number, link, entity.agreed, times.pop(0) if times else at))
        keys += ((flow, rule, value, number) for rule, value in set(save.keys))

    bulk.insert(conn, tables.entity, _ENTITY, new_rows)
    bulk.update(conn, tables.entity, _ENTITY[:2], _ENTITY[2:], old_rows)
    insert_links(conn, known, links)
    insert_tombstones(conn, known, gone)
    bulk.insert(conn, tables.match_key, _MATCH_KEY, keys)
    return ids


def _clear(conn: Connection, known: Names, ids: Sequence[int]) -> dict[int, _GoneAt]:
    """Take away what the new state replaces; answers when each tombstone came to be."""
    since: dict[int, _GoneAt] = {}
    for part in bulk.chunks(ids):
        for row in conn.execute(_GONE_TIMES, {"ids": part}):
            mark = (known.members[row.member_id], row.key, row.created)
            since.setdefault(row.entity_id, {}).setdefault(mark, []).append(row.gone_at)
        conn.execute(_DROP_LINKS, {"ids": part})
        conn.execute(_DROP_KEYS, {"ids": part})
    if since:
        bulk.delete(conn, tables.tombstone, ("entity_id",), [(i,) for i in since])
    return since


def _gone(entity: Entity) -> Iterable[Link]:
    yield from entity.gone
    yield from (link for link in entity.links.values() if link.state is LinkState.GONE)


def _check(number: int, member: str, link: Link) -> None:
    if link.member != member:
        raise StoreError(
            f"entity {number} holds a link of {link.member} under the name {member}",
            code="SY0412",
            hint="nothing was stored; please report this",
        )


def all_entities(conn: Connection, flow: int, *, size: int = bulk.CHUNK) -> Iterator[list[Entity]]:
    """Every entity of the flow, ascending, in blocks."""
    for block in bulk.pages(conn, _ALL, {"flow": flow}, size):
        yield load_entities(conn, flow, [number for (number,) in block])


def save_keys(conn: Connection, flow: int, keys: Mapping[int, Iterable[tuple[int, int]]]) -> None:
    """Replace the match keys of these entities: (rule number, key hash) by entity."""
    for part in bulk.chunks(list(keys)):
        conn.execute(_DROP_KEYS, {"ids": part})
    rows = [(flow, rule, value, i) for i, own in keys.items() for rule, value in set(own)]
    bulk.insert(conn, tables.match_key, _MATCH_KEY, rows)


def mark_work(conn: Connection, work: Mapping[int, bool]) -> None:
    """Open or close the work of single entities, by id."""
    rows = [(number, int(is_open)) for number, is_open in work.items()]
    bulk.update(conn, tables.entity, ("id",), ("work",), rows)


def count_without(conn: Connection, flow: int, member: str) -> int:
    """Live entities that never had a record at this member. Looks through all of them."""
    asked = {"flow": flow, "member": names(conn, flow).ids.get(member)}
    return int(conn.execute(_WITHOUT, asked).scalar_one())


def mark_all_work(conn: Connection, flow: int) -> None:
    """Every entity is looked at again in the next run: the config changed, a state was rebuilt."""
    conn.execute(_ALL_WORK, {"flow": flow})


def set_states(conn: Connection, states: Mapping[int, EntityState]) -> None:
    """By id; when the last record of a deleted entity is confirmed gone, say."""
    rows = [(number, state.value) for number, state in states.items()]
    bulk.update(conn, tables.entity, ("id",), ("state",), rows)
