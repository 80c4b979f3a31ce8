"""Mistakes in what values are: types, zones, codes, lenses, folds, fields that belong together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from defects.merging import PLANNER, Planner
from defects.plant import both, defect, faults
from syncd.config import compile as compiling
from syncd.core import values
from syncd.core.lenses import Words
from syncd.core.mapping import MemberMapping
from syncd.core.mapping_table import ValueTable
from syncd.core.model import EntityPlan
from syncd.core.rules import FlowRules
from syncd.core.values import FieldType
from syncd.engine import apply
from syncd.simulate.script import Script


def _typed(*types: str) -> Callable[[Script], bool]:
    """Some field is of one of these types."""
    return lambda script: any(
        said["type"].startswith(types) for said in script.flow["fields"].values()
    )


def _placed(*options: str) -> Callable[[Script], bool]:
    """Some member says one of these of a field's place."""
    return lambda script: any(
        option in place
        for member in script.flow["members"].values()
        for place in member["fields"].values()
        if isinstance(place, Mapping)
        for option in options
    )


@defect("I5", (values, "zone"), may=_typed("datetime"))
def wall_time_taken_for_utc(zone: Callable[[str], Any], name: str) -> Any:
    """A time without a zone is one in UTC, whatever the config says."""
    return zone("UTC")


@defect("I5", (FieldType, "writer"), may=_typed("decimal"))
def cents_dropped(writer: Callable[..., Any], of: FieldType, *column: Any) -> Any:
    """What stands behind the point of a number is not written."""
    write = writer(of, *column)
    if of.kind != "decimal":
        return write
    return lambda value: write(None if value is None else f"{str(value).partition('.')[0]}.0")


@defect("I1", (ValueTable, "native"), may=_placed("table"))
def neighbouring_code(native: Callable[..., Any], table: ValueTable, value: Any) -> Any:
    """A code of the table stands for the value beside it."""
    found = list(table._native)
    return native(table, found[found.index(value) - 1] if value in found else value)


@defect("I1", (Words, "put"), may=_placed("lens"))
def other_words_kept(put: Callable[..., Any], lens: Words, value: Any, original: Any) -> Any:
    """Of several columns that make one text only the last is written."""
    natives = put(lens, value, original)
    return natives if original is None else (*original[:-1], natives[-1])


@defect("I5", PLANNER, equal=True)
def fold_written(planner: Planner, rules: FlowRules, *rest: Any) -> EntityPlan:
    """What is compared is also what is written."""
    planned = planner(rules, *rest)
    return replace(
        planned,
        operations=tuple(
            replace(op, fields={n: _folded(rules, n, value) for n, value in op.fields.items()})
            for op in planned.operations
        ),
    )


def _folded(rules: FlowRules, name: str, value: Any) -> Any:
    form = rules.fields[name].compare(value)
    return form if isinstance(form, str) and isinstance(value, str) else value


def _private(script: Script) -> bool:
    return any(said.get("private") for said in script.flow["fields"].values())


@defect("I16", (apply, "_masked"), equal=True, may=both(_private, faults("refuse")))
def refusal_quoted(
    masked: Callable[..., Any], rules: FlowRules, entries: Any, outcomes: Sequence[Any]
) -> Any:
    """What a system says of a record it refuses is kept as it is, private values and all."""
    return {outcome.op_id: outcome for outcome in outcomes}


@defect("I16", (MemberMapping, "_words"), may=_private)
def misfit_quoted(words: Callable[..., str], mapping: MemberMapping, name: str, misfit: Any) -> str:
    """A value that cannot be read is told, whether the field is private or not."""
    return str(misfit.message)


@defect("I5", (compiling, "fuse"), may=lambda script: bool(script.flow.get("groups")))
def group_torn(fuse: Callable[..., Any], flow: Any) -> Sequence[tuple[str, ...]]:
    """Fields that only mean something together are decided one by one."""
    return tuple((name,) for group in fuse(flow) for name in group)
