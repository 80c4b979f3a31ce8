"""Tokens: `<database>:<transaction>[:first:last:count]`, the tail for keys the database made."""

from __future__ import annotations

from collections.abc import Sequence

from syncd_adapters.sql.layout import Parts


def made_range(made: Sequence[Parts]) -> str:
    """ ":first-last:count" of numbers the database made; "" where keys are no numbers."""
    numbers = [key[0] for key in made if len(key) == 1 and isinstance(key[0], int)]
    if not numbers or len(numbers) != len(made):
        return ""
    return f":{min(numbers)}:{max(numbers)}:{len(numbers)}"


def read_range(token: str) -> tuple[int, int] | None:
    parts = token.split(":")
    return (int(parts[2]), int(parts[3])) if len(parts) == 5 else None


def made_count(token: str | None) -> int | None:
    parts = (token or "").split(":")
    return int(parts[4]) if len(parts) == 5 else None
