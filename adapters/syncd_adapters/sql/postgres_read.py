"""PostgreSQL, reading: every row is a line of COPY text, also those of a write."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import psycopg
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult
from psycopg.waiting import Ready, Wait

from syncd.adapter import Column, Native
from syncd.core import keys as codec
from syncd_adapters.sql.faults import Refused
from syncd_adapters.sql.flavor import BLOCK, Connection
from syncd_adapters.sql.layout import Layout, Parts, RowMaker, key_kind
from syncd_adapters.sql.postgres_server import PostgresServer
from syncd_adapters.sql.textual import array_text, parser, to_text

_UNESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_MARKS = re.compile(r"(?<!%)%s")  # "%%s" is part of a name


class PostgresReader(PostgresServer):
    # -- reading -----------------------------------------------------------------------------

    def selected(self, layout: Layout, alias: str = "") -> str:
        prefix = f"{alias}." if alias else ""
        key = [self._key(layout, name, prefix) for name in layout.key]
        rest = [prefix + self.quote(name) for name in layout.names[len(key) :]]
        return ", ".join(key + rest)

    def _key(self, layout: Layout, name: str, prefix: str = "") -> str:
        column = layout.column(name)
        quoted = prefix + self.quote(name)
        plain = (
            key_kind(column) == "int"
            or column.family == "uuid"
            or (column.family == "text" and not column.type.startswith("character("))
        )
        return quoted if plain else f"{quoted}::text"

    def ordered(self, layout: Layout) -> str:
        return ", ".join(
            self._key(layout, name)
            if kind == "int" or layout.column(name).family == "uuid"
            else f'{self._key(layout, name)} COLLATE "C"'
            for name, kind in zip(layout.key, layout.kinds, strict=True)
        )

    def reader(self, layout: Layout) -> str:
        types = ",".join(f"{name}:{layout.column(name).type}" for name in layout.names)
        return f"postgresql-copy/1:{types}"

    def row_maker(self, layout: Layout) -> RowMaker:
        return RowMaker(layout, split_line, [parser(layout.column(n)) for n in layout.names], str)

    def _copy_out(self, connection: Connection, select: str) -> Iterator[list[bytes]]:
        """The lines of a COPY in blocks, without their ends. Leaving early cancels it."""
        # COPY takes no parameters, and so does not read a doubled % as one
        statement = f"COPY ({select}) TO STDOUT".replace("%%", "%")
        with connection.cursor() as cursor, cursor.copy(statement):
            more = True
            while more:  # a COPY that has ended must not be asked again
                lines, more = connection.wait(_read_block(connection.pgconn))
                raws = b"".join(lines).split(b"\n")
                raws.pop()
                if raws:
                    yield raws

    def _lines(self, connection: Connection, select: str) -> list[bytes]:
        return [raw for raws in self._copy_out(connection, select) for raw in raws]

    def stream(
        self, connection: Connection, layout: Layout, sql: str, keys_only: bool
    ) -> Generator[tuple[list[str], list[bytes]], None, None]:
        keys_of = self._block_keys(layout)
        for raws in self._copy_out(connection, sql):
            keys = keys_of(raws)
            yield keys, [b""] * len(keys) if keys_only else raws

    def _block_keys(self, layout: Layout) -> Callable[[list[bytes]], list[str]]:
        maker = self.row_maker(layout)

        count = len(layout.key)

        def one_by_one(raws: list[bytes]) -> list[str]:
            firsts = (b"\t".join(raw.split(b"\t", count)[:count]) for raw in raws)
            return [codec.encode(maker.parts(split_line(first))) for first in firsts]

        if count > 1:
            return one_by_one
        encode = codec.encode_ints if layout.kinds == ("int",) else codec.encode_texts

        def at_once(raws: list[bytes]) -> list[str]:
            joined = b"\n".join([raw.split(b"\t", 1)[0] for raw in raws])
            return one_by_one(raws) if b"\\" in joined else encode(joined.decode().split("\n"))

        return at_once

    def _keys_from(self, layout: Layout, keys: Sequence[Parts], extra: str = "") -> str:
        """The keys as rows k(k0, k1…, n), written into the statement: COPY takes no parameters."""
        columns = zip(*keys, strict=True)
        arrays = ", ".join(
            self.literal(array_text([str(part) for part in parts])) + self._array_type(layout, name)
            for name, parts in zip(layout.key, columns, strict=True)
        )
        names = ", ".join(f"k{n}" for n in range(len(layout.key)))
        return f"unnest({arrays}) WITH ORDINALITY AS k({names}, n){extra}"

    def _array_type(self, layout: Layout, name: str) -> str:
        """Keys compare in their own type, so that the index serves; texts as unbounded text."""
        column = layout.column(name)
        if column.family == "text":
            return "::bpchar[]" if column.type.startswith("character(") else "::text[]"
        return f"::{column.type}[]"

    def _on_key(self, layout: Layout, table: str, other: str) -> str:
        return " AND ".join(
            f"{table}.{self.quote(name)} = {other}.k{n}" for n, name in enumerate(layout.key)
        )

    def literal(self, text: str) -> str:
        if "\x00" in text:
            raise Refused("a text with a NUL character cannot be stored")
        return super().literal(text).replace("%", "%%")

    def fetch(
        self, connection: Connection, layout: Layout, keys: Sequence[Parts], lock: bool
    ) -> list[bytes]:
        if not keys:
            return []
        select = (
            f"SELECT {self.selected(layout, 't')} FROM {self._keys_from(layout, keys)} "
            f"JOIN {self.table(layout.ref)} AS t ON {self._on_key(layout, 't', 'k')}"
        )
        if lock:  # always in one order, so that two batches do not lock each other out
            order = ", ".join(f"t.{self.quote(name)}" for name in layout.key)
            select += f" ORDER BY {order} FOR UPDATE OF t"
        return self._lines(connection, select)

    def select_raws(
        self, connection: Connection, layout: Layout, where: str, params: Sequence[Any]
    ) -> list[bytes]:
        pieces = _MARKS.split(where)
        filled = pieces[0] + "".join(
            ("NULL" if param is None else self.literal(str(param))) + piece
            for param, piece in zip(params, pieces[1:], strict=True)
        )
        return self._lines(connection, self.read_sql(layout, filled, order=False))

    def bind(self, value: Native, column: Column) -> str | None:
        return to_text(value, column)

    def key_text(self, value: Native, column: Column) -> str:
        return to_text(value, column) or ""


def _read_block(pgconn: PGconn) -> Generator[Wait, Ready, tuple[list[bytes], bool]]:
    """(up to a block of lines of the COPY under way, whether more may come), for
    `connection.wait`.

    psycopg's own iteration crosses five frames a line, which cost more than the reading itself;
    and as bytes, unlike views, the lines are nothing for the garbage collector to look at.
    """
    lines: list[bytes] = []
    get = pgconn.get_copy_data
    while len(lines) < BLOCK:
        size, line = get(1)
        if size > 0:
            lines.append(line.tobytes())
        elif size == 0:  # nothing has arrived yet
            while not (yield Wait.R):
                continue
            pgconn.consume_input()
        else:
            _finish(pgconn)
            return lines, False
    return lines, True


def _finish(pgconn: PGconn) -> None:
    """Takes the result that ends a COPY; raises what it reports."""
    failed: PGresult | None = None
    while result := pgconn.get_result():
        if result.status != ExecStatus.COMMAND_OK:
            failed = failed or result
    if failed is not None:
        raise psycopg.errors.error_from_result(failed)


def split_line(raw: bytes) -> list[str | None]:
    """The fields of a line of COPY text."""
    fields: list[str | None] = list(raw.decode().split("\t"))
    if b"\\" not in raw:
        return fields
    return [_unescape(field) if field is not None and "\\" in field else field for field in fields]


def _unescape(field: str) -> str | None:
    if field == "\\N":
        return None
    done: list[str] = []
    start = 0
    while (at := field.find("\\", start)) >= 0:
        char = field[at + 1]
        done += (field[start:at], _UNESCAPED.get(char, char))
        start = at + 2
    done.append(field[start:])
    return "".join(done)
