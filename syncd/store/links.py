"""Links and tombstones: which record of which member is which entity.

A link's bases are stored relative to the agreed values of its entity (`codec.encode_base`), so
whoever writes a link must know what is agreed; whoever moves what is agreed rewrites all links of
the entity (`syncd.store.entities`).
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    bindparam,
    func,
    literal_column,
    select,
)
from sqlalchemy.exc import IntegrityError

from syncd.core.model import Agreed, Base, Link, LinkState
from syncd.errors import StoreError
from syncd.store import bulk, codec, tables
from syncd.store.flows import Names, know_fingerprints, names

_FACTS = (
    "row_hash",
    "base",
    "version",
    "own_time",
    "edited",
    "created",
    "moved_tick",
    "fingerprint_id",
)
_LINK = ("member_id", "key", "entity_id", "state", *_FACTS)
_TOMBSTONE = ("id", "member_id", "key", "entity_id", *_FACTS, "gone_at")

# What `read_link` takes, in its order; more columns may follow.
LINK_COLUMNS: tuple[ColumnElement[Any], ...] = tuple(tables.link.c[name] for name in _LINK)
TOMBSTONE_COLUMNS: tuple[ColumnElement[Any], ...] = (
    *(tables.tombstone.c[name] for name in _LINK[:3]),
    literal_column(f"'{LinkState.GONE.value}'"),
    *(tables.tombstone.c[name] for name in _FACTS),
)
_STATES = {state.value: state for state in LinkState}

_L, _T, _E = tables.link.c, tables.tombstone.c, tables.entity.c
_MEMBER: BindParameter[Any] = bindparam("member")
_IN_ORDER = (
    select(_L.key, _L.row_hash, _L.entity_id)
    .where(_L.member_id == _MEMBER)
    .order_by(_L.key)
    .execution_options(stream_results=True)
)
_LIVE = (
    select(_L.member_id, func.count())
    .where(bulk.among(_L.member_id, "members"), _L.state == LinkState.LIVE.value)
    .group_by(_L.member_id)
)
_ENTITIES_OF = select(_L.key, _L.entity_id).where(
    _L.member_id == _MEMBER, bulk.among(_L.key, "keys")
)
_FIND = (
    select(*LINK_COLUMNS, _E.agreed, _E.meta)
    .join(tables.entity, _E.id == _L.entity_id)
    .where(_L.member_id == _MEMBER, _L.key == bindparam("key"))
)
_TOMBSTONES = (
    select(*TOMBSTONE_COLUMNS, _T.gone_at, _E.agreed, _E.meta)
    .join(tables.entity, _E.id == _T.entity_id)
    .where(_T.member_id == _MEMBER, bulk.among(_T.key, "keys"))
    .order_by(_T.id)
)
_AGREED = select(_E.id, _E.agreed, _E.meta).where(bulk.among(_E.id, "ids"))

LinkRow = tuple[str, int | None, int]  # key, row hash, entity


class Tombstone(NamedTuple):
    """A link that is gone. gone_at: canonical time at which the store learned it."""

    entity_id: int
    link: Link
    gone_at: str


# --- streams and look-ups ------------------------------------------------------------------


def links_in_order(
    conn: Connection, flow: int, member: str, *, size: int = bulk.CHUNK
) -> Generator[list[LinkRow], None, None]:
    """Every link of the member but the gone ones, in blocks, ordered by key byte by byte.

    A server-side cursor: keep the connection for this stream alone until it is exhausted or
    closed.
    """
    number = names(conn, flow).ids.get(member)
    if number is None:
        return  # a dry run, and the member is new in the config
    buffered = {"max_row_buffer": size}
    with conn.execute(_IN_ORDER, {"member": number}, execution_options=buffered) as result:
        for block in result.partitions(size):
            yield cast("list[LinkRow]", block)  # rows behave as the tuples they are


def live_links(conn: Connection, flow: int) -> dict[str, int]:
    """How many live links each member has; counts them all, so ask only when it matters."""
    ids = names(conn, flow).ids
    rows = conn.execute(_LIVE, {"members": list(ids.values())})
    counted = {int(number): int(n) for number, n in rows}
    return {name: counted.get(number, 0) for name, number in ids.items()}


def entities_of(conn: Connection, flow: int, member: str, keys: Sequence[str]) -> dict[str, int]:
    """The entities these records are linked to, in any state but gone."""
    number = names(conn, flow).ids.get(member)
    found: dict[str, int] = {}
    for part in bulk.chunks(keys):
        rows = conn.execute(_ENTITIES_OF, {"member": number, "keys": part})
        found.update((str(key), int(entity_id)) for key, entity_id in rows)
    return found


def entity_of(conn: Connection, flow: int, member: str, key: str) -> int | None:
    return entities_of(conn, flow, member, [key]).get(key)


def find_link(conn: Connection, flow: int, member: str, key: str) -> tuple[int, Link] | None:
    """The record's entity and link, unless it has none or it is gone."""
    known = names(conn, flow)
    row = conn.execute(_FIND, {"member": known.ids.get(member), "key": key}).first()
    if row is None:
        return None
    return row.entity_id, read_link(row, known, codec.decode_agreed(row.agreed, row.meta))


def tombstones(
    conn: Connection, flow: int, member: str, keys: Sequence[str]
) -> dict[str, list[Tombstone]]:
    """Incarnations of these records that are gone, newest last; keys without any are missing."""
    known = names(conn, flow)
    found: dict[str, list[Tombstone]] = {}
    for part in bulk.chunks(keys):
        asked = {"member": known.ids.get(member), "keys": part}
        for row in conn.execute(_TOMBSTONES, asked):
            link = read_link(row, known, codec.decode_agreed(row.agreed, row.meta))
            found.setdefault(row.key, []).append(Tombstone(row.entity_id, link, row.gone_at))
    return found


# --- changes -------------------------------------------------------------------------------


def settle_links(
    conn: Connection,
    flow: int,
    settled: Sequence[tuple[int, Link]],
    *,
    at: str,
    agreed: Mapping[int, Mapping[str, Agreed]] | None = None,
) -> None:
    """Replace single links, each by its whole new state, after the outcome of an operation.

    (entity, link): the member's link in that entity, whatever its key was, becomes this one; one
    that is gone becomes a tombstone. At most one link an entity and member in one call.
    agreed: of these entities, where the caller has them at hand and they are as stored.
    """
    known = names(conn, flow)
    know_fingerprints(conn, flow, known, ((lk.member, lk.fingerprint) for _, lk in settled))
    if agreed is None:
        agreed = agreed_values(conn, [entity_id for entity_id, _ in settled])
    bulk.delete(
        conn,
        tables.link,
        ("entity_id", "member_id"),
        [(entity_id, known.ids[link.member]) for entity_id, link in settled],
    )
    placed = [(i, link, agreed.get(i, {})) for i, link in settled]
    insert_links(conn, known, [p for p in placed if p[1].state is not LinkState.GONE])
    insert_tombstones(conn, known, [(*p, at) for p in placed if p[1].state is LinkState.GONE])


def insert_links(
    conn: Connection,
    known: Names,
    links: Sequence[tuple[int, Link, Mapping[str, Agreed]]],
) -> None:
    """Raises StoreError where a record is linked already: no duplicate is ever stored."""
    rows = [
        (known.ids[link.member], link.key, entity_id, link.state.value, *facts(link, known, agreed))
        for entity_id, link, agreed in links
    ]
    try:
        bulk.insert(conn, tables.link, _LINK, rows)
    except Exception as error:
        if not is_integrity(error):
            raise
        raise StoreError(
            f"a record would be linked twice{_which(error)}",
            code="SY0411",
            where=f"links of {', '.join(sorted({link.member for _, link, _ in links}))}",
            hint="nothing was stored; `syncd state doctor` may find why; please report this",
        ) from error


def insert_tombstones(
    conn: Connection,
    known: Names,
    gone: Sequence[tuple[int, Link, Mapping[str, Agreed], str]],
) -> None:
    ids = bulk.allocate(conn, "tombstone", len(gone))
    rows = [
        (i, known.ids[link.member], link.key, entity_id, *facts(link, known, agreed), gone_at)
        for i, (entity_id, link, agreed, gone_at) in zip(ids, gone, strict=True)
    ]
    bulk.insert(conn, tables.tombstone, _TOMBSTONE, rows)


# --- rows and values -----------------------------------------------------------------------


def facts(link: Link, known: Names, agreed: Mapping[str, Agreed]) -> tuple[Any, ...]:
    """The columns a link and a tombstone share."""
    digest = link.fingerprint
    return (
        link.row_hash,
        codec.encode_base(link.bases, agreed),
        link.version,
        link.own_time,
        link.edited,
        link.created,
        link.moved_tick,
        known.fingerprints[known.ids[link.member], digest] if digest else None,
    )


def read_link(
    row: Any, known: Names, agreed: Mapping[str, Agreed], in_step: Mapping[str, Base] | None = None
) -> Link:
    """A row that begins with LINK_COLUMNS, or TOMBSTONE_COLUMNS, as the link it is.

    in_step: the bases of a link that is in step with `agreed`, made once for all of its entity.
    """
    (
        member_id,
        key,
        _,
        state,
        row_hash,
        base,
        version,
        own_time,
        edited,
        created,
        moved_tick,
        fingerprint_id,
    ) = row[:12]
    if base is not None or in_step is None:
        in_step = codec.decode_base(base, agreed)
    return Link(
        known.members[member_id],
        key,
        _STATES[state],
        in_step,
        version,
        own_time,
        edited,
        created,
        row_hash,
        moved_tick,
        known.digest(fingerprint_id),
    )


def agreed_values(conn: Connection, ids: Iterable[int]) -> dict[int, dict[str, Agreed]]:
    found: dict[int, dict[str, Agreed]] = {}
    for part in bulk.chunks(sorted(set(ids))):
        for row in conn.execute(_AGREED, {"ids": part}):
            found[row.id] = codec.decode_agreed(row.agreed, row.meta)
    return found


def is_integrity(error: BaseException) -> bool:
    """Whether a uniqueness was hurt. COPY raises the driver's own error, the rest SQLAlchemy's."""
    return isinstance(error, IntegrityError) or type(error).__name__ == "UniqueViolation"


def _which(error: BaseException) -> str:
    """What the database itself says of the record, where it says anything."""
    origin = getattr(error, "orig", None) or error
    detail = getattr(getattr(origin, "diag", None), "message_detail", None)
    return f": {detail or origin}"
