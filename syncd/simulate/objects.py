"""The objects of a simulated world: their columns, and the fields that stand in them."""

from __future__ import annotations

from syncd.simulate.fields import Model, Place, fields_of
from syncd.simulate.kinds import Kind
from syncd.simulate.script import Script
from syncd.simulate.systems import columns_of
from syncd.simulate.table import shape

# The fields of the lives that a seed makes: each stands in a column of its name, everywhere.
TYPES: dict[str, str | dict[str, object]] = {
    "email": {"type": "text", "fold": ["trim", "lower"]},
    "name": "text",
    "city": "text",
    "amount": "integer",
    "tags": "set",
}


def model_of(script: Script) -> Model:
    traits = script.systems
    places = {}
    for name in traits:
        columns = columns_of(traits[name])
        places[name] = {
            field: Place(Kind.of(said), (columns[field],)) for field, said in TYPES.items()
        }
    return Model(
        fields_of(TYPES, places, ["email"]),
        places,
        lambda member, column, native: shape(native, traits[member].shapes.get(column, "")),
    )


def data_columns(script: Script, system: str) -> tuple[str, ...]:
    """Columns in which users and syncd keep something: mapped ones, and others."""
    return (*TYPES, "memo", "stamp")
