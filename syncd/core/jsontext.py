"""JSON read without losing a digit.

orjson makes floats of fractions and of whole numbers beyond 64 bit. What a float cannot hold
exactly has to be seen, so that it is refused and not silently changed; few documents have any.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any, NoReturn

import orjson

# Up to fifteen digits every float gives back what was read (IEEE 754, DBL_DIG).
_LONG = re.compile(r"\d[\d.]{15}|\d[eE]")


def loads(text: str) -> Any:
    """Fractions and large numbers come as Decimal and int where a float may not be exact. Raises
    ValueError."""
    if _LONG.search(text) is None:
        return orjson.loads(text)
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")
