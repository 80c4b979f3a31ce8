"""One flow field at one member: which native fields it stands in, and the way there and back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from typing import Protocol

from syncd.core.codec import Native, Reader, Writer
from syncd.core.lenses import LENSES, MANY, Lens
from syncd.core.mapping_table import ValueTable
from syncd.core.model import Value
from syncd.core.values import FieldType
from syncd.errors import ConfigError

_PADDED = re.compile(r"(n?char|bpchar|character|national character)\b(?!\s*varying)", re.IGNORECASE)
_TEXTS = frozenset({"text", "other"})


class ColumnFacts(Protocol):
    """What the core must know of a native field; `syncd.adapter.Column` is one."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def family(self) -> str: ...
    @property
    def nullable(self) -> bool: ...
    @property
    def length(self) -> int | None: ...
    @property
    def digits(self) -> int | None: ...
    @property
    def scale(self) -> int | None: ...
    @property
    def zoned(self) -> bool: ...
    @property
    def choices(self) -> tuple[str, ...]: ...
    @property
    def default(self) -> bool: ...
    @property
    def derived(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class FieldMap:
    """What the config says of one field at one member.

    native     native fields, in the lens's order
    lens       None = the one native field under another name
    table      native text → canonical text, one to one
    zone       of wall times in this column; None = the type's
    read_only  never written here
    """

    field: str
    native: tuple[str, ...]
    lens: str | None = None
    table: Mapping[str, str] | None = None
    zone: str | None = None
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class BoundField:
    """A field map that was proven to fit.

    read   the native value, or the tuple of natives of several columns → canonical value
    write  canonical value → what the lens puts into the columns
    Both raise Misfit.
    """

    name: str
    type: FieldType
    columns: tuple[ColumnFacts, ...]
    lens: Lens
    writable: bool
    read: Reader
    write: Writer

    @property
    def many(self) -> bool:
        return len(self.columns) > 1

    def put(self, value: Value, current: Mapping[str, Native]) -> tuple[Native, ...]:
        """Natives, in the order of `columns`. current: those known to stand there. Raises
        Misfit."""
        if self.type.null == "empty" and value == "" and self.columns[0].family not in _TEXTS:
            value = None
        original = None
        if any(column.name in current for column in self.columns):
            original = tuple([current.get(column.name) for column in self.columns])
        natives = self.lens.put(self.write(value), original)
        if self.type.null == "empty" and None in natives:
            natives = tuple(map(self._empty, natives, self.columns))
        return natives

    def _empty(self, native: Native, column: ColumnFacts) -> Native:
        """Where null and empty are the same, empty is written where null is not taken."""
        if native is not None or column.nullable:
            return native
        if column.family in _TEXTS:
            return ""
        return [] if self.type.kind in ("set", "list") else None


def bind(
    of: FieldType, said: FieldMap, columns: Mapping[str, ColumnFacts], where: str
) -> BoundField:
    """Raises ConfigError: SY0174 unknown native field, SY0175 lens, SY0176 type that cannot fit,
    SY0177 value table."""
    facts = tuple(_column(name, columns, where) for name in said.native)
    lens = _lens(of, said, facts, where)
    if said.zone is not None and of.kind != "datetime":
        raise ConfigError(f"a {of.text} has no zone", code="SY0176", where=where)
    of = of.at(said.zone)
    family, zoned = facts[0].family, facts[0].zoned
    writable = not said.read_only and not any(column.derived for column in facts)
    if said.table is not None:
        table = ValueTable(of, said.table, family, where)
        read: Reader = table.canon
        write: Writer = table.native
        spelled: Sequence[str] = tuple(said.table)
    else:
        reason = of.unfit(family, zoned)
        if reason is not None:
            raise ConfigError(
                f"{of.text} does not fit {facts[0].name} ({facts[0].type}): {reason}",
                code="SY0176",
                where=where,
            )
        read, write = of.reader(family, zoned), of.writer(family, zoned)
        spelled = of.choices
    if writable and family == "enum":
        _choices_fit(spelled, facts[0], where)
    if len(facts) > 1:
        read = _joined(lens, read)
    elif family == "text" and _PADDED.match(facts[0].type):
        read = _unpadded(read)
    return BoundField(said.field, of, facts, lens, writable, read, write)


def complaint(native: Native, column: ColumnFacts, creating: bool) -> str | None:
    """Why this column would refuse the native value, or keep less of it; None = it keeps it.
    The sentence goes on from the value: 'has 60 characters, …'."""
    if native is None:
        if column.nullable or (creating and column.default):
            return None
        return f"is not taken by {column.name}"
    if isinstance(native, str):
        if column.length is not None and len(native) > column.length:
            return f"has {len(native)} characters, {column.name} takes {column.length}"
        if column.family == "enum" and column.choices and native not in column.choices:
            return f"is no choice of {column.name} ({', '.join(column.choices[:8])})"
    elif isinstance(native, bytes):
        if column.length is not None and len(native) > column.length:
            return f"has {len(native)} bytes, {column.name} takes {column.length}"
    elif isinstance(native, (int, Decimal)) and not isinstance(native, bool):
        return _too_many_digits(Decimal(native), column)
    return None


def _too_many_digits(number: Decimal, column: ColumnFacts) -> str | None:
    scale = 0 if column.family == "integer" else column.scale
    if scale is not None and column.family == "decimal":
        places = -int(number.normalize().as_tuple().exponent)
        if places > scale:
            return f"has {places} places, {column.name} keeps {scale}"
    if column.digits is not None and number:
        room = column.digits - (scale or 0)
        if number.adjusted() >= room:
            return (
                f"has {number.adjusted() + 1} digits before the point, {column.name} takes {room}"
            )
    return None


def _column(name: str, columns: Mapping[str, ColumnFacts], where: str) -> ColumnFacts:
    if name in columns:
        return columns[name]
    near = get_close_matches(name, columns, n=1)
    raise ConfigError(
        f"there is no native field {name!r}",
        code="SY0174",
        where=where,
        hint=f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(columns))}",
    )


def _lens(of: FieldType, said: FieldMap, facts: tuple[ColumnFacts, ...], where: str) -> Lens:
    name = said.lens or "rename"

    def wrong(message: str, hint: str = "") -> ConfigError:
        return ConfigError(message, code="SY0175", where=where, hint=hint)

    if name not in LENSES:
        near = get_close_matches(name, LENSES, n=1)
        raise wrong(
            f"no lens is called {name!r}",
            f"did you mean {near[0]}?" if near else f"there are {', '.join(LENSES)}",
        )
    if len(set(said.native)) != len(said.native):
        raise wrong("one native field is named twice")
    if name in MANY and len(facts) < 2:
        raise wrong(f"the lens {name} is for two native fields and more")
    if name not in MANY and len(facts) != 1:
        raise wrong(
            f"{len(facts)} native fields for one field",
            'several need a lens: { native = ["first", "last"], lens = "words" }',
        )
    made = LENSES[name]([column.nullable for column in facts])
    if made.text_only:
        if of.kind != "text" or said.table is not None:
            raise wrong(f"the lens {name} is for text without a table, the field is {of.text}")
        for column in facts:
            if column.family not in _TEXTS:
                raise wrong(f"the lens {name} joins texts, and {column.name} is {column.type}")
    return made


def _choices_fit(spelled: Sequence[str], column: ColumnFacts, where: str) -> None:
    lacking = [choice for choice in spelled if column.choices and choice not in column.choices]
    if lacking:
        raise ConfigError(
            f"{column.name} ({column.type}) has no choice {', '.join(map(repr, lacking))}",
            code="SY0176",
            where=where,
            hint=f"it has {', '.join(column.choices)}; a `table` translates",
        )


def _joined(lens: Lens, read: Reader) -> Reader:
    def canon(natives: Native) -> Value:
        return read(lens.get(natives))

    return canon


def _unpadded(read: Reader) -> Reader:
    """CHAR(n) fills up with blanks; they are nobody's."""

    def canon(native: Native) -> Value:
        return read(native.rstrip(" ") if isinstance(native, str) else native)

    return canon
