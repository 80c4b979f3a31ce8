"""Who gave which value, having seen what: the only history that counts for "no edit is lost"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from syncd.simulate.oracle.facts import Fields, blank
from syncd.simulate.trace import Happening


@dataclass(frozen=True, slots=True)
class Edit:
    """One value given by a user. saw: the value that stood there; number: of the happening."""

    number: int
    run: int
    time: float
    member: str
    key: int
    person: int
    name: str
    saw: Any
    value: Any
    first: bool  # of a record entered, not of an edit


def edits(happenings: Sequence[Happening], fields: Fields) -> list[Edit]:
    """Of a field that this member has not got, nothing is said."""
    found = []
    for h in happenings:
        if h.who != "user" or h.after is None or h.what == "restore":
            continue  # what is restored was given before
        for name in fields:
            if name not in h.after or name in fields.vague:
                continue
            saw = h.before[name] if h.before is not None else None
            value = h.after[name]
            entered = h.what == "insert"
            if (entered and not blank(value)) or not fields.same(name, saw, value):
                found.append(
                    Edit(
                        h.number, h.run, h.time, h.member, h.key, h.person, name, saw, value,
                        entered,
                    )
                )  # fmt: skip
    return found
