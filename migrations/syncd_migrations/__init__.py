"""The store's schema through time. `REVISIONS` lists every revision, oldest first."""

from __future__ import annotations

REVISIONS = ("0001",)
