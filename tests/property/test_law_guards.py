"""Guards (law 16): which plan is stopped, worked out from lists of single effects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from law.mutants import broken, caught
from law.small import BOTH, QUICK, flow

from syncd.core import guard
from syncd.core.guard import KINDS, Measure, Trip, count, trips
from syncd.core.model import Operation, OpKind
from syncd.core.rules import FlowRules, GuardLimit

FIELDS = ("name", "city")
LIMITS = st.builds(
    GuardLimit,
    st.sampled_from((None, 0, 1, 3, 10, 12)),
    st.sampled_from((None, 0.0, 5.0, 12.5, 50.0, 100.0)),
)


@dataclass(frozen=True)
class Morning:
    """planned and past: operations of this plan, and of earlier runs within the window."""

    rules: FlowRules
    planned: list[Operation]
    past: list[Operation]
    live: dict[str, int]


@st.composite
def operations(draw: st.DrawFn, *, most: int) -> list[Operation]:
    """A few different ones, each many times: limits are about numbers."""
    found = []
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(st.sampled_from(list(OpKind)))
        updates = kind is OpKind.UPDATE
        one = Operation(
            draw(st.sampled_from("bc")),
            kind,
            "k",
            dict.fromkeys(FIELDS),
            {},
            {},
            cause=draw(st.sampled_from(("a", "a", "b", ""))),
            blanks=("name",) if updates and draw(st.booleans()) else (),
            first_sight=draw(st.sampled_from(((), ("name",), FIELDS))) if updates else (),
            rebase=updates and draw(st.booleans()),
        )
        found += [one] * draw(st.integers(0, most))
        # the same at the other target, where that many may be no matter
        other = replace(one, member="c" if one.member == "b" else "b")
        found += [other] * draw(st.sampled_from((0, 0, 1, most)))
    return found


@st.composite
def mornings(draw: st.DrawFn) -> Morning:
    limits = draw(st.dictionaries(st.sampled_from(KINDS), LIMITS))
    rules = replace(flow(BOTH), guards=limits, guard_floor=draw(st.sampled_from((1, 2, 10))))
    live = draw(st.fixed_dictionaries({}, optional=dict.fromkeys("bc", st.integers(0, 60))))
    return Morning(rules, draw(operations(most=8)), draw(operations(most=5)), live)


def effects(operation: Operation) -> list[str]:
    """What one operation counts as; each kind has a limit of its own."""
    if operation.kind is OpKind.CREATE:
        return ["create"]
    if operation.kind is not OpKind.UPDATE:
        return ["delete"]
    found = ["rebase"] * operation.rebase
    if not operation.rebase and set(operation.fields) - set(operation.first_sight):
        found.append("update")  # first sight alone is no edit
    found += ["blanking"] * bool(operation.blanks)
    return found + ["first-sight"] * bool(operation.first_sight)


def passed(morning: Morning) -> set[Measure]:
    """By law: per kind, causing member and target; past and planned together; above the count, or
    above the share of the target's live links where the number is above the floor."""
    found = set()
    for member in "bc":
        for cause in ("a", "b", ""):
            for kind in KINDS:
                limit = morning.rules.guards.get(kind)
                every = [
                    [e for o in ops if (o.member, o.cause) == (member, cause) for e in effects(o)]
                    for ops in (morning.planned, morning.past)
                ]
                now, before = (one.count(kind) for one in every)
                links = morning.live.get(member, 0)
                if limit is None or not now or (kind == "create" and not links):
                    continue
                total = now + before
                over = limit.count is not None and total > limit.count
                if limit.percent is not None and total > morning.rules.guard_floor:
                    allowed = Fraction(limit.percent) * links / 100
                    over = over or total > allowed
                if over:
                    found.add((kind, cause, member))
    return found


def stopped(morning: Morning) -> set[Measure]:
    """By law: a hold takes the operations of that kind from that cause, at whatever target."""
    over = {(kind, cause) for kind, cause, _ in passed(morning)}
    planned = {(e, o.cause, o.member) for o in morning.planned for e in effects(o)}
    return {measure for measure in planned if measure[:2] in over}


Guard = Callable[[Morning], list[Trip]]


def real(morning: Morning) -> list[Trip]:
    planned, window = count(morning.planned), count(morning.past)
    return trips(morning.rules, planned, window, morning.live)


def check(morning: Morning, guarded: Guard = real) -> None:
    found = {(t.kind, t.cause, t.target): t for t in guarded(morning)}
    assert set(found) == stopped(morning)
    over = passed(morning)
    for (kind, cause, member), trip in found.items():
        mine = [o for o in morning.planned if (o.member, o.cause) == (member, cause)]
        assert trip.taken == sum(effects(o).count(kind) for o in mine)
        if (kind, cause, member) in over:
            assert str(trip.taken + trip.before) in trip.reason, "says how many"
        else:
            assert (kind, cause, trip.along) in over, "says where the limit was passed"
            assert trip.along in trip.reason


@QUICK
@given(mornings())
def test_guards_stop_what_the_law_says(morning: Morning) -> None:
    """I9, S29: off by one, floor, window, share of the target's links."""
    check(morning)


@pytest.mark.parametrize(("before", "trips_"), [(19, False), (20, True)])
def test_s76_single_deletes_of_many_runs_add_up(before: int, trips_: bool) -> None:
    """One delete a run: the guard looks at the window, not at the run."""
    rules = replace(flow(BOTH), guards={"delete": GuardLimit(20, None)})
    one = Operation("b", OpKind.DELETE, "k", {}, {}, {}, cause="a")
    assert bool(real(Morning(rules, [one], [one] * before, {"b": 10_000}))) is trips_


def test_s30_another_cause_and_another_kind_go_on() -> None:
    """S30: unrelated to a's deletions are what b deletes, and what a edits. What a deletes at
    another target is not: "a hold takes the operations of that kind from that cause", there is one
    hold for both, and in the runs after, while it is open, it always took them at every target; so
    to let them through in the very run that trips would send out half of a mass deletion (I9)."""
    rules = replace(flow(BOTH), guards={"delete": GuardLimit(2, None)})
    many = [Operation("b", OpKind.DELETE, "k", {}, {}, {}, cause="a")] * 3
    few = [Operation("c", OpKind.DELETE, "k", {}, {}, {}, cause="a")] * 2
    others = [Operation("c", OpKind.DELETE, "k", {}, {}, {}, cause="b")] * 2
    edits = [Operation("c", OpKind.UPDATE, "k", {"name": "N"}, {}, {}, cause="a")] * 9
    found = real(Morning(rules, [*few, *many, *others, *edits], [], {"b": 9, "c": 9}))
    assert [(t.kind, t.cause, t.target, t.along) for t in found] == [
        ("delete", "a", "b", ""),
        ("delete", "a", "c", "b"),
    ]


def reached(morning: Morning) -> list[Trip]:
    """Trips at the limit instead of above it."""
    lower = {
        kind: GuardLimit(None if g.count is None else g.count - 1, g.percent)
        for kind, g in morning.rules.guards.items()
    }
    return real(replace(morning, rules=replace(morning.rules, guards=lower)))


def no_window(morning: Morning) -> list[Trip]:
    return real(replace(morning, past=[]))


def no_floor(morning: Morning) -> list[Trip]:
    return real(replace(morning, rules=replace(morning.rules, guard_floor=-1)))


def floor_reached(morning: Morning) -> list[Trip]:
    floor = morning.rules.guard_floor - 1
    return real(replace(morning, rules=replace(morning.rules, guard_floor=floor)))


def share_of_all(morning: Morning) -> list[Trip]:
    """Percent of all members' links."""
    total = sum(morning.live.values())
    return real(replace(morning, live={m: total if n else 0 for m, n in morning.live.items()}))


def causes_together(morning: Morning) -> list[Trip]:
    one = [[replace(o, cause="a") for o in ops] for ops in (morning.planned, morning.past)]
    return real(replace(morning, planned=one[0], past=one[1]))


def other_targets_go_on(morning: Morning) -> list[Trip]:
    return [t for t in real(morning) if not t.along]


def blankings_uncounted(morning: Morning) -> list[Trip]:
    return [t for t in real(morning) if t.kind != "blanking"]


MUTANTS: list[Any] = [
    reached,
    no_window,
    no_floor,
    floor_reached,
    share_of_all,
    causes_together,
    other_targets_go_on,
    blankings_uncounted,
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_the_check_catches(mutant: Guard) -> None:
    assert caught(mornings(), broken(lambda m: check(m, mutant)))


def test_every_kind_an_operation_counts_as_is_known() -> None:
    assert set(KINDS) >= {k for kind in OpKind for k in guard.kinds(_of(kind))}


def _of(kind: OpKind) -> Operation:
    return Operation("b", kind, "k", {}, {}, {}, blanks=("name",), first_sight=("name",))
