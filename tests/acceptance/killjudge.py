"""Says from the databases' own logs whether an edit was lost, a record made twice, a deletion
missed or undone. Knows nothing of syncd but the law's promises (I1 to I6).

No value is ever used twice, so a value that a person replaced was seen by that person. The edits
still to be accounted for are the values nobody replaced yet: each must stand on both sides in the
end, or on its own side in an open case.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from killworld import FIELDS, Change, Side

Cell = tuple[str, str]  # ref, field


@dataclass
class Judge:
    """What the logs said so far. rows: by side and key; `faults` collects what was broken.

    open     by cell: values of people that no person has replaced
    issued   by cell: every value people gave it
    since    by cell: sides where people touched it since both sides last were at rest
    late     refs touched after the run that is to be killed began
    known    refs that syncd must have linked: on both sides at a rest, or written by it
    deleted  known refs that a person deleted, by whom; `left`: others, which may come back
    recent   refs written by the run that was killed
    cases    by ref: fields in an open case at the last rest, "" for the whole record
    """

    sides: tuple[Side, ...]
    faults: list[str] = field(default_factory=list)
    rows: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    live: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    ref_of: dict[tuple[str, str], str] = field(default_factory=dict)
    open: dict[Cell, set[str]] = field(default_factory=dict)
    issued: dict[Cell, set[str]] = field(default_factory=dict)
    deleted: dict[str, set[str]] = field(default_factory=dict)
    since: dict[Cell, set[str]] = field(default_factory=dict)
    late: set[str] = field(default_factory=set)
    cases: dict[str, set[str]] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    left: set[str] = field(default_factory=set)
    recent: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.rows = {side.name: {} for side in self.sides}

    # -- what happened -----------------------------------------------------------------------

    def hear(self, late: bool = False) -> list[Change]:
        """Take in the news of both logs; answers syncd's own changes among them."""
        news = [change for side in self.sides for change in side.news()]
        people = [change for change in news if change.person]
        for change in people:
            self._said(change)
            if late:
                self.late.add(change.ref)
        for change in people:
            for name, old, _ in change.changed():
                self.open.get((change.ref, name), set()).discard(old or "")
        for change in news:
            self._happened(change)
        ours = [change for change in news if not change.person]
        self.known.update(change.ref for change in ours)
        if late:
            self.recent = {change.ref for change in ours}
        return ours

    def _said(self, change: Change) -> None:
        if change.op == "DELETE":
            self.left.add(change.ref)
            if change.ref in self.known:
                self.deleted.setdefault(change.ref, set()).add(change.side)
            self.since.setdefault((change.ref, ""), set()).add(change.side)
        for name, _, new in change.changed():
            cell = (change.ref, name)
            self.since.setdefault(cell, set()).add(change.side)
            if new is not None:
                self.open.setdefault(cell, set()).add(new)
                self.issued.setdefault(cell, set()).add(new)

    def _happened(self, change: Change) -> None:
        rows, ref = self.rows[change.side], change.ref
        alike = self.live.setdefault((change.side, ref), set())
        self.ref_of[change.side, change.key] = ref
        if not change.person:
            self._allowed(change, alike)
        if change.new is None:
            rows.pop(change.key, None)
            alike.discard(change.key)
        else:
            rows[change.key] = change.new
            alike.add(change.key)

    def _allowed(self, change: Change, alike: set[str]) -> None:
        """What syncd may do to one row at all."""
        where = f"{change.side} {change.ref}"
        if change.op == "INSERT" and alike:
            self.faults.append(f"DUPLICATE {where}: made beside {sorted(alike)}")
        if change.op == "INSERT" and self.deleted.get(change.ref):
            self.faults.append(f"RESURRECTION {where}: a person had deleted it")
        if change.op == "DELETE" and change.ref not in self.left:
            self.faults.append(f"DELETION {where}: no person had deleted it")
        if change.op == "UPDATE" and not any(change.changed()):
            self.faults.append(f"ECHO {where}: written without a change")
        if change.new is None:
            return
        extra = (change.old or {"extra": "own"})["extra"]
        if change.new["extra"] != extra:
            self.faults.append(f"SCOPE {where}: a column that is not mapped was written")
        for name, _, new in change.changed():
            if new not in self.issued.get((change.ref, name), ()):
                self.faults.append(f"INVENTION {where}: {name} = {new!r} was nobody's value")

    # -- at rest -----------------------------------------------------------------------------

    def rest(self, cases: Mapping[str, Iterable[str]]) -> None:
        """Everything has run to its end; `cases` are the ones left open, by ref."""
        now = {ref: set(fields) for ref, fields in cases.items()}
        for side in self.sides:
            actual = {row["key"]: row for row in side.rows()}
            if actual != self.rows[side.name]:
                self.faults.append(f"LOG {side.name}: the log does not explain the table")
        refs = {ref for _, ref in self.live} | set(now)
        for ref in sorted(refs):
            self._record(ref, now.get(ref, set()))
        for ref, fields in now.items():
            self._case(ref, fields)
        self.cases = now
        self.since = {}
        self.late = set()

    def _record(self, ref: str, frozen: set[str]) -> None:
        found = [self._rows_of(side.name, ref) for side in self.sides]
        if any(len(rows) > 1 for rows in found):
            self.faults.append(f"DUPLICATE {ref}: {found}")
        stands = [rows[0] for rows in found if rows]
        if "" in frozen:
            for name in FIELDS:
                self._stand(ref, name, {row[name] for row in stands}, "its case")
        elif len(stands) == len(found):
            self.known.add(ref)
            if self.deleted.get(ref):
                self.faults.append(f"DELETION {ref}: did not arrive, and no case tells why")
            for name in FIELDS:
                values = {row[name] for row in stands}
                if len(values) > 1 and name not in frozen:
                    self.faults.append(f"UNEQUAL {ref} {name}: {values}")
                self._stand(ref, name, values, "its case" if name in frozen else "the end")
        elif stands:
            self.faults.append(f"UNEQUAL {ref}: only one side has it, and no case tells why")
        else:
            if ref not in self.left:
                self.faults.append(f"DELETION {ref}: it is gone, and nobody deleted it")
            for name in FIELDS:
                self._stand(ref, name, set(), "the end")
            self._forget(ref)

    def _stand(self, ref: str, name: str, values: set[str], where: str) -> None:
        lost = self.open.get((ref, name), set()) - values
        if lost:
            self.faults.append(f"LOST EDIT {ref} {name}: {lost}, at {where} stands {values}")

    def _case(self, ref: str, fields: set[str]) -> None:
        """A case without a rival edit would be the crash's doing, not people's."""
        if ref in self.late or self.cases.get(ref):
            return
        for name in fields or {""}:
            sides = set(self.since.get((ref, name), ()))
            if name == "":
                edited = (self.since.get((ref, field), set()) for field in FIELDS)
                sides = sides.union(*edited)
            if len(sides) < len(self.sides):
                self.faults.append(f"CASE {ref} {name!r}: only {sides or 'nobody'} edited it")

    def _rows_of(self, side: str, ref: str) -> list[dict[str, str]]:
        return [self.rows[side][key] for key in sorted(self.live.get((side, ref), ()))]

    def _forget(self, ref: str) -> None:
        for side in self.sides:
            self.live.pop((side.name, ref), None)
        for name in FIELDS:
            self.open.pop((ref, name), None)
