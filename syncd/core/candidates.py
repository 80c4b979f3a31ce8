"""Who claims what of one group, and what policies and people make of it (laws 3, 13, 14)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from syncd.core.cases import answer, make_case
from syncd.core.model import (
    Agreed,
    Candidate,
    Case,
    CaseKind,
    Decision,
    Fields,
    Origin,
    Value,
)
from syncd.core.observe import Side
from syncd.core.policy import Rival, choose, rank
from syncd.core.rules import FlowRules, Policy
from syncd.core.stance import Group, Stance, full, same
from syncd.core.values import blank

Claim = tuple[str, Fields, str | None]  # member, the group as it would have it, when edited


@dataclass(frozen=True, slots=True)
class Verdict:
    """The value a group takes.

    moved    it gets the next sequence
    settles  a person or the `first` policy chose it over every other first-seen value
    beats    the agreed value was a candidate and lost
    """

    values: Fields
    moved: bool
    origin: Origin
    reason: str
    used: tuple[int, ...] = ()
    settles: bool = False
    beats: bool = False


class Contest:
    """One group of one entity as its members contest it.

    sources     members whose changes of the group are candidates (law 1)
    ranked      those of them that are no target (law 13)
    unwritable  those of them that have a record of this entity
    values      agreed ones, as far as there are any; seq: their sequence, else 0
    """

    def __init__(
        self,
        rules: FlowRules,
        group: Group,
        agreed: Mapping[str, Agreed],
        sides: Mapping[str, Side],
        decisions: Sequence[Decision],
        run: int,
    ) -> None:
        self.rules, self.group, self.agreed = rules, group, agreed
        self.sides, self.decisions, self.run = sides, decisions, run
        lead = rules.fields[group[0]]
        self.conflict, self.first = lead.conflict, lead.first
        self.sources = frozenset(m for f in group for m in rules.sources(f))
        targets = frozenset(m for f in group for m in rules.targets(f))
        self.ranked = self.sources - targets
        self.unwritable = tuple(m for m, s in sides.items() if m in self.ranked and not s.missing)
        self.values = {name: a.value for name, a in agreed.items()}
        self.seq = max((a.seq for a in agreed.values()), default=0)

    # -- claims ------------------------------------------------------------------------------

    def telling(self, stance: Stance) -> tuple[str, ...]:
        """Changed fields without those that only blank a field under `fill`."""
        return tuple(
            name
            for name in stance.changed
            if not (self.rules.fields[name].fill and blank(stance.values[name]))
        )

    def claim(self, stance: Stance) -> Claim:
        """The group as this member changed it. A field without a base has not changed (law 9): it
        brings the agreed value, as far as there is one."""
        if stance.member in self.sources and not stance.forced:
            own = (*self.telling(stance), *(n for n in stance.firsts if n not in self.agreed))
            values = full(self.group, self.agreed, stance.values, own)
            return stance.member, values, stance.edited
        return self.holding(stance)

    def sighted(self, stance: Stance, values: Fields) -> Fields:
        """The group with what was first seen at this member, on these values: a blank is filled."""
        seen = {n: stance.values[n] for n in stance.firsts}
        return {**values, **{n: v for n, v in seen.items() if n not in values or not blank(v)}}

    def holding(self, stance: Stance) -> Claim:
        """The group as it stands at this member, whatever its say in it."""
        own = (*stance.changed, *stance.firsts)
        values = full(self.group, self.agreed, stance.values, own)
        return stance.member, values, stance.edited

    def ranks(self) -> bool:
        """Whether the values of sources that cannot be written are ranked: there are several. The
        last one left is so against what another of them had; what a member gave that can be
        written meets its change like any agreed value."""
        last = len(self.ranked) > 1 and self.origin().member in self.ranked
        return (len(self.unwritable) > 1 or last) and bool(self.standing())

    def standing(self) -> list[Claim]:
        """What each source that cannot be written holds now; what was not read of it counts with
        its base."""
        claims: list[Claim] = []
        for member in self.unwritable:
            side = self.sides[member]
            have = {**{n: b.value for n, b in side.link.bases.items()}, **side.fields}
            own = [n for n in self.group if n in have and not self._mute(side, n, have[n])]
            if own:
                claims.append((member, full(self.group, self.agreed, have, own), side.edited))
        return claims

    def _mute(self, side: Side, name: str, value: Value) -> bool:
        """A blank that has no say: under `fill` (law 1), or one that was there at first sight and
        was filled then (law 9), had it been possible to write here."""
        base = side.link.bases.get(name)
        filled = base is None or (base.seq == 0 and blank(base.value))
        return blank(value) and (self.rules.fields[name].fill or filled)

    def rivals(self, claims: Sequence[Claim], agreed: bool) -> list[Rival]:
        """Distinct values, each in the form of its best-ranked holder, in a stable order;
        `agreed`: the agreed value is one of them."""
        found: dict[object, list[Claim]] = {}
        for claim in sorted(claims, key=lambda c: rank(self.conflict, c[0])):
            found.setdefault(self.same(claim[1]), []).append(claim)
        standing = self.same(self.values) if agreed and self.agreed else None
        rivals = []
        for form, holders in found.items():
            times = [c[2] for c in holders]
            members = [c[0] for c in holders]
            if form == standing:
                origin = self.origin()
                members += [origin.member] if origin.member else []
                times.append(origin.at)
            at = None if None in times else max(t for t in times if t is not None)
            rivals.append(Rival(holders[0][1], form, tuple(members), form == standing, at))
        if standing is not None and standing not in found:
            origin = self.origin()
            members = [origin.member] if origin.member else []
            rivals.append(Rival(self.values, standing, tuple(members), True, origin.at))
        return rivals

    def shown(
        self, claims: Sequence[Claim], standing: Fields | None, drifts: Sequence[Stance] = ()
    ) -> tuple[Candidate, ...]:
        """The candidates as a person sees them: one a member, last the value that stands. drifts:
        values without authority, shown beside them."""
        heard = {c[0] for c in claims}
        unheard = {s.member for s in drifts} - heard
        claims = [*claims, *(self.holding(s) for s in drifts if s.member in unheard)]
        shown = [
            Candidate(
                member,
                dict(claim),
                self.sides[member].link.key,
                0,
                at,
                member in self.sources and member not in unheard,
            )
            for member, claim, at in sorted(claims, key=lambda c: c[0])
        ]
        if standing is not None:
            at = self.origin().at if self.agreed else None
            shown.append(Candidate("agreed", dict(standing), None, self.seq, at))
        return tuple(shown)

    # -- verdicts ----------------------------------------------------------------------------

    def take(self, rival: Rival, reason: str) -> Verdict:
        """The one candidate. Where it equals the agreed value, that stays as it is: no sequence,
        no write; only the base of who changed moves up to it."""
        moved = not self.agreed or rival.same != self.same(self.values)
        origin = Origin(rival.holders[0] if rival.holders else None, self.run, reason, rival.at)
        return Verdict(rival.values, moved, origin, reason)

    def decide(
        self,
        kind: CaseKind,
        policies: Sequence[Policy],
        rivals: Sequence[Rival],
        shown: tuple[Candidate, ...],
        why: str,
    ) -> Verdict | Case:
        """What the policies make of the rivals; else the case, for a person."""
        chosen = choose(policies, rivals, self.rules.tolerance)
        if chosen is None:
            return make_case(kind, self.group, shown, why)
        rival, policy = chosen
        first = kind is CaseKind.FIRST
        member = rival.holders[0] if rival.holders else None
        if rival.agreed:  # it counts as its origin's, whoever else wants it (law 3)
            member = self.origin().member
        origin = Origin(member, self.run, f"first {policy}" if first else str(policy), rival.at)
        beats = not rival.agreed and any(r.agreed for r in rivals)
        return Verdict(rival.values, True, origin, origin.rule, (), first, beats)

    def widened(self, case: Case, stances: Sequence[Stance], drifts: Sequence[Stance]) -> Case:
        """The case with what these members hold among its candidates, too: first seen there, whole
        also where an edit of another field is a candidate already, or drift."""
        standing = self.values if self.agreed else None
        extra = {
            c.source: c for c in self.shown([self.holding(s) for s in stances], standing, drifts)
        }
        found = {c.source: c for c in (*extra.values(), *case.candidates)}
        found.update({s.member: extra[s.member] for s in stances})
        shown = sorted(found.values(), key=lambda c: (c.source == "agreed", c.source))
        return make_case(case.kind, case.fields, shown, case.reason)

    def said(self, case: Case) -> Verdict | None:
        """What a person decided of exactly this case."""
        found = answer(case, self.decisions)
        if found is None:
            return None
        values, decision = found
        taken = decision.source if decision.source in self.sides else None
        origin = Origin(taken, self.run, f"person:{decision.by}")
        whole = {**self.values, **values}
        beats = bool(self.agreed) and self.same(whole) != self.same(self.values)
        rival = len(self.unwritable) > 1 or any(c.source == "agreed" for c in case.candidates)
        return Verdict(whole, True, origin, origin.rule, (decision.id,), True, beats and rival)

    def seal(self, verdict: Verdict | None) -> dict[str, Agreed]:
        """The agreed values under a verdict: with the next sequence where it moves."""
        if verdict is None or not verdict.moved:
            return dict(self.agreed)
        return {
            name: Agreed(value, self.seq + 1, verdict.origin)
            for name, value in verdict.values.items()
        }

    # -- words -------------------------------------------------------------------------------

    def origin(self) -> Origin:
        return max(self.agreed.values(), key=lambda a: a.seq).origin

    def same(self, values: Fields) -> object:
        return same(self.rules, self.group, values)

    def equal(self, name: str, a: object, b: object) -> bool:
        compare = self.rules.fields[name].compare
        return bool(compare(a) == compare(b))
