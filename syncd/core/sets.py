"""Merging sets by element (law 15)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from syncd.core.model import Value


def merge_sets(
    agreed: Value, voices: Sequence[tuple[Value, Value]], compare: Callable[[Value], Any]
) -> Value:
    """The agreed set, plus what any voice added to its own base, less what any took from it.

    voices  (value, base) of the members that count, best-ranked first; base None = first sight,
            where sets unite. An element that one adds while another removes it stays: losing an
            addition cannot be undone, losing a removal can. Spelling: as agreed, else of the first.
    """

    def by_form(value: Value) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for element in value or []:
            (form,) = compare([element])
            found.setdefault(form, element)
        return found

    merged = by_form(agreed)
    added: dict[Any, Any] = {}
    removed: set[Any] = set()
    for value, base in voices:
        now, before = by_form(value), by_form(base)
        for form, element in now.items():
            if form not in before:
                added.setdefault(form, element)
        removed.update(form for form in before if form not in now)
    for form in removed - set(added):
        merged.pop(form, None)
    for form, element in added.items():
        merged.setdefault(form, element)
    return sorted(merged.values())
