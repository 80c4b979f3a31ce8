"""Times: who is newest (S55), and a deleted id that is back (law 12)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from law.mutants import broken, caught
from law.small import QUICK

from syncd.core.model import Link, LinkState, Record
from syncd.core.policy import Rival, choose
from syncd.core.reappear import Return, judge
from syncd.core.rules import Policy

DAY = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
SECONDS = st.sampled_from((0.0, 0.5, 0.75, 1.0, 2.0, 2.25, 3600.0, 90_000.0))
TOLERANCES = st.sampled_from((0.0, 1.0, 2.0, 3600.0))


def stamp(after: float) -> str:
    return (DAY + timedelta(seconds=after)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# newest


@dataclass(frozen=True)
class Race:
    """One rival a time (seconds after noon; None = unknown)."""

    times: tuple[float | None, ...]
    tolerance: float
    fallback: tuple[str, ...]


RACES = st.builds(
    Race,
    st.lists(st.one_of(st.none(), SECONDS, SECONDS, SECONDS), min_size=2, max_size=4).map(tuple),
    TOLERANCES,
    st.sampled_from(((), ("m1",), ("m9", "m0"))),
)
Chooser = Callable[..., tuple[Rival, Policy] | None]


def check_race(race: Race, chooser: Chooser = choose) -> None:
    """Later than each rival by more than the tolerance; else the fallback; else nobody."""
    rivals = [
        Rival({"name": n}, n, (f"m{n}",), at=None if t is None else stamp(t))
        for n, t in enumerate(race.times)
    ]
    policies = [Policy("newest")]
    if race.fallback:
        policies.append(Policy("prefer", race.fallback))
    winner: int | None = None
    if None not in race.times:
        for n, mine in enumerate(race.times):
            others = [t for k, t in enumerate(race.times) if k != n]
            if all(mine - t > race.tolerance for t in others):  # type: ignore[operator]
                winner = n
    by = "newest"
    if winner is None:
        ranked = [int(m[1]) for m in race.fallback if int(m[1]) < len(rivals)]
        winner, by = (ranked[0] if ranked else None), "prefer"
    for order in (rivals, rivals[::-1]):
        found = chooser(policies, order, race.tolerance)
        got = None if found is None else (found[0].same, found[1].kind)
        assert got == (None if winner is None else (winner, by))


@QUICK
@given(RACES)
def test_s55_newest(race: Race) -> None:
    check_race(race)


def at_the_tolerance(policies: Any, rivals: Any, tolerance: float) -> Any:
    return choose(policies, rivals, tolerance - 0.25)


def unknown_is_the_epoch(policies: Any, rivals: Any, tolerance: float) -> Any:
    epoch = "1970-01-01T00:00:00.000000Z"
    known = [replace(r, at=r.at or epoch) for r in rivals]
    return choose(policies, known, tolerance)


def whole_seconds(policies: Any, rivals: Any, tolerance: float) -> Any:
    cut = [replace(r, at=r.at and r.at[:19] + "Z") for r in rivals]
    return choose(policies, cut, tolerance)


def no_fallback(policies: Any, rivals: Any, tolerance: float) -> Any:
    return choose(policies[:1], rivals, tolerance)


@pytest.mark.parametrize(
    "mutant",
    [at_the_tolerance, unknown_is_the_epoch, whole_seconds, no_fallback],
    ids=lambda mutant: mutant.__name__,
)
def test_the_check_of_newest_catches(mutant: Chooser) -> None:
    assert caught(RACES, broken(lambda race: check_race(race, mutant)))


# a deleted id that is back


@dataclass(frozen=True)
class Back:
    """gone, back: (creation mark, version, modified) of the tombstone and of what stands there;
    known: the tombstone's time is that of our own write or of an edit; waited: seconds since."""

    gone: tuple[str | None, str | None, float | None]
    back: tuple[str | None, str | None, float | None]
    ours: bool
    waited: float
    grace: float


NUMBERS = ("1", "2", "10")
WALLS = ("2026-05-04 09:00:00+02", "2026-05-04T08:00:00Z")  # the second is the later one
MARKS = st.tuples(
    st.sampled_from((None, "m", "m", "n")),
    st.sampled_from((None, *NUMBERS, *WALLS, "x7", "a9")),
    st.one_of(st.none(), SECONDS),
)
BACKS = st.builds(Back, MARKS, MARKS, st.booleans(), SECONDS, TOLERANCES)
Judge = Callable[..., Return]


def check_back(case: Back, judged: Judge = judge) -> None:
    """Another mark: new. The same mark: newer is restored, else stale. No marks, or nothing that
    tells newer: suppressed for the grace, then a person is asked."""
    (mark, version, time), (its_mark, its_version, its_time) = case.gone, case.back
    said = None if time is None else stamp(time)
    tomb = Link(
        "a",
        "a1",
        LinkState.GONE,
        version=version,
        created=mark,
        own_time=said if case.ours else None,
        edited=None if case.ours else said,
    )
    record = Record("a1", {}, its_version, None if its_time is None else stamp(its_time), its_mark)
    asked = Return.STALE if case.waited < case.grace else Return.REVIEW
    if mark is None or its_mark is None:
        wanted = asked
    elif mark != its_mark:
        wanted = Return.NEW
    else:
        later = newer(case)
        wanted = asked if later is None else Return.RESTORED if later else Return.STALE
    now = DAY + timedelta(seconds=case.waited)
    assert judged(tomb, stamp(0), record, now, case.grace) is wanted


def newer(case: Back) -> bool | None:
    """Only a later version or a later time is newer. Versions that are no numbers and no times
    are told apart, not ordered: then the time has to say it."""
    (_, version, time), (_, its_version, its_time) = case.gone, case.back
    if None not in (version, its_version):
        if version == its_version:
            return False
        for ranks in (NUMBERS, WALLS):
            if version in ranks and its_version in ranks:
                return ranks.index(its_version) > ranks.index(version)
    return its_time > time if time is not None and its_time is not None else None


@QUICK
@given(BACKS)
def test_s21_s34_s35_f45_a_deleted_id_is_back(case: Back) -> None:
    check_back(case)


def marks_ignored(gone: Link, at: str, record: Record, now: datetime, grace: float) -> Return:
    return judge(replace(gone, created=record.created), at, record, now, grace)


def grace_ignored(gone: Link, at: str, record: Record, now: datetime, grace: float) -> Return:
    return judge(gone, at, record, now, 0.0)


def always_restored(gone: Link, at: str, record: Record, now: datetime, grace: float) -> Return:
    found = judge(gone, at, record, now, grace)
    return Return.RESTORED if found is Return.STALE else found


def version_ignored(gone: Link, at: str, record: Record, now: datetime, grace: float) -> Return:
    return judge(replace(gone, version=None), at, record, now, grace)


def another_is_newer(gone: Link, at: str, record: Record, now: datetime, grace: float) -> Return:
    """Any other version is taken for a later one."""
    found = judge(gone, at, record, now, grace)
    marks = (gone.created, gone.version, record.created, record.version)
    other = None not in marks and gone.version != record.version and found is not Return.NEW
    return Return.RESTORED if other else found


@pytest.mark.parametrize(
    "mutant",
    [marks_ignored, grace_ignored, always_restored, version_ignored, another_is_newer],
    ids=lambda mutant: mutant.__name__,
)
def test_the_check_of_returns_catches(mutant: Judge) -> None:
    assert caught(BACKS, broken(lambda case: check_back(case, mutant)))
