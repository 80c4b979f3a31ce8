"""How one side stands to one group of fields: changed, behind, degraded, at first sight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from syncd.core.model import UNSET, Agreed, Base, Fields, Note, NoteKind, Value
from syncd.core.observe import Side
from syncd.core.rules import Comparable, Drift, FlowRules
from syncd.core.values import blank

Group = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stance:
    """values    forms read of the group's fields that this member maps
    bases     its bases, with what this read has proven
    changed   fields whose value differs from their base
    firsts    fields without a base
    behind    a changed field's base is behind the agreed sequence
    degraded  a changed field's base was in step with another form than the agreed one
    forced    an unproven base reads otherwise: review, whatever the policy
    reset     after an unknown write the old value stands under a newer version: it may have been
              set back, or the write never came
    """

    member: str
    side: Side
    values: Fields
    bases: Mapping[str, Base]
    changed: tuple[str, ...] = ()
    firsts: tuple[str, ...] = ()
    behind: bool = False
    degraded: bool = False
    forced: bool = False
    reset: bool = False
    proven: tuple[str, ...] = ()
    own_form: tuple[str, ...] = ()

    @property
    def edited(self) -> str | None:
        """When the change was made. The old value after an unknown write may be nobody's: the
        time of its record is that of another edit then."""
        return None if self.reset else self.side.edited


def same(rules: FlowRules, group: Group, values: Fields) -> Comparable:
    """Comparison form of a whole group; fields it lacks compare as nothing."""
    return tuple(
        rules.fields[name].compare(values[name]) if name in values else UNSET for name in group
    )


def stand(rules: FlowRules, group: Group, agreed: Mapping[str, Agreed], side: Side) -> Stance:
    """Judge one read side. Fields absent from the record are not judged: unread, not null."""
    values = {name: side.fields[name] for name in group if name in side.fields}
    bases: dict[str, Base] = {}
    changed: list[str] = []
    firsts: list[str] = []
    proven: list[str] = []
    own: list[str] = []
    behind = degraded = forced = reset = False
    for name, value in values.items():
        if name not in side.link.bases:
            firsts.append(name)
            continue
        compare = rules.fields[name].compare
        now = agreed.get(name)
        base, verdict = _reread(rules, agreed, side, name)
        bases[name] = base
        if verdict == "proven":
            proven.append(name)
        elif verdict == "own":
            own.append(name)
        elif verdict:
            changed.append(name)
            lagging = now is not None and base.seq < now.seq
            behind = behind or lagging or verdict != "changed"
            forced = forced or verdict == "unproven"
            reset = reset or (verdict == "behind" and compare(value) == compare(base.value))
            if now is not None and not lagging and compare(base.value) != compare(now.value):
                degraded = degraded or not (rules.fields[name].lossy or _emptied(rules, side, name))
    return Stance(
        side.member, side, values, bases, tuple(changed), tuple(firsts),
        behind, degraded, forced, reset, tuple(proven), tuple(own),
    )  # fmt: skip


def _emptied(rules: FlowRules, side: Side, name: str) -> bool:
    """Whether a blank was kept there as drift (laws 1, 9): its user saw what he emptied, so that
    filling it again loses nothing, as an edit of a form that was cut might."""
    kept = rules.fields[name].fill and rules.drift_of(side.member, name) is Drift.KEEP
    return kept and blank(side.link.bases[name].value)


def changed(rules: FlowRules, agreed: Mapping[str, Agreed], side: Side, name: str) -> bool | None:
    """Whether a field that was read is away from its base, this read's proofs counted; None where
    it has none."""
    if name not in side.link.bases:
        return None
    return _reread(rules, agreed, side, name)[1] not in ("", "proven", "own")


def proven(rules: FlowRules, agreed: Mapping[str, Agreed], side: Side) -> dict[str, Base]:
    """The bases of one side with what this read proves of our own writes."""
    bases = dict(side.link.bases)
    for name in bases.keys() & side.fields.keys():
        base, verdict = _reread(rules, agreed, side, name)
        if verdict in ("proven", "own"):
            bases[name] = base
    return bases


def _reread(
    rules: FlowRules, agreed: Mapping[str, Agreed], side: Side, name: str
) -> tuple[Base, str]:
    base = side.link.bases[name]
    seq = agreed[name].seq if name in agreed else base.seq
    if base.beside and _arrived(rules, side, name):
        again = base.seq + 1 == seq and not base.unproven  # as in settling a write without proof
        base = Base(base.sent, seq, unproven=True, seen=base.seen if again else UNSET)
    return _judge(base, side.fields[name], side.newer, seq, rules.fields[name].compare)


def _arrived(rules: FlowRules, side: Side, name: str) -> bool:
    """Whether another field of the same unknown write reads as it was sent, and was not so before:
    the write arrived, so that this field's base is the value sent, unproven (law 5)."""
    base = side.link.bases[name]
    for other in base.beside:
        its = side.link.bases.get(other)
        if other == name or its is None or its.beside != base.beside or other not in side.fields:
            continue  # known by now, sent again in another write since, or not read
        compare = rules.fields[other].compare
        if compare(side.fields[other]) == compare(its.sent) != compare(its.value):
            return True
    return False


def _judge(
    base: Base, value: Value, newer: bool, seq: int, compare: Comparable
) -> tuple[Base, str]:
    """The base after this read, and "" (unchanged), "proven", "own", "changed", "behind" or
    "unproven" (changed on a base behind, in the words of law 5)."""
    read = compare(value)
    if base.sent is not UNSET:
        if read == compare(base.sent):
            return Base(value, seq), "proven"
        if read != compare(base.value) or newer:
            return base, "behind"
        # it never arrived: pending, and written again
        return replace(base, sent=UNSET, beside=()), ""
    if base.unproven:
        if read == compare(base.value):
            return Base(value, base.seq), "proven"
        if base.seen is not UNSET and read == compare(base.seen):
            return Base(value, base.seq), "own"
        return base, "unproven"
    return base, "" if read == compare(base.value) else "changed"


def full(group: Group, agreed: Mapping[str, Agreed], values: Fields, own: Sequence[str]) -> Fields:
    """A group as one member would have it: its own fields, the agreed values elsewhere (law 14)."""
    merged = {name: agreed[name].value for name in group if name in agreed}
    merged.update({name: values[name] for name in own if name in values})
    return merged


def unmoved(group: Group, sides: Mapping[str, Side]) -> bool:
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


def proofs(stances: Sequence[Stance]) -> tuple[dict[str, dict[str, Base]], tuple[Note, ...]]:
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
