"""MySQL and MariaDB: connections, transactions, errors, and what is there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pymysql  # type: ignore[import-untyped]
from pymysql.constants import CR, ER  # type: ignore[import-untyped]

from syncd.adapter import Column
from syncd_adapters.sql.faults import Fault, FaultKind, one_line
from syncd_adapters.sql.flavor import Connection
from syncd_adapters.sql.layout import TableRef
from syncd_adapters.sql.tuple_flavor import TupleFlavor

# Strict, so that a value that does not fit is refused and never cut; UTC, so that a TIMESTAMP
# reads as the instant it is.
_SETTINGS = (
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION',"
    " time_zone = '+00:00', innodb_lock_wait_timeout = {seconds}"
)
_KINDS = {
    ER.ACCESS_DENIED_ERROR: FaultKind.LOGIN,
    1698: FaultKind.LOGIN,  # access denied without password
    ER.DBACCESS_DENIED_ERROR: FaultKind.DENIED,
    ER.TABLEACCESS_DENIED_ERROR: FaultKind.DENIED,
    ER.COLUMNACCESS_DENIED_ERROR: FaultKind.DENIED,
    ER.SPECIFIC_ACCESS_DENIED_ERROR: FaultKind.DENIED,
    ER.OPTION_PREVENTS_STATEMENT: FaultKind.DENIED,  # --read-only
    1792: FaultKind.DENIED,  # a read-only transaction
    ER.BAD_DB_ERROR: FaultKind.DATABASE,
    ER.NO_SUCH_TABLE: FaultKind.OBJECT,
    ER.BAD_FIELD_ERROR: FaultKind.COLUMN,
    ER.LOCK_DEADLOCK: FaultKind.AGAIN,
    ER.LOCK_WAIT_TIMEOUT: FaultKind.AGAIN,
    1020: FaultKind.AGAIN,  # the row changed since it was read
    1969: FaultKind.DEADLINE,  # max_statement_time
    3024: FaultKind.DEADLINE,  # max_execution_time
    ER.CON_COUNT_ERROR: FaultKind.DOWN,
    ER.SERVER_SHUTDOWN: FaultKind.DOWN,
    1317: FaultKind.DOWN,  # the query was interrupted
    1927: FaultKind.DOWN,  # the connection was killed
    1021: FaultKind.DOWN,  # disk full
    1114: FaultKind.DOWN,  # table full
    CR.CR_SERVER_GONE_ERROR: FaultKind.DOWN,
    CR.CR_SERVER_LOST: FaultKind.DOWN,
    CR.CR_CONN_HOST_ERROR: FaultKind.DOWN,
    CR.CR_CONNECTION_ERROR: FaultKind.DOWN,
    CR.CR_UNKNOWN_HOST: FaultKind.DOWN,
}
_UNIQUE = (ER.DUP_ENTRY, 1586)
_FOREIGN = (ER.NO_REFERENCED_ROW, ER.NO_REFERENCED_ROW_2, ER.ROW_IS_REFERENCED, 1451)
_PRIVILEGES = {"SELECT": "read", "INSERT": "insert", "UPDATE": "update", "DELETE": "delete"}


class MySqlServer(TupleFlavor):
    name = "mysql"

    def engine_options(self) -> dict[str, Any]:
        connect = {
            "charset": "utf8mb4",
            "connect_timeout": 15,
            "read_timeout": int(self.options.timeout) + 30,
            "write_timeout": int(self.options.timeout) + 30,
        }
        return {**super().engine_options(), "connect_args": connect}

    def prepare(self, connection: Connection) -> None:
        connection.autocommit(True)
        with connection.cursor() as cursor:
            cursor.execute(_SETTINGS.format(seconds=max(1, int(self.options.timeout))))

    def take(self, connection: Connection) -> None:
        """Values stay text as the server sent them, while the connection is ours."""
        connection.syncd_decoders, connection.decoders = connection.decoders, {}

    def give_back(self, connection: Connection) -> None:
        connection.decoders = connection.syncd_decoders

    def broken(self, connection: Connection) -> bool:
        return not connection.open

    def quote(self, name: str) -> str:
        return "`" + name.replace("`", "``").replace("%", "%%") + "`"

    def literal(self, text: str) -> str:
        return super().literal(text.replace("\\", "\\\\")).replace("%", "%%")

    # -- transactions ------------------------------------------------------------------------

    def _deadline(self, connection: Connection, seconds: float) -> None:
        if "MariaDB" in connection.get_server_info():
            self.command(connection, f"SET SESSION max_statement_time = {seconds:g}")
        else:
            self.command(connection, f"SET SESSION max_execution_time = {int(seconds * 1000)}")

    def begin_read(self, connection: Connection) -> None:
        self._deadline(connection, self.options.read_timeout)
        self.command(connection, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        self.command(connection, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")

    def begin_lookup(self, connection: Connection) -> None:
        self._deadline(connection, self.options.timeout)
        self.command(connection, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        self.command(connection, "START TRANSACTION READ ONLY")

    def begin_write(self, connection: Connection) -> None:
        # READ COMMITTED locks the rows, not the gaps between them: fewer deadlocks
        self._deadline(connection, self.options.timeout)
        self.command(connection, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        self.command(connection, "START TRANSACTION")

    def classify(self, exc: BaseException) -> Fault | None:
        if not isinstance(exc, pymysql.err.MySQLError):
            return Fault(FaultKind.DOWN, one_line(str(exc))) if isinstance(exc, OSError) else None
        number = exc.args[0] if exc.args and isinstance(exc.args[0], int) else 0
        text = one_line(str(exc.args[-1])) if exc.args else "no reason given"
        kind = _KINDS.get(number)
        if kind is FaultKind.LOGIN:
            return Fault(kind, "the login was refused")
        if kind is not None:
            return Fault(kind, text)
        if isinstance(exc, pymysql.err.InterfaceError):
            return Fault(FaultKind.DOWN, "the connection is closed")
        return Fault(FaultKind.REFUSED, text, unique=number in _UNIQUE, foreign=number in _FOREIGN)

    # -- what is there -----------------------------------------------------------------------

    def _schema(self, ref: TableRef | None = None) -> str:
        return (
            (ref.schema if ref is not None else None)
            or self.options.schema
            or (self.options.url.database or "")
        )

    def identity(self) -> str:
        """The server's own id and the database's name. MariaDB before 10.9 has no such id; the
        configured server id stands for it."""
        with self.session("asking for the database's identity") as connection:
            found = dict(
                self.rows(
                    connection,
                    "SHOW GLOBAL VARIABLES WHERE Variable_name IN "
                    "('server_uuid', 'server_uid', 'server_id')",
                )
            )
        server = found.get("server_uuid") or found.get("server_uid") or found.get("server_id")
        return f"mysql:{server}:{self._schema()}"

    def tables(self) -> list[tuple[str, TableRef, bool]]:
        sql = (
            "SELECT table_name, table_type LIKE '%%VIEW' FROM information_schema.tables "
            "WHERE table_schema = %s AND table_name NOT IN ('syncd_receipts', 'syncd_state') "
            "ORDER BY 2, 1"
        )
        with self.session("listing the tables") as connection:
            found = self.rows(connection, sql, (self._schema(),))
        schema = self.options.schema
        return [(name, TableRef(schema, name), view == "1") for name, view in found]

    def declared(self, ref: TableRef) -> dict[str, str]:
        with self.session(f"looking at {ref.name}") as connection:
            kinds = {name: kind for name, kind, _, _ in self.columns(connection, ref)}
        return kinds | dict.fromkeys(self._json(ref, kinds), "json")

    def _json(self, ref: TableRef, kinds: Mapping[str, str]) -> list[str]:
        """MariaDB's JSON columns: there it is another word for longtext, with a check."""
        checks = {f"json_valid({self.quote(n)})": n for n, k in kinds.items() if k == "longtext"}
        if not checks:
            return []
        sql = (
            "SELECT check_clause FROM information_schema.check_constraints "
            "WHERE constraint_schema = %s AND table_name = %s"
        )
        with self.session(f"looking at {ref.name}") as connection:
            if "MariaDB" not in connection.get_server_info():
                return []
            found = self.rows(connection, sql, (self._schema(ref), ref.name))
        return [checks[clause] for (clause,) in found if clause in checks]

    def columns(self, connection: Connection, ref: TableRef) -> list[tuple[Any, ...]]:
        """(name, type, default, extra)"""
        sql = (
            "SELECT column_name, column_type, column_default, extra FROM "
            "information_schema.columns WHERE table_schema = %s AND table_name = %s"
        )
        return self.rows(connection, sql, (self._schema(ref), ref.name))

    def true_name(self, reflected: str) -> str:
        return reflected.replace("``", "`")

    def refine(self, column: Column) -> Column:
        kind = column.type.lower()
        if kind == "json":
            return replace(column, family="json")
        if kind.startswith(("tinyint(1)", "bit(1)")):
            return replace(column, family="boolean")
        if re.match(r"\w*blob", kind):
            return replace(column, family="bytes")
        if kind.startswith("year"):
            return replace(column, family="integer")
        if kind.startswith("enum") or not kind.startswith("set"):
            return column
        return replace(column, family="other", choices=())

    def transactional(self, ref: TableRef) -> bool:
        sql = (
            "SELECT t.table_type LIKE '%%VIEW' OR e.transactions = 'YES' FROM "
            "information_schema.tables t LEFT JOIN information_schema.engines e "
            "ON e.engine = t.engine WHERE t.table_schema = %s AND t.table_name = %s"
        )
        with self.session(f"looking at {ref.name}") as connection:
            found = self.rows(connection, sql, (self._schema(ref), ref.name))
        return bool(found) and found[0][0] == "1"

    def estimate(self, ref: TableRef) -> int | None:
        sql = (
            "SELECT table_rows FROM information_schema.tables "
            "WHERE table_schema = %s AND table_name = %s"
        )
        with self.session(f"asking for the size of {ref.name}") as connection:
            found = self.rows(connection, sql, (self._schema(ref), ref.name))
        return int(found[0][0]) if found and found[0][0] is not None else None

    def privileges(self, ref: TableRef) -> frozenset[str] | None:
        """Grants to the user itself; None where they come by a role, which cannot be asked here."""
        grantee = "CONCAT('''', REPLACE(CURRENT_USER(), '@', '''@'''), '''')"
        sql = (
            "SELECT privilege_type FROM information_schema.user_privileges "
            f"WHERE grantee = {grantee} "
            "UNION SELECT privilege_type FROM information_schema.schema_privileges "
            f"WHERE grantee = {grantee} AND %s LIKE table_schema "
            "UNION SELECT privilege_type FROM information_schema.table_privileges "
            f"WHERE grantee = {grantee} AND table_schema = %s AND table_name = %s "
            "UNION SELECT privilege_type FROM information_schema.column_privileges "
            f"WHERE grantee = {grantee} AND table_schema = %s AND table_name = %s"
        )
        schema = self._schema(ref)
        with self.session(f"asking for the privileges on {ref.name}") as connection:
            found = self.rows(connection, sql, (schema, schema, ref.name, schema, ref.name))
        granted = frozenset(_PRIVILEGES[name] for (name,) in found if name in _PRIVILEGES)
        return granted or None
