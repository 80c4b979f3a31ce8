"""Random questions to the planner: a flow's rules, one entity, what was read of it.

Three members a, b, c; plain fields `name` and `city`, a pair (`sum`, `unit`) that changes
together, and a set `tags`. Values come from tiny pools so that equal, folded-equal and different
ones all happen often.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from law import show
from syncd.core.model import (
    UNSET,
    Agreed,
    Base,
    Entity,
    Fields,
    Link,
    OpKind,
    Origin,
    Read,
    ReadStatus,
    Record,
    Value,
)
from syncd.core.rules import Drift, FieldRules, FlowRules, MemberRules, Mode, Policy

MEMBERS = ("a", "b", "c")
GROUPS = (("name",), ("city",), ("sum", "unit"), ("tags",))
FIELDS = tuple(name for group in GROUPS for name in group)
RUN = 7
OLD, MOVED, BEGUN, TICK = 5, 10, 50, 100  # a base moved after one read and before another
LAG = 600.0
STAMPS = ("2026-05-01T10:00:00Z", "2026-05-02T10:00:00Z", "2026-05-03T10:00:00Z")

TEXTS: tuple[Value, ...] = (None, "x", "y", "z", "X ")
TAGS: tuple[list[str], ...] = ([], ["p"], ["q"], ["p", "q"], ["q", "r"])


def fold(value: Value) -> Any:
    """Trimmed and lower-cased; a list as a set of elements; null is itself."""
    if isinstance(value, list):
        return frozenset(fold(item) for item in value)
    return value.strip().lower() if isinstance(value, str) else value


def valid(fields: Fields) -> Mapping[str, str]:
    return {}


def pool(name: str) -> Sequence[Value]:
    return TAGS if name == "tags" else TEXTS


@dataclass(frozen=True, slots=True, repr=False)
class World:
    """One question: `plan_entity(rules, entity, reads, (), RUN, TICK)`.

    times  of ticks, in seconds: what the planner is not told
    """

    rules: FlowRules
    entity: Entity
    reads: Mapping[str, Read]
    times: Mapping[int, float]

    def __repr__(self) -> str:
        return f"\n{show.flow(self.rules)}\n{show.entity(self.entity, self.reads)}\n"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))  # hypothesis asks for this name


def shown(times: Mapping[int, float], tick: int, lag: float) -> int | None:
    """The last tick before the lag of a read that began at `tick`; None = it has no lag."""
    if not lag:
        return None
    return max((t for t, at in times.items() if at <= times[tick] - lag), default=0)


POLICIES: tuple[tuple[Policy, ...], ...] = (
    (),
    (Policy("review"),),
    (Policy("prefer", ("b",)),),
    (Policy("prefer", ("c", "a")),),
    (Policy("newest"),),
    (Policy("newest"), Policy("prefer", ("a",))),
)


@st.composite
def flows(draw: st.DrawFn, /, *, modes: bool = True, **over: Any) -> FlowRules:
    """Rules of a flow; at least one member may give and one may take each field."""
    chosen = [draw(st.sampled_from(list(Mode))) if modes else Mode.BOTH for _ in MEMBERS]
    if not any(mode.is_source for mode in chosen):
        chosen[0] = Mode.BOTH
    first = draw(st.sampled_from(POLICIES))
    fields: dict[str, FieldRules] = {}
    for group in GROUPS:
        owner = draw(st.sampled_from((None, None, None, "a")))
        conflict = draw(st.sampled_from(POLICIES))
        is_set = group == ("tags",)
        if is_set and draw(st.booleans()):
            conflict = (Policy("merge"),)
        fill = len(group) == 1 and not is_set and draw(st.sampled_from((False, False, True)))
        lossy = draw(st.booleans())
        for name in group:
            fields[name] = FieldRules(
                name=name,
                compare=fold,
                is_set=is_set,
                owner=owner,
                fill=fill,
                conflict=conflict,
                first=first,
                lossy=lossy,
            )
    members = {}
    for name, mode in zip(MEMBERS, chosen, strict=True):
        reads = frozenset(FIELDS)
        if draw(st.sampled_from((False, False, False, True))):
            reads -= set(draw(st.sampled_from(GROUPS)))
        writes = reads if mode.is_target else frozenset()
        if writes and draw(st.sampled_from((False, False, True))):
            writes -= set(draw(st.sampled_from(GROUPS)))
        members[name] = MemberRules(
            name=name,
            mode=mode,
            reads=reads,
            writes=writes,
            validate=valid,
            fingerprint=f"print-{name}",
            read_lag=draw(st.sampled_from((0.0, 0.0, 0.0, LAG))),
        )
    giver = next(m for m in members.values() if m.mode.is_source)
    for group in GROUPS:
        if not any(m.mode.is_source and m.reads.issuperset(group) for m in members.values()):
            members[giver.name] = giver = replace(giver, reads=giver.reads | set(group))
        if not (members["a"].mode.is_source and members["a"].reads.issuperset(group)):
            for name in group:
                fields[name] = replace(fields[name], owner=None)
    settings: dict[str, Any] = {
        "drift": draw(st.sampled_from(list(Drift))),
        "tolerance": draw(st.sampled_from((0.0, 5.0, 100_000.0))),
    }
    settings.update(over)
    return FlowRules(
        name="people",
        fields=fields,
        members=members,
        groups=GROUPS,
        match=(("name",),),
        **settings,
    )


@st.composite
def bases(
    draw: st.DrawFn, group: tuple[str, ...], agreed: Mapping[str, Agreed], plain: bool
) -> dict[str, Base]:
    """One member's bases of a group: in step, pending, degraded, unproven, unknown."""
    seq = agreed[group[0]].seq
    shapes = ["step", "step", "step", "behind", "degraded"]
    if not plain:
        shapes += ["unproven", "sent"]
    shape = draw(st.sampled_from(shapes))
    made = {}
    for name in group:
        value = agreed[name].value
        other = draw(st.sampled_from(pool(name)))
        if shape == "step":
            made[name] = Base(value, seq)
        elif shape == "behind":
            made[name] = Base(other, draw(st.just(0)) if seq == 1 else seq - 1)
        elif shape == "degraded":
            made[name] = Base(other, seq)
        elif shape == "unproven":
            seen = draw(st.sampled_from((UNSET, *pool(name))))
            made[name] = Base(value, seq, unproven=True, seen=seen)
        else:
            made[name] = Base(other, seq - 1, sent=value)
    return made


@st.composite
def worlds(draw: st.DrawFn, /, *, plain: bool = False, unread: bool = True, **over: Any) -> World:
    """An entity with agreed values and links, after arbitrary edits at every member.

    plain: no unproven or unknown bases.
    """
    rules = draw(flows(**over))
    agreed: dict[str, Agreed] = {}
    for group in GROUPS:
        seq = draw(st.integers(1, 3))
        origin = Origin(
            draw(st.sampled_from((*MEMBERS, None))),
            1,
            "edited",
            draw(st.sampled_from((None, *STAMPS))),
        )
        for name in group:
            agreed[name] = Agreed(draw(st.sampled_from(pool(name))), seq, origin)
    links: dict[str, Link] = {}
    reads: dict[str, Read] = {}
    unsettled: dict[str, OpKind] = {}
    times = {OLD: 0.0, MOVED: 60.0, BEGUN: 60.0 + draw(st.sampled_from((0.0, 599.0, LAG)))}
    for member in MEMBERS:
        if member != "a" and draw(st.sampled_from((False, False, False, False, True))):
            reads[member] = Read(ReadStatus.UNREAD)
            continue
        link, read = draw(linked(rules, member, agreed, plain, unread))
        lag = rules.members[member].read_lag
        if read.tick:
            read = replace(read, shows=shown(times, read.tick, lag))
        links[member], reads[member] = link, read
        if any(base.sent is not UNSET for base in link.bases.values()):
            unsettled[member] = OpKind.UPDATE
    return World(rules, Entity(1, agreed=agreed, links=links, unsettled=unsettled), reads, times)


@st.composite
def linked(
    draw: st.DrawFn,
    rules: FlowRules,
    member: str,
    agreed: Mapping[str, Agreed],
    plain: bool,
    unread: bool,
) -> tuple[Link, Read]:
    mapped = rules.members[member].reads
    held: dict[str, Base] = {}
    now: dict[str, Value] = {}
    for group in GROUPS:
        if not mapped.issuperset(group):
            continue
        written = rules.members[member].writes.issuperset(group)
        own = draw(bases(group, agreed, plain or not written))
        edited = draw(st.sampled_from((False, False, True)))
        for name in group:
            now[name] = draw(st.sampled_from(pool(name))) if edited else own[name].value
        for name in group:
            if own[name].sent is not UNSET and draw(st.booleans()):
                now[name] = own[name].sent
        held.update(own)
    sent = tuple(sorted(name for name, base in held.items() if base.sent is not UNSET))
    if len(sent) > 1 and draw(st.booleans()):  # by one write, else by one each
        held.update({name: replace(held[name], beside=sent) for name in sent})
    own_time = draw(st.sampled_from((None, *STAMPS)))
    link = Link(
        member,
        f"{member}1",
        bases=held,
        own_time=own_time,
        edited=draw(st.sampled_from((None, *STAMPS))),
        moved_tick=MOVED,
        version=draw(st.sampled_from((None, "1", "1"))),
        fingerprint=rules.members[member].fingerprint,
    )
    untouched = all(now[n] == b.value for n, b in held.items())
    version = draw(st.sampled_from((None, "1", "2") if untouched else (None, "2")))
    modified = draw(st.sampled_from((None, *STAMPS)))
    record = Record(f"{member}1", now, version, modified, row_hash=5)
    shapes = ["seen", "seen", "seen", "seen"]
    if unread:
        shapes += ["unread", "old"]
    if untouched and not any(b.unproven or b.sent is not UNSET for b in held.values()):
        shapes += ["same", "same"]
    shape = draw(st.sampled_from(shapes))
    if shape == "unread":
        return link, Read(ReadStatus.UNREAD)
    if shape == "same":
        return link, Read(ReadStatus.SAME, tick=BEGUN, complete=True)
    tick = OLD if shape == "old" else BEGUN
    return link, Read(ReadStatus.SEEN, record, tick=tick, complete=True)
