"""Dates and instants.

A **date** is a day, "2024-03-31"; it never shifts with any zone, so a time of day on it is refused
instead of cut. A **datetime** is an instant, "2024-03-31T01:30:00.000000Z"; a wall time becomes
one only by the zone somebody declared:

- a wall time that the clocks skip (spring) is refused;
- one that happens twice (autumn) is read as the first of the two; the second is never written as
  a wall time, since it would be read back as the first;
- second 60, a date without a time, and "infinity" are refused.

`precision` ("s", "ms", "us") is that of the coarsest member: instants are written and compared
with no more than that, cut, so that no column rounds one up. Finer than microseconds is cut.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from syncd.core.codec import Codec, Misfit, Native
from syncd.errors import ConfigError

PRECISIONS = ("s", "ms", "us")

_DATE = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ]00:00(?::00(?:\.0*)?)?(?:Z|\+00(?::?00)?)?)?"
)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::(?P<second>[0-9]{2})(?:\.[0-9]+)?)?"
    r"(?:\s?(?:Z|[+-][0-9]{2}(?::?[0-9]{2}(?::?[0-9]{2})?)?))?"
)
_OFFSET = re.compile(r"([+-])([0-9]{2}):?([0-9]{2})")
_CUT = {"s": slice(0, 19), "ms": slice(0, 23), "us": slice(0, 26)}
_ZEROS = {"s": ".000000Z", "ms": "000Z", "us": "Z"}


def zone(name: str) -> tzinfo:
    """ "UTC", "Europe/Berlin", "+02:00". Raises ConfigError (SY0173)."""
    if name in ("UTC", "Z"):
        return UTC
    match = _OFFSET.fullmatch(name)
    try:
        if match:
            offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
            return timezone(-offset if match[1] == "-" else offset)
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise ConfigError(
            f"no time zone is called {name!r}",
            code="SY0173",
            hint='zones are named like "Europe/Berlin", "UTC" or "+02:00"',
        ) from None


def cut(precision: str, instant: str) -> str:
    """A canonical datetime without what is finer than the precision."""
    return instant[_CUT[precision]] + _ZEROS[precision]


def date_codec() -> Codec:
    def canon(native: Native) -> str:
        if type(native) is date:
            return native.isoformat()
        if isinstance(native, str):
            match = _DATE.fullmatch(native)
            if match is None:
                raise _no_date(native)
            native, whole = match[1], native
            try:
                return date.fromisoformat(native).isoformat()
            except ValueError:
                raise Misfit(whole, "is a day that does not exist") from None
        if isinstance(native, datetime):
            # midnight somewhere else is another day here: only UTC and no zone at all are a date
            if native.utcoffset() or native.timetz().replace(tzinfo=None) != datetime.min.time():
                raise _no_date(native)
            return native.date().isoformat()
        raise _no_date(native)

    def midnight(value: str) -> datetime:
        return datetime.fromisoformat(value)

    return Codec(
        canon,
        writers={
            "date": date.fromisoformat,
            "datetime": midnight,
            "text": str,
            "other": str,
        },
        advice={"instant": "the column stores instants, and a day is none; declare it as datetime"},
    )


def datetime_codec(home: tzinfo | None, precision: str) -> Codec:
    """home: zone of wall times; None = wall times are refused."""

    def canon(native: Native) -> str:
        moment = native if isinstance(native, datetime) else _moment(native)
        try:
            if moment.tzinfo is not UTC:
                moment = (_placed(moment) if moment.tzinfo is None else moment).astimezone(UTC)
        except OverflowError:
            raise Misfit(native, "is at the end of the calendar") from None
        return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"

    def _placed(wall: datetime) -> datetime:
        if home is None:
            raise Misfit(
                wall, "has no zone", hint='declare the one it is meant in: zone = "Europe/Berlin"'
            )
        placed = wall.replace(tzinfo=home, fold=0)
        if home is not UTC and placed.astimezone(UTC).astimezone(home).replace(
            tzinfo=None, fold=0
        ) != wall.replace(fold=0):
            raise Misfit(wall, f"does not exist in {home}: the clocks skip it")
        return placed

    def to_instant(value: str) -> datetime:
        return datetime.fromisoformat(cut(precision, value))

    def to_wall(value: str) -> datetime:
        instant = to_instant(value)
        if home is None:
            raise Misfit(value, "needs a zone to become a wall time", code="SY0313")
        try:
            wall = instant.astimezone(home).replace(tzinfo=None)
        except OverflowError:
            raise Misfit(value, "is at the end of the calendar", code="SY0313") from None
        if wall.fold:
            raise Misfit(
                value,
                f"is the second of two equal wall times in {home}, "
                "and a column without a zone cannot say so",
                code="SY0313",
                hint="a column that stores instants can",
            )
        return wall

    def to_text(value: str) -> str:
        return cut(precision, value)

    return Codec(
        canon,
        writers={
            "instant": to_instant,
            "datetime": to_wall,
            "text": to_text,
            "other": to_text,
        },
        advice={"date": "the column would lose the time of day; declare the field as date"},
    )


def _moment(native: Native) -> datetime:
    """Aware or naive as it is written. Raises Misfit."""
    if isinstance(native, date):
        raise Misfit(native, "is a day without a time", hint="declare the field as date")
    if not isinstance(native, str):
        raise Misfit(native, "is not a datetime", hint="numbers since an epoch are not guessed at")
    match = _MOMENT.fullmatch(native)
    if match is None:
        if _DAY.fullmatch(native):
            raise Misfit(native, "is a day without a time", hint="declare the field as date")
        raise Misfit(native, "is not a datetime like 2024-03-31T01:30:00Z")
    if match["second"] == "60":
        raise Misfit(native, "names second 60, which no column keeps")
    try:
        return datetime.fromisoformat(native)
    except ValueError:
        raise Misfit(native, "is a moment that does not exist") from None


def _no_date(native: Native) -> Misfit:
    if isinstance(native, datetime) or (isinstance(native, str) and _MOMENT.fullmatch(native)):
        return Misfit(
            native,
            "has a time of day or a zone, which a date would lose",
            hint="declare the field as datetime",
        )
    return Misfit(native, "is not a date like 2024-03-31")
