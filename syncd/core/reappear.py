"""A deleted id that is back (law 12): stale, restored, another incarnation, or a question."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from syncd.core.model import Link, Record


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
    if now < datetime.fromisoformat(gone_at) + timedelta(seconds=grace):
        return Return.STALE
    return Return.REVIEW


def _newer(gone: Link, record: Record) -> bool | None:
    """Whether the record is a later version than the one deleted; None = it cannot be told."""
    if gone.version is not None and record.version is not None:
        return gone.version != record.version
    before = max((t for t in (gone.own_time, gone.edited) if t is not None), default=None)
    if before is not None and record.modified is not None:
        return record.modified > before
    return None
