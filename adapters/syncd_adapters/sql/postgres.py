"""PostgreSQL, writing: rows go in by COPY, and come back as COPY text from the statement itself."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from syncd.adapter import Native
from syncd_adapters.sql.copytext import copy_fields, copy_lines, escaped
from syncd_adapters.sql.faults import Refused, Uncorrelated, UnderWay
from syncd_adapters.sql.flavor import Connection
from syncd_adapters.sql.layout import Layout, Parts, TableRef
from syncd_adapters.sql.postgres_read import PostgresReader, split_line
from syncd_adapters.sql.tokens import made_range, read_range

_BATCH = "pg_temp.syncd_batch"
_SETTLE_SECONDS = 30
_MOST_PARTS = 50  # more ids than these are not worth their place in the journal
_TIMELINE = "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"
# Writes the log out at once; since version 17, unless somebody took the right to it away.
_FLUSHING = "pg_logical_emit_message(boolean, text, text, boolean)"


class Postgres(PostgresReader):
    _flushes: bool | None = None  # None: not asked yet
    _timelines: bool | None = None

    # -- writing -----------------------------------------------------------------------------

    def _stage(
        self,
        connection: Connection,
        layout: Layout,
        columns: Sequence[str],
        rows: Sequence[Sequence[Native]],
        keys: Sequence[Parts] | None,
    ) -> None:
        """Rows (n, k0…, v0…) into a table that ends with the transaction, by COPY."""
        fields = [list(map(str, range(len(rows))))]
        if keys is not None:
            fields += [escaped(list(map(str, parts))) for parts in zip(*keys, strict=True)]
        fields += [
            copy_fields(values, layout.column(name))
            for name, values in zip(columns, zip(*rows, strict=True), strict=True)
        ]
        data = copy_lines(fields)
        names = [self.quote(name) for name in (layout.key if keys is not None else ())]
        parts = ["0 AS n", *(f"{name} AS k{i}" for i, name in enumerate(names))]
        parts += [f"{self.quote(name)} AS v{i}" for i, name in enumerate(columns)]
        self.run(connection, f"DROP TABLE IF EXISTS {_BATCH}")
        self.run(
            connection,
            f"CREATE TEMP TABLE syncd_batch ON COMMIT DROP AS SELECT {', '.join(parts)} "
            f"FROM {self.table(layout.ref)} WITH NO DATA",
        )
        with connection.cursor() as cursor, cursor.copy(f"COPY {_BATCH} FROM STDIN") as copy:
            copy.write(data)

    def reserve(
        self, connection: Connection, layout: Layout, missing: Sequence[str], count: int
    ) -> list[list[Native]] | None:
        made: list[list[Native]] = []
        for name in missing:
            identity, default, sequence = self._generator(connection, layout, name)
            if identity and sequence:
                default = f"nextval({self.literal(sequence)}::regclass)"
            elif default is None:
                raise Refused(f"a new record needs a value for its key column {name!r}")
            else:
                default = default.replace("%", "%%")
            self.command(connection, "SAVEPOINT syncd_keys")
            try:
                found = self.rows(
                    connection,
                    f"SELECT ({default})::text FROM generate_series(1, {count})",
                )
            except psycopg.errors.InsufficientPrivilege:
                # an identity column may be inserted into without a right to its sequence
                self.command(connection, "ROLLBACK TO SAVEPOINT syncd_keys")
                return None
            self.command(connection, "RELEASE SAVEPOINT syncd_keys")
            made.append([row[0] for row in found])
        return made

    def _generator(
        self, connection: Connection, layout: Layout, name: str
    ) -> tuple[str, str | None, str | None]:
        """(identity: "" | "a" | "d", default expression, sequence) of a column."""
        table = self._regclass(layout.ref)
        sql = (
            "SELECT a.attidentity, pg_get_expr(d.adbin, d.adrelid), CASE WHEN a.attidentity <> '' "
            "THEN pg_get_serial_sequence(%s, a.attname) END FROM pg_attribute a LEFT JOIN "
            "pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum "
            "WHERE a.attrelid = %s::regclass AND a.attname = %s"
        )
        found = self.rows(connection, sql, (table, table, name))
        identity, default, sequence = found[0]
        return str(identity), default, sequence

    def insert(
        self,
        connection: Connection,
        layout: Layout,
        columns: Sequence[str],
        rows: Sequence[Sequence[Native]],
        keys: Sequence[Parts] | None,
    ) -> list[bytes]:
        self._stage(connection, layout, columns, rows, None)
        names = ", ".join(map(self.quote, columns))
        values = ", ".join(f"b.v{n}" for n in range(len(columns)))
        # also over GENERATED ALWAYS: the key was taken from the column's own sequence
        given = " OVERRIDING SYSTEM VALUE" if set(columns) & set(layout.key) else ""
        found = self._lines(
            connection,
            f"INSERT INTO {self.table(layout.ref)} AS t ({names}){given} "
            f"SELECT {values} FROM {_BATCH} AS b ORDER BY b.n "
            f"RETURNING {self.selected(layout, 't')}",
        )
        if not found:
            raise Refused("the database kept no row: a trigger or rule drops the insert")
        maker = self.row_maker(layout)
        if len(found) != len(rows):
            raise Uncorrelated
        if keys is None:
            if len(rows) > 1:
                raise Uncorrelated
            keys = [maker.parts(split_line(found[0]))]
        if self._fires_later(connection, layout.ref, insert=True):
            found = self.fetch(connection, layout, keys, lock=False)
        by_key = {maker.parts(split_line(raw)): raw for raw in found}
        if len(rows) == 1 and len(found) == 1:
            return found
        try:
            return [by_key[key] for key in keys]
        except KeyError:  # a trigger chose other keys
            raise Uncorrelated from None

    def update(
        self,
        connection: Connection,
        layout: Layout,
        columns: Sequence[str],
        rows: Sequence[Sequence[Native]],
        keys: Sequence[Parts],
    ) -> list[bytes | None]:
        self._stage(connection, layout, columns, rows, keys)
        values = ", ".join(f"{self.quote(name)} = b.v{n}" for n, name in enumerate(columns))
        lines = self._lines(
            connection,
            f"UPDATE {self.table(layout.ref)} AS t SET {values} FROM {_BATCH} AS b "
            f"WHERE {self._on_key(layout, 't', 'b')} RETURNING b.n, {self.selected(layout, 't')}",
        )
        after: list[bytes | None] = [None] * len(rows)
        for line in lines:
            n, _, raw = line.partition(b"\t")
            after[int(n)] = raw
        if not self._fires_later(connection, layout.ref, insert=False):
            return after
        maker = self.row_maker(layout)
        now = [maker.parts(split_line(raw)) if raw is not None else None for raw in after]
        found = self.fetch(connection, layout, [key for key in now if key is not None], lock=False)
        by_key = {maker.parts(split_line(raw)): raw for raw in found}
        return [by_key.get(key) if key is not None else None for key in now]

    def _fires_later(self, connection: Connection, ref: TableRef, *, insert: bool) -> bool:
        """Whether triggers run after the rows are returned, and so may still change them."""
        event = 4 if insert else 16
        sql = (
            "SELECT EXISTS (SELECT 1 FROM pg_trigger WHERE tgrelid IN (SELECT %s::regclass UNION "
            "SELECT relid FROM pg_partition_tree(%s::regclass)) AND NOT tgisinternal "
            "AND tgenabled <> 'D' AND tgtype & 2 = 0 AND tgtype & %s::int <> 0)"
        )
        table = self._regclass(ref)
        return bool(self.rows(connection, sql, (table, table, event))[0][0])

    def delete(self, connection: Connection, layout: Layout, keys: Sequence[Parts]) -> None:
        self.run(
            connection,
            f"DELETE FROM {self.table(layout.ref)} AS t USING {self._keys_from(layout, keys)} "
            f"WHERE {self._on_key(layout, 't', 'k')}",
        )

    # -- what became of a transaction --------------------------------------------------------

    def token(
        self,
        connection: Connection,
        layout: Layout,
        written: Sequence[Parts],
        made: Sequence[Parts],
    ) -> str | None:
        """`pg:<transaction>[@<timeline>][+<savepoint>…]`: rows carry the id of the savepoint they
        were written in."""
        xid = self.rows(connection, "SELECT pg_current_xact_id()::text")[0][0]
        self._make_durable(connection)
        parts: list[str] = []
        if written:
            found = self.rows(
                connection,
                f"SELECT DISTINCT t.xmin::text FROM {self._keys_from(layout, written)} "
                f"JOIN {self.table(layout.ref)} AS t ON {self._on_key(layout, 't', 'k')}",
            )
            parts = sorted(row[0] for row in found)
        if len(parts) > _MOST_PARTS:
            parts = []
        return "pg:" + "+".join([xid + self._timeline(connection), *parts]) + made_range(made)

    def _timeline(self, connection: Connection) -> str:
        """`@<timeline>` of the server's history, "" where it does not say. A standby that takes
        over, or a restore to a moment, begins another one: what came last may be missing in it,
        and the numbers of those transactions are given again."""
        if self._timelines is None:
            self.command(connection, "SAVEPOINT syncd_timeline")
            try:
                self.rows(connection, _TIMELINE)
                self._timelines = True
            except psycopg.errors.DatabaseError:
                if connection.closed:
                    raise
                self._timelines = False
            self.command(connection, "ROLLBACK TO SAVEPOINT syncd_timeline")
        if not self._timelines:
            return ""
        return f"@{int(self.rows(connection, _TIMELINE)[0][0], 16)}"

    def _moved_on(self, connection: Connection, token: str) -> bool:
        """Whether the server's history is another one than that of the token."""
        _, mark, then = token.split(":")[1].partition("+")[0].partition("@")
        return bool(mark) and self._timeline(connection) not in ("", mark + then)

    def _make_durable(self, connection: Connection) -> None:
        """A server that crashes gives the numbers of transactions again that its log on the disk
        does not name, and would then answer for somebody else's. So the log is written out before
        ours counts: here, or else by another transaction, whose commit comes later in the log and
        which has a higher number."""
        if self._flushes is None:
            sql = "SELECT has_function_privilege(to_regprocedure(%s), 'EXECUTE')"
            self._flushes = bool(self.rows(connection, sql, (_FLUSHING,))[0][0])
        if self._flushes:
            self.rows(connection, "SELECT pg_logical_emit_message(false, 'syncd', '', true)")
            return
        with self.session("making the transaction's number durable") as other:
            self.begin_write(other)
            self.run(other, "CREATE TEMP TABLE syncd_durable () ON COMMIT DROP")
            self.commit(other)

    def ended(self, connection: Connection, token: str | None) -> bool | None:
        if token is None:
            return False  # the token is durable before COMMIT is sent: it never was
        if not token.startswith("pg:"):
            return None
        xid = token.split(":")[1].partition("+")[0].partition("@")[0]
        patience = min(_SETTLE_SECONDS, self.options.timeout)
        deadline = self.context.seams.clock.monotonic() + patience
        while True:
            try:
                state = self.rows(connection, "SELECT pg_xact_status(%s::xid8)", (xid,))[0][0]
            except psycopg.errors.InvalidParameterValue:  # it is in the future
                return self._never(connection)
            if state == "committed":
                return None if self._moved_on(connection, token) else True
            if state == "aborted":
                return False
            if state is None:  # so long ago that the server has forgotten it
                return None
            if self.context.seams.clock.monotonic() >= deadline:
                raise UnderWay
            self.context.seams.sleep(0.1)

    def _never(self, connection: Connection) -> bool:
        """A number that this history has not come to: none of its transactions had it."""
        self.rollback(connection)
        if self.rows(connection, "SELECT pg_is_in_recovery()")[0][0]:
            raise UnderWay  # a standby, which may come to it yet
        return False

    def candidates(
        self, connection: Connection, layout: Layout, token: str
    ) -> list[tuple[bytes, bool]]:
        numbered = [part.partition("@")[0] for part in token.split(":")[1].split("+")]
        ids = [str(int(n) % 2**32) for n in numbered]
        sure = not self._moved_on(connection, token)
        ours = "xmin::text IN (" + ", ".join(f"'{n}'" for n in ids) + ")"
        found = [(raw, sure) for raw in self.select_raws(connection, layout, ours, ())]
        numbers = read_range(token)
        if numbers is not None:  # also those somebody has edited since
            where = f"{self.quote(layout.key[0])} BETWEEN {numbers[0]} AND {numbers[1]}"
            edited = self.select_raws(connection, layout, f"{where} AND NOT {ours}", ())
            found += [(raw, False) for raw in edited]
        return found
