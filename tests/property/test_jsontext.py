"""JSON read without losing a digit (F40)."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.core import jsontext

NUMBERS = st.one_of(
    st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers().map(str),
)


@given(NUMBERS, st.sampled_from(["{}", "[{}]", '{{"a": [1, {}]}}', '["x", {}, null]']))
def test_f40_no_number_is_another_one_once_read(text: str, around: str) -> None:
    exact = json.loads(around.format(text), parse_float=Decimal)

    def same(one: Any, other: Any) -> bool:
        if isinstance(other, dict):
            return one.keys() == other.keys() and all(same(one[k], v) for k, v in other.items())
        if isinstance(other, list):
            return len(one) == len(other) and all(map(same, one, other))
        if isinstance(one, float):  # as written, or as any float of fifteen digits is
            return Decimal(repr(one)) == other
        return bool(one == other)

    assert same(jsontext.loads(around.format(text)), exact)


@pytest.mark.parametrize("text", ["NaN", "[Infinity, 1e5]", "{", "[1e5", "1e5 NaN", ""])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        jsontext.loads(text)
