"""Times of edits: when a member says a record was last changed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any


def instant(native: Any) -> str | None:
    """A native time as a canonical instant; None where it says nothing.

    A wall time without a zone is taken as UTC: such times are only compared with each other, and
    a policy that decides by them has a tolerance. What cannot be read as a time is unknown,
    never the epoch (S55).
    """
    if isinstance(native, str):
        try:
            native = datetime.fromisoformat(native)
        except ValueError:
            return None
    if not isinstance(native, datetime):
        return None
    moment = native if native.tzinfo is not None else native.replace(tzinfo=UTC)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
