"""What the simulated copies of a flow's members are told of the real ones.

Only what the systems say of their objects is asked for: columns, types, keys. No record is read
and nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from syncd.adapter import Adapter, Column, ObjectSchema
from syncd.config import Loaded
from syncd.config.compile import compile_flow
from syncd.config.models import FieldConfig, FlowConfig, MemberConfig
from syncd.config.problems import did_you_mean
from syncd.core.rules import Policy
from syncd.errors import ConfigError
from syncd.simulate.kinds import Kind
from syncd.simulate.objects import SCHEMA

HABITS = ("upper", "lower", "title", "trim")


@dataclass(frozen=True, slots=True)
class Known:
    """Of one member. settles, consistent: as its adapter says; None = nobody was asked.
    lag: seconds for which a read may miss a change."""

    schema: ObjectSchema
    settles: str | None = None
    consistent: bool | None = None
    lag: float = 0.0


@dataclass(frozen=True, slots=True)
class Copy:
    """flow    its table, as in the config, every member in a system of its own
    habits  by member and column, what an automation there makes of a value that was written
    assumed what was not asked for, in words
    warned  what the config's own check says of it
    """

    name: str
    flow: Mapping[str, Any]
    members: Mapping[str, Known]
    habits: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    assumed: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()

    @property
    def objects(self) -> dict[str, Any]:
        """JSON-native, for a script."""
        return {
            name: SCHEMA.dump_python(known.schema, mode="json")
            for name, known in self.members.items()
        }


def looked(loaded: Loaded, name: str, adapter: Callable[[str], Adapter]) -> Copy:
    """Raises ConfigError where the config does not fit the systems, SystemFault where one does
    not answer."""
    flow = loaded.flow(name)
    schemas, capable = {}, {}
    for member, config in flow.members.items():
        system = adapter(loaded.system_of(name, member))
        schemas[member] = system.describe(config.object, tuple(config.key or ()))
    compiled = compile_flow(loaded, name, schemas)
    members = {}
    for member, made in compiled.members.items():
        capable[member] = adapter(made.system).open(made.spec).capabilities
        lag = max(capable[member].read_lag, flow.members[member].read_lag)
        able = capable[member]
        members[member] = Known(schemas[member], able.settles, able.consistent, lag)
    warned = tuple(map(str, compiled.findings))
    return Copy(name, table(loaded, name), members, assumed=_surrogates(schemas), warned=warned)


def implied(loaded: Loaded, name: str) -> Copy:
    """Where no system is asked: columns are what the flow's fields need."""
    flow = loaded.flow(name)
    schemas = {m: _implied(flow, config) for m, config in flow.members.items()}
    compile_flow(loaded, name, schemas)
    members = {m: Known(s, lag=flow.members[m].read_lag) for m, s in schemas.items()}
    text = "no system was asked: columns take whatever the fields' types allow, null included"
    return Copy(name, table(loaded, name), members, assumed=(text,))


def table(loaded: Loaded, name: str) -> dict[str, Any]:
    """The flow's table as the config has it, for simulated systems named like the members."""
    flow = loaded.flow(name).model_dump(
        mode="json",
        exclude_unset=True,
        exclude={"every": True, "cron": True, "members": {"__all__": {"system", "receipts"}}},
    )
    flow.setdefault("match", [])
    for said in (flow, *flow["fields"].values()):
        for option in ("conflict", "first"):
            if said.get(option) is not None:
                said[option] = [_word(policy) for policy in said[option]]
    return flow


def _word(policy: Mapping[str, Any]) -> str:
    """As the engine names it, too."""
    return str(Policy(policy["kind"], tuple(policy["order"])))


def _surrogates(schemas: Mapping[str, ObjectSchema]) -> tuple[str, ...]:
    return tuple(
        f"{member}: ids are simulated as numbers that the system gives; {schema.name} has"
        f" ({', '.join(schema.key)})"
        for member, schema in schemas.items()
        if not schema.generated
    )


# --- without a system to ask


def _implied(flow: FlowConfig, member: MemberConfig) -> ObjectSchema:
    columns: dict[str, Column] = {}
    for name, place in member.fields.items():
        for native in place.native:
            made = _column(native, flow.fields[name], place.table, place.zone)
            columns.setdefault(native, made)
    marks: Sequence[tuple[str | None, str]] = (
        (member.version, "integer"),
        (member.modified, "datetime"),
        (member.created, "datetime"),
        (member.cursor, "datetime"),
        (member.soft_delete, "boolean"),
    )
    for mark, family in marks:
        if mark is not None:
            columns.setdefault(mark, Column(mark, family, family, zoned=True))
    key = tuple(member.key or ("id",))
    for column in key:
        columns.setdefault(column, Column(column, "integer", "integer", nullable=False))
    return ObjectSchema(member.object, columns, key, generated=True)


def _column(
    name: str, options: FieldConfig, codes: Mapping[str, str] | None, zone: str | None
) -> Column:
    kind = Kind.of(options.model_dump(exclude_none=True, include={"type", "choices", "zone"}))
    families = {"set": "list", "enum": "text"}
    family = families.get(kind.name, kind.name)
    if codes is not None:
        family = "integer" if all(c.lstrip("-").isdigit() for c in codes) else "text"
    digits, scale = (kind.digits, kind.scale) if kind.name == "decimal" else (None, None)
    zoned = kind.name == "datetime" and zone is None and options.zone is None
    return Column(name, family, family, digits=digits, scale=scale, zoned=zoned)


# --- what only a person knows


def accustomed(copies: Sequence[Copy], said: Iterable[str]) -> list[Copy]:
    """With what their systems do by themselves, said like "crm.name=upper". Raises ConfigError
    for what fits none of the flows."""
    habits: dict[str, dict[str, dict[str, str]]] = {copy.name: {} for copy in copies}
    for text in said:
        place, _, what = text.partition("=")
        member, _, name = place.partition(".")
        if what not in HABITS:
            raise _wrong(f"--habit {text}: no habit `{what}`", what, HABITS)
        having = [copy for copy in copies if member in copy.members]
        if copies and not having:
            members = {m for copy in copies for m in copy.members}
            raise _wrong(f"--habit {text}: no member `{member}`", member, members)
        fields = {n for copy in having for n in copy.flow["members"][member]["fields"]}
        if copies and name not in fields:
            raise _wrong(f"--habit {text}: {member} has no field `{name}`", name, fields)
        for copy in having:
            at = copy.flow["members"][member]["fields"].get(name)
            columns = at["native"] if isinstance(at, Mapping) else at or ()
            for column in [columns] if isinstance(columns, str) else columns:
                habits[copy.name].setdefault(member, {})[column] = what
    return [replace(copy, habits=habits[copy.name]) for copy in copies]


def known(copies: Sequence[Copy], names: Iterable[str]) -> None:
    """Raises ConfigError for a field that none of the flows has."""
    fields = {name for copy in copies for name in copy.flow["fields"]}
    for name in names:
        if copies and name not in fields:
            raise _wrong(f"--accept {name}: there is no such field", name, fields)


def _wrong(message: str, word: str, words: Iterable[str]) -> ConfigError:
    return ConfigError(message, code="SY0160", hint=did_you_mean(word, sorted(words)))
