"""Lost acknowledgements on SQL databases: what happened is told, and never repeated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from sqlworld import SqlWorld, context
from suite import create, delete, forget, go, key, snapshot_of, statuses, update

from syncd.adapter import EndpointSpec, Status, Write
from syncd.core.model import OpKind
from syncd.errors import AccessDenied, Unreachable
from syncd_adapters.sql import factory
from syncd_adapters.sql.endpoint import SqlEndpoint
from syncd_adapters.sql.faults import Fault, FaultKind

FIELDS = ("name", "email")


class Lost(Exception):
    """Stands for what a driver raises when the connection breaks."""


def lose(endpoint: SqlEndpoint, monkeypatch: pytest.MonkeyPatch, *, done: bool) -> None:
    """The connection breaks at the next COMMIT, which the server carries out or not."""
    flavor = endpoint._flavor
    commit, fault = flavor.commit, flavor.fault

    def broken(connection: Any) -> None:
        monkeypatch.setattr(flavor, "commit", commit)
        if done:
            commit(connection)
        else:
            flavor.rollback(connection)
        raise Lost

    monkeypatch.setattr(flavor, "commit", broken)
    monkeypatch.setattr(
        flavor,
        "fault",
        lambda exc: Fault(FaultKind.DOWN, "gone") if isinstance(exc, Lost) else fault(exc),
    )


@pytest.mark.parametrize("receipts", [False, True])
@pytest.mark.parametrize("done", [True, False])
def test_f58_f17_s43_a_connection_lost_at_commit_is_settled(
    world: SqlWorld, monkeypatch: pytest.MonkeyPatch, done: bool, receipts: bool
) -> None:
    number = world.add(name="old", email="old")
    gone = world.add(name="gone", email="gone")
    endpoint = world.open("people", FIELDS, receipts=receipts)
    batches: list[list[Write]] = [
        [create(f"c{n}", name=f"n{n}", email=f"e{n}") for n in range(4)],
        [update("u", number, name="new")],
        [delete("d", gone)],
    ]
    endpoint.apply([update("first", number, name="old")], go, forget)
    for writes in batches:
        tokens: list[str] = []
        lose(endpoint, monkeypatch, done=done)
        outcomes = endpoint.apply(writes, go, tokens.append)
        assert set(statuses(outcomes)) == {"unknown"}
        # another process, after a crash
        settled = world.open("people", FIELDS, receipts=receipts).settle(
            writes, tokens[-1] if tokens else None
        )
        if done:
            assert set(statuses(settled)) == {"applied"}
        else:
            assert "applied" not in statuses(settled)
            if receipts or world.kind == "postgresql" or writes[0].kind is not OpKind.UPDATE:
                assert set(statuses(settled)) == {"stale"}
    now = world.all()
    assert len(now) == (5 if done else 2)
    assert now[number]["name"] == ("new" if done else "old")


def test_s43_creates_that_a_user_edited_since_are_still_found(world: SqlWorld) -> None:
    endpoint = world.open("people", FIELDS)
    tokens: list[str] = []
    writes = [create(f"c{n}", name=f"n{n}", email=f"e{n}") for n in range(3)]
    made = endpoint.apply(writes, go, tokens.append)
    number = max(world.all())
    world.edit(number, name="theirs")
    found = endpoint.settle(writes, tokens[-1])
    assert statuses(found) == ["applied"] * 3
    assert [o.key for o in found] == [o.key for o in made]


def test_f18_creates_without_any_unique_value_are_told_apart(world: SqlWorld) -> None:
    """Twins in one batch, and a stranger's record in between."""
    world.run(f"CREATE TABLE t (id {world.number}, v VARCHAR(9))")
    endpoint = world.open("t", ["v"])
    tokens: list[str] = []
    writes = [create("c1", v="twin"), create("c2", v="twin"), create("c3", v="other")]
    made = endpoint.apply(writes, go, tokens.append)
    world.run("INSERT INTO t (v) VALUES ('twin')")
    found = endpoint.settle(writes, tokens[-1])
    assert {o.key for o in found[:2]} == {o.key for o in made[:2]}
    assert found[2].key == made[2].key


def test_s43_a_batch_partly_refused_is_settled_one_by_one(world: SqlWorld) -> None:
    world.add(name="there", email="taken")
    endpoint = world.open("people", FIELDS)
    tokens: list[str] = []
    writes = [
        create("c1", name="a", email="1"),
        create("c2", name="b", email="taken"),
        create("c3", name="c", email="3"),
    ]
    made = endpoint.apply(writes, go, tokens.append)
    assert statuses(made) == ["applied", "rejected", "applied"]
    found = endpoint.settle(writes, tokens[-1])
    assert statuses(found) == ["applied", "stale", "applied"]
    assert [o.key for o in found][::2] == [o.key for o in made][::2]


@pytest.mark.parametrize("done", [True, False])
def test_f58_s43_a_key_that_is_no_number_is_found_by_the_unique_value(
    world: SqlWorld, monkeypatch: pytest.MonkeyPatch, done: bool
) -> None:
    """The database makes a text key, which names no range to look in; the mapped unique column
    tells whether the record came to be."""
    made = {
        "sqlite": "TEXT PRIMARY KEY DEFAULT (hex(randomblob(8)))",
        "postgresql": "UUID PRIMARY KEY DEFAULT gen_random_uuid()",
        "mariadb": "VARCHAR(40) PRIMARY KEY DEFAULT (uuid())",
    }[world.kind]
    world.run(f"CREATE TABLE t (id {made}, v VARCHAR(9), email VARCHAR(40) UNIQUE)")
    endpoint = world.open("t", ["v", "email"])
    how = endpoint.capabilities.settles
    assert how == ("transaction" if world.kind == "postgresql" else "unique")
    writes = [create(f"c{n}", v="x", email=f"e{n}") for n in range(3)]
    tokens: list[str] = []
    lose(endpoint, monkeypatch, done=done)
    assert set(statuses(endpoint.apply(writes, go, tokens.append))) == {"unknown"}
    settled = world.open("t", ["v", "email"]).settle(writes, tokens[-1] if tokens else None)
    assert set(statuses(settled)) == {"applied" if done else "stale"}
    assert len(world.run("SELECT v FROM t")) == (3 if done else 0)


def test_f58_check_is_told_what_settles_a_create(world: SqlWorld) -> None:
    """What the endpoint names is what it then goes by: the key that is written, the rows under the
    keys the database made, PostgreSQL's record of its transactions, or nothing."""
    postgres = world.kind == "postgresql"
    world.run(f"CREATE TABLE made (id {world.number}, v VARCHAR(9))")
    world.run("CREATE TABLE given (id VARCHAR(9) PRIMARY KEY, v VARCHAR(9))")
    said = {
        "made": world.open("made", ["v"]).capabilities.settles,
        "given": world.open("given", ["id", "v"]).capabilities.settles,
        "neither": world.open("given", ["v"]).capabilities.settles,
    }
    expected = {"made": "rows", "given": "key", "neither": ""}
    assert said == (dict.fromkeys(expected, "transaction") if postgres else expected)


def test_f23_s43_with_receipts_an_operation_is_carried_out_once(world: SqlWorld) -> None:
    world.run(f"CREATE TABLE t (id {world.number}, v VARCHAR(9))")
    endpoint = world.open("t", ["v"], receipts=True)
    assert endpoint.capabilities.settles == "receipts"
    writes = [create("c1", v="a"), create("c2", v="b")]
    first = endpoint.apply(writes, go, forget)
    again = endpoint.apply([*writes, create("c3", v="c")], go, forget)
    assert [o.key for o in again[:2]] == [o.key for o in first]
    assert statuses(again) == ["applied"] * 3
    assert sorted(world.run("SELECT v FROM t")) == [("a",), ("b",), ("c",)]


def test_i7_a_voided_operation_can_never_happen_any_more(world: SqlWorld) -> None:
    """A process that was only slow comes late: its successor's word stands."""
    slow = world.open("people", FIELDS, receipts=True)
    slow.apply([create("warm", name="w", email="w")], go, forget)
    successor = world.open("people", FIELDS, receipts=True)
    writes = [create("c1", name="a", email="1")]
    assert statuses(successor.settle(writes, None)) == ["stale"]
    assert statuses(slow.apply(writes, go, forget)) == ["stale"]
    assert len(world.all()) == 1


def test_i7_a_void_during_the_effect_takes_the_effect_back(world: SqlWorld) -> None:
    """The two meet at the receipt's key: whoever inserts it second gives way."""
    if world.kind == "sqlite":
        pytest.skip("SQLite has one writer at a time: the two cannot meet")
    number = world.add(name="a", email="1")
    endpoint = world.open("people", FIELDS, receipts=True)
    endpoint.apply([update("warm", number, name="a")], go, forget)
    successor = world.open("people", FIELDS, receipts=True)
    settled: list[str] = []

    def check(write: Write, row: Any) -> str | None:
        if not settled:
            settled.extend(statuses(successor.settle([create("late", name="x")], None)))
            settled.extend(statuses(successor.settle([Write("late2", OpKind.CREATE, None)], None)))
        return None

    endpoint.apply([update("other", number, name="b")], check, forget)
    assert settled == ["stale", "stale"]
    assert statuses(endpoint.apply([create("late", name="x")], go, forget)) == ["stale"]


def test_f17_a_transaction_still_under_way_is_waited_for(fresh_db: Callable[[str], str]) -> None:
    """A killed process's COMMIT may be on the wire: its fate is awaited, not guessed."""
    world = SqlWorld("postgresql", fresh_db("postgresql"))
    holder = world.engine.connect()
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        holder.commit()

    ready = context(world.url)
    adapter = factory(replace(ready, seams=replace(ready.seams, sleep=sleep)))
    endpoint = adapter.open(EndpointSpec("people", FIELDS, frozenset(FIELDS)))
    for finish in ("commit", "rollback"):
        if finish == "rollback":
            ready.seams.clock.now()
        name = f"n-{finish}"
        holder.execute(sa.text("INSERT INTO people (name, email) VALUES (:n, :n)"), {"n": name})
        xid = holder.execute(sa.text("SELECT pg_current_xact_id()::text")).scalar_one()
        if finish == "rollback":
            holder.rollback()
        (outcome,) = endpoint.settle([create("c", name=name, email=name)], f"pg:{xid}")
        assert outcome.status is (Status.APPLIED if finish == "commit" else Status.STALE)
    assert waits == [0.1]
    holder.close()
    adapter.close()
    world.close()


def test_f17_nothing_is_sent_again_when_the_server_breaks_before_commit(
    world: SqlWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before COMMIT nothing can have happened, so it is an error of the system, not unknown."""
    endpoint = world.open("people", FIELDS)
    flavor = endpoint._flavor
    fault = flavor.fault

    def broken(*_: Any) -> Sequence[bytes]:
        raise Lost

    monkeypatch.setattr(flavor, "insert", broken)
    monkeypatch.setattr(
        flavor,
        "fault",
        lambda exc: Fault(FaultKind.DOWN, "gone") if isinstance(exc, Lost) else fault(exc),
    )
    with pytest.raises(Unreachable):
        endpoint.apply([create("c", name="n", email="e")], go, forget)
    assert world.all() == {}


def test_the_counter_tells_an_old_state_from_a_new_one(world: SqlWorld) -> None:
    adapter = world.adapter()
    assert adapter.counter("d1") is None
    assert adapter.counter("d1", 5) is None  # no receipts granted: nothing is created
    endpoint = adapter.open(EndpointSpec("people", FIELDS, frozenset(FIELDS), receipts=True))
    assert adapter.counter("d1", 5) == 5
    assert adapter.counter("d1", 3) == 5
    assert adapter.counter("d1", 9) == 9
    assert adapter.counter("d2", 1) == 1
    assert world.adapter().counter("d1") == 9
    assert [n for n in adapter.objects() if "syncd" in n] == []
    assert snapshot_of(endpoint) == {}


def test_receipts_without_the_right_to_a_table_say_what_to_run(
    fresh_db: Callable[[str], str],
) -> None:
    world = SqlWorld("postgresql", fresh_db("postgresql"))
    world.run(
        "DROP ROLE IF EXISTS plain",
        "CREATE ROLE plain LOGIN",
        "GRANT SELECT, INSERT ON people TO plain",
    )
    url = sa.make_url(world.url).set(username="plain").render_as_string(hide_password=False)
    adapter = factory(context(url))
    endpoint = adapter.open(EndpointSpec("people", FIELDS, frozenset(FIELDS), receipts=True))
    with pytest.raises(AccessDenied) as raised:
        endpoint.apply([create("c", name="n", email="e")], go, forget)
    assert "CREATE TABLE" in raised.value.hint
    assert world.all() == {}
    adapter.close()
    # an identity key needs no right to its sequence: then rows go in one at a time
    plain = factory(context(url)).open(EndpointSpec("people", FIELDS, frozenset(FIELDS)))
    made = plain.apply([create(f"c{n}", name=f"n{n}") for n in range(3)], go, forget)
    assert [o.key for o in made] == [key(int(o.after.raw.split(b"\t")[0])) for o in made if o.after]
    assert len(world.all()) == 3
    plain._flavor.close()
    world.run("DROP OWNED BY plain", "DROP ROLE plain")
    world.close()
