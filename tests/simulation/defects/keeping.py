"""Mistakes in what is granted, guarded and kept: modes, guards, cursors, the audit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from defects.plant import defect, guarded
from syncd.core.rules import FlowRules, Mode
from syncd.engine import apply, recording, recover
from syncd.engine.session import Session
from syncd.store import events


@defect("I6", (Session, "run"), equal=True)
def dry_run_writes(run: Callable[..., Any], session: Session, flow: str, options: Any) -> Any:
    """A dry run does what it was only to show."""
    return run(session, flow, replace(options, dry_run=False))


@defect("I6", (Mode, "is_target"))
def source_written(is_target: Callable[..., bool], mode: Mode) -> bool:
    """A member that is only read from is written, too."""
    return True


@defect("I6", (apply, "write_of"), equal=True)
def unmapped_field_written(write_of: Callable[..., Any], *question: Any) -> Any:
    """A field that nobody mapped is blanked with every write."""
    write = write_of(*question)
    return replace(write, values={**write.values, "memo": None}) if write.values else write


@defect("I9", (recording, "trips"), equal=True, may=guarded)
def guard_off_by_one(trips: Callable[..., Any], rules: FlowRules, *rest: Any) -> Any:
    """A guard lets one more pass than it may."""
    limits = {
        kind: limit if limit.count is None else replace(limit, count=limit.count + 1)
        for kind, limit in rules.guards.items()
    }
    return trips(replace(rules, guards=limits), *rest)


@defect("I9", (recording, "trips"), equal=True, may=guarded)
def guard_counts_a_run(
    trips: Callable[..., Any], rules: FlowRules, planned: Any, window: Any, live: Any
) -> Any:
    """A guard counts each run for itself, not the day."""
    return trips(rules, planned, {}, live)


@defect("I9", (recording, "held_by"), equal=True, may=guarded)
def held_sent_all_the_same(held_by: Callable[..., str], *question: Any) -> str:
    """What a guard stopped is sent."""
    return ""


def _but_operations(told: Sequence[Any]) -> list[Any]:
    return [event for event in told if not event.op_id]


@defect("I11", (events, "record"), equal=True)
def effects_untold(record: Callable[..., None], conn: Any, flow: int, told: Any) -> None:
    """The audit has what was decided, not what was done."""
    record(conn, flow, _but_operations(told))


@defect("I11", (events, "record"), equal=True)
def values_untold(record: Callable[..., None], conn: Any, flow: int, told: Any) -> None:
    """The audit says that a record was written, not what."""
    record(conn, flow, [replace(e, after=None) if e.op_id else e for e in told])


@defect("I11", (events, "record"), equal=True)
def overwritten_untold(record: Callable[..., None], conn: Any, flow: int, told: Any) -> None:
    """The audit says what was written, not what stood there before."""
    record(conn, flow, [replace(e, before=None) if e.op_id else e for e in told])


@defect("I11", (recover, "settle_outcomes"), equal=True)
def found_later_untold(settle: Callable[..., None], context: Any, *rest: Any) -> None:
    """What is found to have happened after a crash is not in the audit."""
    before = events.record
    events.record = lambda conn, flow, told: before(conn, flow, _but_operations(told))
    try:
        settle(context, *rest)
    finally:
        events.record = before
