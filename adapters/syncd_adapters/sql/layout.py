"""Which columns one endpoint reads, in which order, and how a raw row becomes a `Row`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from syncd.adapter import Column, EndpointSpec, ObjectSchema, Row
from syncd.core import keys as codec

Part = int | str
Parts = tuple[Part, ...]
Decoder = Callable[[Any], Any]
LIVE = (None, False, 0, "", "0", "f", "false", b"", b"\x00")


class TableRef(NamedTuple):
    """schema: None where the database has none."""

    schema: str | None
    name: str


@dataclass(frozen=True, slots=True)
class Layout:
    """names: the columns in select order, those of the key first, none twice.
    kinds: "int" or "text" for each key column: how it is ordered and encoded."""

    ref: TableRef
    schema: ObjectSchema
    spec: EndpointSpec
    key: tuple[str, ...]
    kinds: tuple[str, ...]
    names: tuple[str, ...]

    def column(self, name: str) -> Column:
        return self.schema.columns[name]

    def encode(self, parts: Sequence[Part]) -> str:
        return codec.encode(parts)

    def parts(self, key: str) -> Parts:
        return codec.decode(key)

    def fits(self, parts: Parts) -> bool:
        """Whether a record here could have this id; the engine has ids that none has."""
        return len(parts) == len(self.kinds) and all(
            isinstance(part, int) == (kind == "int")
            for part, kind in zip(parts, self.kinds, strict=True)
        )


def key_kind(column: Column) -> str:
    whole = column.family == "integer" or (column.family == "decimal" and column.scale == 0)
    return "int" if whole else "text"


def make_layout(ref: TableRef, schema: ObjectSchema, spec: EndpointSpec) -> Layout:
    key = tuple(spec.key or schema.key)
    wanted = [*key, *spec.columns]
    for extra in (spec.version, spec.modified, spec.created, spec.cursor, spec.soft_delete):
        if extra is not None:
            wanted.append(extra)
    names = tuple(dict.fromkeys(wanted))
    kinds = tuple(key_kind(schema.columns[name]) for name in key)
    return Layout(ref, schema, spec, key, kinds, names)


class RowMaker:
    """Makes `Row`s of raw rows: `split` gives a raw's fields (None = null) as `decoders` take
    them; `text` turns such a field into text, for versions and text keys."""

    def __init__(
        self,
        layout: Layout,
        split: Callable[[bytes], Sequence[Any]],
        decoders: Sequence[Decoder],
        text: Callable[[Any], str],
    ) -> None:
        spec = layout.spec
        at = {name: n for n, name in enumerate(layout.names)}
        self._split = split
        self._text = text
        self._decoders = tuple(decoders)
        self._kinds = layout.kinds
        self._wanted = [(name, at[name], decoders[at[name]]) for name in spec.columns if name in at]
        self._version = at.get(spec.version or "", -1)
        self._modified = at.get(spec.modified or "", -1)
        self._created = at.get(spec.created or "", -1)
        self._deleted = at.get(spec.soft_delete or "", -1)

    def parts(self, fields: Sequence[Any]) -> Parts:
        if self._kinds == ("int",):
            return (int(self._text(fields[0])),)
        return tuple(
            int(self._text(field)) if kind == "int" else self._text(field)
            for kind, field in zip(self._kinds, fields, strict=False)
        )

    def row_parts(self, raw: bytes) -> Parts:
        return self.parts(self._split(raw))

    def key(self, raw: bytes) -> str:
        return codec.encode(self.row_parts(raw))

    def row(self, raw: bytes) -> Row:
        fields = self._split(raw)
        return Row(
            key=codec.encode(self.parts(fields)),
            values={
                name: None if fields[n] is None else decode(fields[n])
                for name, n, decode in self._wanted
            },
            raw=raw,
            version=self._word(fields, self._version),
            modified=self._value(fields, self._modified),
            created=self._word(fields, self._created),
            deleted=self._deleted >= 0 and self._value(fields, self._deleted) not in LIVE,
        )

    def _word(self, fields: Sequence[Any], n: int) -> str | None:
        return None if n < 0 or fields[n] is None else self._text(fields[n])

    def _value(self, fields: Sequence[Any], n: int) -> Any:
        return None if n < 0 or fields[n] is None else self._decoders[n](fields[n])
