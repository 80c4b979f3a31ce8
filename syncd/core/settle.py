"""What an outcome makes of the state: bases move only to what the write proved (law 5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from syncd.core.model import (
    UNSET,
    Base,
    Entity,
    EntityState,
    Fields,
    Link,
    LinkState,
    Operation,
    OpKind,
    Record,
    Unset,
    Value,
)


@dataclass(frozen=True, slots=True)
class Settled:
    """An outcome as the law sees it.

    status  applied | stale | rejected | unknown
    record  what stands there after, when proven (same transaction or same version)
    key     of the record written; needed for a create without `record`
    """

    status: str
    record: Record | None = None
    key: str | None = None


def settled(
    entity: Entity,
    operation: Operation,
    outcome: Settled,
    tick: int,
    fingerprint: str = "",
) -> Entity:
    """The entity after one outcome. `fingerprint` of the member's mapping, for a new link."""
    member = operation.member
    unsettled = {m: kind for m, kind in entity.unsettled.items() if m != member}
    entity = replace(entity, unsettled=unsettled)
    if outcome.status == "unknown":
        return _unknown(entity, operation, tick)
    if outcome.status != "applied":
        link = entity.links.get(member)
        if link is None:
            return entity
        # it did not happen and will not: nothing is on its way any more
        bases = {name: replace(base, sent=UNSET, beside=()) for name, base in link.bases.items()}
        row_hash = link.row_hash if outcome.status == "rejected" else None
        return _with(entity, replace(link, bases=bases, row_hash=row_hash))
    match operation.kind:
        case OpKind.CREATE:
            record = outcome.record
            key = record.key if record is not None else outcome.key
            if key is None:
                raise ValueError("an applied create has a key")
            link = Link(member, key, fingerprint=fingerprint)
            return _with(entity, _confirmed(link, operation, record, tick))
        case _ if member not in entity.links:
            return entity  # settled late: the link went its own way meanwhile
        case OpKind.UPDATE:
            link = entity.links[member]
            return _with(entity, _confirmed(link, operation, outcome.record, tick))
        case OpKind.DELETE | OpKind.ARCHIVE:  # marked as deleted it is a tombstone, too
            links = dict(entity.links)
            link = links.pop(member)
            gone = replace(link, state=LinkState.GONE, moved_tick=tick)
            return _end(replace(entity, links=links, gone=(*entity.gone, gone)))


def _confirmed(link: Link, operation: Operation, record: Record | None, tick: int) -> Link:
    bases: dict[str, Base] = dict(link.bases)
    stands: Fields = record.fields if record is not None else {}
    for name, sent in operation.fields.items():
        seq = operation.seqs[name]
        if name in stands:
            bases[name] = Base(stands[name], seq)
        elif record is not None:
            bases[name] = Base(sent, seq)  # written, never read back: the member maps it one way
        else:
            bases[name] = Base(sent, seq, unproven=True, seen=_seen(bases.get(name), seq))
    if record is None:  # at which version it was confirmed nobody knows: none proves a read (law 5)
        return replace(link, bases=bases, version=None, row_hash=None, moved_tick=tick)
    return replace(
        link,
        bases=bases,
        version=record.version,
        own_time=record.modified,
        edited=None if _touched(link, operation, stands) else link.edited,
        created=record.created or link.created,
        row_hash=record.row_hash if _known(bases, stands) else None,
        moved_tick=tick,
    )


def _touched(link: Link, operation: Operation, stands: Fields) -> bool:
    """Whether somebody edited between the read and the write: a field that was not sent is not what
    it was. When, our own write has hidden; no other edit's time may stand for it (S55)."""
    known = {name: base.value for name, base in link.bases.items()} | dict(operation.before)
    return any(
        name in known and known[name] != value
        for name, value in stands.items()
        if name not in operation.fields
    )


def _seen(before: Base | None, seq: int) -> Value | Unset:
    """The form read here after this very value was sent before. A review that let the agreed
    value win gave it the next sequence; under a later one it is another value."""
    again = before is not None and not before.unproven and before.seq + 1 == seq
    return before.seen if before is not None and again else UNSET


def _known(bases: Mapping[str, Base], stands: Fields) -> bool:
    return all(
        name in bases and bases[name].value == value and bases[name].sent is UNSET
        for name, value in stands.items()
    )


def _unknown(entity: Entity, operation: Operation, tick: int) -> Entity:
    """Only what is read from now on can tell whether it arrived."""
    link = entity.links.get(operation.member)
    unsettled = {**entity.unsettled, operation.member: operation.kind}
    if operation.kind is not OpKind.UPDATE or link is None:
        return replace(entity, unsettled=unsettled)
    bases = dict(link.bases)
    names = tuple(sorted(name for name in operation.fields if name in bases))
    beside = names if len(names) > 1 else ()
    for name in names:
        bases[name] = replace(bases[name], sent=operation.fields[name], beside=beside)
    return _with(entity, replace(link, bases=bases, row_hash=None, moved_tick=tick))


def _with(entity: Entity, link: Link) -> Entity:
    return replace(entity, links={**entity.links, link.member: link})


def _end(entity: Entity) -> Entity:
    """After a deletion arrived: is any link left for it to reach?"""
    if any(link.state is LinkState.LIVE for link in entity.links.values()):
        return entity
    return replace(entity, state=EntityState.ENDED if entity.links else EntityState.GONE)
