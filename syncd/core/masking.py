"""Private values taken out of what a system says of a record it refuses."""

from __future__ import annotations

import re
from collections.abc import Iterable

from syncd.core.model import Value

MASK = "***"
_PART = 3  # letters from which on a word of a longer value counts by itself


def without(text: str, values: Iterable[Value]) -> str:
    """The text with these values, and the words and numbers they are made of, replaced: a system
    quotes what it refuses, in its own spelling, and a column may hold only a part of a field."""
    words: set[str] = set()
    for value in values:
        words |= _words(value)
    if not words or not text:
        return text
    longest = sorted(words, key=lambda word: (-len(word), word))
    return re.sub("|".join(map(re.escape, longest)), MASK, text, flags=re.IGNORECASE)


def _words(value: Value) -> set[str]:
    if value is None or isinstance(value, bool):
        return set()
    if isinstance(value, dict):
        return set().union(*map(_words, (*value.keys(), *value.values())), set())
    if isinstance(value, (list, tuple)):
        return set().union(*map(_words, value), set())
    said = str(value).strip()
    parts = {part for part in re.split(r"\W+", said) if len(part) >= _PART}
    return {said, *parts} - {""}
