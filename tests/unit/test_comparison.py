"""When two values are the same: folds, precision, null."""

from __future__ import annotations

import pytest

from syncd.core.values import Comparison, FieldType, blank
from syncd.errors import ConfigError

TEXT = FieldType.parse("text")


@pytest.mark.parametrize(
    ("folds", "a", "b"),
    [
        (["trim"], " a b ", "a b"),
        (["lower"], "ÄB", "äb"),
        (["casefold"], "STRASSE", "straße"),
        (["collapse"], "a  b\t c", "a b c"),
        (["digits"], "+1 (555) 01", "155501"),
        (["digits"], "١٢", "12"),
        (["NFC"], "e\u0301", "é"),
        (["trim", "lower", "NFC"], " JOSE\u0301@X.ORG ", "josé@x.org"),
        (["lower", "trim", "NFC"], "JOSÉ@x.org", " jose\u0301@x.org"),
        (["NFC", "lower"], "J\u030c", "\u01f0"),
        (["NFC", "casefold"], "\u0390", "\u03b9\u0308\u0301"),
    ],
)
def test_s16_folds_make_texts_the_same(folds: list[str], a: str, b: str) -> None:
    same = Comparison(TEXT, folds)
    assert same(a) == same(b)
    assert Comparison(TEXT)(a) != Comparison(TEXT)(b)


def test_f42_dotted_i_and_sharp_s_need_casefold() -> None:
    assert Comparison(TEXT, ["lower"])("ß") != Comparison(TEXT, ["lower"])("SS")
    assert Comparison(TEXT, ["casefold"])("ß") == Comparison(TEXT, ["casefold"])("SS")
    assert Comparison(TEXT, ["casefold"])("İ") != Comparison(TEXT, ["casefold"])("i")


def test_s19_a_fold_that_leaves_nothing_leaves_a_blank() -> None:
    assert blank(Comparison(TEXT, ["digits"])("n/a"))
    assert blank(Comparison(TEXT, ["trim"])("  "))


def test_s52_f41_null_and_empty_are_apart_unless_the_field_says_otherwise() -> None:
    apart = Comparison(TEXT)
    assert len({apart(None), apart(""), apart(" ")}) == 3
    together = Comparison(FieldType.parse("text", null="empty"))
    assert together(None) == together("") != together(" ")
    folded = Comparison(TEXT, ["trim"], "empty")
    assert folded(None) == folded("") == folded(" ")
    tags = FieldType.parse("set")
    assert Comparison(tags)(None) != Comparison(tags)([])
    assert Comparison(tags, (), "empty")(None) == Comparison(tags, (), "empty")([])
    for kind, zero in (("integer", 0), ("boolean", False), ("text", "[]"), ("list", [""])):
        assert Comparison(FieldType.parse(kind), (), "empty")(zero) is not None


def test_f43_sets_are_compared_by_folded_element_and_lists_in_order() -> None:
    tags = Comparison(FieldType.parse("set"), ["lower"])
    assert tags(["VIP", "vip", "a"]) == tags(["A", "Vip"]) == ("a", "vip")
    steps = Comparison(FieldType.parse("list"), ["lower"])
    assert steps(["A", 1]) == steps(["a", 1]) != steps([1, "a"])


def test_json_is_compared_whatever_the_order_of_its_keys() -> None:
    same = Comparison(FieldType.parse("json"))
    assert same({"a": 1, "b": 2}) == same({"b": 2, "a": 1})
    assert len({same(1), same(True), same("1"), same([1]), same(None)}) == 5


def test_f39_precision_is_that_of_the_coarsest() -> None:
    def same(precision: str, a: str, b: str) -> bool:
        form = Comparison(FieldType.parse("datetime", precision=precision))
        return bool(form(f"2024-01-01T00:00:00.{a}Z") == form(f"2024-01-01T00:00:00.{b}Z"))

    assert not same("us", "123456", "123457")
    assert same("ms", "123456", "123999") and not same("ms", "123456", "124456")
    assert same("s", "000000", "999999")


def test_an_unknown_fold_is_named_with_the_right_one() -> None:
    with pytest.raises(ConfigError) as caught:
        Comparison(TEXT, ["lowre"])
    assert (caught.value.code, caught.value.hint) == ("SY0172", "did you mean lower?")
    with pytest.raises(ConfigError) as caught:
        Comparison(TEXT, ["nfc"])
    assert caught.value.hint == "did you mean NFC?"


def test_numbers_have_no_text_to_fold() -> None:
    with pytest.raises(ConfigError) as caught:
        Comparison(FieldType.parse("integer"), ["trim"])
    assert caught.value.code == "SY0172"


def test_comparisons_are_told_apart_by_what_they_compare() -> None:
    a, b = Comparison(TEXT, ["trim", "lower"]), Comparison(TEXT, ["lower", "trim", "trim"])
    assert a.identity == b.identity != Comparison(TEXT).identity
