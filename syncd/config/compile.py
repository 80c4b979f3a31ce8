"""A checked config and the systems' schemas → rules for the planner, specs for the adapters.

Pure: schemas come as arguments, so a plan can be made again from what was recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from syncd.adapter import ObjectSchema
from syncd.config.compile_member import CompiledMember, MemberCompiler, shortcomings, uncreatable
from syncd.config.fields import comparison, field_type
from syncd.config.groups import fuse
from syncd.config.load import Loaded
from syncd.config.models import Config, FlowConfig, GuardConfig, LimitConfig
from syncd.config.problems import Problem, one_error
from syncd.core.hashing import digest
from syncd.core.rules import FieldRules, FlowRules, GuardLimit, MemberRules, Mode, Policy
from syncd.core.values import FieldType
from syncd.errors import ConfigError
from syncd.findings import Finding

__all__ = ["CompiledFlow", "CompiledMember", "check_shared", "compile_flow"]

# How a store's match keys are made: kept under another number, they are made anew. 2: those of
# records that take no part are among them
_KEYED = 2


@dataclass(frozen=True, slots=True)
class CompiledFlow:
    """types         by field
    guard_window  seconds
    every         seconds, cron: five fields; both None = by hand only
    fingerprint   of everything above that decides what a plan says
    matching      digest of what makes the match keys: the rules and their fields' options
    """

    name: str
    rules: FlowRules
    members: Mapping[str, CompiledMember]
    types: Mapping[str, FieldType]
    guard_window: float
    fingerprint: str
    matching: str = ""
    every: float | None = None
    cron: str | None = None
    findings: tuple[Finding, ...] = ()


def compile_flow(loaded: Loaded, name: str, schemas: Mapping[str, ObjectSchema]) -> CompiledFlow:
    """schemas: by member, as the systems describe them now. Raises ConfigError where the config
    does not fit them: unknown column (SY0130), no key (SY0132), not writable (SY0133), a column
    unfit for its part (SY0134), or what the mapping says of a type."""
    flow = loaded.flow(name)
    types = {field: field_type(options) for field, options in flow.fields.items()}
    errors: list[ConfigError] = []
    members: dict[str, CompiledMember] = {}
    for member in flow.members:
        made = MemberCompiler(loaded, name, member, schemas[member], types)
        errors += made.errors()
        if not errors:
            members[member] = made.compiled()
    if errors:
        raise one_error(errors)
    rules = _rules(name, flow, members)
    findings: list[Finding] = []
    for member, compiled in members.items():
        place = loaded.where(("flows", name, "members", member))
        findings += [Finding(place, *found) for found in shortcomings(compiled, rules.deletes)]
    return CompiledFlow(
        name=name,
        rules=rules,
        members=members,
        types=types,
        guard_window=flow.guard.window,
        fingerprint=_fingerprint(flow, rules),
        matching=_matching(flow),
        every=flow.every,
        cron=flow.cron,
        findings=tuple(findings),
    )


def check_shared(loaded: Loaded, flows: Sequence[CompiledFlow]) -> None:
    """Raises ConfigError SY0118 where two flows write one native field under two spellings of
    its object's name ("customers" and "public.customers")."""
    writers: dict[tuple[str, str, str], str] = {}
    errors = []
    for flow in flows:
        for name, member in flow.members.items():
            for column in sorted(member.spec.writes):
                at = (_database(loaded.config, member.system), member.schema.name, column)
                other = writers.setdefault(at, flow.name)
                if other != flow.name:
                    text = f"`{column}` of {member.schema.name} is written by flow `{other}` too"
                    path = ("flows", flow.name, "members", name, "object")
                    errors.append(loaded.error(Problem(path, text, "SY0118")))
    if errors:
        raise one_error(errors)


def _rules(name: str, flow: FlowConfig, members: Mapping[str, CompiledMember]) -> FlowRules:
    sources = tuple(m for m, compiled in members.items() if compiled.mode.is_source)
    aggregates = any(compiled.mode is Mode.SOURCE for compiled in members.values())
    whence = flow.deletes_from or ("all" if aggregates else "any")
    return FlowRules(
        name=name,
        fields={field: _field_rules(field, flow) for field in flow.fields},
        members={m: _member_rules(flow, compiled) for m, compiled in members.items()},
        groups=fuse(flow),
        match=tuple(tuple(rule) for rule in flow.match),
        deletes=flow.deletes,
        deletes_from=None if whence == "any" else sources if whence == "all" else tuple(whence),
        deletes_all=whence == "all",
        delete_conflict=flow.delete_conflict,
        drift=flow.drift,
        tolerance=flow.tolerance,
        grace=flow.grace,
        bridge_accept=flow.bridge == "accept",
        guards=_guards(flow.guard),
        guard_floor=flow.guard.floor,
    )


def _field_rules(name: str, flow: FlowConfig) -> FieldRules:
    options = flow.fields[name]
    is_set = options.type.strip() == "set"
    conflict = flow.conflict if options.conflict is None else options.conflict
    return FieldRules(
        name=name,
        compare=comparison(options),
        is_set=is_set,
        owner=options.owner,
        fill=options.fill,
        conflict=_fitting(conflict, is_set),
        first=flow.first if options.first is None else options.first,
        lossy=options.lossy == "accept",
        exclusive=options.exclusive,
        private=options.private,
    )


def _fitting(policies: tuple[Policy, ...], is_set: bool) -> tuple[Policy, ...]:
    """The flow's `merge` speaks to its sets only."""
    return tuple(policy for policy in policies if is_set or policy.kind != "merge")


def _member_rules(flow: FlowConfig, member: CompiledMember) -> MemberRules:
    options = flow.members[member.name]
    mapping = member.mapping
    return MemberRules(
        name=member.name,
        mode=member.mode,
        reads=frozenset(mapping.fields_read),
        writes=frozenset(mapping.fields_written) if member.mode.is_target else frozenset(),
        validate=mapping.validate,
        fingerprint=mapping.fingerprint,
        read_lag=options.read_lag,
        archives=options.soft_delete is not None,
        creates=member.mode.is_target and not uncreatable(member),
    )


def _guards(guard: GuardConfig) -> dict[str, GuardLimit]:
    """By the kinds of the law's rule 16; a kind without a limit is left out."""
    named = {
        "create": guard.creates,
        "update": guard.updates,
        "blanking": guard.blankings,
        "delete": guard.deletes,
        "first-sight": guard.first_sight,
        "rebase": guard.rebases,
    }
    return {kind: _limit(limit) for kind, limit in named.items() if limit != LimitConfig()}


def _limit(limit: LimitConfig) -> GuardLimit:
    return GuardLimit(count=limit.count, percent=limit.percent)


def _fingerprint(flow: FlowConfig, rules: FlowRules) -> str:
    shape = flow.model_dump(mode="json", exclude={"every", "cron"})
    # creates: once it is granted, records that were left out have to be looked at again
    forms = {name: [member.fingerprint, member.creates] for name, member in rules.members.items()}
    return digest([shape, forms])


def _matching(flow: FlowConfig) -> str:
    names = sorted({name for rule in flow.match for name in rule})
    fields = {n: flow.fields[n].model_dump(mode="json") for n in names}
    return digest([_KEYED, flow.match, fields])


def _database(config: Config, system: str) -> str:
    url = config.systems[system].options.get("url")
    return f"url {url}" if isinstance(url, str) else f"system {system}"
