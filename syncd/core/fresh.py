"""The plan of one record that is new everywhere: what `plan` says of it, by a shorter way.

A first load makes a million of these. Nothing is merged, since there is one voice: its values are
agreed, its bases in step, and every target gets a record. Whatever is not that simple is left to
the general way; a property test holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from syncd.core.model import (
    Agreed,
    Base,
    Entity,
    EntityPlan,
    EntityState,
    LinkState,
    Operation,
    OpKind,
    Origin,
    Read,
    ReadStatus,
)
from syncd.core.rules import FlowRules


def plan_fresh(
    rules: FlowRules,
    entity: Entity,
    reads: Mapping[str, Read],
    run: int,
    tick: int,
) -> EntityPlan | None:
    """`entity`: new, with one link without bases. None = take the general way."""
    ((name, link),) = entity.links.items()
    member = rules.members.get(name)
    read = reads.get(name)
    if member is None or read is None or read.status is not ReadStatus.SEEN:
        return None
    record = read.record
    if record is None or link.bases or link.moved_tick or link.state is not LinkState.LIVE:
        return None
    if entity.gone or entity.unsettled or entity.state is not EntityState.LIVE:
        return None
    if not member.mode.is_source or len(record.fields) != len(rules.fields):
        return None
    for field in rules.fields.values():
        if field.owner not in (None, name) or field.name not in member.reads:
            return None
    for other in rules.members.values():
        if other.name == name:
            continue
        seen = reads.get(other.name)
        if seen is None or seen.status is not ReadStatus.SAME or not seen.complete:
            return None
    origin = Origin(name, run, f"first seen in {name}", record.modified)
    fields = {field: record.fields[field] for group in rules.groups for field in group}
    agreed = {field: Agreed(value, 1, origin) for field, value in fields.items()}
    operations = []
    for other_name in sorted(rules.members):
        other = rules.members[other_name]
        if other_name == name or not (other.mode.is_target and other.creates):
            continue
        values = {field: value for field, value in fields.items() if field in other.writes}
        if other.validate(values):
            return None
        reasons = dict.fromkeys(values, origin.rule)
        operations.append(
            Operation(
                other_name,
                OpKind.CREATE,
                None,
                values,
                {},
                dict.fromkeys(values, 1),
                {},
                None,
                name,
                reasons,
            )
        )
    known = replace(
        link,
        bases={field: Base(value, 1) for field, value in record.fields.items()},
        version=record.version,
        edited=record.modified,
        created=record.created,
        row_hash=record.row_hash,
        fingerprint=member.fingerprint,
        moved_tick=tick,
    )
    return EntityPlan(
        replace(entity, agreed=agreed, links={name: known}), tuple(operations), changed=True
    )
