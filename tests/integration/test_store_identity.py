"""Who is who by a person's word: no record in two entities, no value lost, no pair forgotten."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from sqlalchemy import Connection
from store_contents import AT, agreed, engine, flow, saves, scratch

from syncd.core.model import Base, Entity, EntityState, Link, LinkState, OpKind
from syncd.core.rules import FieldRules, FlowRules
from syncd.errors import ConfigError
from syncd.store import cases, events, identity, journal, shadow
from syncd.store.identity import Act
from syncd.store.standing import entity_page, standing

RULES = FlowRules(
    "customers",
    {
        "email": FieldRules("email", lambda value: value and value.lower()),
        "name": FieldRules("name", lambda value: value),
    },
    {},
    (),
    (("email",),),
)


@pytest.fixture(params=["sqlite", "postgresql"])
def conn(request: pytest.FixtureRequest, fresh_db: Callable[[str], str]) -> Iterator[Connection]:
    made = engine(fresh_db(request.param))
    with scratch(made) as connection:
        yield connection
    made.dispose()


@pytest.fixture
def act(conn: Connection) -> Act:
    return Act(conn, flow(conn), RULES, "anna", AT)


def entity(*records: tuple[str, str], email: str = "a@x", name: str = "Ann") -> Entity:
    what = {"email": agreed(email), "name": agreed(name)}
    bases = {field: Base(a.value, a.seq) for field, a in what.items()}
    links = {member: Link(member, key, bases=bases) for member, key in records}
    return Entity(0, agreed=what, links=links)


def save(act: Act, *many: Entity) -> list[int]:
    return shadow.save_entities(act.conn, act.flow, saves(*many), run=1, at=AT)


def load(act: Act, number: int) -> Entity:
    (found,) = shadow.load_entities(act.conn, act.flow, [number])
    return found


def test_free_records_become_one_entity_at_first_sight(act: Act) -> None:
    number = identity.join(act, [("crm", "a1"), ("erp", "a9")])
    made = load(act, number)
    assert {m: (k.key, k.state, dict(k.bases)) for m, k in made.links.items()} == {
        "crm": ("a1", LinkState.LIVE, {}),
        "erp": ("a9", LinkState.LIVE, {}),
    }
    assert list(shadow.open_work(act.conn, act.flow)) == [[number]]
    assert [e.kind for e in events.of_entity(act.conn, act.flow, number)] == ["link", "link"]


def test_a_free_record_joins_an_entity_without_touching_its_bases(act: Act) -> None:
    (number,) = save(act, entity(("crm", "a1")))
    before = load(act, number)
    assert identity.join(act, [("crm", "a1"), ("erp", "a9")]) == number
    after = load(act, number)
    assert after.agreed == before.agreed
    assert after.links["crm"] == before.links["crm"]
    assert after.links["erp"].bases == {}


def test_s75_merging_keeps_equal_bases_and_asks_about_the_others(act: Act) -> None:
    one, other = save(
        act, entity(("crm", "a1"), email="a@x"), entity(("erp", "a9"), email="A@X", name="Anna")
    )
    assert identity.join(act, [("crm", "a1"), ("erp", "a9")]) == one
    merged = load(act, one)
    assert {n: a.value for n, a in merged.agreed.items()} == {"email": "a@x", "name": "Ann"}
    assert merged.links["erp"].bases == {"email": Base("A@X", 1)}  # the name: first sight
    assert load(act, other).state is EntityState.GONE
    assert shadow.entity_of(act.conn, act.flow, "erp", "a9") == one


def test_an_entity_never_holds_two_records_of_one_member_i4(act: Act) -> None:
    save(act, entity(("crm", "a1"), ("erp", "a8")), entity(("erp", "a9")))
    with pytest.raises(ConfigError) as caught:
        identity.join(act, [("crm", "a1"), ("erp", "a9")])
    assert caught.value.code == "SY0169"
    assert "erp:8" in caught.value.message
    with pytest.raises(ConfigError):
        identity.join(act, [("crm", "a1"), ("crm", "a2")])


def test_what_is_under_way_is_not_taken_apart(act: Act) -> None:
    (number,) = save(act, entity(("crm", "a1"), ("erp", "a9")))
    from syncd.core.model import Operation

    operation = Operation("erp", OpKind.UPDATE, "a9", {"name": "B"}, {}, {"name": 2})
    entry = journal.JournalEntry(0, "op1", 1, number, operation, b"", state=journal.OpState.UNKNOWN)
    journal.record(act.conn, act.flow, [entry])
    for change in (
        lambda: identity.unlink(act, ("crm", "a1")),
        lambda: identity.split(act, [("crm", "a1")]),
        lambda: identity.join(act, [("crm", "a1"), ("shop", "a5")]),
    ):
        with pytest.raises(ConfigError) as caught:
            change()
        assert caught.value.code == "SY0168"


def test_an_unlinked_record_keeps_its_bases_for_the_day_it_is_linked_again(act: Act) -> None:
    (number,) = save(act, entity(("crm", "a1"), ("erp", "a9")))
    bases = load(act, number).links["erp"].bases
    identity.unlink(act, ("erp", "a9"))
    assert load(act, number).links["erp"].state is LinkState.UNLINKED
    assert entity_page(act.conn, act.flow, state="unlinked") == [number]
    identity.join(act, [("crm", "a1"), ("erp", "a9")])
    back = load(act, number).links["erp"]
    assert (back.state, back.bases) == (LinkState.LIVE, bases)
    with pytest.raises(ConfigError):
        identity.unlink(act, ("shop", "a1"))


def test_split_records_take_what_they_confirmed_with_them_and_never_meet_again(act: Act) -> None:
    (number,) = save(act, entity(("crm", "a1"), ("erp", "a9"), ("shop", "a5")))
    (new,) = identity.split(act, [("erp", "a9")])
    assert set(load(act, number).links) == {"crm", "shop"}
    alone = load(act, new)
    assert {n: a.value for n, a in alone.agreed.items()} == {"email": "a@x", "name": "Ann"}
    assert alone.links["erp"].bases == {"email": Base("a@x", 1), "name": Base("Ann", 1)}
    assert identity.never_pairs(act.conn, act.flow) == {
        frozenset({("erp", "a9"), ("crm", "a1")}),
        frozenset({("erp", "a9"), ("shop", "a5")}),
    }
    assert cases.open_cases(act.conn, act.flow) == []


def test_splitting_all_of_them_leaves_one_with_what_was_agreed(act: Act) -> None:
    (number,) = save(act, entity(("crm", "a1"), ("erp", "a9")))
    found = identity.split(act, [("crm", "a1"), ("erp", "a9")])
    assert len(set(found)) == 2
    assert number in found
    assert sum(len(load(act, one).links) for one in found) == 2


def test_never_is_said_once_and_taken_back_by_linking(act: Act) -> None:
    pair = frozenset({("crm", "a1"), ("erp", "a9")})
    assert identity.never(act, [pair]) == 1
    assert identity.never(act, [pair]) == 0
    assert identity.never_pairs(act.conn, act.flow) == {pair}
    identity.join(act, sorted(pair))
    assert identity.never_pairs(act.conn, act.flow) == frozenset()
    assert identity.never(act, [pair]) == 1


def test_match_keys_follow_the_records(act: Act) -> None:
    from syncd.core import hashing

    save(act, entity(("crm", "a1"), email="a@x"))
    save(act, entity(("erp", "a9"), email="b@x"))
    number = identity.join(act, [("crm", "a1"), ("erp", "a9")])
    hashes = [hashing.key_hash(0, (email,)) for email in ("a@x", "b@x")]
    found = shadow.entities_by_key(act.conn, act.flow, 0, hashes)
    assert list(found) == [[(hashes[0], number)]]
    # the ERP's own address has no base now: the next run reads it, and with it the key


def test_standing_counts_each_record_once(act: Act) -> None:
    behind = entity(("crm", "a1"), ("erp", "a1"))
    base = {"email": Base("a@x", 1), "name": Base("Old", 0)}
    behind = replace(
        behind, links={**behind.links, "erp": replace(behind.links["erp"], bases=base)}
    )
    fewer = entity(("crm", "a2"), ("erp", "a2"), email="b@x")
    part = {"email": Base("b@x", 1)}
    fewer = replace(fewer, links={**fewer.links, "erp": replace(fewer.links["erp"], bases=part)})
    save(act, behind, fewer, entity(("crm", "a3"), email="c@x"))
    found = standing(act.conn, act.flow)
    assert found["crm"].counts["in step"] == 3
    assert found["erp"].counts == {
        "in step": 1, "pending": 1, "conflict": 0, "held": 0, "quarantined": 0,
    }  # fmt: skip
    assert sum(found["shop"].counts.values()) == 0
