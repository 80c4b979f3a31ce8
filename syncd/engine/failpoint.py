"""Named places of a run where a test may stop or kill the process: `SYNCD_FAILPOINT=name[:n]`
ends it there with SIGKILL, at the n-th passing (first by default); `name:n:stop` holds it there
with SIGSTOP instead. Costs one comparison.

What the store records has a point before its commit (`recording`) and one after (`recorded`); so
has a write to a system: `before-commit` comes when its token is in the journal, `applied` after
the answer."""

from __future__ import annotations

import os
import signal

NAMES = (
    "recovered",
    "pulled",
    "planned",
    "recording",
    "recorded",
    "marking-sent",
    "marked-sent",
    "before-commit",
    "applied",
    "settling",
    "settled",
    "finishing",
    "finished",
)
_WANTED, _PASS, _HOW = (*os.environ.get("SYNCD_FAILPOINT", "").split(":"), "", "")[:3]
_SIGNAL = signal.SIGSTOP if _HOW == "stop" else signal.SIGKILL
_left = int(_PASS or 1)


def failpoint(name: str) -> None:
    if name != _WANTED:
        return
    global _left
    _left -= 1
    if _left == 0:
        signal.raise_signal(_SIGNAL)  # to this thread, so that it goes no step further
