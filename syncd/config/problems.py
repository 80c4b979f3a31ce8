"""What is wrong with a config, with its table path; several at once become one error."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from syncd.errors import ConfigError
from syncd.findings import Finding

__all__ = ["ConfigErrors", "Finding", "Path", "Problem", "did_you_mean", "nearest", "one_error"]

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """path: of the table or key concerned, from the root."""

    path: Path
    message: str
    code: str
    hint: str = ""


class ConfigErrors(ConfigError):
    """Several at once. `errors` holds each of them; text, line and code are the first one's,
    and the text goes on with a line for each of the others."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        first, rest = errors[0], errors[1:]
        lines = [first.message, *(f"{error} [{error.code}]" for error in rest)]
        super().__init__("\n".join(lines), code=first.code, where=first.where, hint=first.hint)
        self.errors = tuple(errors)


def one_error(errors: Sequence[ConfigError]) -> ConfigError:
    return errors[0] if len(errors) == 1 else ConfigErrors(errors)


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The closest of `words`; None where none is close."""
    by_lower = {known.lower(): known for known in words}
    found = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """A hint: the closest of `words`, or all of them while they are few."""
    known = list(words)
    close = nearest(word, known)
    if close is not None:
        return f"did you mean `{close}`?"
    if known and len(known) <= 20:
        return "there is: " + ", ".join(f"`{name}`" for name in known)
    return ""
