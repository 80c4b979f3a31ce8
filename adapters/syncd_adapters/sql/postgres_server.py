"""PostgreSQL: connections, transactions, errors, and what is there."""

from __future__ import annotations

from typing import Any

import psycopg

from syncd.adapter import Column
from syncd_adapters.sql.faults import Fault, FaultKind, one_line
from syncd_adapters.sql.flavor import Connection, Flavor
from syncd_adapters.sql.layout import TableRef

# What changes the text of a value is pinned in each transaction, so that a pooler between us and
# the server cannot hand us a session set up otherwise.
_PINNED = (
    "SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO, YMD'; SET LOCAL IntervalStyle = "
    "'iso_8601'; SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = 'hex'; "
    "SET LOCAL standard_conforming_strings = on"
)
# Where commits are answered before they are on the disk, a crash takes back what we remember as
# confirmed, and the value before it would look like somebody's edit.
_LASTING = (
    "SELECT set_config('synchronous_commit', 'local', true) "
    "WHERE current_setting('synchronous_commit') = 'off'"
)


class PostgresServer(Flavor):
    name = "postgresql"
    settles = "transaction"

    def engine_options(self) -> dict[str, Any]:
        connect = {"connect_timeout": 15, "application_name": "syncd", "prepare_threshold": None}
        return {**super().engine_options(), "connect_args": connect}

    # -- transactions ------------------------------------------------------------------------

    def begin_read(self, connection: Connection) -> None:
        self._begin(
            connection, "ISOLATION LEVEL REPEATABLE READ READ ONLY", self.options.read_timeout
        )

    def begin_write(self, connection: Connection) -> None:
        mode = "ISOLATION LEVEL READ COMMITTED"
        self._begin(connection, mode, self.options.timeout, f"; {_LASTING}")

    def _begin(self, connection: Connection, mode: str, seconds: float, more: str = "") -> None:
        limit = int(seconds * 1000)
        self.command(
            connection,
            f"BEGIN {mode}; {_PINNED}; SET LOCAL statement_timeout = {limit}; "
            f"SET LOCAL lock_timeout = {limit}{more}",
        )

    def broken(self, connection: Connection) -> bool:
        return bool(connection.closed) or connection.info.transaction_status != 0

    def savepoint(self, connection: Connection, name: str) -> None:
        self.command(connection, f"SAVEPOINT {name}; SET CONSTRAINTS ALL DEFERRED")

    def release(self, connection: Connection, name: str) -> None:
        self.command(connection, f"SET CONSTRAINTS ALL IMMEDIATE; RELEASE SAVEPOINT {name}")

    def classify(self, exc: BaseException) -> Fault | None:
        if not isinstance(exc, psycopg.Error):
            return None
        state = exc.sqlstate or ""
        text = one_line(exc.diag.message_primary or str(exc))
        if not state:
            return self._stateless(text)
        if state in ("28P01", "28000"):
            return Fault(FaultKind.LOGIN, "the login was refused")
        exact = {
            "42501": FaultKind.DENIED,
            "3D000": FaultKind.DATABASE,
            "42P01": FaultKind.OBJECT,
            "3F000": FaultKind.OBJECT,
            "42703": FaultKind.COLUMN,
            "57014": FaultKind.DEADLINE,
            "55P03": FaultKind.AGAIN,
            "25006": FaultKind.DENIED,  # a read-only server
            "XX001": FaultKind.CORRUPT,
            "XX002": FaultKind.CORRUPT,
        }.get(state)
        if exact is not None:
            return Fault(exact, text)
        if state[:2] == "40":
            return Fault(FaultKind.AGAIN, text)
        if state[:2] in ("08", "53", "57", "58"):
            return Fault(FaultKind.DOWN, text)
        return Fault(
            FaultKind.REFUSED, text, unique=state == "23505", foreign=state in ("23503", "23001")
        )

    @staticmethod
    def _stateless(text: str) -> Fault:
        """Errors of connecting come as text only."""
        if "authentication failed" in text or "no password supplied" in text:
            return Fault(FaultKind.LOGIN, "the login was refused")
        if "does not exist" in text and "database" in text:
            return Fault(FaultKind.DATABASE, text.rpartition("FATAL:")[2].strip())
        if "does not exist" in text and "role" in text:
            return Fault(FaultKind.LOGIN, "the login was refused")
        return Fault(FaultKind.DOWN, text)

    # -- what is there -----------------------------------------------------------------------

    def identity(self) -> str:
        with self.session("asking for the database's identity") as connection:
            name, oid = self.rows(
                connection,
                "SELECT datname, oid::text FROM pg_database WHERE datname = current_database()",
            )[0]
            allowed = self.rows(
                connection, "SELECT has_function_privilege('pg_control_system()', 'EXECUTE')"
            )[0][0]
            if not allowed:
                return f"postgresql:oid:{oid}:{name}"
            # the oid tells a database that was dropped and made again from the one before
            system = self.rows(
                connection, "SELECT system_identifier::text FROM pg_control_system()"
            )[0][0]
            return f"postgresql:{system}:{oid}:{name}"

    def tables(self) -> list[tuple[str, TableRef, bool]]:
        sql = (
            "SELECT n.nspname, c.relname, c.relkind IN ('v', 'm') FROM pg_class c "
            "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN "
            "('r', 'p', 'f', 'v', 'm') AND n.nspname <> 'information_schema' "
            "AND n.nspname !~ '^pg_' AND (%s::text IS NULL OR n.nspname = %s::text) "
            "AND c.relname NOT IN ('syncd_receipts', 'syncd_state') ORDER BY 3, 1, 2"
        )
        with self.session("listing the tables") as connection:
            found = self.rows(connection, sql, (self.options.schema, self.options.schema))
        return [(f"{schema}.{name}", TableRef(schema, name), view) for schema, name, view in found]

    def shown(self, ref: TableRef) -> str:
        return f"{ref.schema}.{ref.name}"

    def declared(self, ref: TableRef) -> dict[str, str]:
        sql = (
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
        )
        with self.session(f"looking at {ref.name}") as connection:
            return dict(self.rows(connection, sql, (self._regclass(ref),)))

    def system_columns(self) -> dict[str, Column]:
        return {"xmin": Column("xmin", "xid", "other", nullable=False, derived=True)}

    def privileges(self, ref: TableRef) -> frozenset[str]:
        sql = (
            "SELECT has_any_column_privilege(c, 'SELECT'), has_any_column_privilege(c, 'INSERT'), "
            "has_any_column_privilege(c, 'UPDATE'), has_table_privilege(c, 'DELETE') "
            "FROM (SELECT %s::regclass::oid AS c) x"
        )
        with self.session(f"asking for the privileges on {ref.name}") as connection:
            granted = self.rows(connection, sql, (self._regclass(ref),))[0]
        names = ("read", "insert", "update", "delete")
        return frozenset(name for name, given in zip(names, granted, strict=True) if given)

    def estimate(self, ref: TableRef) -> int | None:
        with self.session(f"asking for the size of {ref.name}") as connection:
            rows = self.rows(
                connection,
                "SELECT reltuples::bigint FROM pg_class WHERE oid = %s::regclass",
                (self._regclass(ref),),
            )
        return int(rows[0][0]) if rows and rows[0][0] >= 0 else None

    @staticmethod
    def _regclass(ref: TableRef) -> str:
        quoted = ('"' + part.replace('"', '""') + '"' for part in ref if part is not None)
        return ".".join(quoted)
