"""What people read: values that cannot trick a terminal, tables, one JSON document a command.

Results go to stdout; notes, progress and errors to stderr. Nothing a record holds is ever obeyed
by the terminal: control characters are shown as they would be typed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TextIO

import click
import orjson
from rich.cells import cell_len

from syncd.core.model import UNSET, Value
from syncd.secrets import MASK

VERSION = 1
"""Of every JSON shape; grows with a change that a reader of the old one would stumble over."""

_SHORT = 60


@dataclass(frozen=True, slots=True)
class Result:
    """What a command came to: the one object that text, JSON and exit code are made of.

    kind    names the JSON shape (docs/cli.md); data: its members
    lines   the same for people
    errors  failures that did not stop the command, as `failure.describe` makes them
    """

    kind: str
    data: Mapping[str, Any]
    lines: Sequence[str] = ()
    exit: int = 0
    errors: Sequence[Mapping[str, Any]] = field(default_factory=tuple)

    def document(self) -> dict[str, Any]:
        head = {"kind", "version", "exit", "errors"}
        assert not head & set(self.data), "the names of the frame are taken"
        return {
            "kind": self.kind,
            "version": VERSION,
            "exit": self.exit,
            **self.data,
            "errors": [dict(error) for error in self.errors],
        }


def plain(text: object) -> str:
    """On one line, and without a character that a terminal or an eye would act on."""
    said = str(text)
    if said.isprintable():
        return said
    return "".join(one if one.isprintable() else _escaped(one) for one in said)


def _escaped(character: str) -> str:
    code = ord(character)
    named = {9: "\\t", 10: "\\n", 13: "\\r", 27: "\\e", 0xA0: "\u00a0", 0x3000: "\u3000"}
    if code in named:
        return named[code]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def shown(value: Value, *, private: bool = False, limit: int = _SHORT) -> str:
    """A canonical value as a plan line has it: bare where that cannot mislead."""
    if value is UNSET:
        return "(nothing)"
    if private:
        return MASK
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        text = plain(value)
        misleading = not value or value != value.strip() or value in ("null", "true", "false")
        text = f'"{text}"' if misleading else text
    elif isinstance(value, list):
        text = "[" + ", ".join(shown(one, limit=limit) for one in value) + "]"
    elif isinstance(value, dict):
        text = plain(orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode())
    else:
        text = plain(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def masked(fields: Mapping[str, Value], private: Iterable[str]) -> dict[str, Value]:
    """For JSON: values of private fields replaced; null stays null."""
    hidden = set(private)
    return {
        name: MASK if name in hidden and value is not None else value
        for name, value in fields.items()
    }


def moment(text: str | None) -> str:
    """A canonical time as people read it, with its zone."""
    if not text:
        return "never"
    return text.replace("T", " ").partition(".")[0].removesuffix("Z") + "Z"


def table(
    head: Sequence[str], rows: Iterable[Sequence[object]], right: Collection[str] = ()
) -> list[str]:
    """Aligned columns; `right` names the heads of those that end flush."""
    texts = [[plain(cell) for cell in row] for row in rows]
    widths = [max(cell_len(cell) for cell in column) for column in zip(head, *texts, strict=True)]
    flush = {index for index, name in enumerate(head) if name in right}

    def line(cells: Sequence[str]) -> str:
        parts = []
        for index, cell in enumerate(cells):
            space = " " * (widths[index] - cell_len(cell))
            parts.append(space + cell if index in flush else cell + space)
        return "  ".join(parts).rstrip()

    return [line(list(head)), *(line(row) for row in texts)]


def number(count: int, noun: str) -> str:
    """ "1 conflict", "3 conflicts", "3 entities", "3 keys" """
    if count == 1:
        return f"1 {noun}"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{count:,} {noun[:-1]}ies"
    return f"{count:,} {noun}s"


class Output:
    """Where a command's words go. redact: takes known secrets out of every text."""

    def __init__(
        self,
        *,
        json: bool = False,
        quiet: bool = False,
        color: bool | None = None,
        redact: Callable[[str], str] = str,
    ) -> None:
        self.json = json
        self.quiet = quiet
        self.color = color
        self.redact = redact

    def result(self, result: Result) -> None:
        """The command's one answer, as text or as a document."""
        if self.json:
            document = _writable(result.document(), self.redact)
            options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
            click.echo(orjson.dumps(document, option=options, default=str).decode())
            return
        if not self.quiet:
            self.lines(result.lines)

    def lines(self, lines: Iterable[str]) -> None:
        for line in lines:
            click.echo(self.redact(self.painted(line)), color=self.color)

    def note(self, text: str) -> None:
        """Progress and hints."""
        if not self.quiet:
            self.error(text)

    def error(self, text: str) -> None:
        """Also under -q. Where it cannot be written there is nobody left to tell, and a run goes
        on for all that."""
        try:
            click.echo(self.redact(text), err=True, color=self.color)
        except OSError:
            silence(sys.stderr)

    def painted(self, line: str) -> str:
        """Colour repeats what the line's sign says, and never says it alone."""
        sign = line.lstrip()[:2]
        colors = {"- ": "red", "+ ": "green", "~ ": "yellow", "! ": "magenta"}
        if self.color is False or sign not in colors:
            return line
        return click.style(line, fg=colors[sign])


def unwritten(stream: TextIO | None) -> OSError | None:
    """Why something said there has not got out; None: it has."""
    try:
        if stream is not None:
            stream.flush()
    except OSError as error:
        return error
    return None


def silence(stream: TextIO) -> None:
    """Nothing more is said there, not even at the interpreter's end, which would try once more."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _writable(thing: Any, redact: Callable[[str], str]) -> Any:
    """Without secrets, and without the half surrogates that JSON cannot hold."""
    if isinstance(thing, str):
        return redact(thing).encode("utf-8", "backslashreplace").decode()
    if isinstance(thing, Mapping):
        return {str(key): _writable(value, redact) for key, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        return [_writable(one, redact) for one in thing]
    if isinstance(thing, int) and abs(thing) >= 1 << 63:
        return str(thing)
    return thing
