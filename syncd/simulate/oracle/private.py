"""I16: values of private fields stand in no message, no error and no reason, whoever quotes them.

Candidates and the audit keep them, as data: whoever shows those has to mask them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from syncd.simulate.oracle.facts import Fields, Flow, StoreView
from syncd.simulate.trace import Trace

SHORTEST = 5  # characters by which a value is known again among ids and numbers
_UNREAD = re.compile(r"\?'(.*)'")


def shown(trace: Trace, fields: Fields, flow: Flow, view: StoreView) -> Iterator[str]:
    private = {name for name in fields if flow.options(name).get("private")}
    if not private:
        return
    told: dict[str, str] = {}
    public: set[str] = set()
    for h in trace.happenings:
        for values in (h.before, h.after, h.sent):
            for name, text in _texts(values or {}):
                if name not in private:
                    public.add(text)
                elif name not in fields.vague:
                    told[text] = name
    words = sorted(set(told) - public, key=lambda word: (-len(word), word))
    if not words:
        return
    anyone = re.compile(r"(?<!\w)(" + "|".join(map(re.escape, words)) + r")(?!\w)")
    for where, text in _said(trace, view):
        found = anyone.search(text)
        if found:
            yield f"I16: {told[found[1]]} is private, and {where} says {text!r}"


def _texts(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, str):
                unread = _UNREAD.fullmatch(one)
                text = (unread[1] if unread else one).strip()
                if len(text) >= SHORTEST:
                    yield name, text


def _said(trace: Trace, view: StoreView) -> Iterable[tuple[str, str]]:
    for end in trace.runs:
        yield f"round {end.round}", end.text
    yield from view.said
