"""Merging one group of fields over all members of an entity (laws 1, 3, 9, 13, 14)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from syncd.core.candidates import Contest, Verdict
from syncd.core.cases import make_case, still_open
from syncd.core.firsts import differing, empty, meet, orphaned, settle_first
from syncd.core.model import (
    UNSET,
    Agreed,
    Base,
    Case,
    CaseKind,
    Decision,
    Note,
    NoteKind,
    Origin,
)
from syncd.core.observe import Side
from syncd.core.policy import Rival, choose, rank
from syncd.core.rules import Drift, FlowRules
from syncd.core.sets import merge_sets
from syncd.core.stance import Group, Stance, proofs, stand, unmoved
from syncd.core.values import blank


@dataclass(frozen=True, slots=True)
class Merged:
    """What one group comes to.

    agreed   new agreed values of its fields (all of them, moved or not)
    bases    new bases, by member and field; only those that move
    case     open: the group is frozen everywhere
    waits    frozen without a case: an unknown write has to be settled first
    edited   members with a change that counted, or counts in the open case
    remapped a change in it may be the mapping's, not anybody's
    """

    group: Group
    agreed: Mapping[str, Agreed]
    bases: Mapping[str, Mapping[str, Base]] = field(default_factory=dict)
    case: Case | None = None
    waits: bool = False
    edited: tuple[str, ...] = ()
    reason: str = ""
    cause: str = ""
    notes: tuple[Note, ...] = ()
    used: tuple[int, ...] = ()
    remapped: bool = False

    @property
    def frozen(self) -> bool:
        return self.case is not None or self.waits


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
    if not cases and len(now) == len(group) and unmoved(group, sides):
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
    moved, notes = proofs(stances)
    if not stances:
        return Merged(group, now)
    found = _GroupMerge(Contest(rules, group, now, mapped, decisions, run), stances).merge()
    bases = {m: dict(moves) for m, moves in moved.items()}
    for member, moves in found.bases.items():
        bases.setdefault(member, {}).update(moves)
    remapped = any(set(s.changed) & s.side.remapped for s in stances)
    return replace(found, bases=bases, notes=notes + found.notes, remapped=remapped)


class _GroupMerge:
    """The steps of one merge, so that they read as sentences."""

    def __init__(self, contest: Contest, stances: Sequence[Stance]) -> None:
        self.contest, self.stances = contest, stances
        self.rules, self.group, self.agreed = contest.rules, contest.group, contest.agreed
        self.is_set = self.rules.fields[self.group[0]].is_set

    def merge(self) -> Merged:
        edits, drifts = self._edits()
        firsts, strays = self._firsts()
        conflict = self.contest.conflict
        merges = bool(conflict) and conflict[0].kind == "merge" and self.is_set
        doubtful = [s for s in drifts if s.forced]
        if doubtful:  # no drift before it is known whether our own write looks like that here
            drifts = [s for s in drifts if not s.forced]
            edits = [*edits, *doubtful]
        unites = merges and not any(s.forced or s.reset for s in edits)
        strangers = [] if unites else firsts
        if unites and (edits or firsts):
            verdict: Verdict | Case | None = self._unite(edits, firsts)
        elif self.agreed:
            verdict = self._settle_edits(edits)
        else:
            verdict = settle_first(self.contest, firsts)
        if isinstance(verdict, Verdict):
            verdict = orphaned(self.contest, verdict, firsts, strays)
        if not isinstance(verdict, Case):
            if not self.contest.seal(verdict):
                return Merged(self.group, self.agreed)
            verdict = meet(self.contest, self.stances, strangers, edits, verdict)
        doubted = self._doubted(verdict, drifts, strays)
        verdict = self._asked(verdict, edits, doubted, firsts, strangers)
        if isinstance(verdict, Case):
            said = self.contest.said(verdict)
            if said is None:
                found = tuple(s.member for s in edits)
                return Merged(self.group, self.agreed, {}, verdict, False, found)
            verdict, edits = said, [*edits, *doubted]
            drifts = [s for s in drifts if s not in doubted]
            strays = [s for s in strays if s not in doubted]
        return self._close(verdict, edits, drifts, firsts, strays)

    # -- the verdict -------------------------------------------------------------------------

    def _edits(self) -> tuple[list[Stance], list[Stance]]:
        """Changes that count, and drift: changes without authority (law 1)."""
        edits: list[Stance] = []
        drifts: list[Stance] = []
        for stance in self.stances:
            if not stance.changed:
                continue
            counts = stance.member in self.contest.sources and self.contest.telling(stance)
            (edits if counts else drifts).append(stance)
        return edits, drifts

    def _firsts(self) -> tuple[list[Stance], list[Stance]]:
        """Values seen for the first time, and strays: those of members without authority."""
        firsts: list[Stance] = []
        strays: list[Stance] = []
        for stance in self.stances:
            if stance.firsts and stance.member in self.contest.sources:
                firsts.append(stance)
            elif stance.firsts and not stance.changed:
                strays.append(stance)
        return firsts, strays

    def _settle_edits(self, edits: Sequence[Stance]) -> Verdict | Case | None:
        """Law 3 where there is an agreed value: none, one or several candidates."""
        if not edits:
            return None
        contest, beats = self.contest, False
        claims = [contest.claim(s) for s in edits]
        policies, why = contest.conflict, "several edits"
        if contest.ranks() and any(s.member in contest.unwritable for s in edits):
            edits = [s for s in edits if s.member not in contest.unwritable]
            claims = [c for c in claims if c[0] not in contest.unwritable]
            best, beats = self._ranked()
            if best is not None:
                claims.append((best.holders[0], best.values, best.at))
            else:
                claims += contest.standing()
                policies, why = (), "sources disagree"
        join = any(s.behind or s.degraded or not s.side.untold.isdisjoint(s.changed) for s in edits)
        rivals = contest.rivals(claims, join)
        if len(rivals) == 1:
            verdict = contest.take(rivals[0], f"edited in {rivals[0].holders[0]}")
            return replace(verdict, beats=beats and verdict.moved)
        kind = CaseKind.FIELD
        if any(s.forced for s in edits):
            kind, policies = CaseKind.UNPROVEN, ()
            why = "what stands there is not what was sent"
        elif any(s.degraded for s in edits) and not any(s.behind for s in edits):
            kind, why = CaseKind.LOSSY, "edited where the value is held in another form"
        shown = contest.shown(claims, contest.values if join else None)
        found = contest.decide(kind, policies, rivals, shown, why)
        # the ranked value may be one that another member's edit had replaced
        return replace(found, beats=True) if beats and isinstance(found, Verdict) else found

    def _ranked(self) -> tuple[Rival | None, bool]:
        """Law 13: current values of all sources that cannot be written, ranked by the policy
        (None = it cannot); and whether it had to choose."""
        rivals = self.contest.rivals(self.contest.standing(), False)
        if len(rivals) == 1:
            return rivals[0], False
        chosen = choose(self.contest.conflict, rivals, self.rules.tolerance)
        return (None if chosen is None else chosen[0]), True

    def _doubted(
        self, verdict: Verdict | Case | None, drifts: Sequence[Stance], strays: Sequence[Stance]
    ) -> list[Stance]:
        """Drift that a person is asked about: under `review`, and not what is agreed anyway."""
        drifts, strays = self._under(Drift.REVIEW, drifts), self._under(Drift.REVIEW, strays)
        if isinstance(verdict, Case):
            return [*drifts, *differing(self.contest, strays, self.contest.values)]
        after = self.contest.seal(verdict)
        apart = [
            s
            for s in drifts
            if any(
                n in after and not self.contest.equal(n, s.values[n], after[n].value)
                for n in s.changed
            )
        ]
        return [*apart, *differing(self.contest, strays, {n: a.value for n, a in after.items()})]

    def _under(self, drift: Drift, stances: Sequence[Stance]) -> list[Stance]:
        return [s for s in stances if self.rules.drift_of(s.member, self.group[0]) is drift]

    def _asked(
        self,
        verdict: Verdict | Case | None,
        edits: Sequence[Stance],
        doubted: Sequence[Stance],
        firsts: Sequence[Stance],
        strangers: Sequence[Stance],
    ) -> Verdict | Case | None:
        """A person is asked once, of everything that is open: were it one question after the
        other, the answer to the first would be void as soon as the second is put."""
        if isinstance(verdict, Case):
            others = differing(self.contest, strangers, self.contest.values) if self.agreed else []
            return self.contest.widened(verdict, others, doubted) if others or doubted else verdict
        if not doubted:
            return verdict
        voices = edits if self.agreed else [s for s in firsts if not empty(s.values)]
        claims = [self.contest.claim(s) for s in voices]
        shown = self.contest.shown(claims, self.contest.values if self.agreed else None, doubted)
        return make_case(CaseKind.DRIFT, self.group, shown, "no authority over it")

    def _unite(self, edits: Sequence[Stance], firsts: Sequence[Stance]) -> Verdict | None:
        """Law 15: sets merge by element, and unite where there is no base."""
        contest = self.contest
        (name,) = self.group
        current = contest.values.get(name)
        voices = [
            (s.values.get(name), s.bases[name].value if name in s.bases else None)
            for s in sorted([*edits, *firsts], key=lambda s: rank(contest.conflict, s.member))
            if s.member in contest.sources
        ]
        if not voices:
            return None
        compare = self.rules.fields[name].compare
        value = merge_sets(current, voices, compare)
        moved = name not in self.agreed or compare(value) != compare(current)
        lead = [*edits, *firsts][0]
        origin = Origin(lead.member, contest.run, "merge", lead.side.edited)
        return Verdict({name: value}, moved, origin, "merge")

    # -- outcomes ----------------------------------------------------------------------------

    def _close(
        self,
        verdict: Verdict | None,
        edits: Sequence[Stance],
        drifts: Sequence[Stance],
        firsts: Sequence[Stance],
        strays: Sequence[Stance],
    ) -> Merged:
        """No case: move the base of everyone who changed or was seen first (law 5)."""
        after = self.contest.seal(verdict)
        bases: dict[str, dict[str, Base]] = {}
        notes: list[Note] = []
        reason = verdict.reason if verdict is not None else ""
        united = reason == "merge"  # every source's voice is in it, so that none lost
        apart = differing(self.contest, strays, {n: a.value for n, a in after.items()})
        filled = [s for s in strays if s not in apart]
        for stance in (*edits, *(s for s in firsts if s not in edits), *filled):
            first = stance in firsts or not stance.changed
            seen = stance.firsts if first else ()
            names = (*(stance.changed if stance in edits else ()), *seen)
            lost = self._take_base(stance, names, after, bases.setdefault(stance.member, {}))
            # a blank at first sight is no loss
            lost = [n for n in lost if n not in seen or not blank(stance.values[n])]
            if lost and not (united and stance.member in self.contest.sources):
                values = {name: stance.values[name] for name in lost}
                notes.append(
                    Note(NoteKind.LOST, stance.member, tuple(lost), values, reason or "agreed")
                )
        if verdict is not None and verdict.beats and self.agreed:
            member = self.contest.origin().member or ""
            values = dict(self.contest.values)
            notes.append(Note(NoteKind.LOST, member, self.group, values, reason))
        for stance in (*drifts, *apart):
            self._drift(stance, after, bases.setdefault(stance.member, {}), notes)
        cause = verdict.origin.member or "" if verdict is not None else ""
        used = verdict.used if verdict is not None else ()
        edited = tuple(s.member for s in edits)
        return Merged(
            self.group, after, bases, None, False, edited, reason, cause, tuple(notes), used,
        )  # fmt: skip

    def _take_base(
        self,
        stance: Stance,
        names: Sequence[str],
        after: Mapping[str, Agreed],
        moves: dict[str, Base],
    ) -> list[str]:
        """The base becomes the value read: under the agreed sequence where it won, else under its
        old one, so that it is pending. Answers the fields whose value lost."""
        lost = []
        for name in names:
            if name not in after:
                continue
            value = stance.values[name]
            won = self.contest.equal(name, value, after[name].value)
            old = stance.bases[name].seq if name in stance.bases else 0
            behind = min(old, after[name].seq - 1)
            moves[name] = Base(value, after[name].seq if won else behind)
            if not won:
                lost.append(name)
                if stance.forced and stance.bases[name].value == after[name].value:
                    moves[name] = replace(moves[name], seen=value)  # the same is sent again
        return lost

    def _drift(
        self,
        stance: Stance,
        after: Mapping[str, Agreed],
        moves: dict[str, Base],
        notes: list[Note],
    ) -> None:
        """A value without authority: marked pending, so that the agreed one is written there, or
        kept. One seen for the first time is lost with that: nobody had it on record."""
        fields = [n for n in stance.changed or stance.firsts if n in after]
        values = {
            n: stance.values[n]
            for n in fields
            if not self.contest.equal(n, stance.values[n], after[n].value)
        }
        policy = self.rules.drift_of(stance.member, self.group[0])
        for name in fields:
            keep = name not in values or policy is Drift.KEEP
            moves[name] = Base(stance.values[name], after[name].seq if keep else 0)
        if values:
            lost = not stance.changed and policy is not Drift.KEEP
            kind, text = (NoteKind.LOST, f"drift: {policy}") if lost else (NoteKind.DRIFT, policy)
            notes.append(Note(kind, stance.member, tuple(values), values, str(text)))
