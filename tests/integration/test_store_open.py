"""Opening a store: creation, transactions, and each refusal with its way out."""

from __future__ import annotations

import json
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

import syncd_migrations
from syncd.errors import ConfigError, StoreError, StoreRefused
from syncd.host import Interrupt, real_seams
from syncd.seams import Seams
from syncd.store import admit, connect, lifecycle, sidecar
from syncd.store.database import Store
from syncd.store.tables import metadata

KINDS = ("sqlite", "postgresql")


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, fresh_db: Callable[[str], str]) -> str:
    return fresh_db(str(request.param))


@pytest.fixture
def seams() -> Iterator[Seams]:
    interrupt = Interrupt()
    yield real_seams(interrupt)
    interrupt.close()


@pytest.fixture
def open_(url: str, tmp_path: Path, seams: Seams) -> Iterator[Callable[..., Store]]:
    """Opens the store at `url`, state in tmp_path; closes all at the end."""
    stores: list[Store] = []

    def opened(**changed: object) -> Store:
        given = {
            "url": url,
            "seams": seams,
            "deployment": None,
            "create": True,
            "state_dir": tmp_path,
            "patience": 2.0,
            **changed,
        }
        stores.append(Store.open(given.pop("url"), **given))  # type: ignore[arg-type]
        return stores[-1]

    yield opened
    for store in stores:
        store.close()


def _put(conn: Connection, key: str, value: str) -> None:
    conn.execute(text("INSERT INTO meta (key, value) VALUES (:k, :v)"), {"k": key, "v": value})


def _get(conn: Connection, key: str) -> str | None:
    found = conn.execute(text("SELECT value FROM meta WHERE key = :k"), {"k": key}).scalar()
    return None if found is None else str(found)


def _bump(store: Store, times: int = 1) -> int:
    tick = 0
    for _ in range(times):
        with store.write() as conn:
            tick = store.tick(conn)
    return tick


def _behind_our_back(store: Store, sql: str) -> None:
    """Change the store as another program would."""
    with store.write() as conn:
        conn.execute(text(sql))
    store.close()


def test_created_store_is_found_again(open_: Callable[..., Store]) -> None:
    first = open_()
    with first.write() as conn:
        _put(conn, "a", "1")
    first.close()
    second = open_(create=False)
    assert second.deployment == first.deployment
    with second.read() as conn:
        assert _get(conn, "a") == "1"


def test_migrated_schema_has_no_drift_from_the_tables(open_: Callable[..., Store]) -> None:
    store = open_()
    with store.read() as conn:
        context = MigrationContext.configure(
            conn,
            opts={
                "compare_type": True,
                "compare_server_default": store.place.path is not None,
                "include_name": lambda name, kind, _: name != "alembic_version",
            },
        )
        assert compare_metadata(context, metadata) == []


def test_sqlite_tables_are_made_word_for_word_as_declared(
    tmp_path: Path, seams: Seams, fresh_db: Callable[[str], str]
) -> None:
    """Alembic does not see WITHOUT ROWID, collations and partial indexes; SQLite's text does."""
    store = Store.open(
        fresh_db("sqlite"), seams=seams, deployment=None, create=True, state_dir=tmp_path
    )
    direct = create_engine("sqlite://")
    query = "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'alembic%' AND sql <> ''"

    def normal(conn: Connection) -> dict[str, list[str]]:
        return {
            name: sorted(part.strip(" ,\t") for part in sql.splitlines())
            for name, sql in conn.execute(text(query))
        }

    with store.read() as migrated, direct.begin() as declared:
        metadata.create_all(declared)
        assert normal(migrated) == normal(declared)
    direct.dispose()
    store.close()


def test_postgresql_tables_are_made_as_declared(
    tmp_path: Path, seams: Seams, fresh_db: Callable[[str], str]
) -> None:
    """Collations, defaults and partial indexes too, which Alembic does not compare."""
    url = fresh_db("postgresql")
    store = Store.open(url, seams=seams, deployment=None, create=True, state_dir=tmp_path)
    direct = create_engine(url, connect_args={"options": "-c search_path=declared"})
    columns = """
        SELECT table_name, column_name, data_type, collation_name, column_default, is_nullable
        FROM information_schema.columns WHERE table_schema = :s"""
    indexes = """
        SELECT tablename, indexname, replace(indexdef, :s || '.', '')
        FROM pg_indexes WHERE schemaname = :s"""
    constraints = """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = CAST(:s AS regnamespace)"""
    queries = columns, indexes, constraints

    def normal(conn: Connection, schema: str) -> set[tuple[object, ...]]:
        rows = [row for query in queries for row in conn.execute(text(query), {"s": schema})]
        return {tuple(row) for row in rows if row[0] != "alembic_version"}

    with direct.begin() as conn:
        conn.execute(text("CREATE SCHEMA declared"))
        metadata.create_all(conn)
        declared = normal(conn, "declared")
    with store.read() as conn:
        assert normal(conn, "syncd") == declared
    direct.dispose()
    store.close()


def test_revisions_listed_are_those_shipped() -> None:
    script = ScriptDirectory(str(Path(str(syncd_migrations.__file__)).parent))
    shipped = [revision.revision for revision in script.walk_revisions()]
    assert tuple(reversed(shipped)) == syncd_migrations.REVISIONS


def test_write_is_whole_or_nothing(open_: Callable[..., Store]) -> None:
    store = open_()
    with pytest.raises(ZeroDivisionError), store.write() as conn:
        _put(conn, "a", "1")
        raise ZeroDivisionError
    with store.read() as conn:
        assert _get(conn, "a") is None
    with store.write() as conn:
        _put(conn, "a", "2")
    with store.read() as conn:
        assert _get(conn, "a") == "2"


def test_reader_sees_one_moment_and_does_not_wait_for_the_writer(
    open_: Callable[..., Store],
) -> None:
    store = open_()
    with store.read() as before:
        assert _get(before, "a") is None
        with store.write() as conn:
            _put(conn, "a", "1")
            with store.read() as beside:
                assert _get(beside, "a") is None
        assert _get(before, "a") is None
    with store.read() as after:
        assert _get(after, "a") == "1"


def test_reading_transaction_cannot_write(open_: Callable[..., Store]) -> None:
    store = open_()
    with pytest.raises(StoreError), store.read() as conn:
        _put(conn, "a", "1")
    with store.read() as conn:
        assert _get(conn, "a") is None


def test_write_within_write_is_refused(open_: Callable[..., Store]) -> None:
    store = open_()
    with store.write(), pytest.raises(RuntimeError), store.write():
        pass
    _bump(store)


def test_tick_grows_by_one_a_transaction_that_asks(open_: Callable[..., Store]) -> None:
    store = open_()
    with store.write() as conn:
        assert [store.tick(conn), store.tick(conn)] == [1, 1]
    with store.write():
        pass
    with store.write() as conn:
        assert store.tick(conn) == 2
    with store.read() as conn:
        assert store.last_tick(conn) == 2
        with pytest.raises(RuntimeError):
            store.tick(conn)


def test_tick_of_a_failed_transaction_is_given_again(open_: Callable[..., Store]) -> None:
    store = open_()
    with pytest.raises(ZeroDivisionError), store.write() as conn:
        store.tick(conn)
        raise ZeroDivisionError
    assert _bump(store) == 1


def test_tasks_write_in_turn(open_: Callable[..., Store]) -> None:
    store = open_()
    assert sorted(store.seams.tasks.gather([lambda: _bump(store)] * 20, "writer")) == list(
        range(1, 21)
    )


def test_error_of_a_statement_names_no_value(open_: Callable[..., Store]) -> None:
    store = open_()
    with store.write() as conn:
        _put(conn, "secret-key", "secret-value")
    with pytest.raises(StoreError) as caught, store.write() as conn:
        _put(conn, "secret-key", "secret-value")
    assert "secret" not in str(caught.value)
    assert caught.value.code == "SY0438"


def test_no_store_and_none_to_be_made(open_: Callable[..., Store]) -> None:
    with pytest.raises(StoreRefused) as caught:
        open_(create=False)
    assert caught.value.code == "SY0403"


def test_f59_newer_schema_is_refused(open_: Callable[..., Store]) -> None:
    _behind_our_back(open_(), "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreRefused) as caught:
        open_()
    assert (caught.value.code, caught.value.exit_code) == ("SY0406", 2)


def test_f59_older_schema_is_refused_and_says_upgrade(
    open_: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    open_().close()
    monkeypatch.setattr(syncd_migrations, "REVISIONS", ("0001", "0002"))
    with pytest.raises(StoreRefused, match="older syncd") as caught:
        open_()
    assert caught.value.code == "SY0407"
    assert "syncd state upgrade" in caught.value.hint


def test_copied_config_against_anothers_state_is_refused_until_adopted(
    open_: Callable[..., Store], url: str, tmp_path: Path
) -> None:
    store = open_()
    tick = _bump(store)
    elsewhere = tmp_path / "elsewhere"
    with pytest.raises(StoreRefused) as caught:
        open_(state_dir=elsewhere)
    assert caught.value.code == "SY0408"
    assert store.deployment in str(caught.value)
    assert "--adopt" in caught.value.hint
    lifecycle.adopt(url, state_dir=elsewhere)
    assert open_(state_dir=elsewhere).deployment == store.deployment
    assert sidecar.read(elsewhere, store.deployment) == sidecar.Sidecar(
        store.deployment, tick, store.place.name
    )


def test_named_deployment_must_be_the_states(open_: Callable[..., Store]) -> None:
    assert open_(deployment="shop").deployment == "shop"
    with pytest.raises(StoreRefused) as caught:
        open_(deployment="warehouse")
    assert caught.value.code == "SY0408"
    with pytest.raises(ConfigError):
        open_(deployment="../x")


def test_f55_state_from_before_the_last_run_is_refused(open_: Callable[..., Store]) -> None:
    store = open_()
    _bump(store, 5)
    store.stamp()
    _behind_our_back(store, "UPDATE counter SET value = 3 WHERE name = 'tick'")
    with pytest.raises(StoreRefused, match="older than what was done") as caught:
        open_()
    assert caught.value.code == "SY0409"
    assert "syncd state rebuild" in caught.value.hint


def test_f55_receipts_in_a_system_tell_of_an_older_state(open_: Callable[..., Store]) -> None:
    store = open_()
    _bump(store, 3)
    admit.check_counters(store, {"crm": None, "erp": 3})
    with pytest.raises(StoreRefused, match="erp has a receipt of 4") as caught:
        admit.check_counters(store, {"crm": None, "erp": 4})
    assert caught.value.code == "SY0431"


def test_f55_lost_state_is_not_begun_anew(open_: Callable[..., Store]) -> None:
    store = open_()
    _bump(store)
    store.stamp()
    if store.place.path is not None:
        store.close()
        store.place.path.unlink()
    else:
        store.close()
        engine = create_engine(store.place.url)
        with engine.begin() as conn:
            conn.execute(text(f"DROP SCHEMA {store.place.schema} CASCADE"))
        engine.dispose()
    with pytest.raises(StoreRefused) as caught:
        open_()
    assert caught.value.code == "SY0430"
    assert "syncd state rebuild" in caught.value.hint


def test_creation_killed_between_counter_file_and_store_goes_on(
    open_: Callable[..., Store], url: str, tmp_path: Path
) -> None:
    place = connect.locate(url, tmp_path)
    sidecar.write(tmp_path, sidecar.Sidecar("begun", 0, place.name))
    assert open_().deployment == "begun"


def test_damaged_counter_file_is_refused(open_: Callable[..., Store], tmp_path: Path) -> None:
    store = open_()
    store.close()
    (tmp_path / f"{store.deployment}.counter").write_text("{")
    with pytest.raises(StoreRefused, match="counter file is damaged"):
        open_()


def test_counter_file_never_goes_back(open_: Callable[..., Store], tmp_path: Path) -> None:
    store = open_()
    _bump(store, 2)
    store.stamp()
    path = tmp_path / f"{store.deployment}.counter"
    assert json.loads(path.read_text())["tick"] == 2
    store.stamp()
    assert [file.name for file in tmp_path.glob("*.new")] == []
    assert json.loads(path.read_text())["tick"] == 2


def test_other_programs_database_is_left_untouched(
    fresh_db: Callable[[str], str], tmp_path: Path, seams: Seams
) -> None:
    url = fresh_db("sqlite")
    theirs = sqlite3.connect(url.removeprefix("sqlite:///"))
    theirs.executescript("CREATE TABLE customers (id); INSERT INTO customers VALUES (1)")
    theirs.close()
    before = Path(url.removeprefix("sqlite:///")).read_bytes()
    with pytest.raises(StoreRefused) as caught:
        Store.open(url, seams=seams, deployment=None, create=True, state_dir=tmp_path)
    assert caught.value.code == "SY0404"
    assert Path(url.removeprefix("sqlite:///")).read_bytes() == before


def test_schema_with_others_tables_is_refused(
    fresh_db: Callable[[str], str], tmp_path: Path, seams: Seams
) -> None:
    url = fresh_db("postgresql")
    engine = create_engine(url)
    with engine.begin() as conn:
        conn.execute(text("CREATE TABLE public.customers (id int)"))
    engine.dispose()
    with pytest.raises(StoreRefused) as caught:
        Store.open(
            f"{url}&schema=public", seams=seams, deployment=None, create=True, state_dir=tmp_path
        )
    assert caught.value.code == "SY0404"
    # In a schema of its own the state may live beside them.
    Store.open(url, seams=seams, deployment=None, create=True, state_dir=tmp_path).close()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"just text, but long enough to be a header" * 9, "SY0404"),
        (b"SQLite format 3\0" + bytes(10), "SY0404"),
    ],
)
def test_file_that_is_no_sqlite_is_refused(
    content: bytes, code: str, tmp_path: Path, seams: Seams
) -> None:
    (tmp_path / "state.db").write_bytes(content)
    with pytest.raises(StoreRefused) as caught:
        Store.open(
            "sqlite:///state.db", seams=seams, deployment=None, create=True, state_dir=tmp_path
        )
    assert caught.value.code == code
    assert (tmp_path / "state.db").read_bytes() == content


def _sqlite(tmp_path: Path, seams: Seams) -> Store:
    return Store.open(
        "sqlite:///state.db", seams=seams, deployment=None, create=True, state_dir=tmp_path
    )


def test_f55_file_cut_short_is_refused(tmp_path: Path, seams: Seams) -> None:
    _sqlite(tmp_path, seams).close()
    path = tmp_path / "state.db"
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(StoreRefused) as caught:
        _sqlite(tmp_path, seams)
    assert caught.value.code == "SY0405"
    assert "syncd state rebuild" in caught.value.hint


def test_f55_damaged_schema_page_is_refused(tmp_path: Path, seams: Seams) -> None:
    _sqlite(tmp_path, seams).close()
    with (tmp_path / "state.db").open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 3000)
    with pytest.raises(StoreRefused) as caught:
        _sqlite(tmp_path, seams)
    assert caught.value.code == "SY0405"


def test_state_files_are_private(tmp_path: Path, seams: Seams) -> None:
    store = _sqlite(tmp_path / "new" / "folder", seams)
    _bump(store)
    for path in (tmp_path / "new" / "folder").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    store.close()


def test_relative_path_is_relative_to_the_base(tmp_path: Path, seams: Seams) -> None:
    store = Store.open(
        "sqlite:///data/state.db",
        seams=seams,
        deployment=None,
        create=True,
        state_dir=tmp_path / "state",
        base=tmp_path,
    )
    assert store.place.path == tmp_path / "data" / "state.db"
    store.close()


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:hunter2@h/db",
        "nonsense hunter2",
        "sqlite://",
        "sqlite:///:memory:",
        "postgresql://u:hunter2@h/db?schema=a;b",
        "postgresql://u:p@hunter2@h/db",
    ],
)
def test_unusable_url_is_a_config_error_without_the_password(
    url: str, tmp_path: Path, seams: Seams
) -> None:
    with pytest.raises(ConfigError) as caught:
        Store.open(url, seams=seams, deployment=None, create=True, state_dir=tmp_path)
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"
    assert caught.value.exit_code == 2


def test_unreachable_postgresql_is_worth_a_retry_and_shows_no_password(
    tmp_path: Path, seams: Seams
) -> None:
    with pytest.raises(StoreError) as caught:
        Store.open(
            f"postgresql://u:hunter2@/db?host={tmp_path}&password=hunter2",
            seams=seams,
            deployment=None,
            create=True,
            state_dir=tmp_path,
        )
    assert (caught.value.code, caught.value.kind) == ("SY0434", "retryable")
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"


def test_wrong_privileges_on_postgresql_are_refused(
    fresh_db: Callable[[str], str], tmp_path: Path, seams: Seams
) -> None:
    url = fresh_db("postgresql")
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as conn, suppress(DBAPIError):  # a test before this one made it
        conn.execute(text("CREATE ROLE poor LOGIN"))
    engine.dispose()
    with pytest.raises(StoreRefused) as caught:
        Store.open(
            url.replace("postgres@", "poor@"),
            seams=seams,
            deployment=None,
            create=True,
            state_dir=tmp_path,
        )
    assert caught.value.code == "SY0436"
    assert "CREATE" in caught.value.hint


def test_postgresql_without_that_database_is_refused_with_its_name(
    fresh_db: Callable[[str], str], tmp_path: Path, seams: Seams
) -> None:
    """Another try would not help: the url is wrong, or the database has to be made."""
    url = make_url(fresh_db("postgresql")).set(database="nowhere", drivername="postgresql")
    with pytest.raises(StoreRefused) as caught:
        Store.open(
            url.render_as_string(hide_password=False),
            seams=seams,
            deployment=None,
            create=True,
            state_dir=tmp_path,
        )
    assert (caught.value.code, caught.value.exit_code) == ("SY0436", 2)
    assert str(caught.value).endswith('does not let us in: database "nowhere" does not exist')
