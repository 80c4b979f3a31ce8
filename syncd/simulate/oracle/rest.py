"""What must hold once the faults are over and everything has come to rest: I1, I2, I7, I12, I17."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from syncd.simulate.oracle.edits import Edit, edits, joined
from syncd.simulate.oracle.facts import Fields, Flow, StoreView, blank, overruled
from syncd.simulate.trace import Happening, Trace

Truth = Mapping[str, Mapping[int, tuple[int, Mapping[str, Any]]]]
"""By member and key number: the person, and the values, of each live record."""

_Standing = tuple[str, int, Mapping[str, Any]]  # member, key, values
_EXCUSED = ("unlinked", "ignored", "declined", "archived", "dormant", "out-of-scope")


class Rest:
    def __init__(
        self,
        trace: Trace,
        fields: Fields,
        flow: Flow,
        flows: Callable[[int], Flow],
        lags: Mapping[str, float],
        truth: Truth,
        view: StoreView,
    ) -> None:
        self.trace, self.fields, self.flow, self.flows = trace, fields, flow, flows
        last = trace.runs[-1].round if trace.runs else 0
        known = [flows(number) for number in range(last + 1)]
        self.keeps = any(f.said("drift", "revert") == "keep" for f in known)
        self.travels = all(f.said("deletes", "review") == "propagate" for f in known)
        self.lags, self.truth, self.view = lags, truth, view
        self.people: dict[int, list[_Standing]] = {}
        for member, rows in truth.items():
            for key, (person, values) in rows.items():
                self.people.setdefault(person, []).append((member, key, values))
        self.entities = self._entities()
        self.policies = {w for f in known for o in ("conflict", "first") for w in f.words(o)}
        self.decided = max(
            (h.number for h in trace.happenings if h.who == "operator" and h.what == "decide"),
            default=-1,
        )
        self.operated = {h.what for h in trace.happenings if h.who == "operator"}
        wins = any(f.said("delete_conflict", "review") == "delete-wins" for f in known)
        self.buries = wins or not self.travels or bool(self.operated)  # a deletion may beat an edit

    def judge(self) -> Iterator[str]:
        yield from self._quiet()
        yield from self._settled()
        for person in sorted(self.people):
            yield from self._converged(person)
        yield from self._kept()

    # --- I1, I17

    def _quiet(self) -> Iterator[str]:
        settling = [end for end in self.trace.runs if end.settling]
        wrong = [end for end in settling if end.state.startswith(("error", "crash", "failed"))]
        if wrong:
            yield f"I1: without a fault a run ends {wrong[-1].state}: {wrong[-1].text}"
        if any(end.writes for end in settling[-2:]):
            yield f"I17: still writing after {len(settling)} runs without a fault or an edit"

    def _settled(self) -> Iterator[str]:
        if self.view.open.waiting:
            yield f"I7: operations neither sent nor settled: {sorted(self.view.open.waiting)[:3]}"

    def _entities(self) -> dict[int, set[int]]:
        """Entities of each person, by the records they have or had."""
        found: dict[int, set[int]] = {}
        for h in self.trace.happenings:
            if h.who in ("user", "syncd"):
                entity = self.view.entity(h.member, h.key)
                known = {entity, *self.view.gone.get((h.member, h.key), set())} - {0}
                found.setdefault(h.person, set()).update(known)
        return found

    def _parked(self, person: int) -> bool:
        """Something of this person waits for somebody."""
        open_ = self.view.open
        mine = self.entities.get(person, set())
        if 0 in open_.holds:
            return True  # a member that came back empty: a person has to say whether it is
        if mine & (open_.holds | open_.quarantine | open_.unknown):
            return True
        if any((member, key) in open_.unreadable for member, key, _ in self.people.get(person, ())):
            return True
        if any("*" in open_.fields.get(entity, ()) for entity in mine):
            return True
        token = f"p{person}."
        return any(token in text for text in open_.identity) or any(
            values.get(name) is not None
            and self.fields.contains(open_.identity, name, values[name])
            for _, _, values in self.people.get(person, ())
            for name in self.flow.matched()
        )

    def _converged(self, person: int) -> Iterator[str]:
        flow = self.flow
        here = {member: (key, values) for member, key, values in self.people[person]}
        crowded = len(here) < len(self.people[person])
        mine = self.entities.get(person, set())
        if crowded or person < 0 or self._parked(person) or len(mine) > 1:
            return
        if self._let_go(person, mine):
            return
        frozen = set().union(*(self.view.open.fields.get(entity, set()) for entity in mine))
        # a create without a complete listing waits for the next full run (law 11)
        full = self.trace.runs[-1].mode == "full"
        if full and any(flow.is_source(member) for member in here) and not frozen:
            for member in flow.members:
                if flow.is_target(member) and member not in here and not self._gone(member, mine):
                    yield f"I1: p{person} is missing at {member}"
        targets = [m for m in here if flow.is_target(m)]
        for one, other in combinations(sorted(targets), 2):
            for name in self.fields:
                if name in frozen or not (flow.maps(one, name) and flow.maps(other, name)):
                    continue
                if self.fields.fixed & {(one, name), (other, name)}:
                    continue
                if not any(flow.speaks(member, name) for member in here):
                    continue  # nobody who has a say in it has a record
                a, b = here[one][1][name], here[other][1][name]
                if not self._alike(name, one, a, other, b):
                    yield f"I1: p{person}.{name} is {a!r} at {one} and {b!r} at {other}"

    def _alike(self, name: str, one: str, a: Any, other: str, b: Any) -> bool:
        """The same thing, or what one of them makes of the other's."""
        same, kept = self.fields.same, self.fields.kept
        if same(name, a, b):
            return True
        made, back = kept(one, name, b), kept(other, name, a)
        both = kept(other, name, made)
        if same(name, a, made) or same(name, b, back) or same(name, both, back):
            return True
        if not self.keeps:
            return False
        filled = bool(self.flow.options(name).get("fill")) and None in (a, b)
        return filled or not (self.flow.speaks(one, name) and self.flow.speaks(other, name))

    def _let_go(self, person: int, entities: set[int]) -> bool:
        """A link of it is excused, for a reason that a policy or a person gave; or because its
        member is only read from, and somebody whose deletions count deleted it elsewhere."""
        excused = {
            member
            for (member, _), (entity, state) in self.view.links.items()
            if entity in entities and state in _EXCUSED
        }
        if not self.travels or self.operated:
            return bool(excused)
        heard = self.flow.heard()
        return any(not self.flow.is_target(member) for member in excused) and any(
            h.what == "delete" and h.who == "user" and h.person == person and h.member in heard
            for h in self.trace.happenings
        )

    def _gone(self, member: str, entities: set[int]) -> bool:
        """Deleted there, and the policy or a person lets the others live."""
        drifts = self.keeps and member not in self.flow.heard()
        if self.travels and not self.flow.unanimous() and not drifts and not self.operated:
            return False
        return any(
            at[0] == member and known & entities for at, known in self.view.gone.items()
        ) or any(at[0] == member and e in entities for at, (e, _) in self.view.links.items())

    # --- I2

    def _kept(self) -> Iterator[str]:
        told = edits(self.trace, self.fields)
        for number, edit in enumerate(told):
            # entered anew after a deletion: the same entity, and what it had before is no change
            again = edit.first and any(self._saw(edit, e) for e in told[:number])
            if not again and not self._found(edit, told[number + 1 :]):
                yield (
                    f"I2: {edit.member} p{edit.person}.{edit.name} = {edit.value!r} "
                    f"(saw {edit.saw!r}) is lost [{edit.number}]"
                )

    def _found(self, edit: Edit, later: Sequence[Edit]) -> bool:
        flow = self.flows(edit.run)
        if not flow.speaks(edit.member, edit.name) or not self.flow.speaks(edit.member, edit.name):
            return True
        if blank(edit.value) and (edit.unmet or self.flow.options(edit.name).get("fill")):
            return True
        if any(self._saw(edit, e) for e in later) or self._deleted(edit):
            return True
        here = self.people.get(edit.person, [])
        if any(
            self._holds(edit, member, values[edit.name])
            for member, _, values in here
            if edit.name in values
        ):
            return True
        if self._on_its_own(edit) or self._taken_back(edit) or self._withdrawn(edit):
            return True
        mine = self.entities.get(edit.person, set())
        open_ = self.view.open
        if self._parked(edit.person):
            return True
        if edit.value is None and any((entity, edit.name) in self.view.firsts for entity in mine):
            return True  # blanked while first sight was open: a blank is filled (law 9)
        options = flow.options(edit.name), self.flow.options(edit.name)
        united = all(said.get("conflict") in ("merge", ["merge"]) for said in options)
        if united and here and not edit.unmet and not self.operated and not self._ended(edit):
            return self._merged(edit, later, here)
        for entity in mine:
            texts = [*open_.cases.get(entity, ()), *self._lost(entity, edit)]
            if self.fields.contains(texts, edit.name, edit.value):
                return True
        if not any(flow.is_target(member) for member, _, _ in here):
            return self._buried(edit)
        if edit.name in self.fields.sets:
            return self._merged(edit, later, here)
        # a person's answer overruled it: the value stands in the audit, or in the case closed
        return self.decided > edit.number and self._told(edit)

    def _lost(self, entity: int, edit: Edit) -> list[str]:
        """What the audit says was overruled, by somebody who may."""
        rows = self.view.told.get(entity, ())
        return [text(r) for r in rows if overruled(r, edit.name) and self._may(r, edit)]

    def _may(self, row: Mapping[str, Any], edit: Edit) -> bool:
        """Whether the flow has this policy; a person decides about what they were shown only."""
        if row["kind"] in ("delete", "archive"):
            return self.buries
        reason = str(row["reason"])
        words = {part.rpartition(": ")[2].removeprefix("first ") for part in reason.split("; ")}
        unknown = {w for w in words if w.startswith(("newest", "prefer:", "review"))}
        if unknown and not unknown & self.policies - {"review"}:
            return False
        return "person:" not in reason or self.decided > edit.number

    def _saw(self, edit: Edit, other: Edit) -> bool:
        if other.name != edit.name or other.person != edit.person or other.first:
            return False
        speaks = self.flows(other.run).speaks(other.member, other.name)
        if not speaks and other.member != edit.member:
            return False  # it takes the place of nothing elsewhere
        return self._holds(edit, other.member, other.saw)

    def _holds(self, edit: Edit, member: str, value: Any) -> bool:
        """This member has the edit's value, or its own form of it."""
        name, fields = edit.name, self.fields
        return fields.same(name, value, edit.value) or fields.same(
            name, value, fields.kept(member, name, edit.value)
        )

    def _deleted(self, edit: Edit) -> bool:
        """A user who saw it deleted the record; where the field or the member is not written, or a
        drifted value stays, nobody could."""
        heard, name = self.flow.heard(), edit.name
        saw: set[tuple[str, int]] = set()  # records whose users put something else in its place
        for h in self.trace.happenings:
            if h.who != "user" or h.person != edit.person or not h.before:
                continue
            if h.number < edit.number and not self._unheard(h, edit):
                continue
            at, there = (h.member, h.key), name in h.before
            if there and self._holds(edit, h.member, h.before[name]):
                saw.add(at)
            if h.what != "delete":
                continue
            blind = not there or (h.member, name) in self.fields.fixed
            flow = self.flows(h.run)
            blind = blind or not flow.is_target(h.member)
            blind = blind or (self.keeps and not flow.speaks(h.member, name))
            if at in saw or (blind and h.member in heard and self._told(edit)):
                return True
        return False

    def _unheard(self, gone: Happening, edit: Edit) -> bool:
        """A deletion at a member that is only read from and whose copies lag: it is heard of after
        an edit that was made later."""
        lag = self.lags.get(gone.member, 0.0)
        late = gone.what == "delete" and edit.time - gone.time < lag
        return late and not self.flows(gone.run).is_target(gone.member)

    def _ended(self, edit: Edit) -> bool:
        """A record of this person was deleted since; another may have come."""
        since = self.trace.happenings[edit.number :]
        return any(h.what == "delete" and h.person == edit.person for h in since)

    def _buried(self, edit: Edit) -> bool:
        """Nothing of the person is left, as a policy or a person wanted: the value is in the
        audit."""
        return self.buries and self._told(edit)

    def _told(self, edit: Edit) -> bool:
        """The audit has the value."""
        mine = self.entities.get(edit.person, set())
        texts = [text(row) for entity in mine for row in self.view.told.get(entity, ())]
        return self.fields.contains(texts, edit.name, edit.value)

    def _on_its_own(self, edit: Edit) -> bool:
        """The record takes part no more, as a policy or a person wanted."""
        state = self.view.links.get((edit.member, edit.key), (0, ""))[1]
        return state in _EXCUSED and (not self.travels or bool(self.operated))

    def _taken_back(self, edit: Edit) -> bool:
        """The value stood there when the record was last read: an edit taken back is no change."""
        ends = [
            end.last
            for end in self.trace.runs
            if end.last <= edit.number
            and end.read(edit.person)
            and end.state in ("done", "needs-person")
        ]
        if not ends:
            return False
        for h in reversed(self.trace.happenings[: ends[-1]]):
            if (h.member, h.key) == (edit.member, edit.key) and h.after is not None:
                return self.fields.same(edit.name, h.after[edit.name], edit.value)
        return False

    def _withdrawn(self, edit: Edit) -> bool:
        """What stood there before an edit that never went anywhere is back: law 2 knows no change.
        A version, or a time, tells of one where something else was agreed meanwhile (law 5); where
        there is neither, nobody can know that somebody did anything there."""
        member = self.flows(edit.run).raw["members"].get(edit.member, {})
        tells = bool(member.get("version") or member.get("modified"))
        name, mine, elsewhere = edit.name, [edit.saw], []
        for h in reversed(self.trace.happenings[: edit.number]):
            if h.person != edit.person or h.after is None or name not in h.after:
                continue
            if (h.member, h.key) != (edit.member, edit.key):
                if tells and h.who == "syncd" and name in h.sent:
                    return False
                if h.who == "syncd" or not tells:  # else somebody there had the same idea
                    elsewhere.append(h.after[name])
            elif h.before is None or name in h.sent:
                return False
            elif self._holds(edit, edit.member, h.before[name]):
                return not any(self.fields.same(name, a, b) for a in mine for b in elsewhere)
            else:
                mine.append(h.before[name])
        return False

    def _merged(self, edit: Edit, later: Sequence[Edit], here: Sequence[_Standing]) -> bool:
        """Sets merge by element: what was added is there, or somebody who saw it took it out."""
        added = set(edit.value or ()) - set(edit.saw or ())
        removed = set(edit.saw or ()) - set(edit.value or ()) - self._late(edit)
        removed -= self._fleeting(edit)
        if edit.unmet:
            removed = set()
        took = {
            t
            for e in later
            if e.name == edit.name and e.person == edit.person
            for t in set(e.saw or ()) - set(e.value or ())
        }
        gave = {
            t
            for e in later
            if e.name == edit.name and e.person == edit.person
            for t in set(e.value or ()) - set(e.saw or ())
        }
        mine = self.view.entity(edit.member, edit.key)
        finals = [
            set(values[edit.name] or ())
            for member, key, values in here
            if self.flow.is_target(member) and edit.name in values
            if (member, edit.name) not in self.fields.fixed
            if not mine or self.view.entity(member, key) == mine  # two of one person may stay two
        ]
        return all(added - took <= final and not (removed - gave) & final for final in finals)

    def _fleeting(self, edit: Edit) -> set[Any]:
        """Elements that came to this record after the last run began to read it: to law 2, what
        comes and goes between two reads never was there."""
        begins = [
            end.first
            for end in self.trace.runs
            if end.last <= edit.number and end.read(edit.person)
        ]
        for h in reversed(self.trace.happenings[: begins[-1] if begins else 0]):
            if (h.member, h.key) == (edit.member, edit.key) and h.after is not None:
                return set(edit.saw or ()) - set(h.after[edit.name] or ())
        return set()

    def _late(self, edit: Edit) -> set[Any]:
        """Elements that stand in records which nobody knew at the time: without a base sets unite
        (law 15)."""
        return {
            element
            for member, key, values in self.people.get(edit.person, ())
            if (member, key) != (edit.member, edit.key) and edit.name in values
            if not joined(self.trace, (member, key), edit.number, self.lags[member])
            for h in self.trace.happenings
            if (h.member, h.key) == (member, key) and h.who == "user" and h.after is not None
            for element in h.after[edit.name] or ()
        }


def text(row: Mapping[str, Any]) -> str:
    return f"{row['before'] or ''} {row['after'] or ''}"
