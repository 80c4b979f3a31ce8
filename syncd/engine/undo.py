"""A hold discarded with its change taken back: for once the member behind it has no say in what
the hold took, and in nothing else (law 16)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from syncd.core.model import Operation, OpKind
from syncd.core.rules import FlowRules, MemberRules
from syncd.store.holds import HoldItem, ItemState


def answered(rules: FlowRules, items: Iterable[HoldItem]) -> list[HoldItem]:
    """The items as they can be answered: of a member that takes part no more no change is taken
    back, so that its records are left alone."""
    return [
        replace(item, state=ItemState.EXCUSED)
        if item.state is ItemState.REVERTED and _cause(item) not in rules.members
        else item
        for item in items
    ]


def without(rules: FlowRules, items: Sequence[HoldItem]) -> FlowRules:
    """The rules under which the changes behind these items are drift to be reverted."""
    reverted = [item for item in items if item.state is ItemState.REVERTED]
    if not reverted:
        return rules
    members = dict(rules.members)
    for item in reverted:
        members[_cause(item)] = _undoing(rules, members[_cause(item)], item)
    return replace(rules, members=members)


def takes_back(rules: FlowRules, operation: Operation) -> bool:
    """Whether it does what `without` orders, and only that."""
    member = rules.members[operation.member]
    if operation.kind is OpKind.CREATE:
        return member.undelete
    return operation.kind is OpKind.UPDATE and set(operation.fields) <= member.undo


def _undoing(rules: FlowRules, member: MemberRules, item: HoldItem) -> MemberRules:
    if item.summary["kind"] in (OpKind.DELETE, OpKind.ARCHIVE):
        return replace(member, undelete=True)
    changed = set(item.summary["after"])
    fields = {name for group in rules.groups if changed & set(group) for name in group}
    return replace(member, undo=member.undo | fields)


def _cause(item: HoldItem) -> str:
    return str(item.summary.get("cause", ""))
