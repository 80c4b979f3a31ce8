"""One SQL database as a system."""

from __future__ import annotations

from collections.abc import Sequence

from syncd.adapter import Context, EndpointSpec, ObjectSchema
from syncd.errors import ConfigError
from syncd_adapters.sql import reflect
from syncd_adapters.sql.endpoint import SqlEndpoint
from syncd_adapters.sql.flavor import Flavor
from syncd_adapters.sql.generic import Generic
from syncd_adapters.sql.layout import TableRef, make_layout
from syncd_adapters.sql.mysql import MySql
from syncd_adapters.sql.options import read_options
from syncd_adapters.sql.postgres import Postgres
from syncd_adapters.sql.receipts import Receipts
from syncd_adapters.sql.sqlite import Sqlite

_FLAVORS: dict[str, type[Flavor]] = {
    "postgresql": Postgres,
    "mysql": MySql,
    "mariadb": MySql,
    "sqlite": Sqlite,
}


def make_flavor(context: Context) -> Flavor:
    options = read_options(context)
    return _FLAVORS.get(options.url.get_backend_name(), Generic)(context, options)


class SqlAdapter:
    """Implements `syncd.adapter.Adapter`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = context.seams.tasks.lock()
        self._flavor = make_flavor(context)
        self._receipts = Receipts(self._flavor)
        self._granted = False
        self._described: dict[tuple[str, tuple[str, ...]], tuple[TableRef, ObjectSchema]] = {}

    def identity(self) -> str:
        return self._flavor.identity()

    def objects(self) -> list[str]:
        return [name for name, _, _ in self._flavor.tables()]

    def describe(self, name: str, key: Sequence[str] = ()) -> ObjectSchema:
        found = reflect.describe(self._flavor, name, key)
        with self._lock:
            self._described[name, tuple(key)] = found
        return found[1]

    def open(self, spec: EndpointSpec) -> SqlEndpoint:
        with self._lock:  # described just now, for the mapping; asking again costs half a small run
            found = self._described.pop((spec.object, tuple(spec.key)), None)
        ref, schema = found or reflect.describe(self._flavor, spec.object, spec.key)
        if not schema.key:
            raise reflect.no_key(schema, self._context.system)
        hidden = self._flavor.system_columns()
        columns = {**hidden, **schema.columns}
        extras = (spec.version, spec.modified, spec.created, spec.cursor, spec.soft_delete)
        for name in (*spec.columns, *sorted(spec.writes), *(e for e in extras if e is not None)):
            reflect.require(columns, name, schema.name, self._context.system)
        used = {name: columns[name] for name in hidden if name in extras or name in spec.columns}
        schema = reflect.with_columns(schema, {**used, **schema.columns})
        self._writable(spec, schema)
        if spec.receipts and spec.writes:
            with self._lock:
                self._granted = True
        receipts = self._receipts if spec.receipts and spec.writes else None
        return SqlEndpoint(self._flavor, make_layout(ref, schema, spec), receipts)

    def _writable(self, spec: EndpointSpec, schema: ObjectSchema) -> None:
        if not spec.writes:
            return
        if not schema.writable:
            raise ConfigError(
                f"{schema.name} is a view or a table without transactions and cannot be written",
                code="SY0186",
                where=self._context.system,
                hint='use it with mode = "source", or name its table',
            )
        derived = sorted(name for name in spec.writes if schema.columns[name].derived)
        if derived:
            raise ConfigError(
                f"{schema.name}: the database computes {', '.join(derived)} itself",
                code="SY0187",
                where=self._context.system,
                hint="map it for reading only",
            )

    def counter(self, deployment: str, advance_to: int | None = None) -> int | None:
        with self._lock:
            if not self._receipts.there():
                if not self._granted or advance_to is None:
                    return None
                self._receipts.ensure()
        return self._receipts.counter(deployment, advance_to)

    def close(self) -> None:
        self._flavor.close()


def factory(context: Context) -> SqlAdapter:
    """Raises ConfigError for options that cannot work; connects at the first question only."""
    return SqlAdapter(context)
