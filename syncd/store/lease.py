"""Who owns a flow. One holder at a time, by a lease with an epoch that only grows.

Two things keep a holder that lost its lease from doing harm: every write to the store checks the
epoch in its own transaction (`check`), and no effect is sent after `not_after`, which lies before
the end of the lease. Ends are told by a clock that all parties share: within one boot of one host
the monotonic clock, so wall-clock jumps change nothing; else the database's clock (PostgreSQL) or
the wall clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, bindparam, select, text
from sqlalchemy.engine import Row

from syncd.errors import FlowBusy, LeaseLost
from syncd.seams import Holder, Seams, instant_text
from syncd.store.admit import admit_revision
from syncd.store.lifecycle import facts
from syncd.store.tables import lease

if TYPE_CHECKING:
    from syncd.store.database import Store

# Effects stop this part of the lease before its end: a request in flight has that long to land.
_MARGIN = 0.25


_FIND = select(lease).where(lease.c.flow == bindparam("of_flow"))
_INSERT = lease.insert()
_UPDATE = lease.update().where(lease.c.flow == bindparam("of_flow"))

_Row = Row[Any]

Alive = Callable[[Holder], bool | None]
"""Whether a process still runs; None where that cannot be told from here."""


@dataclass(slots=True, eq=False)
class Fence:
    """Proof of ownership, handed to every write. deadline: its end on our monotonic clock, which
    `renew` moves; held: not given back yet. Nothing else of a fence ever changes."""

    flow: str
    epoch: int
    holder: Holder
    ttl: float
    deadline: float
    held: bool = True


def acquire(
    store: Store, flow: str, holder: Holder, ttl: float, alive: Alive | None = None
) -> Fence:
    """Take the flow for `ttl` seconds, see `acquiring`."""
    with acquiring(store, flow, holder, ttl, alive) as (_, fence):
        return fence


@contextmanager
def acquiring(
    store: Store, flow: str, holder: Holder, ttl: float, alive: Alive | None = None
) -> Iterator[tuple[Connection, Fence]]:
    """The transaction that takes the flow, for what is recorded along with that. Raises FlowBusy
    naming who has it.

    A lease that ended, or whose process is gone, is reclaimed under a higher epoch.
    """
    begun = store.seams.clock.monotonic()
    with store.write() as conn:
        # A daemon may have been running since before an upgrade.
        admit_revision(facts(conn), store.place)
        now = _now(store.seams, conn)
        found = conn.execute(_FIND, {"of_flow": flow}).first()
        if found is not None and not _is_free(store, found, holder, alive, begun, now):
            other = _holder(found)
            raise FlowBusy(
                f"{other} is running this flow (last sign of life {found.renewed_at})",
                where=f"flow {flow}",
                hint="Wait for it, or stop it; the lease of a dead process ends by itself at "
                f"{found.expires_at}.",
            )
        # Ticks only grow, over a rebuild too, so no epoch is ever given twice.
        epoch = store.tick(conn)
        values = {
            "holder": str(holder),
            "epoch": epoch,
            "host": holder.host,
            "pid": holder.pid,
            "started": holder.started,
            **_term(now, begun, ttl),
        }
        if found is None:
            conn.execute(_INSERT, {"flow": flow, **values})
        else:
            conn.execute(_UPDATE, {"of_flow": flow, **values})
        yield conn, Fence(flow, epoch, holder, ttl, begun + ttl)
    store.stamp(epoch)


def renew(store: Store, fence: Fence) -> None:
    """Another `ttl` from now. Raises LeaseLost if somebody else took the flow."""
    begun = store.seams.clock.monotonic()
    with store.write(fence) as conn:
        term = _term(_now(store.seams, conn), begun, fence.ttl)
        conn.execute(_UPDATE, {"of_flow": fence.flow, **term})
    fence.deadline = begun + fence.ttl


def release(store: Store, fence: Fence) -> None:
    """Give the flow back, unless that was done; a lost lease is no error."""
    if fence.held:
        with suppress(LeaseLost), releasing(store, fence):
            pass


@contextmanager
def releasing(store: Store, fence: Fence) -> Iterator[Connection]:
    """The transaction that gives the flow back, for what is recorded along with that. The row
    stays, so that epochs keep growing. Raises LeaseLost."""
    fence.deadline = store.seams.clock.monotonic()
    with store.write() as conn:
        check(conn, fence)
        yield conn
        check(conn, fence)
        ended = {"holder": "", "expires_at": _text(_now(store.seams, conn)), "until_ms": 0}
        conn.execute(_UPDATE, {"of_flow": fence.flow, **ended})
        tick = store.last_tick(conn)
    fence.held = False
    store.stamp(tick)


def check(conn: Connection, fence: Fence) -> None:
    """Raises LeaseLost unless the epoch still is this holder's.

    Writers exclude each other, so nobody takes the flow over before the transaction ends.
    """
    found = conn.execute(_FIND, {"of_flow": fence.flow}).first()
    if found is None or found.epoch != fence.epoch or not found.holder:
        by = f"; {found.holder} has it" if found is not None and found.holder else ""
        raise LeaseLost(
            f"this run lost the flow{by}",
            where=f"flow {fence.flow}",
            hint="Nothing of this step was recorded; the next run of the flow settles what was "
            "sent. A run that is paused longer than its lease loses it.",
        )


def not_after(store: Store, fence: Fence) -> datetime:
    """Wall time until which effects may be sent. Ask before each batch: it follows renewals."""
    left = fence.deadline - _MARGIN * fence.ttl - store.seams.clock.monotonic()
    return store.seams.clock.now() + timedelta(seconds=left)


def may_send(store: Store, fence: Fence) -> bool:
    """Whether an effect may be sent now, by the monotonic clock alone."""
    return store.seams.clock.monotonic() < fence.deadline - _MARGIN * fence.ttl


@dataclass(frozen=True, slots=True)
class Held:
    """One lease as `status` and `doctor` show it."""

    flow: str
    holder: Holder
    epoch: int
    expires_at: str
    renewed_at: str
    ended: bool


def held(store: Store, boot: str = "") -> list[Held]:
    """Leases that were not given back, by flow; `ended` ones are free to be taken.

    boot  of this host, where it is known: the clock to tell the end by
    """
    clock = store.seams.clock
    with store.read() as conn:
        now = _now(store.seams, conn)
        rows = conn.execute(select(lease).where(lease.c.holder != "").order_by(lease.c.flow))
        return [
            Held(
                row.flow,
                _holder(row),
                row.epoch,
                row.expires_at,
                row.renewed_at,
                _ended(row, boot, clock.monotonic(), now),
            )
            for row in rows
        ]


def refuse_while_held(conn: Connection, seams: Seams) -> None:
    """Raises FlowBusy while any flow is held: the store is not taken away under a run.

    Reads only what every schema has, for an upgrade asks too.
    """
    query = text("SELECT flow, host, pid, expires_at FROM lease WHERE holder <> '' ORDER BY flow")
    now = _text(_now(seams, conn))
    for flow, host, pid, expires_at in conn.execute(query):
        if now < expires_at:
            raise FlowBusy(
                f"process {pid} on {host} is running this flow",
                where=f"flow {flow}",
                hint="Stop it, and the daemon too, then try again; the lease of a dead process "
                f"ends by itself at {expires_at}.",
            )


def _is_free(
    store: Store, row: _Row, mine: Holder, alive: Alive | None, mono: float, now: datetime
) -> bool:
    if not row.holder:
        return True
    other = _holder(row)
    if store.place.path is not None and mine.boot and other.boot not in ("", mine.boot):
        # A SQLite store is used by processes of one machine, and it was started anew since.
        return True
    if alive is not None and alive(other) is False:
        return True
    return _ended(row, mine.boot, mono, now)


def _ended(row: _Row, boot: str, mono: float, now: datetime) -> bool:
    if boot and _holder(row).boot == boot:
        return bool(mono * 1000 >= row.until_ms)
    return now >= _time(row.expires_at)


def _holder(row: _Row) -> Holder:
    return Holder(row.host, row.pid, row.started)


def _term(now: datetime, mono: float, ttl: float) -> dict[str, object]:
    return {
        "expires_at": _text(now + timedelta(seconds=ttl)),
        # Rounded up: never earlier than the holder's own deadline.
        "until_ms": int((mono + ttl) * 1000) + 1,
        "renewed_at": _text(now),
    }


def _now(seams: Seams, conn: Connection) -> datetime:
    """One clock for all hosts where there is one."""
    return server_now(conn) or seams.clock.now()


def server_now(conn: Connection) -> datetime | None:
    """By the clock of the store's server; None where there is none (SQLite)."""
    if conn.dialect.name != "postgresql":
        return None
    moment: datetime = conn.execute(text("SELECT clock_timestamp()")).scalar_one()
    return moment.astimezone(UTC)


def _text(moment: datetime) -> str:
    return instant_text(moment.astimezone(UTC))


def _time(text_: str) -> datetime:
    return datetime.strptime(text_, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
