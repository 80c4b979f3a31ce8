"""The law of first sight (laws 1, 9), brute force: one field of three members, some of which hold
the agreed value in step while the values of the others were never seen before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hypothesis import strategies as st

from law import small
from law.worlds import MEMBERS, fold
from syncd.core.model import Agreed, Base, CaseKind, Decision, Entity, EntityPlan, Origin, Value
from syncd.core.rules import Drift, FlowRules, Mode


@dataclass(frozen=True)
class Meeting:
    """A question. new: first-seen values; agreed: what the other members hold, given by `origin`;
    where all are new there is none yet."""

    rules: FlowRules
    new: Mapping[str, Value]
    agreed: Value = None
    origin: str = ""

    def has_say(self, member: str) -> bool:
        owner = self.rules.fields["name"].owner
        return self.rules.members[member].mode is not Mode.TARGET and owner in (None, member)

    @property
    def preferred(self) -> tuple[str, ...]:
        return tuple(m for policy in self.rules.fields["name"].first for m in policy.order)

    def plan(self, planner: small.Planner, decisions: tuple[Decision, ...] = ()) -> EntityPlan:
        old = [m for m in MEMBERS if m not in self.new]
        links = {m: small.linked(m, Base(self.agreed, 2) if m in old else None) for m in MEMBERS}
        given = Agreed(self.agreed, 2, Origin(self.origin, 1, "edited"))
        entity = Entity(1, agreed={"name": given} if old else {}, links=links)
        reads = {m: small.seen(m, self.new.get(m, self.agreed)) for m in MEMBERS}
        return small.ask(self.rules, entity, reads, decisions, planner)


@dataclass
class End:
    """What must come of it. asked: kind of the case and the values shown in it, by member; takes:
    those of them a person may simply take; kept, lost: members whose value is neither agreed nor
    blank, and either stays there or is overwritten."""

    agreed: Value = None
    none: bool = False  # nothing is agreed
    asked: tuple[CaseKind, dict[str, Value]] | None = None
    takes: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)


@st.composite
def meetings(draw: st.DrawFn) -> Meeting:
    modes = {m: draw(small.MODES) for m in MEMBERS}
    owner = draw(st.sampled_from((None, None, "a", "b")))
    rules = small.flow(
        modes,
        draw(small.ORDERS),
        owner=owner,
        fill=draw(st.booleans()),
        drift=draw(st.sampled_from(list(Drift))),
    )
    new = {m: draw(small.VALUES) for m in MEMBERS}
    meeting = Meeting(rules, new)
    givers = [m for m in MEMBERS if meeting.has_say(m)]
    if givers and draw(st.booleans()):
        origin = draw(st.sampled_from(givers))
        old = {origin, *draw(st.sets(st.sampled_from(MEMBERS), max_size=1))}
        fresh = {m: v for m, v in new.items() if m not in old}
        meeting = Meeting(rules, fresh, draw(small.VALUES), origin)
    return meeting


def end(m: Meeting) -> End | None:
    """None: sources that cannot be written are ranked first; law 13 has its own test."""
    old = {x for x in MEMBERS if x not in m.new}
    blind = {x for x in MEMBERS if m.has_say(x) and m.rules.members[x].mode is Mode.SOURCE}
    if len(blind) > 1:
        return None
    voices = {x: v for x, v in m.new.items() if m.has_say(x)}
    strays = {x: v for x, v in m.new.items() if not m.has_say(x) and v is not None}
    if not old and not voices:
        return End(none=True)  # nobody has said anything yet
    said = {x: v for x, v in voices.items() if v is not None}
    if not old and not said and strays:
        everybody = {**voices, **strays}  # neither blanked nor adopted by a guess
        return End(none=True, asked=(CaseKind.FIRST, everybody), takes=set(everybody))
    rivals = dict(said)
    if old:
        rivals |= {x: m.agreed for x in old if m.has_say(x)}
        rivals |= {x: v for x, v in voices.items() if fold(v) == fold(m.agreed)}
    value, decided = m.agreed, True
    if old:
        # a blank that is new is filled; other values than the agreed one are a question of `first`
        others = {x: v for x, v in said.items() if fold(v) != fold(m.agreed)}
        if others:
            first = next((x for x in m.preferred if x in rivals), None)
            decided = first is not None
            value = rivals[first] if first is not None else m.agreed
    elif said:
        others = said
        value = next(iter(said.values()))
        if len({fold(v) for v in said.values()}) > 1:
            first = next((x for x in m.preferred if x in said), None)
            decided = first is not None
            value = said[first] if first is not None else None
    else:
        others = {}
    review = m.rules.drift is Drift.REVIEW
    apart = {x: v for x, v in strays.items() if not decided or fold(v) != fold(value)}
    if not decided and old:
        apart = {x: v for x, v in strays.items() if fold(v) != fold(m.agreed)}
    if not decided:
        shown = {**others, **(apart if review else {})}
        shown |= {"agreed": m.agreed} if old else {}
        takes = {x for x in shown if x not in strays}
        return End(m.agreed, not old, (CaseKind.FIRST, shown), takes)
    if apart and review:
        shown = {**({"agreed": m.agreed} if old else said), **apart}
        if old and fold(value) != fold(m.agreed):
            return None  # what `first` decides and what is asked about meet: one question or two
        return End(m.agreed, not old, (CaseKind.DRIFT, shown), set(shown) - set(apart))
    targets = {x for x in MEMBERS if m.rules.members[x].mode is not Mode.SOURCE}
    stands = {x: m.new.get(x, m.agreed) for x in MEMBERS}
    keep = set(apart) if m.rules.drift is Drift.KEEP else set()
    differ = {x for x, v in stands.items() if fold(v) != fold(value)}
    lost = {x for x in differ - keep if x in m.new and stands[x] is not None}
    if old and m.agreed and fold(value) != fold(m.agreed):
        lost.add(m.origin)  # what was agreed is overruled: whoever gave it lost it
    return End(value, written=(differ - keep) & targets, kept=keep, lost=lost)


def complaints(m: Meeting, planner: small.Planner) -> list[str]:
    want = end(m)
    if want is None:
        return []
    plan = m.plan(planner)
    found = []
    now = plan.entity.agreed.get("name")
    if want.none != (now is None):
        return [f"agreed is {now}, by the law {'nothing' if want.none else want.agreed!r}"]
    if now is not None and fold(now.value) != fold(want.agreed):
        found.append(f"agreed is {now.value!r}, by the law {want.agreed!r}")
    cases = [
        (c.kind, {x.source: (x.values or {})["name"] for x in c.candidates}, c) for c in plan.cases
    ]
    if [c[:2] for c in cases] != ([want.asked] if want.asked else []):
        found.append(f"asked is {[c[:2] for c in cases]}, by the law {want.asked}")
    for _, _, case in cases:
        takes = {x.source for x in case.candidates if x.heard}
        if takes != want.takes:
            found.append(f"{takes} may be taken, by the law {want.takes}")
    written = {op.member for op in plan.operations}
    if written != want.written:
        found.append(f"written are {written}, by the law {want.written}")
    for op in plan.operations:
        if (op.first_sight == ("name",)) != (op.member in m.new):
            found.append(f"law 16: {op.member} counts as first sight of {op.first_sight}")
    for member in want.kept:
        base = plan.entity.links[member].bases["name"]
        if now is None or base.seq != now.seq or base.value != m.new[member]:
            found.append(f"{member} keeps its own form, but its base is {base}")
    noted = {n.member for n in plan.notes if n.values.get("name") is not None}
    if noted != want.lost | want.kept:
        found.append(f"noted are values of {noted}, by the law {want.lost | want.kept}")
    if plan.cases and {x: k.bases for x, k in plan.entity.links.items() if x in m.new and k.bases}:
        found.append("a base moved under an open question")
    return found
