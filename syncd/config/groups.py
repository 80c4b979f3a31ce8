"""Fields that change together (law 14): declared, or held by one native field somewhere."""

from __future__ import annotations

from syncd.config.models import FlowConfig


class MixedGroup(Exception):
    """Fields of one group under different rules."""

    def __init__(self, field: str, text: str, hint: str) -> None:
        super().__init__(text)
        self.field = field
        self.hint = hint


def fuse(flow: FlowConfig) -> tuple[tuple[str, ...], ...]:
    """Every field in exactly one group, in config order. Raises MixedGroup where the rules of a
    group's fields differ: a group changes, conflicts and freezes as one, under one owner."""
    leader = {name: name for name in flow.fields}

    def find(name: str) -> str:
        while leader[name] != name:
            name = leader[name]
        return name

    def join(names: list[str]) -> None:
        known = [name for name in names if name in leader]
        for name in known[1:]:
            leader[find(name)] = find(known[0])

    for group in flow.groups:
        join(list(group))
    for member in flow.members.values():
        holders: dict[str, list[str]] = {}
        for name, column in member.fields.items():
            for native in column.native:
                holders.setdefault(native, []).append(name)
        for names in holders.values():
            join(names)

    groups: dict[str, list[str]] = {}
    for name in flow.fields:
        groups.setdefault(find(name), []).append(name)
    for names in groups.values():
        _same_rules(flow, names)
    return tuple(tuple(names) for names in groups.values())


def _same_rules(flow: FlowConfig, names: list[str]) -> None:
    head = flow.fields[names[0]]
    for name in names[1:]:
        other = flow.fields[name]
        for key in ("owner", "fill", "conflict", "first"):
            if getattr(head, key) != getattr(other, key):
                text = f"changes together with `{names[0]}`, but their `{key}` differs"
                raise MixedGroup(name, text, f"give both the same `{key}`")
