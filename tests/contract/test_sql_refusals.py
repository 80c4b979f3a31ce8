"""What goes wrong with an SQL system, said so that a person knows what to do next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from servers import GUARDED_ROLE
from sqlworld import SqlWorld, context
from suite import create, forget, go, read_all, snapshot_of, update

from syncd.adapter import EndpointSpec
from syncd.errors import AccessDenied, ConfigError, SchemaChanged, SyncdError, Unreachable
from syncd_adapters.sql import factory


def address(world: SqlWorld, **changes: Any) -> str:
    return sa.make_url(world.url).set(**changes).render_as_string(hide_password=False)


def refused(url: str, **options: Any) -> SyncdError:
    adapter = factory(context(url, **options))
    with pytest.raises(SyncdError) as raised:
        adapter.objects()
    adapter.close()
    return raised.value


def make_login(world: SqlWorld) -> None:
    if world.kind == "postgresql":
        world.run(
            f"DROP ROLE IF EXISTS {GUARDED_ROLE}",
            f"CREATE ROLE {GUARDED_ROLE} LOGIN PASSWORD 'right-s3cret'",
        )
    else:
        world.run(f"CREATE OR REPLACE USER {GUARDED_ROLE}@localhost IDENTIFIED BY 'right-s3cret'")


def end_login(world: SqlWorld) -> None:
    if world.kind == "postgresql":
        world.run(f"DROP OWNED BY {GUARDED_ROLE}", f"DROP ROLE {GUARDED_ROLE}")
    else:
        world.run(f"DROP USER {GUARDED_ROLE}@localhost")


def needs_logins(world: SqlWorld) -> None:
    if world.kind == "sqlite":
        pytest.skip("SQLite has no logins")


def test_i16_a_wrong_password_is_access_denied_and_never_shown(world: SqlWorld) -> None:
    needs_logins(world)
    make_login(world)
    error = refused(address(world, username=GUARDED_ROLE, password="wr0ng-s3cret"))
    assert isinstance(error, AccessDenied)
    assert error.hint
    assert "s3cret" not in str(error) + error.hint + repr(error.__context__)
    end_login(world)


def test_an_unreachable_host_is_retryable(world: SqlWorld) -> None:
    if world.kind == "sqlite":
        error = refused("sqlite:////nowhere/at/all.db")
    else:
        error = refused(address(world, host="127.0.0.1", port=1, query={}, password="s3cret"))
    assert isinstance(error, Unreachable)
    assert error.where == "erp" and error.hint and "s3cret" not in str(error)


def test_a_missing_file_is_not_created(tmp_path: Path) -> None:
    path = tmp_path / "absent.db"
    assert isinstance(refused(f"sqlite:///{path}"), Unreachable)
    assert not path.exists()


def test_a_file_that_is_no_database_says_so(tmp_path: Path) -> None:
    path = tmp_path / "text.db"
    path.write_text("this is no database, whatever its name says " * 40)
    assert refused(f"sqlite:///{path}").code == "SY0219"


def test_an_unknown_database_is_named(world: SqlWorld) -> None:
    needs_logins(world)
    error = refused(address(world, database="no_such_db"))
    assert isinstance(error, AccessDenied)
    assert "no_such_db" in str(error)


def test_a_missing_privilege_is_asked_for_and_met(world: SqlWorld) -> None:
    needs_logins(world)
    number = world.add(name="a", email="e")
    make_login(world)
    user = GUARDED_ROLE if world.kind == "postgresql" else f"{GUARDED_ROLE}@localhost"
    world.run(f"GRANT SELECT ON people TO {user}")
    adapter = factory(context(address(world, username=GUARDED_ROLE, password="right-s3cret")))
    endpoint = adapter.open(EndpointSpec("people", ("name",), frozenset({"name"})))
    assert endpoint.schema.privileges == frozenset({"read"})
    assert len(snapshot_of(endpoint)) == 1
    for writes in ([update("u", number, name="b")], [create("c", name="c")]):
        with pytest.raises(AccessDenied) as raised:
            endpoint.apply(writes, go, forget)
        assert raised.value.hint
    assert world.all()[number]["name"] == "a"
    adapter.close()
    end_login(world)


def test_s59_f49_a_column_that_vanished_halts(world: SqlWorld) -> None:
    world.add(name="a", email="e", note="n")
    spec = EndpointSpec("people", ("name", "note"), frozenset({"name", "note"}))
    endpoint = world.adapter().open(spec)
    world.run("ALTER TABLE people DROP COLUMN note")
    with pytest.raises(SchemaChanged), endpoint.snapshot() as snapshot:
        read_all(snapshot)
    with pytest.raises(SchemaChanged) as raised:
        world.adapter().open(spec)
    assert "note" in str(raised.value)
    assert raised.value.hint


def test_s59_a_table_that_vanished_halts(world: SqlWorld) -> None:
    endpoint = world.open("people", ["name"])
    world.run("DROP TABLE people")
    with pytest.raises(SchemaChanged), endpoint.snapshot() as snapshot:
        read_all(snapshot)


@pytest.mark.parametrize(
    ("name", "hint"), [("poeple", "people"), ("PEOPLE_X", "people"), ("quite else", "people")]
)
def test_an_unknown_object_names_the_nearest(world: SqlWorld, name: str, hint: str) -> None:
    with pytest.raises(SchemaChanged) as raised:
        world.adapter().describe(name)
    assert hint in raised.value.hint


def test_an_unknown_column_names_the_nearest(world: SqlWorld) -> None:
    with pytest.raises(SchemaChanged) as raised:
        world.open("people", ["nmae"])
    assert "did you mean 'name'?" in raised.value.hint


def test_what_cannot_be_written_is_a_config_error(world: SqlWorld) -> None:
    world.run("CREATE VIEW v AS SELECT id, name FROM people")
    world.run("CREATE TABLE keyless (name VARCHAR(9))")
    generated = "GENERATED ALWAYS AS (id * 2) STORED"
    world.run(f"CREATE TABLE t (id INT PRIMARY KEY, twice INT {generated})")
    adapter = world.adapter()
    for spec in (
        EndpointSpec("v", ("name",), frozenset({"name"}), key=("id",)),
        EndpointSpec("keyless", ("name",)),
        EndpointSpec("t", ("twice",), frozenset({"twice"})),
    ):
        with pytest.raises(ConfigError) as raised:
            adapter.open(spec)
        assert raised.value.hint
    assert adapter.open(EndpointSpec("keyless", ("name",), key=("name",))).schema.key == ("name",)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"uri": "x"}, "'url'"),
        ({"url": ""}, "url"),
        ({"timeout": "soon"}, "seconds"),
        ({"timeout": -1}, "seconds"),
        ({"schema": 3}, "text"),
    ],
)
def test_options_are_checked(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as raised:
        factory(replace(context("sqlite:///x.db"), options={"url": "env:ERP_URL", **options}))
    assert says in f"{raised.value} {raised.value.hint}"


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "sqlite://",
        "sqlite:///:memory:",
        "nosuchdb://u:p@h/d",
        "postgresql://u:p@tail@h/d",
        "mysql://u:p@tail@h/d",
    ],
)
def test_addresses_that_are_none_are_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ConfigError) as raised:
        factory(context(url))
    assert "u:p@" not in str(raised.value)
    assert "tail" not in f"{raised.value} {raised.value.hint}"


def test_a_relative_file_is_relative_to_the_config(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    sa.create_engine(f"sqlite:///{tmp_path}/data/x.db").connect().close()
    (tmp_path / "data" / "x.db").touch()
    adapter = factory(replace(context("sqlite:///data/x.db"), base=str(tmp_path)))
    assert adapter.objects() == []
    adapter.close()


def test_s37_identity_tells_databases_apart_and_survives_writes(
    world: SqlWorld, fresh_db: Callable[[str], str]
) -> None:
    other = SqlWorld(world.kind, fresh_db(world.kind))
    before = world.adapter().identity()
    world.add(name="a", email="e")
    world.run("CREATE TABLE more (id INT PRIMARY KEY)")
    assert world.adapter().identity() == before
    assert other.adapter().identity() != before
    other.close()


def test_s37_a_database_made_again_under_its_name_is_another(
    fresh_db: Callable[[str], str],
) -> None:
    url = sa.make_url(fresh_db("postgresql"))
    adapter = factory(context(url.render_as_string(hide_password=False)))
    before = adapter.identity()
    adapter.close()
    server = sa.create_engine(
        url.set(database="postgres"), poolclass=sa.NullPool, isolation_level="AUTOCOMMIT"
    )
    with server.connect() as connection:
        connection.exec_driver_sql(f'DROP DATABASE "{url.database}"')
        connection.exec_driver_sql(f'CREATE DATABASE "{url.database}"')
    adapter = factory(context(url.render_as_string(hide_password=False)))
    assert adapter.identity() != before
    adapter.close()


def test_s37_a_backup_put_back_is_the_same_database(tmp_path: Path) -> None:
    import shutil

    path = tmp_path / "x.db"
    engine = sa.create_engine(f"sqlite:///{path}", poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    adapter = factory(context(f"sqlite:///{path}"))
    before = adapter.identity()
    adapter.close()
    shutil.copy(path, tmp_path / "backup")
    path.unlink()
    shutil.copy(tmp_path / "backup", path)
    adapter = factory(context(f"sqlite:///{path}"))
    assert adapter.identity() == before
    adapter.close()


def test_describe_says_what_the_database_says(world: SqlWorld) -> None:
    world.run(
        f"CREATE TABLE t (id {world.number}, code VARCHAR(12) NOT NULL, price DECIMAL(8,3), "
        "parent BIGINT, kind VARCHAR(5) DEFAULT 'x', CONSTRAINT t_code UNIQUE (code, kind), "
        "FOREIGN KEY (parent) REFERENCES people (id))"
    )
    adapter = world.adapter()
    schema = adapter.describe("t")
    assert schema.name in adapter.objects()
    assert (schema.key, schema.generated, schema.writable) == (("id",), True, True)
    assert schema.unique == (("code", "kind"),)
    assert [(p[0], p[2]) for p in schema.parents] == [(("parent",), ("id",))]
    assert schema.parents[0][1] in adapter.objects()
    columns = schema.columns
    assert [c.family for c in columns.values()] == [
        "integer",
        "text",
        "decimal",
        "integer",
        "text",
    ]
    assert (columns["code"].length, columns["code"].nullable) == (12, False)
    assert (columns["price"].digits, columns["price"].scale) == (8, 3)
    assert columns["kind"].default and not columns["price"].default


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    error = refused(f"sqlite:///{tmp_path}/absent.db")
    assert f"{tmp_path}/absent.db" in error.message
    assert "host" not in error.hint


def test_a_parameter_the_driver_does_not_know_is_named(tmp_path: Path) -> None:
    error = refused(f"mysql://root@localhost/x?unix_socket={tmp_path}/s&nonsense=1")
    assert isinstance(error, ConfigError)
    assert "`nonsense`" in error.message
