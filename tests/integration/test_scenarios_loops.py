"""Scenarios of writes that go wrong on their way: S41, S43, S44, S46 to S49."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from faulty import Crash
from kinds import LOCAL
from world import Member, World, shown

from syncd import host
from syncd.adapter import Write
from syncd.core.model import CaseKind
from syncd.engine.result import RunState
from syncd.errors import FlowBusy, LeaseLost, Unreachable
from syncd.seams import Holder
from syncd.store import lease

Hook = Callable[[Sequence[Write]], None]

UNIQUE = Member(types={"email": "VARCHAR(200) UNIQUE"})
FAR = {"guard": {"creates": "off", "updates": "off", "deletes": "off"}}


def once(deed: Callable[[], Any]) -> Hook:
    """A hook that does its deed at the first batch only."""
    left = [deed]

    def hook(writes: Sequence[Write]) -> None:
        if left:
            left.pop()()

    return hook


def crash() -> None:
    raise Crash


def stranger() -> Holder:
    """Another process, of a container on the same machine."""
    return Holder("elsewhere", 7, f"{host.holder().boot}.9.2")


def ann_linked(world: World, b: Member = UNIQUE, **options: Any) -> tuple[Any, Any]:
    """Ann (and Zoe, so that nobody is alone) in a and in b, linked and in step; Ann's keys."""
    world.flow({"a": Member(), "b": b}, **options)
    keys = [world.add(m, email="ann@x.org", name="Ann", phone="1") for m in ("a", "b")]
    for member in ("a", "b"):
        world.add(member, email="zoe@x.org", name="Zoe", phone="0")
    assert world.run().state is RunState.DONE
    assert world.written == []
    return keys[0], keys[1]


# --- S41: the target moved between plan and write ------------------------------------------------


def test_s41_an_edit_between_plan_and_write_is_not_overwritten(world: World) -> None:
    """S41: b was edited after the plan was made; the precondition fails, the record is planned
    anew within the same run, and both edits are the candidates."""
    a, b = ann_linked(world)
    world.edit("a", a, phone="2")
    world.accidents["b"].before = once(lambda: world.edit("b", b, phone="9"))
    report = world.run()
    assert world.written == []
    assert report.members["b"].stale == 1
    assert shown(world.case(CaseKind.FIELD)) == {"b": {"phone": "9"}, "agreed": {"phone": "2"}}
    assert (world.rows("a")[a]["phone"], world.rows("b")[b]["phone"]) == ("2", "9")


@LOCAL
def test_s41_a_policy_settles_what_moved_in_the_same_run(world: World) -> None:
    """S41: replanned, the policy decides between the two edits, in the same run."""
    a, b = ann_linked(world, conflict="prefer:a")
    world.edit("a", a, phone="2")
    world.accidents["b"].before = once(lambda: world.edit("b", b, phone="9"))
    world.run()
    assert world.written == [("b", "update")]
    assert world.rows("b")[b]["phone"] == "2"
    world.quiet()


def test_s41_a_version_column_notices_any_edit(world: World) -> None:
    """S41: with a version column an edit of another field fails the precondition too; replanned,
    both edits travel."""
    member = Member(
        types=UNIQUE.types, extra={"rev": "INTEGER DEFAULT 1"}, options={"version": "rev"}
    )
    a, b = ann_linked(world, member)
    world.edit("a", a, phone="2")
    world.accidents["b"].before = once(lambda: world.edit("b", b, name="Anna", rev=2))
    assert world.run().members["b"].stale == 1
    world.settle()
    assert world.equal()
    assert world.rows("a")[a] == {"email": "ann@x.org", "name": "Anna", "phone": "2"}


# --- S43: the effect without its answer -----------------------------------------------------------


@pytest.mark.parametrize("means", ["unique key", "receipts"])
def test_s43_a_create_whose_answer_was_lost_is_found_not_repeated(world: World, means: str) -> None:
    """S43: the create was stored and its answer lost; after a restart it is found by a unique
    key or by its receipt, and there is one record."""
    b = UNIQUE if means == "unique key" else Member(options={"receipts": True})
    world.flow({"a": Member(), "b": b})
    ann = world.add("a", email="ann@x.org", name="Ann", phone="1")
    world.accidents["b"].lose = "create"
    report = world.run()
    assert report.members["b"].unknown == 1
    assert report.unknown == 1
    assert len(world.rows("b")) == 1
    world.restart()
    world.accidents["b"].lose = None
    report = world.run()
    assert world.written == []
    assert report.unknown == 0
    assert report.exit_code == 0
    assert set(world.linked("a", ann)) == {"a", "b"}
    world.edit("a", ann, phone="2")
    world.settle()
    assert world.equal()


def test_s43_what_cannot_be_told_is_parked_not_repeated(world: World) -> None:
    """S43: while nobody can say whether the create happened, the record that appeared is a case
    and no entity of its own, and the create is not repeated; other records go on."""
    world.flow({"a": Member(), "b": Member()})
    world.add("a", email=None, name="Ann", phone="1")  # no key by which it could be found
    world.accidents["b"].lose = "create"
    world.accidents["b"].unknown = True
    world.run()
    assert len(world.rows("b")) == 1
    world.accidents["b"].lose = None
    world.add("a", email="bob@x.org", name="Bob", phone="2")
    for _ in range(3):
        report = world.run()
        assert report.unknown == 1
        assert report.conflicts == 1
        assert report.state is RunState.NEEDS_PERSON
    assert [row["name"] for row in world.rows("b").values()] == ["Ann", "Bob"]
    assert len(world.rows("a")) == 2


def test_s43_an_update_whose_answer_was_lost_is_proven_by_the_next_read(world: World) -> None:
    """S43: an update without its answer leaves the base behind until a read proves the write."""
    a, b = ann_linked(world)
    world.edit("a", a, phone="2")
    world.accidents["b"].lose = "update"
    world.accidents["b"].unknown = True
    assert world.run().unknown == 1
    world.accidents["b"].lose = None
    world.accidents["b"].unknown = False
    report = world.run()
    assert world.written == []
    assert report.unknown == 0
    assert report.state is RunState.DONE
    world.edit("b", b, phone="3")
    world.settle()
    assert world.rows("a")[a]["phone"] == "3"


# --- S44: it is there already ---------------------------------------------------------------------


def test_s44_a_create_that_meets_a_new_record_links_to_it(world: World) -> None:
    """S44: somebody entered the record in b just before our create; the create is refused, and
    the record that is there is linked by its key: one record."""
    world.flow({"a": Member(), "b": UNIQUE})
    ann = world.add("a", email="ann@x.org", name="Ann", phone="1")
    world.accidents["b"].before = once(
        lambda: world.add("b", email="ann@x.org", name="Ann", phone="1")
    )
    report = world.run()
    assert report.members["b"].rejected == 1
    assert len(world.rows("b")) == 1
    (refused,) = world.quarantine()
    assert "there already" in refused.refused.error
    report = world.settle()
    assert set(world.linked("a", ann)) == {"a", "b"}
    assert len(world.rows("b")) == 1
    assert world.quarantine() == []
    assert report.state is RunState.DONE


@LOCAL
def test_s44_a_create_refused_for_a_stranger_goes_to_a_person(world: World) -> None:
    """S44: what is there belongs to somebody else; it stays as it is, the create waits in
    quarantine and names the record."""
    world.flow({"a": Member(), "b": Member(types={"phone": "VARCHAR(200) UNIQUE"})})
    bob = world.add("b", email="bob@x.org", name="Bob", phone="1")
    world.add("a", email="ann@x.org", name="Ann", phone="1")
    report = world.run()
    assert report.state is RunState.NEEDS_PERSON
    (refused,) = world.quarantine()
    assert f"there already: {bob}" in refused.refused.error
    assert world.rows("b")[bob]["name"] == "Bob"
    assert len(world.rows("b")) == 1
    assert len(world.rows("a")) == 2


# --- S46, S47: refused records --------------------------------------------------------------------

PICKY = Member(types={"phone": "VARCHAR(200) CHECK (b_phone <> 'bad')"})


def test_s46_three_of_two_hundred_fail_and_only_they_are_retried(world: World) -> None:
    """S46: 197 of a batch of 200 go through and their bases advance; the other three are tried
    again alone."""
    world.flow({"a": Member(), "b": PICKY})
    bad = {10, 100, 150}
    rows = [(f"p{n}@x.org", "bad" if n in bad else "1") for n in range(200)]
    marks = ", ".join(f"('{mail}', 'P', '{phone}')" for mail, phone in rows)
    world.sql("a", f"INSERT INTO {{t}} (a_email, a_name, a_phone) VALUES {marks}")
    report = world.run()
    assert (report.members["b"].created, report.members["b"].rejected) == (197, 3)
    assert len(world.rows("b")) == 197
    assert {q.refused.error != "" for q in world.quarantine()} == {True}
    world.accidents["b"].sent.clear()
    world.quiet()
    assert world.accidents["b"].sent == []
    world.clock.advance(61)
    world.run()
    assert len(world.accidents["b"].sent) == 3
    assert world.written == []
    for n in bad:
        world.edit("a", world.find("a", email=f"p{n}@x.org"), phone="2")
    report = world.run()
    assert world.written == [("b", "insert")] * 3
    assert report.state is RunState.DONE
    assert world.equal()


def test_s47_a_poison_record_delays_no_other(world: World) -> None:
    """S47: the same refusal again and again is tried ever more rarely, stays in sight, and the
    run goes on with everything else."""
    world.flow({"a": Member(), "b": PICKY})
    keys = [world.add(m, email="eve@x.org", name="Eve", phone="1") for m in ("a", "b")]
    world.run()
    world.edit("a", keys[0], phone="bad")
    attempts = []
    for n in range(8):
        world.add("a", email=f"p{n}@x.org", name="P", phone="1")
        report = world.run()
        assert report.members["b"].created == 1
        assert report.quarantined == 1
        attempts.append(report.members["b"].rejected)
        world.clock.advance(60)
    assert attempts == [1, 1, 0, 1, 0, 0, 0, 1]
    (refused,) = world.quarantine()
    assert refused.attempts == 4
    assert world.rows("b")[keys[1]]["phone"] == "1"


# --- S48: stopped at any point --------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("what", ["insert", "update", "delete"])
def test_s48_a_run_that_ends_around_a_write_is_finished_by_the_next(
    world: World, what: str, when: str
) -> None:
    """S48: the process ends right before or right after a batch took effect; the next start
    converges without a duplicate or a lost edit."""
    a, b = ann_linked(world, deletes="propagate", **FAR)
    match what:
        case "insert":
            world.add("a", email="bob@x.org", name="Bob", phone="7")
        case "update":
            world.edit("a", a, phone="2")
            world.edit("b", b, name="Anna")
        case "delete":
            world.remove("a", a)
    setattr(world.accidents["b"], when, once(crash))
    with pytest.raises(Crash):
        world.run()
    assert world.written.count(("b", what)) == (when == "after")
    world.restart()
    report = world.settle()
    assert report.exit_code == 0
    assert report.unknown == 0
    assert world.equal()
    wanted = {
        "insert": [("ann@x.org", "Ann", "1"), ("bob@x.org", "Bob", "7")],
        "update": [("ann@x.org", "Anna", "2")],
        "delete": [],
    }
    assert world.table("a") == [*wanted[what], ("zoe@x.org", "Zoe", "0")]
    world.quiet()


@LOCAL
def test_s48_a_system_that_fails_before_the_effect_is_tried_again(world: World) -> None:
    """S48: nothing was sent, so nothing is unknown: the next run sends it, once."""
    a, _ = ann_linked(world)
    world.edit("a", a, phone="2")

    def away() -> None:
        raise Unreachable("no route", where="b")

    world.accidents["b"].before = once(away)
    report = world.run()
    assert report.state is RunState.FAILED
    assert report.unknown == 0
    assert world.written == []
    world.run()
    assert world.written == [("b", "update")]
    assert world.equal()


# --- S49: one owner of a flow ---------------------------------------------------------------------


@LOCAL
def test_s49_a_second_process_is_refused_until_the_lease_ends(world: World) -> None:
    """S49: while another process holds the flow a run is refused with exit 4; the lease of a
    holder that gives no sign of life ends by itself."""
    ann_linked(world)
    lease.acquire(world.store, "people", stranger(), 60.0)
    with pytest.raises(FlowBusy, match="process 7 on elsewhere") as busy:
        world.run()
    assert busy.value.exit_code == 4
    world.clock.advance(61)
    assert world.run().state is RunState.DONE


@LOCAL
def test_s49_the_lock_of_a_dead_process_is_reclaimed(world: World) -> None:
    """S49: the holder is gone from this machine, so nobody waits for its lease to end."""
    ann_linked(world)
    me = host.holder()
    place, _, _ = me.started.rpartition(".")
    gone = Holder(me.host, 2**22 - 1, f"{place}.1")
    lease.acquire(world.store, "people", gone, 3600.0)
    assert world.run().state is RunState.DONE


@pytest.mark.parametrize("when", ["before", "after"])
def test_s49_a_paused_holder_writes_nothing_after_a_takeover(world: World, when: str) -> None:
    """S49: paused in its first batch for longer than its lease, taken over meanwhile, it records
    nothing and sends no further batch; its successor treats what was sent as unknown and finds
    it."""
    world.flow({"a": Member(), "b": UNIQUE})
    for n in range(3):
        world.add("a", email=f"p{n}@x.org", name="P", phone="1")
    world.accidents["b"].batch = 1
    taken: list[lease.Fence] = []

    def pause() -> None:
        world.clock.advance(3600)
        taken.append(lease.acquire(world.store, "people", stranger(), 60.0))

    setattr(world.accidents["b"], when, once(pause))
    with pytest.raises(LeaseLost) as lost:
        world.run()
    assert lost.value.exit_code == 4
    assert len(world.written) <= 1
    lease.release(world.store, taken[0])
    world.restart()
    report = world.settle()
    assert report.state is RunState.DONE
    assert len(world.rows("b")) == 3
    assert world.equal()
