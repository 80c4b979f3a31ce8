"""Links beside a snapshot: what is known, what is gone, never all of it at once."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from syncd.engine.pull import _Links

_SIZE = 7

numbers = st.lists(st.integers(0, 400), unique=True).map(sorted)


def _blocks(found: list[int]) -> Iterator[list[tuple[str, int | None, int]]]:
    for start in range(0, len(found), _SIZE):
        yield [(f"{n:03}", n, n + 1) for n in found[start : start + _SIZE]]


@given(linked=numbers, read=numbers, size=st.integers(1, 20))
def test_what_is_read_is_known_and_the_rest_is_gone_in_small_blocks(
    linked: list[int], read: list[int], size: int
) -> None:
    """Every link is met once, as known or as gone, in the links' own blocks."""
    links = _Links(_blocks(linked))
    known: dict[str, tuple[int | None, int]] = {}
    gone: list[tuple[str, int]] = []
    for start in range(0, len(read), size):
        part = [f"{n:03}" for n in read[start : start + size]]
        for block in links.until(part):
            assert 0 < len(block) <= _SIZE
            gone += block
        known |= links.known
    assert links.any() == any(not read or n > read[-1] for n in linked)
    for block in links.rest():
        assert 0 < len(block) <= _SIZE
        gone += block
    assert not links.any()
    assert known == {f"{n:03}": (n, n + 1) for n in linked if n in set(read)}
    assert gone == [(f"{n:03}", n + 1) for n in linked if n not in set(read)]
