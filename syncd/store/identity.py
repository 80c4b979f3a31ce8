"""What people say of who is who: link, unlink, split, merge, never (law 10).

These change entities and links themselves, so whoever calls them holds the flow's lease: a run
that is under way has loaded what would change here. Nothing is sent to any system; the next run
sees the new links, and looks at what came into other company as at first sight.

Pairs that are never one are kept as decisions of a closed identity case; `never_pairs` has them.
Of the rules only the match rules and the fields' comparisons are used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from sqlalchemy import Connection, bindparam, select

from syncd.core import keys
from syncd.core.cases import make_case
from syncd.core.link import key_hashes
from syncd.core.model import (
    Agreed,
    Base,
    Candidate,
    CaseKind,
    Choice,
    Entity,
    EntityState,
    Link,
    LinkState,
    Origin,
)
from syncd.core.rules import FlowRules
from syncd.errors import ConfigError
from syncd.store import bulk, cases, codec, conflicts, events, tables
from syncd.store.entities import Save, load_entities, save_entities
from syncd.store.links import find_link

Record = tuple[str, str]  # member, key
Pair = frozenset[Record]

_BY_HAND = 0  # the run of what no run did

_D = tables.decision.c
_NEVER = select(_D.id, _D["keys"]).where(
    _D.flow_id == bindparam("flow"),
    _D.choice == Choice.NEVER.value,
    _D.state == conflicts.USED,
)
_NEVER_IN_ORDER = bulk.page(_NEVER, _D.id)
_TAKE_BACK = (
    tables.decision.update()
    .where(bulk.among(_D.id, "ids"))
    .values(state=conflicts.VOID, note=bindparam("why"))
)


@dataclass(frozen=True, slots=True)
class Act:
    """Who changes identity, when, under which rules of which flow."""

    conn: Connection
    flow: int
    rules: FlowRules
    by: str
    at: str


def never_pairs(conn: Connection, flow: int) -> frozenset[Pair]:
    """Pairs of records that a person said are not the same."""
    return frozenset(pair for block in never_blocks(conn, flow) for pair in block)


def never_blocks(conn: Connection, flow: int) -> Iterator[list[Pair]]:
    for block in bulk.pages(conn, _NEVER_IN_ORDER, {"flow": flow}):
        yield [
            frozenset((str(member), str(key)) for member, key in codec.loads(pair))
            for _, pair in block
        ]


def join(act: Act, records: Sequence[Record]) -> int:
    """Make these records one entity, with whatever they are linked to already; answers its id.

    Raises ConfigError SY0169 where that would be two records of one member, SY0168 while an
    operation on one of them has no known outcome.
    """
    found = {record: find_link(act.conn, act.flow, *record) for record in records}
    ids = list(dict.fromkeys(sorted(hit[0] for hit in found.values() if hit is not None)))
    loaded = load_entities(act.conn, act.flow, ids)
    _settled(loaded)
    whole = loaded[0] if loaded else Entity(0)
    for other in loaded[1:]:
        whole = _merged(act.rules, whole, other)
    links = dict(whole.links)
    for member, key in records:
        old = links.get(member)
        if old is not None and old.key != key:
            raise _two(member, old.key, key)
        if old is None:
            links[member] = Link(member, key)
        elif old.state is not LinkState.LIVE:
            links[member] = replace(old, state=LinkState.LIVE, row_hash=None)
    whole = replace(whole, links=links, state=EntityState.LIVE)
    _take_back_never(act, links)
    emptied = [
        Entity(other.id, state=EntityState.GONE) for other in loaded[1:]
    ]  # its records and tombstones live on in the one it went into
    saves = [Save(one, work=True) for one in emptied]
    (number, *_) = save_entities(
        act.conn, act.flow, [_save(act.rules, whole), *saves], run=_BY_HAND, at=act.at
    )
    cases.sync_cases(act.conn, act.flow, {one.id: [] for one in emptied}, run=_BY_HAND, at=act.at)
    _audit(act, "merge" if len(loaded) > 1 else "link", number, records)
    return number


def unlink(act: Act, record: Record) -> int:
    """Excuse this record: it stays as it is and takes part no more. Answers its entity."""
    entity = _entity(act, record)
    member, _ = record
    links = {
        **entity.links,
        member: replace(entity.links[member], state=LinkState.UNLINKED, row_hash=None),
    }
    save_entities(
        act.conn,
        act.flow,
        [_save(act.rules, replace(entity, links=links))],
        run=_BY_HAND,
        at=act.at,
    )
    _audit(act, "unlink", entity.id, [record])
    return entity.id


def split(act: Act, records: Sequence[Record]) -> list[int]:
    """Make each of these records an entity of its own, never again one with those it leaves or
    with each other. Answers the entities, in the order of the records."""
    found = [find_link(act.conn, act.flow, *record) for record in records]
    linked = [r for r, hit in zip(records, found, strict=True) if hit is not None]
    ids = sorted({hit[0] for hit in found if hit is not None})
    before = load_entities(act.conn, act.flow, ids)
    _settled(before)
    company: set[Pair] = {frozenset(pair) for pair in combinations(records, 2)}
    left: list[Entity] = []
    new: dict[Record, Entity] = {
        (member, key): Entity(0, links={member: Link(member, key)})
        for member, key in records
        if (member, key) not in linked
    }
    for entity in before:
        leaving = [r for r in linked if _holds(entity, r)]
        staying = {m: link for m, link in entity.links.items() if (m, link.key) not in leaving}
        # the last one to go may as well stay: it is alone with what was agreed
        if not staying:
            member, _ = leaving.pop()
            staying = {member: entity.links[member]}
        for record in leaving:
            new[record] = _alone(act, entity.links[record[0]])
            company |= {frozenset((record, (m, link.key))) for m, link in staying.items()}
        left.append(replace(entity, links=staying))
    order = list(new)
    numbers = save_entities(
        act.conn,
        act.flow,
        [_save(act.rules, one) for one in (*left, *new.values())],
        run=_BY_HAND,
        at=act.at,
    )
    never(act, company)
    by_record = dict(zip(order, numbers[len(left) :], strict=True))
    by_record |= {
        r: one.id for one in left for r in linked if r not in by_record and _holds(one, r)
    }
    _audit(act, "split", numbers[0], records)
    return [by_record[record] for record in records]


def never(act: Act, pairs: Iterable[Pair]) -> int:
    """Remember that the two records of each pair are not the same; answers how many are new.
    Links that are there stay: `split` takes those apart."""
    known = never_pairs(act.conn, act.flow)
    new = sorted(sorted(pair) for pair in set(pairs) - known if len(pair) == 2)
    if not new:
        return 0
    shown = sorted({record for pair in new for record in pair})
    case = make_case(
        CaseKind.IDENTITY,
        (),
        [Candidate(member, {}, key) for member, key in shown],
        "a person said these are not the same",
    )
    (number,) = cases.sync_cases(
        act.conn, act.flow, {cases.NO_ENTITY: [case]}, run=_BY_HAND, at=act.at
    )
    c = tables.case_
    ids = bulk.allocate(act.conn, "decision", len(new))
    bulk.insert(
        act.conn,
        tables.decision,
        ("id", "case_id", "flow_id", "entity_id", "digest", "choice", "values", "keys", "by",
         "at", "state"),
        [
            (i, number, act.flow, 0, case.digest, Choice.NEVER.value, "{}",
             codec.text([list(record) for record in pair]), act.by, act.at, conflicts.USED)
            for i, pair in zip(ids, new, strict=True)
        ],
    )  # fmt: skip
    act.conn.execute(
        c.update().where(c.c.id == number).values(state=cases.CLOSED, closed_run=_BY_HAND)
    )
    _audit(act, "never", 0, shown)
    return len(new)


def close(act: Act, case_id: int) -> None:
    """A case of who is who that was settled here; a run that finds it again opens another."""
    c = tables.case_
    act.conn.execute(
        c.update().where(c.c.id == case_id).values(state=cases.CLOSED, closed_run=_BY_HAND)
    )


# --- how ----------------------------------------------------------------------------------


def _merged(rules: FlowRules, one: Entity, other: Entity) -> Entity:
    """`one` with the other's links and tombstones; bases follow where the values are the same.
    What differs has no base any more: first sight decides, so nothing is overwritten unasked."""
    links = dict(one.links)
    agreed = dict(one.agreed)
    for name, value in other.agreed.items():
        agreed.setdefault(name, value)
    for member, link in other.links.items():
        mine = links.get(member)
        if mine is not None:
            raise _two(member, mine.key, link.key)
        links[member] = replace(link, bases=_rebased(rules, link, agreed), row_hash=None)
    links = {
        m: replace(link, bases=_without_strangers(link, one, agreed)) if m in one.links else link
        for m, link in links.items()
    }
    return replace(one, links=links, agreed=agreed, gone=(*one.gone, *other.gone))


def _rebased(rules: FlowRules, link: Link, agreed: Mapping[str, Agreed]) -> dict[str, Base]:
    bases = {}
    for name, base in link.bases.items():
        if name not in agreed or name not in rules.fields:
            continue
        compare = rules.fields[name].compare
        if compare(base.value) == compare(agreed[name].value):
            bases[name] = replace(base, seq=agreed[name].seq)
    return bases


def _without_strangers(
    link: Link, entity: Entity, agreed: Mapping[str, Agreed]
) -> Mapping[str, Base]:
    """A base only means something beside the agreed value it was made with."""
    return {n: b for n, b in link.bases.items() if n in entity.agreed or n not in agreed}


def _alone(act: Act, link: Link) -> Entity:
    """The record as an entity of its own: what it last confirmed is what is agreed."""
    origin = Origin(None, _BY_HAND, f"person:{act.by}", act.at)
    agreed = {name: Agreed(base.value, 1, origin) for name, base in link.bases.items()}
    bases = {name: replace(base, seq=1) for name, base in link.bases.items()}
    return Entity(0, agreed=agreed, links={link.member: replace(link, bases=bases, row_hash=None)})


def _save(rules: FlowRules, entity: Entity) -> Save:
    return Save(entity, key_hashes(rules, entity), True)


def _entity(act: Act, record: Record) -> Entity:
    hit = find_link(act.conn, act.flow, *record)
    if hit is None:
        raise ConfigError(
            f"{record[0]}:{keys.show(record[1])} is not linked",
            code="SY0168",
            hint="syncd links list shows what is",
        )
    (entity,) = load_entities(act.conn, act.flow, [hit[0]])
    _settled([entity])
    return entity


def _settled(entities: Sequence[Entity]) -> None:
    for entity in entities:
        if entity.unsettled:
            raise ConfigError(
                f"an operation on it at {', '.join(sorted(entity.unsettled))} has no known outcome",
                code="SY0168",
                where=f"entity {entity.id}",
                hint="let a run settle it first: syncd reconcile",
            )


def _two(member: str, one: str, other: str) -> ConfigError:
    return ConfigError(
        f"{member}:{keys.show(one)} and {member}:{keys.show(other)} would be one entity, which has "
        "one record a member",
        code="SY0169",
        hint="unlink or delete one of them first",
    )


def _holds(entity: Entity, record: Record) -> bool:
    link = entity.links.get(record[0])
    return link is not None and link.key == record[1]


def _take_back_never(act: Act, links: Mapping[str, Link]) -> None:
    """A person who links records takes back that they are not the same."""
    together = {frozenset(p) for p in combinations([(m, k.key) for m, k in links.items()], 2)}
    void = [
        number
        for number, pair in act.conn.execute(_NEVER, {"flow": act.flow})
        if frozenset((str(m), str(k)) for m, k in codec.loads(pair)) in together
    ]
    for part in bulk.chunks(void):
        act.conn.execute(_TAKE_BACK, {"ids": part, "why": f"linked by {act.by}"})


def _audit(act: Act, kind: str, entity: int, records: Iterable[Record]) -> None:
    events.record(
        act.conn,
        act.flow,
        [
            events.Event(_BY_HAND, act.at, kind, entity, member, key, actor=act.by)
            for member, key in records
        ],
    )
