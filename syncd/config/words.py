"""The small words of the config: durations, shares, policies, cron lines.

Each reader takes what TOML gave and returns what is meant, or raises ValueError with a sentence.
"""

from __future__ import annotations

import re
from typing import Any

from syncd.core.rules import Policy

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")

POLICIES = ("newest", "prefer:<member>", "merge", "review")


def duration(value: Any) -> float:
    """Seconds of "90s", "5m", "1h 30m", or a plain number of seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return float(value)
    if isinstance(value, str) and (parts := _DURATION.findall(value)):
        rest = _DURATION.sub("", value)
        if not rest.strip():
            return sum(float(number) * _UNITS[unit] for number, unit in parts)
    raise ValueError(f'{value!r} is no duration; write "30s", "5m", "2h" or "1d"')


def percent(value: str) -> float:
    match = _PERCENT.fullmatch(value.strip())
    if match is None or float(match.group(1)) > 100:
        raise ValueError(f'{value!r} is no share; write "5%", a count such as 200, or "off"')
    return float(match.group(1))


def names(value: Any) -> tuple[str, ...]:
    """One name, or a list of them."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list | tuple) and value and all(isinstance(name, str) for name in value):
        return tuple(value)
    raise ValueError(f"{value!r} is neither a name nor a list of names")


def policies(value: Any) -> tuple[Policy, ...]:
    """One policy word or a list of them, tried in order."""
    return tuple(_policy(word) for word in names(value))


def first_policies(value: Any) -> tuple[Policy, ...]:
    """Policies of first sight: sets unite by themselves there, so `merge` is none of them."""
    found = policies(value)
    if any(policy.kind == "merge" for policy in found):
        raise ValueError("`merge` decides no first sight (sets unite there without being told)")
    return found


def _policy(word: str) -> Policy:
    kind, _, order = word.partition(":")
    kind = kind.strip()
    members = tuple(name.strip() for name in order.split(",")) if order else ()
    if kind == "prefer":
        if not members or not all(members):
            raise ValueError(f'{word!r} names no member; write "prefer:crm" or "prefer:crm,erp"')
        if len(set(members)) < len(members):
            raise ValueError(f"{word!r} names a member twice")
        return Policy("prefer", members)
    if kind in ("newest", "merge", "review") and not order:
        return Policy(kind)
    raise ValueError(f"{word!r} is no policy; there is: {', '.join(POLICIES)}")


def deletes_from(value: Any) -> str | tuple[str, ...]:
    """ "any", "all", or a list of members."""
    if value in ("any", "all"):
        return str(value)
    if isinstance(value, str):
        raise ValueError(f'{value!r} is none of "any", "all" or a list of members: ["{value}"]?')
    return names(value)


def cron(value: Any) -> str:
    """Five fields: minute, hour, day of month, month, day of week."""
    from apscheduler.triggers.cron import CronTrigger  # type: ignore[import-untyped]

    if not isinstance(value, str):
        raise ValueError(f'{value!r} is no cron line; write "*/5 * * * *"')
    try:
        CronTrigger.from_crontab(value, timezone="UTC")
    except ValueError as error:
        raise ValueError(f"{value!r} is no cron line: {error}") from None
    return value
