"""What each type takes, in which spelling it keeps it, and what it refuses."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from syncd.core.values import FieldType, blank
from syncd.errors import ConfigError, Kind, Unrepresentable


def type_of(text: str, **options: Any) -> FieldType:
    if text == "enum":
        options.setdefault("choices", ("new", "old"))
    return FieldType.parse(text, **options)


def refused(of: FieldType, native: object) -> Unrepresentable:
    with pytest.raises(Unrepresentable) as caught:
        of.canon(native)
    assert caught.value.kind is Kind.REJECTED
    return caught.value


TAKEN: list[tuple[str, object, object]] = [
    ("text", "ab", "ab"),
    ("text", " a\n", " a\n"),
    ("text", "", ""),
    ("text", 0, "0"),
    ("text", 42, "42"),
    ("text", Decimal("42"), "42"),
    ("text", Decimal("1E+2"), "100"),
    ("text", UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ("text", time(9, 30), "09:30:00"),
    ("text(3)", "äöü", "äöü"),
    ("integer", 7, 7),
    ("integer", "007", 7),
    ("integer", " -3 ", -3),
    ("integer", "42.0", 42),
    ("integer", 2.0, 2),
    ("integer", Decimal("2.00"), 2),
    ("integer", Decimal("1E+2"), 100),
    ("integer", 2**63 - 1, 2**63 - 1),
    ("integer", -(2**63), -(2**63)),
    ("boolean", True, True),
    ("boolean", 0, False),
    ("boolean", Decimal(1), True),
    ("boolean", "t", True),
    ("boolean", "false", False),
    ("date", date(2024, 3, 31), "2024-03-31"),
    ("date", datetime(2024, 3, 31), "2024-03-31"),
    ("date", datetime(2024, 3, 31, tzinfo=UTC), "2024-03-31"),
    ("date", "2024-03-31", "2024-03-31"),
    ("date", "2024-03-31T00:00:00.000Z", "2024-03-31"),
    ("date", date(99, 1, 1), "0099-01-01"),
    ("uuid", UUID(int=10), "00000000-0000-0000-0000-00000000000a"),
    ("uuid", "00000000-0000-0000-0000-00000000000A", "00000000-0000-0000-0000-00000000000a"),
    ("uuid", "{0000000000000000000000000000000A}", "00000000-0000-0000-0000-00000000000a"),
    ("uuid", b"\x00" * 15 + b"\x0a", "00000000-0000-0000-0000-00000000000a"),
    ("enum", "new", "new"),
    ("set", ["b", "a", "b"], ["a", "b"]),
    ("set", ["VIP", "vip"], ["VIP", "vip"]),
    ("set", (), []),
    ("list", ["b", "a", "b", 1], ["b", "a", "b", 1]),
    ("json", {"b": [1.0, 1.5, None], "a": True}, {"a": True, "b": [1, 1.5, None]}),
    ("json", Decimal("0.1"), 0.1),
    ("json", "x", "x"),
    ("bytes", b"\x00\xff", "AP8="),
    ("bytes", memoryview(b""), ""),
]


@pytest.mark.parametrize(("text", "native", "value"), TAKEN)
def test_one_canonical_spelling(text: str, native: object, value: object) -> None:
    got = type_of(text).canon(native)
    assert got == value
    assert type(got) is type(value)


REFUSED: list[tuple[str, object, str]] = [
    ("text", 1.5, "is not a text"),
    ("text", True, "is not a text"),
    ("text", b"a", "is not a text"),
    ("text", date(2024, 1, 1), "is not a text"),
    ("text(3)", "abcd", "has 4 characters, the field takes 3"),
    ("integer", 2**63, "beyond 64 bit"),
    ("integer", -(2**63) - 1, "beyond 64 bit"),
    ("integer", 1.5, "not a whole number"),
    ("integer", 2.0**60, "too large to be exact"),
    ("integer", float("nan"), "not a whole number"),
    ("integer", Decimal("1E+999999"), "not a whole number"),
    ("integer", Decimal("Infinity"), "not a whole number"),
    ("integer", "1e3", "not a whole number"),
    ("integer", "١٢", "not a whole number"),
    ("integer", "", "not a whole number"),
    ("integer", True, "not a whole number"),
    ("decimal(5,2)", True, "not a number"),
    ("decimal(5,2)", "12,50", "not a number"),
    ("decimal(5,2)", "1e99999", "not a number"),
    ("decimal(5,2)", "1e9999", "has more digits than decimal(5,2)"),
    ("decimal(5,2)", 10**4000, "has more digits than decimal(5,2)"),
    ("decimal(5,2)", 1e300, "has more digits than decimal(5,2)"),
    ("decimal(5,2)", "1000", "has more digits than decimal(5,2)"),
    ("decimal(5,2)", "1.001", "has more than 2 places"),
    ("decimal(5,2)", Decimal("1E-9999"), "has more than 2 places"),
    ("boolean", "yes", "neither true nor false"),
    ("boolean", 2, "neither true nor false"),
    ("boolean", "", "neither true nor false"),
    ("date", "20240331", "not a date"),
    ("date", "2024-02-30", "does not exist"),
    ("date", "0000-00-00", "does not exist"),
    ("date", 20240331, "not a date"),
    ("datetime", "0000-00-00 00:00:00", "does not exist"),
    ("datetime", "2024-13-01T00:00:00Z", "does not exist"),
    ("datetime", "infinity", "not a datetime"),
    ("datetime", 1711843200, "not a datetime"),
    ("datetime", time(9), "not a datetime"),
    ("uuid", "x", "not a uuid"),
    ("uuid", 5, "not a uuid"),
    ("enum", "New", "none of the choices (new, old)"),
    ("enum", "", "none of the choices"),
    ("set", "a,b", "not a set"),
    ("set", ["a", 1], "stands in a set"),
    ("set", ["a", None], "stands in a set"),
    ("list", {"a"}, "not a list"),
    ("list", "[]", "not a list"),
    ("json", {1: 2}, "is a key in JSON"),
    ("json", [2**64], "beyond 64 bit"),
    ("json", Decimal("0.12345678901234567890"), "not exact as a JSON number"),
    ("json", object(), "no form in JSON"),
    ("bytes", "text", "is text, not bytes"),
    ("bytes", 5, "is not bytes"),
]


@pytest.mark.parametrize(("text", "native", "why"), REFUSED)
def test_refused_in_a_sentence(text: str, native: object, why: str) -> None:
    error = refused(type_of(text), native)
    assert why in error.message
    assert len(error.message) < 160  # the value is shortened
    assert error.code == "SY0312"


def test_s53_equal_at_scale_and_a_cent_is_a_change() -> None:
    money = type_of("decimal(12,2)")
    tens = [10, 10.0, "10", "10.0", "10.00", "1e1", Decimal("1E+1"), Decimal("10.000"), " 10 "]
    assert {money.canon(n) for n in tens} == {"10.00"}
    assert money.canon(0.1 + 0.2) == money.canon("0.3") == "0.30"
    assert money.canon("10.01") != money.canon("10.00")
    assert money.canon(1234567890.12) == "1234567890.12"
    assert type_of("decimal(9,8)").canon("0.00000001") == "0.00000001"  # never 1E-8


def test_a_float_is_rounded_and_an_exact_number_is_not() -> None:
    money = type_of("decimal(12,2)")
    assert money.canon(2.005) == "2.00"  # half to even, from what is written: 2.005
    assert money.canon(2.015) == "2.02"
    assert money.canon(-0.001) == "0.00"
    assert "more than 2 places" in refused(money, Decimal("2.005")).message


@pytest.mark.parametrize("native", [0, -0.0, Decimal("-0"), Decimal("-0.00"), "-0", "0e99"])
def test_f40_there_is_one_zero(native: object) -> None:
    assert type_of("decimal(4,2)").canon(native) == "0.00"


@pytest.mark.parametrize("text", ["decimal(4,2)", "json", "integer"])
@pytest.mark.parametrize(
    "native",
    [float("nan"), float("inf"), float("-inf"), Decimal("NaN"), Decimal("sNaN"), Decimal("-Inf")],
)
def test_f40_no_nan_and_no_infinity(text: str, native: object) -> None:
    refused(type_of(text), native)


def test_f40_beyond_2_to_53_nothing_is_lost() -> None:
    big = 2**53 + 1
    assert type_of("integer").canon(big) == big
    assert type_of("integer").canon(str(big)) == big
    assert type_of("integer").canon(Decimal(big)) == big
    assert type_of("decimal(20,0)").canon(Decimal(big)) == str(big)
    assert type_of("json").canon([big]) == [big]
    assert "decimal" in refused(type_of("integer"), 10**30).hint


def test_f41_s52_null_empty_and_none_at_all_are_three_things() -> None:
    for text in ("text", "set", "list", "json", "bytes"):
        empty: object = {"text": "", "bytes": b"", "json": {}}.get(text, [])
        assert type_of(text).canon(None) is None
        assert type_of(text).canon(empty) is not None
    refused(type_of("date"), "")
    assert type_of("date", null="empty").canon("") is None
    assert type_of("text", null="empty").canon("") == ""  # only the comparison makes them one


@pytest.mark.parametrize("text", ["text", "set", "list", "json"])
@pytest.mark.parametrize("bad", ["a\x00", "\ud800", "\udc00x"])
def test_f42_nul_and_half_characters_are_refused(text: str, bad: str) -> None:
    native: object = bad if text == "text" else [bad]
    assert refused(type_of(text), native).code == "SY0314"


def test_f42_everything_else_is_kept_to_the_letter() -> None:
    for text in ("é", "é", "👩‍👩‍👧", "ß", "İ", "\u200b", "\ufeffx", "a\r\n"):
        assert type_of("text").canon(text) == text


def test_f43_a_set_has_no_order_and_a_list_has() -> None:
    assert type_of("set").canon(["b", "a"]) == type_of("set").canon(["a", "b"])
    assert type_of("list").canon(["b", "a"]) != type_of("list").canon(["a", "b"])


def test_f44_bytes_have_a_limit() -> None:
    small = type_of("bytes", limit=3)
    assert small.canon(b"abc") == "YWJj"
    assert "over the limit of 3" in refused(small, b"abcd").message
    refused(type_of("bytes"), b"x" * (2**20 + 1))


def test_json_has_a_depth() -> None:
    deep: list[object] = []
    for _ in range(2000):
        deep = [deep]
    assert "nested deeper" in refused(type_of("json"), deep).message


ZONES = [UTC, timezone(timedelta(hours=2)), timezone(timedelta(hours=-9, minutes=-30))]


def test_s54_one_instant_in_every_spelling() -> None:
    at = type_of("datetime", zone="Europe/Berlin")
    moment = datetime(2024, 7, 1, 12, 0, tzinfo=UTC)
    spelled = [
        *(moment.astimezone(zone) for zone in ZONES),
        datetime(2024, 7, 1, 14, 0),
        "2024-07-01T12:00:00Z",
        "2024-07-01 12:00Z",
        "2024-07-01 14:00:00.000000+02",
        "2024-07-01T14:00:00+0200",
        "2024-07-01 14:00:00 +02:00",
        "2024-07-01 14:00:00",
        "2024-07-01T12:00:00.0000009Z",
    ]
    assert {at.canon(s) for s in spelled} == {"2024-07-01T12:00:00.000000Z"}


def test_s54_a_date_never_shifts() -> None:
    day = type_of("date")
    east = timezone(timedelta(hours=14))
    for moment in (
        datetime(2024, 3, 31, 12, 0),
        datetime(2024, 3, 31, 0, 0, 0, 1),
        datetime(2024, 3, 31, tzinfo=east),
        "2024-03-31T00:00:00+14:00",
        "2024-03-31 23:59:59",
    ):
        assert "which a date would lose" in refused(day, moment).message
    assert day.native("2024-03-31", "datetime") == datetime(2024, 3, 31)
    assert day.unfit("datetime", zoned=True) is not None
    assert "without a time" in refused(type_of("datetime", zone="UTC"), date(2024, 3, 31)).message
    assert "without a time" in refused(type_of("datetime", zone="UTC"), "2024-03-31").message


def test_f38_a_wall_time_needs_a_declared_zone() -> None:
    assert "has no zone" in refused(type_of("datetime"), datetime(2024, 1, 1)).message
    assert "has no zone" in refused(type_of("datetime"), "2024-01-01 00:00:00").message
    offset = type_of("datetime", zone="-05:30")
    assert offset.canon(datetime(2024, 1, 1)) == "2024-01-01T05:30:00.000000Z"
    assert (
        type_of("datetime").at("UTC").canon(datetime(2024, 1, 1)) == "2024-01-01T00:00:00.000000Z"
    )


def test_f38_the_hour_that_is_skipped() -> None:
    berlin = type_of("datetime", zone="Europe/Berlin")
    assert "the clocks skip it" in refused(berlin, datetime(2024, 3, 31, 2, 30)).message
    assert berlin.canon(datetime(2024, 3, 31, 3, 0)) == "2024-03-31T01:00:00.000000Z"


def test_f38_s54_the_hour_that_comes_twice() -> None:
    """Read as the first of the two, always; the second is never written where it would be read
    as the first."""
    berlin = type_of("datetime", zone="Europe/Berlin")
    first, second = "2024-10-27T00:30:00.000000Z", "2024-10-27T01:30:00.000000Z"
    wall = datetime(2024, 10, 27, 2, 30)
    assert berlin.canon(wall) == berlin.canon(wall.replace(fold=1)) == first
    assert berlin.native(first, "datetime") == wall
    assert berlin.native(second, "datetime", zoned=True) == datetime(
        2024, 10, 27, 1, 30, tzinfo=UTC
    )
    with pytest.raises(Unrepresentable) as caught:
        berlin.native(second, "datetime")
    assert caught.value.code == "SY0313"


def test_f38_second_60_and_the_ends_of_the_calendar() -> None:
    assert "second 60" in refused(type_of("datetime"), "2016-12-31T23:59:60Z").message
    edge = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    assert "end of the calendar" in refused(type_of("datetime"), edge).message
    west = type_of("datetime", zone="-01:00")
    with pytest.raises(Unrepresentable):
        west.native("0001-01-01T00:30:00.000000Z", "datetime")


def test_f39_no_finer_than_the_coarsest() -> None:
    seconds = type_of("datetime", precision="s")
    value = seconds.canon("2024-01-01T00:00:00.999Z")
    assert value == "2024-01-01T00:00:00.999000Z"  # what is there is not touched
    # cut, so that no column rounds it up to the next second
    assert seconds.native(value, "datetime", zoned=True) == datetime(2024, 1, 1, tzinfo=UTC)
    assert (
        type_of("datetime", precision="ms").native("2024-01-01T00:00:00.123456Z", "text")
        == "2024-01-01T00:00:00.123000Z"
    )


NATIVES: list[tuple[str, object, str, object]] = [
    ("text", "007", "text", "007"),
    ("text", "42", "integer", 42),
    ("text", "42", "decimal", Decimal(42)),
    ("text", "09:30:00", "time", time(9, 30)),
    ("text", "00000000-0000-0000-0000-00000000000a", "uuid", UUID(int=10)),
    ("integer", 5, "text", "5"),
    ("integer", 5, "decimal", Decimal(5)),
    ("integer", 5, "float", 5.0),
    ("decimal(5,2)", "10.00", "decimal", Decimal("10.00")),
    ("decimal(5,2)", "10.00", "text", "10.00"),
    ("decimal(5,2)", "0.10", "float", 0.1),
    ("decimal(5,0)", "10", "integer", 10),
    ("boolean", True, "boolean", True),
    ("boolean", True, "integer", 1),
    ("boolean", False, "text", "false"),
    ("date", "2024-01-02", "date", date(2024, 1, 2)),
    ("date", "2024-01-02", "text", "2024-01-02"),
    ("datetime", "2024-01-02T00:00:00.000000Z", "text", "2024-01-02T00:00:00.000000Z"),
    ("uuid", "00000000-0000-0000-0000-00000000000a", "uuid", UUID(int=10)),
    ("uuid", "00000000-0000-0000-0000-00000000000a", "bytes", UUID(int=10).bytes),
    ("enum", "new", "enum", "new"),
    ("set", ["a"], "list", ["a"]),
    ("list", [1, "a"], "json", [1, "a"]),
    ("json", {"a": 1}, "json", {"a": 1}),
    ("json", {"a": 1}, "text", '{"a":1}'),
    ("bytes", "AP8=", "bytes", b"\x00\xff"),
    ("bytes", "AP8=", "text", "AP8="),
]


@pytest.mark.parametrize(("text", "value", "family", "native"), NATIVES)
def test_each_family_gets_its_own_python(
    text: str, value: object, family: str, native: object
) -> None:
    of = type_of(text)
    got = of.native(value, family)
    assert got == native
    assert type(got) is type(native)
    assert of.reader(family)(got) == value
    assert of.native(None, family) is None
    assert of.reader(family)(None) is None


@pytest.mark.parametrize(
    ("text", "value", "family"),
    [
        ("text", "007", "integer"),
        ("text", "x", "integer"),
        ("text", "X" * 36, "uuid"),
        ("text", "9:30", "time"),
        ("integer", 2**53 + 1, "float"),
        ("decimal(30,2)", "1234567890123456789012345678.12", "float"),
    ],
)
def test_s18_what_would_not_come_back_is_not_written(text: str, value: object, family: str) -> None:
    with pytest.raises(Unrepresentable) as caught:
        type_of(text).native(value, family)
    assert caught.value.code == "SY0313"


@pytest.mark.parametrize(
    ("text", "family"),
    [("set", "text"), ("decimal(5,2)", "integer"), ("datetime", "date"), ("text", "date"),
     ("json", "list"), ("integer", "boolean"), ("uuid", "integer"), ("bytes", "json"),
     ("datetime", "datetime")],
)  # fmt: skip
def test_types_that_no_column_of_that_kind_holds(text: str, family: str) -> None:
    assert type_of(text).unfit(family)
    with pytest.raises(Unrepresentable):
        type_of(text).native(None, family)


def test_text_that_is_no_json_is_refused() -> None:
    with pytest.raises(Unrepresentable, match="is not JSON"):
        type_of("json").reader("text")("{")


@pytest.mark.parametrize(
    ("text", "options", "hint"),
    [
        ("txt", {}, "did you mean text?"),
        ("string", {}, "did you mean text?"),
        ("int", {}, "did you mean integer?"),
        ("decimal", {}, "decimal(12,2)"),
        ("decimal(2,5)", {}, "decimal(12,2)"),
        ("date(3)", {}, ""),
        ("text(0)", {}, ""),
        ("text(", {}, "did you mean text?"),
        ("blob", {}, "types are"),
        ("enum", {"choices": ()}, ""),
        ("text", {"choices": ("a",)}, ""),
        ("text", {"zone": "UTC"}, ""),
        ("text", {"null": "maybe"}, ""),
        ("text", {"limit": 5}, ""),
        ("datetime", {"precision": "ns"}, ""),
    ],
)
def test_a_type_that_is_not_there(text: str, options: dict[str, Any], hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        FieldType.parse(text, **options)
    assert caught.value.code == "SY0171"
    assert hint in caught.value.hint


@pytest.mark.parametrize("name", ["Europe/Brelin", "../etc/passwd", "", "+99:99", "Europe"])
def test_a_zone_that_is_not_there(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        FieldType.parse("datetime", zone=name)
    assert caught.value.code == "SY0173"


def test_types_are_told_apart_by_what_they_say() -> None:
    assert FieldType.parse(" decimal( 12 , 2 ) ") == FieldType.parse("decimal(12,2)")
    assert FieldType.parse("decimal(12)").text == "decimal(12,0)"
    assert FieldType.parse("text").identity != FieldType.parse("text", null="empty").identity


@pytest.mark.parametrize("value", [None, "", " ", "\u00a0\t", [], {}, ()])
def test_s19_what_says_nothing_is_blank(value: object) -> None:
    assert blank(value)


@pytest.mark.parametrize("value", [0, False, "0", ".", [""], {"a": None}])
def test_s18_zero_and_false_say_something(value: object) -> None:
    assert not blank(value)
