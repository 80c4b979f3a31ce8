"""What a value of each type is, once more: read from a column, written to one, compared.

Nothing of the engine's own mapping is used here, so that a mistake made there is not made twice.
Values are JSON-native and spelled as the store spells them, since the oracle looks for them there.
"""

from __future__ import annotations

import base64
import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

_SPELLED = re.compile(r"\s*([a-z_]+)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?\s*")
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")
_CUT = {"s": 19, "ms": 23, "us": 26}
_TEXTS = ("text", "enum")


@dataclass(frozen=True, slots=True)
class Kind:
    """A field's type, as its table in the config says it.

    size   of text(n); digits, scale: of decimal(p,s)
    empty  null and the empty text are the same thing
    """

    name: str
    digits: int | None = None
    scale: int | None = None
    zone: str | None = None
    precision: str = "us"
    choices: tuple[str, ...] = ()
    folds: frozenset[str] = frozenset()
    empty: bool = False

    @classmethod
    def of(cls, said: str | Mapping[str, Any]) -> Kind:
        table: Mapping[str, Any] = {"type": said} if isinstance(said, str) else said
        found = _SPELLED.fullmatch(table["type"])
        name, digits, scale = found.groups() if found else (table["type"], None, None)
        folds = table.get("fold") or ()
        return cls(
            name,
            int(digits) if digits else None,
            int(scale or 0) if digits else None,
            table.get("zone"),
            table.get("precision") or "us",
            tuple(table.get("choices") or ()),
            frozenset([folds] if isinstance(folds, str) else folds),
            table.get("null") == "empty",
        )

    @property
    def size(self) -> int | None:
        return self.digits if self.name == "text" else None

    # --- columns

    def read(self, native: Any, family: str, zone: str | None = None) -> Any:
        """The value that a native one stands for. Raises ValueError, TypeError or ArithmeticError
        for one that is none."""
        if native is None or (native == "" and self.empty and self.name not in _TEXTS):
            return None
        match self.name:
            case "text":
                return _text(native)
            case "enum":
                return _one_of(_text(native), self.choices)
            case "integer":
                return _whole(native)
            case "decimal":
                return _exact(native, self.scale or 0)
            case "boolean":
                return native if isinstance(native, bool) else _true(native)
            case "date":
                return _day(str(native))
            case "datetime":
                return _instant(native, zone or self.zone)
            case "uuid":
                return str(UUID(bytes=native) if isinstance(native, bytes) else UUID(str(native)))
            case "bytes":
                if family == "text":
                    base64.b64decode(native, validate=True)
                    return native
                return base64.b64encode(native).decode()
            case "json" if family == "text":
                return _plain_json(json.loads(native))
            case "set":
                return list(native)
            case "list":
                return _plain_json(list(native))
        return _plain_json(native)

    def write(self, value: Any, family: str, zoned: bool = False, zone: str | None = None) -> Any:
        """The opposite, for a column of that family."""
        if value is None:
            return None
        match self.name:
            case "text" | "enum":
                return _spelled(value, family)
            case "decimal":
                return {"text": str, "float": float}.get(family, Decimal)(value)
            case "boolean":
                words = {"integer": int, "decimal": Decimal, "boolean": bool}
                return words[family](value) if family in words else str(value).lower()
            case "date":
                if family == "date":
                    return date.fromisoformat(value)
                return datetime.fromisoformat(value) if family == "datetime" else value
            case "datetime":
                if family != "datetime":
                    return value
                at = datetime.fromisoformat(value)
                return at if zoned else at.astimezone(_zone(zone or self.zone)).replace(tzinfo=None)
            case "uuid":
                found = UUID(value)
                return {"uuid": found, "bytes": found.bytes}.get(family, value)
            case "bytes":
                return value if family == "text" else base64.b64decode(value)
            case "json" if family == "text":
                return json.dumps(value)
            case "integer":
                return {"text": str, "decimal": Decimal, "float": float}.get(family, int)(value)
        return value

    # --- sameness

    def plain(self, value: Any) -> Any:
        """What a value counts as, folded as the flow says: equal for equal things."""
        if value is None:
            return None
        match self.name:
            case "text" | "enum":
                found: Any = folded(value, self.folds) if isinstance(value, str) else value
            case "set":
                found = sorted({folded(element, self.folds) for element in value})
            case "list":
                found = [folded(e, self.folds) if isinstance(e, str) else e for e in value]
            case "datetime":
                found = str(value)[: _CUT[self.precision]]
            case _:
                found = value
        return None if self.empty and found in ("", [], {}) else found


def folded(text: str, folds: frozenset[str]) -> str:
    """As the config's words say."""
    if "NFC" in folds:
        text = unicodedata.normalize("NFC", text)
    if "lower" in folds:
        text = text.lower()
    if "casefold" in folds:
        text = text.casefold()
    if "NFC" in folds:
        text = unicodedata.normalize("NFC", text)
    if "digits" in folds:
        text = "".join(str(unicodedata.decimal(c)) for c in text if c.isdecimal())
    if "collapse" in folds:
        text = re.sub(r"\s+", " ", text)
    return text.strip() if "trim" in folds else text


def _text(native: Any) -> str:
    if isinstance(native, Decimal):
        return f"{native:.0f}"
    found = native.isoformat() if isinstance(native, time) else str(native)
    if "\0" in found:
        raise ValueError("no database keeps it")
    return found


def _one_of(text: str, choices: tuple[str, ...]) -> str:
    if text not in choices:
        raise ValueError("no choice")
    return text


def _whole(native: Any) -> int:
    number = Decimal(str(native))
    if number != int(number):
        raise ValueError("no whole number")
    return int(number)


def _exact(native: Any, places: int) -> str:
    number = Decimal(str(native))
    if not number.is_finite() or (
        not isinstance(native, float) and number != round(number, places)
    ):
        raise ValueError("it would be rounded")
    return f"{number:.{places}f}"


def _day(text: str) -> str:
    if text[10:].strip("T :0.Z+"):
        raise ValueError("a time of day is no date")
    return date.fromisoformat(text[:10]).isoformat()


def _plain_json(value: Any) -> Any:
    """As it is, if every number in it is one that JSON keeps everywhere."""
    if isinstance(value, float) and value != value:
        raise ValueError("no number")
    if isinstance(value, int) and abs(value) >> 63:
        raise ValueError("beyond 64 bit")
    if isinstance(value, (list, tuple, dict)):
        for part in value.values() if isinstance(value, dict) else value:
            _plain_json(part)
    return value


def _spelled(value: str, family: str) -> Any:
    families: Mapping[str, Any] = {
        "integer": int, "decimal": Decimal, "uuid": UUID, "time": time.fromisoformat,
    }  # fmt: skip
    return families.get(family, str)(value)


def _true(native: Any) -> bool:
    words = {"true": True, "t": True, "false": False, "f": False}
    if isinstance(native, str):
        return words[native]
    if native not in (0, 1):
        raise ValueError("neither true nor false")
    return bool(native)


def _instant(native: Any, zone: str | None) -> str:
    at = native if isinstance(native, datetime) else datetime.fromisoformat(str(native))
    if isinstance(native, str) and len(native) <= len("2026-03-01"):
        raise ValueError("a day without a time")
    if at.tzinfo is None:
        wall, at = at, at.replace(tzinfo=_zone(zone))
        if at.astimezone(UTC).astimezone(_zone(zone)).replace(tzinfo=None) != wall:
            raise ValueError("the clocks skip it")
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _zone(name: str | None) -> tzinfo:
    found = _OFFSET.fullmatch(name or "")
    if found:
        offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
        return timezone(-offset if found[1] == "-" else offset)
    return UTC if name in (None, "UTC", "Z") else ZoneInfo(name)
