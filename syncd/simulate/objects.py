"""The objects of a simulated world: their columns, the fields that stand in them, their limits."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter

from syncd.adapter import Column, ObjectSchema
from syncd.simulate.clock import BEGIN
from syncd.simulate.fields import Model, Place, fields_of
from syncd.simulate.kinds import Kind
from syncd.simulate.script import Script
from syncd.simulate.systems import schema_of
from syncd.simulate.table import Refusal, Table, Values, shape

# The fields of the lives that a seed makes: each stands in a column of its name, everywhere.
TYPES: dict[str, str | dict[str, object]] = {
    "email": {"type": "text", "fold": ["trim", "lower"]},
    "name": "text",
    "city": "text",
    "amount": "integer",
    "tags": "set",
}
_TABLE = {"fields": {name: name for name in TYPES}}
_OTHERS = ("memo", "stamp")  # columns that no flow maps

SCHEMA: TypeAdapter[ObjectSchema] = TypeAdapter(ObjectSchema)

# What a system puts into a column by itself, where null does not stand and nobody said anything.
_DEFAULTS: Mapping[str, Any] = {
    "text": "",
    "integer": 0,
    "decimal": Decimal(0),
    "float": 0.0,
    "boolean": False,
    "date": date(2000, 1, 1),
    "datetime": BEGIN,
    "uuid": UUID(int=0),
    "bytes": b"",
    "json": {},
    "list": [],
}


def described(script: Script, member: str) -> ObjectSchema:
    """What this member's system says of its object."""
    if not script.objects:
        return schema_of(script.systems[member])
    return SCHEMA.validate_python(script.objects[member])


def model_of(script: Script, schemas: Mapping[str, ObjectSchema]) -> Model:
    own = bool(script.objects)
    flow = whole(script) if own else script.flow
    types = flow["fields"] if own else TYPES
    kinds = {name: Kind.of(said) for name, said in types.items()}
    places = {}
    for name, schema in schemas.items():
        columns = schema.columns
        member: Mapping[str, Any] = flow["members"][name] if own else _TABLE
        places[name] = {
            field: _place(kinds[field], said, columns, member.get("mode", "both"))
            for field, said in member["fields"].items()
            if field in kinds
        }
    match = script.flow["match"] if own else ["email"]
    keys = [n for rule in match for n in ([rule] if isinstance(rule, str) else rule)]
    traits = script.systems
    return Model(
        fields_of(types, places, keys),
        places,
        lambda member, column, native: shape(native, traits[member].shapes.get(column, "")),
    )


def whole(script: Script) -> Mapping[str, Any]:
    """The flow with what joins it later: members and fields are what they were said to be first."""
    found: Mapping[str, Any] = script.flow
    for change in script.changes:
        found = _joined(found, change.patch)
    return found


def _joined(here: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    made = dict(here)
    for name, said in more.items():
        if isinstance(said, Mapping) and isinstance(made.get(name), Mapping):
            made[name] = _joined(made[name], said)
        elif name not in made and said is not None:
            made[name] = said
    return made


def _place(kind: Kind, said: Any, columns: Mapping[str, Column], mode: str) -> Place:
    table: Mapping[str, Any] = said if isinstance(said, Mapping) else {"native": said}
    names = [table["native"]] if isinstance(table["native"], str) else table["native"]
    found = tuple(columns[name] for name in names)
    written = mode != "source" and not table.get("read_only")
    written = written and not any(column.derived for column in found)
    return Place(kind, found, table.get("table"), table.get("zone"), written)


def table_of(script: Script, member: str, schema: ObjectSchema, model: Model) -> Table:
    traits = script.systems[member]
    if not script.objects:
        blank = dict.fromkeys((*TYPES, *_OTHERS))
        return Table(member, traits, blank, schema.unique, lambda full: None)
    places = model.places[member].values()
    mapped = {column.name for place in places for column in place.columns}
    columns = [schema.columns[name] for name in sorted(mapped)]
    unique = [one for one in (*schema.unique, schema.key) if one and set(one) <= mapped]

    def limits(full: Values) -> None:
        for column in columns:
            _limited(column, full[column.name])

    blank = {column.name: _default(column) for column in columns}
    return Table(member, traits, {**dict.fromkeys(_OTHERS), **blank}, unique, limits)


def _default(column: Column) -> Any:
    if column.nullable or not column.default:
        return None
    found = _DEFAULTS.get(column.family)
    if column.family == "datetime" and not column.zoned:
        return BEGIN.replace(tzinfo=None)
    return column.choices[0] if column.family == "enum" and column.choices else found


def _limited(column: Column, native: Any) -> None:
    """Raises Refusal for what the column does not take."""
    if native is None:
        if not column.nullable:
            raise Refusal(f"{column.name} takes no null")
    elif isinstance(native, (str, bytes)):
        if column.length is not None and len(native) > column.length:
            raise Refusal(f"{column.name} takes {column.length} characters, and not {native!r}")
        if column.choices and native not in column.choices:
            raise Refusal(f"{column.name} has no choice {native!r}")
