"""The journal: durable before the effect, explained by itself afterwards (law 7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine
from store_contents import AT, LATER, MEMBERS, agreed, engine, flow, names, saves, scratch, texts
from store_contents import values as any_value

from syncd.core.model import Base, Entity, Link, Operation, OpKind
from syncd.store import codec, journal, shadow
from syncd.store.journal import JournalEntry, OpState, Settlement


@pytest.fixture(params=["sqlite", "postgresql"])
def db(request: pytest.FixtureRequest, fresh_db: Callable[[str], str]) -> Iterator[Engine]:
    made = engine(fresh_db(request.param))
    yield made
    made.dispose()


@pytest.fixture
def conn(db: Engine) -> Iterator[Connection]:
    with scratch(db) as open_conn:
        yield open_conn


def update(member: str = "erp", key: str = "a1") -> Operation:
    return Operation(member, OpKind.UPDATE, key, {"email": "b@x"}, {"email": "a@x"}, {"email": 2})


def entry(number: int, operation: Operation | None = None, entity: int = 1) -> JournalEntry:
    return JournalEntry(0, f"op-{number:03}", 1, entity, operation or update())


def all_unsettled(conn: Connection, number: int) -> list[JournalEntry]:
    found = []
    for member, token in journal.unsettled_batches(conn, number):
        after = 0
        while some := journal.unsettled_of(conn, number, member, token, after=after, limit=2):
            found += some
            after = some[-1].id
    return sorted(found, key=lambda entry: entry.id)


forms = st.dictionaries(names, any_value, max_size=3)
operations = st.builds(
    Operation,
    member=st.sampled_from(MEMBERS),
    kind=st.sampled_from(OpKind),
    key=st.none() | texts.filter(bool),
    fields=forms,
    expect=forms,
    seqs=st.dictionaries(names, st.integers(0, 9), max_size=3),
    before=forms,
    version=st.none() | texts.filter(bool),
    cause=st.sampled_from(["", *MEMBERS]),
    reasons=st.dictionaries(names, texts, max_size=2),
    blanks=st.lists(names, max_size=2).map(tuple),
    first_sight=st.lists(names, max_size=2).map(tuple),
    rebase=st.booleans(),
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(operation=operations, native=st.none() | st.binary(), fingerprint=texts)
def test_what_is_recorded_is_what_is_read(
    db: Engine, operation: Operation, native: bytes | None, fingerprint: str
) -> None:
    with scratch(db) as conn:
        number = flow(conn)
        new = replace(entry(1, operation), native=native, fingerprint=fingerprint)
        (i,) = journal.record(conn, number, [new])
        assert journal.entry(conn, number, "op-001") == replace(new, id=i, key=operation.key)
        assert journal.entry(conn, number, "op-002") is None


def test_an_empty_key_or_version_is_not_none() -> None:
    odd = replace(update(), key="", version="")
    assert codec.decode_operation(codec.loads(codec.encode_operation(odd)), {}) == odd


def test_an_operation_goes_from_planned_over_sent_to_its_outcome(conn: Connection) -> None:
    number = flow(conn)
    ids = journal.record(conn, number, [entry(n) for n in range(6)])
    assert ids == sorted(ids)
    assert [len(b) for b in journal.planned(conn, number, 1, size=4)] == [4, 2]
    assert list(journal.planned(conn, number, 2)) == []
    assert all_unsettled(conn, number) == []

    journal.mark_sent(conn, ids[:5], sent_at=AT, not_after=LATER)
    journal.set_token(conn, ids[:5], "txid 7")
    assert [e.id for e in all_unsettled(conn, number)] == ids[:5]
    journal.settle(
        conn,
        [
            Settlement(ids[0], OpState.APPLIED),
            Settlement(ids[1], OpState.STALE, error="edited meanwhile"),
            Settlement(ids[2], OpState.REJECTED, error="too long"),
            Settlement(ids[3], OpState.UNKNOWN, key="a9"),
        ],
    )
    parked, sent = all_unsettled(conn, number)
    assert (parked.id, parked.state, parked.key) == (ids[3], OpState.UNKNOWN, "a9")
    assert (sent.id, sent.state, sent.key) == (ids[4], OpState.SENT, "a1")
    assert (sent.token, sent.sent_at, sent.not_after, sent.attempts) == ("txid 7", AT, LATER, 1)
    assert journal.unsettled_count(conn, number) == 2
    refused = journal.entry(conn, number, "op-002")
    assert refused is not None
    assert (refused.state, refused.error) == (OpState.REJECTED, "too long")


def test_s78_what_was_never_sent_is_superseded_and_what_was_stays(conn: Connection) -> None:
    number, other = flow(conn), flow(conn, "orders")
    ids = journal.record(conn, number, [entry(n) for n in range(3)])
    journal.record(conn, other, [entry(9)])
    journal.mark_sent(conn, ids[:1], sent_at=AT, not_after=None)
    assert journal.supersede_planned(conn, number) == 2
    assert journal.supersede_planned(conn, number) == 0
    assert [e.id for e in all_unsettled(conn, number)] == ids[:1]
    untouched = journal.entry(conn, other, "op-009")
    assert untouched is not None
    assert untouched.state is OpState.PLANNED


def test_s78_a_payload_is_explained_by_the_mapping_it_was_made_under(conn: Connection) -> None:
    number = flow(conn)
    shadow.save_fingerprint(conn, number, "erp", "old", {"name": "display_name"})
    journal.record(conn, number, [replace(entry(1), native=b"{}", fingerprint="old")])
    shadow.save_fingerprint(conn, number, "erp", "new", {"name": "title"})
    found = journal.entry(conn, number, "op-001")
    assert found is not None
    assert (found.native, found.fingerprint) == (b"{}", "old")
    mapping = shadow.fingerprint_mapping(conn, number, "erp", found.fingerprint)
    assert mapping == {"name": "display_name"}


def test_a_first_loads_entries_do_not_copy_what_is_agreed(conn: Connection) -> None:
    number = flow(conn)
    what = {"email": agreed("a" * 500 + "@x"), "name": agreed("Ann", 3)}
    (i,) = shadow.save_entities(conn, number, saves(Entity(0, agreed=what)), run=1, at=AT)
    fields = {"email": what["email"].value, "name": "Ann"}
    create = Operation("shop", OpKind.CREATE, None, fields, {}, {"email": 1, "name": 3})
    new = replace(entry(1, create, entity=i), derived=True)
    (n,) = journal.record(conn, number, [new])
    assert journal.entry(conn, number, "op-001") == replace(new, id=n)
    assert len(codec.encode_operation(create, derived=True)) < 100


def test_an_entity_knows_its_operations_without_outcome(conn: Connection) -> None:
    number = flow(conn)
    links = {"erp": Link("erp", "a1", bases={"email": Base("a@x", 1)})}
    e = Entity(0, agreed={"email": agreed("a@x")}, links=links)
    (i,) = shadow.save_entities(conn, number, saves(e), run=1, at=AT)
    create = Operation("shop", OpKind.CREATE, None, {"email": "a@x"}, {}, {"email": 1})
    ids = journal.record(conn, number, [entry(1, entity=i), entry(2, create, entity=i)])

    def unsettled() -> object:
        (loaded,) = shadow.load_entities(conn, number, [i])
        return loaded.unsettled

    assert unsettled() == {}
    journal.mark_sent(conn, ids, sent_at=AT, not_after=None)
    assert unsettled() == {"erp": OpKind.UPDATE, "shop": OpKind.CREATE}
    journal.settle(conn, [Settlement(ids[0], OpState.APPLIED), Settlement(ids[1], OpState.UNKNOWN)])
    assert unsettled() == {"shop": OpKind.CREATE}


def test_i7_an_operations_id_is_used_once(db: Engine) -> None:
    with scratch(db) as conn:
        number = flow(conn)
        journal.record(conn, number, [entry(1)])
        with pytest.raises(Exception, match=r"(?i)unique"):
            journal.record(conn, number, [entry(1)])
