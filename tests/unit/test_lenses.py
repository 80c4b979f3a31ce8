"""The lens laws, and what `words` makes of names."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.core.lenses import LENSES, Rename, Words
from syncd.errors import Unrepresentable

NULLS = Words((True, True))
NO_NULLS = Words((False, False))

part = st.none() | st.text("ab \t\u00a0", max_size=5)
names = st.none() | st.text("ab \t\u00a0", max_size=8)
lenses = st.builds(Words, st.lists(st.booleans(), min_size=2, max_size=4))


@st.composite
def seen(draw: st.DrawFn) -> tuple[Words, str | None, tuple[str | None, ...] | None]:
    """A lens, a value, and what stood there before (None = nothing)."""
    size = draw(st.integers(2, 4))
    lens = Words([draw(st.booleans()) for _ in range(size)])
    original = draw(st.none() | st.tuples(*[part] * size))
    near = st.none() if original is None else st.just(lens.get(original))
    return lens, draw(names | near), original


@settings(deadline=None)
@given(seen())
def test_what_is_put_comes_back_tidied(
    case: tuple[Words, str | None, tuple[str | None, ...] | None],
) -> None:
    lens, value, original = case
    assert lens.get(lens.put(value, original)) == lens.normal(value)


@settings(deadline=None)
@given(seen())
def test_what_is_not_changed_is_left_alone(
    case: tuple[Words, str | None, tuple[str | None, ...] | None],
) -> None:
    lens, _, original = case
    if original is not None:
        assert lens.put(lens.get(original), original) == original


@settings(deadline=None)
@given(seen())
def test_tidying_twice_is_tidying_once(
    case: tuple[Words, str | None, tuple[str | None, ...] | None],
) -> None:
    lens, value, _ = case
    assert lens.normal(lens.normal(value)) == lens.normal(value)


@pytest.mark.parametrize(
    ("natives", "value"),
    [
        (("Anna", "Berg"), "Anna Berg"),
        (("Anna Maria", "van  den Berg"), "Anna Maria van den Berg"),
        ((" Anna ", "Berg "), "Anna Berg"),
        ((None, "Berg"), "Berg"),
        (("Anna", ""), "Anna"),
        (("", None), ""),
        ((None, None), None),
    ],
)
def test_words_are_joined(natives: tuple[str | None, ...], value: str | None) -> None:
    assert NULLS.get(natives) == value


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ("Anna Berg", ("Anna", "Berg")),
        ("Anna Maria Berg", ("Anna Maria", "Berg")),
        (" Anna  Berg ", ("Anna", "Berg")),
        ("Madonna", (None, "Madonna")),
        ("", ("", "")),
        (None, (None, None)),
    ],
)
def test_words_are_split(value: str | None, parts: tuple[str | None, ...]) -> None:
    assert NULLS.put(value, None) == parts


def test_an_empty_part_is_null_only_where_null_is_taken() -> None:
    assert NO_NULLS.put("Madonna", None) == ("", "Madonna")
    assert NULLS.put("Madonna", ("", "Ciccone")) == ("", "Madonna")  # as it was


@pytest.mark.parametrize(
    ("original", "value", "parts"),
    [
        # the last name keeps its words when the first name is corrected, and the other way round
        (("Ana", "van den Berg"), "Anna van den Berg", ("Anna", "van den Berg")),
        (("Anna", "Berg"), "Anna van den Berg", ("Anna van den", "Berg")),
        (("Anna Maria", "Berg"), "Anna Maria van Dam", ("Anna Maria", "van Dam")),
        (("Anna", "Berg"), "Ben Dam", ("Ben", "Dam")),
        (("Anna", None), "Anna Berg", ("Anna", "Berg")),
        (("Anna  Maria", "Berg"), "Anna Maria Berg", ("Anna  Maria", "Berg")),
    ],
)
def test_the_original_split_is_kept(
    original: tuple[str | None, ...], value: str, parts: tuple[str | None, ...]
) -> None:
    assert NULLS.put(value, original) == parts


def test_parts_between_stay_empty() -> None:
    assert Words((True, True, False)).put("A B C", None) == ("A B", None, "C")


def test_words_are_texts() -> None:
    with pytest.raises(Unrepresentable):
        NULLS.get(("a", 1))
    with pytest.raises(Unrepresentable):
        NULLS.put(1, None)


def test_a_rename_changes_nothing() -> None:
    lens = Rename()
    assert lens.get((5,)) == lens.normal(5) == 5
    assert lens.put(5, (4,)) == (5,)
    assert {name: make([True, True]).name for name, make in LENSES.items()} == {
        name: name for name in LENSES
    }
