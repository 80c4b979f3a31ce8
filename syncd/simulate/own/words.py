"""Values and happenings as a person reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from syncd.simulate.people import AUTOMATION
from syncd.simulate.trace import Happening

_LONGEST = 40

FAULTS: Mapping[str, str] = {
    # what a system does
    "down": "does not answer",
    "denied": "refuses access",
    "cut": "breaks off while it is read",
    "empty": "answers without a single record, and without an error",
    "column": "has lost a column",
    "moved": "is another database than before",
    "before": "breaks the connection before anything was sent",
    "lost": "does what it was sent, and its answer is lost",
    "half": "does half of what it was sent, and does not answer",
    "silent": "does nothing, and does not answer",
    "refuse": "refuses some records",
    "shuffle": "answers in another order",
    "missing": "leaves out an answer",
    "mute": "cannot say what became of a write",
    # what happens to syncd
    "crash": "syncd is killed",
    "crash-write": "syncd is killed before it writes",
    "crash-answer": "syncd is killed before the answer comes",
    "store-begin": "syncd is killed before it notes something",
    "store-commit": "syncd is killed while it notes something",
    "store-after": "syncd is killed after it noted something",
    "pause": "syncd stands still for longer than its lease",
    "takeover": "another process takes the flow over",
    "resume": "the first process goes on",
    "jump": "the clock of the machine jumps",
    "interrupt": "somebody stops the run",
    "other": "the other process ends with an error",
}

SYSTEMS = frozenset(list(FAULTS)[: list(FAULTS).index("crash")])


def said(value: Any) -> str:
    """A value, short; texts in quotes, so that blanks are seen."""
    if value is None:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def values(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{n} {said(v)}" for n, v in row.items() if v is not None) or "nothing"


def moved(h: Happening) -> str:
    """The fields that an update changed, before and after."""
    before, after = h.before or {}, h.after or {}
    names = [name for name in after if before.get(name) != after[name]]
    return ", ".join(f"{n} {said(before.get(n))} → {said(after[n])}" for n in names)


def line(h: Happening, run: int) -> str:
    """One happening. run: the number of the run at work, or of the last one."""
    who = f"p{h.person}"
    if h.who == "fault":
        told = FAULTS.get(h.what, h.what)
        return (
            told
            if told.startswith(("syncd", "some", "the ", "another")) or not h.member
            else (f"{h.member} {told}")
        )
    if h.who == "operator":
        return f"a person answers: {h.detail or h.what}"
    if h.who == "syncd":
        match h.what:
            case "insert":
                return f"run {run} creates {who} at {h.member}: {values(h.after or {})}"
            case "update":
                return f"run {run} writes {who} at {h.member}: {moved(h)}"
        return f"run {run} deletes {who} at {h.member}"
    match h.what:
        case "insert":
            return f"somebody enters {who} at {h.member}: {values(h.after or {})}"
        case "delete":
            return f"somebody deletes {who} at {h.member}"
        case "restore":
            return f"somebody restores {who} at {h.member}"
    if h.detail == AUTOMATION:
        return f"an automation of {h.member} changes {who}: {moved(h)}"
    return f"somebody changes {who} at {h.member}: {moved(h)}"
