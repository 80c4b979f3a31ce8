"""Logs: text or JSON lines on stderr, with system, flow, run and record, and without secrets."""

from __future__ import annotations

import contextvars
import logging
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TextIO

import orjson

from syncd.secrets import Redactor

FIELDS = ("system", "flow", "run", "record")
ROOT = "syncd"
_SYSTEMS = f"{ROOT}.system."
_NO_FIELDS: Mapping[str, Any] = MappingProxyType({})
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

_context: contextvars.ContextVar[Mapping[str, Any]] = contextvars.ContextVar(
    "log", default=_NO_FIELDS
)


@contextmanager
def fields(**values: Any) -> Iterator[None]:
    """Everything logged inside carries these, in tasks spawned inside too."""
    token = _context.set({**_context.get(), **values})
    try:
        yield
    finally:
        _context.reset(token)


def system_logger(system: str) -> logging.Logger:
    """What an adapter is handed: all it logs carries its system's name."""
    return logging.getLogger(_SYSTEMS + system.replace(".", "_"))


def level(verbosity: int) -> int:
    """-1 for -q, 0, 1 for -v, 2 for -vv."""
    steps = {0: logging.WARNING, 1: logging.INFO}
    return logging.ERROR if verbosity < 0 else steps.get(verbosity, logging.DEBUG)


def setup(
    verbosity: int = 0,
    *,
    json: bool = False,
    redactor: Redactor | None = None,
    stream: TextIO | None = None,
) -> None:
    """Send the log of syncd to the stream (default: stderr). Libraries are heard from warnings
    upwards only: below that some of them log values. Calling it again replaces what was set."""
    handler = logging.StreamHandler(stream or sys.stderr)
    made = JsonLines if json else TextLines
    handler.setFormatter(made(redactor or Redactor(), traces=verbosity >= 2))
    root = logging.getLogger()
    for old in root.handlers[:]:
        if isinstance(old.formatter, _Lines):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.ERROR if verbosity < 0 else logging.WARNING)
    logging.getLogger(ROOT).setLevel(level(verbosity))
    logging.captureWarnings(True)


class _Lines(logging.Formatter):
    def __init__(self, redactor: Redactor, *, traces: bool) -> None:
        super().__init__()
        self._redact = redactor
        self._traces = traces

    def _fields(self, record: logging.LogRecord) -> dict[str, Any]:
        found = dict(_context.get())
        if record.name.startswith(_SYSTEMS):
            found["system"] = record.name.removeprefix(_SYSTEMS)
        for name in FIELDS:
            if hasattr(record, name):
                found[name] = getattr(record, name)
        return {name: found[name] for name in FIELDS if found.get(name) is not None}

    def _message(self, record: logging.LogRecord) -> str:
        try:
            return record.getMessage()
        except Exception:  # a bad format string must not cost the message, nor the run
            return f"{record.msg} {record.args!r}"

    def _trace(self, record: logging.LogRecord) -> str:
        """The traceback where it is asked for, else the error's one line."""
        if not record.exc_info or record.exc_info[1] is None:
            return ""
        error = record.exc_info[1]
        if self._traces:
            return "".join(traceback.format_exception(error)).rstrip()
        return "".join(traceback.format_exception_only(error)).strip()

    def _time(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TextLines(_Lines):
    """`2026-01-01T12:00:00.000Z WARNING flow=customers run=7: message`"""

    def format(self, record: logging.LogRecord) -> str:
        found = "".join(f" {name}={_plain(value)}" for name, value in self._fields(record).items())
        text = _plain(self._message(record))
        trace = self._trace(record)
        if trace:
            text += f"\n{trace}" if self._traces else f": {_plain(trace)}"
        return self._redact(f"{self._time(record)} {record.levelname}{found}: {text}")


class JsonLines(_Lines):
    """One object a line: time, level, logger, message, error and the fields that are known."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": self._time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._redact(self._message(record)),
        }
        for name, value in self._fields(record).items():
            whole = isinstance(value, int) and abs(value) < 2**53
            line[name] = value if whole else self._redact(str(value))
        trace = self._trace(record)
        if trace:
            line["error"] = self._redact(trace)
        return orjson.dumps(_writable(line)).decode()


def _plain(value: Any) -> str:
    """On one line and writable, whatever a record's text holds."""
    return _CONTROL.sub(lambda found: repr(found.group())[1:-1], str(value))


def _writable(line: Mapping[str, Any]) -> dict[str, Any]:
    """orjson refuses half a surrogate pair; a log line never fails over one."""
    return {
        name: value.encode("utf-8", "backslashreplace").decode()
        if isinstance(value, str)
        else value
        for name, value in line.items()
    }
