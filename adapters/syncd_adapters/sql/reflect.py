"""What an object looks like now: SQLAlchemy's inspector, told in the words of the contract."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.engine import Inspector

from syncd.adapter import Column, ObjectSchema
from syncd.errors import ConfigError, SchemaChanged
from syncd_adapters.sql.flavor import Flavor
from syncd_adapters.sql.layout import TableRef


def find(flavor: Flavor, name: str) -> tuple[str, TableRef, bool]:
    """The object of that name: as listed, or by its bare name where only one has it.

    Raises SchemaChanged with the nearest name.
    """
    listed = flavor.tables()
    for entry in listed:
        if entry[0] == name:
            return entry
    bare = [entry for entry in listed if entry[1].name == name]
    if len(bare) == 1:
        return bare[0]
    if bare:
        raise SchemaChanged(
            f"{name!r} is in several schemas",
            code="SY0224",
            where=flavor.system,
            hint="name one of " + ", ".join(entry[0] for entry in bare),
        )
    near = nearest(name, [entry[0] for entry in listed] + [entry[1].name for entry in listed])
    raise SchemaChanged(
        f"there is no table or view {name!r}, or it may not be seen",
        code="SY0215",
        where=flavor.system,
        hint=f"did you mean {near!r}?" if near else f"it has {_some(listed)}",
    )


def _some(listed: Sequence[tuple[str, TableRef, bool]]) -> str:
    names = [entry[0] for entry in listed]
    return (", ".join(names[:8]) + (", …" if len(names) > 8 else "")) or "no tables at all"


def nearest(name: str, names: Sequence[str]) -> str | None:
    folded = {candidate.casefold(): candidate for candidate in reversed(names)}
    close = difflib.get_close_matches(name.casefold(), list(folded), 1, 0.6)
    return folded[close[0]] if close else None


def describe(flavor: Flavor, name: str, key: Sequence[str] = ()) -> tuple[TableRef, ObjectSchema]:
    """Raises SchemaChanged for an unknown object or key column."""
    shown, ref, view = find(flavor, name)
    with flavor.border(f"looking at {shown}"), warnings.catch_warnings():
        warnings.simplefilter("ignore", sa.exc.SAWarning)  # types it does not know become "other"
        with flavor.engine.connect() as connection:
            inspector = sa.inspect(connection)
            reflected = inspector.get_columns(ref.name, ref.schema)
            primary = () if view else _primary(inspector, ref)
            unique = () if view else flavor.uniques(ref) or _unique(inspector, ref)
            parents = () if view else _parents(flavor, inspector, ref)
    true = flavor.true_name
    by_name: dict[str, Any] = {}
    for found in reflected:
        by_name[true(found["name"])] = {**found, "name": true(found["name"])}
    primary = tuple(map(true, primary))
    unique = {tuple(map(true, names)) for names in unique}
    words = flavor.declared(ref)
    columns = {
        column: flavor.refine(_column(found, words.get(column)))
        for column, found in by_name.items()
    }
    for part in key:
        require(columns, part, shown, flavor.system)
    keys = tuple(key) or primary
    if primary and flavor.keys_not_null(ref):
        columns |= {part: replace(columns[part], nullable=False) for part in primary}
    schema = ObjectSchema(
        name=shown,
        columns=columns,
        key=keys,
        generated=not view and keys == primary and flavor.generates(ref, primary, by_name),
        unique=tuple(sorted({*unique, *([primary] if primary else [])} - {keys})),
        parents=parents,
        writable=not view and flavor.transactional(ref),
        privileges=flavor.privileges(ref),
        rows=flavor.estimate(ref),
        versions=() if view else tuple(flavor.system_columns()),
    )
    return ref, schema


def with_columns(schema: ObjectSchema, columns: Mapping[str, Column]) -> ObjectSchema:
    return replace(schema, columns=columns)


def require(columns: Mapping[str, Column], name: str, table: str, system: str) -> None:
    if name in columns:
        return
    near = nearest(name, list(columns))
    raise SchemaChanged(
        f"{table} has no column {name!r}",
        code="SY0216",
        where=system,
        hint=f"did you mean {near!r}?" if near else f"it has {', '.join(columns)}",
    )


def no_key(schema: ObjectSchema, system: str) -> ConfigError:
    return ConfigError(
        f"{schema.name} has no primary key",
        code="SY0185",
        where=system,
        hint='name the columns that identify a row: key = ["…"] in the member\'s table',
    )


def _primary(inspector: Inspector, ref: TableRef) -> tuple[str, ...]:
    return tuple(inspector.get_pk_constraint(ref.name, ref.schema)["constrained_columns"])


def _unique(inspector: Inspector, ref: TableRef) -> tuple[tuple[str, ...], ...]:
    sets = {
        tuple(found["column_names"])
        for found in inspector.get_unique_constraints(ref.name, ref.schema)
    }
    for index in inspector.get_indexes(ref.name, ref.schema):
        options: Any = index.get("dialect_options", {})
        partial = any(name.endswith("_where") for name in options)
        names = index["column_names"]
        if index["unique"] and not partial and None not in names and not index.get("expressions"):
            sets.add(tuple(str(name) for name in names))
    return tuple(sorted(sets))


def _parents(
    flavor: Flavor, inspector: Inspector, ref: TableRef
) -> tuple[tuple[tuple[str, ...], str, tuple[str, ...]], ...]:
    found = []
    for constraint in inspector.get_foreign_keys(ref.name, ref.schema):
        schema = constraint["referred_schema"]
        if schema is None and ref.schema is not None:
            schema = inspector.default_schema_name
        parent = flavor.shown(TableRef(schema, constraint["referred_table"]))
        found.append(
            (
                tuple(constraint["constrained_columns"]),
                parent,
                tuple(constraint["referred_columns"]),
            )
        )
    return tuple(sorted(found))


def _column(found: Any, words: str | None) -> Column:
    kind = found["type"]
    if isinstance(kind, postgresql.DOMAIN):
        kind = kind.data_type
    identity = found.get("identity")
    computed = found.get("computed") is not None
    return Column(
        name=found["name"],
        type=words or _words(kind),
        family=family(kind),
        nullable=bool(found["nullable"]),
        length=getattr(kind, "length", None) if family(kind) in ("text", "bytes") else None,
        digits=getattr(kind, "precision", None) if family(kind) == "decimal" else None,
        scale=_scale(kind),
        zoned=bool(getattr(kind, "timezone", False)) or isinstance(kind, mysql.TIMESTAMP),
        choices=tuple(getattr(kind, "enums", ())) if isinstance(kind, sa.Enum) else (),
        default=found.get("default") is not None
        or bool(identity)
        or found.get("autoincrement") is True,
        derived=computed,
    )


def _scale(kind: Any) -> int | None:
    if family(kind) != "decimal":
        return None
    if kind.scale is None and kind.precision is not None:
        return 0
    return kind.scale  # type: ignore[no-any-return]


def _words(kind: Any) -> str:
    try:
        return str(kind)
    except sa.exc.SQLAlchemyError:  # a type without a name of its own
        return type(kind).__name__


_FAMILIES: tuple[tuple[type, str], ...] = (
    (sa.Boolean, "boolean"),
    (sa.Integer, "integer"),
    (sa.Enum, "enum"),
    (mysql.SET, "other"),
    (mysql.BIT, "bytes"),
    (sa.Float, "float"),
    (sa.Numeric, "decimal"),
    (sa.DateTime, "datetime"),
    (sa.Date, "date"),
    (sa.Time, "time"),
    (sa.Uuid, "uuid"),
    (sa.JSON, "json"),
    (sa.ARRAY, "list"),
    (sa.LargeBinary, "bytes"),
    (sa.BINARY, "bytes"),
    (sa.VARBINARY, "bytes"),
    (sa.Interval, "other"),
    (sa.String, "text"),
    (postgresql.CITEXT, "text"),
)


def family(kind: Any) -> str:
    for found, name in _FAMILIES:
        if isinstance(kind, found):
            return name
    return "other"
