"""Entities and links: stored and loaded without loss, on SQLite and PostgreSQL."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, select
from store_contents import AT, LATER, agreed, disjoint, engine, entities, flow, saves, scratch

from syncd.core import model
from syncd.core.model import Base, Entity, EntityState, Link, LinkState
from syncd.errors import StoreError
from syncd.store import shadow, tables

lawful = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(params=["sqlite", "postgresql"])
def db(request: pytest.FixtureRequest, fresh_db: Callable[[str], str]) -> Iterator[Engine]:
    made = engine(fresh_db(request.param))
    yield made
    made.dispose()


@pytest.fixture
def conn(db: Engine) -> Iterator[Connection]:
    with scratch(db) as open_conn:
        yield open_conn


def person(key: str, email: str = "a@x", seq: int = 1, **state: object) -> Entity:
    """One person, the same in crm and erp."""
    bases = {"email": Base(email, seq)}
    links = {m: Link(m, key, bases=bases, row_hash=7) for m in ("crm", "erp")}
    return replace(Entity(0, agreed={"email": agreed(email, seq)}, links=links), **state)  # type: ignore[arg-type]


def base_of(conn: Connection, member: str, key: str) -> bytes | None:
    link = tables.link.c
    number = conn.execute(select(tables.member.c.id).where(tables.member.c.name == member))
    found = conn.execute(
        select(link.base).where(link.member_id == number.scalar_one(), link.key == key)
    )
    payload: bytes | None = found.scalar_one()
    return payload


# --- whole entities ------------------------------------------------------------------------


@lawful
@given(many=st.lists(entities(), max_size=3).map(disjoint))
def test_what_is_saved_is_what_is_loaded(db: Engine, many: list[Entity]) -> None:
    with scratch(db) as conn:
        number = flow(conn)
        ids = shadow.save_entities(conn, number, saves(*many), run=1, at=AT)
        expected = [replace(e, id=i) for i, e in zip(ids, many, strict=True)]
        loaded = shadow.load_entities(conn, number, ids)
        assert loaded == expected
        assert repr(loaded) == repr(expected) or _dicts_by_name(loaded) == _dicts_by_name(expected)


def _dicts_by_name(many: list[Entity]) -> str:
    """1 == True == 1.0 in Python; their repr differs, and so must what is stored."""

    def plain(value: object) -> object:
        if isinstance(value, dict):
            return {k: plain(value[k]) for k in sorted(value)}
        if isinstance(value, (list, tuple)):
            return [plain(v) for v in value]
        if hasattr(value, "__slots__"):
            return [plain(getattr(value, s)) for s in value.__slots__]
        return value

    return repr(plain(many))


@lawful
@given(before=entities(), after=entities(), kept=st.booleans())
def test_a_whole_new_state_replaces_the_old_one(
    db: Engine, before: Entity, after: Entity, kept: bool
) -> None:
    with scratch(db) as conn:
        number = flow(conn)
        (i,) = shadow.save_entities(conn, number, saves(before), run=1, at=AT)
        new = replace(after, id=i, gone=before.gone + after.gone if kept else after.gone)
        assert shadow.save_entities(conn, number, saves(new), run=2, at=LATER) == [i]
        (loaded,) = shadow.load_entities(conn, number, [i])
        assert _dicts_by_name([loaded]) == _dicts_by_name([new])


def test_entities_are_loaded_in_the_order_asked_and_only_of_their_flow(conn: Connection) -> None:
    ours, other = flow(conn), flow(conn, "orders")
    ids = shadow.save_entities(
        conn, ours, saves(*(person(f"a{n}") for n in range(3))), run=1, at=AT
    )
    (foreign,) = shadow.save_entities(conn, other, saves(person("a1")), run=1, at=AT)
    asked = [ids[2], foreign, ids[0], 999]
    assert [e.id for e in shadow.load_entities(conn, ours, asked)] == [ids[2], ids[0]]
    assert len(set(ids) | {foreign}) == 4


# --- one payload shared by links that agree ------------------------------------------------


def test_a_link_in_step_stores_no_base_and_one_left_behind_keeps_its_own(conn: Connection) -> None:
    number = flow(conn)
    (i,) = shadow.save_entities(conn, number, saves(person("a1", "old@x")), run=1, at=AT)
    assert base_of(conn, "crm", "a1") is None
    assert base_of(conn, "erp", "a1") is None

    (e,) = shadow.load_entities(conn, number, [i])
    crm = replace(e.links["crm"], bases={"email": Base("new@x", 2)})
    moved = replace(e, agreed={"email": agreed("new@x", 2)}, links={**e.links, "crm": crm})
    shadow.save_entities(conn, number, saves(moved), run=2, at=LATER)
    assert base_of(conn, "crm", "a1") is None
    assert base_of(conn, "erp", "a1") is not None
    (loaded,) = shadow.load_entities(conn, number, [i])
    assert loaded.links["erp"].bases == {"email": Base("old@x", 1)}

    erp = replace(loaded.links["erp"], bases={"email": Base("new@x", 2)})
    shadow.settle_links(conn, number, [(i, erp)], at=LATER)
    assert base_of(conn, "erp", "a1") is None
    assert shadow.find_link(conn, number, "erp", "a1") == (i, erp)


@pytest.mark.parametrize(
    "base",
    [
        Base("a@x", 0),
        Base("A@x", 1),
        Base("a@x", 1, unproven=True),
        Base("a@x", 1, sent="b@x"),
        Base("a@x", 1, sent=None),
        Base("a@x", 1, seen="A@x"),
    ],
)
def test_nearly_in_step_is_not_in_step(conn: Connection, base: Base) -> None:
    number = flow(conn)
    e = person("a1")
    odd = replace(e, links={**e.links, "erp": replace(e.links["erp"], bases={"email": base})})
    (i,) = shadow.save_entities(conn, number, saves(odd), run=1, at=AT)
    (loaded,) = shadow.load_entities(conn, number, [i])
    assert loaded == replace(odd, id=i)
    assert base_of(conn, "erp", "a1") is not None


def test_a_member_that_maps_fewer_fields_stores_their_names_only(conn: Connection) -> None:
    number = flow(conn)
    e = person("a1")
    wider = replace(e, agreed={**e.agreed, "credit": agreed("10.00")})
    (i,) = shadow.save_entities(conn, number, saves(wider), run=1, at=AT)
    assert base_of(conn, "crm", "a1") == b'{"=":["email"]}'
    assert shadow.load_entities(conn, number, [i]) == [replace(wider, id=i)]


# --- no duplicates -------------------------------------------------------------------------


def test_i4_a_record_belongs_to_one_entity_only(db: Engine) -> None:
    with scratch(db) as conn:
        number = flow(conn)
        shadow.save_entities(conn, number, saves(person("a1")), run=1, at=AT)
        with pytest.raises(StoreError, match="linked twice") as caught:
            shadow.save_entities(conn, number, saves(person("a1")), run=1, at=AT)
        assert caught.value.code == "SY0411"


def test_i4_an_entity_has_one_link_a_member(conn: Connection) -> None:
    number = flow(conn)
    (i,) = shadow.save_entities(conn, number, saves(person("a1")), run=1, at=AT)
    link = tables.link.c
    row = conn.execute(select(tables.link).where(link.key == "a1")).mappings().first()
    assert row is not None
    with pytest.raises(Exception, match=r"(?i)unique"):
        conn.execute(tables.link.insert().values({**row, "key": "a2", "entity_id": i}))


def test_s23_two_entities_saved_together_may_swap_records(conn: Connection) -> None:
    number = flow(conn)
    ids = shadow.save_entities(conn, number, saves(person("a1"), person("b1")), run=1, at=AT)
    one, two = shadow.load_entities(conn, number, ids)
    swapped = [
        replace(one, links={**one.links, "erp": two.links["erp"]}),
        replace(two, links={**two.links, "erp": one.links["erp"]}),
    ]
    shadow.save_entities(conn, number, saves(*swapped), run=2, at=AT)
    assert shadow.load_entities(conn, number, ids) == swapped


def test_s17_keys_that_differ_by_case_are_distinct_records(conn: Connection) -> None:
    number = flow(conn)
    ids = shadow.save_entities(conn, number, saves(person("=Ab"), person("=ab")), run=1, at=AT)
    assert shadow.entities_of(conn, number, "crm", ["=Ab", "=ab", "=AB"]) == {
        "=Ab": ids[0],
        "=ab": ids[1],
    }


# --- streams -------------------------------------------------------------------------------


def test_links_come_in_the_order_of_their_keys_as_bytes(conn: Connection) -> None:
    number = flow(conn)
    keys = ["b10", "a9", "=Z", "=a", "=ä", "=\x01", "=é", "=e\u0301", "=\U0001f600", "= ", "a1"]
    many = [person(k) for k in keys]
    many[0] = replace(
        many[0], links={"crm": replace(many[0].links["crm"], state=LinkState.UNLINKED)}
    )
    ids = shadow.save_entities(conn, number, saves(*many), run=1, at=AT)
    blocks = list(shadow.links_in_order(conn, number, "crm", size=4))
    assert [len(b) for b in blocks] == [4, 4, 3]
    rows = [row for block in blocks for row in block]
    assert [key for key, _, _ in rows] == sorted(keys)
    assert {key: entity for key, _, entity in rows} == dict(zip(keys, ids, strict=True))
    assert {row_hash for _, row_hash, _ in rows} == {7}


def test_a_stream_of_links_holds_one_block_at_a_time(db: Engine) -> None:
    with db.begin() as conn:
        number = flow(conn)
        for start in range(0, 30_000, 5000):
            part = [person(f"a{n:08}") for n in range(start, start + 5000)]
            shadow.save_entities(conn, number, saves(*part), run=1, at=AT)
    with scratch(db) as conn:
        for _ in shadow.links_in_order(conn, number, "crm"):
            break
        tracemalloc.start()
        seen = sum(len(block) for block in shadow.links_in_order(conn, number, "crm"))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert seen == 30_000
    assert peak < 2_000_000  # 30,000 links at once take about 6 MB


# --- tombstones ----------------------------------------------------------------------------


def test_a_gone_link_becomes_a_tombstone_and_frees_the_key(conn: Connection) -> None:
    number = flow(conn)
    (i,) = shadow.save_entities(conn, number, saves(person("a1")), run=1, at=AT)
    (e,) = shadow.load_entities(conn, number, [i])
    dead = replace(e.links["erp"], state=LinkState.GONE, created="first")
    shadow.settle_links(conn, number, [(i, dead)], at=AT)
    assert shadow.entity_of(conn, number, "erp", "a1") is None
    assert shadow.find_link(conn, number, "erp", "a1") is None
    assert shadow.live_links(conn, number) == {"crm": 1, "erp": 0, "shop": 0}

    again = Entity(0, links={"erp": Link("erp", "a1", created="second")})
    (j,) = shadow.save_entities(conn, number, saves(again), run=2, at=LATER)
    (f,) = shadow.load_entities(conn, number, [j])
    gone_too = replace(f.links["erp"], state=LinkState.GONE)
    shadow.save_entities(
        conn, number, saves(replace(f, links={}, gone=(gone_too,))), run=3, at=LATER
    )
    found = shadow.tombstones(conn, number, "erp", ["a1", "a2"])
    assert found == {"a1": [(i, dead, AT), (j, gone_too, LATER)]}


def test_a_tombstone_keeps_its_time_when_its_entity_is_saved_again(conn: Connection) -> None:
    number = flow(conn)
    dead = Link("erp", "a1", state=LinkState.GONE)
    (i,) = shadow.save_entities(conn, number, saves(Entity(0, gone=(dead,))), run=1, at=AT)
    twice = Entity(i, gone=(dead, dead))
    shadow.save_entities(conn, number, saves(twice), run=2, at=LATER)
    times = [t.gone_at for t in shadow.tombstones(conn, number, "erp", ["a1"])["a1"]]
    assert times == [AT, LATER]


def test_settling_gives_a_link_another_key_and_makes_one_that_was_not(conn: Connection) -> None:
    number = flow(conn)
    (i,) = shadow.save_entities(conn, number, saves(person("a1")), run=1, at=AT)
    (e,) = shadow.load_entities(conn, number, [i])
    renamed = replace(e.links["erp"], key="a2")
    made = Link("shop", "c1", bases={"email": Base("a@x", 1)}, fingerprint="new")
    shadow.settle_links(conn, number, [(i, renamed), (i, made)], at=AT, agreed={i: e.agreed})
    (loaded,) = shadow.load_entities(conn, number, [i])
    assert loaded.links == {"crm": e.links["crm"], "erp": renamed, "shop": made}


# --- keys, work, hashes --------------------------------------------------------------------


def test_entities_are_found_by_the_hash_of_a_match_key(conn: Connection) -> None:
    number = flow(conn)
    wanted = [
        shadow.Save(person("a1"), keys=((0, 5), (0, 5), (1, -(2**63)))),
        shadow.Save(person("b1"), keys=((0, 5),)),
    ]
    one, two = shadow.save_entities(conn, number, wanted, run=1, at=AT)

    def by_key(rule: int, hashes: list[int], of: int = number) -> list[tuple[int, int]]:
        return [hit for block in shadow.entities_by_key(conn, of, rule, hashes) for hit in block]

    assert by_key(0, [5, 6]) == [(5, one), (5, two)]
    assert by_key(1, [-(2**63)]) == [(-(2**63), one)]
    (e,) = shadow.load_entities(conn, number, [one])
    shadow.save_entities(conn, number, [shadow.Save(e, keys=((0, 6),))], run=2, at=AT)
    assert by_key(0, [5, 6]) == [(5, two), (6, one)]
    assert by_key(0, [5, 6], flow(conn, "orders")) == []


def test_open_work_is_walked_once_while_it_is_done(conn: Connection) -> None:
    number = flow(conn)
    many = [shadow.Save(person(f"a{n}"), work=n % 2 == 0) for n in range(10)]
    ids = shadow.save_entities(conn, number, many, run=1, at=AT)
    assert shadow.with_work(conn, [*ids[1:4], 999]) == {ids[2]}
    walked = []
    for block in shadow.open_work(conn, number, size=2):
        walked.append(block)
        shadow.mark_work(conn, dict.fromkeys(block, block[0] == ids[0]))
    assert walked == [[ids[0], ids[2]], [ids[4], ids[6]], [ids[8]]]
    assert list(shadow.open_work(conn, number)) == [[ids[0], ids[2]]]
    shadow.mark_all_work(conn, number)
    assert [i for block in shadow.open_work(conn, number) for i in block] == ids


def test_states_are_set_alone(conn: Connection) -> None:
    number = flow(conn)
    (i,) = shadow.save_entities(conn, number, saves(person("a1")), run=1, at=AT)
    shadow.set_states(conn, {i: EntityState.GONE})
    (e,) = shadow.load_entities(conn, number, [i])
    assert e.state is EntityState.GONE


# --- flows and members ---------------------------------------------------------------------


def test_flows_members_and_mappings_are_remembered(conn: Connection) -> None:
    with pytest.raises(KeyError):
        shadow.flow_id(conn, "customers", create=False)
    number = flow(conn)
    assert shadow.flow_id(conn, "customers") == number
    state = shadow.MemberState("erp", "db-1", "f1", "42", AT, LATER, "removed")
    shadow.save_member(conn, number, state)
    assert shadow.members(conn, number)["erp"] == state
    assert list(shadow.members(conn, number)) == ["crm", "erp", "shop"]
    assert shadow.flow_fingerprint(conn, number) == ""
    shadow.set_flow_fingerprint(conn, number, "c1")
    assert shadow.flow_fingerprint(conn, number) == "c1"

    e = Entity(0, links={"erp": Link("erp", "a1", fingerprint="f9")})
    shadow.save_entities(conn, number, saves(e), run=1, at=AT)
    assert shadow.fingerprint_mapping(conn, number, "erp", "f9") is None
    shadow.save_fingerprint(conn, number, "erp", "f9", {"email": "mail"})
    assert shadow.fingerprint_mapping(conn, number, "erp", "f9") == {"email": "mail"}
    assert shadow.flows(conn) == {"customers": number}


def test_a_link_under_another_members_name_is_refused(conn: Connection) -> None:
    wrong = Entity(0, links={"crm": Link("erp", "a1")})
    with pytest.raises(StoreError) as caught:
        shadow.save_entities(conn, flow(conn), saves(wrong), run=1, at=AT)
    assert caught.value.code == "SY0412"


def test_the_tests_speak_of_every_fact_of_a_link() -> None:
    stored = {c.name for c in tables.link.c} | {"member", "bases", "fingerprint"}
    assert set(model.Link.__dataclass_fields__) <= stored
