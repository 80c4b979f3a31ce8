"""Link: who is who among the unlinked records of all members and the entities known (law 10).

Nodes that share a match key hash fall into one bucket (`buckets`); each bucket is then judged by
its real keys in `core.link`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, pairwise

from sqlalchemy import Connection

from syncd.core.cases import make_case
from syncd.core.link import Found, Free, entity_keys, is_never, link_keys, resolve, resting
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
from syncd.engine.buckets import (
    CHUNK,
    HUGE,
    Bucket,
    add_all_known,
    add_known,
    find_keys,
    gather,
    make_buckets,
)
from syncd.engine.context import RunContext
from syncd.engine.doubts import Doubts
from syncd.engine.units import Unit
from syncd.store import shadow
from syncd.store.conflicts import open_cases
from syncd.store.stage import Seen

_PAIRED = 20  # of more entities that meet in one key, only neighbours are asked about


def link(context: RunContext, conn: Connection) -> None:
    """Bucket, judge, and put units on the stage."""
    rules, stage = context.rules, context.stage
    if context.matters.cases:
        _still_same(context, conn)
    found = find_keys(rules, stage)
    if not found.free and not found.linked:
        return
    if context.fence is None and context.begun.keyed != context.open.compiled.matching:
        add_all_known(context, conn)  # a dry run under new match rules, which keeps no keys
    else:
        add_known(context.flow, conn, stage)
    make_buckets(stage, found)
    doubts = Doubts(context, conn)
    for buckets in gather(stage):
        context.beat()
        _judge(context, conn, [b for b in buckets if b.size <= HUGE], doubts)
        for bucket in buckets:
            if bucket.size > HUGE:
                _judge_huge(context, conn, bucket)
    lonely: list[tuple[int, Unit]] = []
    for block in stage.free(but=found.keyed.__contains__):
        for seen in block:
            lonely += _alone(context, conn, seen, doubts)
        if len(lonely) >= CHUNK:
            context.report.linked += len(lonely)
            stage.add_units(lonely)
            lonely = []
    context.report.linked += len(lonely)
    stage.add_units(lonely)


def _judge_huge(context: RunContext, conn: Connection, bucket: Bucket) -> None:
    """More records under one key than any thing has: nothing of it is linked or created. Its case
    names the first of them; settled for these, it names the next."""
    rules, stage = context.rules, context.stage
    if not bucket.free:
        before: list[Entity] = []
        for ids in stage.entities_under(bucket.root):
            for part in _parts(ids):
                stored = shadow.load_entities(conn, context.flow, part)
                loaded = currents(context, (e for e in stored if e.state is EntityState.LIVE))
                _same_entity(context, conn, [*before, *loaded])
                before = loaded[-1:] or before
        return
    for ids in stage.entities_under(bucket.root):
        stage.block(ids)
    shown = stage.seen_under(bucket.root, HUGE)
    names = tuple(dict.fromkeys(name for rule in rules.match for name in rule))
    candidates = [
        Candidate(
            s.member,
            {n: v for n, v in s.record.fields.items() if n in names} if s.record else {},
            s.key,
        )
        for s in shown
    ]
    reason = f"{bucket.size} records share a match key: these are the first of them"
    case = make_case(CaseKind.IDENTITY, names, candidates, reason)
    units = _asked(context, conn, case, [], [s for s in shown if s.status == "seen"])
    stage.add_units(units)
    for entity_id, unit in units:
        if entity_id:
            stage.adopt(unit.seen, entity_id)
    context.report.linked += len(units)


def _judge(
    context: RunContext, conn: Connection, buckets: Sequence[Bucket], doubts: Doubts
) -> None:
    rules, flow, stage = context.rules, context.flow, context.stage
    ids = [seen for bucket in buckets for seen in bucket.seen]
    entities = sorted({entity for bucket in buckets for entity in bucket.entities})
    records = {seen.id: seen for part in _parts(ids) for seen in stage.seen(part)}
    known = {e.id: e for e in shadow.load_entities(conn, flow, entities)}
    for part in _parts(entities):  # that came back in this run
        known.update((unit.entity.id, unit.entity) for unit in stage.units_of(part))
    now: dict[int, list[Seen]] = {}
    for part in _parts(entities):
        for seen in stage.seen_of(part):
            now.setdefault(seen.entity, []).append(seen)
    units: list[tuple[int, Unit]] = []
    for bucket in buckets:
        free = [records[i] for i in bucket.seen]
        if len(free) == 1 == bucket.size and free[0].status == "seen":
            units += _alone(context, conn, free[0], doubts)  # nothing to judge it by
            continue
        here = [known[i] for i in bucket.entities]
        linked = [e for e in here if e.state is EntityState.LIVE]
        near = [current(entity, now.get(entity.id, ())) for entity in here]
        known_now = [e for e in near if e.state is EntityState.LIVE]
        missing = {
            e.id: frozenset(s.member for s in now.get(e.id, ()) if s.status == "missing")
            for e in linked
        }
        if not free:
            _same_entity(context, conn, near)
            continue
        if any(s.status in ("bad", "answered") for s in free):
            # it may be the same as any of these: nothing is linked or created until it is readable,
            # or until its deletion is past or judged by a person
            stage.block(e.id for e in linked)
            _same_entity(context, conn, near)
            continue
        nodes = [Free(s.member, s.key, s.record.fields) for s in free if s.record is not None]
        by_key = {(s.member, s.key): s for s in free}
        marks = [(s.member, s.key) for s in free] + [r for e in linked for r in _records(e)]
        never = context.never(conn, marks)
        for one in resolve(rules, nodes, known_now, missing, never):
            if isinstance(one, Case):
                units += _asked(context, conn, one, linked, free)
                continue
            if one.entity is None:
                met = doubts.standing(one, near)
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


def _alone(
    context: RunContext, conn: Connection, seen: Seen, doubts: Doubts
) -> list[tuple[int, Unit]]:
    """A record that shares its keys with no other, or has none."""
    case = doubts.of_new((seen,))
    if case is None:
        return [(0, _fresh((seen,)))]
    return _asked(context, conn, case, doubts.entities(case), [seen])


def _asked(
    context: RunContext,
    conn: Connection,
    case: Case,
    entities: Sequence[Entity],
    free: Sequence[Seen],
) -> list[tuple[int, Unit]]:
    """What a person said of a case; else it is one, and nothing of it is created."""
    said = context.said(conn, case)
    by_key = {(s.member, s.key): s for s in free}
    decided = _obey(said, case, entities, by_key) if said is not None else None
    if said is not None and decided is not None:
        context.stage.use(said.id)
        return [(unit.entity.id, unit) for unit in decided]
    involved = [e.id for e in entities if _in_case(e, case)]
    context.stage.block(involved)
    context.stage.add_cases([case])
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


def current(entity: Entity, seen: Sequence[Seen]) -> Entity:
    """The entity with the forms read now as its links' forms: its keys are those (law 10). A record
    that took no part and is gone now is left out."""
    links = dict(entity.links)
    for one in seen:
        link = links.get(one.member)
        if link is None or link.key != one.key:
            continue
        if one.status == "missing" and link.state is not LinkState.LIVE:
            del links[one.member]
        elif one.record is not None:
            bases: Mapping[str, Base] = {n: Base(v, 0) for n, v in one.record.fields.items()}
            links[one.member] = replace(link, bases={**link.bases, **bases})
    return replace(entity, links=links)


def currents(context: RunContext, entities: Iterable[Entity]) -> list[Entity]:
    known = list(entities)
    now: dict[int, list[Seen]] = {}
    for part in _parts([e.id for e in known]):
        for seen in context.stage.seen_of(part):
            now.setdefault(seen.entity, []).append(seen)
    return [current(e, now.get(e.id, ())) for e in known]


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
    last = 0
    while True:
        stored = open_cases(conn, context.flow, kind=CaseKind.SAME_ENTITY, after=last, limit=CHUNK)
        if not stored:
            return
        last = stored[-1].id
        shown = [[(c.source, c.key or "") for c in one.case.candidates] for one in stored]
        homes: dict[tuple[str, str], int] = {}
        for member in {member for records in shown for member, _ in records}:
            keys = sorted({key for records in shown for of, key in records if of == member})
            found = shadow.entities_of(conn, context.flow, member, keys)
            homes |= {(member, key): entity for key, entity in found.items()}
        loaded = shadow.load_entities(conn, context.flow, sorted(set(homes.values())))
        known = {e.id: e for e in currents(context, loaded)}
        for records in shown:
            ids = sorted({homes[record] for record in records if record in homes})
            _same_entity(context, conn, [known[i] for i in ids])
        if len(stored) < CHUNK:
            return


def _same_entity(context: RunContext, conn: Connection, entities: Sequence[Entity]) -> None:
    """Linked stays linked when keys change; keys that meet another entity's raise a case. So do
    those that meet a record which takes no part, where another would be made beside it."""
    rules = context.rules
    meeting = [e for e in entities if any(k.state is LinkState.LIVE for k in e.links.values())]
    by_key: dict[object, list[int]] = {}
    for number, entity in enumerate(meeting):
        for key in dict.fromkeys(_live_keys(rules, entity)):
            by_key.setdefault(key, []).append(number)
    pairs: set[tuple[int, int]] = set()
    for numbers in by_key.values():
        pairs.update(combinations(numbers, 2) if len(numbers) <= _PAIRED else pairwise(numbers))
    met = {(meeting[i].id, meeting[j].id): (meeting[i], meeting[j]) for i, j in pairs}
    for a, b in _beside(rules, entities):
        met.setdefault((a.id, b.id), (a, b))
    records = (r for pair in met.values() for e in pair for r in _records(e))
    never = context.never(conn, records) if met else frozenset()
    for _, (a, b) in sorted(met.items()):
        if not is_never(_records(a), _records(b), never):
            ask_same(context, a, b)


def _beside(rules: FlowRules, entities: Sequence[Entity]) -> Iterator[tuple[Entity, Entity]]:
    """Entities of which a record would be made where one with its key stands and takes no part."""
    there: dict[object, list[tuple[str, Entity]]] = {}
    for entity in entities:
        for name, link in resting(rules, entity).items():
            if rules.members[name].mode.is_target and rules.members[name].creates:
                for key in link_keys(rules, link):
                    there.setdefault(key, []).append((name, entity))
    if not there:
        return
    for entity in entities:
        if entity.state is not EntityState.LIVE:
            continue
        for key in entity_keys(rules, entity):
            for name, other in there.get(key, ()):
                if other is not entity and name not in entity.links:
                    yield (entity, other) if entity.id < other.id else (other, entity)


def ask_same(context: RunContext, a: Entity, b: Entity) -> None:
    """A case of two entities that share a match key; neither is created anywhere meanwhile."""
    names = tuple(dict.fromkeys(name for rule in context.rules.match for name in rule))
    shown = tuple(
        Candidate(m, {n: v.value for n, v in link.bases.items() if n in names}, link.key)
        for e in (a, b)
        for m, link in sorted(e.links.items())
    )
    reason = f"entities {a.id} and {b.id} share a match key now"
    context.stage.block((a.id, b.id))
    context.stage.add_cases([make_case(CaseKind.SAME_ENTITY, names, shown, reason)])


def _records(entity: Entity) -> list[tuple[str, str]]:
    return [(member, link.key) for member, link in entity.links.items()]


def _live_keys(rules: FlowRules, entity: Entity) -> Iterator[tuple[int, object]]:
    for link in entity.links.values():
        if link.state is LinkState.LIVE:
            yield from link_keys(rules, link)


def _parts(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), CHUNK):
        yield ids[start : start + CHUNK]
