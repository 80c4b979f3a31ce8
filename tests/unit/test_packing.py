from __future__ import annotations

import math
from collections import OrderedDict
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.core.packing import pack, unpack
from syncd.errors import StoreError, Unrepresentable

zones = st.none() | st.just(UTC) | st.just(timezone(timedelta(hours=-3, minutes=30)))
plain = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.decimals(allow_nan=False)
    | st.text()
    | st.text(st.characters(categories=["Cs"]), max_size=3)
    | st.binary()
    | st.dates()
    | st.datetimes(timezones=zones)
    | st.times(timezones=zones)
    | st.timedeltas()
    | st.uuids()
)
keys = st.text(max_size=5) | st.just("!")
natives = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4)
)


def _typed(value: Any) -> Any:
    """With the types in it, since 1 == True == 1.0."""
    if isinstance(value, dict):
        return {key: _typed(element) for key, element in value.items()}
    if isinstance(value, list):
        return [_typed(element) for element in value]
    extra = (value.tzinfo is None, value.fold) if isinstance(value, (datetime, time)) else ()
    return type(value), str(value) if isinstance(value, (float, Decimal)) else value, extra


@settings(deadline=None)
@given(st.dictionaries(keys, natives, max_size=6))
def test_whatever_is_packed_comes_back(fields: dict[str, Any]) -> None:
    assert _typed(unpack(pack(fields))) == _typed(fields)


def test_not_a_number_comes_back_too() -> None:
    """Refused by the types later, with a sentence; the journal keeps what was there."""
    back = unpack(pack({"f": math.nan, "d": Decimal("NaN"), "i": math.inf}))
    assert math.isnan(back["f"]) and back["d"].is_nan() and back["i"] == math.inf


def test_kin_of_a_kind_is_kept_as_that_kind() -> None:
    class Name(str):
        __slots__ = ()

    class Day(datetime):
        pass

    fields = {
        "n": Name("x"),
        "t": (1, 2),
        "b": bytearray(b"a"),
        "o": OrderedDict(a=Day(2024, 1, 1)),
    }
    assert unpack(pack(fields)) == {
        "n": "x", "t": [1, 2], "b": b"a", "o": {"a": datetime(2024, 1, 1)},
    }  # fmt: skip


def test_json_is_left_as_it_is() -> None:
    """Most rows are nothing else; a person can read them in the store."""
    assert pack({"a": "ä", "b": [1, None], "d": date(2024, 1, 1)}) == (
        '{"a":"ä","b":[1,null],"d":{"!":["date","2024-01-01"]}}'.encode()
    )
    assert UUID(int=1) == unpack(pack({"u": UUID(int=1)}))["u"]


@pytest.mark.parametrize("bad", [object(), {1: 2}, {1, 2}, 1j])
def test_an_unknown_kind_is_refused(bad: object) -> None:
    with pytest.raises(Unrepresentable) as caught:
        pack({"x": bad})
    assert caught.value.code == "SY0316"


@pytest.mark.parametrize("bad", [b"", b"[]", b"{", b'{"a":{"!":["what","1"]}}', b'{"a":{"!":1}}'])
def test_a_damaged_pack_is_the_stores_fault(bad: bytes) -> None:
    with pytest.raises(StoreError) as caught:
        unpack(bad)
    assert caught.value.code == "SY0410"
