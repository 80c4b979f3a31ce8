"""Values as the text a database prints, by column family, and back.

`infinity`, years beyond 9999 and the like stay text: the mapping refuses them with their column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

import orjson

from syncd.adapter import Column
from syncd.core import jsontext


def _or_text(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    def parsed(text: str) -> Any:
        try:
            return parse(text)
        except (ValueError, InvalidOperation):
            return text

    return parsed


def _bytes(text: str) -> bytes:
    if not text.startswith("\\x"):
        raise ValueError("not hexadecimal")
    return bytes.fromhex(text[2:])


def _boolean(text: str) -> bool:
    if text in ("t", "true", "1"):
        return True
    if text in ("f", "false", "0"):
        return False
    raise ValueError("not a boolean")


PARSERS: dict[str, Callable[[str], Any]] = {
    "text": str,
    "enum": str,
    "other": str,
    "integer": _or_text(int),
    "decimal": _or_text(Decimal),
    "float": _or_text(float),
    "boolean": _or_text(_boolean),
    "date": _or_text(date.fromisoformat),
    "datetime": _or_text(datetime.fromisoformat),
    "time": _or_text(time.fromisoformat),
    "uuid": _or_text(UUID),
    "bytes": _or_text(_bytes),
    "json": _or_text(jsontext.loads),
}


def parser(column: Column) -> Callable[[str], Any]:
    """Text as PostgreSQL or MySQL print it → native value."""
    if column.family == "list":
        return _or_text(lambda text: parse_array(text, element_parser(column.type)))
    return PARSERS[column.family]


def element_parser(type_name: str) -> Callable[[str], Any]:
    name = type_name.upper()
    for words, family in (
        (("SMALLINT", "INTEGER", "BIGINT", "INT"), "integer"),
        (("NUMERIC", "DECIMAL"), "decimal"),
        (("REAL", "FLOAT", "DOUBLE"), "float"),
        (("BOOL",), "boolean"),
        (("TIMESTAMP",), "datetime"),
        (("DATE",), "date"),
        (("UUID",), "uuid"),
    ):
        if name.startswith(words):
            return PARSERS[family]
    return str


def parse_array(text: str, element: Callable[[str], Any]) -> list[Any]:
    """`{1,NULL,"a b",{…}}` → list. Raises ValueError."""
    if text.startswith("["):  # bounds that do not begin at 1: "[0:2]={…}"
        text = text.partition("=")[2]
    stack: list[list[Any]] = [[]]
    n = 0
    while n < len(text):
        char = text[n]
        if char == "{":
            stack.append([])
        elif char == "}":
            done = stack.pop()
            stack[-1].append(done)
        elif char == '"':
            word: list[str] = []
            n += 1
            while text[n] != '"':
                n += text[n] == "\\"
                word.append(text[n])
                n += 1
            stack[-1].append(element("".join(word)))
        elif char != ",":
            end = n
            while text[end] not in ",}":
                end += 1
            bare = text[n:end]
            stack[-1].append(None if bare == "NULL" else element(bare))
            n = end - 1
        n += 1
    if len(stack) != 1 or len(stack[0]) != 1:
        raise ValueError("not an array")
    found: list[Any] = stack[0][0]
    return found


def _json_default(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"{type(value).__name__} in JSON")


def json_text(value: Any) -> str:
    return orjson.dumps(value, default=_json_default).decode()


def to_text(value: Any, column: Column | None = None) -> str | None:
    """A native value as text that the database's input functions read; None = null."""
    family = column.family if column is not None else ""
    if value is None:
        return None
    if family == "json":
        return json_text(value)
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list | tuple | set | frozenset) and family != "text":
        return array_text(value)
    if isinstance(value, dict | list):
        return json_text(value)
    if isinstance(value, timedelta):
        return f"{value.total_seconds()} seconds"
    return str(value)


def array_text(items: Iterable[Any]) -> str:
    """A list, also of lists, as an array literal."""
    return "{" + ",".join(map(_array_item, items)) + "}"


def _array_item(item: Any) -> str:
    if isinstance(item, list | tuple):
        return array_text(item)
    text = to_text(item)
    if text is None:
        return "NULL"
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
