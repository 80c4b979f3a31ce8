"""What linking hands to planning."""

from __future__ import annotations

from dataclasses import dataclass

from syncd.core.model import Entity


@dataclass(frozen=True, slots=True)
class Unit:
    """One entity to plan for because linking touched it: a new one (id 0), or one that gained or
    exchanged records. seen: stage ids of the records it gained."""

    entity: Entity
    seen: tuple[int, ...]
