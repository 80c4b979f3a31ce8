"""Folds make texts comparable: only ever for comparing, hashing and matching, never written.

They run in one fixed order whatever the config's, so that a list of folds is idempotent and means
the same in every order.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from difflib import get_close_matches

from syncd.errors import ConfigError

Fold = Callable[[str], str]


def _nfc(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _digits(text: str) -> str:
    return "".join(str(unicodedata.decimal(c)) for c in text if c.isdecimal())


def _collapse(text: str) -> str:
    """Every run of white space is one blank; also at the ends, which `trim` takes away."""
    words = " ".join(text.split())
    if not text or not words:
        return " " if text else ""
    return (" " if text[0].isspace() else "") + words + (" " if text[-1].isspace() else "")


_IN_ORDER: tuple[tuple[str, Fold], ...] = (
    ("NFC", _nfc),
    ("lower", str.lower),
    ("casefold", str.casefold),
    ("digits", _digits),
    ("collapse", _collapse),
    ("trim", str.strip),
)
FOLDS = tuple(name for name, _ in _IN_ORDER)


def fold(names: Iterable[str]) -> Fold:
    """All of the named folds as one. Raises ConfigError (SY0172) for an unknown name."""
    wanted = frozenset(names)
    for name in sorted(wanted.difference(FOLDS)):
        near = get_close_matches(name.lower(), [f.lower() for f in FOLDS], n=1)
        meant = next((f for f in FOLDS if near and f.lower() == near[0]), None)
        raise ConfigError(
            f"no fold is called {name!r}",
            code="SY0172",
            hint=f"did you mean {meant}?" if meant else f"there are {', '.join(FOLDS)}",
        )
    steps = [step for name, step in _IN_ORDER if name in wanted]
    if "NFC" in wanted and wanted & {"lower", "casefold"}:
        steps.append(_nfc)  # changing the case takes some letters apart
    if not steps:
        return str
    if len(steps) == 1:
        return steps[0]

    def all_of_them(text: str) -> str:
        for step in steps:
            text = step(text)
        return text

    return all_of_them
