"""Encoded native ids: spelling, what is refused, and what people see and type."""

from __future__ import annotations

import pytest

from syncd.core import keys
from syncd.errors import ConfigError, Unrepresentable


@pytest.mark.parametrize(
    ("parts", "encoded"),
    [
        ((0,), "a0"),
        ((42,), "b42"),
        ((-7,), "Z2"),
        (("007",), "=007"),
        (("",), "="),
        (("x", 3), "=x\x01a3"),
        ((10**25,), "zb26" + str(10**25)),
    ],
)
def test_the_encoding_is_this_one(parts: tuple[int | str, ...], encoded: str) -> None:
    """Keys are kept in stores: another spelling would need a migration."""
    assert keys.encode(parts) == encoded
    assert keys.decode(encoded) == parts


def test_s18_zero_and_leading_zeros_are_ids_like_any_other() -> None:
    assert keys.decode(keys.encode((0,))) == (0,)
    assert keys.decode(keys.encode(("007",))) == ("007",)
    assert len({keys.encode((p,)) for p in (0, "0", 7, "7", "07", "007")}) == 6


def test_s17_ids_that_differ_by_case_are_two() -> None:
    assert keys.encode(("AbC",)) != keys.encode(("abc",))


def test_f42_nul_and_half_characters_are_refused() -> None:
    for bad in ("a\x00b", "\ud800"):
        with pytest.raises(Unrepresentable) as caught:
            keys.encode((bad,))
        assert caught.value.code == "SY0310"
        with pytest.raises(Unrepresentable):
            keys.encode_texts(["fine", bad])


@pytest.mark.parametrize("parts", [(), (True,), (1.0,), (None,)])
def test_only_whole_numbers_and_texts_are_ids(parts: tuple[object, ...]) -> None:
    with pytest.raises(Unrepresentable):
        keys.encode(parts)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", ["", "a", "a12", "b1", "b1x", "?", "a1\x01", "=\x02c", "z", "azz"])
def test_what_was_never_encoded_is_not_decoded(bad: str) -> None:
    with pytest.raises(Unrepresentable) as caught:
        keys.decode(bad)
    assert caught.value.code == "SY0311"


def test_in_block_like_one_by_one() -> None:
    numbers = [0, 7, 10, -1, -10, 10**18, -(10**30), 10**40]
    assert keys.encode_ints(numbers) == [keys.encode((n,)) for n in numbers]
    assert keys.encode_ints(map(str, numbers)) == keys.encode_ints(numbers)
    assert keys.encode_ints(["1", "22"]) == ["a1", "b22"]
    assert keys.encode_ints(["007", "+7"]) == ["a7", "a7"]  # a number has one key
    assert keys.encode_ints(["1", "007", "0"]) == ["a1", "a7", "a0"]
    assert keys.encode_ints([]) == []
    texts = ["", "a", "Ä", "x\x01y", "z\tz"]
    assert keys.encode_texts(texts) == [keys.encode((t,)) for t in texts]
    for bad in ("", "1.5", "x", "1 2\n3"):
        with pytest.raises(Unrepresentable):
            keys.encode_ints(["1", bad])


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ((42,), "42"),
        (("abc",), "abc"),
        (("a", "b"), "a,b"),
        ((7, "a,b"), '7,"a,b"'),
        (("",), '""'),
        ((" a",), '" a"'),
        (('say "hi"',), r'"say \"hi\""'),
        (("tab\t",), r'"tab\t"'),
        (("Müller 3",), "Müller 3"),
    ],
)
def test_people_see_and_type(parts: tuple[int | str, ...], text: str) -> None:
    key = keys.encode(parts)
    kinds: list[keys.PartKind] = ["int" if isinstance(p, int) else "text" for p in parts]
    assert keys.show(key) == text
    assert keys.parse(text, kinds) == key


def test_a_single_text_is_typed_as_it_is() -> None:
    assert keys.parse("a,b", ("text",)) == keys.encode(("a,b",))
    assert keys.parse('5" pipe', ("text",)) == keys.encode(('5" pipe',))


@pytest.mark.parametrize(
    ("text", "kinds"),
    [("x", ("int",)), ("1,2", ("int",)), ("1", ("int", "int")), ('"a', ("text", "text"))],
)
def test_a_mistyped_id_is_a_usage_error(text: str, kinds: tuple[keys.PartKind, ...]) -> None:
    with pytest.raises(ConfigError) as caught:
        keys.parse(text, kinds)
    assert (caught.value.code, caught.value.exit_code) == ("SY0170", 2)
