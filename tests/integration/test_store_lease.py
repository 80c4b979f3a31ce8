"""Leases: one holder a flow, fenced by an epoch that only grows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

import syncd_migrations
from syncd.errors import FlowBusy, LeaseLost, StoreRefused
from syncd.host import Interrupt, real_seams
from syncd.seams import Holder, Seams
from syncd.store import lease
from syncd.store.database import Store

US = Holder("here", 11, "boot1.4.100")
THEM = Holder("here", 22, "boot1.4.200")
AFAR = Holder("afar", 33, "boot2.4.300")


class Clock:
    """Wall and monotonic time, moved apart by hand."""

    def __init__(self) -> None:
        self.wall = datetime(2026, 1, 31, 8, tzinfo=UTC)
        self.mono = 1000.0

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.mono

    def go(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.mono += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def seams(clock: Clock) -> Iterator[Seams]:
    interrupt = Interrupt()
    yield replace(real_seams(interrupt), clock=clock)
    interrupt.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def store(
    request: pytest.FixtureRequest,
    fresh_db: Callable[[str], str],
    tmp_path: Path,
    seams: Seams,
) -> Iterator[Store]:
    url = fresh_db(str(request.param))
    opened = Store.open(url, seams=seams, deployment=None, create=True, state_dir=tmp_path)
    yield opened
    opened.close()


def _write(store: Store, fence: lease.Fence, key: str) -> None:
    with store.write(fence) as conn:
        conn.execute(text("INSERT INTO meta (key, value) VALUES (:k, '')"), {"k": key})


def _keys(store: Store) -> set[str]:
    with store.read() as conn:
        return {str(key) for (key,) in conn.execute(text("SELECT key FROM meta"))}


def test_s49_second_process_is_refused_and_told_who_has_it(store: Store) -> None:
    lease.acquire(store, "customers", US, 60)
    with pytest.raises(FlowBusy, match="process 11 on here") as caught:
        lease.acquire(store, "customers", THEM, 60)
    assert (caught.value.exit_code, caught.value.where) == (4, "flow customers")
    lease.acquire(store, "orders", THEM, 60)


def test_one_process_does_not_hold_a_flow_twice(store: Store) -> None:
    lease.acquire(store, "customers", US, 60)
    with pytest.raises(FlowBusy):
        lease.acquire(store, "customers", US, 60)


def test_released_flow_is_free_and_its_epoch_grows(store: Store) -> None:
    first = lease.acquire(store, "customers", US, 60)
    lease.release(store, first)
    assert lease.held(store) == []
    second = lease.acquire(store, "customers", THEM, 60)
    assert second.epoch > first.epoch
    with pytest.raises(LeaseLost):
        _write(store, first, "late")
    lease.release(store, first)  # a lost lease is no error here, and frees nothing
    assert [one.holder for one in lease.held(store)] == [THEM]


def test_s49_lease_that_ended_is_reclaimed_and_the_old_holder_fenced(
    store: Store, clock: Clock
) -> None:
    old = lease.acquire(store, "customers", US, 60)
    _write(store, old, "before")
    clock.go(61)
    new = lease.acquire(store, "customers", THEM, 60)
    assert new.epoch > old.epoch
    with pytest.raises(LeaseLost, match="process 22 on here") as caught:
        _write(store, old, "after")
    assert caught.value.exit_code == 4
    with pytest.raises(LeaseLost):
        lease.renew(store, old)
    assert not lease.may_send(store, old)
    _write(store, new, "theirs")
    assert {"before", "theirs"} <= _keys(store)
    assert "after" not in _keys(store)


def test_s49_dead_holder_on_this_host_is_reclaimed_at_once(store: Store) -> None:
    old = lease.acquire(store, "customers", US, 60)
    asked: list[Holder] = []

    def dead(holder: Holder) -> bool | None:
        asked.append(holder)
        return False

    new = lease.acquire(store, "customers", THEM, 60, alive=dead)
    assert asked == [US]
    assert new.epoch > old.epoch


@pytest.mark.parametrize("answer", [True, None])
def test_s49_holder_that_lives_or_cannot_be_asked_keeps_its_lease(
    store: Store, answer: bool | None
) -> None:
    lease.acquire(store, "customers", US, 60)
    with pytest.raises(FlowBusy):
        lease.acquire(store, "customers", THEM, 60, alive=lambda _: answer)


def test_renewing_moves_the_end(store: Store, clock: Clock) -> None:
    fence = lease.acquire(store, "customers", US, 60)
    for _ in range(3):
        clock.go(40)
        lease.renew(store, fence)
        assert lease.may_send(store, fence)
    with pytest.raises(FlowBusy):
        lease.acquire(store, "customers", THEM, 60)


def test_paused_holder_sends_nothing_before_anybody_could_take_over(
    store: Store, clock: Clock
) -> None:
    fence = lease.acquire(store, "customers", US, 60)
    assert lease.not_after(store, fence) == clock.wall + timedelta(seconds=45)
    clock.go(44)
    assert lease.may_send(store, fence)
    clock.go(2)
    assert not lease.may_send(store, fence)
    assert lease.not_after(store, fence) < clock.wall
    with pytest.raises(FlowBusy):
        lease.acquire(store, "customers", THEM, 60)


def test_unrenewed_lease_that_nobody_took_still_writes(store: Store, clock: Clock) -> None:
    """The epoch decides, not the time: what was sent may still be recorded."""
    fence = lease.acquire(store, "customers", US, 60)
    clock.go(1000)
    _write(store, fence, "late")
    lease.renew(store, fence)
    assert lease.may_send(store, fence)


@pytest.mark.parametrize("days", [-30, 30])
def test_f37_wall_clock_jump_neither_frees_nor_keeps_a_flow(
    store: Store, clock: Clock, days: int
) -> None:
    fence = lease.acquire(store, "customers", US, 60)
    clock.wall += timedelta(days=days)
    with pytest.raises(FlowBusy):
        lease.acquire(store, "customers", THEM, 60)
    assert lease.may_send(store, fence)
    assert lease.not_after(store, fence) == clock.wall + timedelta(seconds=45)
    clock.go(61)
    assert lease.acquire(store, "customers", THEM, 60).epoch > fence.epoch


def test_holder_of_another_boot_is_told_by_the_shared_clock(store: Store) -> None:
    lease.acquire(store, "customers", AFAR, 60)
    if store.place.path is not None:
        # A SQLite store has users on one machine only: it was started anew.
        lease.acquire(store, "customers", US, 60)
        return
    with pytest.raises(FlowBusy):
        lease.acquire(store, "customers", US, 60)
    with store.write() as conn:
        conn.execute(text("UPDATE lease SET expires_at = '2026-01-01T00:00:00.000000Z'"))
    lease.acquire(store, "customers", US, 60)


def test_fence_is_checked_at_the_end_of_the_transaction_too(store: Store) -> None:
    fence = lease.acquire(store, "customers", US, 60)
    with pytest.raises(LeaseLost), store.write(fence) as conn:
        conn.execute(text("INSERT INTO meta (key, value) VALUES ('x', '')"))
        conn.execute(text("UPDATE lease SET epoch = epoch + 1"))
    assert "x" not in _keys(store)
    _write(store, fence, "y")


def test_leases_are_listed(store: Store, clock: Clock) -> None:
    lease.acquire(store, "customers", US, 60)
    (one,) = lease.held(store, US.boot)
    assert (one.flow, one.holder, one.ended) == ("customers", US, False)
    clock.go(61)
    (one,) = lease.held(store, US.boot)
    assert one.ended


def test_taking_a_flow_records_how_far_the_state_has_come(store: Store) -> None:
    fence = lease.acquire(store, "customers", US, 60)
    (counter,) = store.state_dir.glob("*.counter")
    assert f'"tick": {fence.epoch}' in counter.read_text()


def test_daemon_that_outlived_an_upgrade_takes_no_flow(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.write() as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = '0002'"))
    with pytest.raises(StoreRefused):
        lease.acquire(store, "customers", US, 60)
    monkeypatch.setattr(syncd_migrations, "REVISIONS", ("0001", "0002"))
    lease.acquire(store, "customers", US, 60)
