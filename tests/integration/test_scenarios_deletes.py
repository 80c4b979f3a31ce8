"""Scenarios S24 to S37 on real databases: what is gone, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from faulty import Accidents
from world import Member, World, shown

from syncd.core.model import CaseKind, Choice, EntityState, LinkState
from syncd.engine.result import RunState
from syncd.errors import ReadIncomplete
from syncd.store.holds import ItemState

MARKED = Member(extra={"erased": "INTEGER"}, options={"soft_delete": "erased"})
GUARDED = {"deletes": {"count": 2}}


def _person(n: int, **values: Any) -> dict[str, Any]:
    return {"email": f"p{n}@x.org", "name": f"P{n}", "phone": str(n), **values}


def _pair(world: World, people: int = 3, **options: Any) -> list[Any]:
    """Two members in step on some people; answers their keys at A."""
    members = options.pop("members", {"a": Member(), "b": Member()})
    world.flow(members, **options)
    found = [world.add("a", **_person(n)) for n in range(1, people + 1)]
    world.run()
    for member in members:
        assert len(world.rows(member)) == people
    return found


def _at(world: World, member: str, n: int) -> Any:
    return world.find(member, email=f"p{n}@x.org")


# --- S24: the policies -----------------------------------------------------------------------


def test_s24_a_deletion_is_propagated(world: World) -> None:
    """S24 `propagate`: A's deletion, proven by one consistent read, deletes B's record."""
    a, *_ = _pair(world, deletes="propagate")
    b = _at(world, "b", 1)
    world.remove("a", a)
    assert world.run().exit_code == 0
    assert world.written == [("b", "delete")]
    assert world.table("b") == world.table("a")
    assert world.tombstone("a", a)
    assert world.tombstone("b", b)
    world.quiet()


def test_s24_a_deletion_archives(world: World) -> None:
    """S24 `archive`: B's record is marked as deleted, and stays."""
    a, *_ = _pair(world, deletes="archive", members={"a": MARKED, "b": MARKED})
    b = _at(world, "b", 1)
    world.remove("a", a)
    assert world.run().exit_code == 0
    assert world.written == [("b", "update")]
    (mark,) = world.sql("b", "SELECT erased FROM {t} WHERE id = :id", id=b)
    assert mark[0] == 1
    assert world.rows("b")[b]["phone"] == "1"
    world.quiet()


@pytest.mark.parametrize("policy", ["unlink", "ignore"])
def test_s24_a_deletion_stays_where_it_was(world: World, policy: str) -> None:
    """S24 `unlink`, `ignore`: nothing is written, and A's record is not made again."""
    a, *_ = _pair(world, deletes=policy)
    world.remove("a", a)
    assert world.run().exit_code == 0
    assert world.written == []
    assert len(world.rows("b")) == 3
    assert world.tombstone("a", a)
    world.quiet()


def test_s24_a_deletion_is_reviewed_by_default(world: World) -> None:
    """S24 `review`: one case, and what a person says of it is done."""
    one, two, _ = _pair(world)
    world.remove("a", one, two)
    assert world.run().exit_code == 3
    assert world.written == []
    first, second = world.cases(CaseKind.DELETE)
    assert shown(first)["a"] is None
    kept = shown(second)["b"]["email"]
    world.decide(first, Choice.DELETE)
    world.decide(second, Choice.KEEP)
    assert world.run().exit_code == 0
    assert sorted(world.written) == [("a", "insert"), ("b", "delete")]
    assert world.equal()
    assert kept in {row["email"] for row in world.rows("a").values()}
    world.quiet()


def test_s24_a_marked_row_is_a_deletion(world: World) -> None:
    """S24: an explicit deletion, A's soft-delete mark, travels like an absence."""
    one, *_ = _pair(world, deletes="propagate", members={"a": MARKED, "b": Member()})
    world.edit("a", one, erased=1)
    assert world.run().exit_code == 0
    assert world.written == [("b", "delete")]
    world.quiet()


# --- S25, S26 --------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", ["edit-wins", "delete-wins", "review"])
def test_s25_a_deletion_against_an_edit(world: World, outcome: str) -> None:
    """S25: A deletes, B edits: what is configured happens, and the edited value is kept, in the
    record, in the audit or in the case."""
    a, *_ = _pair(world, deletes="propagate", delete_conflict=outcome)
    b = _at(world, "b", 1)
    world.remove("a", a)
    world.edit("b", b, phone="edited")
    report = world.run()
    if outcome == "edit-wins":
        assert world.written == [("a", "insert")]
        assert world.rows("a")[_at(world, "a", 1)]["phone"] == "edited"
        assert world.equal()
    elif outcome == "delete-wins":
        assert world.written == [("b", "delete")]
        assert b not in world.rows("b")
        told = [e for e in world.audit(report) if "edited" in str(e.before) + str(e.after)]
        assert told
    else:
        assert report.exit_code == 3
        assert world.written == []
        found = shown(world.case(CaseKind.DELETE))
        assert found["a"] is None
        assert found["b"]["phone"] == "edited"
        return
    assert report.exit_code == 0
    world.quiet()


def test_s26_deleted_on_both_sides(world: World) -> None:
    """S26: both deleted it: tombstones, no write, whatever the policy."""
    a, *_ = _pair(world)
    b = _at(world, "b", 1)
    world.remove("a", a)
    world.remove("b", b)
    assert world.run().exit_code == 0
    assert world.written == []
    assert world.tombstone("a", a)
    assert world.tombstone("b", b)
    assert world.cases() == []
    world.quiet()


# --- S27 to S31: absence, proven and not -------------------------------------------------------


def test_s27_an_empty_answer_halts(world: World) -> None:
    """S27: A answers without a single record although it had some: nothing is deleted, and the
    run says that a person is needed; the same when it happens again."""
    keys = _pair(world, deletes="propagate")
    world.remove("a", *keys)
    for _ in range(2):
        report = world.run()
        assert report.exit_code == 3
        assert world.written == []
        assert len(world.rows("b")) == 3
        assert any("without a single record" in text for _, text in report.messages)


def test_s27_edits_elsewhere_still_travel(world: World) -> None:
    """S27: one of three members is suddenly empty: the other two stay in step."""
    keys = _pair(world, deletes="propagate", members={m: Member() for m in "abc"})
    world.remove("a", *keys)
    world.edit("b", _at(world, "b", 2), phone="9")
    assert world.run().exit_code == 3
    assert world.written == [("c", "update")]
    assert world.table("b") == world.table("c")


class _Snapshots(Accidents):
    """A system whose full reads are tampered with: they break off after so many rows (`breaks`),
    leave rows out (`hidden`: keys as read), or are no transaction (`consistent`)."""

    def __init__(self) -> None:
        super().__init__()
        self.breaks: int | None = None
        self.hidden: set[str] = set()
        self.consistent = True

    def factory(self, context: Any) -> Any:
        return _Wrapped(super().factory(context), self)


class _Wrapped:
    def __init__(self, inner: Any, how: _Snapshots) -> None:
        self._inner, self._how = inner, how

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def open(self, spec: Any) -> Any:
        return _Endpoint(self._inner.open(spec), self._how)


class _Endpoint(_Wrapped):
    @property
    def capabilities(self) -> Any:
        own = self._inner.capabilities
        return own if self._how.consistent else replace(own, consistent=False)

    @contextmanager
    def snapshot(self) -> Iterator[Any]:
        with self._inner.snapshot() as snapshot:
            yield _Snapshot(snapshot, self._how)


class _Snapshot(_Wrapped):
    def blocks(self) -> Iterator[Any]:
        left = self._how.breaks
        for block in self._inner.blocks():
            kept = [i for i, key in enumerate(block.keys) if key not in self._how.hidden]
            if left is not None and len(kept) >= left:
                kept = kept[:left]
            yield replace(
                block, keys=[block.keys[i] for i in kept], raws=[block.raws[i] for i in kept]
            )
        if left is not None:
            raise ReadIncomplete("the connection ended within a page", code="SY0205")


def _tampered(world: World) -> _Snapshots:
    how = _Snapshots()
    world.accidents["a"] = how
    world.restart()
    return how


def test_s28_an_incomplete_listing_proves_no_absence(world: World) -> None:
    """S28: A's listing breaks off: nothing is deleted; the run says that it failed; the next
    whole one is as ever."""
    _pair(world, deletes="propagate")
    how = _tampered(world)
    how.breaks = 1
    report = world.run()
    assert report.exit_code == 1
    assert report.members["a"].error
    assert world.written == []
    assert len(world.rows("b")) == 3
    how.breaks = None
    assert world.run().exit_code == 0
    assert world.written == []


def test_s31_absent_from_one_snapshot_that_is_no_transaction(world: World) -> None:
    """S31: a record is missing from one snapshot that is neither transactional nor confirmed by
    id, and back in the next: no delete is ever sent."""
    keys = _pair(world, deletes="propagate")
    how = _tampered(world)
    how.consistent = False
    how.hidden = {world.link("a", keys[0]).key}
    assert world.run().exit_code == 0
    assert world.written == []
    how.hidden = set()
    assert world.run().exit_code == 0
    assert world.written == []
    assert len(world.rows("b")) == 3


def test_s31_absent_from_the_listing_and_by_its_id_is_deleted(world: World) -> None:
    """S31: missing from such a snapshot and not found by its id either, it is gone."""
    keys = _pair(world, deletes="propagate")
    how = _tampered(world)
    how.consistent = False
    world.remove("a", keys[0])
    assert world.run().exit_code == 0
    assert world.written == [("b", "delete")]
    world.quiet()


# --- S29, S30: the guard -----------------------------------------------------------------------


def test_s29_too_many_deletes_are_held_and_the_rest_runs(world: World) -> None:
    """S29: deletes pass the limit: those are held, the rest runs; the hold survives a restart; an
    approval runs exactly the operations listed."""
    keys = _pair(world, 8, deletes="propagate", guard=GUARDED)
    world.remove("a", *keys[:3])
    world.edit("a", keys[7], phone="new")
    assert world.run().exit_code == 3
    assert world.written == [("b", "update")]
    (hold,) = world.holds()
    assert (hold.kind, hold.cause) == ("delete", "a")
    assert len(world.held(hold)) == 3
    world.restart()
    assert world.run().exit_code == 3
    assert world.written == []
    (again,) = world.holds()
    assert (again.id, again.digest) == (hold.id, hold.digest)
    assert world.approve(hold) == 3
    world.remove("a", *keys[3:6])  # after the approval: they are not on its list
    assert world.run().exit_code == 3
    assert world.written == [("b", "delete")] * 3
    assert {row["email"] for row in world.rows("b").values()} >= {"p4@x.org", "p6@x.org"}
    (later,) = world.holds()
    assert later.id != hold.id
    assert len(world.held(later)) == 3
    world.approve(later)
    world.settle()
    assert world.equal()
    assert world.holds() == []


def test_s29_the_limit_counts_all_runs_of_the_window(world: World) -> None:
    """S29: two deletes now, another an hour later: it is held, and stays so, also when the window
    is over, until a person approves; the window over and nothing held, two more are no matter."""
    keys = _pair(world, 8, deletes="propagate", guard=GUARDED)
    world.remove("a", *keys[:2])
    assert world.run().exit_code == 0
    assert world.written == [("b", "delete")] * 2
    world.clock.advance(3600)
    world.remove("a", keys[2])
    assert world.run().exit_code == 3
    assert world.written == []
    world.clock.advance(25 * 3600)
    assert world.run().exit_code == 3
    assert world.written == []
    (hold,) = world.holds()
    world.approve(hold)
    assert world.run().exit_code == 0
    assert world.written == [("b", "delete")]
    world.clock.advance(25 * 3600)
    world.remove("a", *keys[3:5])
    assert world.run().exit_code == 0
    assert world.written == [("b", "delete")] * 2
    assert world.holds() == []


def test_s29_a_discarded_hold_excuses_the_links(world: World) -> None:
    """S29: a person discards the hold: B keeps its records, and nobody asks again."""
    keys = _pair(world, 6, deletes="propagate", guard=GUARDED)
    world.remove("a", *keys[:3])
    world.run()
    (hold,) = world.holds()
    world.discard(hold)
    assert world.run().exit_code == 0
    assert world.written == []
    assert len(world.rows("b")) == 6
    assert {i.state for i in world.held(hold)} == {ItemState.DONE}
    world.quiet()


def test_s29_what_is_held_and_gone_by_itself_drops_out(world: World) -> None:
    """S29: held creates whose records are removed again: the hold ends, and what comes later is
    judged anew."""
    keys = _pair(world, 2, deletes="propagate", guard={"creates": {"count": 2}})
    new = [world.add("a", **_person(n)) for n in (3, 4, 5)]
    assert world.run().exit_code == 3
    assert world.written == []
    (hold,) = world.holds()
    assert (hold.kind, hold.cause, len(world.held(hold))) == ("create", "a", 3)
    world.remove("a", *new)
    world.edit("a", keys[0], phone="9")
    assert world.run().exit_code == 0
    assert world.written == [("b", "update")]
    assert world.holds() == []
    world.add("a", **_person(6))
    assert world.run().exit_code == 0
    assert world.equal()


def test_s30_a_tripped_guard_holds_nothing_else(world: World) -> None:
    """S30: the guard trips on A's deletions: what B and C tell each other goes on, B's own
    deletions too."""
    members = {m: Member() for m in "abc"}
    keys = _pair(world, 6, deletes="propagate", guard=GUARDED, members=members)
    world.remove("a", *keys[:3])
    world.edit("b", _at(world, "b", 5), phone="new")
    world.remove("b", _at(world, "b", 6))
    assert world.run().exit_code == 3
    assert sorted(world.written) == [
        ("a", "delete"),
        ("a", "update"),
        ("c", "delete"),
        ("c", "update"),
    ]
    (hold,) = world.holds()
    assert (hold.kind, hold.cause) == ("delete", "a")
    assert {i.member for i in world.held(hold)} == {"b", "c"}


# --- S35, S37 ----------------------------------------------------------------------------------


def test_s35_restored_after_the_deletion_travelled(world: World) -> None:
    """S35: A's record was deleted, the deletion travelled, and it is restored in A: B gets it
    again, once, under the same entity."""
    stamped = Member(
        extra={"made": "TIMESTAMP NULL", "edited": "TIMESTAMP NULL", "erased": "INTEGER"},
        options={"created": "made", "modified": "edited", "soft_delete": "erased"},
    )
    world.flow({"a": stamped, "b": Member()}, deletes="propagate")
    born = "2026-01-01 10:00:00"
    a = world.add("a", **_person(1), made=born, edited=born, erased=0)
    world.add("a", **_person(2), made=born, edited=born, erased=0)
    world.run()
    before = world.entity("a", a)
    world.edit("a", a, erased=1)
    world.run()
    assert world.written == [("b", "delete")]
    world.edit("a", a, erased=0, edited="2026-01-05 10:00:00")
    assert world.run().exit_code == 0
    assert world.written == [("b", "insert")]
    assert world.table("a") == world.table("b")
    entity = world.entity("a", a)
    assert (entity.id, entity.state) == (before.id, EntityState.LIVE)
    assert {n: link.state for n, link in entity.links.items()} == {
        "a": LinkState.LIVE,
        "b": LinkState.LIVE,
    }
    world.quiet()


def test_s35_back_without_marks_is_suppressed_and_then_asked_about(world: World) -> None:
    """S35: the same where nothing tells a stale copy from a restored record: suppressed for the
    grace, then a person is asked; told to keep it, B gets it once."""
    one, *_ = _pair(world, deletes="propagate")
    world.remove("a", one)
    world.run()
    assert world.written == [("b", "delete")]
    world.add("a", one, **_person(1))
    assert world.run().exit_code == 0
    assert world.written == []
    world.clock.advance(25 * 3600)
    assert world.run().exit_code == 3
    assert world.written == []
    world.decide(world.case(CaseKind.REAPPEARED), Choice.KEEP)
    assert world.run().exit_code == 0
    assert world.written == [("b", "insert")]
    assert world.equal()
    assert set(world.linked("a", one)) == {"a", "b"}
    world.quiet()


def test_s37_a_system_that_leads_to_another_database_halts(world: World) -> None:
    """S37: B's address leads to another tenant's database: the run halts with both named, nothing
    is read from it as absence and nothing is written to either."""
    _pair(world, deletes="propagate")
    other = world.repoint("b")
    other.run(
        "CREATE TABLE b_people (id INTEGER PRIMARY KEY, b_email VARCHAR(200), "
        "b_name VARCHAR(200), b_phone VARCHAR(200))"
    )
    other.run("INSERT INTO b_people VALUES (1, 'p1@x.org', 'P1', '1')")
    world.edit("a", 1, phone="9")
    report = world.run()
    assert (report.state, report.exit_code) == (RunState.FAILED, 2)
    assert "`b` is another database" in report.members["b"].error
    assert report.members["b"].hint
    assert other.run("SELECT id, b_phone FROM b_people") == [(1, "1")]
    assert len(world.rows("a")) == 3
    assert world.written == []


# --- our own write ------------------------------------------------------------------------------


def test_i5_our_own_write_is_no_edit_against_a_deletion(world: World) -> None:
    """I5, laws 5 and 12: the write arrived, its answer did not. The run that finds it also reads
    the deletion: nobody edited, so nothing speaks against it."""
    keys = _pair(world, deletes="propagate", delete_conflict="edit-wins")
    world.accidents["b"].lose, world.accidents["b"].unknown = "update", True
    world.edit("a", keys[0], phone="new")
    world.run()
    world.accidents["b"].lose, world.accidents["b"].unknown = None, False
    world.remove("a", keys[0])
    world.settle()
    assert len(world.table("a")) == len(world.table("b")) == 2
    assert not world.cases()


# --- S35 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("deletes", ["ignore", "propagate"])
def test_s35_i3_a_restore_makes_again_what_its_deletion_took(world: World, deletes: str) -> None:
    """S35, I3, law 11: where a's deletion travelled, its restore travels too; where c deleted its
    record for itself, that stays deleted."""
    marked = {
        name: Member(
            extra={"born": "VARCHAR(20)", "ver": "INTEGER"},
            options={"created": "born", "version": "ver"},
        )
        for name in "abc"
    }
    world.flow(marked, deletes=deletes)
    keys = {
        name: [world.add(name, **_person(n), born="t1", ver=1) for n in (1, 2)] for name in "abc"
    }
    world.settle()
    if deletes == "ignore":
        world.remove("c", keys["c"][0])
        world.settle()
    world.remove("a", keys["a"][0])
    world.settle()
    world.add("a", key=keys["a"][0], **_person(1), born="t1", ver=2)
    world.settle()
    left = {name: len(world.table(name)) for name in "abc"}
    assert left == {"a": 2, "b": 2, "c": 1 if deletes == "ignore" else 2}
