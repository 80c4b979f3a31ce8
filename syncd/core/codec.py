"""How one type turns native values into canonical ones and back: what every `values_*` file gives.

Families are those of a column (`syncd.adapter.Column.family`); `INSTANT` stands for a datetime
column that stores an instant, `datetime` for one that stores a wall time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from syncd.core.model import Value
from syncd.errors import Unrepresentable

Native = Any
Reader = Callable[[Native], Value]
Writer = Callable[[Value], Native]

INSTANT = "instant"

_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Codec:
    """canon    native (never None) → canonical, whatever the column; raises Misfit
    writers  by family: canonical (never None) → native; a family that is missing does not fit
    readers  by family, where that column is read otherwise than by `canon`
    advice   by family: what to do instead, where it does not fit
    """

    canon: Reader
    writers: Mapping[str, Writer]
    readers: Mapping[str, Reader] = field(default_factory=dict)
    advice: Mapping[str, str] = field(default_factory=dict)


class Misfit(Unrepresentable):
    """One value that its type or column cannot hold.

    The message is `shown` and `why`; where the value is private, only `why` may be shown.
    """

    code = "SY0312"

    def __init__(self, value: Native, why: str, *, code: str | None = None, hint: str = "") -> None:
        super().__init__(f"{shown(value)} {why}", code=code, hint=hint)
        self.why = why


def shown(value: Native) -> str:
    """A value for a message, short, its kind recognisable."""
    if isinstance(value, str):
        return json.dumps(_short(value), ensure_ascii=not value.isprintable())
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"a value of {len(value)} bytes"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() > 200:
        return "a whole number of more than 60 digits"
    if isinstance(value, (int, float, Decimal, UUID, datetime, date, time)):
        return _short(str(value))
    if isinstance(value, (list, tuple, set, frozenset)):
        return f"a list of {len(value)}"
    if isinstance(value, Mapping):
        return f"an object of {len(value)} keys"
    return f"a value of type {type(value).__name__}"


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
