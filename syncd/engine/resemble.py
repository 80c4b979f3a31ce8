"""How much two columns look like the same fact: by their names, types and sampled values. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from syncd.adapter import Column, Native, NativeFields, ObjectSchema
from syncd.core.values import FieldType
from syncd.errors import ConfigError, Unrepresentable

LEAST = 0.4  # a pair of columns below this is no pair
_TELLING = 8  # so many different values and an overlap of them is no accident
_BAD = 0.05  # so much of a sample may fail to be read as a type

_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_]+|\d+")
_LEADING_ZERO = re.compile(r"\s*[+-]?0\d")  # "007" is a text, not seven
_SAME_WORD = {
    word: words[0]
    for words in (
        ("email", "mail", "emailaddress"),
        ("phone", "tel", "telephone", "mobile", "phonenumber"),
        ("zip", "postal", "postcode", "postalcode", "plz", "zipcode"),
        ("first", "given", "fore", "firstname", "forename"),
        ("last", "family", "surname", "sur", "lastname"),
        ("name", "title", "display", "full", "fullname", "displayname"),
        ("company", "organisation", "organization", "org", "firm", "employer"),
        ("address", "street", "addr", "streetaddress", "strasse"),
        ("city", "town", "locality", "ort"),
        ("region", "state", "province", "county"),
        ("country", "nation", "land"),
        ("number", "no", "nr", "num"),
        ("amount", "total", "price", "sum", "value"),
        ("quantity", "qty", "count"),
        ("birth", "birthday", "dob", "born", "birthdate"),
        ("active", "enabled"),
    )
    for word in words
}
# what to call a fact that each system calls otherwise
HEADS = frozenset(_SAME_WORD.values()) - {"first", "last"}
_IDLE = {"the", "of", "is", "has", "a", "on", "at", "date", "code"}
FIRST, LAST = "first", "last"


@dataclass(frozen=True, slots=True)
class Shape:
    """A column and what its sample says. values: folded texts of those that are not blank;
    order: the same, by row, "" where blank; unique: no value stands there twice."""

    column: Column
    words: frozenset[str]
    values: frozenset[str]
    order: tuple[str, ...]
    natives: tuple[Native, ...]
    unique: bool
    is_key: bool

    @property
    def filled(self) -> float:
        return sum(1 for text in self.order if text) / len(self.order) if self.order else 0.0


@dataclass(frozen=True, slots=True)
class Pair:
    """left, right: native columns (two where the lens `words` joins them)."""

    left: tuple[str, ...]
    right: tuple[str, ...]
    type: str
    zone: str | None
    score: float
    reason: str


def shapes(schema: ObjectSchema, rows: Sequence[NativeFields]) -> dict[str, Shape]:
    own = tokens(schema.name.rpartition(".")[2], frozenset())
    return {
        name: _shape(column, own, [row.get(name) for row in rows], name in schema.key)
        for name, column in schema.columns.items()
    }


def tokens(name: str, own: frozenset[str]) -> frozenset[str]:
    """The words of a name in one spelling, those of its object left out (customer_email)."""
    parts = [part.lower() for part in _PARTS.findall(name)]
    words = frozenset(_SAME_WORD.get(part, part) for part in parts)
    singular = {word.rstrip("s") for word in own}
    kept = frozenset(word for word in words if word.rstrip("s") not in singular)
    return kept - _IDLE or kept or words


def pairs(left: Mapping[str, Shape], right: Mapping[str, Shape]) -> list[Pair]:
    """One to one, the surest first: what is taken by a surer pair is free for no other."""
    found = list(words_pairs(left, right))
    found += [
        pair for a in left.values() for b in right.values() if (pair := _pair(a, b)) is not None
    ]
    found.sort(key=lambda pair: (-pair.score, pair.left, pair.right))
    taken: tuple[set[str], set[str]] = (set(), set())
    kept = []
    for pair in found:
        if taken[0].isdisjoint(pair.left) and taken[1].isdisjoint(pair.right):
            taken[0].update(pair.left)
            taken[1].update(pair.right)
            kept.append(pair)
    return kept


def words_pairs(left: Mapping[str, Shape], right: Mapping[str, Shape]) -> Iterator[Pair]:
    """First and last name on one side, the whole name on the other."""
    for whole, parts, turned in ((right, left, False), (left, right, True)):
        for one in (s for s in whole.values() if _is_text(s)):
            for first, last in _name_parts(parts):
                joined = _joined(first, last)
                score = _overlap(joined, one.values)
                named = "name" in one.words
                if score < 0.3 and not (named and not (joined and one.values)):
                    continue
                a, b = (first.column.name, last.column.name), (one.column.name,)
                reason = f"{a[0]} and {a[1]} joined are {b[0]}"
                strength = 0.95 + 0.05 * score
                left_names, right_names = (b, a) if turned else (a, b)
                yield Pair(left_names, right_names, "text", None, strength, reason)


def same_type(a: Shape, b: Shape) -> tuple[str, str | None] | None:
    """The type (and zone) that both columns can be read and written as."""
    for text in _types(a.column, b.column, (*a.natives, *b.natives)):
        zone = None
        if text == "datetime" and not (a.column.zoned and b.column.zoned):
            zone = "UTC"
        try:
            made = FieldType.parse(text, zone=zone)
        except ConfigError:
            continue
        if all(_fits(made, shape) for shape in (a, b)):
            return text, zone
    return None


def overlap(a: Shape, b: Shape) -> float:
    return _overlap(a.values, b.values)


def _shape(column: Column, own: frozenset[str], natives: Sequence[Native], is_key: bool) -> Shape:
    order = tuple(_folded(native) for native in natives)
    filled = [text for text in order if text]
    return Shape(
        column,
        tokens(column.name, own),
        frozenset(filled),
        order,
        tuple(natives),
        len(set(filled)) == len(filled),
        is_key,
    )


def _folded(native: Native) -> str:
    if native is None or isinstance(native, (bytes, list, dict)):
        return ""
    if isinstance(native, bool):
        return str(int(native))
    if isinstance(native, float) and native.is_integer():
        native = int(native)
    if isinstance(native, Decimal):
        native = native.normalize()
        return f"{native:f}"
    return " ".join(str(native).split()).lower()


def _is_text(shape: Shape) -> bool:
    return shape.column.family == "text"


def _name_parts(side: Mapping[str, Shape]) -> Iterator[tuple[Shape, Shape]]:
    firsts = [s for s in side.values() if _is_text(s) and FIRST in s.words]
    lasts = [s for s in side.values() if _is_text(s) and LAST in s.words]
    yield from ((first, last) for first in firsts for last in lasts)


def _joined(first: Shape, last: Shape) -> frozenset[str]:
    both = zip(first.order, last.order, strict=True)
    return frozenset(" ".join(f"{a} {b}".split()) for a, b in both if a or b)


def _overlap(a: frozenset[str], b: frozenset[str]) -> float:
    smaller = min(len(a), len(b))
    return len(a & b) / smaller if smaller else 0.0


def _pair(a: Shape, b: Shape) -> Pair | None:
    if _surrogate(a) and _surrogate(b):
        return None  # each system numbers its own records
    name = _name_score(a.words, b.words)
    telling = min(len(a.values), len(b.values)) >= _TELLING
    shared = _overlap(a.values, b.values)
    if _surrogate(a) or _surrogate(b):
        telling = False  # numbers from 1 on overlap with everything
        if name < 0.5:
            return None
    if telling:
        score = max(0.55 * name + 0.45 * shared, 0.85 * shared if shared >= 0.3 else 0.0)
        if not shared:
            score = 0.45 * name  # so many values and not one in common
    else:
        score = 0.8 * name if name >= 0.5 else 0.0
    if score < LEAST:
        return None
    agreed = same_type(a, b)
    if agreed is None:
        return None
    why = []
    if name >= 0.5:
        why.append("the names agree")
    if telling and shared:
        why.append(f"{shared:.0%} of the sampled values are the same")
    type_, zone = agreed
    return Pair((a.column.name,), (b.column.name,), type_, zone, score, ", ".join(why))


def _surrogate(shape: Shape) -> bool:
    return shape.is_key and shape.column.family == "integer"


def _name_score(a: frozenset[str], b: frozenset[str]) -> float:
    shared = len(a & b)
    if not shared:
        return 0.0
    return max(shared / len(a | b), 0.75 * shared / min(len(a), len(b)))


def _types(a: Column, b: Column, natives: Sequence[Native]) -> Iterator[str]:
    """Spellings worth a try, the strictest first."""
    families = {a.family, b.family}
    if "boolean" in families:
        yield "boolean"
    numbered = any(isinstance(n, str) and _LEADING_ZERO.match(n) for n in natives)
    if families <= {"integer", "text", "other"} and "integer" in families and not numbered:
        yield "integer"
    if families & {"decimal", "float"} or (families == {"integer"} and _has_places(natives)):
        yield f"decimal({_digits(a, b, natives)})"
    if "date" in families:
        yield "date"
    if "datetime" in families:
        yield "date" if families == {"datetime", "date"} else "datetime"
    if "uuid" in families:
        yield "uuid"
    if families <= {"json", "text"} and "json" in families:
        yield "json"
    if families == {"list"}:
        yield "list"
    if families <= {"text", "enum", "other"}:
        yield "text"


def _has_places(natives: Sequence[Native]) -> bool:
    return any(isinstance(n, (float, Decimal)) and n != int(n) for n in natives if n == n)


def _digits(a: Column, b: Column, natives: Sequence[Native]) -> str:
    """ "12,2": as many as either column declares, or the sample shows."""
    scales = [c.scale for c in (a, b) if c.scale is not None]
    if not scales:
        scales = [0]
        for native in natives:
            text = repr(native) if isinstance(native, float) else str(native)
            if re.fullmatch(r"-?\d+\.\d+", text):
                scales.append(len(text.partition(".")[2].rstrip("0")))
        scales = [max(2, *scales)] if len(scales) > 1 else [2]
    scale = min(max(scales), 12)
    whole = max([c.digits - (c.scale or 0) for c in (a, b) if c.digits] or [14 - scale, 10])
    return f"{min(whole + scale, 38)},{scale}"


def _fits(made: FieldType, shape: Shape) -> bool:
    column = shape.column
    if made.unfit(column.family, column.zoned) is not None:
        return False
    read = made.reader(column.family, column.zoned)
    bad = 0
    for native in shape.natives:
        try:
            read(native)
        except Unrepresentable:
            bad += 1
    return bad <= _BAD * len(shape.natives)
