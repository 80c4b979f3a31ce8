"""Errors → text, document and exit code, in this one place."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Sequence
from typing import Any

import click

from syncd.cli.output import plain
from syncd.config.problems import ConfigErrors
from syncd.errors import ConfigError, Interrupted, SyncdError

ORDER = (130, 2, 1, 4, 3, 0)
"""Exit codes, worst first: what several flows come to together."""


class Usage(ConfigError):
    """The command line itself is wrong."""

    code = "SY0160"


def worst(codes: Iterable[int]) -> int:
    return min(codes, key=ORDER.index, default=0)


def translated(error: BaseException) -> SyncdError:
    """Any failure as one of ours; what we did not foresee says so."""
    if isinstance(error, SyncdError):
        return error
    if isinstance(error, click.UsageError):
        hint = "syncd --help"
        if error.ctx is not None:
            hint = f"{error.ctx.command_path} --help"
        if isinstance(error, click.exceptions.NoArgsIsHelpError):
            return Usage("a command is missing", hint=hint)
        return Usage(" ".join(error.format_message().split()), hint=hint)
    if isinstance(error, click.ClickException):
        return Usage(error.format_message())
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return Interrupted("interrupted", hint="the next run goes on from here")
    return SyncdError(
        f"this is a bug: {type(error).__name__}: {error}",
        code="SY0001",
        hint="run it again with -vv and report what it says",
    )


def describe(error: SyncdError, flow: str = "") -> list[dict[str, Any]]:
    """One entry for each thing that is wrong, the same thing many times as one with a count.
    flow: the one it happened to, where it is about one of several."""
    errors: Sequence[SyncdError] = error.errors if isinstance(error, ConfigErrors) else [error]
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for one in errors:
        mark = (one.code, one.message, one.hint)
        if mark in found:
            found[mark]["count"] += 1
            continue
        found[mark] = {
            "code": one.code,
            "message": one.message,
            "where": one.where,
            "hint": one.hint,
            "kind": one.kind.value,
            "count": 1,
            "flow": flow,
        }
    return list(found.values())


def lines(entries: Iterable[dict[str, Any]]) -> list[str]:
    """As people read them: what, where, how often, what to do next."""
    texts = []
    for entry in entries:
        where = f"{plain(entry['where'])}: " if entry["where"] else ""
        often = f" ({entry['count']} times)" if entry["count"] > 1 else ""
        message = "\n    ".join(plain(part) for part in entry["message"].splitlines())
        texts.append(f"error {entry['code']}: {where}{message}{often}")
        if entry["hint"]:
            texts.append(f"  → {plain(entry['hint'])}")
    return texts


def trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)).rstrip()
