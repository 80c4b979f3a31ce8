"""Who gave which value, having seen what: the only history that counts for "no edit is lost"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from syncd.simulate.oracle.facts import Fields, blank
from syncd.simulate.trace import Happening, RunEnd, Trace


@dataclass(frozen=True, slots=True)
class Edit:
    """One value given by a user. saw: the value that stood there; number: of the happening.

    first  of a record entered, not of an edit
    unmet  no run had seen the record yet: to syncd it is part of what stood there first
    """

    number: int
    run: int
    time: float
    member: str
    key: int
    person: int
    name: str
    saw: Any
    value: Any
    first: bool
    unmet: bool


def edits(trace: Trace, fields: Fields) -> list[Edit]:
    """Of a field that this member has not got, nothing is said."""
    found = []
    for h in trace.happenings:
        if h.who != "user" or h.after is None or h.what == "restore":
            continue  # what is restored was given before
        for name in fields:
            if name not in h.after or name in fields.vague:
                continue
            saw = h.before[name] if h.before is not None else None
            value = h.after[name]
            entered = h.what == "insert"
            unmet = entered or not met(trace, (h.member, h.key), h.number, surely=False)
            if (entered and not blank(value)) or not fields.same(name, saw, value):
                unmet = entered or not met(trace, (h.member, h.key), h.number, surely=False)
                found.append(
                    Edit(
                        h.number, h.run, h.time, h.member, h.key, h.person, name, saw, value,
                        entered, unmet,
                    )
                )  # fmt: skip
    return found


def met(trace: Trace, record: tuple[str, int], number: int, surely: bool) -> bool:
    """Whether a run may have come to know the record, as it is then, before this happening.
    surely: a run that was still reading, did not come to its end, or was about one record, does not
    count."""
    entry = _entry(trace, record, number)
    if entry is None:
        return True
    wrote = (h.who == "syncd" and h.person == entry.person for h in _since(trace, entry, number))
    return any(wrote) or any(
        entry.number < end.first
        and (end.last if surely else end.first) <= number
        and (end.mode not in _PARTS if surely else end.mode != "dry")
        and (end.state in _ENDED if surely else bool(end.writes) or not _failed(end))
        for end in trace.runs
    )


def joined(trace: Trace, record: tuple[str, int], number: int, lag: float) -> bool:
    """Whether the record was certainly read, or written, before this happening. lag: seconds for
    which a read of its member may miss it."""
    entry = _entry(trace, record, number)
    if entry is None:
        return True
    if any((h.member, h.key) == record and h.who == "syncd" for h in _since(trace, entry, number)):
        return True
    return any(
        entry.number < end.first
        and end.last <= number
        and end.mode not in _PARTS
        and end.state in (*_ENDED, "failed")
        and f"{entry.member} was not read" not in end.text
        and (end.last == end.first or trace.happenings[end.first].time > entry.time + lag)
        for end in trace.runs
    )


_ENDED = ("done", "needs-person")
_PARTS = ("dry", "entity")  # runs that need not have looked at a record


def _failed(end: RunEnd) -> bool:
    return end.state.startswith("error")


def _entry(trace: Trace, record: tuple[str, int], number: int) -> Happening | None:
    """When the record came, the last time before."""
    for h in reversed(trace.happenings[:number]):
        if (h.member, h.key) == record and h.what in ("insert", "restore"):
            return h
    return None


def _since(trace: Trace, entry: Happening, number: int) -> list[Happening]:
    return trace.happenings[entry.number : number]
