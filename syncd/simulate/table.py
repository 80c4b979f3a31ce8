"""The truth of one simulated system: its records, as they are and as they were.

Nothing here knows of syncd. Users and the engine's writes go through the same door; whoever reads
through a lagging replica sees the past.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from syncd.simulate.script import Traits

Values = Mapping[str, Any]

CUT = 8  # characters that a cutting column keeps
ROUND = 10


@dataclass(frozen=True, slots=True)
class Row:
    """One record. number: of the native id; born: marks its incarnation; gone: soft-deleted;
    person: whom it is about, for whoever judges; by_us: the record was made by syncd."""

    number: int
    values: Values
    version: int
    changed: float
    born: int
    gone: bool = False
    person: int = -1
    by_us: bool = False


class Refusal(Exception):
    """The system says no to one record. exists: number of the record in the way."""

    def __init__(self, text: str, exists: int | None = None) -> None:
        super().__init__(text)
        self.exists = exists


class Table:
    """Records by number, each with its past. Times are seconds of the simulated clock.

    blank   what stands in its columns where nobody said anything
    unique  sets of columns that no two live records have alike
    limits  raises Refusal for a record that the columns do not take
    """

    def __init__(
        self,
        name: str,
        traits: Traits,
        blank: Values,
        unique: Sequence[Sequence[str]],
        limits: Callable[[Values], None],
    ) -> None:
        self.name, self.traits, self.blank = name, traits, blank
        self.unique, self.limits = unique, limits
        self.rows: dict[int, Row] = {}
        self._past: list[tuple[float, int, Row | None]] = []
        self._last = 0
        self._births = 0
        self._free: list[int] = []
        self.receipts: dict[str, tuple[str, int]] = {}  # op id → ("done" | "void", number)
        self.commits: dict[str, dict[str, int]] = {}  # token → op id → number
        self.ticks: int | None = None

    # --- reading

    def live(self) -> list[Row]:
        return [row for row in self.ordered(self.rows) if not row.gone]

    def at(self, time: float) -> dict[int, Row]:
        """The records as they stood then."""
        then = dict(self.rows)
        for when, number, before in reversed(self._past):
            if when <= time:
                break
            if before is None:
                then.pop(number, None)
            else:
                then[number] = before
        return then

    def ordered(self, rows: Mapping[int, Row]) -> Iterator[Row]:
        """In the order of their native ids."""
        for number in sorted(rows):
            yield rows[number]

    # --- changing

    def shaped(self, values: Values) -> dict[str, Any]:
        """What this system makes of values."""
        return {
            name: shape(value, self.traits.shapes.get(name, "")) for name, value in values.items()
        }

    def insert(self, values: Values, now: float, person: int, by_us: bool = False) -> Row:
        self._fits({**self.blank, **values}, values, None)
        if self._free and self.traits.reuse:
            number = self._free.pop()
        else:
            self._last += 1
            number = self._last
        self._births += 1
        full = {**self.blank, **self.shaped(values)}
        row = Row(number, full, 1, self._stamp(now), self._births, person=person, by_us=by_us)
        self._put(row, now)
        return row

    def update(self, number: int, values: Values, now: float) -> Row:
        row = self.rows[number]
        self._fits({**row.values, **values}, values, number)
        after = {**row.values, **self.shaped(values)}
        if self.traits.robot:
            after["stamp"] = f"r{row.version + 1}"
        made = replace(row, values=after, version=row.version + 1, changed=self._stamp(now))
        self._put(made, now)
        return made

    def delete(self, number: int, now: float) -> None:
        row = self.rows[number]
        if self.traits.soft:
            self._put(
                replace(row, gone=True, version=row.version + 1, changed=self._stamp(now)), now
            )
            return
        self._past.append((now, number, row))
        del self.rows[number]
        self._free.append(number)

    def restore(self, row: Row, now: float) -> Row:
        """The record comes back as it was, under its id."""
        self._fits(row.values, row.values, row.number)
        if row.number in self._free:
            self._free.remove(row.number)
        version = max(row.version, self.rows[row.number].version if row.number in self.rows else 0)
        back = replace(row, gone=False, version=version + 1, changed=self._stamp(now))
        self._put(back, now)
        return back

    def _stamp(self, now: float) -> float:
        """The time of a transaction is that of its begin; it is seen from its end on."""
        return now - self.traits.late

    def _put(self, row: Row, now: float) -> None:
        self._past.append((now, row.number, self.rows.get(row.number)))
        self.rows[row.number] = row

    def _fits(self, full: Values, moved: Values, but: int | None) -> None:
        """Raises Refusal. full: the record as it would stand; moved: what is new in it."""
        made = self.shaped(full)
        self.limits(made)
        for columns in self.unique:
            values = [made.get(column) for column in columns]
            if None in values or not any(column in moved for column in columns):
                continue
            for row in self.rows.values():
                there = [row.values[column] for column in columns]
                if row.number != but and not row.gone and there == values:
                    raise Refusal(f"{' and '.join(columns)} is taken: {values}", row.number)


def shape(value: Any, how: str) -> Any:
    """A value as a column of that kind keeps it."""
    if value is None or not how:
        return value
    if isinstance(value, str):
        return {"trim": value.strip(), "lower": value.lower(), "cut": value[:CUT]}.get(how, value)
    if isinstance(value, int) and how == "round":
        return value // ROUND * ROUND
    return value
