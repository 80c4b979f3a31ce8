"""Flows, their members, and the mappings they ran under: names become small numbers here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, Connection, and_, bindparam, select

from syncd.store import bulk, codec, tables

_L, _F, _M, _P = tables.link.c, tables.flow.c, tables.member.c, tables.fingerprint.c
_META = tables.meta.c
_FLOW: BindParameter[Any] = bindparam("flow")
_MEMBER: BindParameter[Any] = bindparam("member")
_DIGEST: BindParameter[Any] = bindparam("digest")

_FLOW_ID = select(_F.id).where(_F.name == bindparam("name"))
_FLOWS = select(_F.name, _F.id).order_by(_F.id)
_FLOW_FINGERPRINT = select(_F.fingerprint).where(_F.id == _FLOW)
_ADD_FLOW = tables.flow.insert()
_KEYED = select(_META.value).where(_META.key == bindparam("about"))
_ADD_META = tables.meta.insert()
_MEMBERS = (
    select(_M.name, _M.identity, _M.fingerprint, _M.cursor, _M.last_full_at, _M.listed_at, _M.state)
    .where(_M.flow_id == _FLOW)
    .order_by(_M.id)
)
_ADD_MEMBER = tables.member.insert()
_MAPPING = (
    select(_P.mapping)
    .join(tables.member, _M.id == _P.member_id)
    .where(_M.flow_id == _FLOW, _M.name == _MEMBER, _P.digest == _DIGEST)
)
_MAPPINGS = (
    select(_M.name, _P.digest, _P.mapping)
    .join(tables.member, _M.id == _P.member_id)
    .where(_M.flow_id == _FLOW)
)
_ADD_FINGERPRINT = tables.fingerprint.insert()
_FINGERPRINTS_OF = (
    select(_L.key, _P.digest)
    .join(tables.fingerprint, _P.id == _L.fingerprint_id)
    .where(_L.member_id == _MEMBER, bulk.among(_L.key, "keys"))
)
_NAMES = (
    select(_M.id, _M.name, _P.id, _P.digest)
    .outerjoin(tables.fingerprint, and_(_P.flow_id == _FLOW, _P.member_id == _M.id))
    .where(_M.flow_id == _FLOW)
)

ACTIVE = "active"
REMOVED = "removed"  # not in the config any more: its links are dormant


@dataclass(frozen=True, slots=True)
class MemberState:
    """What the store knows of a member as a whole.

    identity      which database answered the last time (S37)
    fingerprint   mapping and types of the last run
    cursor        where its next incremental read begins
    last_full_at  canonical time of its last complete read
    listed_at     the same of the last listing of its keys, which a complete read is, too
    state         ACTIVE or REMOVED
    """

    name: str
    identity: str | None = None
    fingerprint: str = ""
    cursor: str | None = None
    last_full_at: str | None = None
    listed_at: str | None = None
    state: str = ACTIVE


@dataclass(frozen=True, slots=True)
class Names:
    """The numbers behind one flow's names, both ways."""

    ids: dict[str, int]
    members: dict[int, str]
    fingerprints: dict[tuple[int, str], int]
    digests: dict[int, str]

    def digest(self, fingerprint_id: int | None) -> str:
        return "" if fingerprint_id is None else self.digests[fingerprint_id]


def flow_id(conn: Connection, name: str, *, create: bool = True) -> int:
    """The flow's number; a name met for the first time gets one. Raises KeyError without
    `create` (a dry run, a reading command)."""
    found = conn.execute(_FLOW_ID, {"name": name}).scalar()
    if found is not None:
        return int(found)
    if not create:
        raise KeyError(name)
    (new,) = bulk.allocate(conn, "flow")
    conn.execute(_ADD_FLOW, {"id": new, "name": name})
    return new


def flows(conn: Connection) -> dict[str, int]:
    return {str(name): int(number) for name, number in conn.execute(_FLOWS)}


def flow_fingerprint(conn: Connection, flow: int) -> str:
    """Of the config this flow last ran under; "" before its first run."""
    return str(conn.execute(_FLOW_FINGERPRINT, {"flow": flow}).scalar_one())


def set_flow_fingerprint(conn: Connection, flow: int, digest: str) -> None:
    bulk.update(conn, tables.flow, ("id",), ("fingerprint",), [(flow, digest)])


def keyed(conn: Connection, flow: int) -> str:
    """Digest of the match rules that the flow's match keys were made by; "" = not all of them."""
    return str(conn.execute(_KEYED, {"about": f"keyed:{flow}"}).scalar() or "")


def set_keyed(conn: Connection, flow: int, digest: str) -> None:
    key = f"keyed:{flow}"
    bulk.delete(conn, tables.meta, ("key",), [(key,)])
    conn.execute(_ADD_META, {"key": key, "value": digest})


def members(conn: Connection, flow: int) -> dict[str, MemberState]:
    return {row.name: MemberState(*row) for row in conn.execute(_MEMBERS, {"flow": flow})}


def save_member(conn: Connection, flow: int, state: MemberState) -> None:
    known = names(conn, flow)
    columns = ("identity", "fingerprint", "cursor", "last_full_at", "listed_at", "state")
    read = (state.cursor, state.last_full_at, state.listed_at)
    facts = (state.identity, state.fingerprint, *read, state.state)
    number = known.ids.get(state.name)
    if number is not None:
        bulk.update(conn, tables.member, ("id",), columns, [(number, *facts)])
        return
    (new,) = bulk.allocate(conn, "member")
    row = dict(zip(columns, facts, strict=True), id=new, flow_id=flow, name=state.name)
    conn.execute(_ADD_MEMBER, row)
    known.ids[state.name], known.members[new] = new, state.name


def save_fingerprint(
    conn: Connection, flow: int, member: str, digest: str, mapping: Mapping[str, Any]
) -> None:
    """Keep what this digest stands for, so that old journal payloads can be explained."""
    known = names(conn, flow)
    text = codec.text(dict(mapping))
    number = known.fingerprints.get((known.ids[member], digest))
    if number is None:
        _add_fingerprint(conn, flow, known, known.ids[member], digest, text)
    else:
        bulk.update(conn, tables.fingerprint, ("id",), ("mapping",), [(number, text)])


def fingerprint_mapping(conn: Connection, flow: int, member: str, digest: str) -> Any:
    """The mapping saved under this digest; None where it never was."""
    asked = {"flow": flow, "member": member, "digest": digest}
    found = conn.execute(_MAPPING, asked).scalar()
    return None if found is None else codec.loads(found) or None


def fingerprint_mappings(conn: Connection, flow: int) -> dict[tuple[str, str], Any]:
    """Every mapping saved, by member and digest."""
    rows = conn.execute(_MAPPINGS, {"flow": flow})
    found = {(str(row.name), str(row.digest)): codec.loads(row.mapping) for row in rows}
    return {mark: mapping for mark, mapping in found.items() if mapping}


def fingerprints_of(
    conn: Connection, flow: int, member: str, keys: Sequence[str]
) -> dict[str, str]:
    """Under which digest the bases of these records' links were made."""
    number = names(conn, flow).ids.get(member)
    found: dict[str, str] = {}
    for part in bulk.chunks(keys):
        rows = conn.execute(_FINGERPRINTS_OF, {"member": number, "keys": part})
        found.update((str(key), str(digest)) for key, digest in rows)
    return found


_KEPT = "names"  # in what SQLAlchemy keeps beside a connection: (transaction, flow, names)


def names(conn: Connection, flow: int) -> Names:
    """Read once a transaction, which sees one moment, or is the only one that writes."""
    transaction = conn.get_transaction()
    kept = conn.info.get(_KEPT)
    if transaction is not None and kept is not None and kept[:2] == (transaction, flow):
        known: Names = kept[2]
        return known
    known = Names({}, {}, {}, {})
    for member, name, number, digest in conn.execute(_NAMES, {"flow": flow}):
        known.ids[name], known.members[member] = member, name
        if number is not None:
            known.fingerprints[member, digest], known.digests[number] = number, digest
    conn.info[_KEPT] = (conn.get_transaction(), flow, known)
    return known


def know_fingerprints(
    conn: Connection, flow: int, known: Names, digests: Iterable[tuple[str, str]]
) -> None:
    """Give a number to each (member, digest) not seen before; `known` learns them."""
    for member, digest in set(digests):
        number = known.ids[member]
        if digest and (number, digest) not in known.fingerprints:
            _add_fingerprint(conn, flow, known, number, digest, "{}")


def _add_fingerprint(
    conn: Connection, flow: int, known: Names, member: int, digest: str, mapping: str
) -> None:
    (new,) = bulk.allocate(conn, "fingerprint")
    row = {"id": new, "flow_id": flow, "member_id": member, "digest": digest, "mapping": mapping}
    conn.execute(_ADD_FINGERPRINT, row)
    known.fingerprints[member, digest], known.digests[new] = new, digest
