"""Where each table and key of a TOML text stands. The text is known to be valid TOML."""

from __future__ import annotations

import re
from collections.abc import Mapping

from syncd.config.problems import Path

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\"}


def scan(text: str) -> dict[Path, int]:
    """Line (from 1) of the first mention of every table and key, inline ones too. Elements of
    an array have the array's line."""
    return _Scanner(text).run()


def line_of(lines: Mapping[Path, int], path: Path) -> int | None:
    """Line of the path, or of the nearest table around it; None = the file as a whole."""
    for end in range(len(path), 0, -1):
        if path[:end] in lines:
            return lines[path[:end]]
    return None


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.found: dict[Path, int] = {}

    def run(self) -> dict[Path, int]:
        table: Path = ()
        while True:
            self._blank(newlines=True)
            if self.at >= len(self.text):
                return self.found
            if self.text[self.at] == "[":
                depth = 2 if self.text.startswith("[[", self.at) else 1
                self.at += depth
                table = self._key(())
                self.at += depth
            else:
                self._pair(table)

    def _pair(self, table: Path) -> None:
        path = self._key(table)
        self.at += 1  # the equals sign
        self._value(path)

    def _key(self, table: Path) -> Path:
        """Read a dotted key, note each of its prefixes, stop at what follows it."""
        path = table
        while True:
            self._blank()
            line = self.text.count("\n", 0, self.at) + 1
            path = (*path, self._key_part())
            self.found.setdefault(path, line)
            self._blank()
            if self.text[self.at] != ".":
                return path
            self.at += 1

    def _key_part(self) -> str:
        if self.text[self.at] in "\"'":
            return self._string()
        match = _BARE.match(self.text, self.at)
        assert match is not None, "the text is not TOML"
        self.at = match.end()
        return match.group()

    def _value(self, path: Path) -> None:
        self._blank()
        start = self.text[self.at]
        if start in "\"'":
            self._string()
        elif start == "[":
            self._list(path)
        elif start == "{":
            self._inline_table(path)
        else:
            while self.at < len(self.text) and self.text[self.at] not in ",]}#\n":
                self.at += 1

    def _list(self, path: Path) -> None:
        self.at += 1
        while True:
            self._blank(newlines=True)
            if self.text[self.at] == "]":
                self.at += 1
                return
            if self.text[self.at] == ",":
                self.at += 1
            else:
                self._value(path)

    def _inline_table(self, path: Path) -> None:
        self.at += 1
        while True:
            self._blank(newlines=True)
            if self.text[self.at] == "}":
                self.at += 1
                return
            if self.text[self.at] == ",":
                self.at += 1
            else:
                self._pair(path)

    def _string(self) -> str:
        quote = self.text[self.at]
        end = quote * 3 if self.text.startswith(quote * 3, self.at) else quote
        self.at += len(end)
        out: list[str] = []
        while not self.text.startswith(end, self.at):
            char = self.text[self.at]
            if char == "\\" and quote == '"':
                out.append(self._escape())
            else:
                out.append(char)
                self.at += 1
        self.at += len(end)
        while len(end) == 3 and self.text.startswith(quote, self.at):
            self.at += 1  # up to two more quotes belong to the string
        return "".join(out)

    def _escape(self) -> str:
        letter = self.text[self.at + 1]
        width = {"u": 4, "U": 8}.get(letter, 0)
        digits = self.text[self.at + 2 : self.at + 2 + width]
        self.at += 2 + width
        return chr(int(digits, 16)) if width else _ESCAPES.get(letter, "")

    def _blank(self, *, newlines: bool = False) -> None:
        skipped = " \t\r\n" if newlines else " \t\r"
        while self.at < len(self.text):
            if self.text[self.at] in skipped:
                self.at += 1
            elif self.text[self.at] == "#" and newlines:
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            else:
                return
