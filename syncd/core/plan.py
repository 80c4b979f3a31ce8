"""One entity's plan: (rules, state, what was read, decisions) → the state to record and the
operations to send. Pure; the same for any order of members (law 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from syncd.core.amend import amend
from syncd.core.fresh import plan_fresh
from syncd.core.merge import merge_group
from syncd.core.model import (
    UNSET,
    Agreed,
    Base,
    Case,
    Decision,
    Entity,
    EntityPlan,
    EntityState,
    Link,
    LinkState,
    Note,
    NoteKind,
    OpKind,
    Read,
    ReadStatus,
)
from syncd.core.observe import Side, observe
from syncd.core.presence import Fate, presence
from syncd.core.rules import Deletes, FlowRules, MemberRules
from syncd.core.sending import Sending
from syncd.core.stance import proven


def plan_entity(
    rules: FlowRules,
    entity: Entity,
    reads: Mapping[str, Read],
    decisions: Sequence[Decision],
    run: int,
    tick: int,
) -> EntityPlan:
    """Plan one entity.

    entity     as stored; id 0 and nothing agreed = unlinked records found to be one thing, their
               links without bases
    reads      for every member of the flow; a member without a link is complete when its whole
               snapshot was read in this run, so that no candidate stands there
    decisions  pending ones of this entity, oldest first
    tick       the store's now: recorded where bases move
    """
    if entity.state in (EntityState.GONE, EntityState.ENDED):
        return EntityPlan(entity, voided=tuple(d.id for d in decisions))
    if any(kind is not OpKind.UPDATE for kind in entity.unsettled.values()):
        return EntityPlan(entity, cases=entity.cases, waits=True)
    if not (entity.id or entity.agreed or entity.cases or decisions) and len(entity.links) == 1:
        planned = plan_fresh(rules, entity, reads, run, tick)
        if planned is not None:
            return planned
    return _EntityPlanning(rules, entity, reads, decisions, run, tick).plan()


class _EntityPlanning:
    def __init__(
        self,
        rules: FlowRules,
        entity: Entity,
        reads: Mapping[str, Read],
        decisions: Sequence[Decision],
        run: int,
        tick: int,
    ) -> None:
        self.rules, self.entity, self.reads = rules, entity, reads
        self.decisions, self.run, self.tick = decisions, run, tick
        self.sides = observe(rules, entity.links, reads)
        self.sending = Sending(rules, reads)
        self.cases: list[Case] = []
        self.notes: list[Note] = []
        self.used: list[int] = []
        self.waits = any(not s.read and not s.missing for s in self.sides.values())

    def plan(self) -> EntityPlan:
        agreed, notes, used = amend(
            self.rules,
            _rebased(self.rules, self.entity, self.sides),
            self.sides,
            self.entity.cases,
            self.decisions,
            self.run,
        )
        self.notes += notes
        self.used += used
        self.merges = [
            merge_group(
                self.rules, group, agreed, self.sides, self.entity.cases, self.decisions, self.run
            )
            for group in self.rules.groups
        ]
        self.fate = presence(self.rules, self.entity, self.sides, self.merges, self.decisions)
        self.used += self.fate.used
        self.notes += self.fate.notes
        match self.fate.fate:
            case Fate.FROZEN:
                return self._frozen()
            case Fate.DIES:
                planned = self._dies()
            case Fate.ENDS:
                planned = self._ends()
            case Fate.LIVES:
                planned = self._lives(agreed)
        return self._done(planned)

    def _frozen(self) -> EntityPlan:
        if self.fate.case is not None:
            self.cases.append(self.fate.case)
        self.waits = True
        return self._done(self.entity)

    def _done(self, planned: Entity) -> EntityPlan:
        used = tuple(dict.fromkeys(self.used))
        cases = (*self.cases, *self.sending.cases)
        still = {case.digest for case in cases}
        unread = any(not s.read and not s.missing for s in self.sides.values())
        voided = tuple(
            d.id
            for d in self.decisions
            if d.id not in used and d.digest not in still and not unread
        )
        return EntityPlan(
            planned,
            tuple(self.sending.operations),
            cases,
            tuple(self.notes),
            used,
            voided,
            self.waits or bool(self.sending.cases),
            planned != self.entity,
        )

    # -- living ------------------------------------------------------------------------------

    def _lives(self, before: Mapping[str, Agreed]) -> Entity:
        agreed = dict(before)
        for merged in self.merges:
            agreed.update(merged.agreed)
            self.notes += merged.notes
            self.used += merged.used
            self.waits = self.waits or merged.waits
            if merged.case is not None:
                self.cases.append(merged.case)
        links = dict(self.entity.links)
        gone = [link for link in self.entity.gone if link.member not in self.fate.revive]
        for member in self.fate.gone:
            link = links.pop(member)
            if member not in self.fate.revive:
                gone.append(self._gone(link))
        for member, side in self.sides.items():
            if side.read:
                links[member] = self._update(side, agreed)
            elif not side.missing:
                self.sending.unread(side, agreed, self.entity.cases)
        entity = replace(
            self.entity,
            state=EntityState.LIVE,
            agreed=agreed,
            links=links,
            gone=tuple(gone),
        )
        if agreed:
            self._creates(entity)
        return entity

    def _update(self, side: Side, agreed: Mapping[str, Agreed]) -> Link:
        """The link as it shall stand, and the update its member is owed (law 4)."""
        member = self.rules.members[side.member]
        bases = dict(side.link.bases)
        frozen: set[str] = set()
        owed: list[str] = []
        first: list[str] = []
        for merged in self.merges:
            moves = merged.bases.get(side.member, {})
            bases.update(moves)
            if merged.frozen:
                frozen.update(merged.group)
                continue
            for name in merged.group:
                if name in agreed and self._owes(member, side, name, bases, agreed[name]):
                    owed.append(name)
                    if name not in side.link.bases:
                        first.append(name)
        for name, value in side.fields.items():
            # the same value in another spelling: remembered, so that the row is known next time
            base = bases.get(name)
            if base is not None and base.value != value and base.sent is UNSET:
                compare = self.rules.fields[name].compare
                if not base.unproven and compare(base.value) == compare(value):
                    bases[name] = replace(base, value=value)
        if owed:
            self.sending.update(side, agreed, owed, first, self.merges, bases)
        return self._link(side, bases, frozen)

    def _owes(
        self,
        member: MemberRules,
        side: Side,
        name: str,
        bases: dict[str, Base],
        agreed: Agreed,
    ) -> bool:
        """Whether a field is pending here; one that already has exactly the agreed value is
        confirmed by the read instead of being written again."""
        if name not in member.writes or not member.mode.is_target:
            return False
        base = bases.get(name)
        if base is None:
            return name not in member.reads
        if base.seq >= agreed.seq or base.sent is not UNSET:
            return False
        if name in side.fields and side.fields[name] == agreed.value:
            bases[name] = Base(agreed.value, agreed.seq)
            return False
        return name in side.fields or name not in member.reads

    def _link(self, side: Side, bases: Mapping[str, Base], frozen: set[str]) -> Link:
        link = side.link
        member = self.rules.members[side.member]
        record = self.reads[side.member].record if side.status is ReadStatus.SEEN else None
        stored = self.entity.links[side.member]
        known = all(
            name in bases
            and bases[name].value == value
            and bases[name].sent is UNSET
            and not bases[name].unproven
            for name, value in side.fields.items()
        ) and set(bases) >= set(side.fields)
        moved = dict(bases) != dict(stored.bases)
        settled = not (frozen & set(side.fields)) or known
        unknown = any(base.sent is not UNSET for base in bases.values())
        if record is not None:
            link = replace(
                link,
                version=link.version if unknown else record.version,
                own_time=record.modified if side.ours else link.own_time,
                edited=side.edited,  # also of an edit that waits: our next write hides its time
                created=record.created or link.created,
                row_hash=record.row_hash if known else None,
                fingerprint=member.fingerprint if settled else stored.fingerprint,
            )
        elif not known:
            link = replace(link, row_hash=None)
        if moved:
            link = replace(link, moved_tick=self.tick)
        return replace(link, bases=dict(bases))

    # -- creating ----------------------------------------------------------------------------

    def _creates(self, entity: Entity) -> None:
        """A record for every target that has none and never had (law 11)."""
        sources = [
            m
            for m, side in self.sides.items()
            if side.read and self.rules.members[m].mode.is_source
        ]
        had = {link.member for link in entity.gone}
        lacking = [
            member
            for name, member in sorted(self.rules.members.items())
            if name not in entity.links and name not in had and member.mode.is_target
        ]
        lacking = [m for m in lacking if m.creates and m.name not in entity.unsettled]
        if not lacking:
            return
        if self.fate.revive:
            sources = sources or [m for m, side in self.sides.items() if side.read]
        if not sources or any(merged.frozen for merged in self.merges):
            self.waits = True
            return
        unread = [name for name in self.rules.members if not self._looked_at(name)]
        for member in lacking:
            bridges = len(self.rules.match) > 1 and not self.rules.bridge_accept and unread
            if not self.reads[member.name].complete or bridges:
                self.waits = True
                names = ", ".join(unread) or member.name
                self.notes.append(
                    Note(NoteKind.WAITS, member.name, text=f"create waits for {names} to be read")
                )
                continue
            if self.reads[member.name].record is not None:
                # its id belongs to another record, which is looked at as any other once this link
                # is gone: it may be the one to be made
                self.waits = True
                text = "create waits for the record that has its id now"
                self.notes.append(Note(NoteKind.WAITS, member.name, text=text))
                continue
            self.sending.create(member, entity.agreed, self.merges, sources[0])

    def _looked_at(self, name: str) -> bool:
        read = self.reads.get(name)
        if read is None or read.status is ReadStatus.UNREAD:
            return False
        return name in self.entity.links or read.complete

    # -- deleting ----------------------------------------------------------------------------

    def _gone(self, link: Link) -> Link:
        """What is learned now, no read from before may call in doubt."""
        return replace(link, state=LinkState.GONE, moved_tick=self.tick)

    def _dies(self) -> Entity:
        links = dict(self.entity.links)
        gone = list(self.entity.gone)
        archives = self.rules.deletes is Deletes.ARCHIVE
        for member in self.fate.gone:
            gone.append(self._gone(links.pop(member)))
        for name, side in self.sides.items():
            if name not in links:
                continue
            rules = self.rules.members[name]
            if not rules.mode.is_target:
                links[name] = replace(side.link, state=LinkState.IGNORED)
            elif archives and not rules.archives:
                links[name] = replace(side.link, state=LinkState.ARCHIVED)
            elif side.read:
                bases = proven(self.rules, self.entity.agreed, side)
                if bases != side.link.bases:
                    links[name] = self._link(side, bases, set())
                kind = OpKind.ARCHIVE if archives else OpKind.DELETE
                self.sending.delete(side, kind, self.fate.cause, self.fate.reason)
            else:
                self.waits = True
        for merged in self.merges:
            if merged.case is not None and not self.fate.forced and merged.frozen:
                self.cases.append(merged.case)
        left = [link for link in links.values() if link.state is LinkState.LIVE]
        state = EntityState.DELETING
        if not left:
            state = EntityState.ENDED if links else EntityState.GONE
        return replace(self.entity, state=state, links=links, gone=tuple(gone))

    def _ends(self) -> Entity:
        links = dict(self.entity.links)
        gone = list(self.entity.gone)
        for member in self.fate.gone:
            gone.append(self._gone(links.pop(member)))
        for name, state in self.fate.states.items():
            links[name] = replace(links[name], state=state)
        return replace(self.entity, state=EntityState.ENDED, links=links, gone=tuple(gone))


def _rebased(rules: FlowRules, entity: Entity, sides: Mapping[str, Side]) -> dict[str, Agreed]:
    """The agreed values, recomputed where a changed type or fold gave every link another form of
    the very value that is agreed; the sequence is kept (law 9)."""
    agreed = dict(entity.agreed)
    moved = {n for n, s in sides.items() if entity.links[n].fingerprint != s.link.fingerprint}
    changed = {
        name
        for name, side in sides.items()
        if side.link.fingerprint and side.link.fingerprint != rules.members[name].fingerprint
    }
    if not changed or (changed | moved) != set(sides):
        return agreed
    for name, now in entity.agreed.items():
        for member in sorted(changed, key=lambda m: (m != now.origin.member, m)):
            old = entity.links[member].bases.get(name)
            new = sides[member].link.bases.get(name)
            if old is None or new is None or old.seq != now.seq or old.value != now.value:
                continue
            agreed[name] = replace(now, value=new.value)
            break
    return agreed
