"""Who is who (law 10): unlinked records and entities are nodes, equal non-empty keys edges."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from syncd.core.cases import make_case
from syncd.core.hashing import key_hash
from syncd.core.model import Candidate, Case, CaseKind, Entity, Fields, Link, LinkState
from syncd.core.rules import Comparable, FlowRules
from syncd.core.values import blank

Pair = frozenset[tuple[str, str]]  # two records, each a (member, key)


class Union:
    """Disjoint sets over node numbers 0…n-1; eight bytes a node (path halving, smallest root)."""

    def __init__(self, size: int = 0) -> None:
        self._parent = array("q", range(size))

    def grow(self, size: int) -> None:
        if size > len(self._parent):
            self._parent.extend(range(len(self._parent), size))

    def find(self, node: int) -> int:
        parent = self._parent
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    def join(self, a: int, b: int) -> None:
        a, b = self.find(a), self.find(b)
        if a != b:
            self._parent[max(a, b)] = min(a, b)


@dataclass(frozen=True, slots=True)
class Free:
    """An unlinked record: a node. forbidden: entities or records a person said it never is."""

    member: str
    key: str
    fields: Fields


@dataclass(frozen=True, slots=True)
class Found:
    """A component that links: these free records are `entity` (None = a new one).

    relinks  members whose live link was missing in this run and whose record came back under
             another key: deleted and recreated is the same entity (law 12)
    """

    records: tuple[Free, ...]
    entity: Entity | None = None
    relinks: tuple[str, ...] = ()


def match_keys(rules: FlowRules, fields: Fields) -> list[tuple[int, tuple[Comparable, ...]]]:
    """(rule, comparison key) for every match rule of which no field is blank (S19)."""
    keys = []
    for index, names in enumerate(rules.match):
        if all(name in fields and not blank(fields[name]) for name in names):
            key = tuple(rules.fields[name].compare(fields[name]) for name in names)
            if not any(blank(part) for part in key):
                keys.append((index, key))
    return keys


Keys = set[tuple[int, tuple[Comparable, ...]]]


def entity_keys(rules: FlowRules, entity: Entity) -> Keys:
    """An entity's keys: of its agreed values and of the current forms of its live links."""
    keys = set(match_keys(rules, {n: a.value for n, a in entity.agreed.items()}))
    for link in entity.links.values():
        if link.state is LinkState.LIVE:
            keys.update(link_keys(rules, link))
    return keys


def link_keys(rules: FlowRules, link: Link) -> list[tuple[int, tuple[Comparable, ...]]]:
    return match_keys(rules, {n: b.value for n, b in link.bases.items()})


def standing(rules: FlowRules, entity: Entity) -> dict[str, Link]:
    """Its links whose record is still there."""
    return {
        name: link
        for name, link in entity.links.items()
        if name in rules.members and link.state is not LinkState.GONE
    }


def resting(rules: FlowRules, entity: Entity) -> dict[str, Link]:
    """Its links whose record is still there but takes no part: no node, and yet a candidate
    wherever a record with one of its keys would be made (law 11)."""
    there = standing(rules, entity)
    return {name: link for name, link in there.items() if link.state is not LinkState.LIVE}


def key_hashes(rules: FlowRules, entity: Entity) -> tuple[tuple[int, int], ...]:
    """The match keys by which the store finds an entity, as it keeps them: (rule number, hash).
    Its own, and those of its records that take no part."""
    keys = entity_keys(rules, entity)
    for link in resting(rules, entity).values():
        keys.update(link_keys(rules, link))
    return tuple((rule, key_hash(rule, key)) for rule, key in keys)


def resolve(
    rules: FlowRules,
    records: Sequence[Free],
    entities: Sequence[Entity],
    missing: Mapping[int, frozenset[str]],
    never: frozenset[Pair] = frozenset(),
) -> list[Found | Case]:
    """Split one bucket of nodes into components by their real keys and judge each.

    records, entities  nodes that share some key hash (a hash may bring strangers together)
    missing            by entity id: members whose link was proven absent in this run
    never              pairs of records a person said are not the same
    """
    nodes: list[Free | Entity] = [*entities, *records]
    union = Union(len(nodes))
    seen: dict[tuple[int, Comparable], int] = {}
    for number, node in enumerate(nodes):
        keys: Iterable[tuple[int, Comparable]]
        keys = (
            match_keys(rules, node.fields) if isinstance(node, Free) else entity_keys(rules, node)
        )
        for key in keys:
            union.join(number, seen.setdefault(key, number))
    buckets: dict[int, list[Free | Entity]] = {}
    for number, node in enumerate(nodes):
        buckets.setdefault(union.find(number), []).append(node)
    results: list[Found | Case] = []
    for bucket in buckets.values():
        free = sorted((n for n in bucket if isinstance(n, Free)), key=lambda r: (r.member, r.key))
        known = sorted((n for n in bucket if isinstance(n, Entity)), key=lambda e: e.id)
        if not free:
            continue
        apart = _apart(free, known, never)
        if apart is not None:
            results += apart
        else:
            results.append(_judge(rules, free, known, missing, never))
    return results


def _apart(
    free: Sequence[Free], known: Sequence[Entity], never: frozenset[Pair]
) -> list[Found | Case] | None:
    """Where a person said of every two of these that they are not the same, each unlinked record
    is a thing of its own."""
    nodes: list[tuple[tuple[str, str], ...]] = [((r.member, r.key),) for r in free]
    nodes += [tuple((m, link.key) for m, link in e.links.items()) for e in known]
    pairs = [(a, b) for i, a in enumerate(nodes) for b in nodes[i + 1 :]]
    if not never or not pairs or not all(is_never(a, b, never) for a, b in pairs):
        return None
    return [Found((record,)) for record in free]


def is_never(
    a: Iterable[tuple[str, str]], b: Iterable[tuple[str, str]], never: frozenset[Pair]
) -> bool:
    """Whether any record of the one was said not to be the same as any of the other."""
    others = list(b)
    return any(frozenset((one, other)) in never for one in a for other in others)


def _judge(
    rules: FlowRules,
    free: Sequence[Free],
    known: Sequence[Entity],
    missing: Mapping[int, frozenset[str]],
    never: frozenset[Pair],
) -> Found | Case:
    """A component links iff it holds at most one entity, one record a member, and no two
    different values of an exclusive key; else it is one case."""
    members = [r.member for r in free]
    twice = sorted({m for m in members if members.count(m) > 1})
    if twice:
        return _case(rules, free, known, f"several records of {', '.join(twice)} share a match key")
    if len(known) > 1:
        return _case(rules, free, known, "the match keys belong to several linked records")
    entity = known[0] if known else None
    relinks: list[str] = []
    if entity is not None:
        absent = missing.get(entity.id, frozenset())
        for record in free:
            link = entity.links.get(record.member)
            if link is None:
                continue
            if link.state is LinkState.LIVE and record.member in absent:
                relinks.append(record.member)
            else:
                reason = f"{record.member} has another record linked here already"
                return _case(rules, free, known, reason)
    clash = _exclusive(rules, free, entity)
    if clash:
        return _case(rules, free, known, f"different values of {clash}, which is exclusive")
    pairs = [(r.member, r.key) for r in free]
    pairs += [(m, link.key) for m, link in (entity.links if entity else {}).items()]
    for index, one in enumerate(pairs):
        if any(frozenset((one, other)) in never for other in pairs[index + 1 :]):
            return _case(rules, free, known, "a person said some of these are never the same")
    return Found(tuple(free), entity, tuple(relinks))


def _exclusive(rules: FlowRules, free: Sequence[Free], entity: Entity | None) -> str:
    """The first exclusive field with two different non-blank values in the component."""
    for name, field in rules.fields.items():
        if not field.exclusive:
            continue
        values = [r.fields.get(name) for r in free]
        if entity is not None:
            if name in entity.agreed:
                values.append(entity.agreed[name].value)
            values += [
                link.bases[name].value for link in entity.links.values() if name in link.bases
            ]
        if len({field.compare(v) for v in values if not blank(v)}) > 1:
            return name
    return ""


def _case(rules: FlowRules, free: Sequence[Free], known: Sequence[Entity], reason: str) -> Case:
    names = tuple(dict.fromkeys(name for rule in rules.match for name in rule))
    shown = [
        Candidate(r.member, {n: r.fields.get(n) for n in names if n in r.fields}, r.key)
        for r in free
    ]
    shown += [
        Candidate(m, {n: b.value for n, b in link.bases.items() if n in names}, link.key)
        for entity in known
        for m, link in sorted(entity.links.items())
    ]
    return make_case(CaseKind.IDENTITY, names, shown, reason)
