"""What one flow's tables say against each other and against the systems."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from syncd.config.fields import comparison
from syncd.config.groups import MixedGroup, fuse
from syncd.config.models import FieldConfig, FlowConfig, SystemConfig
from syncd.config.problems import Path, Problem, did_you_mean
from syncd.core.rules import Deletes, Policy
from syncd.errors import ConfigError

_UNMATCHABLE = ("set", "list", "json", "bytes")


def problems(name: str, flow: FlowConfig, systems: Mapping[str, SystemConfig]) -> Iterator[Problem]:
    path = ("flows", name)
    if flow.every is not None and flow.cron is not None:
        yield Problem((*path, "cron"), "both `every` and `cron`", "SY0104", "keep one of them")
    if flow.every is not None and flow.every < 1:
        yield Problem((*path, "every"), "more often than once a second", "SY0104")
    yield from _members(path, flow, systems)
    lame = list(_mode(path, flow))
    yield from lame
    yield from _match(path, flow)
    yield from _policies(path, flow)
    yield from _deletes(path, flow)
    yield from _groups(path, flow)
    for field, options in flow.fields.items():
        yield from _spelling(path, field, options)
        if not lame:  # else every field would say the same again
            yield from _reach(path, flow, field, options)


def findings(name: str, flow: FlowConfig) -> Iterator[tuple[Path, str, str]]:
    """(path, text, hint)"""
    path = ("flows", name)
    if not flow.match and len(flow.members) > 1:
        yield (
            path,
            "without `match` no record is linked to one that is already there, and none is created",
            'match = ["email"]',
        )
    newest = any(policy.kind == "newest" for policy in _all_policies(flow))
    timeless = [m for m, o in flow.members.items() if o.mode.is_source and o.modified is None]
    if newest and timeless:
        who = ", ".join(timeless)
        yield (
            (*path, "conflict"),
            f"`newest` cannot judge edits of {who}: no `modified` column is named there",
            'modified = "updated_at", or a policy that needs no time',
        )


def _members(
    path: Path, flow: FlowConfig, systems: Mapping[str, SystemConfig]
) -> Iterator[Problem]:
    objects: dict[tuple[str, str], str] = {}
    for name, member in flow.members.items():
        place = (*path, "members", name)
        system = member.system or name
        if system not in systems:
            at = (*place, "system") if member.system else place
            hint = did_you_mean(system, systems) or f"add [systems.{system}]"
            if not member.system:
                hint += ' (a member called otherwise than its system says system = "…")'
            yield Problem(at, f"no system `{system}`", "SY0110", hint)
        other = objects.setdefault((system, member.object), name)
        if other != name:
            text = f"the same object as member `{other}`: {member.object}"
            yield Problem((*place, "object"), text, "SY0122", "an object takes part once in a flow")
        for field in member.fields:
            if field not in flow.fields:
                hint = did_you_mean(field, flow.fields)
                at = (*place, "fields", field)
                yield Problem(at, f"the flow has no field `{field}`", "SY0112", hint)
        for key in ("version", "soft_delete"):
            yield from _written_mark(place, flow, name, key)


def _written_mark(place: Path, flow: FlowConfig, name: str, key: str) -> Iterator[Problem]:
    member = flow.members[name]
    column = getattr(member, key)
    if column is None or not member.mode.is_target:
        return
    for field, mapped in member.fields.items():
        if column in mapped.native and not mapped.read_only:
            text = f"`{column}` is the {key} column; no field may write it"
            yield Problem((*place, "fields", field), text, "SY0118", "add read_only = true")


def _mode(path: Path, flow: FlowConfig) -> Iterator[Problem]:
    sources = [name for name, member in flow.members.items() if member.mode.is_source]
    targets = [name for name, member in flow.members.items() if member.mode.is_target]
    place = (*path, "members")
    if len(flow.members) < 2:
        text = "one member alone is equal to itself"
        yield Problem(place, text, "SY0113", "add the other system's member")
    elif not sources:
        yield Problem(place, "no member is a source: nothing would ever come", "SY0113")
    elif not targets:
        yield Problem(place, "no member is a target: nothing would ever be written", "SY0113")


def _match(path: Path, flow: FlowConfig) -> Iterator[Problem]:
    place = (*path, "match")
    for rule in flow.match:
        for field in rule:
            if field not in flow.fields:
                yield Problem(
                    place, f"no field `{field}`", "SY0112", did_you_mean(field, flow.fields)
                )
                continue
            lacking = [name for name, member in flow.members.items() if field not in member.fields]
            if lacking:
                text = f"`{field}` is not mapped by {', '.join(lacking)}; every member needs it"
                yield Problem(place, text, "SY0115")
            kind = flow.fields[field].type.partition("(")[0].strip()
            if kind in _UNMATCHABLE:
                yield Problem(
                    place, f"`{field}` is a {kind}; records match by a text or number", "SY0115"
                )
    if len(set(flow.match)) < len(flow.match):
        yield Problem(place, "one rule stands there twice", "SY0115")


def _all_policies(flow: FlowConfig) -> Iterator[Policy]:
    yield from flow.conflict
    yield from flow.first
    for options in flow.fields.values():
        yield from options.conflict or ()
        yield from options.first or ()


def _policies(path: Path, flow: FlowConfig) -> Iterator[Problem]:
    for key, chosen in (("conflict", flow.conflict), ("first", flow.first)):
        yield from _preferred((*path, key), chosen, flow, flow.members)
    merging = any(policy.kind == "merge" for policy in flow.conflict)
    if merging and not any(_is_set(options) for options in flow.fields.values()):
        text = "`merge` joins sets, and the flow has no field of type set"
        yield Problem((*path, "conflict"), text, "SY0117")


def _preferred(
    place: Path, chosen: tuple[Policy, ...], flow: FlowConfig, fit: Collection[str]
) -> Iterator[Problem]:
    for policy in chosen:
        for member in policy.order:
            if member not in flow.members:
                hint = did_you_mean(member, flow.members)
                yield Problem(place, f"no member `{member}`", "SY0111", hint)
            elif member not in fit:
                text = f"{policy} names a member that does not map the field: `{member}`"
                yield Problem(place, text, "SY0117", "name members that map it")


def _deletes(path: Path, flow: FlowConfig) -> Iterator[Problem]:
    if isinstance(flow.deletes_from, tuple):
        place = (*path, "deletes_from")
        for name in flow.deletes_from:
            if name not in flow.members:
                hint = did_you_mean(name, flow.members)
                yield Problem(place, f"no member `{name}`", "SY0111", hint)
            elif not flow.members[name].mode.is_source:
                text = f"`{name}` is only a target; a deletion there is drift"
                yield Problem(place, text, "SY0119", "name sources")
    if flow.deletes is Deletes.ARCHIVE:
        for name, member in flow.members.items():
            if member.mode.is_target and member.soft_delete is None:
                text = f'deletes = "archive", but `{name}` names no `soft_delete` column'
                hint = 'soft_delete = "deleted_at", or deletes = "propagate"'
                yield Problem((*path, "members", name), text, "SY0119", hint)


def _groups(path: Path, flow: FlowConfig) -> Iterator[Problem]:
    known = True
    for group in flow.groups:
        for field in group:
            if field not in flow.fields:
                known = False
                hint = did_you_mean(field, flow.fields)
                yield Problem((*path, "groups"), f"no field `{field}`", "SY0112", hint)
        if len(set(group)) < 2:
            yield Problem((*path, "groups"), "a group has two fields or more", "SY0120")
    if known:
        try:
            fuse(flow)
        except MixedGroup as mixed:
            place = (*path, "fields", mixed.field)
            yield Problem(place, str(mixed), "SY0120", mixed.hint)


def _spelling(path: Path, name: str, options: FieldConfig) -> Iterator[Problem]:
    place = (*path, "fields", name)
    try:
        comparison(options)
    except ConfigError as error:
        at = {"SY0172": "fold", "SY0173": "zone"}.get(error.code, "type")
        yield Problem((*place, at), error.message, error.code, error.hint)
    if any(policy.kind == "merge" for policy in options.conflict or ()) and not _is_set(options):
        text = f"`merge` joins sets; this is {options.type}"
        yield Problem((*place, "conflict"), text, "SY0117", 'type = "set", or another policy')


def _reach(path: Path, flow: FlowConfig, name: str, options: FieldConfig) -> Iterator[Problem]:
    """Where its values come from and go to."""
    place = (*path, "fields", name)
    members = {m: o for m, o in flow.members.items() if name in o.fields}
    sources = [m for m, o in members.items() if o.mode.is_source]
    targets = [m for m, o in members.items() if o.mode.is_target and not o.fields[name].read_only]
    matched = any(name in rule for rule in flow.match)
    if not members:
        yield Problem(place, "no member maps it", "SY0114", "map it, or take it out")
    elif len(members) == 1 and len(flow.members) > 1:
        only = next(iter(members))
        text = f"only `{only}` maps it; there is nothing to keep it equal with"
        yield Problem(place, text, "SY0114", "map it at another member, or take it out")
    elif not sources:
        yield Problem(place, "only targets map it; no value can come", "SY0114")
    elif not targets and not matched:
        yield Problem(place, "no target may write it, and no match rule reads it", "SY0114")
    yield from _owner(place, flow, options, sources, targets)
    for key, chosen in (("conflict", options.conflict), ("first", options.first)):
        if chosen is not None:
            yield from _preferred((*place, key), chosen, flow, members)


def _owner(
    place: Path, flow: FlowConfig, options: FieldConfig, sources: list[str], targets: list[str]
) -> Iterator[Problem]:
    owner = options.owner
    if owner is None:
        return
    place = (*place, "owner")
    if owner not in flow.members:
        yield Problem(place, f"no member `{owner}`", "SY0111", did_you_mean(owner, flow.members))
    elif not flow.members[owner].mode.is_source:
        yield Problem(place, f"`{owner}` is only a target; it cannot own a field", "SY0116")
    elif owner not in sources:
        yield Problem(place, f"`{owner}` does not map the field it owns", "SY0116", "map it there")
    elif not set(targets) - {owner}:
        yield Problem(place, "nobody else may write it, so it goes nowhere", "SY0116")


def _is_set(options: FieldConfig) -> bool:
    return options.type.strip() == "set"
