"""Laws of canonical values and comparison forms, for every type."""

from __future__ import annotations

import copy
from datetime import UTC, timedelta, timezone
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.core.folds import FOLDS
from syncd.core.hashing import digest, key_hash
from syncd.core.values import Comparison, FieldType
from syncd.errors import Unrepresentable

TYPES = [
    FieldType.parse(text)
    for text in ("text", "text(4)", "integer", "decimal(6,2)", "decimal(20,0)", "boolean", "date",
                 "uuid", "set", "list", "json", "bytes")
] + [
    FieldType.parse("datetime", zone="Europe/Berlin"),
    FieldType.parse("datetime", precision="s", zone="America/St_Johns"),
    FieldType.parse("enum", choices=["a", "b"]),
    FieldType.parse("text", null="empty"),
]  # fmt: skip

# letters that change length or shape with case and normal form, and the marks that combine
odd = st.text(st.sampled_from("aAßẞİıΐΰﬁǅᾳ\u0301\u0345\u0307é \t\u00a0٣7"), max_size=6)
zones = st.sampled_from([None, UTC, timezone(timedelta(hours=13, minutes=45))])
scalars = (
    st.none() | st.booleans() | st.integers() | st.integers(-9999, 9999) | st.floats()
    | st.decimals() | st.decimals(-9999, 9999, places=2) | st.text(max_size=6) | odd
    | st.sampled_from(["1", "1.50", "-0", "true", "a", "2024-02-29", "2024-10-27 02:30:00", ""])
    | st.binary(max_size=16) | st.dates() | st.datetimes(timezones=zones) | st.times() | st.uuids()
    | st.uuids().map(str) | st.datetimes(timezones=zones).map(str)
)  # fmt: skip
natives = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
types = st.sampled_from(TYPES)


def canon(of: FieldType, native: Any) -> Any:
    """The canonical value, or the exception."""
    try:
        return of.canon(native)
    except Unrepresentable as error:
        return error


@settings(deadline=None)
@given(types, natives)
def test_canonical_values_are_their_own_canonical_form(of: FieldType, native: object) -> None:
    value = canon(of, native)
    if not isinstance(value, Unrepresentable) and of.kind != "bytes":
        assert of.canon(value) == value
    if not isinstance(value, Unrepresentable):
        digest({"f": value})  # JSON-native: orjson would refuse anything else


@settings(deadline=None)
@given(types, natives)
def test_every_column_that_fits_gives_the_value_back(of: FieldType, native: object) -> None:
    """canon(native(value)) == value, or a sentence why this column cannot."""
    value = canon(of, native)
    if isinstance(value, Unrepresentable):
        return
    for family in ("text", "integer", "decimal", "float", "boolean", "date", "datetime", "time",
                   "uuid", "bytes", "json", "enum", "list", "other"):  # fmt: skip
        for zoned in (False, True):
            if of.unfit(family, zoned) is not None:
                continue
            try:
                there = of.native(value, family, zoned=zoned)
            except Unrepresentable as error:
                assert error.code == "SY0313"
                continue
            back = of.reader(family, zoned)(there)
            assert Comparison(of)(back) == Comparison(of)(value)
            if of.precision == "us":
                assert back == value


@settings(deadline=None)
@given(types, natives)
def test_refusals_are_short_sentences(of: FieldType, native: object) -> None:
    error = canon(of, native)
    if isinstance(error, Unrepresentable):
        assert 10 < len(error.message) < 200
        error.message.encode()


@st.composite
def comparisons(draw: st.DrawFn) -> Comparison:
    of = draw(types)
    folds = draw(st.lists(st.sampled_from(FOLDS))) if of.kind in ("text", "set", "list") else ()
    return Comparison(of, folds, draw(st.sampled_from([None, "empty"])))


@settings(deadline=None)
@given(comparisons(), natives)
def test_a_comparison_never_touches_the_value(same: Comparison, native: object) -> None:
    value = canon(same.type, native)
    if isinstance(value, Unrepresentable):
        return
    before = copy.deepcopy(value)
    form = same(value)
    assert value == before
    hash(form)
    digest(form)
    key_hash(0, (form,))
    assert same(before) == form


@settings(deadline=None)
@given(st.lists(st.sampled_from(FOLDS)), odd | st.text(max_size=8))
def test_folds_are_idempotent_in_whatever_order_they_stand(folds: list[str], text: str) -> None:
    same = Comparison(FieldType.parse("text"), folds)
    assert same(same(text)) == same(text)
    assert Comparison(FieldType.parse("text"), folds[::-1])(text) == same(text)


@settings(deadline=None)
@given(st.decimals(-9999, 9999, places=2))
def test_s53_every_spelling_of_an_amount_is_one_value(amount: Decimal) -> None:
    money = FieldType.parse("decimal(6,2)")
    spellings = {money.canon(n) for n in (amount, str(amount), float(amount), f"{amount:e}",
                                          amount.normalize(), f" {amount:f}00")}  # fmt: skip
    assert len(spellings) == 1
    assert money.canon(amount + Decimal("0.01") if amount < 9999 else amount) not in (
        spellings if amount < 9999 else ()
    )


@settings(deadline=None)
@given(st.datetimes(timezones=st.timezones()))
def test_s54_an_instant_is_one_value_in_every_zone(moment: Any) -> None:
    at = FieldType.parse("datetime")
    try:
        utc = moment.astimezone(UTC)
        there = utc.astimezone(timezone(timedelta(hours=-7)))
    except OverflowError:
        return
    assert at.canon(moment) == at.canon(utc) == at.canon(there) == at.canon(utc.isoformat())
