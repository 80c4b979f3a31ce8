"""What people and programs enter that no config foresees: values that a type cannot take, and old
values in another spelling. The first must harm nothing but their own record, the second nothing."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from syncd.simulate.clock import BEGIN, Chance
from syncd.simulate.fields import Place

_GAP = datetime(2026, 3, 29, 2, 30)  # a wall time that the clocks of Berlin skip
_TEXTS = {
    "integer": ("a dozen", "1.5"),
    "decimal": ("12,50", "1.23456", "NaN"),
    "boolean": ("maybe",),
    "date": ("tomorrow", "2026-02-30"),
    "datetime": ("noon", "2026-03-01"),
    "uuid": ("no-uuid",),
    "enum": ("nowhere",),
    "json": ("{", '{"a": NaN}'),
    "bytes": ("%%%",),
    "text": ("half\0way",),
}


def odd(place: Place, chance: Chance) -> dict[str, Any] | None:
    """Natives by column that the field's type cannot take; None = this column takes only what is
    fine."""
    column, kind = place.columns[0], place.kind
    found: tuple[Any, ...] = ()
    match column.family:
        case "text" if column.length is None and not column.choices:
            found = _TEXTS.get(kind.name, ()) if place.table is None else ("unheard-of",)
        case "decimal":
            found = (Decimal("0.00001"), Decimal("NaN"))
        case "integer" if place.table is not None or kind.name == "boolean":
            found = (77,)
        case "datetime" if kind.name == "date":
            found = (BEGIN.replace(tzinfo=None),)
        case "datetime" if not column.zoned and (place.zone or kind.zone) == "Europe/Berlin":
            found = (_GAP,)
        case "bytes" if kind.name == "uuid":
            found = (b"short",)
        case "list" | "json" if kind.name in ("list", "json"):
            found = ([1 << 70],)
    return {column.name: chance.choice(found)} if found else None


def respelled(place: Place, native: Any) -> Any:
    """The same value, as another program writes it; the native one where there is no other way."""
    column, kind = place.columns[0], place.kind
    if not isinstance(native, str) or column.family != "text" or place.table is not None:
        return native
    match kind.name:
        case "integer":
            return native if native.startswith("+") else f"+{native}"
        case "decimal":
            return f" {native}0"
        case "boolean":
            return native[:1].lower()
        case "date":
            return f"{native[:10]}T00:00:00"
        case "datetime":
            return native.replace("Z", "+00:00")
        case "uuid":
            return native.upper()
        case "json":
            return f" {native} "
    return native
