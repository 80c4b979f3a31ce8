"""What a mapping writes, it reads back; what it would not, it complains of."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.adapter import Column
from syncd.core.mapping import FieldMap, MemberMapping
from syncd.core.values import Comparison, FieldType

TYPES = {
    "name": FieldType.parse("text"),
    "mail": FieldType.parse("text", null="empty"),
    "credit": FieldType.parse("decimal(9,3)"),
    "ok": FieldType.parse("boolean"),
    "day": FieldType.parse("date"),
    "at": FieldType.parse("datetime", precision="ms"),
    "tags": FieldType.parse("set", null="empty"),
    "state": FieldType.parse("enum", choices=["on", "off"]),
    "code": FieldType.parse("text"),
}
words = st.none() | st.text("ab \u00e9", max_size=6)
FORMS: dict[str, st.SearchStrategy[Any]] = {
    "name": words,
    "mail": words,
    "credit": st.decimals(-99999, 99999, places=3).map(TYPES["credit"].canon) | st.none(),
    "ok": st.none() | st.booleans(),
    "day": st.none() | st.dates().map(TYPES["day"].canon),
    "at": st.none() | st.datetimes().map(TYPES["at"].at("UTC").canon),
    "tags": st.none() | st.lists(st.text("ab", max_size=3)).map(TYPES["tags"].canon),
    "state": st.sampled_from([None, "on", "off"]),
    "code": st.none() | st.text("0123", max_size=4),
}
forms = st.fixed_dictionaries({}, optional=FORMS)


@st.composite
def mappings(draw: st.DrawFn) -> MemberMapping:
    def column(name: str, type: str, family: str, **more: Any) -> Column:  # noqa: A002
        return Column(name, type, family, nullable=draw(st.booleans()), **more)

    size = draw(st.sampled_from([None, 3]))
    columns = [
        column("first", "text", "text", length=size),
        column("last", "text", "text"),
        column("mail", "varchar", "text", length=size),
        column("credit", *draw(st.sampled_from([("numeric", "decimal"), ("text", "text")]))),
        column("ok", *draw(st.sampled_from([("bool", "boolean"), ("int", "integer")]))),
        column("day", *draw(st.sampled_from([("date", "date"), ("timestamp", "datetime")]))),
        column("at", "timestamp", "datetime", zoned=draw(st.booleans())),
        column("tags", *draw(st.sampled_from([("json", "json"), ("text[]", "list")]))),
        column("state", "int", "integer"),
        column("code", *draw(st.sampled_from([("text", "text"), ("int", "integer")]))),
    ]
    maps = [
        FieldMap("name", ("first", "last"), "words"),
        FieldMap("at", ("at",), zone=draw(st.sampled_from(["UTC", "Europe/Berlin"]))),
        FieldMap("state", ("state",), table={"1": "on", "0": "off"}),
        *(FieldMap(n, (n,)) for n in ("mail", "credit", "ok", "day", "tags", "code")),
    ]
    return MemberMapping.compile(TYPES, maps, {c.name: c for c in columns}, "erp")


@settings(deadline=None)
@given(mappings(), forms)
def test_what_is_valid_comes_back_the_same(mapping: MemberMapping, form: dict[str, Any]) -> None:
    complaints = mapping.validate(form)
    valid = {name: value for name, value in form.items() if name not in complaints}
    natives = mapping.to_native(valid, {})
    back, misfits = mapping.to_form(natives)
    assert not misfits
    assert back.keys() == valid.keys()
    for name, value in valid.items():
        same = Comparison(TYPES[name], ["collapse", "trim"] if name == "name" else ())
        assert same(back[name]) == same(value)
    assert back == mapping.expected(valid)
    assert mapping.expected(back, natives) == back


@settings(deadline=None)
@given(mappings(), forms, forms)
def test_writing_what_stands_there_changes_nothing(
    mapping: MemberMapping, form: dict[str, Any], other: dict[str, Any]
) -> None:
    """Unchanged fields keep their natives, and fields not given are not written (I6)."""
    row = mapping.to_native({n: v for n, v in form.items() if n not in mapping.validate(form)}, {})
    stands, _ = mapping.to_form(row)
    assert mapping.to_native(stands, row) == row
    given_fields = {n: v for n, v in other.items() if n not in mapping.validate(other)}
    written = mapping.to_native(given_fields, row)
    allowed = {"name": {"first", "last"}}
    assert set(written) == {c for n in given_fields for c in allowed.get(n, {n})}


@settings(deadline=None)
@given(mappings(), forms)
def test_a_create_leaves_out_only_what_the_column_fills(
    mapping: MemberMapping, form: dict[str, Any]
) -> None:
    if not mapping.validate(form, creating=True):
        natives = mapping.to_native(form, None)
        assert set(natives) <= mapping.writes
        assert mapping.to_form(natives)[1] == {}
