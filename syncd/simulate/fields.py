"""What a simulated world has to know of a flow's fields: where each stands at each member, how its
values are read, judged and made up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from syncd.adapter import Column
from syncd.simulate.clock import Chance
from syncd.simulate.fresh import FEW, another, fresh, named, own
from syncd.simulate.kinds import Kind
from syncd.simulate.oracle.facts import Fields

Values = Mapping[str, Any]
Shape = Callable[[str, str, Any], Any]
"""(member, column, native value) → what that column makes of it."""

COMMON = 0.9  # of the values that are entered freely are those that have a code elsewhere
_TELLING = 3  # characters that a text needs to tell which edit it is from


@dataclass(frozen=True, slots=True)
class Place:
    """Where one member keeps a field. table: native text → the flow's value; written: by syncd."""

    kind: Kind
    columns: tuple[Column, ...]
    table: Mapping[str, str] | None = None
    zone: str | None = None
    written: bool = True

    @property
    def choices(self) -> tuple[Any, ...]:
        """The values there are, where they are counted."""
        if self.table is not None:
            return tuple(self.kind.read(text, "text") for text in self.table.values())
        return self.columns[0].choices or self.kind.choices

    def read(self, row: Values) -> Any:
        """The field's value there; "?" and the native one where it is none."""
        if len(self.columns) > 1:
            return joined([row.get(column.name) for column in self.columns])
        column = self.columns[0]
        native = row.get(column.name)
        try:
            if self.table is not None and native is not None:
                native = self.table[spelling(native)]
                return self.kind.read(native, "text")
            return self.kind.read(native, column.family, self.zone)
        except (ValueError, TypeError, ArithmeticError, LookupError):
            return f"?{native!r}"

    def write(self, value: Any) -> dict[str, Any]:
        """Natives by column. Raises LookupError for a value that the table does not have."""
        if len(self.columns) > 1:
            return dict(zip([c.name for c in self.columns], self._split(value), strict=True))
        column = self.columns[0]
        if value is None and not column.nullable and column.family == "text":
            return {column.name: ""}  # what people do where something must stand
        if self.table is not None and value is not None:
            text = str(self.kind.write(value, "text"))
            code = next((code for code, said in self.table.items() if said == text), None)
            if code is None:
                raise LookupError(f"{value!r} has no code")
            return {column.name: Kind("text").write(code, column.family)}
        return {column.name: self.kind.write(value, column.family, column.zoned, self.zone)}

    def _split(self, value: str | None) -> list[str | None]:
        if value is None:
            return [None if column.nullable else "" for column in self.columns]
        first, _, last = value.rpartition(" ")
        parts = [first, *[""] * (len(self.columns) - 2), last]
        pairs = zip(parts, self.columns, strict=True)
        return [part or (None if column.nullable else "") for part, column in pairs]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the flow, as the world sees it. room: characters that all of its columns have;
    key: it serves a match rule; words: some member keeps it in several columns; values: all there
    are, where they are few."""

    name: str
    kind: Kind
    room: int | None = None
    key: bool = False
    words: bool = False
    values: tuple[Any, ...] = ()

    @property
    def vague(self) -> bool:
        """Its values are too few to tell who gave one."""
        short = self.room is not None and self.room < _TELLING
        return bool(self.values) or self.kind.name in FEW or short

    def fresh(self, person: int, token: int, before: Any, chance: Chance, place: Place) -> Any:
        """What a user enters at this place."""
        if place.choices or (self.values and chance.random() < COMMON):
            return another(place.choices or self.values, before, chance)
        made = fresh(self.kind, person, token, before, chance, self.room, self.key)
        return f"{made} w{token}" if self.words and self.room is None else made

    def own(self, person: int) -> Any:
        """What everybody knows this person by."""
        if self.values:
            return self.values[person % len(self.values)]
        return own(self.kind, person, self.room)


class Model:
    """fields  in the order of the flow's table
    places  by member, then by field
    shape   what columns make of values
    """

    def __init__(
        self,
        fields: Iterable[Field],
        places: Mapping[str, Mapping[str, Place]],
        shape: Shape,
    ) -> None:
        self.fields = {field.name: field for field in fields}
        self.places = places
        self._shape = shape

    def read(self, member: str, row: Values) -> dict[str, Any]:
        return {name: place.read(row) for name, place in self.places[member].items()}

    def sent(self, member: str, before: Values | None, natives: Values) -> dict[str, Any]:
        """The fields that a write of these columns is about."""
        row = {**(before or {}), **natives}
        return {
            name: place.read(row)
            for name, place in self.places[member].items()
            if any(column.name in natives for column in place.columns)
        }

    def write(self, member: str, name: str, value: Any) -> dict[str, Any]:
        return self.places[member][name].write(value)

    def kept(self, member: str, name: str, value: Any) -> Any:
        """What becomes of a field's value once this member's system has it."""
        return self._there(member, name, value, self._shape)

    def normal(self, member: str, name: str, value: Any) -> Any:
        """A field's value as this member's columns can say it."""
        return self._there(member, name, value, lambda member, column, native: native)

    def _there(self, member: str, name: str, value: Any, shape: Shape) -> Any:
        place = self.places[member].get(name)
        if place is None:
            return value
        try:
            natives = place.write(value)
        except (LookupError, ValueError, TypeError, ArithmeticError):
            return value
        return place.read({c: shape(member, c, native) for c, native in natives.items()})

    def person(self, values: Values) -> int:
        """Whom values are about, by the first field that says so; -1 = none of them does."""
        for field in self.fields.values():
            if field.kind.name == "text" and (found := named(values.get(field.name))) >= 0:
                return found
        return -1

    @cached_property
    def judged(self) -> Fields:
        """The same for whoever judges."""
        fields = self.fields.values()
        return Fields(
            {field.name: field.kind.plain for field in fields},
            frozenset(field.name for field in fields if field.kind.name == "set"),
            frozenset(field.name for field in fields if field.vague),
            frozenset(
                (member, name)
                for member, places in self.places.items()
                for name, place in places.items()
                if not place.written
            ),
            self.normal,
            self.kept,
        )


def joined(parts: Sequence[str | None]) -> str | None:
    """The words of several columns, as one text."""
    if all(part is None for part in parts):
        return None
    return " ".join(" ".join(part for part in parts if part is not None).split())


def spelling(native: Any) -> str:
    """A native value as the keys of a value table spell it."""
    if isinstance(native, bool):
        return "true" if native else "false"
    return f"{native.normalize():f}" if isinstance(native, Decimal) else str(native)


def fields_of(
    table: Mapping[str, Any],
    places: Mapping[str, Mapping[str, Place]],
    keys: Iterable[str],
) -> list[Field]:
    """table: the flow's fields; keys: those of its match rules."""
    found, keyed = [], set(keys)
    for name, said in table.items():
        kind = Kind.of(said)
        at = [places[member][name] for member in places if name in places[member]]
        words = any(len(place.columns) > 1 for place in at)
        found.append(Field(name, kind, _room(kind, at), name in keyed, words, _few(at)))
    return found


def _room(kind: Kind, places: Sequence[Place]) -> int | None:
    rooms = [kind.size] + [
        column.length if kind.name == "text" else column.digits
        for place in places
        for column in place.columns
    ]
    return min((room for room in rooms if room is not None), default=None)


def _few(places: Sequence[Place]) -> tuple[Any, ...]:
    """The values of all its codes."""
    return tuple(dict.fromkeys(value for place in places for value in place.choices))
