"""Promises about a member whose reads lag, whatever the wall clock says: what it shows within the
lag is no evidence, and what it shows later is."""

from __future__ import annotations

from typing import Any

import pytest
from world import Member, World

LAG = 60.0
COPY = Member(options={"read_lag": f"{LAG:.0f}s"})
JUMPS = pytest.mark.parametrize("days", [0.0, 3.0, -3.0])


def ann(phone: str) -> dict[str, Any]:
    return {"email": "ann@x.org", "name": "Ann", "phone": phone}


def written(world: World) -> tuple[Any, Any]:
    """A record in step at both, and then an edit that was written to b just now."""
    world.flow({"a": Member(), "b": COPY}, deletes="propagate")
    keys = world.add("a", **ann("1")), world.add("b", **ann("1"))
    world.quiet(times=1)
    world.clock.advance(LAG + 1)
    world.edit("a", keys[0], phone="2")
    world.run()
    assert world.written == [("b", "update")]
    return keys


@JUMPS
def test_f7_f37_within_the_lag_the_value_before_our_write_is_no_edit(
    world: World, days: float
) -> None:
    """I2, I5: b answers with what stood there before, and goes on doing so for most of its lag."""
    a, b = written(world)
    world.edit("b", b, phone="1")
    world.clock.jump(days)
    for _ in range(2):
        world.quiet(times=1)
        assert world.cases() == []
        world.clock.advance(LAG / 3)
    world.edit("b", b, phone="2")
    world.clock.advance(LAG)
    world.quiet()
    assert world.rows("a")[a] == world.rows("b")[b] == ann("2")


@JUMPS
def test_f7_f37_after_the_lag_an_edit_is_one(world: World, days: float) -> None:
    """I1: a clock that was set back leaves nobody unread for days."""
    a, b = written(world)
    world.clock.jump(days)
    world.clock.advance(LAG + 1)
    world.edit("b", b, phone="3")
    world.run()
    assert world.written == [("a", "update")]
    assert world.rows("a")[a] == ann("3")


@JUMPS
def test_f7_f37_within_the_lag_a_record_that_is_not_there_yet_is_not_deleted(
    world: World, days: float
) -> None:
    """I14: b does not show the record that was made there just now."""
    world.flow({"a": Member(), "b": COPY}, deletes="propagate")
    for number in range(3):
        world.add("a", email=f"p{number}@x.org", name="P", phone="1")
    world.run()
    assert world.written == [("b", "insert")] * 3
    key, row = next(iter(world.rows("b").items()))
    world.remove("b", key)
    world.clock.jump(days)
    world.quiet(times=2)
    assert len(world.rows("a")) == 3
    world.add("b", key, **row)
    world.clock.advance(LAG + 1)
    world.quiet()
    assert world.equal() and len(world.rows("b")) == 3
    world.remove("b", key)
    world.run()
    assert world.written == [("a", "delete")]


MARKED = Member(
    extra={"made": "TIMESTAMP NULL", "rev": "INTEGER"},
    options={**COPY.options, "created": "made", "version": "rev"},
)


def late(phone: str, rev: int) -> dict[str, Any]:
    return {**ann(phone), "made": "2026-01-01 10:00:00", "rev": rev}


def in_step(world: World) -> tuple[Any, Any]:
    world.flow({"a": Member(), "b": MARKED}, deletes="propagate")
    world.add("a", email="bob@x.org", name="Bob", phone="1")
    keys = world.add("a", **ann("1")), world.add("b", **late("1", rev=1))
    world.settle()
    world.clock.advance(LAG + 1)
    return keys


def copy_shows_for_a_while(world: World, key: Any, phone: str, rev: int) -> None:
    """What was deleted stays so; restored after the lag, it is."""
    world.add("b", key, **late(phone, rev))
    world.quiet()
    world.remove("b", key)
    world.clock.advance(LAG + 1)
    world.quiet()
    world.add("b", key, **late("7", rev=7))
    world.run()
    assert world.written == [("a", "insert")]
    world.quiet()


def test_s34_f8_a_late_copy_of_what_we_deleted_restores_nothing(world: World) -> None:
    """I3: b shows the version before the one that was deleted there."""
    a, b = in_step(world)
    world.edit("b", b, phone="2", rev=2)
    world.run()
    assert world.written == [("a", "update")]
    world.clock.advance(LAG + 1)
    world.remove("a", a)
    world.run()
    assert world.written == [("b", "delete")]
    copy_shows_for_a_while(world, b, "1", rev=1)


def test_s34_f8_a_late_copy_of_what_its_users_deleted_restores_nothing(world: World) -> None:
    """I3: it was edited before it was deleted, and b shows the edit only after the deletion."""
    _, b = in_step(world)
    world.remove("b", b)
    world.run()
    assert world.written == [("a", "delete")]
    copy_shows_for_a_while(world, b, "9", rev=2)
