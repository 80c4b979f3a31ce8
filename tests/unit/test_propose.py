"""What `init` proposes, from schemas and rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from syncd.adapter import Column, ObjectSchema
from syncd.engine.propose import Proposal, Seen, propose


def seen(
    system: str,
    name: str,
    columns: dict[str, str],
    rows: Sequence[tuple[Any, ...]] = (),
    *,
    key: tuple[str, ...] = ("id",),
    unique: tuple[tuple[str, ...], ...] = (),
    **facts: Any,
) -> Seen:
    made = {one: Column(one, family, family) for one, family in columns.items()}
    schema = ObjectSchema(name, made, key, unique=unique, **facts)
    return Seen(system, schema, [dict(zip(columns, row, strict=True)) for row in rows])


PEOPLE = [(n, f"P{n}", f"Last{n}", f"p{n}@example.com", f"+49 {n:04}") for n in range(1, 30)]


def crm(rows: Sequence[tuple[Any, ...]] = PEOPLE) -> Seen:
    columns = {
        "id": "integer",
        "FirstName": "text",
        "LastName": "text",
        "Email": "text",
        "Phone": "text",
    }
    return seen("crm", "contacts", columns, rows)


def erp() -> Seen:
    columns = {
        "id": "integer",
        "display_name": "text",
        "email_address": "text",
        "telephone": "text",
        "credit": "decimal",
    }
    rows = [
        (n + 500, f"{first} {last}", mail.upper(), phone, Decimal("1.50"))
        for n, first, last, mail, phone in PEOPLE
    ]
    return seen("erp", "customers", columns, rows)


def found(*objects: Seen) -> Proposal:
    proposal = propose(objects)
    assert proposal is not None
    return proposal


def columns_of(proposal: Proposal) -> dict[str, dict[str, tuple[str, ...]]]:
    return {made.name: dict(made.columns) for made in proposal.fields}


def test_split_names_other_spellings_and_the_match_key() -> None:
    proposal = found(crm(), erp())
    assert columns_of(proposal) == {
        "display_name": {"crm": ("FirstName", "LastName"), "erp": ("display_name",)},
        "email": {"crm": ("Email",), "erp": ("email_address",)},
        "phone": {"crm": ("Phone",), "erp": ("telephone",)},
    }
    assert proposal.match == (("email",),)
    (email,) = [made for made in proposal.fields if made.name == "email"]
    assert email.fold == ("trim", "lower")
    assert proposal.unmapped == {"crm": (), "erp": ("credit",)}


def test_the_anchor_may_hold_the_whole_name() -> None:
    proposal = found(erp(), crm())
    assert columns_of(proposal)["display_name"] == {
        "erp": ("display_name",),
        "crm": ("FirstName", "LastName"),
    }
    assert proposal.name == "customers"


def test_the_object_that_resembles_most_is_chosen() -> None:
    notes = seen("crm", "notes", {"id": "integer", "body": "text"}, [(1, "x"), (2, "y")])
    bills = seen("erp", "bills", {"id": "integer", "total": "decimal"}, [(1, Decimal(3))])
    proposal = found(notes, crm(), bills, erp())
    assert [member.object for member in proposal.members] == ["contacts", "customers"]


def test_numbers_that_each_system_gives_are_never_paired() -> None:
    names = [f"Firm {n}" for n in range(1, 40)]
    a = seen("a", "firms", {"id": "integer", "name": "text"}, list(enumerate(names, 1)))
    b = seen("b", "firms", {"id": "integer", "name": "text"}, list(enumerate(reversed(names), 1)))
    assert columns_of(found(a, b)) == {"name": {"a": ("name",), "b": ("name",)}}


def test_two_fields_together_where_none_alone_tells_records_apart() -> None:
    rows = [(n, f"Name {n // 2}", f"Z{n % 2}{n // 4}") for n in range(40)]
    columns = {"id": "integer", "name": "text", "zip": "text"}
    proposal = found(seen("a", "x", columns, rows), seen("b", "x", columns, rows))
    assert proposal.match == (("name", "zip"),)


def test_types_are_those_that_both_can_hold() -> None:
    rows_a = [(n, n % 2, n * 1.5, f"00{n}", datetime(2026, 1, 1, n % 24)) for n in range(30)]
    rows_b = [
        (n, bool(n % 2), Decimal(n) * Decimal("1.5"), f"00{n}", datetime(2026, 1, 1, n % 24))
        for n in range(30)
    ]
    a = seen("a", "t", {"id": "integer", "active": "integer", "price": "float", "nr": "text",
                        "born": "datetime"}, rows_a)  # fmt: skip
    b = seen("b", "t", {"id": "integer", "active": "boolean", "price": "decimal", "number": "text",
                        "born": "datetime"}, rows_b)  # fmt: skip
    types = {made.name: (made.type, made.zone) for made in found(a, b).fields}
    assert types["active"] == ("boolean", None)
    assert types["price"][0].startswith("decimal(")
    assert types["number"] == ("text", None)
    assert types["born"] == ("datetime", "UTC")


def test_a_text_with_leading_zeros_never_becomes_a_number() -> None:
    a = seen("a", "t", {"id": "integer", "code": "text"}, [(n, f"{n:05}") for n in range(30)])
    b = seen("b", "t", {"id": "integer", "code": "integer"}, [(n, n) for n in range(30)])
    assert propose([a, b]) is None


def test_row_marks_are_no_fields() -> None:
    columns = {"id": "integer", "name": "text", "updated_at": "datetime", "deleted_at": "datetime"}
    rows = [(n, f"N{n}", datetime(2026, 1, 1), None) for n in range(20)]
    proposal = found(seen("a", "t", columns, rows), seen("b", "t", columns, rows))
    assert list(columns_of(proposal)) == ["name"]
    assert proposal.members[0].modified == "updated_at"
    assert proposal.members[0].soft_delete == "deleted_at"


def test_three_systems_share_one_flow() -> None:
    shop = seen(
        "shop",
        "users",
        {"id": "integer", "mail": "text", "city": "text"},
        [(n, f"p{n}@example.com", "Oslo") for n in range(1, 30)],
    )
    proposal = found(crm(), erp(), shop)
    assert [member.system for member in proposal.members] == ["crm", "erp", "shop"]
    assert columns_of(proposal)["email"]["shop"] == ("mail",)
    assert proposal.match == (("email",),)


def test_nothing_alike_nothing_proposed() -> None:
    a = seen("a", "x", {"id": "integer", "weight": "float"}, [(1, 2.0)])
    b = seen("b", "y", {"id": "integer", "body": "text"}, [(1, "t")])
    assert propose([a, b]) is None
    assert propose([a]) is None


def test_empty_objects_are_paired_by_their_names() -> None:
    proposal = found(crm(()), Seen("erp", erp().schema, []))
    assert columns_of(proposal)["email"] == {"crm": ("Email",), "erp": ("email_address",)}


def test_the_same_again_whatever_the_order_of_others() -> None:
    notes = seen("crm", "notes", {"id": "integer", "body": "text"})
    assert propose([crm(), notes, erp()]) == propose([notes, crm(), erp()])
