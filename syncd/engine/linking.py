"""Link: who is who among the unlinked records of all members and the entities known (law 10).

Nodes that share a match key hash fall into one bucket (union-find, eight bytes a node); each
bucket is then judged by its real keys in `core.link`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from syncd.core import hashing
from syncd.core.cases import make_case
from syncd.core.link import (
    Found,
    Free,
    Pair,
    Union,
    is_never,
    key_hashes,
    match_keys,
    resolve,
)
from syncd.core.model import (
    Base,
    Candidate,
    Case,
    CaseKind,
    Choice,
    Decision,
    Entity,
    EntityState,
    Link,
    LinkState,
)
from syncd.core.rules import FlowRules
from syncd.engine.context import RunContext
from syncd.engine.doubts import Doubts
from syncd.engine.units import Unit
from syncd.store import shadow
from syncd.store.conflicts import open_cases
from syncd.store.stage import Seen, Stage

_CHUNK = 500
_BUCKET = 2000  # a key shared by more records than this is no key


def link(context: RunContext, conn: Connection, skip: frozenset[int]) -> None:
    """Bucket, judge, and put units on the stage. `skip`: stage ids of records that are no free
    nodes (a deleted id that is back, say)."""
    rules, stage = context.rules, context.stage
    _still_same(context, conn)
    found = _keyed(rules, stage, skip)
    if not found.free and not found.linked:
        return
    if shadow.keyed(conn, context.flow) == context.open.compiled.matching:
        _known_entities(context.flow, conn, stage)
    else:  # a dry run under new match rules, which keeps no keys
        _all_entities(context, conn)
    _buckets(stage, found)
    doubts = Doubts(context, conn)
    for bucket in _gather(stage):
        _judge(context, conn, bucket, doubts)
    lonely: list[tuple[int, Unit]] = []
    for block in stage.free():
        for seen in block:
            if seen.id not in skip and seen.id not in found.keyed:
                case = doubts.of_new((seen,))
                if case is None:
                    lonely.append((0, _fresh((seen,))))
                else:
                    lonely += _asked(context, conn, case, doubts.entities(case), [seen])
        if len(lonely) >= _CHUNK:
            context.report.linked += len(lonely)
            stage.add_units(lonely)
            lonely = []
    context.report.linked += len(lonely)
    stage.add_units(lonely)


@dataclass(slots=True)
class _Keyed:
    free: int = 0
    linked: int = 0
    keyed: _Bits = field(default_factory=lambda: _Bits())


class _Bits:
    """A set of small numbers, one bit each: a million records cost 125 kB."""

    def __init__(self) -> None:
        self._bits = bytearray()

    def add(self, number: int) -> None:
        byte = number >> 3
        if byte >= len(self._bits):
            self._bits.extend(bytes(byte + 1024 - len(self._bits)))
        self._bits[byte] |= 1 << (number & 7)

    def __contains__(self, number: int) -> bool:
        byte = number >> 3
        return byte < len(self._bits) and bool(self._bits[byte] >> (number & 7) & 1)


def _keyed(rules: FlowRules, stage: Stage, skip: frozenset[int]) -> _Keyed:
    """Match key hashes of every unlinked record, and of linked ones that changed: their keys may
    have come to meet another's."""
    result = _Keyed()
    for block in stage.free():
        rows = []
        for seen in block:
            if seen.id in skip or seen.record is None:
                continue
            result.free += 1
            for rule, key in match_keys(rules, seen.record.fields):
                result.keyed.add(seen.id)
                rows.append((rule, hashing.key_hash(rule, key), seen.id, 0))
        stage.add_keys(rows)
    for block in stage.unreadable():
        rows = []
        for seen in block:
            # what can be read of it may be enough to know that it is a candidate (law 11)
            for rule, key in match_keys(rules, seen.record.fields) if seen.record else ():
                result.keyed.add(seen.id)
                rows.append((rule, hashing.key_hash(rule, key), seen.id, 0))
        stage.add_keys(rows)
    for block in stage.linked():
        rows = []
        for seen in block:
            if seen.record is None:
                continue
            result.linked += 1
            for rule, key in match_keys(rules, seen.record.fields):
                rows.append((rule, hashing.key_hash(rule, key), 0, seen.entity))
        stage.add_keys(rows)
    return result


def _known_entities(flow: int, conn: Connection, stage: Stage) -> None:
    """Entities of the store that have one of these keys join the buckets."""
    pending: dict[int, set[int]] = {}
    size = 0

    def flush() -> None:
        rows = []
        for rule, hashes in pending.items():
            known = shadow.entities_by_key(conn, flow, rule, sorted(hashes))
            rows += [(rule, h, e) for h, entities in known.items() for e in entities]
        stage.add_known_keys(rows)
        pending.clear()

    for block in stage.keys_in_order():
        for rule, value, _, _ in block:
            pending.setdefault(rule, set()).add(value)
        size += len(block)
        if size >= 5 * _CHUNK:
            flush()
            size = 0
    flush()
    stage.merge_known_keys()


def _all_entities(context: RunContext, conn: Connection) -> None:
    """As `_known_entities`, by the keys that the entities have under the rules of this run."""
    for block in shadow.all_entities(conn, context.flow):
        context.stage.add_known_keys(
            (*hashed, e.id) for e in block for hashed in key_hashes(context.rules, e)
        )
    context.stage.merge_known_keys()


def _buckets(stage: Stage, found: _Keyed) -> None:
    """Union of all nodes that share a hash, written to the stage as (root, record, entity). A
    record's node is its number on the stage, an entity's its own number behind all of those."""
    first_entity = stage.last_id() + 1
    union = Union(first_entity)
    entities = _Bits()
    highest = 0
    last: tuple[int, int] | None = None
    lead = 0
    for block in stage.keys_in_order():
        for rule, value, seen, entity in block:
            this = seen or first_entity + entity
            if entity:
                union.grow(this + 1)
                entities.add(entity)
                highest = max(highest, entity)
            if (rule, value) == last:
                union.join(lead, this)
            else:
                last, lead = (rule, value), this
    rows: list[tuple[int, int, int]] = []
    for number in range(1, first_entity + highest + 1):
        entity = number - first_entity
        if number in found.keyed if entity < 0 else entity in entities:
            seen = number if entity < 0 else 0
            rows.append((union.find(number), seen, max(entity, 0)))
            if len(rows) >= 5000:
                stage.add_components(rows)
                rows = []
    stage.add_components(rows)


Bucket = tuple[list[int], list[int]]  # stage ids, entities


def _gather(stage: Stage) -> Iterator[list[Bucket]]:
    """Buckets with a record, or with two entities and more, some hundred at a time."""
    batch: list[Bucket] = []
    root = -1
    current: Bucket = ([], [])
    size = 0
    for block in stage.components():
        for this, seen, entity in block:
            if this != root:
                if current[0] or len(current[1]) > 1:
                    batch.append(current)
                    size += len(current[0]) + len(current[1])
                if size >= _CHUNK:
                    yield batch
                    batch, size = [], 0
                root, current = this, ([], [])
            (current[0] if seen else current[1]).append(seen or entity)
    if current[0] or len(current[1]) > 1:
        batch.append(current)
    if batch:
        yield batch


def _judge(
    context: RunContext, conn: Connection, buckets: Sequence[Bucket], doubts: Doubts
) -> None:
    rules, flow, stage = context.rules, context.flow, context.stage
    ids = [seen for bucket in buckets for seen in bucket[0]]
    entities = sorted({entity for bucket in buckets for entity in bucket[1]})
    records = {seen.id: seen for part in _parts(ids) for seen in stage.seen(part)}
    known = {e.id: e for e in shadow.load_entities(conn, flow, entities)}
    now: dict[int, list[Seen]] = {}
    for part in _parts(entities):
        for seen in stage.seen_of(part):
            now.setdefault(seen.entity, []).append(seen)
    units: list[tuple[int, Unit]] = []
    for seen_ids, entity_ids in buckets:
        free = [records[i] for i in seen_ids]
        linked = [known[i] for i in entity_ids if known[i].state is EntityState.LIVE]
        current = [_current(entity, now.get(entity.id, ())) for entity in linked]
        missing = {
            e.id: frozenset(s.member for s in now.get(e.id, ()) if s.status == "missing")
            for e in linked
        }
        if not free:
            if len(linked) > 1:
                _same_entity(context, current, context.never(conn))
            continue
        if any(s.status == "bad" for s in free):
            # it may be the same as any of these: nothing is linked or created until it is readable
            stage.block(e.id for e in linked)
            if len(linked) > 1:
                _same_entity(context, current, context.never(conn))
            continue
        if len(free) > _BUCKET:
            free = free[:_BUCKET]
        nodes = [Free(s.member, s.key, s.record.fields) for s in free if s.record is not None]
        by_key = {(s.member, s.key): s for s in free}
        for one in resolve(rules, nodes, current, missing, context.never(conn)):
            if isinstance(one, Case):
                units += _asked(context, conn, one, linked, free)
                continue
            if one.entity is None:
                resting = [known[i] for i in entity_ids if known[i].state is not EntityState.LIVE]
                met = doubts.standing(one, resting)
                if any(e.state is EntityState.DELETING for e in met):
                    continue  # once that deletion has arrived everywhere this is a new thing
                records_of = [by_key[r.member, r.key] for r in one.records]
                case = doubts.of_resting(one, met) if met else doubts.of_new(records_of)
                if case is not None:
                    units += _asked(context, conn, case, met or doubts.entities(case), records_of)
                    continue
            whole = next((e for e in linked if one.entity and e.id == one.entity.id), None)
            unit = _unit(one, whole, [by_key[r.member, r.key] for r in one.records])
            units.append((unit.entity.id, unit))
    stage.add_units(units)
    for entity_id, unit in units:
        if entity_id:
            stage.adopt(unit.seen, entity_id)
    context.report.linked += len(units)


def _asked(
    context: RunContext,
    conn: Connection,
    case: Case,
    entities: Sequence[Entity],
    free: Sequence[Seen],
) -> list[tuple[int, Unit]]:
    """What a person said of a case; else it is one, and nothing of it is created."""
    said = next((d for d in reversed(context.said(conn)) if d.digest == case.digest), None)
    by_key = {(s.member, s.key): s for s in free}
    decided = _obey(said, case, entities, by_key) if said is not None else None
    if said is not None and decided is not None:
        context.used.append(said.id)
        return [(unit.entity.id, unit) for unit in decided]
    involved = [e.id for e in entities if _in_case(e, case)]
    context.stage.block(involved)
    context.identity_cases.append((involved[0] if involved else 0, case))
    return []


def _unit(found: Found, entity: Entity | None, seen: Sequence[Seen]) -> Unit:
    if entity is None:
        return _fresh(seen)
    links = dict(entity.links)
    for one in seen:
        old = links.get(one.member)
        if old is not None:  # deleted and recreated: the same entity under another key
            links[one.member] = replace(old, key=one.key, row_hash=None, created=None)
        else:
            links[one.member] = Link(one.member, one.key)
    return Unit(replace(entity, links=links), tuple(s.id for s in seen))


def _fresh(seen: Sequence[Seen]) -> Unit:
    links = {s.member: Link(s.member, s.key) for s in seen}
    return Unit(Entity(0, links=links), tuple(s.id for s in seen))


def _current(entity: Entity, seen: Sequence[Seen]) -> Entity:
    """The entity with the forms read now as its links' forms: its keys are those (law 10)."""
    links = dict(entity.links)
    for one in seen:
        link = links.get(one.member)
        if link is None or one.record is None or link.key != one.key:
            continue
        bases: Mapping[str, Base] = {n: Base(v, 0) for n, v in one.record.fields.items()}
        links[one.member] = replace(link, bases={**link.bases, **bases})
    return replace(entity, links=links)


def _in_case(entity: Entity, case: Case) -> bool:
    shown = {(c.source, c.key) for c in case.candidates}
    return any((m, link.key) in shown for m, link in entity.links.items())


def _obey(
    said: Decision, case: Case, linked: Sequence[Entity], by_key: Mapping[tuple[str, str], Seen]
) -> list[Unit] | None:
    """What a person said of an identity case. LINK: the records named are one, each other one is
    asked about again; SPLIT: each free record is a thing of its own. None: it cannot be done."""
    shown = [(c.source, c.key or "") for c in case.candidates]
    free = [by_key[mark] for mark in shown if mark in by_key]
    if said.choice is Choice.SPLIT:
        return [_fresh((one,)) for one in free]
    if said.choice is not Choice.LINK:
        return None
    named = set(said.keys)
    chosen = [one for one in free if (one.member, one.key) in named]
    homes = [e for e in linked if any((m, link.key) in named for m, link in e.links.items())]
    members = [one.member for one in chosen]
    taken = set(homes[0].links) & set(members) if homes else set()
    if not chosen or len(homes) > 1 or len(set(members)) < len(members) or taken:
        return None
    records = tuple(Free(s.member, s.key, {}) for s in chosen)
    home = homes[0] if homes else None
    if home is not None and home.state is not EntityState.LIVE:
        # linked by a person: what took no part any more lives again
        links = {
            m: replace(link, state=LinkState.LIVE, row_hash=None)
            if (m, link.key) in named
            else link
            for m, link in home.links.items()
        }
        home = replace(home, state=EntityState.LIVE, links=links)
    return [_unit(Found(records), home, chosen)]


def _still_same(context: RunContext, conn: Connection) -> None:
    """Same-entity cases of earlier runs, as long as the keys still meet: nothing need change for
    them to go on being open."""
    for stored in open_cases(conn, context.flow, kind=CaseKind.SAME_ENTITY):
        ids: set[int] = set()
        for candidate in stored.case.candidates:
            key = candidate.key or ""
            entity = shadow.entity_of(conn, context.flow, candidate.source, key)
            if entity is not None:
                ids.add(entity)
        loaded = shadow.load_entities(conn, context.flow, sorted(ids))
        now = {e.id: context.stage.seen_of([e.id]) for e in loaded}
        _same_entity(context, [_current(e, now[e.id]) for e in loaded], context.never(conn))


def _same_entity(context: RunContext, entities: Sequence[Entity], never: frozenset[Pair]) -> None:
    """Linked stays linked when keys change; keys that meet another entity's raise a case."""
    rules = context.rules
    meeting = [e for e in entities if any(k.state is LinkState.LIVE for k in e.links.values())]
    keys = [set(_live_keys(rules, e)) for e in meeting]
    groups = [
        (a, b)
        for i, a in enumerate(meeting)
        for j, b in enumerate(meeting)
        if i < j and keys[i] & keys[j] and not is_never(_records(a), _records(b), never)
    ]
    for a, b in groups:
        names = tuple(dict.fromkeys(name for rule in rules.match for name in rule))
        shown = tuple(
            Candidate(m, {n: v.value for n, v in link.bases.items() if n in names}, link.key)
            for e in (a, b)
            for m, link in sorted(e.links.items())
        )
        reason = f"entities {a.id} and {b.id} share a match key now"
        context.stage.block((a.id, b.id))
        context.identity_cases.append((a.id, make_case(CaseKind.SAME_ENTITY, names, shown, reason)))


def _records(entity: Entity) -> list[tuple[str, str]]:
    return [(member, link.key) for member, link in entity.links.items()]


def _live_keys(rules: FlowRules, entity: Entity) -> Iterator[tuple[int, object]]:
    for link in entity.links.values():
        if link.state is LinkState.LIVE:
            yield from match_keys(rules, {n: b.value for n, b in link.bases.items()})


def _parts(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), _CHUNK):
        yield ids[start : start + _CHUNK]
