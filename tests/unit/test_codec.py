"""Payloads of the store: nothing lost, nothing invented, small where it matters."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.core.model import UNSET, Agreed, Base, Origin
from syncd.errors import StoreError
from syncd.store import codec

ORIGIN = Origin("crm", 4, "newest")


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-3))])))
def test_a_time_comes_back_as_the_same_instant(at: datetime) -> None:
    try:
        text = codec.stamp(at)
    except OverflowError:  # no such instant in UTC's calendar
        return
    assert codec.moment(text) == at
    assert len(text) == 27


@given(st.lists(st.datetimes(timezones=st.just(UTC)), max_size=5))
def test_times_sort_as_their_texts_do(many: list[datetime]) -> None:
    assert [codec.stamp(d) for d in sorted(many)] == sorted(codec.stamp(d) for d in many)


def test_payloads_are_canonical() -> None:
    names = [f"f{n}" for n in range(20)]
    payloads = set()
    for _ in range(5):
        random.Random(len(payloads)).shuffle(names)
        agreed = {n: Agreed({"b": n, "a": 1}, 1, ORIGIN) for n in names}
        payloads.add((*codec.encode_agreed(agreed), codec.encode_base({}, agreed)))
    assert len(payloads) == 1


@pytest.mark.parametrize("value", [{1, 2}, 2**70, b"x", object()])
def test_what_is_not_canonical_is_refused(value: object) -> None:
    with pytest.raises(StoreError) as caught:
        codec.encode_agreed({"f": Agreed(value, 1, ORIGIN)})
    assert caught.value.code == "SY0413"


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (1, True, False),
        (0, False, False),
        (1, 1.0, False),
        (None, "", False),
        ("a", "a", True),
        ([1], [True], False),
        ({"a": [1]}, {"a": [1.0]}, False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
    ],
)
def test_values_are_the_same_as_stored_or_not_at_all(a: object, b: object, same: bool) -> None:
    assert codec.same(a, b) is same
    agreed = {"f": Agreed(a, 1, ORIGIN)}
    assert (codec.encode_base({"f": Base(b, 1)}, agreed) is None) is same


def test_the_origin_most_fields_share_is_stored_once() -> None:
    agreed = {f"f{n}": Agreed(n, 7, ORIGIN) for n in range(50)}
    _, shared = codec.encode_agreed(agreed)
    agreed["odd"] = Agreed(1, 8, Origin(None, 5, "by ann", "2026-01-31T08:00:00.000000Z"))
    values, mixed = codec.encode_agreed(agreed)
    assert shared is not None
    assert mixed is not None
    assert len(shared) < 50
    assert len(mixed) < 120
    assert codec.decode_agreed(values, mixed) == agreed


def test_no_value_is_not_null() -> None:
    agreed = {"f": Agreed("x", 1, ORIGIN)}
    for base in (Base("y", 0), Base("y", 0, sent=None), Base("y", 0, seen=None)):
        (stored,) = codec.decode_base(codec.encode_base({"f": base}, agreed), agreed).values()
        assert stored == base
        assert (stored.sent is UNSET, stored.seen is UNSET) == (
            base.sent is UNSET,
            base.seen is UNSET,
        )


def test_the_fields_of_one_unknown_write_are_kept() -> None:
    bases = {name: Base("y", 0, sent="z", beside=("f", "g")) for name in ("f", "g")}
    assert codec.decode_base(codec.encode_base(bases, {}), {}) == bases


def test_bases_of_fields_no_longer_agreed_are_kept_whole() -> None:
    bases = {"gone": Base("x", 3)}
    payload = codec.encode_base(bases, {})
    assert payload is not None
    assert codec.decode_base(payload, {}) == bases
