"""Tokens: `<database>:<transaction>[:first:last:count][!][=]`.

The numbers are of keys the database made. `!` says that every operation of the batch is done once
the transaction is committed; `=` that the keys made follow each other as the operations do. A
batch that had to be committed in parts has a token of each, with blanks between them.
"""

from __future__ import annotations

from collections.abc import Sequence

from syncd_adapters.sql.layout import Parts

_WHOLE, _ORDERED = "!", "="


def made_range(made: Sequence[Parts]) -> str:
    """ ":first-last:count" of numbers the database made; "" where keys are no numbers."""
    numbers = [key[0] for key in made if len(key) == 1 and isinstance(key[0], int)]
    if not numbers or len(numbers) != len(made):
        return ""
    return f":{min(numbers)}:{max(numbers)}:{len(numbers)}"


def promising(token: str, *, whole: bool, ordered: bool) -> str:
    return token + _WHOLE * whole + _ORDERED * ordered


def read_promises(token: str | None) -> tuple[str | None, bool, bool]:
    """(the token as the database made it, every operation is done, keys are in their order)"""
    if token is None:
        return None, False, False
    bare = token.rstrip(_WHOLE + _ORDERED)
    return bare, _WHOLE in token, _ORDERED in token


def joined(token: str, later: str) -> str:
    return f"{token} {later}".strip()


def read_joined(token: str | None) -> list[str | None]:
    """Of each part; of several without promises, for each knows its own operations only."""
    if token is None or " " not in token:
        return [token]
    return [part.rstrip(_WHOLE + _ORDERED) for part in token.split(" ")]


def read_range(token: str) -> tuple[int, int] | None:
    parts = token.split(":")
    return (int(parts[2]), int(parts[3])) if len(parts) == 5 else None


def made_count(token: str | None) -> int | None:
    parts = (token or "").split(":")
    return int(parts[4]) if len(parts) == 5 else None
