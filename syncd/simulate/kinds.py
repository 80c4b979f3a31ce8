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
            case "text" | "enum":
                return _text(native)
            case "integer":
                return int(native)
            case "decimal":
                return f"{Decimal(str(native)):.{self.scale or 0}f}"
            case "boolean":
                return native if isinstance(native, bool) else _true(native)
            case "date":
                return str(native)[:10]
            case "datetime":
                return _instant(native, zone or self.zone)
            case "uuid":
                return str(UUID(bytes=native) if isinstance(native, bytes) else UUID(str(native)))
            case "bytes":
                return native if family == "text" else base64.b64encode(native).decode()
            case "json" if family == "text":
                return json.loads(native)
            case "set" | "list":
                return list(native)
        return native

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
    return native.isoformat() if isinstance(native, time) else str(native)


def _spelled(value: str, family: str) -> Any:
    families: Mapping[str, Any] = {
        "integer": int, "decimal": Decimal, "uuid": UUID, "time": time.fromisoformat,
    }  # fmt: skip
    return families.get(family, str)(value)


def _true(native: Any) -> bool:
    return native.strip().lower() in ("true", "t", "1") if isinstance(native, str) else native == 1


def _instant(native: Any, zone: str | None) -> str:
    at = native if isinstance(native, datetime) else datetime.fromisoformat(str(native))
    if at.tzinfo is None:
        at = at.replace(tzinfo=_zone(zone))
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _zone(name: str | None) -> tzinfo:
    found = _OFFSET.fullmatch(name or "")
    if found:
        offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
        return timezone(-offset if found[1] == "-" else offset)
    return UTC if name in (None, "UTC", "Z") else ZoneInfo(name)
