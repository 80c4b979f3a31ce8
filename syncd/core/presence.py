"""Whether an entity lives: deletions, deletions against edits, drifted deletions (law 12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from syncd.core.cases import make_case
from syncd.core.merge import Merged
from syncd.core.model import (
    UNSET,
    Candidate,
    Case,
    CaseKind,
    Choice,
    Decision,
    Entity,
    EntityState,
    LinkState,
    Note,
    NoteKind,
)
from syncd.core.observe import Side
from syncd.core.rules import DeleteConflict, Deletes, Drift, FlowRules
from syncd.core.stance import changed


class Fate(StrEnum):
    LIVES = "lives"
    DIES = "dies"  # the deletion travels to every link that is left
    ENDS = "ends"  # nothing is written any more
    FROZEN = "frozen"  # the whole entity waits for a person


@dataclass(frozen=True, slots=True)
class Presence:
    """gone    members whose record is gone: their links become tombstones
    revive  members where the record is to be made again: their tombstone no longer forbids it
    states  other link states that follow
    forced  the deletion won over an edit: it is sent even where fields differ from their base
    """

    fate: Fate
    gone: tuple[str, ...] = ()
    revive: tuple[str, ...] = ()
    states: Mapping[str, LinkState] = field(default_factory=dict)
    case: Case | None = None
    notes: tuple[Note, ...] = ()
    used: tuple[int, ...] = ()
    cause: str = ""
    reason: str = ""
    forced: bool = False


def presence(
    rules: FlowRules,
    entity: Entity,
    sides: Mapping[str, Side],
    merges: Sequence[Merged],
    decisions: Sequence[Decision],
) -> Presence:
    """The fate of an entity, given what was read of it and how its fields merge."""
    missing = tuple(m for m, s in sides.items() if s.missing)
    kept = _still_open(entity, sides)
    if kept is not None:
        return Presence(Fate.FROZEN, case=kept)
    if entity.state is EntityState.DELETING:
        return _dying(rules, entity, sides, merges, missing, decisions)
    if not missing:
        return Presence(Fate.LIVES)
    linked = [m for m, link in entity.links.items() if link.state is LinkState.LIVE]
    if len(missing) == len(linked):
        return Presence(Fate.DIES, gone=missing, reason="deleted everywhere")
    deleters, drifted, released = _sort(rules, entity, missing)
    if deleters:
        return _deleted(rules, entity, sides, merges, deleters, missing, decisions)
    return _drifted(rules, sides, drifted, released, decisions)


def _undone(rules: FlowRules, member: str) -> bool:
    return member in rules.members and rules.members[member].undelete


def _sort(
    rules: FlowRules, entity: Entity, missing: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Missing members whose deletion counts, those where it is drift, and those that merely left
    while another of `deletes_from = all` still has the record."""
    named = rules.deletes_from
    heard = [
        m.name
        for m in rules.members.values()
        if m.mode.is_source and not m.undelete and (named is None or m.name in named)
    ]
    deleters = tuple(m for m in missing if m in heard)
    drifted = tuple(m for m in missing if m not in heard)
    if rules.deletes_all:
        staying = [
            m
            for m in heard
            if m in entity.links and entity.links[m].state is LinkState.LIVE and m not in missing
        ]
        if staying:
            return (), drifted, deleters
    return deleters, drifted, ()


def _deleted(
    rules: FlowRules,
    entity: Entity,
    sides: Mapping[str, Side],
    merges: Sequence[Merged],
    deleters: tuple[str, ...],
    missing: tuple[str, ...],
    decisions: Sequence[Decision],
) -> Presence:
    if rules.deletes is Deletes.UNLINK:  # nothing is written, so nothing is written against
        return _unlink(sides, missing, deleters[0], "unlink")
    if rules.deletes is Deletes.IGNORE:
        return Presence(Fate.LIVES, gone=missing, cause=deleters[0], reason="ignore")
    against = _against(rules, entity, sides, merges, deleters)
    case = _case(sides, deleters, against)
    said = _said(case, decisions)
    if said is not None:
        return _obey(rules, entity, said, sides, missing, deleters[0])
    if against:
        if rules.delete_conflict is DeleteConflict.EDIT_WINS:
            return Presence(
                Fate.LIVES, gone=missing, revive=missing, cause=against[0], reason="edit-wins"
            )
        if (
            rules.delete_conflict is DeleteConflict.DELETE_WINS
            and rules.deletes is not Deletes.REVIEW
        ):
            return _die(rules, entity, sides, missing, deleters[0], "delete-wins", forced=True)
        return Presence(Fate.FROZEN, case=case)
    if rules.deletes is Deletes.REVIEW:
        return Presence(Fate.FROZEN, case=case)
    return _die(rules, entity, sides, missing, deleters[0], f"deleted in {deleters[0]}")


def _dying(
    rules: FlowRules,
    entity: Entity,
    sides: Mapping[str, Side],
    merges: Sequence[Merged],
    missing: tuple[str, ...],
    decisions: Sequence[Decision],
) -> Presence:
    """A deletion decided earlier, with links left: one that comes back edited is heard."""
    cause = "".join(link.member for link in entity.gone[-1:])
    undone = [m for m in sorted({g.member for g in entity.gone}) if _undone(rules, m)]
    if undone:  # a person takes the deletion back
        revive = (*undone, *missing)
        return Presence(Fate.LIVES, gone=missing, revive=revive, reason="drift: revert")
    if rules.deletes is Deletes.UNLINK:  # since it was decided: what is left is left alone
        return _unlink(sides, missing, cause, "unlink")
    if rules.deletes is Deletes.IGNORE:
        return Presence(Fate.LIVES, gone=missing, cause=cause, reason="ignore")
    edited = _differing(rules, entity, sides)
    if not edited:
        return _die(rules, entity, sides, missing, cause, "deletion goes on")
    gone = tuple(sorted({link.member for link in entity.gone}))
    case = _case(sides, gone or missing, edited)
    said = _said(case, decisions)
    if said is not None:
        return _obey(rules, entity, said, sides, (*gone, *missing), cause)
    if rules.delete_conflict is DeleteConflict.EDIT_WINS:
        revive = (*gone, *missing)
        return Presence(
            Fate.LIVES, gone=missing, revive=revive, cause=edited[0], reason="edit-wins"
        )
    if rules.delete_conflict is DeleteConflict.DELETE_WINS:
        return _die(rules, entity, sides, missing, cause, "delete-wins", forced=True)
    return Presence(Fate.FROZEN, case=case)


def _drifted(
    rules: FlowRules,
    sides: Mapping[str, Side],
    drifted: tuple[str, ...],
    released: tuple[str, ...],
    decisions: Sequence[Decision],
) -> Presence:
    """A deletion where the member has no say in it."""
    gone = (*drifted, *released)
    policy = {m: Drift.REVERT if rules.members[m].undelete else rules.drift for m in drifted}
    notes = tuple(Note(NoteKind.DRIFT, m, text=f"deletion: {policy[m]}") for m in drifted)
    if Drift.REVIEW not in policy.values():
        revive = tuple(m for m in drifted if policy[m] is Drift.REVERT)
        reason = "drift: revert" if revive else ""
        return Presence(Fate.LIVES, gone=gone, revive=revive, notes=notes, reason=reason)
    case = _case(sides, drifted, ())
    said = _said(case, decisions)
    if said is None:
        return Presence(Fate.FROZEN, case=case)
    if said.choice is Choice.KEEP:
        return Presence(Fate.LIVES, gone=gone, revive=drifted, notes=notes, used=(said.id,))
    return Presence(Fate.LIVES, gone=gone, notes=notes, used=(said.id,))


# -- words ---------------------------------------------------------------------------------------


def _against(
    rules: FlowRules,
    entity: Entity,
    sides: Mapping[str, Side],
    merges: Sequence[Merged],
    deleters: Sequence[str],
) -> tuple[str, ...]:
    """Who speaks against the deletion: members with an edit; or the deleter itself, when it had
    not yet received what was agreed, had never been read, or stood in an open conflict (law 12)."""
    found = set(_differing(rules, entity, sides))
    for merged in merges:
        found.update(m for m in merged.edited if m not in deleters)
        if merged.case is not None:  # what waits for our own unknown write is nobody's edit
            found.update(m for m in sides if m not in deleters)
    for member in deleters:
        stood = any(c.source == member for case in entity.cases for c in case.candidates)
        if _lacks(rules, entity, member) or member in entity.unsettled or stood:
            origins = {a.origin.member for a in entity.agreed.values()}
            others = [m for m in sides if m not in deleters]
            found.update([m for m in others if m in origins] or others)
    return tuple(sorted(found))


def _lacks(rules: FlowRules, entity: Entity, member: str) -> bool:
    """Whether a field was agreed that this member had not confirmed: as a target it is pending or
    unproven. A source that cannot be written is owed nothing: it lacks only what was never read
    of it."""
    bases = entity.links[member].bases
    for name, agreed in entity.agreed.items():
        base = bases.get(name)
        if base is None:
            if name in rules.members[member].reads:
                return True
        elif member in rules.targets(name) and (
            base.seq < agreed.seq or base.sent is not UNSET or base.unproven
        ):
            return True
    return False


def _differing(rules: FlowRules, entity: Entity, sides: Mapping[str, Side]) -> tuple[str, ...]:
    """Members read now with any field away from its base (law 12: a delete is sent only to a
    record whose every field equals its base). A write of ours that this very read proves moved
    the base: it is nobody's edit."""
    return tuple(
        member
        for member, side in sides.items()
        if side.read
        and any(changed(rules, entity.agreed, side, name) is not False for name in side.fields)
    )


def _case(sides: Mapping[str, Side], deleters: Sequence[str], edited: Sequence[str]) -> Case:
    shown = [Candidate(m, None, sides[m].link.key if m in sides else None) for m in deleters]
    shown += [
        Candidate(m, dict(side.fields), side.link.key, 0, side.edited)
        for m, side in sides.items()
        if m not in deleters and side.read
    ]
    names = ", ".join(deleters)
    reason = f"deleted in {names}"
    if edited:
        reason += f", against an edit or an unconfirmed value of {', '.join(edited)}"
    return make_case(CaseKind.DELETE, (), shown, reason)


def _said(case: Case, decisions: Sequence[Decision]) -> Decision | None:
    choices = (Choice.DELETE, Choice.KEEP, Choice.UNLINK)
    for decision in reversed(decisions):
        if decision.digest == case.digest and decision.choice in choices:
            return decision
    return None


def _obey(
    rules: FlowRules,
    entity: Entity,
    said: Decision,
    sides: Mapping[str, Side],
    missing: tuple[str, ...],
    cause: str,
) -> Presence:
    reason = f"person:{said.by}"
    used = (said.id,)
    here = tuple(m for m in missing if m in sides)
    if said.choice is Choice.DELETE:
        return _die(rules, entity, sides, here, cause, reason, used, forced=True)
    if said.choice is Choice.UNLINK:
        return _unlink(sides, here, cause, reason, used)
    return Presence(Fate.LIVES, gone=here, revive=missing, used=used, reason=reason)


def _die(
    rules: FlowRules,
    entity: Entity,
    sides: Mapping[str, Side],
    gone: tuple[str, ...],
    cause: str,
    reason: str,
    used: tuple[int, ...] = (),
    forced: bool = False,
) -> Presence:
    notes = tuple(
        Note(NoteKind.LOST, m, tuple(sides[m].fields), dict(sides[m].fields), reason)
        for m in (_differing(rules, entity, sides) if forced else ())
    )
    return Presence(
        Fate.DIES, gone=gone, notes=notes, used=used, cause=cause, reason=reason, forced=forced
    )


def _unlink(
    sides: Mapping[str, Side],
    gone: tuple[str, ...],
    cause: str,
    reason: str,
    used: tuple[int, ...] = (),
) -> Presence:
    states = {m: LinkState.UNLINKED for m in sides if m not in gone}
    return Presence(Fate.ENDS, gone=gone, states=states, used=used, cause=cause, reason=reason)


def _still_open(entity: Entity, sides: Mapping[str, Side]) -> Case | None:
    """A stored deletion case whose deleter or rival was not read in this run stays."""
    for case in entity.cases:
        if case.kind is CaseKind.DELETE:
            for candidate in case.candidates:
                side = sides.get(candidate.source)
                if side is not None and not side.read and not side.missing:
                    return case
    return None
