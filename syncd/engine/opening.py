"""Opening a flow: every member's object described, the config compiled, what is unreachable or
no longer fits set aside with its reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from pydantic import TypeAdapter

from syncd.adapter import Adapter, Endpoint, ObjectSchema
from syncd.config.compile import CompiledFlow
from syncd.config.compile_member import CompiledMember
from syncd.config.fields import field_type
from syncd.config.load import Loaded
from syncd.config.models import FieldConfig
from syncd.core.mapping import FieldMap, MemberMapping
from syncd.errors import (
    ConfigError,
    IdentityMismatch,
    SchemaChanged,
    SyncdError,
    SystemFault,
)
from syncd.store import shadow
from syncd.store.database import Store
from syncd.store.flows import MemberState

Compiler = Callable[[str, Mapping[str, ObjectSchema]], CompiledFlow]
"""What `compile_flow` does, for one config."""

_SCHEMA: TypeAdapter[ObjectSchema] = TypeAdapter(ObjectSchema)


@dataclass(frozen=True, slots=True)
class OpenFlow:
    """A flow ready to run.

    endpoints  of the members that answer
    failed     why the others do not: they count as not read
    former     by member, the mappings it had before, where there were any
    """

    name: str
    compiled: CompiledFlow
    endpoints: Mapping[str, Endpoint]
    failed: Mapping[str, SyncdError]
    identities: Mapping[str, str]
    known: Mapping[str, MemberState]
    former: Mapping[str, Formers]


class Formers:
    """A member's earlier mappings by the fingerprint that links carry: a record that was not read
    while a mapping was in force still has bases of the one before. Each is made when asked for."""

    def __init__(self, remembered: Mapping[str, Any], member: str) -> None:
        self._remembered, self._member = remembered, member
        self._made: dict[str, MemberMapping] = {}

    def __call__(self, fingerprint: str) -> MemberMapping | None:
        if fingerprint not in self._remembered:
            return None
        if fingerprint not in self._made:
            self._made[fingerprint] = recall(self._remembered[fingerprint], self._member)
        return self._made[fingerprint]


def open_flow(
    loaded: Loaded,
    name: str,
    adapter: Callable[[str], Adapter],
    store: Store | None,
    compiler: Compiler,
) -> OpenFlow:
    """Raises ConfigError where the config does not fit, SystemFault where a member was never
    reached: without having seen its object once, nothing can be planned for the others either."""
    flow = loaded.flow(name)
    remembered, states = _remembered(store, name)
    schemas: dict[str, ObjectSchema] = {}
    failed: dict[str, SyncdError] = {}
    identities: dict[str, str] = {}
    for member, config in flow.members.items():
        try:
            system = adapter(loaded.system_of(name, member))
            identities[member] = system.identity()
            known = states.get(member)
            if known is not None and known.identity not in (None, identities[member]):
                raise _moved(loaded, name, member)
            schemas[member] = system.describe(config.object, tuple(config.key or ()))
        except SystemFault as fault:
            failed[member] = fault
            before = _last(remembered, states, member)
            if before is None:
                raise
            schemas[member] = before
    compiled = _compile(compiler, name, schemas, remembered, states, failed)
    endpoints: dict[str, Endpoint] = {}
    for member, made in compiled.members.items():
        if member in failed:
            continue
        try:
            endpoints[member] = adapter(made.system).open(made.spec)
        except SystemFault as fault:
            failed[member] = fault
    compiled = _with_lags(compiled, endpoints)
    former = {
        member: Formers(earlier, member)
        for member in compiled.members
        if (earlier := _former(remembered, compiled, member))
    }
    return OpenFlow(name, compiled, endpoints, failed, identities, states, former)


def _with_lags(compiled: CompiledFlow, endpoints: Mapping[str, Endpoint]) -> CompiledFlow:
    """A member's read lag is the longer of what its adapter knows and what the config says."""
    members = dict(compiled.rules.members)
    for name, endpoint in endpoints.items():
        lag = max(members[name].read_lag, endpoint.capabilities.read_lag)
        members[name] = replace(members[name], read_lag=lag)
    return replace(compiled, rules=replace(compiled.rules, members=members))


def memory(loaded: Loaded, flow: str, member: CompiledMember) -> dict[str, Any]:
    """What the store keeps under a member's fingerprint: enough to map its rows again as now."""
    config = loaded.flow(flow)
    return {
        "schema": _SCHEMA.dump_python(member.schema, mode="json"),
        "fields": {
            name: options.model_dump(
                mode="json",
                include={"type", "zone", "precision", "choices", "limit", "null"},
                exclude_none=True,
            )
            for name, options in config.fields.items()
        },
        "maps": [
            asdict(
                FieldMap(
                    name,
                    tuple(column.native),
                    column.lens,
                    column.table,
                    column.zone,
                    column.read_only,
                )
            )
            for name, column in config.members[member.name].fields.items()
        ],
    }


def recall(remembered: Mapping[str, Any], member: str) -> MemberMapping:
    """The mapping that `memory` described."""
    types = {
        name: field_type(FieldConfig.model_validate(options))
        for name, options in remembered["fields"].items()
    }
    maps = [FieldMap(**{**said, "native": tuple(said["native"])}) for said in remembered["maps"]]
    schema = _SCHEMA.validate_python(remembered["schema"])
    return MemberMapping.compile(types, maps, schema.columns, member)


Remembered = Mapping[tuple[str, str], Any]  # (member, fingerprint) → memory


def _remembered(
    store: Store | None, name: str
) -> tuple[dict[tuple[str, str], Any], dict[str, MemberState]]:
    if store is None:
        return {}, {}
    with store.read() as conn:
        try:
            flow = shadow.flow_id(conn, name, create=False)
        except KeyError:
            return {}, {}
        return shadow.fingerprint_mappings(conn, flow), shadow.members(conn, flow)


def _last(
    remembered: Remembered, states: Mapping[str, MemberState], member: str
) -> ObjectSchema | None:
    state = states.get(member)
    memory = remembered.get((member, state.fingerprint)) if state is not None else None
    return None if memory is None else _SCHEMA.validate_python(memory["schema"])


def _compile(
    compiler: Compiler,
    name: str,
    schemas: Mapping[str, ObjectSchema],
    remembered: Remembered,
    states: Mapping[str, MemberState],
    failed: dict[str, SyncdError],
) -> CompiledFlow:
    """A config that fitted the last time and does not now means that an object changed: that
    member halts, the others go on (S59, F49, F50)."""
    try:
        return compiler(name, schemas)
    except ConfigError as error:
        before = {m: _last(remembered, states, m) or schema for m, schema in schemas.items()}
        if before == dict(schemas):
            raise
        try:
            compiled = compiler(name, before)
        except ConfigError:
            raise error from None
        for member, schema in schemas.items():
            try:
                compiler(name, {**before, member: schema})
            except ConfigError as reason:
                failed[member] = SchemaChanged(
                    f"{schema.name} changed and the mapping does not fit it any more: "
                    f"{reason.message}",
                    code="SY0230",
                    where=f"flow {name}, member {member}",
                    hint="put the column back or change the mapping; nothing is blanked meanwhile",
                )
        return compiled


def _former(remembered: Remembered, compiled: CompiledFlow, member: str) -> dict[str, Any]:
    now = compiled.rules.members[member].fingerprint
    return {
        fingerprint: memory
        for (name, fingerprint), memory in remembered.items()
        if name == member and fingerprint != now
    }


def _moved(loaded: Loaded, flow: str, member: str) -> IdentityMismatch:
    system = loaded.system_of(flow, member)
    return IdentityMismatch(
        f"system `{system}` is another database than in the last run",
        code="SY0231",
        where=f"flow {flow}, member {member}",
        hint="point the config back, or, if the move is meant: syncd state doctor --accept "
        + member,
    )
