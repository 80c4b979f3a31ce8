"""One member's mapping: what fits, both ways, and complaints by field."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from syncd.adapter import Column
from syncd.core.mapping import FieldMap, MemberMapping
from syncd.core.values import FieldType
from syncd.errors import ConfigError, Unrepresentable

COLUMNS = {
    column.name: column
    for column in (
        Column("id", "bigint", "integer", nullable=False, default=True),
        Column("mail", "varchar(20)", "text", length=20),
        Column("first", "text", "text"),
        Column("last", "text", "text", nullable=False),
        Column("amount", "numeric(6,2)", "decimal", digits=6, scale=2),
        Column("cents", "int", "integer"),
        Column("status", "char(4)", "text", length=4, nullable=False, default=True),
        Column("code", "smallint", "integer", nullable=False),
        Column("level", "enum", "enum", choices=("low", "high")),
        Column("wall", "timestamp", "datetime"),
        Column("moment", "timestamptz", "datetime", zoned=True),
        Column("day", "date", "date"),
        Column("labels", "text[]", "list", nullable=False),
        Column("photo", "bytea", "bytes", length=4),
        Column("total", "numeric", "decimal", derived=True),
        Column("note", "character varying(50)", "text", nullable=False),
    )
}


def mapping(
    types: dict[str, str | FieldType],
    *maps: FieldMap,
    columns: dict[str, Column] | None = None,
    **more: Any,
) -> MemberMapping:
    made = {n: t if isinstance(t, FieldType) else FieldType.parse(t) for n, t in types.items()}
    chosen = maps or tuple(FieldMap(name, (name,)) for name in types)
    return MemberMapping.compile(made, chosen, columns or COLUMNS, "erp", **more)


NAME = FieldMap("name", ("first", "last"), "words")


def test_there_and_back() -> None:
    erp = mapping(
        {"email": "text", "name": "text", "credit": "decimal(8,2)", "day": "date"},
        FieldMap("email", ("mail",)),
        NAME,
        FieldMap("credit", ("amount",)),
        FieldMap("day", ("day",)),
    )
    row = {
        "id": 1, "mail": "a@b.c", "first": "Anna", "last": "van Berg",
        "amount": Decimal("10.00"), "day": date(2024, 1, 2),
    }  # fmt: skip
    form, complaints = erp.to_form(row)
    assert form == {
        "email": "a@b.c", "name": "Anna van Berg", "credit": "10.00", "day": "2024-01-02",
    }  # fmt: skip
    assert complaints == {}
    assert erp.columns == ("mail", "first", "last", "amount", "day")
    assert erp.writes == {"mail", "first", "last", "amount", "day"}
    assert erp.to_native(form, row) == {k: v for k, v in row.items() if k != "id"}


def test_only_the_columns_of_the_given_fields_are_written() -> None:
    erp = mapping({"mail": "text", "name": "text"}, FieldMap("mail", ("mail",)), NAME)
    assert erp.to_native({"mail": None}, {}) == {"mail": None}
    assert erp.to_native({}, None) == {}
    assert erp.to_native({"stranger": 1}, None) == {}


def test_s52_what_the_row_does_not_carry_is_absent_not_null() -> None:
    erp = mapping({"mail": "text", "name": "text"}, FieldMap("mail", ("mail",)), NAME)
    assert erp.to_form({"mail": None, "first": "A"}) == ({"mail": None}, {})


def test_a_value_that_does_not_fit_is_a_complaint_and_the_others_go_on() -> None:
    erp = mapping({"day": "date", "mail": "text"})
    form, complaints = erp.to_form({"day": "0000-00-00", "mail": "x"})
    assert form == {"mail": "x"}
    assert complaints == {"day": '"0000-00-00" is a day that does not exist'}


def test_i16_a_private_value_stays_out_of_complaints() -> None:
    erp = mapping({"day": "date", "mail": "text"}, private=["day", "mail"])
    _, complaints = erp.to_form({"day": "1.1.2000 secret"})
    assert complaints == {"day": "its value is not a date like 2024-03-31"}
    assert "secret" not in str(erp.validate({"mail": "secret" * 9}))


def test_read_only_and_derived_fields_are_never_written() -> None:
    erp = mapping(
        {"mail": "text", "total": "decimal(9,2)"},
        FieldMap("mail", ("mail",), read_only=True),
        FieldMap("total", ("total",)),
    )
    assert erp.fields_read == {"mail", "total"}
    assert erp.fields_written == erp.writes == frozenset()
    assert erp.to_native({"mail": "x", "total": "1.00"}, None) == {}
    assert erp.validate({"mail": "x" * 99, "total": None}, creating=True) == {}


def test_char_is_read_without_its_padding() -> None:
    erp = mapping({"status": "text", "note": "text"})
    assert erp.to_form({"status": "a\t  ", "note": "b   "})[0] == {"status": "a\t", "note": "b   "}


def test_s54_each_member_says_what_its_wall_times_mean() -> None:
    maps = [FieldMap("at", ("wall",), zone="Europe/Berlin")]
    erp = mapping({"at": "datetime"}, *maps)
    form, _ = erp.to_form({"wall": datetime(2024, 7, 1, 14)})
    assert form == {"at": "2024-07-01T12:00:00.000000Z"}
    assert erp.to_native(form, None) == {"wall": datetime(2024, 7, 1, 14)}
    other = mapping({"at": "datetime"}, FieldMap("at", ("moment",)))
    assert other.to_native(form, None) == {"moment": datetime(2024, 7, 1, 12, tzinfo=UTC)}
    assert erp.validate({"at": "2024-10-27T01:30:00.000000Z"})  # the second 02:30 of that day
    assert not other.validate({"at": "2024-10-27T01:30:00.000000Z"})


TABLE = {"1": "active", "2": "gone"}
STATES = FieldType.parse("enum", choices=["active", "gone", "new"])


def test_a_value_table_translates_both_ways() -> None:
    erp = mapping({"state": STATES}, FieldMap("state", ("code",), table=TABLE))
    assert erp.to_form({"code": 1}) == ({"state": "active"}, {})
    assert erp.to_native({"state": "gone"}, None) == {"code": 2}
    assert erp.to_form({"code": None})[0] == {"state": None}
    assert "not in the table" in erp.to_form({"code": 3})[1]["state"]
    assert "not in the table" in erp.validate({"state": "new"})["state"]


def test_a_table_reaches_every_plain_type() -> None:
    flag = mapping(
        {"ok": "boolean"},
        FieldMap("ok", ("status",), table={"J": "true", "N": "false"}),
    )
    assert flag.to_form({"status": "J   "})[0] == {"ok": True}
    assert flag.to_native({"ok": False}, {}) == {"status": "N"}
    rate = mapping({"rate": "decimal(4,1)"}, FieldMap("rate", ("level",), table={"low": "7"}))
    assert rate.to_form({"level": "low"})[0] == {"rate": "7.0"}
    assert rate.to_native({"rate": "7.0"}, {}) == {"level": "low"}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"mail": "x" * 21}, "has 21 characters, mail takes 20"),
        ({"amount": "1.005"}, "has 3 places, amount keeps 2"),
        ({"amount": "10000.000"}, "has 5 digits before the point, amount takes 4"),
        ({"level": "mid"}, "is no choice of level (low, high)"),
        ({"note": None}, "is not taken by note"),
        ({"photo": "AAAAAAA="}, "has 5 bytes, photo takes 4"),
        ({"name": "x"}, None),
        ({"name": None}, "is not taken by last"),
        ({"amount": "9999.990", "mail": "x" * 20, "note": "", "photo": "AAAA"}, None),
    ],
)
def test_what_a_member_would_refuse_or_cut(fields: dict[str, Any], why: str | None) -> None:
    erp = mapping(
        {"mail": "text", "amount": "decimal(9,3)", "level": "text", "note": "text",
         "photo": "bytes", "name": "text"},
        *(FieldMap(n, (n,)) for n in ("mail", "amount", "level", "note", "photo")), NAME,
    )  # fmt: skip
    complaints = erp.validate(fields)
    if why is None:
        assert complaints == {}
    else:
        assert why in complaints[next(iter(fields))]


def test_f44_a_create_needs_what_the_columns_need() -> None:
    erp = mapping({"note": "text", "status": "text", "mail": "text"})
    assert erp.validate({"mail": "x"}, creating=True) == {
        "note": "has no value, and note takes no null"
    }
    assert erp.validate({"mail": "x"}) == {}
    assert erp.unfilled == ("last", "code", "labels")


def test_a_null_is_left_to_the_default_on_create_and_refused_on_update() -> None:
    erp = mapping({"status": "text", "mail": "text"})
    assert erp.validate({"status": None, "mail": None}, creating=True) == {}
    assert erp.to_native({"status": None, "mail": None}, None) == {"mail": None}
    assert erp.validate({"status": None}) == {"status": "null is not taken by status"}


def test_s52_f41_where_null_is_empty_the_column_gets_what_it_takes() -> None:
    empty = FieldType.parse("text", null="empty")
    tags = FieldType.parse("set", null="empty")
    number = FieldType.parse("text", null="empty")
    erp = mapping(
        {"note": empty, "mail": empty, "labels": tags, "cents": number, "name": empty},
        *(FieldMap(n, (n,)) for n in ("note", "mail", "labels", "cents")), NAME,
    )  # fmt: skip
    nothing: dict[str, Any] = dict.fromkeys(erp.fields_written)
    assert erp.validate(nothing) == {}
    assert erp.to_native(nothing, {}) == {
        "note": "", "mail": None, "labels": [], "cents": None, "first": None, "last": "",
    }  # fmt: skip
    assert erp.to_native({"note": "", "mail": "", "cents": ""}, {}) == {
        "note": "", "mail": "", "cents": None,
    }  # fmt: skip


def test_fields_over_one_column_are_a_group_and_must_agree() -> None:
    erp = mapping(
        {"name": "text", "call": "text", "mail": "text"},
        NAME,
        FieldMap("call", ("first",)),
        FieldMap("mail", ("mail",)),
    )
    assert erp.groups == (("call", "name"),)
    # the joined field splits along what the other puts there, row at hand or not
    fields = {"name": "Anna van Berg", "call": "Anna"}
    assert erp.to_native(fields, None) == {"first": "Anna", "last": "van Berg"}
    assert erp.to_native(fields, {"first": "Ann", "last": "Berg"}) == {
        "first": "Anna", "last": "van Berg",
    }  # fmt: skip
    assert erp.validate(fields) == erp.validate(fields, creating=True) == {}
    apart = {"name": "Anna Berg", "call": "Ben"}
    assert "different things of first" in erp.validate(apart)["name"]
    with pytest.raises(Unrepresentable) as caught:
        erp.to_native(apart, {"first": "x", "last": "y"})
    assert caught.value.code == "SY0315"


def test_groups_reach_through_each_other() -> None:
    erp = mapping(
        {"a": "text", "b": "text", "c": "text", "d": "text"},
        FieldMap("a", ("first", "last"), "words"),
        FieldMap("b", ("mail",)),
        FieldMap("c", ("mail", "note"), "words"),
        FieldMap("d", ("note", "last"), "words"),
    )
    assert erp.groups == (("a", "b", "c", "d"),)


def test_expected_is_what_a_read_will_give() -> None:
    erp = mapping(
        {"name": "text", "at": FieldType.parse("datetime", precision="s")},
        NAME,
        FieldMap("at", ("moment",)),
    )
    sent = {"name": " Anna  Berg", "at": "2024-01-01T00:00:00.900000Z"}
    assert erp.expected(sent) == {"name": "Anna Berg", "at": "2024-01-01T00:00:00.000000Z"}
    row = {"first": "Anna", "last": "Berg"}
    assert erp.expected({"name": "Anna  Berg"}, row) == {"name": "Anna Berg"}


def test_the_fingerprint_is_that_of_the_forms() -> None:
    plain = mapping({"mail": "text"})
    assert plain.fingerprint == mapping({"mail": "text"}).fingerprint
    assert (
        plain.fingerprint
        == mapping({"mail": "text"}, FieldMap("mail", ("mail",), read_only=True)).fingerprint
    )
    longer = {**COLUMNS, "mail": Column("mail", "varchar(99)", "text", length=99, nullable=False)}
    assert plain.fingerprint == mapping({"mail": "text"}, columns=longer).fingerprint
    others = [
        mapping({"mail": "text"}, FieldMap("mail", ("note",))),
        mapping({"mail": "text(5)"}),
        mapping({"mail": FieldType.parse("text", null="empty")}),
        mapping({"mail": "text"}, folds={"mail": ["lower"]}),
        mapping({"mail": "text"}, FieldMap("mail", ("mail",), table={"a": "b"})),
        mapping({"mail": "text", "note": "text"}),
        mapping({"mail": "datetime"}, FieldMap("mail", ("wall",), zone="UTC")),
        mapping({"mail": "datetime"}, FieldMap("mail", ("wall",), zone="Europe/Berlin")),
        mapping({"mail": "datetime"}, FieldMap("mail", ("moment",))),
    ]
    assert len({plain.fingerprint, *(o.fingerprint for o in others)}) == len(others) + 1
    assert others[5].fingerprints["mail"] == plain.fingerprints["mail"]


CANNOT: list[tuple[str, FieldMap, str, str]] = [
    ("text", FieldMap("x", ("maill",)), "SY0174", "did you mean 'mail'?"),
    ("text", FieldMap("y", ("mail",)), "SY0178", ""),
    ("text", FieldMap("x", ("first", "last")), "SY0175", "lens"),
    ("text", FieldMap("x", ("first", "last"), "wrods"), "SY0175", "did you mean words?"),
    ("text", FieldMap("x", ("first",), "words"), "SY0175", ""),
    ("text", FieldMap("x", ("first", "first"), "words"), "SY0175", ""),
    ("text", FieldMap("x", ("first", "cents"), "words"), "SY0175", ""),
    ("integer", FieldMap("x", ("first", "last"), "words"), "SY0175", ""),
    ("set", FieldMap("x", ("mail",)), "SY0176", ""),
    ("decimal(5,2)", FieldMap("x", ("cents",)), "SY0176", ""),
    ("date", FieldMap("x", ("moment",)), "SY0176", ""),
    ("datetime", FieldMap("x", ("wall",)), "SY0176", ""),
    ("datetime", FieldMap("x", ("day",)), "SY0176", ""),
    ("text", FieldMap("x", ("mail",), zone="UTC"), "SY0176", ""),
    ("enum", FieldMap("x", ("level",)), "SY0176", "a `table` translates"),
    ("enum", FieldMap("x", ("level",), table={"mid": "low"}), "SY0176", ""),
    ("enum", FieldMap("x", ("mail",), table={"L": "lwo"}), "SY0177", ""),
    ("enum", FieldMap("x", ("mail",), table={"L": "low", "l": "low"}), "SY0177", "one to one"),
    ("enum", FieldMap("x", ("code",), table={"L": "low"}), "SY0177", ""),
    ("enum", FieldMap("x", ("code",), table={"1": "low", "01": "mid"}), "SY0177", ""),
    ("enum", FieldMap("x", ("day",), table={"L": "low"}), "SY0177", ""),
    ("set", FieldMap("x", ("labels",), table={"L": "low"}), "SY0177", ""),
]


@pytest.mark.parametrize(("text", "said", "code", "hint"), CANNOT)
def test_what_cannot_fit_is_refused_beforehand(
    text: str, said: FieldMap, code: str, hint: str
) -> None:
    choices = ["low", "mid"] if text == "enum" else []
    with pytest.raises(ConfigError) as caught:
        mapping({"x": FieldType.parse(text, choices=choices)}, said)
    assert caught.value.code == code
    assert hint in caught.value.hint
    assert caught.value.where == f"members.erp.fields.{said.field}"


def test_a_field_mapped_twice_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        mapping({"x": "text"}, FieldMap("x", ("mail",)), FieldMap("x", ("note",)))
    assert caught.value.code == "SY0178"


def test_choices_only_matter_where_they_are_written() -> None:
    choices = FieldType.parse("enum", choices=["low", "mid"])
    erp = mapping({"x": choices}, FieldMap("x", ("level",), read_only=True))
    assert erp.to_form({"level": "low"})[0] == {"x": "low"}
