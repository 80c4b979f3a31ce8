"""Law 3: a policy takes the candidate that it names, and no other.

Judged is what a policy put in the place of a value that a user had given there: the audit says
which policy it was, the truth who gave either value, and when. Where more than one member gave the
winning value, or records changed more than once, nothing is said: too many could have been meant.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from syncd.simulate.oracle.facts import Fields, Flow, StoreView
from syncd.simulate.trace import Happening, Trace

TOLERANCE = 2.0  # seconds, of `newest`


class Winners:
    """vague: members whose own times and readings may be off: late or lagging."""

    def __init__(
        self,
        trace: Trace,
        fields: Fields,
        flows: Callable[[int], Flow],
        vague: Collection[str],
        view: StoreView,
    ) -> None:
        self.trace, self.fields, self.flows = trace, fields, flows
        self.vague, self.view = vague, view
        self.people: dict[int, list[Happening]] = {}
        for h in trace.happenings:
            if h.who in ("user", "syncd"):
                self.people.setdefault(h.person, []).append(h)

    def judge(self) -> Iterator[str]:
        for h in self.trace.happenings:
            if (
                h.who != "syncd"
                or h.what != "update"
                or not h.before
                or h.op_id not in self.view.ops
            ):
                continue
            for name, won in h.sent.items():
                if name in self.fields.sets or name in self.fields.vague or won is None:
                    continue
                lost = h.before[name]
                policy = self._policy(h, name, lost)
                if policy and not self.fields.same(name, lost, won):
                    yield from self._wrong(h, name, lost, won, policy)

    def _policy(self, h: Happening, name: str, lost: Any) -> str:
        """By which, says the audit, this member's value lost; "" = by none, or by several."""
        said = {
            str(row["reason"]).removeprefix("first ")
            for row in self.view.told.get(self.view.ops[h.op_id], ())
            if row["kind"] == "lost" and row["member"] == h.member
            if self._holds(row["after"], name, lost)
        }
        return said.pop() if len(said) == 1 else ""

    def _holds(self, text: str | None, name: str, value: Any) -> bool:
        told: Mapping[str, Any] = json.loads(text or "{}")
        return name in told and bool(told[name] == value)

    def _wrong(self, h: Happening, name: str, lost: Any, won: Any, policy: str) -> Iterator[str]:
        before = [o for o in self.people[h.person] if o.number < h.number]
        losers = self._givers(before, name, lost)
        winners = self._givers(before, name, won)
        if h.member not in losers or len(winners) != 1 or h.member in winners:
            return
        (winner,) = winners
        what = f"p{h.person}.{name}: {lost!r} of {h.member} lost to {won!r} of {winner}"
        kind, _, order = policy.partition(":")
        if kind == "prefer":
            named = order.split(",")
            ranks = [named.index(m) if m in named else len(named) for m in (h.member, winner)]
            if ranks[0] < ranks[1]:
                yield f"I2: {what} by {policy} [{h.number}]"
        elif kind == "newest" and not {h.member, winner} & set(self.vague):
            one = self._moment(before, h.member, h.key, losers[h.member])
            other = self._moment(before, winner, 0, winners[winner])
            if one is not None and other is not None and other - one <= TOLERANCE:
                yield f"I2: {what} by newest, given {other - one:.1f} seconds later [{h.number}]"

    def _givers(self, told: list[Happening], name: str, value: Any) -> dict[str, Happening]:
        """Members at which a user gave this value, and when the last time."""
        return {
            o.member: o
            for o in told
            if o.who == "user" and o.after is not None and name in o.after
            if o.what != "restore"  # it was given before
            if self.fields.same(name, o.after[name], value)
            if o.before is None or not self.fields.same(name, o.before[name], value)
        }

    def _moment(
        self, told: list[Happening], member: str, key: int, gave: Happening
    ) -> float | None:
        """When the record was last edited, if that was the edit in question; key 0: its own."""
        there = [o for o in told if (o.member, o.key) == (member, key or gave.key)]
        return gave.time if there and there[-1] is gave else None
