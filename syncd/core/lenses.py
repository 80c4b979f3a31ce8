"""Lenses: one value seen in one or several native fields, in both directions.

The laws, for every value and every original:

    get(put(value, original)) == normal(value)      what is written comes back, tidied at most
    put(get(original), original) == original        what is not changed is left alone
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from syncd.core.codec import Misfit, Native
from syncd.core.model import Value

Natives = tuple[Native, ...]


class Lens(Protocol):
    """Between `arity` natives and what the field's type reads (`get`) and writes (`put`).

    text_only  the native fields must be texts, and the field's type text
    """

    name: str
    text_only: bool

    def get(self, natives: Natives) -> Native:
        """Raises Misfit for natives it cannot join."""

    def put(self, value: Native, original: Natives | None) -> Natives:
        """original: the natives as they stand now, None for a new record. Raises Misfit."""

    def normal(self, value: Value) -> Value:
        """The value as it comes back once written: its declared normalisation."""


class Rename:
    """Another name, the same value."""

    name = "rename"
    text_only = False

    def get(self, natives: Natives) -> Native:
        return natives[0]

    def put(self, value: Native, original: Natives | None) -> Natives:
        return (value,)

    def normal(self, value: Value) -> Value:
        return value


class Words:
    """First and last name, and the like: ("Anna Maria", "Berg") is "Anna Maria Berg".

    Joined with single blanks; null only where every part is. Split: the last word is the last
    part, the words before it are the first part, parts between stay empty; a single word is the
    last part. A part of the original that still stands at its end of the value keeps its place, so
    that "van den Berg" stays one last name when the first name is corrected.
    """

    name = "words"
    text_only = True

    def __init__(self, nullable: Sequence[bool]) -> None:
        """nullable, by part: what an empty part becomes, null or ""."""
        self._nullable = tuple(nullable)

    def get(self, natives: Natives) -> Native:
        if all(part is None for part in natives):
            return None
        for part in natives:
            if part is not None and not isinstance(part, str):
                raise Misfit(part, "is not a text, and `words` joins texts")
        return " ".join(" ".join(part for part in natives if part is not None).split())

    def put(self, value: Native, original: Natives | None) -> Natives:
        if value is None:
            return original if original and self.get(original) is None else self._all(None)
        if not isinstance(value, str):
            raise Misfit(value, "is not a text, and `words` splits texts")
        whole: str = self.normal(value)
        if original is not None and self.get(original) == whole:
            return original
        first, last = self._split(whole, original)
        parts = [first, *[""] * (len(self._nullable) - 2), last]
        if not whole:
            # null everywhere would read as null, and the value is the empty text
            return self._all("")
        return tuple(part or self._empty(at, original) for at, part in enumerate(parts))

    def normal(self, value: Value) -> Value:
        return " ".join(value.split()) if isinstance(value, str) else value

    def _split(self, whole: str, original: Natives | None) -> tuple[str, str]:
        if original is not None:
            first, last = self.normal(original[0]), self.normal(original[-1])
            if last and whole.endswith(f" {last}"):
                return whole[: -len(last) - 1], last
            if first and whole.startswith(f"{first} "):
                return first, whole[len(first) + 1 :]
        rest, _, last = whole.rpartition(" ")
        return rest, last

    def _empty(self, at: int, original: Natives | None) -> str | None:
        if original is not None and not self.normal(original[at]):
            kept: str | None = original[at]
            return kept
        return None if self._nullable[at] else ""

    def _all(self, part: str | None) -> tuple[str | None, ...]:
        return (part,) * len(self._nullable)


def _rename(nullable: Sequence[bool]) -> Lens:
    return Rename()


LENSES: dict[str, Callable[[Sequence[bool]], Lens]] = {"rename": _rename, "words": Words}
MANY: frozenset[str] = frozenset({"words"})  # those that take two native fields and more
