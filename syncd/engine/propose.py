"""A first flow, proposed by looking: which objects hold the same things, which columns the same
facts, and what may tell two records apart. Pure: schemas and a few rows in, a proposal out.

A guess is only a guess: it goes into a config that a person reads, and `check` proves it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from syncd.adapter import NativeFields, ObjectSchema
from syncd.engine.resemble import HEADS, Pair, Shape, pairs, shapes

_KEYLIKE = ("text", "integer", "uuid", "date")
_MODIFIED = frozenset(
    [
        "updated_at",
        "modified_at",
        "last_modified",
        "lastmodified",
        "modified",
        "updated",
        "changed_at",
        "last_update",
        "lastupdate",
        "update_time",
        "updatedat",
        "modifiedat",
        "mtime",
    ]
)
_DELETED = frozenset(
    ["deleted_at", "deletedat", "is_deleted", "deleted", "archived_at", "removed_at"]
)


@dataclass(frozen=True, slots=True)
class Seen:
    """One object of one system: what it looks like, and its first rows."""

    system: str
    schema: ObjectSchema
    rows: Sequence[NativeFields]


@dataclass(frozen=True, slots=True)
class ProposedField:
    """type  as the config spells it; columns: by system, its native field or fields
    read_only  systems whose column nobody may write
    reason     why these belong together, for the comment beside them
    """

    name: str
    type: str
    columns: Mapping[str, tuple[str, ...]]
    reason: str
    fold: tuple[str, ...] = ()
    zone: str | None = None
    read_only: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProposedMember:
    """key  only where the object has none of its own"""

    system: str
    object: str
    writable: bool
    modified: str | None = None
    soft_delete: str | None = None
    key: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Proposal:
    """match  rules, each a tuple of fields, the surest first; empty = nothing tells records apart
    unmapped  by system, columns that no field maps
    """

    name: str
    members: tuple[ProposedMember, ...]
    fields: tuple[ProposedField, ...]
    match: tuple[tuple[str, ...], ...]
    unmapped: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Looked:
    seen: Seen
    shapes: Mapping[str, Shape]
    modified: str | None
    soft_delete: str | None

    @property
    def system(self) -> str:
        return self.seen.system

    @property
    def facts(self) -> dict[str, Shape]:
        """Without the columns that speak of the row and not of the thing."""
        marks = (self.modified, self.soft_delete)
        return {name: shape for name, shape in self.shapes.items() if name not in marks}


def propose(seen: Sequence[Seen]) -> Proposal | None:
    """The best flow between objects of two systems and more; None where nothing resembles.

    The first system named is the anchor: each other system contributes the object that resembles
    the anchor's most; of several anchors, the one they resemble most in sum.
    """
    looked = [_look(one) for one in seen]
    systems = list(dict.fromkeys(one.system for one in seen))
    best: tuple[float, _Looked, list[tuple[_Looked, list[Pair]]]] | None = None
    for anchor in (one for one in looked if one.system == systems[0]):
        others = [
            _closest(anchor, [one for one in looked if one.system == system])
            for system in systems[1:]
        ]
        score = sum(one[0] for one in others)
        if others and all(one[0] > 0 for one in others) and (best is None or score > best[0]):
            best = (score, anchor, [(other, found) for _, other, found in others])
    if best is None:
        return None
    _, anchor, chosen = best
    return _proposal(anchor, chosen)


def _look(one: Seen) -> _Looked:
    columns = one.schema.columns.values()
    modified = [c.name for c in columns if c.name.lower() in _MODIFIED and c.family == "datetime"]
    deleted = [
        c.name
        for c in columns
        if c.name.lower() in _DELETED and c.family in ("datetime", "boolean", "integer", "date")
    ]
    return _Looked(
        one,
        shapes(one.schema, one.rows),
        modified[0] if modified else None,
        deleted[0] if deleted else None,
    )


def _closest(anchor: _Looked, others: Sequence[_Looked]) -> tuple[float, _Looked, list[Pair]]:
    """The object that resembles the anchor most: (score, object, pairs of columns)."""
    found = []
    for other in others:
        matched = pairs(anchor.facts, other.facts)
        score = sum(pair.score * len(pair.left) for pair in matched)
        if _bare(anchor.seen.schema.name) == _bare(other.seen.schema.name):
            score *= 1.25
        found.append((score, other, matched))
    return max(found, key=lambda one: one[0], default=(0.0, anchor, []))


def _proposal(anchor: _Looked, chosen: Sequence[tuple[_Looked, list[Pair]]]) -> Proposal:
    members = [anchor, *(other for other, _ in chosen)]
    fields: list[ProposedField] = []
    by_left: dict[tuple[str, ...], dict[str, Pair]] = {}
    for other, matched in chosen:
        for pair in matched:
            by_left.setdefault(pair.left, {})[other.system] = pair
    names: set[str] = set()
    for left, found in by_left.items():
        if len({pair.type for pair in found.values()}) > 1:
            found = dict([next(iter(found.items()))])  # the first that agreed on a type
        made = _field(anchor, left, found, {one.system: one for one in members}, names)
        names.add(made.name)
        fields.append(made)
    fields.sort(key=lambda made: _position(anchor, made.columns[anchor.system][0]))
    match = _match(fields, members)
    keyed = {name for rule in match for name in rule}
    return Proposal(
        name=_name(_bare(anchor.seen.schema.name)) or "records",
        members=tuple(_member(one) for one in members),
        fields=tuple(_folded(made) if made.name in keyed else made for made in fields),
        match=match,
        unmapped={one.system: _unmapped(one, fields) for one in members},
    )


def _field(
    anchor: _Looked,
    left: tuple[str, ...],
    found: Mapping[str, Pair],
    members: Mapping[str, _Looked],
    names: set[str],
) -> ProposedField:
    columns = {anchor.system: left, **{system: pair.right for system, pair in found.items()}}
    first = next(iter(found.values()))
    spelled = _called([members[s].shapes[n[0]] for s, n in columns.items() if len(n) == 1])
    name = next(
        one
        for one in (spelled, _name("_".join(left)), *(f"{spelled}_{n}" for n in range(2, 999)))
        if one and one not in names
    )
    derived = tuple(
        system
        for system, native in columns.items()
        if any(members[system].shapes[column].column.derived for column in native)
    )
    return ProposedField(
        name, first.type, columns, first.reason, zone=first.zone, read_only=derived
    )


def _called(singles: Sequence[Shape]) -> str:
    """The one name they have, else the one word that all of them mean, else the shortest."""
    names = {_name(shape.column.name) for shape in singles}
    shared = frozenset.intersection(*(shape.words for shape in singles))
    if len(names) > 1 and len(shared) == 1 and shared <= HEADS:
        return next(iter(shared))
    return min(names, key=lambda text: (len(text), text))


def _member(one: _Looked) -> ProposedMember:
    schema = one.seen.schema
    key: tuple[str, ...] = ()
    if not schema.key:
        unique = [s.column.name for s in one.shapes.values() if s.unique and s.filled == 1.0]
        key = tuple(unique[:1])
    return ProposedMember(
        one.system, schema.name, schema.writable, one.modified, one.soft_delete, key
    )


def _match(
    fields: Sequence[ProposedField], members: Sequence[_Looked]
) -> tuple[tuple[str, ...], ...]:
    """The field that is filled, unique in every member and mostly shared; else two together."""
    fit = [
        made
        for made in fields
        if len(made.columns) == len(members) and made.type.partition("(")[0] in _KEYLIKE
    ]
    keys: list[tuple[ProposedField, ...]] = [(made,) for made in fit]
    keys += combinations(fit, 2)
    rules = [(_strength(key, members) / len(key), tuple(made.name for made in key)) for key in keys]
    strongest = sorted(
        (rule for rule in rules if rule[0] > 0), key=lambda rule: (-rule[0], rule[1])
    )
    return (strongest[0][1],) if strongest else ()


def _strength(key: Sequence[ProposedField], members: Sequence[_Looked]) -> float:
    """0 = these fields together are no key of every member."""
    sets = []
    filled = 1.0
    for one in members:
        rows = [
            tuple(_whole(one.shapes, made.columns[one.system], row) for made in key)
            for row in range(len(one.seen.rows))
        ]
        full = [row for row in rows if all(row)]
        if len(set(full)) < len(full):
            return 0.0
        filled = min(filled, len(full) / len(rows) if rows else 0.5)
        sets.append(set(full))
    smallest = min(len(one) for one in sets)
    shared = len(set.intersection(*sets)) / smallest if smallest else 0.3
    if filled < 0.3 or (smallest >= 5 and shared < 0.05):
        return 0.0
    favoured = 0.5 if any("email" in made.name for made in key) else 0.0
    declared = 0.2 if all(_declared(key, one) for one in members) else 0.0
    joined = -0.2 if any(len(n) > 1 for made in key for n in made.columns.values()) else 0.0
    return max(0.01, filled * (0.2 + shared) + favoured + declared + joined)


def _whole(shapes: Mapping[str, Shape], native: tuple[str, ...], row: int) -> str:
    return " ".join(" ".join(shapes[column].order[row] for column in native).split())


def _declared(key: Sequence[ProposedField], one: _Looked) -> bool:
    columns = {column for made in key for column in made.columns[one.system]}
    return any(set(unique) <= columns for unique in one.seen.schema.unique)


def _folded(made: ProposedField) -> ProposedField:
    """A match key in text is compared as people mean it."""
    if made.type != "text":
        return made
    fold = ("trim", "lower") if "mail" in made.name else ("trim", "collapse", "casefold")
    return ProposedField(
        made.name, made.type, made.columns, made.reason, fold, made.zone, made.read_only
    )


def _unmapped(one: _Looked, fields: Sequence[ProposedField]) -> tuple[str, ...]:
    mapped = {column for made in fields for column in made.columns.get(one.system, ())}
    marks = {one.modified, one.soft_delete, *one.seen.schema.key}
    return tuple(name for name in one.seen.schema.columns if name not in mapped | marks)


def _position(one: _Looked, column: str) -> int:
    return list(one.seen.schema.columns).index(column)


def _bare(name: str) -> str:
    return name.rpartition(".")[2].lower()


def _name(text: str) -> str:
    """A column's name as a name of the config: snake_case, beginning with a letter."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text)
    tidy = re.sub(r"\W+", "_", spaced).strip("_").lower()
    return re.sub(r"^\d+_*", "", tidy)[:60]
