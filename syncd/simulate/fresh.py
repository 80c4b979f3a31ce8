"""Values that nobody gave before: each tells which edit it is from, and where its type has the
room also whom it is about."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from syncd.simulate.clock import BEGIN, Chance
from syncd.simulate.kinds import Kind

_PERSON = re.compile(r"p(\d+)\.")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_LONGEST = 24  # characters that a text with all it tells may need
FEW = ("boolean", "enum")


def fresh(
    kind: Kind, person: int, token: int, before: Any, chance: Chance, room: int | None, key: bool
) -> Any:
    """room: characters or digits that every column has for it; key: it tells records apart, as an
    e-mail address does."""
    match kind.name:
        case "text":
            return _text(kind, person, token, room, key)
        case "integer":
            return token if room is not None and room < 8 else token * 100 + 37
        case "decimal":
            return _decimal(kind, token)
        case "boolean":
            return not before
        case "enum":
            return another(kind.choices, before, chance)
        case "date":
            return (date(2001, 1, 1) + timedelta(days=token)).isoformat()
        case "datetime":
            at = BEGIN.replace(tzinfo=None) + timedelta(seconds=token)
            return at.isoformat(timespec="microseconds") + "Z"
        case "uuid":
            return str(UUID(int=(person + 1 << 64) + token))
        case "set":
            kept = [t for t in before or [] if chance.random() < 0.7]
            return [*kept, f"p{person}.t{token}"]
        case "list":
            return [f"p{person}.{token}", token]
        case "bytes":
            return base64.b64encode(f"p{person}.{token}".encode()).decode()
    return {"said": f"p{person}.{token}"}


def own(kind: Kind, person: int, room: int | None) -> Any:
    """What everybody knows a person by, in a field that tells records apart."""
    match kind.name:
        case "text" if "digits" in kind.folds:
            told = f"+{person:03}"
            return told if room is None or len(told) <= room else str(person)[-room:]
        case "text":
            told = f"p{person}.@x"
            return told if room is None or len(told) <= room else f"z{spelled(person)}"[-room:]
        case "integer":
            return person * 100 + 11
        case "decimal":
            scale = kind.scale or 0
            return f"{person}.{11 % 10**scale:0{scale}}" if scale else str(person * 100 + 11)
        case "boolean":
            return bool(person % 2)
        case "enum":
            return kind.choices[person % len(kind.choices)]
        case "date":
            return (date(1980, 1, 1) + timedelta(days=person)).isoformat()
        case "datetime":
            at = BEGIN.replace(tzinfo=None) - timedelta(days=person + 1)
            return at.isoformat(timespec="microseconds") + "Z"
        case "uuid":
            return str(UUID(int=person + 1 << 64))
    return None  # nothing else tells records apart


def another(choices: Sequence[Any], before: Any, chance: Chance) -> Any:
    """One of a few: which edit it is from it cannot tell."""
    others = [choice for choice in choices if choice != before] or list(choices)
    return chance.choice(others) if others else None


def named(value: Any) -> int:
    """The number of the person that a text names; -1 = none."""
    found = _PERSON.match(str(value))
    return int(found[1]) if found else -1


def _text(kind: Kind, person: int, token: int, room: int | None, key: bool) -> str:
    if "digits" in kind.folds:
        told = f"+{person:03} {token:05}"
    else:
        told = f"p{person}.{token}@x" if key else f"p{person}.{token}"
    if room is None or room >= _LONGEST or len(told) <= room:
        return told
    return (str(token) if "digits" in kind.folds else spelled(token))[-room:]


def spelled(number: int) -> str:
    """A number in as few characters as can be."""
    found = ""
    while number:
        number, rest = divmod(number, len(_DIGITS))
        found = _DIGITS[rest] + found
    return found or "0"


def _decimal(kind: Kind, token: int) -> str:
    scale, digits = kind.scale or 0, kind.digits or 12
    whole = token % 10 ** max(1, digits - scale)
    return f"{whole}.{37 % 10**scale:0{scale}}" if scale else str(whole)
