"""Proof that a check can fail: some example must break it for a function that is a little wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from hypothesis import HealthCheck, Phase, find, settings
from hypothesis.errors import NoSuchExample
from hypothesis.strategies import SearchStrategy

T = TypeVar("T")

SEARCH = settings(
    max_examples=600,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def caught(examples: SearchStrategy[T], breaks: Callable[[T], bool]) -> bool:
    """Whether a search meets an example for which `breaks`."""
    try:
        find(examples, breaks, settings=SEARCH)
    except NoSuchExample:
        return False
    return True


def broken(check: Callable[[T], None]) -> Callable[[T], bool]:
    """A check that asserts, as a question."""

    def breaks(example: T) -> bool:
        try:
            check(example)
        except AssertionError:
            return True
        return False

    return breaks
