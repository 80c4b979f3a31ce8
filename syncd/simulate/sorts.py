"""The sorts of fields that a varied life draws from: every type, as systems keep it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_OPEN = {"type": "enum", "choices": ["open", "paid", "late"]}
_BERLIN = "Europe/Berlin"


@dataclass(frozen=True, slots=True)
class Home:
    """How one member may keep a field.

    column  what its system says of the column, beside its name
    place   what the member's table says of it, beside the native name
    many    columns that it takes
    """

    column: Mapping[str, Any]
    place: Mapping[str, Any] = field(default_factory=dict)
    many: int = 1


@dataclass(frozen=True, slots=True)
class Sort:
    """said: the field's table, one of these; homes: each member has one of these."""

    name: str
    said: tuple[Mapping[str, Any], ...]
    homes: tuple[Home, ...]

    @property
    def is_text(self) -> bool:
        return str(self.said[0]["type"]).startswith("text")


def _home(family: str, many: int = 1, place: Mapping[str, Any] | None = None, **more: Any) -> Home:
    return Home({"family": family, **more}, place or {}, many)


def _codes(family: str, **codes: str) -> Home:
    """A value table; a code that is a number is written with an underscore before it."""
    return _home(family, place={"table": {code.lstrip("_"): said for code, said in codes.items()}})


def _texts(*folds: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", **({"fold": list(folds)} if folds else {}), **more}


# What records are known by: each stands at every member, whatever else is drawn.
EMAIL = Sort("email", (_texts("trim", "lower"), _texts("casefold", "trim")), (_home("text"),))
PHONE = Sort("phone", (_texts("digits"), _texts("digits", null="empty")), (_home("text"),))
CODE = Sort(
    "code",
    ({"type": "integer"},),
    (_home("integer"), _home("decimal", digits=12, scale=0), _home("text")),
)

SORTS = (
    Sort(
        "name",
        (_texts("collapse", "trim"), _texts(), _texts("NFC", "casefold")),
        (
            _home("text"),
            _home("text", many=2, place={"lens": "words"}),
            _home("text", many=3, place={"lens": "words"}),
        ),
    ),
    Sort(
        "city",
        (_texts("lower"), _texts("NFC", "collapse"), _texts(null="empty"), {"type": "text(80)"}),
        (_home("text"), _home("text"), _home("text", length=60)),
    ),
    Sort(
        "price",
        ({"type": "decimal(12,2)"}, {"type": "decimal(9,3)"}),
        (_home("decimal", digits=12, scale=3), _home("text"), _home("decimal")),
    ),
    Sort("amount", ({"type": "integer"},), (_home("integer"), _home("decimal"), _home("text"))),
    Sort(
        "active",
        ({"type": "boolean"},),
        (
            _home("boolean"), _home("integer"), _home("text"),
            _codes("text", Y="true", N="false"),
        ),
    ),
    Sort(
        "status",
        (_OPEN, {**_OPEN, "fold": ["lower"]}),
        (
            _home("enum", choices=_OPEN["choices"]), _home("text"),
            _codes("integer", _1="open", _2="paid", _3="late"),
            _codes("text", O="open", P="paid", L="late"),
        ),
    ),
    Sort("born", ({"type": "date"},), (_home("date"), _home("datetime"), _home("text"))),
    Sort(
        "due",
        (
            {"type": "datetime", "zone": _BERLIN},
            {"type": "datetime", "zone": "UTC", "precision": "s"},
            {"type": "datetime", "zone": "+02:00", "precision": "ms"},
        ),
        (
            _home("datetime", zoned=True), _home("datetime"), _home("text"),
            _home("datetime", place={"zone": "America/New_York"}),
        ),
    ),
    Sort("token", ({"type": "uuid"},), (_home("uuid"), _home("text"), _home("bytes"))),
    Sort(
        "tags",
        ({"type": "set"}, {"type": "set", "fold": ["lower"]}, {"type": "set", "null": "empty"}),
        (_home("list"), _home("json")),
    ),
    Sort("lines", ({"type": "list"}, {"type": "list", "fold": ["trim"]}),
         (_home("list"), _home("json"))),
    Sort("data", ({"type": "json"}, {"type": "json", "null": "empty"}),
         (_home("json"), _home("text"))),
    Sort("picture", ({"type": "bytes"}, {"type": "bytes", "limit": 4096}),
         (_home("bytes"), _home("text"))),
)  # fmt: skip

# What only has a meaning together (law 14).
CURRENCY = Sort(
    "currency",
    ({"type": "enum", "choices": ["EUR", "USD", "CHF"]}, {"type": "text(12)"}),
    (_home("text"), _home("text", length=20)),
)
