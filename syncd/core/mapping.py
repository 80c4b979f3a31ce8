"""Native values of one member ↔ canonical values of the flow's fields.

Made once from the config and what the object looks like; whatever cannot fit is refused then, and
what is left for single values comes as complaints by field, in words.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from syncd.core.codec import Misfit, Native
from syncd.core.hashing import digest
from syncd.core.mapping_field import BoundField, ColumnFacts, FieldMap, bind, complaint
from syncd.core.model import Fields, Value
from syncd.core.values import FieldType
from syncd.errors import ConfigError

__all__ = ["ColumnFacts", "FieldMap", "MemberMapping"]

NativeFields = Mapping[str, Native]
_ABSENT: Any = object()


@dataclass(frozen=True, slots=True)
class MemberMapping:
    """columns      native fields that are read
    writes          those that may be written (also on create); never a derived one
    fields_read, fields_written  flow fields, in each direction
    groups          flow fields that share a native field, two and more each
    unfilled        native fields no field fills and a create cannot do without; those of a key
                    that the system makes are for the caller to leave out
    fingerprint     of all that makes forms of rows; `fingerprints` the same by field
    """

    member: str
    columns: tuple[str, ...]
    writes: frozenset[str]
    fields_read: frozenset[str]
    fields_written: frozenset[str]
    groups: tuple[tuple[str, ...], ...]
    unfilled: tuple[str, ...]
    fingerprint: str
    fingerprints: Mapping[str, str]
    _bound: Mapping[str, BoundField]
    _simple: Mapping[str, tuple[ColumnFacts, Any]]  # of those written with no more ado: the writer
    _singles: tuple[tuple[str, str, Any], ...]
    _joined: tuple[tuple[str, tuple[str, ...], Any], ...]
    _private: frozenset[str]

    @property
    def joined(self) -> frozenset[str]:
        """Fields that a lens makes of several columns: writing one back well needs the row."""
        return frozenset(name for name, _, _ in self._joined)

    @classmethod
    def compile(
        cls,
        types: Mapping[str, FieldType],
        maps: Sequence[FieldMap],
        columns: Mapping[str, ColumnFacts],
        member: str,
        *,
        folds: Mapping[str, Sequence[str]] | None = None,
        private: Collection[str] = (),
    ) -> MemberMapping:
        """folds enter the fingerprint only; values of private fields stay out of complaints.

        Raises ConfigError, SY0174 to SY0178, `where` = "members.<member>.fields.<field>".
        """
        bound: dict[str, BoundField] = {}
        prints: dict[str, str] = {}
        for said in maps:
            where = f"members.{member}.fields.{said.field}"
            if said.field not in types:
                raise ConfigError("the flow has no such field", code="SY0178", where=where)
            if said.field in bound:
                raise ConfigError("the field is mapped twice", code="SY0178", where=where)
            made = bind(types[said.field], said, columns, where)
            bound[said.field] = made
            prints[said.field] = _fingerprint(made, said, (folds or {}).get(said.field, ()))
        written = {name: made for name, made in bound.items() if made.writable}
        filled = {column.name for made in written.values() for column in made.columns}
        groups = _groups(bound)
        return cls(
            member=member,
            columns=tuple(dict.fromkeys(c.name for m in bound.values() for c in m.columns)),
            writes=frozenset(filled),
            fields_read=frozenset(bound),
            fields_written=frozenset(written),
            groups=groups,
            unfilled=tuple(
                c.name
                for c in columns.values()
                if not (c.nullable or c.default or c.derived or c.name in filled)
            ),
            fingerprint=digest(prints),
            fingerprints=prints,
            _bound=bound,
            _simple=_simple(written, groups),
            _singles=tuple((n, m.columns[0].name, m.read) for n, m in bound.items() if not m.many),
            _joined=tuple(
                (n, tuple(c.name for c in m.columns), m.read) for n, m in bound.items() if m.many
            ),
            _private=frozenset(private),
        )

    def to_form(self, values: NativeFields) -> tuple[dict[str, Value], dict[str, str]]:
        """Canonical values by field, and complaints by field for those that have none. A field
        whose native fields the row does not carry is in neither."""
        form: dict[str, Value] = {}
        complaints: dict[str, str] = {}
        get = values.get
        for name, column, read in self._singles:
            native = get(column, _ABSENT)
            if native is _ABSENT:
                continue
            try:
                form[name] = read(native)
            except Misfit as misfit:
                complaints[name] = self._words(name, misfit)
        for name, columns, read in self._joined:
            natives = tuple([get(column, _ABSENT) for column in columns])
            if _ABSENT in natives:
                continue
            try:
                form[name] = read(natives)
            except Misfit as misfit:
                complaints[name] = self._words(name, misfit)
        return form, complaints

    def to_native(self, fields: Fields, current: NativeFields | None) -> dict[str, Native]:
        """Native values of exactly the columns these fields are written to; fields that this
        member does not write have none.

        current: the row as it stands, None for a create (then a null that a NOT NULL column has a
        default for is left out). Raises Unrepresentable: SY0312 to SY0314, or SY0315 where two
        fields want different things of one column.
        """
        return self._put(fields, current, None)

    def expected(self, fields: Fields, current: NativeFields | None = None) -> dict[str, Value]:
        """The forms that a read gives after these were written: as sent, or as the lens, the
        precision or the table normalises them. Raises Unrepresentable."""
        written = self.to_native(fields, current)
        form, _ = self.to_form(written if current is None else {**current, **written})
        return {name: form[name] for name in fields if name in form}

    def validate(self, fields: Fields, creating: bool = False) -> dict[str, str]:
        """Complaints by field: what this member would refuse or keep less of, if the record came
        to stand there with these values. Empty = valid."""
        complaints: dict[str, str] = {}
        natives = self._put(fields, None if creating else {}, complaints)
        if creating:
            for name in sorted(self.fields_written.difference(fields)):
                for column in self._bound[name].columns:
                    if not (column.nullable or column.default or column.name in natives):
                        complaints[name] = f"has no value, and {column.name} takes no null"
        return complaints

    def _put(
        self, fields: Fields, current: NativeFields | None, complaints: dict[str, str] | None
    ) -> dict[str, Native]:
        """Natives by column. With `complaints`, what raises is noted there instead, and so is
        what the columns would refuse or cut."""
        natives: dict[str, Native] = {}
        by: dict[str, str] = {}
        rest: list[BoundField] = []
        for name, value in fields.items():
            simple = self._simple.get(name)
            if simple is None:
                if name in self.fields_written:
                    rest.append(self._bound[name])
                continue
            column, write = simple
            try:
                native = write(value)
                if complaints is not None:
                    _refuse(native, column, current is None)
                natives[column.name] = native
            except Misfit as misfit:
                self._note(name, misfit, complaints)
        # fields over one column first: a joined field then splits along what they put there
        for made in sorted(rest, key=lambda made: made.many):
            try:
                put = made.put(fields[made.name], {**(current or {}), **natives})
                fixed = {c.name: natives[c.name] for c in made.columns if c.name in by}
                if _clash(made, put, fixed):
                    put = made.put(fields[made.name], fixed)  # an older part may be in the way
                for name in _clash(made, put, fixed):
                    raise Misfit(
                        fields[made.name],
                        f"and the value of {by[name]} want different things of {name}",
                        code="SY0315",
                    )
                if complaints is not None:
                    for column, native in zip(made.columns, put, strict=True):
                        _refuse(native, column, current is None)
                for column, native in zip(made.columns, put, strict=True):
                    if native is None and current is None and _fills(column):
                        continue
                    natives[column.name] = native
                    by[column.name] = made.name
            except Misfit as misfit:
                self._note(made.name, misfit, complaints)
        return natives

    def _note(self, name: str, misfit: Misfit, complaints: dict[str, str] | None) -> None:
        if complaints is None:
            raise misfit
        complaints[name] = self._words(name, misfit)

    def _words(self, name: str, misfit: Misfit) -> str:
        if name in self._private:
            return f"its value {misfit.why}"
        return misfit.message


def _fills(column: ColumnFacts) -> bool:
    """Left out of a create, the column takes its default where null would be refused."""
    return column.default and not column.nullable


def _clash(made: BoundField, put: tuple[Native, ...], fixed: Mapping[str, Native]) -> list[str]:
    """Columns that another field has put something else into."""
    pairs = zip(made.columns, put, strict=True)
    return [c.name for c, native in pairs if c.name in fixed and fixed[c.name] != native]


def _refuse(native: Native, column: ColumnFacts, creating: bool) -> None:
    reason = complaint(native, column, creating)
    if reason is not None:
        raise Misfit(native, reason, code="SY0313")


def _simple(
    written: Mapping[str, BoundField], groups: tuple[tuple[str, ...], ...]
) -> dict[str, tuple[ColumnFacts, Any]]:
    """Fields that share no column, where null stays null and is sent."""
    shared = {name for group in groups for name in group}
    return {
        name: (made.columns[0], made.write)
        for name, made in written.items()
        if not (made.many or name in shared or _fills(made.columns[0]))
        and made.type.null == "distinct"
    }


def _fingerprint(made: BoundField, said: FieldMap, folds: Sequence[str]) -> str:
    """Not of `read_only`, lengths or nullability: they do not change what a row reads as."""
    columns = [(c.name, c.family, c.zoned) for c in made.columns]
    table = None if said.table is None else dict(said.table)
    return digest((made.type.identity, columns, made.lens.name, table, sorted(set(folds))))


def _groups(bound: Mapping[str, BoundField]) -> tuple[tuple[str, ...], ...]:
    """Fields that share a native field, directly or through others."""
    groups: list[tuple[set[str], set[str]]] = []  # fields, columns
    for name, made in bound.items():
        fields, columns = {name}, {column.name for column in made.columns}
        apart = []
        for group in groups:
            if group[1] & columns:
                fields |= group[0]
                columns |= group[1]
            else:
                apart.append(group)
        groups = [*apart, (fields, columns)]
    return tuple(sorted(tuple(sorted(fields)) for fields, _ in groups if len(fields) > 1))
