"""All checks on one life."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from syncd.simulate.oracle.each import Walk
from syncd.simulate.oracle.facts import Fields, Flow, read_store
from syncd.simulate.oracle.private import shown
from syncd.simulate.oracle.rest import Rest, Truth
from syncd.simulate.oracle.told import effects, ended
from syncd.simulate.oracle.winners import Winners
from syncd.simulate.script import Script
from syncd.simulate.trace import Trace


def judge(
    script: Script,
    fields: Fields,
    flows: Mapping[int, Flow],
    trace: Trace,
    truth: Truth,
    store: Path,
) -> list[str]:
    """Every promise broken, in words; the number in brackets is that of the happening."""
    view = read_store(store)
    lags = {name: traits.lag for name, traits in script.systems.items()}
    silent = {name for name, traits in script.systems.items() if not traits.answers}
    guessing = {n for n, t in script.systems.items() if t.proof not in ("receipts", "transaction")}
    last = flows[max(flows)]

    def flow(number: int) -> Flow:
        known = [n for n in flows if n <= number]
        return flows[max(known)] if known else flows[min(flows)]

    broken = Walk(trace, fields, flow, lags, silent, guessing, view).judge()
    broken += effects(trace, fields, flow, guessing, view)
    broken += ended(trace.runs)
    broken += shown(trace, fields, last, view)
    vague = {name for name, traits in script.systems.items() if traits.lag or traits.late}
    broken += Winners(trace, fields, flow, vague, view).judge()
    broken += Rest(trace, fields, last, flow, lags, truth, view).judge()
    return broken
