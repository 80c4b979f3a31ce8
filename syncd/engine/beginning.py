"""How a run begins: in the transaction that takes the lease, the store learns what the flow is now
and says what earlier runs left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import Connection

from syncd.engine.opening import OpenFlow
from syncd.seams import Holder, Seams, instant_text
from syncd.store import journal, moments, rebuild, runs, shadow, voided
from syncd.store.flows import MemberState
from syncd.store.moments import Moment

Remember = Callable[[str], dict[str, object]]
"""What the store keeps of a member's mapping."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What stands in the store as a run begins.

    flow, run  their numbers; of a dry run, which is not recorded, 0
    now        what counts as now for the whole run
    moment     the same by clocks that nobody sets while it runs, as far as there are any
    relinking  the state was rebuilt: nothing is created or deleted until a person confirms
    shows      by member whose reads lag, the last tick whose writes they must show
    keyed      digest of the match rules that the match keys in the store were made by
    decisions  that wait for a run
    dropped    operations of an interrupted run that were never sent
    unsettled  (member, token) of those that were, and whose outcome is not known
    """

    flow: int
    run: int
    now: datetime
    moment: Moment
    relinking: bool
    keyed: str
    decisions: Sequence[int] = ()
    dropped: int = 0
    unsettled: Sequence[tuple[str, str | None]] = ()
    shows: Mapping[str, int] = field(default_factory=dict)


def look(conn: Connection, flow: OpenFlow, seams: Seams, holder: Holder) -> Begun:
    """For a dry run, which changes nothing."""
    number = shadow.flow_id(conn, flow.name, create=False)
    relinking, keyed = rebuild.relinking(conn, flow.name), shadow.keyed(conn, number)
    shows: Mapping[str, int] = {}
    moment, now = moments.here(conn, seams, holder), seams.clock.now()
    if lagging := lags(flow):
        shows = moments.shown(conn, number, moment, lagging)
    return Begun(number, 0, now, _dated(moment, now), relinking, keyed, shows=shows)


def begin(
    conn: Connection,
    flow: OpenFlow,
    remember: Remember,
    seams: Seams,
    holder: Holder,
    tick: int,
    *,
    mode: str,
) -> Begun:
    """tick: of the transaction that takes the lease."""
    number, now = shadow.flow_id(conn, flow.name), seams.clock.now()
    at = instant_text(now)
    _introduce(conn, number, flow, remember)
    runs.interrupt(conn, number, at=at)
    moment = moments.here(conn, seams, holder)
    runs.forget_counts(conn, number, _dated(moment, now), flow.compiled.guard_window)
    shows: Mapping[str, int] = {}
    if lagging := lags(flow):
        shows = moments.shown(conn, number, moment, lagging)
        moments.note(conn, number, moment, tick, forget=min(shows.values()))
    return Begun(
        number,
        runs.start(conn, number, mode, at=at, holder=str(holder)),
        now,
        _dated(moment, now),
        rebuild.relinking(conn, flow.name),
        shadow.keyed(conn, number),
        voided.waiting(conn, number),
        journal.supersede_planned(conn, number),
        journal.unsettled_batches(conn, number),
        shows,
    )


def lags(flow: OpenFlow) -> dict[str, float]:
    """By member, seconds for which a read may miss our own write; members without are left out."""
    return {n: m.read_lag for n, m in flow.compiled.rules.members.items() if m.read_lag}


def _dated(moment: Moment, now: datetime) -> Moment:
    """Where the store has no server, this machine's clock says when, for the next boot."""
    return moment if moment.at is not None else replace(moment, at=now)


def _introduce(conn: Connection, number: int, flow: OpenFlow, remember: Remember) -> None:
    """The store learns the flow's members, the databases behind them and their mappings."""
    before = shadow.members(conn, number)
    for name in flow.compiled.members:
        old = before.get(name)
        state = old or MemberState(name)
        identity = flow.identities.get(name, state.identity)
        if name in flow.failed:
            identity = state.identity
        state = replace(state, identity=identity, state="active")
        if state != old:
            shadow.save_member(conn, number, state)
        digest = flow.compiled.rules.members[name].fingerprint
        shadow.save_fingerprint(conn, number, name, digest, remember(name))
    for name, state in before.items():
        if name not in flow.compiled.members and state.state != "removed":
            shadow.save_member(conn, number, replace(state, state="removed"))
    if shadow.flow_fingerprint(conn, number) != flow.compiled.fingerprint:
        shadow.mark_all_work(conn, number)
