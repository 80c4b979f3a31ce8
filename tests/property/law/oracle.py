"""The law, brute force: what one group of fields must come to, given state and reads.

Own representation: plain tuples of values in the group's order ("a row"), dictionaries by member.
Where the text of the law leaves two readings open, `verdicts` lists both; where it is silent the
list is empty and nothing is asserted. Deletions and creations are in `lifecycle.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from law.worlds import World
from syncd.core.model import UNSET, Base, LinkState, ReadStatus, Record, Value
from syncd.core.rules import Drift, Policy

Row = tuple[Value, ...]


@dataclass
class Verdict:
    """What must be recorded and sent for one group.

    row      agreed values afterwards; moved: under a new sequence
    vague    the text names several rows: the row itself is not checked
    open     value sets (folded) of the case that must be open, or None
    writes   by member, the fields that must be sent (with the agreed value)
    may      by member, fields that may be sent as well
    bases    by member and field: (value, behind) that must be recorded; None = either
    """

    row: Row
    moved: bool = False
    vague: bool = False
    open: frozenset[Any] | None = None
    frozen: bool = False
    writes: dict[str, set[str]] = field(default_factory=dict)
    may: dict[str, set[str]] = field(default_factory=dict)
    bases: dict[str, dict[str, tuple[Value, bool | None]]] = field(default_factory=dict)


@dataclass
class Held:
    """One member's side of a group. base rows are after unknown writes were found or not."""

    now: Row
    base: Row
    behind: bool
    seqs: Row
    changed: bool
    differs: Row
    may: bool  # authority over this change
    degraded: bool
    odd: bool = False  # another form read on an unproven base
    doubt: bool = False  # an unknown write on some field
    setback: bool = False  # and the old value stands there, under a newer version


class Question:
    """One group of one world, taken apart."""

    def __init__(self, world: World, group: tuple[str, ...]) -> None:
        self.world, self.group = world, group
        self.rules, self.entity = world.rules, world.entity
        self.field = self.rules.fields[group[0]]
        self.agreed = [self.entity.agreed[name] for name in group]
        self.row: Row = tuple(a.value for a in self.agreed)
        self.seq = self.agreed[0].seq
        self.sources = set(self.rules.sources(group[0]))
        self.targets = set(self.rules.targets(group[0]))
        self.sides: dict[str, Held] = {}
        self.absent: dict[str, list[Base]] = {}
        for name, link in self.entity.links.items():
            if link.state is not LinkState.LIVE or group[0] not in link.bases:
                continue
            held = [link.bases[f] for f in group]
            now = self.evidence(name, held)
            if now is None:
                self.absent[name] = held
            else:
                self.sides[name] = self.side(name, now, held)

    def same(self, one: Row, other: Row) -> bool:
        return self.fold(one) == self.fold(other)

    def fold(self, row: Row) -> tuple[Any, ...]:
        return tuple(self.rules.fields[f].compare(v) for f, v in zip(self.group, row, strict=True))

    def evidence(self, name: str, held: list[Base]) -> Row | None:
        """Law 5: the values read, or None where the read proves nothing."""
        read, link = self.world.reads[name], self.entity.links[name]
        if read.status not in (ReadStatus.SEEN, ReadStatus.SAME):
            return None
        version = read.record.version if read.record is not None else None
        # while a write is under way the version before it says nothing: it may come yet
        under_way = any(b.sent is not UNSET for b in link.bases.values())
        known = version is not None and version == link.version and not under_way
        if not known and read.tick < link.moved_tick:
            return None
        if not known and link.moved_tick:
            times, lag = self.world.times, self.rules.members[name].read_lag
            mine, its = link.own_time, read.record.modified if read.record is not None else None
            later = self.newer(name) and mine is not None and its is not None and its > mine
            if not later and times[read.tick] - times[link.moved_tick] < lag:
                return None
        if read.record is None:
            return tuple(b.value for b in held)
        return tuple(read.record.fields[f] for f in self.group)

    def side(self, name: str, now: Row, held: list[Base]) -> Held:
        values, seqs, differs, odd, back = [], [], [], False, False
        doubt = any(b.sent is not UNSET for b in held)
        for f, value, base in zip(self.group, now, held, strict=True):
            compare = self.rules.fields[f].compare
            folded, old, seq = compare(value), base.value, base.seq
            # the old value under a newer version, after an unknown write: set back by somebody
            setback = base.sent is not UNSET and self.newer(name)
            if base.sent is not UNSET and folded == compare(base.sent):
                old, seq = value, self.seq  # the unknown write is proven by what stands there
                setback = False
            elif base.sent is not UNSET and self.arrived(name, base.beside, f):
                old, seq, setback, odd = base.sent, self.seq, False, True
            if base.unproven and folded != compare(old):
                if base.seen is not UNSET and compare(base.seen) == folded:
                    old = value  # what the same value sent before looked like: its own form
                else:
                    odd = True
            values.append(old)
            seqs.append(seq)
            differs.append(folded != compare(old) or setback)
            back = back or (setback and folded == compare(old))
        base_row = tuple(values)
        changed = any(differs)
        blanking = self.field.fill and all(v in (None, "") for v in now)
        behind = any(s < self.seq for s, d in zip(seqs, differs, strict=True) if d or not changed)
        emptied = self.field.fill and self.rules.drift is Drift.KEEP
        degraded = any(
            d
            and s == self.seq
            and not (emptied and o in (None, ""))  # its user saw what he emptied: nothing is cut
            and self.rules.fields[f].compare(o) != self.rules.fields[f].compare(a)
            for f, d, s, o, a in zip(self.group, differs, seqs, base_row, self.row, strict=True)
        )
        return Held(
            now=now,
            base=base_row,
            behind=behind,
            seqs=tuple(seqs),
            changed=changed,
            differs=tuple(differs),
            may=name in self.sources and not blanking,
            degraded=degraded,
            odd=odd,
            doubt=doubt,
            setback=back,
        )

    def arrived(self, name: str, beside: tuple[str, ...], field: str) -> bool:
        """Another field of the same unknown write has become what was sent: it was whole, and this
        one's value was written, too, without a proof of what that came to."""
        link, record = self.entity.links[name], self.world.reads[name].record
        return any(
            record is not None
            and other != field
            and other in record.fields
            and self.stands(other, record, link.bases[other].sent)
            and not self.stands(other, record, link.bases[other].value)
            for other in beside
        )

    def newer(self, name: str) -> bool:
        """The record's version is not the one its bases were confirmed at."""
        link, record = self.entity.links[name], self.world.reads[name].record
        versions = {link.version, record.version if record is not None else link.version}
        return len(versions) > 1 and None not in versions

    def candidate(self, side: Held) -> Row:
        """Law 14: a field that equals its own base brings the agreed value."""
        out = []
        for now, differs, agreed in zip(side.now, side.differs, self.row, strict=True):
            out.append(now if differs else agreed)
        return tuple(out)

    def time(self, name: str) -> str | None:
        """A version that is our own write's keeps the time before it; where it may be ours or
        somebody's, the time of his edit is not known, and that of no edit at all neither."""
        if self.sides[name].setback:
            return None
        link, record = self.entity.links[name], self.world.reads[name].record
        if record is None or record.modified is None:
            return link.edited if record is None else None
        bases = {f: b for f, b in link.bases.items() if f in record.fields}
        ours = {f for f, b in bases.items() if b.unproven or self.stands(f, record, b.sent)}
        if not ours and record.modified != link.own_time:
            return record.modified
        alike = (
            self.stands(f, record, b.value) or self.stands(f, record, b.sent)
            for f, b in bases.items()
        )
        return link.edited if all(alike) else None

    def stands(self, name: str, record: Record, value: Value) -> bool:
        compare = self.rules.fields[name].compare
        return value is not UNSET and bool(compare(record.fields[name]) == compare(value))


def verdicts(world: World, group: tuple[str, ...]) -> list[Verdict]:
    """Every admissible end of this group; empty where the law does not say."""
    q = Question(world, group)
    if any(b.sent is not UNSET for held in q.absent.values() for b in held):
        return [frozen(q, None)]  # law 7: not merged until that is settled
    if any(s.doubt for s in q.sides.values()):
        # The read may count as the settlement, or the journal is waited for: both keep law 7.
        otherwise = merged(q)
        return [frozen(q, None), *otherwise] if otherwise else []
    return merged(q)


def merged(q: Question) -> list[Verdict]:
    group = q.group
    odd = {n: s for n, s in q.sides.items() if s.odd}
    movers = {n: s for n, s in q.sides.items() if s.changed and s.may}
    drifting = {n: s for n, s in q.sides.items() if s.changed and not s.may}
    blind = [n for n in movers if n in q.sources and n not in q.targets]
    unwritable = [n for n in (*q.sides, *q.absent) if n in q.sources and n not in q.targets]
    blind_ones = q.sources - q.targets
    last = len(blind_ones) > 1 and q.agreed[0].origin.member in blind_ones
    ranked = bool(blind) and (len(unwritable) > 1 or last)
    if odd:  # whatever the policy and the authority: it may be what our own write looks like
        if ranked and all(q.same(q.candidate(s), q.row) for s in odd.values()):
            return []  # no conflict, where the ranked value is what was agreed since, too
        if ranked:
            return [frozen(q, None)]  # with the ranked value, or all that could not be ranked
        asked = {**movers, **odd, **(drifting if q.rules.drift is Drift.REVIEW else {})}
        rows = {q.fold(q.row), *(q.fold(q.candidate(s)) for s in asked.values())}
        if len(rows) == 1:  # what was agreed since: no conflict
            rest = {n: s for n, s in drifting.items() if n not in odd}
            return [outcome(q, q.row, False, {**movers, **odd}, rest)]
        return [frozen(q, rows)]
    if ranked:
        return []  # law 13 has its own test
    if drifting and q.rules.drift is Drift.REVIEW:
        if any(q.same(s.now, q.row) for s in drifting.values()):
            return []
        loose = settle(q, movers, {})
        if not loose:
            return []
        for v in loose:
            for n in drifting:
                v.writes.pop(n, None)
                v.bases.pop(n, None)
                if len(group) > 1:
                    v.may[n] = set(group)  # part of its drift may be what was agreed
        return [frozen(q, None), *loose]
    return settle(q, movers, drifting)


def settle(q: Question, movers: dict[str, Held], drifting: dict[str, Held]) -> list[Verdict]:
    """Law 3: candidates, then the policies."""
    candidates: dict[Any, list[str]] = {}
    rows: dict[Any, Row] = {}
    for name, side in movers.items():
        row = q.candidate(side)
        candidates.setdefault(q.fold(row), []).append(name)
        rows.setdefault(q.fold(row), row)
    lossy = any(s.degraded for s in movers.values()) and not q.field.lossy
    if any(s.behind for s in movers.values()) or lossy:
        candidates.setdefault(q.fold(q.row), []).append("agreed")
        rows[q.fold(q.row)] = q.row
    if not candidates:
        return [outcome(q, q.row, False, {}, drifting)]
    merging = any(p.kind == "merge" for p in q.field.conflict)
    if len(candidates) == 1:
        key = next(iter(candidates))
        if merging and any(s.degraded for s in movers.values()):
            return []  # its own form's edit: the value as it is, or its elements
        if key == q.fold(q.row):
            return [outcome(q, q.row, False, movers, drifting)]
        return [outcome(q, rows[key], True, movers, drifting)]
    shut = frozen(q, set(candidates))
    if merging and not any(s.setback for s in movers.values()):
        chosen: list[Verdict] | None = union(q, movers, drifting)
    else:
        chosen = decide(q, candidates, rows, movers, drifting)
    if chosen == []:
        return []
    if lossy:
        # A person is asked whatever the policy, or the policy decides it as any conflict.
        return [shut, *(chosen or [])]
    return [shut] if chosen is None else chosen


def decide(
    q: Question,
    candidates: dict[Any, list[str]],
    rows: dict[Any, Row],
    movers: dict[str, Held],
    drifting: dict[str, Held],
) -> list[Verdict] | None:
    """The first policy that decides; None = review; empty = the law does not say."""
    for policy in q.field.conflict:
        if policy.kind == "review":
            return None
        if policy.kind == "merge":
            continue  # elements say nothing of whether the write came
        won = prefer(q, candidates, policy) if policy.kind == "prefer" else newest(q, candidates)
        if won == "silent":
            return []
        if won is not None:
            return [outcome(q, rows[won], True, movers, drifting)]
    return None


def prefer(q: Question, candidates: dict[Any, list[str]], policy: Policy) -> Any:
    origin = q.agreed[0].origin.member
    for member in policy.order:
        own = [key for key, names in candidates.items() if member in names]
        as_origin = [key for key, names in candidates.items() if "agreed" in names]
        if own and as_origin and origin == member and own != as_origin:
            return "silent"  # its new value and the agreed one that it gave before
        if own:
            return own[0]
        if as_origin and origin == member:
            return as_origin[0]
    return None


def newest(q: Question, candidates: dict[Any, list[str]]) -> Any:
    times: dict[Any, list[str | None]] = {
        key: [q.agreed[0].origin.at if n == "agreed" else q.time(n) for n in names]
        for key, names in candidates.items()
    }
    if any(len(set(t)) > 1 for t in times.values()):
        return "silent"  # one value given at two times
    if any(t[0] is None for t in times.values()):
        return None
    ranked = sorted(times, key=lambda key: str(times[key][0]), reverse=True)
    best, next_best = (seconds(str(times[key][0])) for key in ranked[:2])
    return ranked[0] if best - next_best > q.rules.tolerance else None


def seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()


def union(q: Question, movers: dict[str, Held], drifting: dict[str, Held]) -> list[Verdict]:
    """Law 15: every member's additions and removals, against its own base, on the agreed set."""
    added: set[Any] = set()
    removed: set[Any] = set()
    for side in movers.values():
        now, before = set(side.now[0] or []), set(side.base[0] or [])
        added |= now - before
        removed |= before - now
    held = set(q.row[0] or [])
    kept = (held - removed) | added
    found = [outcome(q, (sorted(kept),), True, movers, drifting)]
    # An element that one adds and another removes: the text names no winner.
    found[0].vague = bool(added & removed)
    if kept == held:
        # Nothing comes of it; whether that is a decision with a sequence of its own is open.
        found.append(outcome(q, q.row, False, movers, drifting))
        for name in movers:  # nor where a degraded member's own form then stands
            found[-1].writes.pop(name, None)
            note(found[-1], name, q.group[0], movers[name].now[0], None)
            found[-1].may[name] = set(q.group)
    return found


def frozen(q: Question, values: Iterable[Any] | None) -> Verdict:
    """Nothing of the group moves anywhere; `values` are the candidates shown."""
    verdict = Verdict(row=q.row, frozen=True)
    verdict.open = None if values is None else frozenset(values)
    for name, side in q.sides.items():
        if side.changed and side.may:  # a base that moved now would swallow the edit
            for f, base in zip(q.group, side.base, strict=True):
                held = q.entity.links[name].bases[f].value
                if q.rules.fields[f].compare(held) == q.rules.fields[f].compare(base):
                    note(verdict, name, f, base, None)  # else this read may prove it, or wait
    return verdict


def outcome(
    q: Question, row: Row, moved: bool, movers: dict[str, Held], drifting: dict[str, Held]
) -> Verdict:
    """Bases and writes once the agreed row is known (laws 4, 5)."""
    v = Verdict(row=row, moved=moved)
    for name, side in q.sides.items():
        wins = name in movers and q.same(q.candidate(side), row)
        for i, f in enumerate(q.group):
            compare = q.rules.fields[f].compare
            want, now = row[i], side.now[i]
            idle = compare(want) == compare(q.row[i])  # this field's agreed value stays
            if name in movers:
                base, behind = now, not wins
            elif name in drifting:
                base, behind = now, q.rules.drift is not Drift.KEEP
                if compare(now) == compare(side.base[i]) and side.seqs[i] >= q.seq:
                    behind = False  # a field of the group that did not drift
            else:
                base, behind = side.base[i], side.seqs[i] < q.seq or (moved and not idle)
            # Where the agreed value wins, or part of a group stays, writing it again to a member
            # that held its own form of it is neither asked for nor forbidden.
            stays = moved and idle and name not in movers
            loose = stays or (len(q.group) > 1 and ((moved and idle) or name in drifting))
            target = name in q.targets
            if behind and now == want and target:
                v.may.setdefault(name, set()).add(f)
                note(v, name, f, want, None)
            elif behind and target and compare(now) == compare(want):
                v.may.setdefault(name, set()).add(f)
                note(v, name, f, now, None)
            elif behind and target and not loose:
                v.writes.setdefault(name, set()).add(f)
                note(v, name, f, base, True)
            else:
                if target and (loose or name in movers):
                    v.may.setdefault(name, set()).add(f)
                sure = not loose and (target or name in q.sources)
                known = name not in drifting or q.rules.drift is Drift.KEEP or target
                note(v, name, f, base, behind if sure and known and len(q.group) == 1 else None)
    return v


def note(v: Verdict, member: str, name: str, value: Value, behind: bool | None) -> None:
    v.bases.setdefault(member, {})[name] = (value, behind)
