"""Upgrade, rebuild and doctor: the store's three commands."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, text

import syncd_migrations
from syncd.errors import FlowBusy, StoreError, StoreRefused
from syncd.host import Interrupt, real_seams
from syncd.seams import Holder, Seams
from syncd.store import lease, lifecycle, migrate, sidecar
from syncd.store import upgrade as upgrade_module
from syncd.store.admit import check_counters
from syncd.store.database import Store
from syncd.store.doctor import Level, doctor
from syncd.store.rebuild import Rebuilt, rebuild, relinked, relinking
from syncd.store.upgrade import Upgraded, upgrade

US = Holder("here", 11, "boot1.4.100")
NEXT = '''
"""The schema of tomorrow."""
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("run", sa.Column("colour", sa.Text(), server_default="red"))
    op.create_table("tomorrow", sa.Column("id", sa.Integer(), primary_key=True))
'''


@pytest.fixture
def seams() -> Iterator[Seams]:
    interrupt = Interrupt()
    yield real_seams(interrupt)
    interrupt.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, fresh_db: Callable[[str], str]) -> str:
    return fresh_db(str(request.param))


@pytest.fixture
def open_(url: str, tmp_path: Path, seams: Seams) -> Iterator[Callable[[], Store]]:
    stores: list[Store] = []

    def opened() -> Store:
        stores.append(
            Store.open(url, seams=seams, deployment=None, create=True, state_dir=tmp_path)
        )
        return stores[-1]

    yield opened
    for store in stores:
        store.close()


@pytest.fixture
def tomorrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This syncd knows one revision more than the store was made with."""
    folder = tmp_path / "versions"
    folder.mkdir()
    (folder / "r0002_next.py").write_text(NEXT)
    shipped = Path(str(syncd_migrations.__file__)).parent / "versions"
    monkeypatch.setattr(migrate, "LOCATIONS", (str(shipped), str(folder)))
    monkeypatch.setattr(syncd_migrations, "REVISIONS", ("0001", "0002"))


def _fill(store: Store) -> None:
    with store.write() as conn:
        store.tick(conn)
        conn.execute(text("INSERT INTO meta (key, value) VALUES ('kept', 'yes')"))
    store.stamp()
    store.close()


def _kept(conn: Connection) -> bool:
    return bool(conn.execute(text("SELECT count(*) FROM meta WHERE key = 'kept'")).scalar())


def _drop(store: Store) -> None:
    """Lose the state as a person or a disk would."""
    store.close()
    if store.place.path is not None:
        store.place.path.unlink()
        return
    engine = create_engine(store.place.url)
    with engine.begin() as conn:
        conn.execute(text(f"DROP SCHEMA {store.place.schema} CASCADE"))
    engine.dispose()


def test_nothing_to_upgrade_says_so(
    open_: Callable[[], Store], url: str, seams: Seams, tmp_path: Path
) -> None:
    open_().close()
    assert upgrade(url, seams=seams, state_dir=tmp_path) == Upgraded("0001", "0001", "")


def test_f59_upgrade_backs_up_first_then_migrates(
    open_: Callable[[], Store],
    url: str,
    seams: Seams,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    store = open_()
    _fill(store)
    request.getfixturevalue("tomorrow")
    done = upgrade(url, seams=seams, state_dir=tmp_path)
    assert (done.before, done.after) == ("0001", "0002")
    store = open_()
    with store.read() as conn:
        assert _kept(conn)
        assert conn.execute(text("SELECT count(*) FROM tomorrow")).scalar() == 0
    if store.place.path is not None:
        assert done.backup == f"{store.place.path}.0001.bak"
        backup = sqlite3.connect(done.backup)
        assert backup.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
        assert backup.execute("SELECT value FROM meta WHERE key = 'kept'").fetchone() == ("yes",)
        assert backup.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        backup.close()
        assert Path(done.backup).stat().st_mode & 0o077 == 0
    else:
        assert done.backup == "syncd_0001_bak"
        with store.read() as conn:
            query = "SELECT value FROM syncd_0001_bak.meta WHERE key = 'kept'"
            assert conn.execute(text(query)).scalar() == "yes"


def test_f59_upgrade_stopped_on_its_way_has_not_happened_and_goes_again(
    open_: Callable[[], Store],
    url: str,
    seams: Seams,
    tmp_path: Path,
    tomorrow: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as yesterday:
        yesterday.setattr(syncd_migrations, "REVISIONS", ("0001",))
        yesterday.setattr(migrate, "LOCATIONS", migrate.LOCATIONS[:1])
        _fill(open_())

    def stop(conn: Connection) -> None:
        migrate.migrate(conn)
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(upgrade_module, "migrate", stop)
        with pytest.raises(KeyboardInterrupt):
            upgrade(url, seams=seams, state_dir=tmp_path)
    with pytest.raises(StoreRefused, match="older syncd"):
        open_()
    assert upgrade(url, seams=seams, state_dir=tmp_path).after == "0002"
    with open_().read() as conn:
        assert _kept(conn)


KILLED = """
import sys
from pathlib import Path
import syncd_migrations
from syncd.host import Interrupt, real_seams
from syncd.store import migrate, upgrade
syncd_migrations.REVISIONS = ("0001", "0002")
migrate.LOCATIONS = (*migrate.LOCATIONS, sys.argv[3])
whole = upgrade.migrate
def slow(conn):
    whole(conn)
    print("migrated", flush=True)
    sys.stdin.read()
upgrade.migrate = slow
upgrade.upgrade(sys.argv[1], seams=real_seams(Interrupt()), state_dir=Path(sys.argv[2]))
"""


def test_f59_upgrade_killed_before_its_commit_goes_again(
    open_: Callable[[], Store],
    url: str,
    seams: Seams,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    _fill(open_())
    request.getfixturevalue("tomorrow")
    command = [sys.executable, "-c", KILLED, url, str(tmp_path), str(tmp_path / "versions")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"migrated\n"
        process.kill()
    with pytest.raises(StoreRefused, match="older syncd"):
        open_()
    assert upgrade(url, seams=seams, state_dir=tmp_path).before == "0001"
    with open_().read() as conn:
        assert _kept(conn)


def test_f59_downgrade_is_refused(
    open_: Callable[[], Store], url: str, seams: Seams, tmp_path: Path
) -> None:
    store = open_()
    with store.write() as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = '0009'"))
    store.close()
    for command in (upgrade, rebuild):
        with pytest.raises(StoreRefused, match="newer syncd") as caught:
            command(url, seams=seams, state_dir=tmp_path)  # type: ignore[operator]
        assert caught.value.code == "SY0406"


def test_state_is_not_taken_away_under_a_run(
    open_: Callable[[], Store],
    url: str,
    seams: Seams,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    store = open_()
    fence = lease.acquire(store, "customers", US, 60)
    request.getfixturevalue("tomorrow")
    for command in (upgrade, rebuild):
        with pytest.raises(FlowBusy, match="process 11 on here"):
            command(url, seams=seams, state_dir=tmp_path)  # type: ignore[operator]
    lease.release(store, fence)
    store.close()
    assert upgrade(url, seams=seams, state_dir=tmp_path).after == "0002"


def test_anothers_state_is_neither_upgraded_nor_rebuilt(
    open_: Callable[[], Store], url: str, seams: Seams, tmp_path: Path
) -> None:
    open_().close()
    for command in (upgrade, rebuild):
        with pytest.raises(StoreRefused) as caught:
            command(url, seams=seams, state_dir=tmp_path / "mine")  # type: ignore[operator]
        assert caught.value.code == "SY0408"


def test_upgrade_of_nothing_is_refused(url: str, seams: Seams, tmp_path: Path) -> None:
    with pytest.raises(StoreRefused) as caught:
        upgrade(url, seams=seams, state_dir=tmp_path)
    assert caught.value.code == "SY0403"


def test_f55_rebuild_sets_the_old_state_aside_and_only_links(
    open_: Callable[[], Store], url: str, seams: Seams, tmp_path: Path
) -> None:
    store = open_()
    before = store.deployment
    with store.read() as conn:
        assert not relinking(conn, "customers")
    _fill(store)
    done = rebuild(url, seams=seams, state_dir=tmp_path, at_least=77)
    assert done.deployment == before
    assert done.tick > 77
    store = open_()
    with store.read() as conn:
        assert not _kept(conn)
        assert relinking(conn, "customers")
        assert store.last_tick(conn) == done.tick
    check_counters(store, {"erp": 77})
    with store.write() as conn:
        conn.execute(text("INSERT INTO flow (id, name) VALUES (1, 'customers'), (2, 'orders')"))
        relinked(conn, "customers")
        assert not relinking(conn, "customers")
        assert relinking(conn, "orders")
    assert [f.text for f in doctor(store) if f.code == "SY0459"] == [
        "flow orders was rebuilt: it links, and neither creates nor deletes"
    ]
    if store.place.path is not None:
        old = sqlite3.connect(done.kept)
        assert old.execute("SELECT value FROM meta WHERE key = 'kept'").fetchone() == ("yes",)
        old.close()
    else:
        with store.read() as conn:
            query = f"SELECT value FROM {done.kept}.meta WHERE key = 'kept'"
            assert conn.execute(text(query)).scalar() == "yes"


def test_f55_second_rebuild_asks_again(
    open_: Callable[[], Store], url: str, seams: Seams, tmp_path: Path
) -> None:
    open_().close()
    kept: list[Rebuilt] = []
    for _ in range(2):
        kept.append(rebuild(url, seams=seams, state_dir=tmp_path))
        store = open_()
        with store.write() as conn:
            assert relinking(conn, "customers")
            relinked(conn, "customers")
            assert not relinking(conn, "customers")
        store.close()
    assert kept[0].kept != kept[1].kept
    assert kept[0].tick < kept[1].tick


def test_f55_lost_state_is_rebuilt_under_its_old_name(
    open_: Callable[[], Store], url: str, seams: Seams, tmp_path: Path
) -> None:
    store = open_()
    _fill(store)
    _drop(store)
    done = rebuild(url, seams=seams, state_dir=tmp_path)
    assert (done.kept, done.deployment) == ("", store.deployment)
    with open_().read() as conn:
        assert relinking(conn, "customers")


def test_f55_rebuild_stopped_on_its_way_is_not_taken_for_a_fresh_start(
    open_: Callable[[], Store],
    url: str,
    seams: Seams,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = open_()
    _fill(store)

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(lifecycle, "create", stop)
        with pytest.raises(KeyboardInterrupt):
            rebuild(url, seams=seams, state_dir=tmp_path)
    with pytest.raises(StoreRefused, match="the state is gone"):
        open_()
    assert rebuild(url, seams=seams, state_dir=tmp_path).deployment == store.deployment


@pytest.mark.parametrize("damage", [b"\xff" * 200, b"SQLite format 3\0" + b"\xff" * 4000])
def test_f55_damaged_file_is_rebuilt(
    damage: bytes, fresh_db: Callable[[str], str], seams: Seams, tmp_path: Path
) -> None:
    url = fresh_db("sqlite")
    store = Store.open(url, seams=seams, deployment=None, create=True, state_dir=tmp_path)
    _fill(store)
    assert store.place.path is not None
    with store.place.path.open("r+b") as file:
        file.write(damage)
    with pytest.raises(StoreRefused):
        Store.open(url, seams=seams, deployment=None, create=True, state_dir=tmp_path)
    done = rebuild(url, seams=seams, state_dir=tmp_path)
    assert Path(done.kept).read_bytes().startswith(damage)
    assert done.deployment == store.deployment
    Store.open(url, seams=seams, deployment=None, create=True, state_dir=tmp_path).close()


def test_f55_restored_backup_is_refused_then_rebuilt(
    fresh_db: Callable[[str], str], seams: Seams, tmp_path: Path
) -> None:
    url = fresh_db("sqlite")
    store = Store.open(url, seams=seams, deployment=None, create=True, state_dir=tmp_path)
    path = store.place.path
    assert path is not None
    _fill(store)
    old = path.read_bytes()
    store = Store.open(url, seams=seams, deployment=None, create=True, state_dir=tmp_path)
    with store.write() as conn:
        store.tick(conn)
    store.stamp()
    store.close()
    path.write_bytes(old)
    with pytest.raises(StoreRefused) as caught:
        Store.open(url, seams=seams, deployment=None, create=True, state_dir=tmp_path)
    assert caught.value.code == "SY0409"
    assert rebuild(url, seams=seams, state_dir=tmp_path).tick > 2


def test_rebuild_leaves_other_programs_files_alone(
    fresh_db: Callable[[str], str], seams: Seams, tmp_path: Path
) -> None:
    url = fresh_db("sqlite")
    theirs = sqlite3.connect(url.removeprefix("sqlite:///"))
    theirs.execute("CREATE TABLE customers (id)")
    theirs.close()
    with pytest.raises(StoreRefused) as caught:
        rebuild(url, seams=seams, state_dir=tmp_path)
    assert caught.value.code == "SY0404"


def test_process_that_outlived_a_rebuild_does_not_write_into_the_old_file(
    fresh_db: Callable[[str], str], seams: Seams, tmp_path: Path
) -> None:
    url = fresh_db("sqlite")
    store = Store.open(url, seams=seams, deployment=None, create=True, state_dir=tmp_path)
    rebuild(url, seams=seams, state_dir=tmp_path)
    with pytest.raises(StoreRefused, match="moved away") as caught, store.write():
        pass
    assert caught.value.code == "SY0437"
    store.close()


def test_healthy_store_has_no_bad_news(open_: Callable[[], Store]) -> None:
    store = open_()
    bad = [f for f in doctor(store) if f.level in (Level.ERROR, Level.WARNING)]
    # The tests' PostgreSQL really does run without fsync.
    assert [f.code for f in bad] == ([] if store.place.path is not None else ["SY0452"] * 2)


def test_doctor_finds_what_does_not_fit(open_: Callable[[], Store], tmp_path: Path) -> None:
    store = open_()
    lease.acquire(store, "customers", US, 0.0)
    with store.write() as conn:
        for table, columns, values in (
            ("flow", "id, name", "1, 'customers'"),
            ("link", "member_id, key, entity_id, state, moved_tick", "7, 'k', 99, 'live', 0"),
            ("entity", "id, flow_id, state, agreed, work, updated_run", "5, 1, 'live', '', 0, 0"),
            ("match_key", "flow_id, rule, hash, entity_id", "1, 1, 1, 98"),
            (
                "operation",
                "id, op_id, run_id, flow_id, member_id, entity_id, kind, operation, state",
                "1, 'o', 1, 1, 7, 5, 'create', '', 'sent'",
            ),
        ):
            conn.execute(text(f"INSERT INTO {table} ({columns}) VALUES ({values})"))
    sidecar.write(tmp_path, sidecar.Sidecar(store.deployment, 99, store.place.name))
    codes = {f.code for f in doctor(store) if f.level in (Level.ERROR, Level.WARNING)}
    assert codes - {"SY0452"} == {
        "SY0457",
        "SY0460",
        "SY0461",
        "SY0463",
        "SY0464",
        "SY0465",
        "SY0466",
    }


def test_doctor_finds_a_damaged_page(
    fresh_db: Callable[[str], str], seams: Seams, tmp_path: Path
) -> None:
    url = fresh_db("sqlite")
    store = Store.open(url, seams=seams, deployment=None, create=True, state_dir=tmp_path)
    with store.write() as conn:
        conn.execute(
            text(
                "INSERT INTO audit (id, run_id, at, flow_id, entity_id, kind, cause, reason, "
                "outcome, actor) VALUES (:id, 1, '', 1, 1, '', '', '', '', :text)"
            ),
            [{"id": number, "text": "x" * 500} for number in range(200)],
        )
    store.close()
    assert store.place.path is not None
    with store.place.path.open("r+b") as file:
        file.seek(-8192, 2)
        file.write(b"\x99" * 4096)
    store = Store.open(url, seams=seams, deployment=None, create=True, state_dir=tmp_path)
    try:
        found = doctor(store)
        assert [f.level for f in found if f.code == "SY0450"] == [Level.ERROR]
    except StoreError as error:
        assert error.code == "SY0405"
    store.close()
