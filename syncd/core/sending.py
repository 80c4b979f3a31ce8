"""Operations to send for one entity: validated as the record would stand there (law 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from syncd.core.cases import make_case
from syncd.core.merge import Merged
from syncd.core.model import (
    Agreed,
    Base,
    Candidate,
    Case,
    CaseKind,
    Fields,
    Operation,
    OpKind,
    Read,
)
from syncd.core.observe import Side
from syncd.core.rules import FlowRules, MemberRules
from syncd.core.values import blank


class Sending:
    """What one entity's plan sends, and the cases of what no target would take."""

    def __init__(self, rules: FlowRules, reads: Mapping[str, Read]) -> None:
        self.rules, self.reads = rules, reads
        self.operations: list[Operation] = []
        self.cases: list[Case] = []

    def update(
        self,
        side: Side,
        agreed: Mapping[str, Agreed],
        owed: Sequence[str],
        first: Sequence[str],
        merges: Sequence[Merged],
        bases: Mapping[str, Base],
    ) -> None:
        """owed: fields the member is pending in; first: those of them first seen there; bases: as
        this run leaves them."""
        values = {name: agreed[name].value for name in owed}
        complaints = self.rules.members[side.member].validate({**side.fields, **values})
        bad = {name: why for name, why in complaints.items() if name in values}
        if bad:
            self._invalid(side.member, bad, values, side.link.key)
            return
        blanks = (n for n in owed if blank(values[n]) and not blank(side.fields.get(n)))
        self.operations.append(
            Operation(
                side.member,
                OpKind.UPDATE,
                side.link.key,
                values,
                {name: side.fields[name] for name in owed if name in side.fields},
                {name: agreed[name].seq for name in owed},
                dict(side.fields),
                self._version(side),
                _cause(merges, owed) or _giver(bases, owed, agreed),
                _reasons(owed, agreed),
                tuple(blanks),
                tuple(first),
                any(merged.remapped and set(merged.group) & set(owed) for merged in merges),
            )
        )

    def create(
        self,
        member: MemberRules,
        agreed: Mapping[str, Agreed],
        merges: Sequence[Merged],
        source: str,
    ) -> None:
        """source: the member it comes from where nothing else tells."""
        values = {name: now.value for name, now in agreed.items() if name in member.writes}
        complaints = member.validate(values)
        if complaints:
            self._invalid(member.name, complaints, values, None)
            return
        names = tuple(values)
        self.operations.append(
            Operation(
                member.name,
                OpKind.CREATE,
                None,
                values,
                {},
                {name: agreed[name].seq for name in names},
                {},
                None,
                _cause(merges, names) or self._maker(member, names, agreed) or source,
                _reasons(names, agreed),
            )
        )

    def _maker(
        self, member: MemberRules, names: Sequence[str], agreed: Mapping[str, Agreed]
    ) -> str:
        """Whose record it is: nothing changed in this run, but the member was away before."""
        giver = _giver({}, names, agreed)
        return giver if giver != member.name else ""

    def delete(self, side: Side, kind: OpKind, cause: str, reason: str) -> None:
        """kind: delete or archive; every field read is its precondition (law 12)."""
        self.operations.append(
            Operation(
                side.member,
                kind,
                side.link.key,
                {},
                dict(side.fields),
                {},
                dict(side.fields),
                self._version(side),
                cause,
                {"": reason},
            )
        )

    def _version(self, side: Side) -> str | None:
        record = self.reads[side.member].record
        return record.version if record is not None else side.link.version

    def unread(self, side: Side, agreed: Mapping[str, Agreed], cases: Sequence[Case]) -> None:
        """What was found not to be valid at a member that was not read now stays open (law 5),
        unless something else is agreed since."""
        now = {name: value.value for name, value in agreed.items()}
        self.cases += [
            case
            for case in cases
            if case.kind is CaseKind.INVALID
            and case.member == side.member
            and all(dict(c.values or {}).items() <= now.items() for c in case.candidates)
        ]

    def _invalid(
        self, member: str, complaints: Mapping[str, str], values: Fields, key: str | None
    ) -> None:
        words = "; ".join(f"{name}: {why}" for name, why in sorted(complaints.items()))
        shown = (Candidate("agreed", {n: values.get(n) for n in sorted(complaints)}, key),)
        names = tuple(sorted(complaints))
        self.cases.append(make_case(CaseKind.INVALID, names, shown, words, member))


def _giver(bases: Mapping[str, Base], names: Sequence[str], agreed: Mapping[str, Agreed]) -> str:
    """Whose change of an earlier run a member is still owed, the last one's: it was away, or
    refused it. Drift that is written over (its base has no sequence) is nobody's change."""
    owed = [agreed[n] for n in names if n not in bases or bases[n].seq]
    if not owed:
        return ""
    last = max(owed, key=lambda a: (a.seq, a.origin.at or "", a.origin.member or ""))
    return last.origin.member or ""


def _cause(merges: Sequence[Merged], names: Sequence[str]) -> str:
    for merged in merges:
        if merged.cause and set(merged.group) & set(names):
            return merged.cause
    return ""


def _reasons(names: Sequence[str], agreed: Mapping[str, Agreed]) -> dict[str, str]:
    return {name: agreed[name].origin.rule for name in names}
