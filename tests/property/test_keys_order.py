"""Encoded keys are ordered like the ids they stand for, and come back."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.core import keys

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=6)
# short texts over the characters that the encoding itself uses find what long ones do not
nasty = st.text(st.sampled_from("\x01\x02\x03abz=A0"), max_size=4)
numbers = st.integers() | st.integers(-(10**60), 10**60) | st.integers(-11, 11)
shapes = st.lists(st.sampled_from(["int", "text"]), min_size=1, max_size=3)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[tuple[int | str, ...], tuple[int | str, ...]]:
    """Two ids of one shape."""
    shape = draw(shapes)

    def one() -> tuple[int | str, ...]:
        parts: list[int | str] = []
        for kind in shape:
            parts.append(draw(numbers) if kind == "int" else draw(texts | nasty))
        return tuple(parts)

    return one(), one()


@settings(deadline=None)
@given(pairs())
def test_keys_compare_like_ids(
    pair: tuple[tuple[int | str, ...], tuple[int | str, ...]],
) -> None:
    a, b = pair
    key_a, key_b = keys.encode(a), keys.encode(b)
    assert (a < b) == (key_a < key_b) == (key_a.encode() < key_b.encode())
    assert (a == b) == (key_a == key_b)


@settings(deadline=None)
@given(pairs())
def test_keys_come_back_from_code_and_from_people(
    pair: tuple[tuple[int | str, ...], tuple[int | str, ...]],
) -> None:
    parts = pair[0]
    key = keys.encode(parts)
    kinds: list[keys.PartKind] = ["int" if isinstance(p, int) else "text" for p in parts]
    assert keys.decode(key) == parts
    assert keys.parse(keys.show(key), kinds) == key


@settings(deadline=None)
@given(st.lists(numbers), st.lists(texts | nasty))
def test_blocks_are_encoded_like_singles(ints: list[int], strs: list[str]) -> None:
    assert keys.encode_ints(map(str, ints)) == [keys.encode((n,)) for n in ints]
    assert keys.encode_texts(strs) == [keys.encode((t,)) for t in strs]
