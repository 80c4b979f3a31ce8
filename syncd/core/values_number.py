"""Numbers and truth: integer, decimal(p,s), boolean.

Canonical: an int of signed 64 bit; a text with exactly s places ("10.00"), because JSON numbers
and floats do not keep cents; True or False. A float is rounded to the declared places (half to
even, from its shortest spelling: it never meant more); an exact number that has more significant
places is refused, not rounded. -0 is 0. NaN and infinities are refused.
"""

from __future__ import annotations

import math
import re
from decimal import ROUND_HALF_EVEN, Context, Decimal, Inexact, InvalidOperation

from syncd.core.codec import Codec, Misfit, Native, Writer

_WHOLE = re.compile(r"\s*([+-]?[0-9]{1,64})(?:\.0*)?\s*")
_NUMBER = re.compile(
    r"\s*[+-]?(?:[0-9]{1,1200}(?:\.[0-9]{0,1200})?|\.[0-9]{1,1200})(?:[eE][+-]?[0-9]{1,4})?\s*"
)
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1
_EXACT_FLOAT = 1 << 53
_TRUTH = {"true": True, "t": True, "false": False, "f": False}


def integer_codec() -> Codec:
    def canon(native: Native) -> int:
        if type(native) is int:
            number = native
        elif isinstance(native, str):
            match = _WHOLE.fullmatch(native)
            if match is None:
                raise Misfit(native, "is not a whole number")
            number = int(match[1])
        elif isinstance(native, bool):
            raise Misfit(native, "is not a whole number", hint="declare the field as boolean")
        elif isinstance(native, float):
            number = _whole_float(native)
        elif isinstance(native, Decimal):
            # adjusted() first: making an int of 1E+999999 would take the machine down
            if not native.is_finite() or native.adjusted() > 60 or native != int(native):
                raise Misfit(native, "is not a whole number", hint="declare it as decimal(p,s)")
            number = int(native)
        else:
            raise Misfit(native, "is not a whole number")
        if not _LEAST <= number <= _MOST:
            raise Misfit(
                native,
                "is beyond 64 bit",
                hint="declare the field as decimal(38,0)",
            )
        return number

    def to_float(value: int) -> float:
        if abs(value) > _EXACT_FLOAT:
            raise Misfit(value, "is not exact in a column of floating point", code="SY0313")
        return float(value)

    return Codec(
        canon,
        writers={
            "integer": int,
            "decimal": Decimal,
            "float": to_float,
            "text": str,
            "other": str,
        },
        advice={"boolean": "declare the field as boolean"},
    )


def decimal_codec(digits: int, scale: int) -> Codec:
    """digits: in all, on both sides of the point; scale: behind it."""
    unit = Decimal(1).scaleb(-scale)
    # the precision makes quantize refuse what is beyond `digits`, Inexact what it would round
    exact = Context(prec=digits, traps=[InvalidOperation, Inexact])
    rounding = Context(prec=digits, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation])
    zero = f"{Decimal(0).quantize(unit, context=exact):f}"
    far = 2 * digits + 20  # beyond this many places on either side quantize is not even tried

    def canon(native: Native) -> str:
        context = exact
        if isinstance(native, Decimal):
            number = native
        elif isinstance(native, bool):
            raise Misfit(native, "is not a number", hint="declare the field as boolean")
        elif isinstance(native, int):
            if native.bit_length() > 8 * digits + 64:
                raise Misfit(native, f"has more digits than decimal({digits},{scale})")
            number = Decimal(native)
        elif isinstance(native, float):
            number, context = Decimal(repr(native)), rounding
        elif isinstance(native, str):
            if _NUMBER.fullmatch(native) is None:
                raise Misfit(native, "is not a number")
            number = Decimal(native.strip())
        else:
            raise Misfit(native, "is not a number")
        if not number.is_finite():
            raise Misfit(native, "is no number that can be kept")
        if not number:
            return zero
        if number.adjusted() > far:
            raise Misfit(native, f"has more digits than decimal({digits},{scale})")
        try:
            placed = number.quantize(unit, context=context)
        except Inexact:
            raise Misfit(
                native,
                f"has more than {scale} places",
                hint="declare more places, or round it where it is kept",
            ) from None
        except InvalidOperation:
            raise Misfit(native, f"has more digits than decimal({digits},{scale})") from None
        return f"{placed:f}" if placed else zero

    def to_int(value: str) -> int:
        return int(Decimal(value))

    def to_float(value: str) -> float:
        number = float(value)
        if canon(number) != value:
            raise Misfit(value, "is not exact in a column of floating point", code="SY0313")
        return number

    writers: dict[str, Writer] = {
        "decimal": Decimal,
        "float": to_float,
        "text": str,
        "other": str,
    }
    if scale == 0:
        writers["integer"] = to_int
    return Codec(
        canon,
        writers,
        advice={"integer": f"the column holds whole numbers, the field has {scale} places"},
    )


def boolean_codec() -> Codec:
    def canon(native: Native) -> bool:
        if native is True or native is False:
            return native
        if isinstance(native, str):
            if native in _TRUTH:
                return _TRUTH[native]
        elif isinstance(native, Decimal) and native.is_snan():
            pass  # compares with nothing
        elif isinstance(native, (int, float, Decimal)):
            if native == 1:
                return True
            if native == 0:
                return False
        raise Misfit(
            native,
            "is neither true nor false",
            hint='translate it with a table: { "Y" = "true", "N" = "false" }',
        )

    return Codec(
        canon,
        writers={
            "boolean": bool,
            "integer": int,
            "decimal": Decimal,
            "text": _spelled,
            "other": _spelled,
        },
    )


def _spelled(value: bool) -> str:
    return "true" if value else "false"


def _whole_float(native: float) -> int:
    if not math.isfinite(native) or native != int(native):
        raise Misfit(native, "is not a whole number", hint="declare the field as decimal(p,s)")
    if abs(native) > _EXACT_FLOAT:
        raise Misfit(native, "is a floating point number too large to be exact")
    return int(native)
