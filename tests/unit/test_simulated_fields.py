"""What the simulated world knows of fields, written apart from the engine's mapping: both must say
the same, or the oracle would judge by another law than the one that holds."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from syncd.adapter import Column
from syncd.core.mapping import FieldMap, MemberMapping
from syncd.core.values import Comparison, FieldType
from syncd.simulate.clock import stream
from syncd.simulate.fields import Field, Model, Place, fields_of
from syncd.simulate.fresh import fresh, own
from syncd.simulate.kinds import Kind
from syncd.simulate.packing import packed, unpacked

OPTIONS: dict[str, dict[str, Any]] = {
    "enum": {"choices": ["open", "paid"]},
    "datetime": {"zone": "Europe/Berlin", "precision": "s"},
}
COLUMNS = [
    ("text", "text", False), ("text(80)", "text", False), ("integer", "integer", False),
    ("integer", "decimal", False), ("integer", "text", False), ("decimal(12,2)", "decimal", False),
    ("decimal(12,2)", "text", False), ("boolean", "boolean", False), ("boolean", "integer", False),
    ("boolean", "text", False), ("date", "date", False), ("date", "datetime", False),
    ("date", "text", False), ("datetime", "datetime", True), ("datetime", "datetime", False),
    ("datetime", "text", False), ("uuid", "uuid", False), ("uuid", "text", False),
    ("uuid", "bytes", False), ("enum", "text", False), ("enum", "enum", False),
    ("set", "list", False), ("list", "json", False), ("json", "json", False),
    ("json", "text", False), ("bytes", "bytes", False), ("bytes", "text", False),
]  # fmt: skip


def options(spelled: str) -> dict[str, Any]:
    return OPTIONS.get(spelled.partition("(")[0], {})


@pytest.mark.parametrize(("spelled", "family", "zoned"), COLUMNS)
def test_values_are_read_and_written_as_the_engine_does(
    spelled: str, family: str, zoned: bool
) -> None:
    kind = Kind.of({"type": spelled, **options(spelled)})
    column = Column("c", family, family, zoned=zoned)
    mapping = MemberMapping.compile(
        {"f": FieldType.parse(spelled, **options(spelled))}, [FieldMap("f", ("c",))],
        {"c": column}, "m",
    )  # fmt: skip
    place, chance = Place(kind, (column,)), stream(1, "users")
    seen = []
    for token in range(1, 20):
        value = fresh(kind, 3, token, seen[-1] if seen else None, chance, None, False)
        natives = place.write(value)
        form, complaints = mapping.to_form(natives)
        there = kind.plain(place.read(natives))
        assert (kind.plain(form["f"]), complaints) == (there, {})
        back = mapping.to_native({"f": form["f"]}, {"c": None})
        assert kind.plain(place.read(back)) == there
        assert [type(native) for native in back.values()] == list(map(type, natives.values()))
        seen.append(form["f"])
    if spelled not in ("boolean", "enum"):
        assert len({repr(value) for value in seen}) == len(seen)


@pytest.mark.parametrize(
    "folds",
    [["trim", "lower"], ["casefold", "NFC"], ["digits"], ["collapse"], ["trim", "collapse", "NFC"]],
)
def test_texts_are_compared_as_the_engine_does(folds: list[str]) -> None:
    ours = Kind.of({"type": "text", "fold": folds}).plain
    theirs = Comparison(FieldType.parse("text"), folds)
    texts = ["", " ", "A b", "a  B ", "cafe\u0301", "café", "CAFÉ", "+49 (30) 1", "0049 30 1", "ß"]
    for one in texts:
        for other in texts:
            assert (ours(one) == ours(other)) == (theirs(one) == theirs(other)), (one, other)


@pytest.mark.parametrize("spelled", ["text", "integer", "set", "date", "json"])
def test_null_and_empty_are_one_where_the_flow_says_so(spelled: str) -> None:
    plain = Kind.of({"type": spelled, "null": "empty"}).plain
    assert plain("" if spelled != "set" else []) == plain(None)


def test_a_place_with_a_table_says_what_has_a_code() -> None:
    column = Column("c", "integer", "integer")
    place = Place(Kind.of("boolean"), (column,), {"1": "true", "0": "false"})
    assert (place.read({"c": 1}), place.write(False)) == (True, {"c": 0})
    assert place.read({"c": 7}) == "?7"
    with pytest.raises(LookupError):
        Place(Kind.of("text"), (column,), {"1": "EUR"}).write("USD")


def test_words_of_two_columns_are_one_value() -> None:
    columns = (Column("first", "text", "text"), Column("last", "text", "text", nullable=False))
    place = Place(Kind.of("text"), columns)
    for value in ("Ada Lovelace", "Ada", "Anna Maria Berg"):
        assert place.read(place.write(value)) == value
    assert place.write(None) == {"first": None, "last": ""}
    assert place.read({"first": " Ada ", "last": "Lovelace "}) == "Ada Lovelace"


def model(**tables: Any) -> Model:
    """Two members; at b, `name` is a column of five letters, cut at three."""
    kinds = {name: Kind.of(said) for name, said in tables.items()}
    places = {
        member: {
            name: Place(kind, (Column(name, "text", kind.name, length=length),))
            for name, kind in kinds.items()
        }
        for member, length in (("a", None), ("b", 5))
    }

    def shape(member: str, column: str, native: Any) -> Any:
        return native[:3] if member == "b" and isinstance(native, str) else native

    return Model(fields_of(tables, places, ["name"]), places, shape)


def test_values_fit_the_shortest_column_and_tell_the_person() -> None:
    made = model(name="text")
    field, chance = made.fields["name"], stream(1, "users")
    values = [
        field.fresh(person, token, None, chance, made.places["a"]["name"])
        for person, token in ((1, 1), (20, 20), (300, 3000))
    ]
    assert all(len(value) <= 5 for value in values)
    assert len(set(values)) == 3
    assert field.own(3) != field.own(4)
    assert made.person({"name": "p17.4"}) == 17
    assert made.kept("b", "name", "abcdef") == "abc"
    assert made.normal("b", "name", "abcdef") == "abcdef"


def test_fields_with_few_values_are_vague() -> None:
    assert not Field("f", Kind.of("text")).vague
    assert Field("f", Kind.of("text"), room=2).vague
    assert Field("f", Kind.of("boolean")).vague
    assert Field("f", Kind.of("text"), values=("a", "b")).vague


@pytest.mark.parametrize("spelled", ["text", "integer", "decimal(9,2)", "date", "datetime", "uuid"])
def test_everybody_is_known_by_something_of_their_own(spelled: str) -> None:
    kind, chance = Kind.of(spelled), stream(1, "users")
    known = {own(kind, person, None) for person in range(40)}
    given = {fresh(kind, 1, token, None, chance, None, False) for token in range(1, 200)}
    assert len(known) == 40
    assert not known & given


def test_rows_come_back_from_their_bytes_and_equal_ones_have_the_same() -> None:
    row = (
        1, [None, True, 1.5, "x", b"y", Decimal("1.20"), UUID(int=7), date(2024, 2, 29)],
        datetime(2024, 1, 1, tzinfo=UTC), {"b": [1, {}], "a": None}, {},
    )  # fmt: skip
    again = (1, [*row[1]], datetime(2024, 1, 1, tzinfo=UTC), {"a": None, "b": [1, {}]}, {})
    assert unpacked(packed(row)) == [row[0], row[1], row[2], row[3], row[4]]
    assert packed(row) == packed(again)
    assert packed((Decimal("1.2"),)) != packed((Decimal("1.20"),))
