"""The smallest script that still fails alike: drops what can be dropped, keeps what breaks.

Delta debugging (Zeller and Hildebrandt, 2002) on each part of the script in turn, until a whole
pass takes nothing away any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar

from syncd.simulate.script import Script, Traits

T = TypeVar("T")
Fails = Callable[[Script], bool]


def shrink(script: Script, fails: Fails, tries: int = 400) -> Script:
    """fails  whether a script still breaks the promise in question; must be so for `script`
    tries  lives played at most
    """
    left = [tries]

    def still(candidate: Script) -> bool:
        if left[0] <= 0:
            return False
        left[0] -= 1
        return fails(candidate)

    while True:
        smaller = _pass(script, still)
        if smaller == script or left[0] <= 0:
            return smaller
        script = smaller


def _pass(script: Script, still: Fails) -> Script:
    for part in ("faults", "events", "changes"):
        script = _fewer(script, part, still)
    for candidate in _shorter(script):
        if still(candidate):
            script = candidate
            break
    for name in _spare(script):
        candidate = without_field(script, name)
        if still(candidate):
            script = candidate
    for name in script.systems:
        if name not in script.flow["members"]:
            continue  # it joins later, as it is
        for candidate_traits in _plainer(script.systems[name], bool(script.objects)):
            candidate = with_traits(script, name, candidate_traits)
            if still(candidate):
                script = candidate
    return script


def _fewer(script: Script, part: str, still: Fails) -> Script:
    size = max(1, len(getattr(script, part)) // 2)
    while size:
        place = 0
        while place < len(items := getattr(script, part)):
            fewer = (*items[:place], *items[place + size :])
            changed: dict[str, Any] = {part: fewer}
            candidate = replace(script, **changed)
            if still(candidate):
                script = candidate
            else:
                place += size
        size //= 2
    return script


def _shorter(script: Script) -> Iterator[Script]:
    """Without the last rounds, and what happens in them."""
    for many in range(1, len(script.rounds)):
        yield replace(
            script,
            rounds=script.rounds[:many],
            events=_before(script.events, many),
            faults=_before(script.faults, many),
            changes=_before(script.changes, many),
        )


def _before(items: Sequence[Any], many: int) -> tuple[Any, ...]:
    return tuple(item for item in items if item.round < many)


def without_field(script: Script, name: str) -> Script:
    flow = dict(script.flow)
    flow["fields"] = {n: said for n, said in flow["fields"].items() if n != name}
    flow["members"] = {
        member: {**said, "fields": {n: c for n, c in said["fields"].items() if n != name}}
        for member, said in flow["members"].items()
    }
    events = tuple(e for e in script.events if e.name != name)
    changes = tuple(
        replace(c, patch=_unmapped(c.patch, name))
        for c in script.changes
        if name not in c.patch.get("fields", {})
    )
    return replace(script, flow=flow, events=events, changes=changes)


def _unmapped(patch: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Members that join do so without the field."""
    members = {
        member: {**said, "fields": {n: c for n, c in said["fields"].items() if n != name}}
        if said is not None and "fields" in said
        else said
        for member, said in patch.get("members", {}).items()
    }
    return {**patch, "members": members} if members else patch


def _spare(script: Script) -> list[str]:
    """Fields that a life may go without: all but those of match rules and groups, and those that
    fill a column which must have a value."""
    flow = script.flow
    said = [*flow["match"], *flow.get("groups", ())]
    needed = {name for names in said for name in ([names] if isinstance(names, str) else names)}
    for member, described in script.objects.items():
        if member not in flow["members"]:
            continue  # it joins later
        for name, place in flow["members"][member]["fields"].items():
            columns = place["native"] if isinstance(place, Mapping) else place
            for column in [columns] if isinstance(columns, str) else columns:
                if not described["columns"][column]["nullable"]:
                    needed.add(name)
    return [name for name in flow["fields"] if name not in needed]


def _plainer(traits: Traits, described: bool) -> Iterator[Traits]:
    """described: the columns are as somebody said, and stay."""
    plain, kept = Traits(), {"proof", *(_COLUMNS if described else ())}
    for one in fields(Traits):
        if getattr(traits, one.name) != getattr(plain, one.name) and one.name not in kept:
            yield replace(traits, **{one.name: getattr(plain, one.name)})


_COLUMNS = {"versions": ("version", "rev"), "modified": ("modified", "changed"),
            "created": ("created", "born"), "soft": ("soft_delete", "gone"),
            "cursor": ("cursor", "changed")}  # fmt: skip


def with_traits(script: Script, name: str, traits: Traits) -> Script:
    """The system made over, and its member told of the columns it has now."""
    if script.objects:
        return replace(script, systems={**script.systems, name: traits})
    member = dict(script.flow["members"][name])
    for trait, (option, column) in _COLUMNS.items():
        member.pop(option, None)
        if getattr(traits, trait):
            member[option] = column
    flow = {**script.flow, "members": {**script.flow["members"], name: member}}
    return replace(script, flow=flow, systems={**script.systems, name: traits})
