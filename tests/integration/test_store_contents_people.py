"""What people see and decide: cases, holds, quarantine; and what they can ask about later."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine
from store_contents import AT, LATER, MEMBERS, engine, flow, names, saves, scratch, texts, times
from store_contents import values as any_value

from syncd.core.model import Candidate, Case, CaseKind, Choice, Entity
from syncd.errors import ConfigError
from syncd.store import conflicts, events, holds, quarantine, runs, shadow
from syncd.store.conflicts import Answer
from syncd.store.events import Event
from syncd.store.holds import HoldItem, ItemState
from syncd.store.moments import Moment
from syncd.store.quarantine import QuarantineState, Refused
from syncd.store.runs import GuardCount, RunState

lawful = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(params=["sqlite", "postgresql"])
def db(request: pytest.FixtureRequest, fresh_db: Callable[[str], str]) -> Iterator[Engine]:
    made = engine(fresh_db(request.param))
    yield made
    made.dispose()


@pytest.fixture
def conn(db: Engine) -> Iterator[Connection]:
    with scratch(db) as open_conn:
        yield open_conn


def phone_case(digest: str = "d1", **other: object) -> Case:
    candidates = (
        Candidate("crm", {"phone": "1"}, key="a1", at=AT),
        Candidate("erp", {"phone": "2"}, key="b1", seq=3),
    )
    case = Case(CaseKind.FIELD, ("phone",), candidates, "two edits", digest)
    return replace(case, **other)  # type: ignore[arg-type]


def entity(conn: Connection, number: int) -> int:
    (i,) = shadow.save_entities(conn, number, saves(Entity(0)), run=1, at=AT)
    return i


def work(conn: Connection, number: int) -> list[int]:
    return [i for block in shadow.open_work(conn, number) for i in block]


# --- cases ---------------------------------------------------------------------------------

fields = st.dictionaries(names, any_value, max_size=3)
candidates = st.builds(
    Candidate,
    source=st.sampled_from(["agreed", *MEMBERS]),
    values=st.none() | fields,
    key=st.none() | texts,
    seq=st.integers(0, 9),
    at=times,
)
cases = st.builds(
    Case,
    kind=st.sampled_from(CaseKind),
    fields=st.lists(names, max_size=3).map(tuple),
    candidates=st.lists(candidates, max_size=3).map(tuple),
    reason=texts,
    digest=texts,
    member=st.none() | st.sampled_from(MEMBERS),
)


@lawful
@given(one=cases)
def test_a_case_is_shown_as_it_was_found(db: Engine, one: Case) -> None:
    with scratch(db) as conn:
        number = flow(conn)
        (i,) = conflicts.sync_cases(conn, number, {7: [one]}, run=4, at=AT)
        stored = conflicts.StoredCase(i, number, 7, one, conflicts.OPEN, AT, 4, 4)
        assert conflicts.case(conn, i) == stored
        assert conflicts.open_cases(conn, number) == [stored]


def test_s3_a_rerun_adds_no_case_and_one_that_is_none_closes_itself(conn: Connection) -> None:
    number = flow(conn)
    found = {7: [phone_case(), phone_case("d2")], 8: [phone_case()]}
    opened = conflicts.sync_cases(conn, number, found, run=1, at=AT)
    assert len(opened) == 3
    assert conflicts.sync_cases(conn, number, found, run=2, at=LATER) == []
    assert [(c.id, c.opened_run, c.seen_run) for c in conflicts.open_cases(conn, number)] == [
        (i, 1, 2) for i in opened
    ]
    conflicts.sync_cases(conn, number, {7: [phone_case("d2")]}, run=3, at=LATER)
    assert [c.id for c in conflicts.open_cases(conn, number)] == opened[1:]
    closed = conflicts.case(conn, opened[0])
    assert closed is not None
    assert (closed.state, closed.closed_run) == (conflicts.CLOSED, 3)
    # The same conflict coming back is a new case.
    assert len(conflicts.sync_cases(conn, number, found, run=4, at=LATER)) == 1


def test_an_entity_knows_its_open_cases(conn: Connection) -> None:
    number = flow(conn)
    i = entity(conn, number)
    both = (phone_case(), phone_case("d2", candidates=()))
    one, *_ = conflicts.sync_cases(conn, number, {i: both, 99: [phone_case()]}, run=1, at=AT)
    conflicts.decide(conn, one, "d1", Answer(Choice.TAKE, "ann", source="crm"), at=AT)
    (loaded,) = shadow.load_entities(conn, number, [i])
    assert loaded.cases == both
    assert conflicts.cases_of(conn, number, [i, 98]) == {i: both}
    conflicts.sync_cases(conn, number, {i: both[1:]}, run=2, at=AT)
    (loaded,) = shadow.load_entities(conn, number, [i])
    assert loaded.cases == both[1:]


def test_s12_cases_are_filtered(conn: Connection) -> None:
    number, other = flow(conn), flow(conn, "orders")
    odd = phone_case("d2", fields=("100%", "a_b"), kind=CaseKind.FIRST)
    one, two = conflicts.sync_cases(conn, number, {7: [phone_case(), odd]}, run=1, at=AT)
    (three,) = conflicts.sync_cases(conn, other, {9: [phone_case()]}, run=1, at=AT)

    def ids(**filters: object) -> list[int]:
        return [c.id for c in conflicts.open_cases(conn, **filters)]  # type: ignore[arg-type]

    assert ids() == [one, two, three]
    assert ids(flow=other) == [three]
    assert ids(kind=CaseKind.FIRST) == [two]
    assert ids(entity=7, limit=1) == [one]
    assert ids(after=one) == [two, three]
    assert ids(field="phone") == [one, three]
    assert ids(field="hone") == ids(field="axb") == ids(field="100x") == []
    assert ids(field="100%") == ids(field="a_b") == [two]


def test_cases_of_no_entity_close_only_after_a_run_that_looked_at_all(conn: Connection) -> None:
    number = flow(conn)
    identity = phone_case(kind=CaseKind.IDENTITY)
    none = conflicts.NO_ENTITY
    (one,) = conflicts.sync_cases(conn, number, {none: [identity]}, run=1, at=AT)
    (two,) = conflicts.sync_cases(
        conn, number, {none: [replace(identity, digest="d2")]}, run=2, at=AT
    )
    assert [c.id for c in conflicts.open_cases(conn, number)] == [one, two]
    assert conflicts.close_unseen(conn, number, run=2) == 1
    assert [c.id for c in conflicts.open_cases(conn, number)] == [two]


def test_a_decision_waits_for_the_next_run_and_closes_its_case(conn: Connection) -> None:
    number = flow(conn)
    i = entity(conn, number)
    (c,) = conflicts.sync_cases(conn, number, {i: [phone_case()]}, run=1, at=AT)
    assert work(conn, number) == []
    first = conflicts.decide(conn, c, "d1", Answer(Choice.TAKE, "ann", source="crm"), at=AT)
    typed = Answer(Choice.VALUE, "bob", values={"phone": None}, note="called them")
    second = conflicts.decide(conn, c, "d1", typed, at=LATER)
    assert work(conn, number) == [i]
    assert conflicts.pending_decisions(conn, number, [i, 99]) == {i: [second]}
    assert list(conflicts.decided_entities(conn, number)) == [[i]]
    assert (second.values, second.by) == ({"phone": None}, "bob")
    assert conflicts.open_cases(conn, number, state=conflicts.OPEN) == []

    conflicts.use(conn, [second.id], run=2)
    conflicts.sync_cases(conn, number, {i: []}, run=2, at=LATER)
    taken = [(d.decision.id, d.state) for d in conflicts.decisions_of(conn, c)]
    assert taken == [(first.id, conflicts.VOID), (second.id, conflicts.USED)]
    stored = conflicts.case(conn, c)
    assert stored is not None
    assert (stored.state, stored.closed_run) == (conflicts.CLOSED, 2)
    assert conflicts.pending_decisions(conn, number, [i]) == {}


def test_a_decision_that_must_wait_keeps_its_case_decided(conn: Connection) -> None:
    number = flow(conn)
    i = entity(conn, number)
    (c,) = conflicts.sync_cases(conn, number, {i: [phone_case()]}, run=1, at=AT)
    made = conflicts.decide(conn, c, "d1", Answer(Choice.TAKE, "ann", source="crm"), at=AT)
    conflicts.sync_cases(conn, number, {i: [phone_case()]}, run=2, at=AT)
    (stored,) = conflicts.open_cases(conn, number)
    assert stored.state == conflicts.DECIDED
    conflicts.void(conn, [made.id])
    (stored,) = conflicts.open_cases(conn, number)
    assert stored.state == conflicts.OPEN


def test_s4_f71_a_decision_on_a_record_that_moved_is_refused_or_void(conn: Connection) -> None:
    number = flow(conn)
    i = entity(conn, number)
    (c,) = conflicts.sync_cases(conn, number, {i: [phone_case()]}, run=1, at=AT)
    take = Answer(Choice.TAKE, "ann", source="crm")
    with pytest.raises(ConfigError) as moved:
        conflicts.decide(conn, c, "d0", take, at=AT)
    assert moved.value.code == "SY0194"

    conflicts.decide(conn, c, "d1", take, at=AT)
    (again,) = conflicts.sync_cases(conn, number, {i: [phone_case("d9")]}, run=2, at=LATER)
    assert conflicts.pending_decisions(conn, number, [i]) == {}
    assert [d.state for d in conflicts.decisions_of(conn, c)] == [conflicts.VOID]
    assert [s.id for s in conflicts.open_cases(conn, number)] == [again]
    with pytest.raises(ConfigError) as closed:
        conflicts.decide(conn, c, "d1", take, at=LATER)
    assert closed.value.code == "SY0193"
    with pytest.raises(ConfigError) as unknown:
        conflicts.decide(conn, 999, "d1", take, at=LATER)
    assert unknown.value.code == "SY0192"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(Choice.TAKE, "ann"),
        Answer(Choice.TAKE, "ann", source="shop"),
        Answer(Choice.VALUE, "ann"),
        Answer(Choice.VALUE, "ann", values={"phone": "3", "name": "x"}),
    ],
)
def test_an_answer_must_fit_its_case(conn: Connection, answer: Answer) -> None:
    number = flow(conn)
    (c,) = conflicts.sync_cases(conn, number, {7: [phone_case()]}, run=1, at=AT)
    with pytest.raises(ConfigError) as caught:
        conflicts.decide(conn, c, "d1", answer, at=AT)
    assert caught.value.code == "SY0195"
    assert [s.state for s in conflicts.open_cases(conn, number)] == [conflicts.OPEN]


# --- holds ---------------------------------------------------------------------------------


def held(*entities: int, digest: str = "x", member: str = "erp") -> list[HoldItem]:
    return [HoldItem(e, member, f"{digest}{e}", f"k{e}", {"name": "Ann"}) for e in entities]


def hold(conn: Connection, number: int, items: list[HoldItem], run: int = 1) -> int:
    return holds.add(conn, number, "delete", "crm", items, run=run, at=AT, reason="5 % of 20")


def states(conn: Connection, hold_id: int) -> dict[tuple[int, str], str]:
    return {(i.entity, i.op_digest): i.state.value for i in holds.items(conn, hold_id)}


def test_creates_held_come_in_blocks_and_in_any_order_make_one_digest(conn: Connection) -> None:
    number = flow(conn)
    new = [HoldItem(0, "erp", f"{n:04}", None, {"n": n}) for n in range(1500)]
    one = hold(conn, number, new)
    blocks = list(holds.waiting_of_none(conn, number))
    assert [len(block) for block in blocks] == [1000, 500]
    assert [item.op_digest for block in blocks for item in block] == [i.op_digest for i in new]
    other = holds.add(conn, number, "create", "shop", new[700:], run=1, at=AT, reason="")
    holds.add(conn, number, "create", "shop", new[:900], run=1, at=AT, reason="")
    first, second = holds.hold(conn, one), holds.hold(conn, other)
    assert first is not None and second is not None
    assert first.digest == second.digest
    holds.settle(conn, [replace(item, hold=one) for item in new[:5]], ItemState.MOVED, at=AT)
    fewer = holds.hold(conn, one)
    assert fewer is not None and fewer.digest != first.digest
    holds.add(conn, number, fewer.kind, fewer.cause, new[:5], run=2, at=AT, reason="")
    assert holds.hold(conn, one) == replace(first, reason=fewer.reason)


def test_s29_one_hold_a_flow_cause_and_kind_grows_with_later_runs(conn: Connection) -> None:
    number = flow(conn)
    one = hold(conn, number, held(1, 2))
    first = holds.hold(conn, one)
    assert hold(conn, number, held(2, 3), run=2) == one
    other = holds.add(conn, number, "update", "crm", held(4), run=2, at=AT, reason="")
    assert other != one
    assert [(i.entity, i.added_run) for i in holds.items(conn, one)] == [(1, 1), (2, 1), (3, 2)]
    assert [h.id for h in holds.holds(conn, number)] == [one, other]
    grown = holds.hold(conn, one)
    assert first is not None
    assert grown is not None
    assert first.digest != grown.digest
    with pytest.raises(ConfigError) as caught:
        holds.approve(conn, one, first.digest, by="ann", at=LATER)
    assert caught.value.code == "SY0198"


def test_s29_s77_approval_binds_to_the_operations_listed(conn: Connection) -> None:
    number = flow(conn)
    ids = [entity(conn, number) for _ in range(4)]
    one = hold(conn, number, held(*ids[:3]))
    shown = holds.hold(conn, one)
    assert shown is not None
    assert holds.approve(conn, one, shown.digest, by="ann", at=LATER) == 3
    assert work(conn, number) == ids[:3]
    two = hold(conn, number, held(ids[3]), run=2)
    assert two != one

    waiting = holds.waiting(conn, number, ids)
    assert {e: [i.state for i in found] for e, found in waiting.items()} == {
        ids[0]: [ItemState.APPROVED],
        ids[1]: [ItemState.APPROVED],
        ids[2]: [ItemState.APPROVED],
        ids[3]: [ItemState.HELD],
    }
    holds.settle(conn, [*waiting[ids[0]], *waiting[ids[1]]], ItemState.DONE, at=LATER)
    open_still = holds.hold(conn, one)
    assert open_still is not None
    assert open_still.state == holds.APPROVED
    holds.settle(conn, waiting[ids[2]], ItemState.MOVED, at=LATER)
    closed = holds.hold(conn, one)
    assert closed is not None
    assert (closed.state, closed.by, closed.closed_at) == (holds.CLOSED, "ann", LATER)
    assert holds.counts(conn, one) == {ItemState.DONE: 2, ItemState.MOVED: 1}
    assert list(holds.waiting(conn, number, ids)) == [ids[3]]
    assert list(holds.waiting_entities(conn, number)) == [[ids[3]]]
    with pytest.raises(ConfigError) as caught:
        holds.approve(conn, one, shown.digest, by="ann", at=LATER)
    assert caught.value.code == "SY0197"


def test_an_operation_that_changed_takes_the_place_of_the_one_held(conn: Connection) -> None:
    number = flow(conn)
    one = hold(conn, number, held(1, 2))
    hold(conn, number, held(1, digest="y"), run=2)
    expected = {(1, "x1"): "moved", (1, "y1"): "held", (2, "x2"): "held"}
    assert states(conn, one) == expected
    hold(conn, number, held(1), run=3)
    assert states(conn, one) == {(1, "x1"): "held", (1, "y1"): "moved", (2, "x2"): "held"}


def test_held_creates_of_entities_not_stored_yet_stand_beside_each_other(conn: Connection) -> None:
    number = flow(conn)
    one = hold(conn, number, held(0, digest="x") + held(0, digest="y"))
    hold(conn, number, held(0, digest="z"), run=2)
    assert states(conn, one) == {(0, "x0"): "held", (0, "y0"): "held", (0, "z0"): "held"}


@pytest.mark.parametrize(("revert", "state"), [(False, "excused"), (True, "reverted")])
def test_discarding_says_in_which_way(conn: Connection, revert: bool, state: str) -> None:
    number = flow(conn)
    i = entity(conn, number)
    one = hold(conn, number, held(i))
    shown = holds.hold(conn, one)
    assert shown is not None
    holds.discard(conn, one, shown.digest, by="ann", at=LATER, revert=revert)
    assert states(conn, one) == {(i, f"x{i}"): state}
    assert work(conn, number) == [i]
    holds.settle(conn, holds.waiting(conn, number, [i])[i], ItemState.DONE, at=LATER)
    assert holds.holds(conn, number) == []
    assert [h.state for h in holds.holds(conn, number, state=None)] == [holds.CLOSED]
    with pytest.raises(ConfigError) as caught:
        holds.discard(conn, 999, "", by="ann", at=LATER)
    assert caught.value.code == "SY0196"


def test_a_hold_whose_items_all_moved_closes(conn: Connection) -> None:
    number = flow(conn)
    one = hold(conn, number, held(1))
    holds.settle(conn, holds.waiting(conn, number, [1])[1], ItemState.MOVED, at=LATER)
    closed = holds.hold(conn, one)
    assert closed is not None
    assert closed.state == holds.CLOSED


# --- quarantine ----------------------------------------------------------------------------


def test_s47_a_refused_operation_is_counted_and_another_one_begins_anew(conn: Connection) -> None:
    number = flow(conn)
    first = Refused(7, "erp", "x", "too long", "k7", LATER)
    quarantine.put(conn, number, [first, replace(first, member="shop", next_at=None)], at=AT)
    quarantine.put(conn, number, [replace(first, error="still too long")], at=LATER)
    found = quarantine.blocked(conn, number, [7, 8])
    erp = found[7, "erp"]
    assert (erp.attempts, erp.first_at, erp.last_at) == (2, AT, LATER)
    assert erp.refused == replace(first, error="still too long")
    assert found[7, "shop"].attempts == 1
    assert list(quarantine.due(conn, number, now=AT)) == []
    assert list(quarantine.due(conn, number, now=LATER)) == [[7]]

    quarantine.put(conn, number, [replace(first, op_digest="y")], at=LATER)
    again = quarantine.blocked(conn, number, [7])[7, "erp"]
    assert (again.id, again.attempts, again.first_at) == (erp.id, 1, LATER)

    quarantine.solve(conn, number, [(7, "erp"), (8, "shop")])
    assert [q.refused.member for q in quarantine.quarantined(conn, number)] == ["shop"]


def test_a_person_retries_or_drops(conn: Connection) -> None:
    number = flow(conn)
    i, j = entity(conn, number), entity(conn, number)
    quarantine.put(conn, number, [Refused(e, "erp", "x", "no") for e in (i, j)], at=AT)
    one, two = quarantine.quarantined(conn, number)
    quarantine.retry(conn, one.id)
    quarantine.drop(conn, two.id)
    assert work(conn, number) == [i, j]
    assert list(quarantine.due(conn, number, now=AT)) == [[i]]
    assert [q.id for q in quarantine.quarantined(conn, number)] == [one.id]
    found = quarantine.blocked(conn, number, [i, j])
    assert found[i, "erp"].state is QuarantineState.RETRY
    assert found[j, "erp"].state is QuarantineState.DROPPED
    quarantine.put(conn, number, [Refused(j, "erp", "y", "no again")], at=LATER)
    assert quarantine.blocked(conn, number, [j])[j, "erp"].state is QuarantineState.OPEN
    with pytest.raises(ConfigError) as caught:
        quarantine.retry(conn, 999)
    assert caught.value.code == "SY0199"


# --- runs, guards, audit -------------------------------------------------------------------


def test_runs_are_remembered_and_dead_ones_are_called_so(conn: Connection) -> None:
    number, other = flow(conn), flow(conn, "orders")
    one = runs.start(conn, number, "full", at=AT, holder="host 1")
    two = runs.start(conn, number, "entity", at=AT, holder="host 2")
    three = runs.start(conn, other, "full", at=AT, holder="host 3")
    runs.finish(conn, one, RunState.DONE, at=LATER, counts={"updates": 3}, exit=0)
    assert runs.interrupt(conn, number, at=LATER, but=[two]) == []
    assert runs.interrupt(conn, number, at=LATER) == [two]
    done = runs.run(conn, one)
    assert done == runs.Run(
        one, number, "full", RunState.DONE, AT, LATER, {"updates": 3}, "", 0, "host 1"
    )
    assert [(r.id, r.state) for r in runs.runs(conn)] == [
        (three, RunState.RUNNING),
        (two, RunState.INTERRUPTED),
        (one, RunState.DONE),
    ]
    assert [r.id for r in runs.runs(conn, number, limit=1)] == [two]
    assert runs.run(conn, 999) is None


def test_s76_f37_guards_count_over_all_runs_of_the_window(conn: Connection) -> None:
    """Within a boot by its own clock, whatever the wall clock says; across boots by that one."""
    number = flow(conn)
    early, late = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)

    def count(run: int, ms: int, n: int, kind: str = "delete", boot: str = "b") -> None:
        told = [GuardCount(kind, "crm", "erp", n)] * 2
        runs.count(conn, number, run, told, now=Moment(boot, ms, early))

    def window(ms: int, at: datetime, boot: str = "b") -> dict[str, int]:
        found = runs.window(conn, number, Moment(boot, ms, at), 60.0)
        return {kind: n for (kind, _, _), n in found.items()}

    count(1, 1_000, 1)
    count(1, 1_000, 1)
    count(2, 50_000, 2)
    count(2, 50_000, 3, "update")
    runs.count(
        conn, flow(conn, "orders"), 6, [GuardCount("delete", "x", "y", 9)],
        now=Moment("b", 50_000, early),
    )  # fmt: skip
    everything = {"delete": 8, "update": 6}
    assert window(61_000, early) == window(61_000, late) == everything
    assert window(61_001, early) == {"delete": 4, "update": 6}
    assert window(1, early + timedelta(seconds=60), "later boot") == everything
    assert window(1, early - timedelta(days=9), "later boot") == everything
    assert window(1, early + timedelta(seconds=61), "later boot") == {}
    runs.forget_counts(conn, number, Moment("later boot", 1, late), 60.0)
    assert window(61_000, early) == everything
    runs.forget_counts(conn, number, Moment("b", 61_001, early), 60.0)
    assert window(61_000, early) == {"delete": 4, "update": 6}
    runs.forget_counts(conn, number, Moment("later boot", 1, late + timedelta(days=30)), 60.0)
    assert window(61_000, early) == {}


audits = st.builds(
    Event,
    run=st.just(1),
    at=st.just(AT),
    kind=st.sampled_from(["create", "lost", "decision"]),
    entity=st.integers(0, 3),
    member=st.none() | st.sampled_from(MEMBERS),
    key=st.none() | texts,
    op_id=st.none() | texts,
    before=st.none() | fields,
    after=st.none() | fields,
    cause=texts,
    reason=texts,
    outcome=texts,
    actor=texts,
)


@lawful
@given(many=st.lists(audits, max_size=5))
def test_i11_what_happened_is_told_as_it_happened(db: Engine, many: list[Event]) -> None:
    with scratch(db) as conn:
        number = flow(conn)
        events.record(conn, number, many)
        told = [e for block in events.of_run(conn, number, 1, size=2) for e in block]
        assert [replace(e, id=0) for e in told] == many
        assert events.of_entity(conn, number, 2) == [e for e in told if e.entity == 2]
        assert list(events.of_run(conn, number, 2)) == []
