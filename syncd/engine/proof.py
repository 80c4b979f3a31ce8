"""The last look before a create (law 11): that no record with one of its keys stands there.

Linking judges what moved. An entity that waits moved long ago, and what merging or a person makes
of a key stands in no record: both are looked up here, by the keys the entity is to have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection

from syncd.core.hashing import key_hash
from syncd.core.link import Keys, entity_keys, is_never, link_keys, match_keys, standing
from syncd.core.model import Entity, EntityPlan, EntityState, OpKind
from syncd.core.rules import FlowRules
from syncd.engine.context import RunContext
from syncd.engine.linking import ask_same, currents
from syncd.store import shadow

Barred = Mapping[int, frozenset[str]]  # by place in the block: members where nothing is created


def barred(context: RunContext, conn: Connection, plans: Sequence[EntityPlan]) -> Barred:
    """Where these plans create without proof. Another entity's record that stands there is a case;
    an unlinked one is linked by the next run."""
    wanted = {n: _wanted(context.rules, plan) for n, plan in enumerate(plans)}
    wanted = {n: keys for n, keys in wanted.items() if keys}
    if not wanted:
        return {}
    found: dict[int, set[str]] = {n: _unsought(context, plans[n], wanted[n]) for n in wanted}
    hashes = {(rule, key_hash(rule, key)) for keys in wanted.values() for rule, key in keys}
    free, met = _met(context, conn, hashes)
    by_key: dict[object, list[Entity]] = {}
    for other in met:
        for key in _all_keys(context.rules, other):
            by_key.setdefault(key, []).append(other)
    for n, keys in wanted.items():
        entity, members = plans[n].entity, _creates(plans[n])
        found[n].update(member for key in keys for member in free.get(key, ()) if member in members)
        others = {o.id: o for key in keys for o in by_key.get(key, ()) if o.id != entity.id}
        for _, other in sorted(others.items()):
            found[n] |= _there(context, conn, entity, other, keys, members)
    return {n: frozenset(members) for n, members in found.items() if members}


def _creates(plan: EntityPlan) -> set[str]:
    return {op.member for op in plan.operations if op.kind is OpKind.CREATE}


def _wanted(rules: FlowRules, plan: EntityPlan) -> Keys:
    """The keys to look up; none where linking judged the very records that have them."""
    if not any(op.kind is OpKind.CREATE for op in plan.operations):
        return set()
    entity = plan.entity
    if not entity.id:
        if len(entity.links) == 1:
            return set()
        judged = {key for link in entity.links.values() for key in link_keys(rules, link)}
        if entity_keys(rules, entity) <= judged:
            return set()
    return entity_keys(rules, entity)


def _unsought(context: RunContext, plan: EntityPlan, keys: Keys) -> set[str]:
    """Members that were not read whole, and where not all of these keys were looked for."""
    partly = {m for m in _creates(plan) if not context.pulled[m].complete}
    if partly and not all(context.stage.sought(key_hash(rule, key)) for rule, key in keys):
        return partly
    return set()


def _met(
    context: RunContext, conn: Connection, hashes: Iterable[tuple[int, int]]
) -> tuple[dict[object, set[str]], list[Entity]]:
    """What has one of these hashes: unlinked records read now, as the members that have each key;
    and entities, with the forms read now."""
    rules, stage = context.rules, context.stage
    by_rule: dict[int, list[int]] = {}
    for rule, value in hashes:
        by_rule.setdefault(rule, []).append(value)
    records: set[int] = set()
    ids: set[int] = set()
    for rule, values in by_rule.items():
        for seen, entity in stage.keyed(rule, values):
            (ids if entity else records).add(entity or seen)
        for block in shadow.entities_by_key(conn, context.flow, rule, values):
            ids.update(entity for _, entity in block)
    free: dict[object, set[str]] = {}
    for one in stage.seen(sorted(records)):
        if one.record is not None and not one.entity:  # not adopted meanwhile
            for key in match_keys(rules, one.record.fields):
                free.setdefault(key, set()).add(one.member)
    loaded = shadow.load_entities(conn, context.flow, sorted(ids))
    return free, currents(context, loaded)


def _all_keys(rules: FlowRules, entity: Entity) -> Keys:
    return {key for link in standing(rules, entity).values() for key in link_keys(rules, link)}


def _there(
    context: RunContext,
    conn: Connection,
    entity: Entity,
    other: Entity,
    keys: Keys,
    members: set[str],
) -> set[str]:
    """The members where a record of the other has one of these keys; all, once that is a case."""
    links = standing(context.rules, other)
    beside = {
        m for m in members & links.keys() if keys.intersection(link_keys(context.rules, links[m]))
    }
    if not beside:
        return set()
    mine = [(m, link.key) for m, link in entity.links.items()]
    theirs = [(m, link.key) for m, link in other.links.items()]
    if is_never(mine, theirs, context.never(conn, mine)):
        return set()
    if not entity.id or other.state is EntityState.DELETING:  # asked once stored; gone soon
        return beside
    ask_same(context, *sorted((entity, other), key=lambda e: e.id))
    return members
