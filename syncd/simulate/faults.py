"""What can go wrong, and at which calls; each kind names the faults of the list it stands for."""

from __future__ import annotations

from collections.abc import Mapping

_ANY = frozenset({"connect", "describe", "list", "page", "get", "write", "answer", "settle"})
_WRITE = frozenset({"write"})

FITS: Mapping[str, frozenset[str]] = {
    "down": frozenset({"connect", "describe", "list", "page", "get", "write", "settle"}),  # F1 F16
    "denied": frozenset({"list", "page", "get", "write"}),  # F10 F36
    "cut": frozenset({"page"}),  # F1: the listing breaks off
    "empty": frozenset({"page"}),  # F4: nothing more, and no error
    "column": frozenset({"describe"}),  # F49: a column vanished
    "moved": frozenset({"connect"}),  # another database behind the address
    "before": _WRITE,  # F16: fails before any effect
    "lost": _WRITE,  # F17: the effect is there, the answer is lost
    "half": _WRITE,  # half of the effects, no answer
    "silent": _WRITE,  # neither effect nor answer
    "refuse": _WRITE,  # F27: some records are refused
    "shuffle": _WRITE,  # F22: answers in another order
    "missing": _WRITE,  # F22: one answer is missing
    "mute": frozenset({"settle"}),  # what was asked later is not answered either
    "crash": _ANY,  # F51: the process dies, anywhere
    "crash-write": _WRITE,
    "crash-answer": frozenset({"answer"}),  # F17 F51: after the effect, before the answer
    "store-begin": frozenset({"store-begin"}),  # F51 around each transaction of the store
    "store-commit": frozenset({"store-commit"}),
    "store-after": frozenset({"store-after"}),
    "pause": frozenset({"list", "page", "write", "answer"}),  # F57: outlives its lease
    "jump": _ANY,  # F37: the wall clock jumps by days
    "interrupt": frozenset({"list", "page", "get", "write"}),  # F61
}

LASTING = frozenset({"down", "denied", "refuse", "mute"})
