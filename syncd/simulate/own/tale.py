"""The smallest life that breaks a promise, told step by step."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from syncd.simulate.fields import Model
from syncd.simulate.own.words import line, said
from syncd.simulate.trace import RunEnd, Trace

_STEPS = 30  # of a story
_ROUNDS = 4  # of what goes on for ever
_SUBJECT = re.compile(r"\bp(\d+)(?:\.([A-Za-z][\w-]*)(?= is | = )| is missing)")
_EDIT = re.compile(r"\[(\d+)(?::|\])")


@dataclass(frozen=True, slots=True)
class Subject:
    """What a broken promise is about. field "": the record as a whole."""

    person: int
    field: str = ""


def subject(text: str, trace: Trace) -> Subject | None:
    """Of an oracle's sentence."""
    found = _SUBJECT.search(text)
    if found:
        return Subject(int(found[1]), found[2] or "")
    at = _EDIT.search(text)
    if at and int(at[1]) < len(trace.happenings):
        h = trace.happenings[int(at[1])]
        return Subject(h.person, next(iter(h.sent), ""))
    return None


def mark(text: str, trace: Trace) -> str:
    """What tells one way of breaking a promise from another: the law, and the field."""
    law = text.partition(":")[0]
    about = subject(text, trace)
    return f"{law} {about.field}" if law in ("I1", "I2", "I5") and about else law


def restless(trace: Trace) -> Subject | None:
    """The field that is still written in the last runs, when nobody edits any more."""
    settling = [end for end in trace.runs if end.settling]
    for end in reversed(settling):
        for h in trace.happenings[end.first : end.last]:
            if h.who == "syncd":
                names = [n for n in h.sent if (h.before or {}).get(n) != (h.after or {}).get(n)]
                return Subject(h.person, next(iter(names), ""))
    return None


def steps(trace: Trace) -> list[str]:
    """Everything that happened, in order."""
    told: list[str] = []
    busy = 0
    for at, end in enumerate(trace.runs):
        first = trace.runs[at - 1].last if at else 0
        number = at + 1
        busy += end.settling and end.writes > 0
        if busy > _ROUNDS:
            return [*told, "and so on, run after run"]
        told += [line(h, number) for h in trace.happenings[first : end.first]]
        told += [line(h, number) for h in trace.happenings[end.first : end.last]]
        told += _ended(end, number, bool(end.last - first))
    if len(told) > _STEPS:
        told[_STEPS:] = [f"… and {len(told) - _STEPS} steps more"]
    return told


def _ended(end: RunEnd, number: int, eventful: bool) -> list[str]:
    if end.state == "needs-person":
        return [f"run {number} is done; something waits for a person"] if eventful else []
    if end.state == "crash":
        return []
    if end.state in ("done", "planned"):
        quiet = eventful and not end.writes
        return [f"run {number} finds nothing to do"] if quiet else []
    why = end.text or end.state
    return [f"run {number} stops: {why}"]


def swings(trace: Trace, about: Subject) -> list[str]:
    """The values that a field of a record had, one after the other, at every member: where two
    systems rewrite each other they come again and again."""
    found: dict[str, list[Any]] = {}
    for h in trace.happenings:
        if h.person != about.person or h.after is None or about.field not in h.after:
            continue
        value, past = h.after[about.field], found.setdefault(h.member, [])
        if not past or past[-1] != value:
            past.append(value)
    return [
        f"{about.field} at {member}: " + " → ".join(said(value) for value in past[-6:])
        for member, past in found.items()
        if len(past) > 2
    ]


def ending(model: Model, truth: Mapping[str, Any], about: Subject) -> list[str]:
    """What stands at each member in the end."""
    told = []
    for member, rows in truth.items():
        mine = [values for person, values in rows.values() if person == about.person]
        if not mine:
            told.append(f"{member} has no record of p{about.person}")
        elif about.field:
            if about.field in model.places[member]:
                told += [f"{member} has {about.field} {said(v[about.field])}" for v in mine]
        else:
            told.append(f"{member} has {len(mine)} of p{about.person}")
    return told


def culprit(law: str, about: Subject | None) -> tuple[str, ...]:
    """The path below the flow's table in the config to look at."""
    paths: Mapping[str, Sequence[str]] = {
        "I3": ("deletes",), "I4": ("match",), "I9": ("guard",), "I14": ("deletes",),
    }  # fmt: skip
    if law in paths:
        return tuple(paths[law])
    return ("fields", about.field) if about is not None and about.field else ()
