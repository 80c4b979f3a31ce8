"""All planted defects, by name."""

from __future__ import annotations

from defects import bases, deletion, identity, keeping, merging, sending, typed
from defects.plant import DEFECTS, Defect

__all__ = [
    "DEFECTS", "Defect", "bases", "deletion", "identity", "keeping", "merging", "sending", "typed",
]  # fmt: skip
