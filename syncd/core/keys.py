"""Native ids as one text whose order is the order of the ids.

    1            "a1"             the letter counts the digits, so 9 < 10 holds as text
    42           "b42"
    -7           "Z2"             upper case, counted down, nines' complement
    "007"        "=007"
    ("x", 3)     "=x\\x01a3"       parts joined by \\x01, the lowest character there is

Encoded keys compare, as Python strings and as UTF-8 bytes, exactly like the tuples they stand for:
integers numerically and of any size, texts by code point (where one column holds both, texts come
before integers). \\x01 and \\x02 within a text are escaped in an order-keeping way; NUL and lone
surrogates are refused (SY0310), no database would give them back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from operator import add
from typing import Literal

from syncd.errors import ConfigError, Unrepresentable

Part = int | str
PartKind = Literal["int", "text"]

_SEPARATOR = "\x01"
_DISPLACED = "\uffff"  # no character: nothing that is written holds it
_MANY = 26  # from this many digits on, the length itself is written, encoded the same way
_MOST_DIGITS = 4000  # CPython refuses to convert longer ones
_UP = ("", *"abcdefghijklmnopqrstuvwxy")  # by digit count; "z" = 26 and more
_DOWN = ("", *"ZYXWVUTSRQPONMLKJIHGFEDCB")  # "A" = 26 and more
_UP_COUNT = {letter: n for n, letter in enumerate(_UP) if n}
_DOWN_COUNT = {letter: n for n, letter in enumerate(_DOWN) if n}
_NINES = str.maketrans("0123456789", "9876543210")
_ESCAPE = {1: "\x02a", 2: "\x02b"}
_ESCAPED = re.compile("\x02(.?)", re.DOTALL)
_BARE = re.compile(r'[^\s",][^,"\x00-\x1f\x7f]*(?<!\s)')  # a text shown without quotes


def encode(parts: Sequence[Part]) -> str:
    """Raises Unrepresentable for NUL, a lone surrogate, a part that is no int or str, or none."""
    if len(parts) == 1:
        return _encode(parts[0])
    if not parts:
        raise Unrepresentable("a native id without any part", code="SY0310")
    return _SEPARATOR.join(map(_encode, parts))


def encode_ints(values: Iterable[str | int]) -> list[str]:
    """One-part integer keys, in block; texts are decimal numbers as a database prints them."""
    texts = list(map(str, values))
    lines = "\n".join(("", *texts, ""))
    digits = lines.replace("\n", "")
    # neither "" nor a zero in front: then the digit count and the text are the whole encoding
    if digits.isascii() and digits.isdigit() and "\n\n" not in lines and "\n0" not in lines:
        try:
            return list(map(add, map(_UP.__getitem__, map(len, texts)), texts))
        except IndexError:
            pass  # one of 26 digits and more
    return [_encode_number(t) for t in texts]


def encode_texts(values: Iterable[str]) -> list[str]:
    """One-part text keys, in block."""
    texts = list(values)
    if "".join(texts).isprintable():
        return ["=" + t for t in texts]
    return [_encode_text(t) for t in texts]


def decode(key: str) -> tuple[Part, ...]:
    """Raises Unrepresentable for a text that `encode` never gives."""
    return tuple(map(_decode, key.split(_SEPARATOR)))


def displaced(key: str, number: int) -> str:
    """An id that no record has, for what stood under `key` until another record took it; `number`
    tells apart those that stood there one after the other. No whole number, so `get` finds none."""
    return encode((f"{_DISPLACED}{number}:{key}",))


def show(key: str) -> str:
    """For people: `42`, `a,b`; a text part is quoted like JSON where a comma, a quote, a blank at
    an end or a character that cannot be seen would mislead."""
    return ",".join(_show(part) for part in decode(key))


def parse(text: str, kinds: Sequence[PartKind]) -> str:
    """The encoded key that a person means. Takes what `show` gives, and a single text as it is.

    Raises ConfigError (SY0170) for the wrong number of parts or a part that is no whole number.
    """
    if len(kinds) == 1 and not (text.startswith('"') and text.endswith('"') and len(text) > 1):
        parts = [text]
    else:
        parts = _split(text)
    if len(parts) != len(kinds):
        raise ConfigError(
            f"{text!r} has {len(parts)} part(s), an id here has {len(kinds)}",
            code="SY0170",
            hint='write the parts with commas between them, quoting a part that has one: 7,"a,b"',
        )
    return encode([_typed(part, kind, text) for part, kind in zip(parts, kinds, strict=True)])


def _encode(part: Part) -> str:
    if isinstance(part, str):
        return "=" + part if part.isprintable() else _encode_text(part)
    if type(part) is int:
        return _encode_int(part)
    raise Unrepresentable(
        f"a native id cannot be of type {type(part).__name__}",
        code="SY0310",
        hint="keys are whole numbers and texts",
    )


def _encode_int(number: int) -> str:
    if abs(number).bit_length() > _MOST_DIGITS * 3:
        raise Unrepresentable("a native id of thousands of digits", code="SY0310")
    if number >= 0:
        digits = str(number)
        count = len(digits)
        return _UP[count] + digits if count < _MANY else "z" + _encode_int(count) + digits
    digits = str(-number).translate(_NINES)
    count = len(digits)
    return _DOWN[count] + digits if count < _MANY else "A" + _encode_int(-count) + digits


def _encode_number(text: str) -> str:
    try:
        return _encode_int(int(text))
    except ValueError:
        raise Unrepresentable(f"{text[:40]!r} is not a whole number", code="SY0310") from None


def _encode_text(text: str) -> str:
    if "\x00" in text:
        raise Unrepresentable(
            f"the id {text[:40]!r} holds the character NUL",
            code="SY0310",
            hint="correct the id in its own system",
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Unrepresentable(
            f"the id {text[:40]!a} holds half a character (a lone surrogate)",
            code="SY0310",
            hint="correct the id in its own system",
        ) from None
    return "=" + text.translate(_ESCAPE)


def _decode(part: str) -> Part:
    head = part[:1]
    if head == "=":
        return _ESCAPED.sub(_unescape, part[1:]) if "\x02" in part else part[1:]
    try:
        number, rest = _decode_int(part)
    except (ValueError, KeyError):
        rest, number = part, 0
    if rest or not part:
        raise _malformed(part)
    return number


def _decode_int(text: str) -> tuple[int, str]:
    """The number a text begins with, and what follows it."""
    head, body = text[0:1], text[1:]
    if head == "z":
        count, body = _decode_int(body)
    elif head == "A":
        count, body = _decode_int(body)
        count = -count
    else:
        count = _UP_COUNT.get(head) or _DOWN_COUNT[head]
    digits, rest = body[:count], body[count:]
    if len(digits) != count or not (digits.isascii() and digits.isdigit()):
        raise ValueError(text)
    return (int(digits) if head >= "a" else -int(digits.translate(_NINES))), rest


def _unescape(match: re.Match[str]) -> str:
    try:
        return {"a": "\x01", "b": "\x02"}[match[1]]
    except KeyError:
        raise _malformed(match.string) from None


def _malformed(part: str) -> Unrepresentable:
    return Unrepresentable(
        f"{part[:40]!r} is not an encoded key",
        code="SY0311",
        hint="the state may be damaged: syncd state doctor",
    )


def _show(part: Part) -> str:
    if isinstance(part, int):
        return str(part)
    if _BARE.fullmatch(part) and part.isprintable():
        return part
    return json.dumps(part, ensure_ascii=not part.isprintable())


def _split(text: str) -> list[str]:
    """Parts between commas; a part in quotes may hold commas."""
    parts: list[str] = []
    at = 0
    while True:
        if text[at : at + 1] == '"':
            try:
                part, at = json.JSONDecoder().raw_decode(text, at)
            except json.JSONDecodeError:
                raise ConfigError(
                    f"{text!r} has a quote that does not end", code="SY0170"
                ) from None
        else:
            end = text.find(",", at)
            end = len(text) if end < 0 else end
            part, at = text[at:end], end
        parts.append(str(part))
        if at == len(text):
            return parts
        if text[at] != ",":
            raise ConfigError(f"{text!r} goes on after a closing quote", code="SY0170")
        at += 1


def _typed(part: str, kind: PartKind, whole: str) -> Part:
    if kind == "text":
        return part
    if re.fullmatch(r"\s*[+-]?[0-9]{1,4000}\s*", part):
        return int(part)
    raise ConfigError(
        f"{part!r} in the id {whole!r} is not a whole number",
        code="SY0170",
        hint="ids of this object are whole numbers",
    )
