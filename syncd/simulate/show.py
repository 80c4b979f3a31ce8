"""A trace as a person reads it."""

from __future__ import annotations

from syncd.simulate.trace import Happening, RunEnd, Trace


def story(trace: Trace) -> str:
    """Every happening, and how each run ended."""
    lines = []
    ends = iter(trace.runs)
    end = next(ends, None)
    for h in trace.happenings:
        while end is not None and h.number >= end.last:
            lines.append(_ended(end))
            end = next(ends, None)
        lines.append(f"{h.number:4} {h.time:9.2f} {line(h)}")
    while end is not None:
        lines.append(_ended(end))
        end = next(ends, None)
    return "\n".join(lines)


def _ended(end: RunEnd) -> str:
    return f"--- round {end.round} {end.mode}: {end.state}, {end.writes} writes {end.text[:200]}"


def line(h: Happening) -> str:
    if h.who in ("fault", "operator"):
        return f"{h.who} {h.what} {h.member} {h.detail}"
    said = ""
    if h.what == "update" and h.before is not None and h.after is not None:
        moved = {n: (h.before[n], h.after[n]) for n in h.after if h.before[n] != h.after[n]}
        said = ", ".join(f"{n}: {a!r} → {b!r}" for n, (a, b) in moved.items())
    elif h.after is not None:
        said = ", ".join(f"{n}={v!r}" for n, v in h.after.items() if v is not None)
    return f"{h.who:5} {h.what} {h.member}:{h.key} p{h.person} {said}"
