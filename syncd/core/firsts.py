"""First sight of a group (law 9): values without a base, alone and against the agreed one. Only
those of members with authority have a say in what is agreed; the others' are drift (law 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from syncd.core.candidates import Claim, Contest, Verdict
from syncd.core.cases import make_case
from syncd.core.model import Case, CaseKind, Fields
from syncd.core.policy import Rival, choose
from syncd.core.stance import Stance
from syncd.core.values import blank


def settle_first(contest: Contest, firsts: Sequence[Stance]) -> Verdict | Case | None:
    """Law 9 where nothing is agreed yet: the first values of an entity or of a field."""
    able = [s for s in firsts if s.member in contest.sources]
    if not able:
        return None
    claims: list[Claim] = [(s.member, s.values, s.side.edited) for s in able]
    claims = [c for c in claims if not empty(c[1])] or claims  # a blank is filled, it beats nothing
    ranked = [c for c in claims if c[0] in contest.unwritable]
    if len(ranked) > 1:
        rivals = contest.rivals(ranked, False)
        chosen = None
        if len(rivals) > 1:
            chosen = choose(contest.conflict, rivals, contest.rules.tolerance)
        if len(rivals) == 1 or chosen is not None:
            best = chosen[0] if chosen is not None else rivals[0]
            claims = [c for c in claims if c[0] not in contest.unwritable]
            claims.append((best.holders[0], best.values, best.at))
    rivals = contest.rivals(claims, False)
    if len(rivals) == 1:
        return contest.take(rivals[0], f"first seen in {rivals[0].holders[0]}")
    seen = [(s.member, s.values, s.side.edited) for s in able if not empty(s.values)]
    shown = contest.shown(seen, None)
    return contest.decide(CaseKind.FIRST, contest.first, rivals, shown, "first sight")


def orphaned(
    contest: Contest, verdict: Verdict, firsts: Sequence[Stance], strays: Sequence[Stance]
) -> Verdict | Case:
    """Nothing is agreed yet, and nobody with authority has a value: what another member has is
    neither blanked nor adopted by a guess."""
    held = [s for s in strays if not empty(s.values)]
    if contest.agreed or not held or not empty(verdict.values):
        return verdict
    claims = [contest.holding(s) for s in (*firsts, *held)]
    shown = [replace(candidate, heard=True) for candidate in contest.shown(claims, None)]
    return make_case(CaseKind.FIRST, contest.group, shown, "nobody with a say in it has a value")


def meet(
    contest: Contest,
    stances: Sequence[Stance],
    firsts: Sequence[Stance],
    edits: Sequence[Stance],
    verdict: Verdict | None,
) -> Verdict | Case | None:
    """First-seen values against the agreed one: equal, filled, or `first` decides."""
    after = contest.seal(verdict)
    values = {name: a.value for name, a in after.items()}
    others = differing(contest, firsts, values)
    if not others or (verdict is not None and verdict.settles):
        return verdict
    target = contest.same(values)
    origin = next(iter(after.values())).origin
    if contest.agreed and origin.member in {s.member for s in others}:
        origin = contest.origin()  # its edit of another field is not what was first seen there
    new = {n for s in others for n in s.firsts}
    holders = [origin.member] if origin.member else []
    holders += [
        s.member
        for s in stances
        if s not in others
        and s.member in contest.sources
        and all(n in s.values and contest.equal(n, s.values[n], values.get(n)) for n in new)
    ]
    standing = Rival(values, target, tuple(dict.fromkeys(holders)), True, origin.at)
    claims: list[Claim] = [(s.member, contest.sighted(s, values), s.side.edited) for s in others]
    rivals = [standing, *contest.rivals(claims, False)]
    chosen = choose(contest.first, rivals, contest.rules.tolerance)
    if chosen is not None:
        rival, policy = chosen
        if rival is standing:
            return verdict
        if {s.member for s in edits} <= set(rival.holders):
            found = contest.take(rival, f"first {policy}")
            return replace(found, beats=found.moved)  # an agreed blank is a value, too
    claims += [contest.claim(s) for s in edits if s not in others]
    stands: Fields | None = None if edits else values
    shown = contest.shown(claims, contest.values if contest.agreed else stands)
    return make_case(CaseKind.FIRST, contest.group, shown, "first sight")


def differing(contest: Contest, firsts: Sequence[Stance], values: Fields) -> list[Stance]:
    """First-seen values that are neither blank, which is filled, nor the one that stands."""
    # sources that cannot be written were ranked by the policy already (law 13)
    ranked = () if contest.agreed or len(contest.unwritable) < 2 else contest.unwritable
    return [
        s
        for s in firsts
        if s.member not in ranked
        and not empty({n: s.values[n] for n in s.firsts})
        and contest.same(contest.sighted(s, values)) != contest.same(values)
    ]


def empty(values: Fields) -> bool:
    """Whether a group says nothing at all."""
    return all(blank(value) for value in values.values())
