"""What this run may believe of one member's record of one entity (law 5): a `Side`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from syncd.core.model import UNSET, Base, Fields, Link, LinkState, Read, ReadStatus, Record
from syncd.core.rules import FlowRules, MemberRules


@dataclass(frozen=True, slots=True)
class Side:
    """A live link and what was read behind it.

    fields   forms as read; empty where missing or unread
    edited   time of the last edit that was not ours; None = unknown
    newer    the record's version is not the one its bases were confirmed at
    ours     the time of the version read is that of our own write, or may be
    remapped fields to which another mapping than that of the bases gives another value, or may
    untold   those of them of which the mapping before does not tell whether they were edited
    """

    member: str
    link: Link
    status: ReadStatus
    fields: Fields
    edited: str | None
    newer: bool
    row_hash: int | None
    reason: str = ""
    remapped: frozenset[str] = frozenset()
    untold: frozenset[str] = frozenset()
    ours: bool = False

    @property
    def read(self) -> bool:
        return self.status in (ReadStatus.SEEN, ReadStatus.SAME)

    @property
    def missing(self) -> bool:
        return self.status is ReadStatus.MISSING


def observe(
    rules: FlowRules, links: Mapping[str, Link], reads: Mapping[str, Read]
) -> dict[str, Side]:
    """One side for each live link of a member in the config, in the order of member names."""
    return {
        name: _timed(rules, _side(rules.members[name], links[name], reads.get(name)))
        for name in sorted(links)
        if name in rules.members and links[name].state is LinkState.LIVE
    }


def _side(member: MemberRules, link: Link, read: Read | None) -> Side:
    if read is None:
        read = Read(ReadStatus.UNREAD, reason="not read")
    record = read.record
    version = record.version if record is not None else None
    if read.status is not ReadStatus.UNREAD and not _evidence(link, read):
        read = Read(ReadStatus.UNREAD, reason="read before its last write could be seen")
    if read.status is ReadStatus.SAME:
        same = {name: base.value for name, base in link.bases.items()}
        return Side(
            member.name, link, ReadStatus.SAME, same, link.edited, False, link.row_hash, read.reason
        )
    if read.status is not ReadStatus.SEEN or record is None:
        return Side(member.name, link, read.status, {}, link.edited, False, None, read.reason)
    if None not in (link.created, record.created) and link.created != record.created:
        # the id was given to another thing: this one is gone, that one is not linked (law 12)
        why = "its id belongs to another record now"
        return Side(member.name, link, ReadStatus.MISSING, {}, link.edited, False, None, why)
    ours = record.modified is not None and record.modified == link.own_time
    fields = {name: value for name, value in record.fields.items() if name in member.reads}
    side = Side(
        member.name,
        link,
        ReadStatus.SEEN,
        fields,
        link.edited if ours else record.modified,
        version is not None and link.version is not None and version != link.version,
        record.row_hash,
        ours=ours,
    )
    if link.fingerprint and link.fingerprint != member.fingerprint:
        return _rebased(side, record.former)
    return side


def _timed(rules: FlowRules, side: Side) -> Side:
    """A write of ours whose answer did not tell its version is found by this read, or something is
    in its place. Where the record is as we left it, the version read is ours, and an edit keeps
    the time before it. Where somebody changed another field, nobody can say which of the two
    the time is of: it is unknown, and a policy that asks who came last leaves it (S55). So it is
    where somebody may have edited within the very moment of a write whose time is known."""
    written, moved = side.ours, False
    if side.status is not ReadStatus.SEEN:
        return side
    for name, value in side.fields.items():
        base = side.link.bases.get(name)
        if base is None:
            continue
        read = rules.fields[name].compare(value)
        kept = read == rules.fields[name].compare(base.value)
        sent = base.sent is not UNSET and read == rules.fields[name].compare(base.sent)
        written = written or base.unproven or sent
        moved = moved or not (kept or sent)
    if not written:
        return side
    return replace(side, edited=None if moved else side.link.edited, ours=True)


def _evidence(link: Link, read: Read) -> bool:
    version = read.record.version if read.record is not None else None
    told = version is not None and link.version is not None
    under_way = any(base.sent is not UNSET for base in link.bases.values())
    if told and version == link.version and not under_way:
        return True  # read at the very version the base was confirmed at
    if read.tick < link.moved_tick:
        return False
    if read.shows is not None and read.shows < link.moved_tick:  # a copy that lags may lack it
        return told and _later(read.record, link)
    return True


def _later(record: Record | None, link: Link) -> bool:
    """Whether another version than ours is a newer one: a copy that lags has the one before."""
    modified = record.modified if record is not None else None
    return modified is not None and link.own_time is not None and modified > link.own_time


def _rebased(side: Side, former: Fields | None) -> Side:
    """Bases made under another mapping: recomputed where the row still equals them under that
    mapping (law 9); elsewhere they stay, and the difference is a change like any other, though
    one that the mapping may have made."""
    before: Fields = {} if former is None else former
    bases: dict[str, Base] = dict(side.link.bases)
    for name, base in side.link.bases.items():
        untouched = base.sent is UNSET and not base.unproven
        if untouched and name in side.fields and before.get(name, UNSET) == base.value:
            bases[name] = replace(base, value=side.fields[name])
    remapped = frozenset(n for n, value in side.fields.items() if before.get(n, UNSET) != value)
    untold = frozenset(side.fields.keys() - before.keys())
    link = replace(side.link, bases=bases)
    return replace(side, link=link, remapped=remapped, untold=untold)
