"""Flows, their members, and the mappings they ran under: names become small numbers here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from syncd.store import bulk, codec, tables

ACTIVE = "active"
REMOVED = "removed"  # not in the config any more: its links are dormant


@dataclass(frozen=True, slots=True)
class MemberState:
    """What the store knows of a member as a whole.

    identity      which database answered the last time (S37)
    fingerprint   mapping and types of the last run
    cursor        where its next incremental read begins
    last_full_at  canonical time of its last complete read
    state         ACTIVE or REMOVED
    """

    name: str
    identity: str | None = None
    fingerprint: str = ""
    cursor: str | None = None
    last_full_at: str | None = None
    state: str = ACTIVE


@dataclass(frozen=True, slots=True)
class Names:
    """The numbers behind one flow's names, both ways."""

    ids: Mapping[str, int]
    members: Mapping[int, str]
    fingerprints: dict[tuple[int, str], int]
    digests: dict[int, str]

    def digest(self, fingerprint_id: int | None) -> str:
        return "" if fingerprint_id is None else self.digests[fingerprint_id]


def flow_id(conn: Connection, name: str, *, create: bool = True) -> int:
    """The flow's number; a name met for the first time gets one. Raises KeyError without
    `create` (a dry run, a reading command)."""
    found = conn.execute(select(tables.flow.c.id).where(tables.flow.c.name == name)).scalar()
    if found is not None:
        return int(found)
    if not create:
        raise KeyError(name)
    (new,) = bulk.allocate(conn, "flow")
    conn.execute(tables.flow.insert().values(id=new, name=name))
    return new


def flows(conn: Connection) -> dict[str, int]:
    rows = conn.execute(select(tables.flow.c.name, tables.flow.c.id).order_by(tables.flow.c.id))
    return {str(name): int(number) for name, number in rows}


def flow_fingerprint(conn: Connection, flow: int) -> str:
    """Of the config this flow last ran under; "" before its first run."""
    f = tables.flow.c
    return str(conn.execute(select(f.fingerprint).where(f.id == flow)).scalar_one())


def set_flow_fingerprint(conn: Connection, flow: int, digest: str) -> None:
    conn.execute(
        tables.flow.update().where(tables.flow.c.id == flow).values(fingerprint=digest),
    )


def keyed(conn: Connection, flow: int) -> str:
    """Digest of the match rules that the flow's match keys were made by; "" = not all of them."""
    row = select(tables.meta.c.value).where(tables.meta.c.key == f"keyed:{flow}")
    return str(conn.execute(row).scalar() or "")


def set_keyed(conn: Connection, flow: int, digest: str) -> None:
    key = f"keyed:{flow}"
    conn.execute(tables.meta.delete().where(tables.meta.c.key == key))
    conn.execute(tables.meta.insert().values(key=key, value=digest))


def members(conn: Connection, flow: int) -> dict[str, MemberState]:
    m = tables.member.c
    rows = conn.execute(
        select(m.name, m.identity, m.fingerprint, m.cursor, m.last_full_at, m.state)
        .where(m.flow_id == flow)
        .order_by(m.id)
    )
    return {row.name: MemberState(*row) for row in rows}


def save_member(conn: Connection, flow: int, state: MemberState) -> None:
    m = tables.member
    facts = {
        "identity": state.identity,
        "fingerprint": state.fingerprint,
        "cursor": state.cursor,
        "last_full_at": state.last_full_at,
        "state": state.state,
    }
    done = conn.execute(
        m.update().where(m.c.flow_id == flow, m.c.name == state.name).values(**facts)
    )
    if done.rowcount == 0:
        (new,) = bulk.allocate(conn, "member")
        conn.execute(m.insert().values(id=new, flow_id=flow, name=state.name, **facts))


def save_fingerprint(
    conn: Connection, flow: int, member: str, digest: str, mapping: Mapping[str, Any]
) -> None:
    """Keep what this digest stands for, so that old journal payloads can be explained."""
    known = names(conn, flow)
    number = known.ids[member]
    if (number, digest) in known.fingerprints:
        f = tables.fingerprint
        conn.execute(
            f.update()
            .where(f.c.member_id == number, f.c.digest == digest)
            .values(mapping=codec.text(dict(mapping)))
        )
    else:
        _add_fingerprint(conn, flow, number, digest, codec.text(dict(mapping)))


def fingerprint_mapping(conn: Connection, flow: int, member: str, digest: str) -> Any:
    """The mapping saved under this digest; None where it never was."""
    f, m = tables.fingerprint.c, tables.member.c
    found = conn.execute(
        select(f.mapping)
        .join(tables.member, m.id == f.member_id)
        .where(m.flow_id == flow, m.name == member, f.digest == digest)
    ).scalar()
    return None if found is None else codec.loads(found) or None


def fingerprint_mappings(conn: Connection, flow: int) -> dict[tuple[str, str], Any]:
    """Every mapping saved, by member and digest."""
    f, m = tables.fingerprint.c, tables.member.c
    rows = conn.execute(
        select(m.name, f.digest, f.mapping)
        .join(tables.member, m.id == f.member_id)
        .where(m.flow_id == flow)
    )
    found = {(str(row.name), str(row.digest)): codec.loads(row.mapping) for row in rows}
    return {mark: mapping for mark, mapping in found.items() if mapping}


def fingerprints_of(
    conn: Connection, flow: int, member: str, keys: Sequence[str]
) -> dict[str, str]:
    """Under which digest the bases of these records' links were made."""
    f, link = tables.fingerprint.c, tables.link.c
    number = names(conn, flow).ids.get(member)
    found: dict[str, str] = {}
    for part in bulk.chunks(keys):
        rows = conn.execute(
            select(link.key, f.digest)
            .join(tables.fingerprint, f.id == link.fingerprint_id)
            .where(link.member_id == number, bulk.among(conn, link.key, part))
        )
        found.update((str(key), str(digest)) for key, digest in rows)
    return found


def names(conn: Connection, flow: int) -> Names:
    m, f = tables.member.c, tables.fingerprint.c
    rows = conn.execute(select(m.id, m.name).where(m.flow_id == flow)).all()
    prints = conn.execute(select(f.id, f.member_id, f.digest).where(f.flow_id == flow)).all()
    return Names(
        ids={name: number for number, name in rows},
        members={int(number): str(name) for number, name in rows},
        fingerprints={(member, digest): number for number, member, digest in prints},
        digests={number: digest for number, _, digest in prints},
    )


def know_fingerprints(
    conn: Connection, flow: int, known: Names, digests: Iterable[tuple[str, str]]
) -> None:
    """Give a number to each (member, digest) not seen before; `known` learns them."""
    for member, digest in set(digests):
        number = known.ids[member]
        if digest and (number, digest) not in known.fingerprints:
            new = _add_fingerprint(conn, flow, number, digest, "{}")
            known.fingerprints[number, digest] = new
            known.digests[new] = digest


def _add_fingerprint(conn: Connection, flow: int, member: int, digest: str, mapping: str) -> int:
    (new,) = bulk.allocate(conn, "fingerprint")
    conn.execute(
        tables.fingerprint.insert().values(
            id=new, flow_id=flow, member_id=member, digest=digest, mapping=mapping
        )
    )
    return new
