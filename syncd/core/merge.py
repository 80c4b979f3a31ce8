"""Merging one group of fields over all members of an entity (laws 1, 3, 9, 13, 14)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from syncd.core.cases import answer, make_case, still_open
from syncd.core.model import (
    UNSET,
    Agreed,
    Base,
    Candidate,
    Case,
    CaseKind,
    Decision,
    Fields,
    Note,
    NoteKind,
    Origin,
)
from syncd.core.observe import Side
from syncd.core.policy import Rival, choose, rank
from syncd.core.rules import Drift, FlowRules, Policy
from syncd.core.sets import merge_sets
from syncd.core.stance import Group, Stance, full, same, stand
from syncd.core.values import blank

Claim = tuple[str, Fields, str | None]  # member, the group as it would have it, when edited


@dataclass(frozen=True, slots=True)
class Merged:
    """What one group comes to.

    agreed   new agreed values of its fields (all of them, moved or not)
    bases    new bases, by member and field; only those that move
    case     open: the group is frozen everywhere
    waits    frozen without a case: an unknown write has to be settled first
    edited   members with a change that counted, or counts in the open case
    overwrites  members whose first-seen value is to be overwritten by `first`
    """

    group: Group
    agreed: Mapping[str, Agreed]
    bases: Mapping[str, Mapping[str, Base]] = field(default_factory=dict)
    case: Case | None = None
    waits: bool = False
    edited: tuple[str, ...] = ()
    overwrites: tuple[str, ...] = ()
    reason: str = ""
    cause: str = ""
    notes: tuple[Note, ...] = ()
    used: tuple[int, ...] = ()

    @property
    def frozen(self) -> bool:
        return self.case is not None or self.waits


@dataclass(frozen=True, slots=True)
class _Verdict:
    """The value a group takes.

    moved    it gets the next sequence
    settles  a person or the `first` policy chose it over every other first-seen value
    beats    the agreed value was a candidate and lost
    beats    the agreed value was a candidate and lost
    """

    values: Fields
    moved: bool
    origin: Origin
    reason: str
    used: tuple[int, ...] = ()
    settles: bool = False
    beats: bool = False


def merge_group(
    rules: FlowRules,
    group: Group,
    agreed: Mapping[str, Agreed],
    sides: Mapping[str, Side],
    cases: Sequence[Case],
    decisions: Sequence[Decision],
    run: int,
) -> Merged:
    """One group of one entity. `sides` in the order of member names; `cases` as stored."""
    now = {name: agreed[name] for name in group if name in agreed}
    if not cases and len(now) == len(group) and _unmoved(group, sides):
        return Merged(group, now)
    mapped = {n: s for n, s in sides.items() if any(f in rules.members[n].reads for f in group)}
    kept = still_open(cases, group, mapped)
    if kept is not None:
        return Merged(group, now, case=kept)
    if any(
        not s.read and any(s.link.bases[f].sent is not UNSET for f in group if f in s.link.bases)
        for s in mapped.values()
    ):
        return Merged(group, now, waits=True)
    stances = [stand(rules, group, now, side) for side in mapped.values() if side.read]
    stances = [s for s in stances if s.values]
    proofs, notes = _proofs(stances)
    if not stances:
        return Merged(group, now)
    found = _GroupMerge(rules, group, now, mapped, stances, decisions, run).merge()
    bases = {m: dict(moves) for m, moves in proofs.items()}
    for member, moves in found.bases.items():
        bases.setdefault(member, {}).update(moves)
    return Merged(
        group, found.agreed, bases, found.case, False, found.edited, found.overwrites,
        found.reason, found.cause, notes + found.notes, found.used,
    )  # fmt: skip


def _unmoved(group: Group, sides: Mapping[str, Side]) -> bool:
    """Every value read is its base to the letter: most groups of most records that changed."""
    for side in sides.values():
        fields, bases = side.fields, side.link.bases
        for name in group:
            base = bases.get(name)
            if base is None:
                if name in fields:
                    return False
                continue
            moved = name in fields and fields[name] != base.value
            if moved or base.unproven or base.sent is not UNSET:
                return False
    return True


def _proofs(stances: Sequence[Stance]) -> tuple[dict[str, dict[str, Base]], tuple[Note, ...]]:
    """Bases that this read moved by itself: unknown writes found, own forms recognised."""
    moves: dict[str, dict[str, Base]] = {}
    notes: list[Note] = []
    for stance in stances:
        for name, base in stance.bases.items():
            if base != stance.side.link.bases[name]:
                moves.setdefault(stance.member, {})[name] = base
        for kind, names in (
            (NoteKind.PROVEN, stance.proven),
            (NoteKind.DEGRADED, stance.own_form),
        ):
            if names:
                values = {name: stance.values[name] for name in names}
                notes.append(Note(kind, stance.member, names, values))
    return moves, tuple(notes)


class _GroupMerge:
    """The state of one merge, so that its steps read as sentences."""

    def __init__(
        self,
        rules: FlowRules,
        group: Group,
        agreed: Mapping[str, Agreed],
        sides: Mapping[str, Side],
        stances: Sequence[Stance],
        decisions: Sequence[Decision],
        run: int,
    ) -> None:
        self.rules, self.group, self.agreed = rules, group, agreed
        self.sides, self.stances, self.decisions, self.run = sides, stances, decisions, run
        lead = rules.fields[group[0]]
        self.conflict, self.first, self.is_set = lead.conflict, lead.first, lead.is_set
        self.sources = frozenset(m for f in group for m in rules.sources(f))
        targets = frozenset(m for f in group for m in rules.targets(f))
        self.unwritable = tuple(m for m in sides if m in self.sources and m not in targets)
        self.values = {name: a.value for name, a in agreed.items()}
        self.seq = max((a.seq for a in agreed.values()), default=0)

    # -- the steps ---------------------------------------------------------------------------

    def merge(self) -> Merged:
        edits, drifts = self._edits()
        firsts = [s for s in self.stances if s.firsts and s not in edits and s not in drifts]
        merges = bool(self.conflict) and self.conflict[0].kind == "merge" and self.is_set
        doubtful = [s for s in drifts if s.forced]
        if doubtful:  # no drift before it is known whether our own write looks like that here
            drifts = [s for s in drifts if not s.forced]
            edits = [*edits, *doubtful]
        if merges and (edits or firsts) and not any(s.forced for s in edits):
            verdict: _Verdict | Case | None = self._unite(edits, firsts)
        elif self.agreed:
            verdict = self._settle_edits(edits)
        else:
            verdict = self._settle_first(firsts)
        if isinstance(verdict, Case):
            return self._open(verdict, edits)
        after: Mapping[str, Agreed] = self._seal(verdict)
        if not after:
            return Merged(self.group, self.agreed)
        overwrites: tuple[str, ...] = ()
        if not merges or any(s.forced for s in edits):
            met = self._meet(firsts, edits, verdict, after)
            if isinstance(met, Case):
                return self._open(met, edits)
            verdict, after, overwrites = met
        return self._close(verdict, after, edits, drifts, firsts, overwrites)

    def _edits(self) -> tuple[list[Stance], list[Stance]]:
        """Changes that count, and drift: changes without authority (law 1)."""
        edits: list[Stance] = []
        drifts: list[Stance] = []
        for stance in self.stances:
            if not stance.changed:
                continue
            counts = stance.member in self.sources and self._telling(stance)
            (edits if counts else drifts).append(stance)
        return edits, drifts

    def _telling(self, stance: Stance) -> tuple[str, ...]:
        """Changed fields without those that only blank a field under `fill`."""
        return tuple(
            name
            for name in stance.changed
            if not (self.rules.fields[name].fill and blank(stance.values[name]))
        )

    def _settle_edits(self, edits: Sequence[Stance]) -> _Verdict | Case | None:
        """Law 3 where there is an agreed value: none, one or several candidates."""
        if not edits:
            return None
        claims = [(s.member, self._claim(s), s.side.edited) for s in edits]
        beats = False
        ranked = [s for s in edits if s.member in self.unwritable]
        if ranked and len(self.unwritable) > 1:
            best, beats = self._ranked()
            if isinstance(best, _Verdict | Case):
                return best
            claims = [c for c in claims if c[0] not in self.unwritable]
            claims.append((best.holders[0], best.values, best.at))
            edits = [s for s in edits if s.member not in self.unwritable]
        join = any(s.behind or s.degraded for s in edits)
        rivals = self._rivals(claims, join)
        if len(rivals) == 1:
            verdict = self._take(rivals[0], f"edited in {rivals[0].holders[0]}")
            return replace(verdict, beats=beats and verdict.moved)
        kind = CaseKind.FIELD
        if any(s.forced for s in edits):
            kind = CaseKind.UNPROVEN
        elif any(s.degraded for s in edits) and not any(s.behind for s in edits):
            kind = CaseKind.LOSSY
        policies = () if kind is CaseKind.UNPROVEN else self.conflict
        return self._decide(kind, policies, rivals, self._shown(claims, join), "several edits")

    def _ranked(self) -> tuple[Rival | _Verdict | Case, bool]:
        """Law 13: current values of all sources that cannot be written, ranked by the policy; and
        whether the policy had to choose."""
        claims = []
        for member in self.unwritable:
            side = self.sides[member]
            have = side.fields if side.read else {n: b.value for n, b in side.link.bases.items()}
            values = full(self.group, self.agreed, have, self.group)
            claims.append((member, values, side.edited))
        rivals = self._rivals(claims, False)
        if len(rivals) == 1:
            return rivals[0], False
        chosen = choose(self.conflict, rivals, self.rules.tolerance)
        if chosen is not None:
            return chosen[0], True
        shown = self._shown(claims, False)
        decided = self._decide(CaseKind.FIELD, (), rivals, shown, "sources disagree")
        assert decided is not None
        return decided, False

    def _settle_first(self, firsts: Sequence[Stance]) -> _Verdict | Case | None:
        """Law 9 where nothing is agreed yet: the first values of an entity or of a field."""
        able = [s for s in firsts if s.member in self.sources]
        if not able:
            return None
        claims = [(s.member, s.values, s.side.edited) for s in able]
        ranked = [c for c in claims if c[0] in self.unwritable]
        if len(ranked) > 1:
            rivals = self._rivals(ranked, False)
            chosen = None
            if len(rivals) > 1:
                chosen = choose(self.conflict, rivals, self.rules.tolerance)
            if len(rivals) == 1 or chosen is not None:
                best = chosen[0] if chosen is not None else rivals[0]
                claims = [c for c in claims if c[0] not in self.unwritable]
                claims.append((best.holders[0], best.values, best.at))
        filled = [c for c in claims if not self._blank(c[1])]
        rivals = self._rivals(filled or claims, False)
        if len(rivals) == 1:
            return self._take(rivals[0], f"first seen in {rivals[0].holders[0]}")
        seen = [(s.member, s.values, s.side.edited) for s in firsts if not self._blank(s.values)]
        return self._decide(
            CaseKind.FIRST, self.first, rivals, self._shown(seen, False), "first sight"
        )

    def _meet(
        self,
        firsts: Sequence[Stance],
        edits: Sequence[Stance],
        verdict: _Verdict | None,
        after: Mapping[str, Agreed],
    ) -> tuple[_Verdict | None, Mapping[str, Agreed], tuple[str, ...]] | Case:
        """First-seen values against the agreed one: equal, filled, or `first` decides."""
        values = {name: a.value for name, a in after.items()}
        target = same(self.rules, self.group, values)
        others = [
            s
            for s in firsts
            if not self._blank(s.values)
            and same(self.rules, self.group, {**values, **s.values}) != target
        ]
        if not others:
            return verdict, after, ()
        if verdict is not None and verdict.settles:
            return verdict, after, tuple(s.member for s in others)
        origin = next(iter(after.values())).origin
        holders = [origin.member] if origin.member else []
        holders += [
            s.member
            for s in self.stances
            if s not in others
            and s.member in self.sources
            and same(self.rules, self.group, {**values, **s.values}) == target
        ]
        standing = Rival(values, target, tuple(dict.fromkeys(holders)), True, origin.at)
        claims: list[Claim] = [(s.member, {**values, **s.values}, s.side.edited) for s in others]
        rivals = [standing, *self._rivals(claims, False)]
        chosen = choose(self.first, rivals, self.rules.tolerance)
        if chosen is not None:
            rival, policy = chosen
            if rival is standing:
                return verdict, after, tuple(s.member for s in others)
            if rival.holders[0] in self.sources and verdict is None:
                found = self._take(rival, f"first {policy}")
                return found, self._seal(found), tuple(s.member for s in others)
        claims += [(s.member, self._claim(s), s.side.edited) for s in edits]
        shown = self._shown(claims, bool(self.agreed) or not edits, values)
        decided = self._decide(CaseKind.FIRST, (), rivals, shown, "first sight")
        if isinstance(decided, _Verdict):
            return decided, self._seal(decided), tuple(s.member for s in others)
        assert isinstance(decided, Case)
        return decided

    def _unite(self, edits: Sequence[Stance], firsts: Sequence[Stance]) -> _Verdict | None:
        """Law 15: sets merge by element, and unite where there is no base."""
        (name,) = self.group
        current = self.values.get(name)
        voices = [
            (s.values.get(name), s.bases[name].value if name in s.bases else None)
            for s in sorted([*edits, *firsts], key=lambda s: rank(self.conflict, s.member))
            if s.member in self.sources
        ]
        if not voices:
            return None
        value = merge_sets(current, voices, self.rules.fields[name].compare)
        compare = self.rules.fields[name].compare
        moved = name not in self.agreed or compare(value) != compare(current)
        lead = [*edits, *firsts][0]
        origin = Origin(lead.member, self.run, "merge", lead.side.edited)
        return _Verdict({name: value}, moved, origin, "merge")

    # -- outcomes ----------------------------------------------------------------------------

    def _seal(self, verdict: _Verdict | None) -> dict[str, Agreed]:
        if verdict is None or not verdict.moved:
            return dict(self.agreed)
        return {
            name: Agreed(value, self.seq + 1, verdict.origin)
            for name, value in verdict.values.items()
        }

    def _close(
        self,
        verdict: _Verdict | None,
        after: Mapping[str, Agreed],
        edits: Sequence[Stance],
        drifts: Sequence[Stance],
        firsts: Sequence[Stance],
        overwrites: tuple[str, ...],
    ) -> Merged:
        """No case: move the base of everyone who changed or was seen first (law 5)."""
        bases: dict[str, dict[str, Base]] = {}
        notes: list[Note] = []
        for stance in (*edits, *firsts):
            lost = []
            for name in stance.changed if stance in edits else stance.firsts:
                if name not in after:
                    continue
                won = self._equal(name, stance.values[name], after[name].value)
                old = stance.bases[name].seq if name in stance.bases else 0
                moves = bases.setdefault(stance.member, {})
                moves[name] = Base(stance.values[name], after[name].seq if won else old)
                if stance.forced and not won:
                    moves[name] = replace(moves[name], seen=stance.values[name])
                if not won and not (stance in firsts and blank(stance.values[name])):
                    lost.append(name)
            if lost and not self.is_set:
                values = {name: stance.values[name] for name in lost}
                why = verdict.reason if verdict is not None else "agreed"
                notes.append(Note(NoteKind.LOST, stance.member, tuple(lost), values, why))
        if verdict is not None and verdict.beats:
            member = self._origin().member or ""
            notes.append(Note(NoteKind.LOST, member, self.group, dict(self.values), verdict.reason))
        for stance in drifts:
            case = self._drift(stance, after, bases, notes)
            if case is not None:
                if isinstance(case, Case):
                    return self._open(case, edits)
                rest = [other for other in drifts if other is not stance]
                return self._close(
                    case, self._seal(case), [*edits, stance], rest, firsts, overwrites
                )
        reason = verdict.reason if verdict is not None else ""
        cause = verdict.origin.member or "" if verdict is not None else ""
        used = verdict.used if verdict is not None else ()
        edited = tuple(s.member for s in edits)
        return Merged(
            self.group, after, bases, None, False, edited, overwrites, reason, cause,
            tuple(notes), used,
        )  # fmt: skip

    def _drift(
        self,
        stance: Stance,
        after: Mapping[str, Agreed],
        bases: dict[str, dict[str, Base]],
        notes: list[Note],
    ) -> Case | _Verdict | None:
        fields = [n for n in stance.changed if n in after]
        differing = [n for n in fields if not self._equal(n, stance.values[n], after[n].value)]
        policy = self.rules.drift
        if differing and policy is Drift.REVIEW:
            claims = [(stance.member, self._claim(stance), stance.side.edited)]
            shown = self._shown(claims, True)
            rivals = self._rivals(claims, True)
            decided = self._decide(CaseKind.DRIFT, (), rivals, shown, "no authority over it")
            if decided is not None:
                return decided
        moves = bases.setdefault(stance.member, {})
        for name in fields:
            keep = name not in differing or policy is Drift.KEEP
            moves[name] = Base(stance.values[name], after[name].seq if keep else 0)
        if differing:
            values = {name: stance.values[name] for name in differing}
            notes.append(Note(NoteKind.DRIFT, stance.member, tuple(differing), values, str(policy)))
        return None

    def _open(self, case: Case, edits: Sequence[Stance]) -> Merged:
        edited = tuple(s.member for s in edits)
        return Merged(self.group, self.agreed, {}, case, False, edited)

    # -- candidates --------------------------------------------------------------------------

    def _claim(self, stance: Stance) -> Fields:
        own = (*stance.changed, *stance.firsts)
        if stance.member in self.sources:
            own = (*self._telling(stance), *stance.firsts)
        return full(self.group, self.agreed, stance.values, own)

    def _rivals(self, claims: Sequence[Claim], agreed: bool) -> list[Rival]:
        """Distinct values, each in the form of its best-ranked holder, in a stable order."""
        found: dict[object, list[Claim]] = {}
        for claim in sorted(claims, key=lambda c: rank(self.conflict, c[0])):
            found.setdefault(same(self.rules, self.group, claim[1]), []).append(claim)
        standing = same(self.rules, self.group, self.values) if agreed and self.agreed else None
        rivals = []
        for form, holders in found.items():
            times = [c[2] for c in holders]
            members = [c[0] for c in holders]
            if form == standing:
                origin = self._origin()
                members += [origin.member] if origin.member else []
                times.append(origin.at)
            at = None if None in times else max(t for t in times if t is not None)
            rivals.append(Rival(holders[0][1], form, tuple(members), form == standing, at))
        if standing is not None and standing not in found:
            origin = self._origin()
            members = [origin.member] if origin.member else []
            rivals.append(Rival(self.values, standing, tuple(members), True, origin.at))
        return rivals

    def _shown(
        self,
        claims: Sequence[Claim],
        agreed: bool,
        values: Fields | None = None,
    ) -> tuple[Candidate, ...]:
        """The candidates as a person sees them: one a member, the agreed value last."""
        shown = [
            Candidate(member, dict(claim), self.sides[member].link.key, 0, at)
            for member, claim, at in sorted(claims, key=lambda c: c[0])
        ]
        if agreed and (self.agreed or values is not None):
            standing = self.values if self.agreed else values or {}
            at = self._origin().at if self.agreed else None
            shown.append(Candidate("agreed", dict(standing), None, self.seq, at))
        return tuple(shown)

    def _take(self, rival: Rival, reason: str) -> _Verdict:
        """The one candidate. Where it equals the agreed value, that stays as it is: no sequence,
        no write; only the base of who changed moves up to it."""
        moved = not self.agreed or rival.same != same(self.rules, self.group, self.values)
        origin = Origin(rival.holders[0] if rival.holders else None, self.run, reason, rival.at)
        return _Verdict(rival.values, moved, origin, reason)

    def _decide(
        self,
        kind: CaseKind,
        policies: Sequence[Policy],
        rivals: Sequence[Rival],
        shown: tuple[Candidate, ...],
        why: str,
    ) -> _Verdict | Case | None:
        case = make_case(kind, self.group, shown, why)
        said = answer(case, self.decisions)
        if said is not None:
            values, decision = said
            taken = decision.source if decision.source in self.sides else None
            origin = Origin(taken, self.run, f"person:{decision.by}")
            whole = {**self.values, **values}
            beats = any(r.agreed and r.same != same(self.rules, self.group, whole) for r in rivals)
            return _Verdict(whole, True, origin, origin.rule, (decision.id,), True, beats)
        chosen = choose(policies, rivals, self.rules.tolerance)
        if chosen is None:
            return case
        rival, policy = chosen
        first = kind is CaseKind.FIRST
        member = rival.holders[0] if rival.holders else None
        origin = Origin(member, self.run, f"first {policy}" if first else str(policy), rival.at)
        beats = not rival.agreed and any(r.agreed for r in rivals)
        return _Verdict(rival.values, True, origin, origin.rule, (), first, beats)

    # -- small words -------------------------------------------------------------------------

    def _origin(self) -> Origin:
        return max(self.agreed.values(), key=lambda a: a.seq).origin

    def _blank(self, values: Fields) -> bool:
        return all(blank(value) for value in values.values())

    def _equal(self, name: str, a: object, b: object) -> bool:
        compare = self.rules.fields[name].compare
        return bool(compare(a) == compare(b))
