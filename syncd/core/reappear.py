"""A deleted id that is back (law 12): stale, restored, another incarnation, or a question."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from syncd.core.model import Entity, EntityState, Link, LinkState, Record
from syncd.core.times import instant


class Return(StrEnum):
    STALE = "stale"  # a late copy of what was deleted: suppressed
    RESTORED = "restored"
    NEW = "new"  # the id was given to another thing
    REVIEW = "review"


def judge(gone: Link, gone_at: str, record: Record, now: datetime, grace: float) -> Return:
    """gone_at: canonical time at which its absence was learned; grace: seconds."""
    if gone.created is not None and record.created is not None:
        if gone.created != record.created:
            return Return.NEW
        newer = _newer(gone, record)
        if newer is not None:
            return Return.RESTORED if newer else Return.STALE
    # A clock that was set back since asks too early; it must not suppress for days.
    if abs(now - datetime.fromisoformat(gone_at)) < timedelta(seconds=grace):
        return Return.STALE
    return Return.REVIEW


def restored(entity: Entity, gone: Link) -> Entity:
    """The entity with this record of it alive again: relinked here, and made again once wherever
    its deletion was carried to (S35). Where the entity lived on, the other tombstones are of
    deletions that their members made for themselves: a restore elsewhere does not undo them."""
    decided = entity.state in (EntityState.DELETING, EntityState.GONE)
    others = () if decided else tuple(t for t in entity.gone if t.member != gone.member)
    link = replace(gone, state=LinkState.LIVE, row_hash=None)
    links = {**entity.links, gone.member: link}
    return replace(entity, state=EntityState.LIVE, links=links, gone=others)


def _newer(gone: Link, record: Record) -> bool | None:
    """Whether the record is later than the one deleted; None = it cannot be told.

    A version is a token: two that are equal are one, two numbers or two times have an order, and
    of any others only the time of the edit says which came later.
    """
    if gone.version is not None and record.version is not None:
        if gone.version == record.version:
            return False
        kinds: tuple[Callable[[str], Any], ...] = (_number, instant)
        for ordered in kinds:
            before, after = ordered(gone.version), ordered(record.version)
            if before is not None and after is not None:
                return bool(after > before)
    known = max((t for t in (gone.own_time, gone.edited) if t is not None), default=None)
    if known is not None and record.modified is not None:
        return record.modified > known
    return None


def _number(version: str) -> int | None:
    return int(version) if version.isascii() and version.isdigit() else None
