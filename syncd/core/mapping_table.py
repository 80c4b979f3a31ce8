"""Value tables: one member's codes for the values of a field, one to one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal

from syncd.core.codec import Misfit, Native
from syncd.core.model import Value
from syncd.core.values import FieldType
from syncd.errors import ConfigError, Unrepresentable

_SPELLED: dict[str, Callable[[str], Native]] = {
    "text": str,
    "enum": str,
    "other": str,
    "integer": int,
    "decimal": Decimal,
    "boolean": {"true": True, "false": False}.__getitem__,
}


class ValueTable:
    """Native text → canonical text, as a reader and a writer.

    A native that is no text is looked up by its plain spelling: 1 is "1", True is "true". Null
    stays null. Raises ConfigError (SY0177) for a table that cannot work, Misfit for a value that
    is not in it.
    """

    def __init__(self, of: FieldType, table: Mapping[str, str], family: str, where: str) -> None:
        self._canon: dict[str, Value] = {}
        self._native: dict[Value, Native] = {}
        if of.kind in ("set", "list", "json", "bytes"):
            raise self._wrong(f"a {of.text} takes no table", where)
        spelled = _SPELLED.get(family)
        if spelled is None:
            raise self._wrong(f"a {family} column takes no table", where)
        for code, text in table.items():
            try:
                native = spelled(code)
            except (ValueError, ArithmeticError, KeyError):
                raise self._wrong(f"{code!r} cannot stand in a column of {family}", where) from None
            try:
                value = of.canon(text)
            except Unrepresentable as error:
                raise self._wrong(error.message, where) from None
            if value in self._native:
                raise self._wrong(f"{text!r} stands for two codes", where)
            self._canon[_spelling(native)] = value
            self._native[value] = native
        if len(self._canon) != len(table):
            raise self._wrong("two codes are spelled differently and are the same", where)

    def canon(self, native: Native) -> Value:
        if native is None:
            return None
        try:
            return self._canon[_spelling(native)]
        except KeyError:
            raise Misfit(native, "is not in the table", hint="add it to `table`") from None

    def native(self, value: Value) -> Native:
        if value is None:
            return None
        try:
            return self._native[value]
        except KeyError:
            raise Misfit(
                value, "is not in the table", code="SY0313", hint="add it to `table`"
            ) from None

    @staticmethod
    def _wrong(message: str, where: str) -> ConfigError:
        return ConfigError(
            f"the value table cannot work: {message}",
            code="SY0177",
            where=where,
            hint='it reads native = canonical, one to one: { "A" = "active", "I" = "inactive" }',
        )


def _spelling(native: Native) -> str:
    if isinstance(native, str):
        return native
    if isinstance(native, bool):
        return "true" if native else "false"
    if isinstance(native, Decimal) and native.is_finite() and native.adjusted() < 100:
        return f"{native.normalize():f}"
    return str(native)
