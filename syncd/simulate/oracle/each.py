"""What must hold after every single event: I3 to I7, I9, I10, I14, I15."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from syncd.simulate.oracle.edits import met
from syncd.simulate.oracle.facts import Fields, Flow, StoreView
from syncd.simulate.trace import Happening, RunEnd, Trace

DAY = 86400.0
_ENDED = ("done", "needs-person")
_APPROVED = re.compile(r"hold \d+ delete (\w*): (\d+) operations")
_Record = tuple[str, int]


class Walk:
    """Goes through what happened, in order, and remembers what it needs of the past.

    flows   the flow as configured, by round
    lags    by member, seconds for which a read may miss a change
    silent  members that do not answer a write with the record: it is proven by a later read
    guessing  members where a write whose answer was lost is found by its values only
    """

    def __init__(
        self,
        trace: Trace,
        fields: Fields,
        flows: Callable[[int], Flow],
        lags: Mapping[str, float],
        silent: Collection[str],
        guessing: Collection[str],
        view: StoreView,
    ) -> None:
        self.trace, self.fields, self.flows, self.view = trace, fields, flows, view
        self.lags, self.silent, self.guessing = lags, silent, guessing
        self.live: dict[_Record, Happening] = {}  # the last change of each live record
        self.entered: dict[_Record, Happening] = {}
        self.tied: dict[_Record, int] = {}  # entities that records were known as
        self.people: dict[int, list[Happening]] = {}  # what users did about a person
        self.ours: dict[int, list[Happening]] = {}  # what syncd did about a person
        self.given: dict[tuple[int, str], list[tuple[Any, str]]] = {}
        self.operated = False
        self.hidden: set[tuple[str, int]] = set()  # (member, round): its listing came back empty
        self.decided = False  # a person said of deletions what becomes of them
        self.approved: dict[str, int] = {}  # by cause, deletions that a person let through
        self.reading = False  # the flow was taken over while its records were read
        self.acted = False  # whoever took it over wrote something
        self.flight: dict[str, float] = {}  # by member, when what was on its way then arrived
        self.deletes: list[tuple[float, str, str]] = []  # (time, cause, target)
        self.broken: list[str] = []

    def judge(self) -> list[str]:
        ends = iter(self.trace.runs)
        end = next(ends, None)
        taken: str | None = None
        for h in self.trace.happenings:
            while end is not None and h.number >= end.last:
                end, taken, self.acted = next(ends, None), None, False
                self.flight.clear()
            if h.who == "operator":
                self.operated = True
                self._answered(h)
            elif h.who == "fault":
                if h.what == "empty":
                    self.hidden.add((h.member, h.run))
                if h.what == "pause":
                    self.reading = h.detail in ("list", "page")
                if h.what == "resume":
                    taken = "after"
                elif h.what == "takeover":
                    taken = "during"
            elif h.who == "user":
                self._user(h)
            elif h.who == "syncd":
                self._owned(h, taken)
                self._syncd(h, end, taken)
                self._remember(h)
        return self.broken

    def fail(self, law: str, h: Happening, text: str) -> None:
        self.broken.append(f"{law}: {text} [{h.number}: {h.what} {h.member} {h.key} p{h.person}]")

    # --- the past

    def _answered(self, h: Happening) -> None:
        self.decided |= h.what in ("decide", "discard")
        said = _APPROVED.fullmatch(h.detail)
        if h.what == "approve" and said is not None:
            self.approved[said[1]] = self.approved.get(said[1], 0) + int(said[2])

    def _user(self, h: Happening) -> None:
        self.people.setdefault(h.person, []).append(h)
        at = (h.member, h.key)
        if h.what == "delete":
            self.live.pop(at, None)
        else:
            self.live[at] = h
            if h.what != "update":
                self.entered[at] = h
            for name, value in (h.after or {}).items():
                self.given.setdefault((h.person, name), []).append((value, h.member))

    def _remember(self, h: Happening) -> None:
        at = (h.member, h.key)
        self.ours.setdefault(h.person, []).append(h)
        if h.what == "delete":
            self.live.pop(at, None)
            return
        self.live[at] = h
        if h.what == "insert":
            self.entered[at] = h
        if h.op_id in self.view.ops:
            self.tied[at] = self.view.ops[h.op_id]

    # --- the checks

    def _syncd(self, h: Happening, end: RunEnd | None, taken: str | None) -> None:
        flow = self.flows(h.run)
        self._scope(h, flow, None if taken == "during" else end)
        if h.what == "insert":
            self._no_duplicate(h, flow, end)
            self._no_resurrection(h, flow)
        elif h.what == "delete":
            self._proven(h, flow)
            self._guarded(h, flow)
        elif h.what == "update":
            self._given(h, flow)

    def _owned(self, h: Happening, taken: str | None) -> None:
        """I15: who lost the flow sends nothing more. One batch a member was on its way then."""
        if taken == "during":
            self.acted = True
        elif taken == "after" and self.acted:
            late = self.flight.setdefault(h.member, h.time) != h.time
            if self.reading or late:
                self.fail("I15", h, "another process had taken the flow over")

    def _scope(self, h: Happening, flow: Flow, end: RunEnd | None) -> None:
        """I6: only what was granted is written."""
        if end is not None and end.mode == "dry":
            self.fail("I6", h, "a dry run writes")
        if end is not None and not end.read(h.person) and self._apart(h, end.person):
            self.fail("I6", h, f"a run for the record of p{end.person} writes another's")
        if not flow.is_target(h.member):
            self.fail("I6", h, f"{h.member} is no target")
            return
        before, after, sent = h.rows
        beyond = [name for name in sent if name not in flow.columns(h.member)]
        if beyond:
            self.fail("I6", h, f"{beyond} are not mapped there")
        if before is not None and after is not None:
            moved = [
                name
                for name in before
                if name not in sent and name != "stamp" and before[name] != after[name]
            ]
            if moved:
                self.fail("I6", h, f"{moved} changed and were not sent")

    def _apart(self, h: Happening, person: int) -> bool:
        """No entity has had records of both."""
        tied = {
            self.tied.get((o.member, o.key), 0)
            for told in (self.people, self.ours)
            for o in told.get(person, ())
        }
        return self.view.ops.get(h.op_id, 0) not in tied - {0}

    def _no_duplicate(self, h: Happening, flow: Flow, end: RunEnd | None) -> None:
        """I4. What a user entered while the run was reading, nobody could have known."""
        assert h.after is not None
        if (h.member, h.run) in self.hidden:
            return  # where nothing was linked yet, an empty answer cannot be told from the truth
        begun = end.first if end is not None else 0
        entity = self.view.ops.get(h.op_id, -1)
        for at, last in self.live.items():
            first = self.entered[at]
            if at[0] != h.member or at[1] == h.key or last.after is None:
                continue
            lag = self.lags.get(h.member, 0.0)
            known = first.number < begun and first.time < self._began(begun, h) - lag
            if not (known or first.who == "syncd"):
                continue
            mine = set(flow.keys(self.fields, h.after))
            shared = sorted(mine.intersection(flow.keys(self.fields, last.after)))
            # restored under its old key, after an edit of that won: its tombstone is gone (law 11)
            apart = first.what == "restore" and first.who == "user" and not shared
            if self.tied.get(at) == entity and not (apart or self._renamed(first, last, flow)):
                self.fail("I4", h, f"{at[1]} there is the same entity")
            settled = last.time < self._began(begun, h) - lag and last.number < begun
            if shared and first.person == h.person and (settled or last.who == "syncd"):
                self.fail("I4", h, f"{at[1]} there has the same key {shared[0]}")

    def _renamed(self, made: Happening, last: Happening, flow: Flow) -> bool:
        """A user gave the record another key before anybody could look for it by the one it was
        made with: where nothing else tells, it never was."""
        if made.who != "syncd" or made.member not in self.guessing:
            return False
        assert made.after is not None and last.after is not None
        known = set(flow.keys(self.fields, made.after))
        return known.isdisjoint(flow.keys(self.fields, last.after))

    def _began(self, begun: int, h: Happening) -> float:
        if 0 < begun <= len(self.trace.happenings) and begun <= h.number:
            return self.trace.happenings[begun].time
        return h.time

    def _no_resurrection(self, h: Happening, flow: Flow) -> None:
        """I3: the last thing a user did about this person was to delete them, everybody had seen
        the same, and still a record is made."""
        told = self.people.get(h.person, [])
        if not told or told[-1].what != "delete" or self.operated:
            return
        last = told[-1]
        if flow.said("deletes", "review") != "propagate" or not flow.is_source(last.member):
            return
        if "deletes_from" in flow.raw or last.before is None or self._unsure(last):
            return
        if not met(self.trace, (last.member, last.key), last.number, surely=True):
            return
        if any(o.member != last.member and self._unread(o, last) for o in told[:-1]):
            return
        if any(self._aside(o, last) for o in told[:-1]) or self._contested(told[:-1], last):
            return
        seen = [
            row.after
            for (member, _), row in self.live.items()
            if row.person == h.person and member != h.member and row.after is not None
        ]
        fields, gone = self.fields, last.before
        alike = all(
            fields.same(name, fields.kept(h.member, name, values[name]), gone[name])
            or fields.same(name, values[name], fields.kept(h.member, name, gone[name]))
            for values in seen
            for name in fields
            if name in values and name in gone
        )
        acted = any(
            o.what == "delete" and o.number > last.number for o in self.ours.get(h.person, [])
        )
        mine = self.view.ops.get(h.op_id)
        at = (last.member, last.key)
        theirs = {self.tied.get(at, 0), *self.view.gone.get(at, ())} - {0}
        if theirs and mine not in theirs:
            return  # another record of the same person, never known to be the same
        if acted or (alike and last.member == h.member):
            self.fail("I3", h, f"deleted by a user at {last.member} and nobody else said anything")

    def _unread(self, said: Happening, gone: Happening) -> bool:
        """The run that heard of the deletion may be the first to see this, too: then it is an
        edit against it (law 12)."""
        if self.lags[said.member] > 0 and said.run >= gone.run - 2:
            return True
        return not any(
            end.first > said.number
            and end.last <= gone.number
            and end.state in (*_ENDED, "failed")
            and end.read(gone.person)
            and f"{said.member} was not read" not in end.text
            for end in self.trace.runs
        )

    def _contested(self, told: list[Happening], gone: Happening) -> bool:
        """An edit that may have stood in an open conflict: a deletion is against that (law 12)."""
        ends = [end for end in self.trace.runs if end.last <= gone.number and end.mode != "dry"]
        done = max((end.last for end in ends if end.state == "done"), default=0)
        return any(o.what == "update" and o.number > done for o in told)

    def _aside(self, said: Happening, gone: Happening) -> bool:
        """An edit of a field that the deleted record has not got, which no run had told of before:
        what stands elsewhere cannot show it, and it is one against the deletion (law 12)."""
        if said.before is None or said.after is None or gone.before is None:
            return False
        between = any(
            end.first > said.number and end.last <= gone.number and end.state in _ENDED
            for end in self.trace.runs
            if end.mode not in ("dry", "entity")
        )
        return not between and any(
            name not in gone.before and not self.fields.same(name, said.before[name], value)
            for name, value in said.after.items()
        )

    def _unsure(self, gone: Happening) -> bool:
        """Nothing had proven, before this deletion, that the record had what was last sent to
        it: then the deletion counts as one against what it had not seen."""
        written = [o for o in self.ours.get(gone.person, []) if o.member == gone.member]
        if gone.member not in self.silent and not self.lags[gone.member]:
            return any(o.run >= gone.run or not self._settled(o, gone) for o in written)
        return bool(written) and written[-1].run >= gone.run - 1

    def _settled(self, written: Happening, gone: Happening) -> bool:
        """A run that came to its end was the one that wrote this, or looked after it."""
        return any(
            written.number <= end.last <= gone.number and end.state in (*_ENDED, "failed")
            for end in self.trace.runs
            if end.mode != "dry"
        )

    def _proven(self, h: Happening, flow: Flow) -> None:
        """I14: somebody whose deletions count must have deleted it."""
        told = self.people.get(h.person, [])
        gone = [d for d in told if d.what == "delete" and d.member in flow.heard()]
        if not gone and not self.operated:
            self.fail("I14", h, "nobody deleted it whose deletion counts")
        if flow.unanimous() and flow.is_source(h.member) and not self.operated:
            self.fail("I14", h, f"{h.member} is a source itself and had not deleted it")
        allowed = flow.said("deletes", "review") in ("propagate", "archive")
        if not allowed and not self.operated:
            self.fail("I14", h, f"deletes = {flow.said('deletes', 'review')}")

    def _guarded(self, h: Happening, flow: Flow) -> None:
        """I9, by count."""
        limit = flow.limit("deletes")
        told = self.people.get(h.person, [])
        causes = {d.member for d in told if d.what == "delete" and flow.is_source(d.member)}
        if limit is None or len(causes) != 1 or self.decided:
            return
        cause = next(iter(causes))
        self.deletes.append((h.time, cause, h.member))
        recent = [d for d in self.deletes if d[1:] == (cause, h.member) and d[0] > h.time - DAY]
        allowed = limit + self.approved.get(cause, 0)
        if len(recent) > allowed:
            self.fail("I9", h, f"{len(recent)} deletions caused by {cause}, {allowed} are allowed")

    def _given(self, h: Happening, flow: Flow) -> None:
        """I5: every value written was given by somebody who may, and as they spelled it: a fold
        compares, it never rewrites."""
        for name, value in h.sent.items():
            told = self.given.get((h.person, name), [])
            if name in self.fields.sets or self.operated or value is None:
                continue
            alike = [
                known
                for said, _ in told
                for known in (said, self.fields.normal(h.member, name, said))
                if self.fields.same(name, known, value)
            ]
            if not alike:
                self.fail("I5", h, f"nobody gave {name} = {value!r}")
            elif not any(known == value for known in alike):
                self.fail("I5", h, f"nobody spelled {name} like {value!r}, but {alike[-1]!r}")
        for group in flow.groups():
            if not self.operated and not self._together(h, group):
                self.fail("I5", h, f"nobody gave {' and '.join(group)} together")
        if h.before is None or h.after is None or self._sent_before(h):
            return
        before, after = h.before, h.after
        if all(
            before[name] == after[name] and self.fields.same(name, before[name], value)
            for name, value in h.sent.items()
        ):
            self.fail("I5", h, "what is written stood there already")

    def _together(self, h: Happening, group: Sequence[str]) -> bool:
        """Law 14: what belongs together stands as a user left it at one member, at one moment; or
        it is what a user changed, and for the rest what was agreed by then: a field that equals
        its own base brings that, also where this member had not got it yet."""
        after = h.after or {}
        names = [name for name in group if name in after]
        if len(names) < 2 or not any(name in h.sent for name in names):
            return True
        told = self.people.get(h.person, ())
        if any(all(self._left(o, name, h) for name in names) for o in told):
            return True
        agreed = [o for o in self.ours.get(h.person, ()) if o.run < h.run]
        for edit in told:
            moved = [n for n in names if edit.before and self._left(edit, n, h)]
            if moved and any(all(n in moved or self._left(o, n, h) for n in names) for o in agreed):
                return True
        return False

    def _left(self, there: Happening, name: str, h: Happening) -> bool:
        """This happening left the value of that field that another one left, or a form of it."""
        if there.after is None or h.after is None or name not in there.after:
            return False
        value, found = there.after[name], h.after[name]
        return self.fields.same(name, value, found) or self.fields.same(
            name, self.fields.kept(h.member, name, value), found
        )

    def _sent_before(self, h: Happening) -> bool:
        """The same operation, or one for the same record whose answer was lost."""
        return any(o.member == h.member and o.key == h.key for o in self.ours.get(h.person, []))
