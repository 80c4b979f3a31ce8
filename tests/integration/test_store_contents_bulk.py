"""Bulk statements and ids, in a real store and at the size of a first load."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter

import pytest
from sqlalchemy import Engine, create_engine, func, select, text
from sqlalchemy.exc import OperationalError
from store_contents import AT, agreed, engine, flow, scratch

from syncd.core.model import Base, Entity, Link
from syncd.host import Interrupt, real_seams
from syncd.store import bulk, journal, shadow, tables
from syncd.store.database import Store


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, fresh_db: Callable[[str], str]) -> str:
    return fresh_db(str(request.param))


@pytest.fixture
def db(url: str) -> Iterator[Engine]:
    made = engine(url)
    yield made
    made.dispose()


def person(n: int) -> shadow.Save:
    what = {f"f{i}": agreed(f"value {n} {i}") for i in range(8)}
    bases = {name: Base(a.value, a.seq) for name, a in what.items()}
    links = {m: Link(m, f"a{n:08}", bases=bases, row_hash=n, version="1") for m in ("crm", "erp")}
    return shadow.Save(Entity(0, agreed=what, links=links), keys=((0, n),))


def test_ids_are_dense_and_a_rollback_gives_them_back(db: Engine) -> None:
    with db.begin() as conn:
        assert bulk.allocate(conn, "x", 0) == range(0)
        assert bulk.allocate(conn, "x") == range(1, 2)
        assert bulk.allocate(conn, "x", 3) == range(2, 5)
        assert bulk.allocate(conn, "y") == range(1, 2)
    with scratch(db) as conn:
        assert bulk.allocate(conn, "x") == range(5, 6)
    with db.begin() as conn:
        assert bulk.allocate(conn, "x") == range(5, 6)


def test_runs_of_two_flows_wait_for_each_other_and_never_for_one_another(
    fresh_db: Callable[[str], str],
) -> None:
    made = create_engine(fresh_db("postgresql"))
    tables.metadata.create_all(made)
    with made.begin() as conn:
        conn.execute(tables.counter.insert().values(name="tick", value=0))
    tick = text("UPDATE counter SET value = value + 1 WHERE name = 'tick'")
    with made.connect() as one, made.connect() as two:
        one.execute(tick)
        two.execute(text("SET LOCAL lock_timeout = '100ms'"))
        # It waits before it holds a counter that the first one may want next.
        with pytest.raises(OperationalError, match="lock timeout"):
            bulk.allocate(two, "x")
        assert bulk.allocate(one, "x") == range(1, 2)
        one.commit()
        two.rollback()
        assert bulk.allocate(two, "x") == range(2, 3)
        two.rollback()
    made.dispose()


def test_many_values_are_one_parameter(db: Engine) -> None:
    odd = ["a", "\x01", 'quote"d', "back\\slash", "{a,b}", "ü", "NULL", " "]
    with scratch(db) as conn:
        number = flow(conn)
        saves = [
            shadow.Save(Entity(0, links={"crm": Link("crm", key)}))
            for key in [*odd, *(f"k{n}" for n in range(2500))]
        ]
        ids = shadow.save_entities(conn, number, saves, run=1, at=AT)
        keys = [save.entity.links["crm"].key for save in saves]
        found = shadow.entities_of(conn, number, "crm", [*keys, "nobody"])
        assert found == dict(zip(keys, ids, strict=True))
        assert len(shadow.load_entities(conn, number, ids)) == 2508
        none = select(func.count()).where(bulk.among(tables.entity.c.id, "ids"))
        assert conn.execute(none, {"ids": []}).scalar_one() == 0


def test_the_contents_work_in_a_store_as_it_is_opened(url: str, tmp_path: Path) -> None:
    interrupt = Interrupt()
    store = Store.open(
        url, seams=real_seams(interrupt), deployment=None, create=True, state_dir=tmp_path
    )
    try:
        with store.write() as conn:
            number = flow(conn)
            ids = shadow.save_entities(conn, number, [person(n) for n in range(3000)], run=1, at=AT)
            assert store.tick(conn) > 0
        with store.read() as conn:
            blocks = list(shadow.links_in_order(conn, number, "crm"))
            assert [len(b) for b in blocks] == [1000, 1000, 1000]
        with pytest.raises(ZeroDivisionError), store.write() as conn:
            shadow.save_entities(conn, number, [person(9999)], run=1, at=AT)
            raise ZeroDivisionError
        with store.read() as conn:
            assert shadow.entity_of(conn, number, "crm", "a00009999") is None
            assert len(shadow.load_entities(conn, number, ids)) == 3000
            assert journal.unsettled_batches(conn, number) == []
    finally:
        store.close()
        interrupt.close()


def test_speed_of_a_first_load(db: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    """Printed, not judged: machines differ. 20,000 entities of 8 fields with 2 links each."""
    saves = [person(n) for n in range(20_000)]
    with scratch(db) as conn:
        number = flow(conn)
        begun = perf_counter()
        ids: list[int] = []
        for part in bulk.chunks(saves, 5000):
            ids += shadow.save_entities(conn, number, part, run=1, at=AT)
        written = perf_counter()
        streamed = sum(len(b) for b in shadow.links_in_order(conn, number, "crm"))
        read = perf_counter()
        assert streamed == len(set(ids)) == 20_000
        assert shadow.live_links(conn, number) == {"crm": 20_000, "erp": 20_000, "shop": 0}
        with capsys.disabled():
            print(
                f" {db.dialect.name}: {20_000 / (written - begun):,.0f} entities/s saved, "
                f"{20_000 / (read - written):,.0f} links/s streamed"
            )
