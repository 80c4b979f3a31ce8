"""New records that may not be new: a case before anything is made of them (laws 7, 10, 11)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from syncd.core.cases import make_case
from syncd.core.link import (
    Found,
    Keys,
    entity_keys,
    is_never,
    link_keys,
    match_keys,
    resting,
    standing,
)
from syncd.core.model import Candidate, Case, CaseKind, Entity, EntityState, Link
from syncd.core.rules import FlowRules
from syncd.engine.context import RunContext
from syncd.store import journal, shadow
from syncd.store.stage import Seen

_NAMED = 20  # creates without a known outcome that one case names


class Doubts:
    """What stands in the way of taking an unlinked record for a new thing."""

    def __init__(self, context: RunContext, conn: Connection) -> None:
        self._rules = context.rules
        self._context, self._conn = context, conn
        self._unknown: dict[str, list[Entity]] = {}
        open_creates: dict[str, list[int]] = {}
        if context.matters.unknown:
            open_creates = journal.unknown_creates(conn, context.flow, limit=_NAMED)
        for member, ids in open_creates.items():
            loaded = shadow.load_entities(conn, context.flow, ids)
            self._unknown[member] = [e for e in loaded if member not in e.links]

    def of_new(self, records: Sequence[Seen]) -> Case | None:
        """Whether one of these may be the record of a create whose outcome is not known."""
        found: dict[int, Entity] = {}
        members = sorted({s.member for s in records if self._unknown.get(s.member)})
        for member in members:
            found.update((e.id, e) for e in self._unknown[member])
        if not found:
            return None
        reason = (
            f"a create in {', '.join(members)} has no known outcome; this record appeared since "
            "and may be the one it made"
        )
        shown = [Candidate(s.member, _fields(self._rules, s), s.key) for s in records]
        shown += [c for e in found.values() for c in _candidates(self._rules, e, e.links)]
        return make_case(CaseKind.IDENTITY, _names(self._rules), shown, reason)

    def entities(self, case: Case) -> list[Entity]:
        """The entities that a case of `of_new` names."""
        shown = {(c.source, c.key) for c in case.candidates}
        found = {
            e.id: e
            for entities in self._unknown.values()
            for e in entities
            if any((m, link.key) in shown for m, link in e.links.items())
        }
        return list(found.values())

    def standing(self, found: Found, near: Sequence[Entity]) -> list[Entity]:
        """Those of the entities of which a record still stands somewhere under one of these keys
        and takes no part any more, or is being deleted."""
        keys = {key for record in found.records for key in match_keys(self._rules, record.fields)}
        mine = [(record.member, record.key) for record in found.records]
        never = self._context.never(self._conn, mine)
        return [
            entity
            for entity in near
            if (left := self._left(entity))
            and keys & self._keys(entity, left)
            and not is_never(mine, [(m, link.key) for m, link in left.items()], never)
        ]

    def _left(self, entity: Entity) -> dict[str, Link]:
        if entity.state is EntityState.LIVE:  # its live records are nodes like any other
            return resting(self._rules, entity)
        return standing(self._rules, entity)

    def _keys(self, entity: Entity, left: Mapping[str, Link]) -> Keys:
        keys = set() if entity.state is EntityState.LIVE else entity_keys(self._rules, entity)
        for link in left.values():
            keys.update(link_keys(self._rules, link))
        return keys

    def of_resting(self, found: Found, met: Sequence[Entity]) -> Case:
        """Any record with the key is a candidate, linked or not: a second one is never made."""
        rules = self._rules
        names = _names(rules)
        shown = [
            Candidate(r.member, {n: r.fields[n] for n in names if n in r.fields}, r.key)
            for r in found.records
        ]
        where: list[str] = []
        for entity in met:
            left = self._left(entity)
            where += left
            shown += _candidates(rules, entity, left)
        reason = (
            f"{', '.join(sorted(set(where)))} has a record with this match key that takes no part "
            "any more"
        )
        return make_case(CaseKind.IDENTITY, names, shown, reason)


def _names(rules: FlowRules) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for rule in rules.match for name in rule))


def _fields(rules: FlowRules, seen: Seen) -> dict[str, object]:
    fields = seen.record.fields if seen.record is not None else {}
    return {name: fields[name] for name in _names(rules) if name in fields}


def _candidates(rules: FlowRules, entity: Entity, links: Mapping[str, Link]) -> list[Candidate]:
    names = _names(rules)
    return [
        Candidate(m, {n: b.value for n, b in link.bases.items() if n in names}, link.key)
        for m, link in sorted(links.items())
    ]
