"""Whether the store tells all that was done, and whether runs end: I7, I11, I17."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from syncd.simulate.oracle.facts import Fields, Flow, StoreView
from syncd.simulate.trace import RunEnd, Trace


def effects(
    trace: Trace,
    fields: Fields,
    flows: Callable[[int], Flow],
    guessing: Collection[str],
    view: StoreView,
) -> Iterator[str]:
    """I7 and I11: each operation has one effect, and each effect is in the audit.

    guessing  members where a write whose answer was lost is found by its values only
    """
    seen: dict[str, int] = {}
    for h in trace.happenings:
        if h.who != "syncd":
            continue
        seen[h.op_id] = seen.get(h.op_id, 0) + 1
        if h.what == "insert" and seen[h.op_id] > 1:
            yield f"I7: operation {h.op_id} made a second record [{h.number}]"
        rows = view.audit.get(h.op_id, [])
        if rows and h.before is not None and flows(h.run).is_target(h.member):
            flow, before = flows(h.run), [str(row["before"]) for row in rows]
            names = [n for n in fields if flow.maps(h.member, n)]
            if h.what == "update":
                names = [n for n in names if n in h.sent]
            untold = [
                n for n in names if h.before[n] and not fields.contains(before, n, h.before[n])
            ]
            if untold:
                yield f"I11: the audit of {h.op_id} lacks what {untold} were before [{h.number}]"
        if not rows:
            yield f"I11: {h.what} at {h.member} {h.key} is not in the audit [{h.number}]"
        elif all(row["outcome"] in ("stale", "rejected") for row in rows):
            if h.member not in guessing:
                yield f"I11: {h.what} at {h.member} {h.key} never was, says the audit [{h.number}]"
        elif h.what == "update" and not all(
            fields.contains([str(row["after"]) for row in rows], name, value, h.member)
            or value is None
            for name, value in h.sent.items()
            if not isinstance(value, list)
        ):
            if all(row["outcome"] != "applied" for row in rows):
                continue
            lost = {
                name: value for name, value in h.sent.items()
                if h.after is not None and h.after[name] == value
                and not fields.contains([str(row["after"]) for row in rows], name, value, h.member)
            }  # fmt: skip
            if lost:
                yield f"I11: the audit of {h.op_id} lacks {sorted(lost)} [{h.number}]"


def ended(runs: Sequence[RunEnd]) -> Iterator[str]:
    """I17: no run goes on and on."""
    for end in runs:
        if end.calls > 2000:
            yield f"I17: round {end.round} made {end.calls} calls"
