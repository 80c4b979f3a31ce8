"""Who is who (law 10): components by match keys, against a model that looks at every pair."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from law.mutants import broken, caught
from law.small import BOTH, QUICK
from law.worlds import fold, valid

from syncd.core.link import Found, Free, resolve
from syncd.core.model import (
    Agreed,
    Base,
    Case,
    CaseKind,
    Entity,
    Fields,
    Link,
    LinkState,
    Origin,
    Value,
)
from syncd.core.rules import FieldRules, FlowRules, MemberRules

Pair = frozenset[tuple[str, str]]
MAIL, NUMBER, TAX = "mail", "number", "tax"
NAMES = (MAIL, NUMBER, TAX)
RULES: tuple[tuple[tuple[str, ...], ...], ...] = (
    ((MAIL,),),
    ((MAIL,), (NUMBER,)),
    ((MAIL, NUMBER),),
    ((MAIL,), (NUMBER, TAX)),
)
WORDS: Mapping[str, tuple[Value, ...]] = {
    MAIL: (None, "", " ", "j@x", "J@X ", "k@x", "l@x"),
    NUMBER: (None, 0, 7, 8),
    TAX: (None, "1", "2", "2 "),
}


@dataclass(frozen=True, repr=False)
class Crowd:
    """One bucket: unlinked records, entities, who was proven absent, who never is whom."""

    rules: FlowRules
    records: Sequence[Free]
    entities: Sequence[Entity]
    missing: Mapping[int, frozenset[str]]
    never: frozenset[Pair]

    def __repr__(self) -> str:
        exclusive = self.rules.fields[TAX].exclusive
        lines = [f"match {self.rules.match} exclusive={exclusive}", *map(str, self.records)]
        return "\n".join([*lines, *map(str, self.entities), f"{self.missing} {self.never}"])

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))  # hypothesis asks for this name


def flow(match: tuple[tuple[str, ...], ...], exclusive: bool) -> FlowRules:
    fields = {n: FieldRules(n, fold, exclusive=exclusive and n == TAX) for n in NAMES}
    every = frozenset(NAMES)
    members = {m: MemberRules(m, mode, every, every, valid, "") for m, mode in BOTH.items()}
    return FlowRules("people", fields, members, tuple((n,) for n in NAMES), match)


def shapes() -> st.SearchStrategy[dict[str, Value]]:
    """Records as they come: fields may be absent, too."""
    words = {name: st.sampled_from(values) for name, values in WORDS.items()}
    return st.fixed_dictionaries({}, optional=words)


@st.composite
def entity(draw: st.DrawFn, number: int) -> Entity:
    """Links in any state; what their members hold now need not be what is agreed."""
    agreed = draw(shapes())
    links = {}
    for member in draw(st.sets(st.sampled_from("abc"), min_size=1, max_size=2)):
        held = {**agreed, **(draw(shapes()) if draw(st.booleans()) else {})}
        states = (LinkState.LIVE, LinkState.LIVE, LinkState.UNLINKED, LinkState.ARCHIVED)
        links[member] = Link(
            member,
            f"{member}{number}",
            draw(st.sampled_from(states)),
            {name: Base(value, 1) for name, value in held.items()},
        )
    made = {name: Agreed(value, 1, Origin("a", 1, "edited")) for name, value in agreed.items()}
    return Entity(number, agreed=made, links=links)


@st.composite
def crowds(draw: st.DrawFn) -> Crowd:
    rules = flow(draw(st.sampled_from(RULES)), draw(st.booleans()))
    members = draw(st.lists(st.sampled_from("abc"), max_size=4))
    records = [Free(m, f"{m}-{i}", draw(shapes())) for i, m in enumerate(members)]
    entities = [draw(entity(number)) for number in range(1, draw(st.integers(1, 3)))]
    missing = {
        e.id: frozenset(m for m in e.links if draw(st.booleans()))
        for e in entities
        if draw(st.booleans())
    }
    people = [(r.member, r.key) for r in records]
    people += [(m, link.key) for e in entities for m, link in e.links.items()]
    pairs = [frozenset(pair) for pair in combinations(sorted(set(people)), 2)]
    never = draw(st.lists(st.sampled_from(pairs), max_size=3)) if pairs else []
    return Crowd(rules, records, entities, missing, frozenset(never))


# the model: every pair of nodes is looked at, nothing is hashed


def full(value: Value) -> bool:
    return value is not None and not (isinstance(value, str) and not value.strip())


def keys(rules: FlowRules, fields: Fields) -> list[tuple[Any, ...]]:
    """Each match rule's key, where no part of it is empty (S19)."""
    return [
        (rule, *[fold(fields[name]) for name in rule])
        for rule in rules.match
        if all(name in fields and full(fields[name]) for name in rule)
    ]


def all_keys(rules: FlowRules, node: Free | Entity) -> list[tuple[Any, ...]]:
    if isinstance(node, Free):
        return keys(rules, node.fields)
    found = keys(rules, {name: agreed.value for name, agreed in node.agreed.items()})
    for link in node.links.values():
        if link.state is LinkState.LIVE:
            found += keys(rules, {name: base.value for name, base in link.bases.items()})
    return found


def components(crowd: Crowd) -> list[list[Free | Entity]]:
    """Groups are joined until no two nodes of different groups share a key."""
    groups: list[list[Free | Entity]] = [[n] for n in (*crowd.entities, *crowd.records)]
    while True:
        for one, other in combinations(groups, 2):
            if any(
                key in all_keys(crowd.rules, y)
                for x in one
                for y in other
                for key in all_keys(crowd.rules, x)
            ):
                groups = [g for g in groups if g is not one and g is not other] + [[*one, *other]]
                break
        else:
            return groups


def links(crowd: Crowd, group: Sequence[Free | Entity]) -> bool:
    """Law 10: at most one entity, one record a member, no two values of an exclusive key, and
    nobody in it who was said never to be another."""
    records = [n for n in group if isinstance(n, Free)]
    entities = [n for n in group if isinstance(n, Entity)]
    if len(entities) > 1 or len({r.member for r in records}) < len(records):
        return False
    held = [link for e in entities for link in e.links.values()]
    for record in records:
        for link in held:
            if link.member == record.member:
                absent = crowd.missing.get(entities[0].id, frozenset())
                if link.state is not LinkState.LIVE or record.member not in absent:
                    return False  # its slot is taken, by a record in whatever state
    values = [r.fields.get(TAX) for r in records]
    values += [link.bases[TAX].value for link in held if TAX in link.bases]
    values += [e.agreed[TAX].value for e in entities if TAX in e.agreed]
    if crowd.rules.fields[TAX].exclusive and len({fold(v) for v in values if full(v)}) > 1:
        return False
    people = {(r.member, r.key) for r in records} | {(link.member, link.key) for link in held}
    return not any(pair <= people for pair in crowd.never)


def strangers(crowd: Crowd, group: Sequence[Free | Entity]) -> bool:
    """A person said of every two of them that they are not the same: each is a thing of its own."""
    people = [
        [(n.member, n.key)] if isinstance(n, Free) else [(m, k.key) for m, k in n.links.items()]
        for n in group
    ]
    pairs = list(combinations(people, 2))
    return bool(pairs) and all(
        any(frozenset((x, y)) in crowd.never for x in one for y in other) for one, other in pairs
    )


Resolver = Callable[[Crowd], list[Found | Case]]


def real(crowd: Crowd) -> list[Found | Case]:
    return resolve(crowd.rules, crowd.records, crowd.entities, crowd.missing, crowd.never)


def check(crowd: Crowd, resolver: Resolver = real) -> None:
    wanted_links, wanted_cases = set(), set()
    for group in components(crowd):
        records = frozenset((n.member, n.key) for n in group if isinstance(n, Free))
        entities = [n.id for n in group if isinstance(n, Entity)]
        if records and strangers(crowd, group):
            wanted_links |= {(frozenset({one}), 0) for one in records}
        elif records and links(crowd, group):
            wanted_links.add((records, entities[0] if entities else 0))
        elif records:
            held = {(m, k.key) for n in group if isinstance(n, Entity) for m, k in n.links.items()}
            wanted_cases.add(records | held)
    found_links, found_cases = set(), set()
    for one in resolver(crowd):
        if isinstance(one, Case):
            assert one.kind is CaseKind.IDENTITY
            found_cases.add(frozenset((c.source, c.key) for c in one.candidates))
        else:
            records = frozenset((r.member, r.key) for r in one.records)
            found_links.add((records, one.entity.id if one.entity else 0))
            held = set(one.entity.links) if one.entity else set()
            assert set(one.relinks) == held & {r.member for r in one.records}
    assert found_links == wanted_links
    assert found_cases == wanted_cases


@QUICK
@given(crowds())
def test_components_link_or_are_one_case(crowd: Crowd) -> None:
    """S14-S19, S74; law 10 as a whole."""
    check(crowd)


@QUICK
@given(crowds(), st.randoms(use_true_random=False))
def test_the_order_of_records_changes_nothing(crowd: Crowd, dice: Any) -> None:
    records, entities = list(crowd.records), list(crowd.entities)
    dice.shuffle(records)
    dice.shuffle(entities)
    other = real(replace(crowd, records=records, entities=entities))
    assert {_name(one) for one in real(crowd)} == {_name(one) for one in other}


def _name(one: Found | Case) -> object:
    if isinstance(one, Case):
        return one.digest
    records = tuple((r.member, r.key) for r in one.records)
    return records, one.entity and one.entity.id, one.relinks


@QUICK
@given(crowds())
def test_s22_linked_stays_linked(crowd: Crowd) -> None:
    """Nothing that resolve answers touches a live link whose record was not proven absent."""
    for one in real(crowd):
        if isinstance(one, Found) and one.entity is not None:
            absent = crowd.missing.get(one.entity.id, frozenset())
            assert set(one.relinks) <= absent
            for record in one.records:
                assert record.member not in one.entity.links or record.member in absent


# a little wrong


def without_second_rule(crowd: Crowd) -> list[Found | Case]:
    return real(replace(crowd, rules=replace(crowd.rules, match=crowd.rules.match[:1])))


def only_agreed_keys(crowd: Crowd) -> list[Found | Case]:
    """Keys of entities without the current forms of their links."""
    bare = [
        replace(
            e,
            links={
                m: replace(k, bases={n: b for n, b in k.bases.items() if n == TAX})
                for m, k in e.links.items()
            },
        )
        for e in crowd.entities
    ]
    by_id = {e.id: e for e in crowd.entities}
    found = real(replace(crowd, entities=bare))
    return [
        one
        if isinstance(one, Case) or one.entity is None
        else replace(one, entity=by_id[one.entity.id])
        for one in found
    ]


def exclusive_ignored(crowd: Crowd) -> list[Found | Case]:
    return real(replace(crowd, rules=flow(crowd.rules.match, False)))


def never_forgotten(crowd: Crowd) -> list[Found | Case]:
    return real(replace(crowd, never=frozenset()))


def absence_guessed(crowd: Crowd) -> list[Found | Case]:
    """Every link without a record among the free ones counts as gone."""
    return real(replace(crowd, missing={e.id: frozenset(e.links) for e in crowd.entities}))


def case_matters(crowd: Crowd) -> list[Found | Case]:
    fields = {n: replace(f, compare=lambda v: v) for n, f in crowd.rules.fields.items()}
    return real(replace(crowd, rules=replace(crowd.rules, fields=fields)))


MUTANTS: list[Any] = [
    without_second_rule,
    only_agreed_keys,
    exclusive_ignored,
    never_forgotten,
    absence_guessed,
    case_matters,
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_the_check_catches(mutant: Resolver) -> None:
    assert caught(crowds(), broken(lambda c: check(c, mutant)))
