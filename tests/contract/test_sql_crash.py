"""PostgreSQL crashed while a write was under way: the server itself loses what it had in memory,
the numbers of its transactions among it."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from crashing import CrashingPostgres, crashing
from servers import REQUIRED, ServerMissing
from sqlalchemy.engine import make_url
from sqlworld import SqlWorld
from suite import create, delete, forget, go, statuses, update

from syncd.adapter import Write
from syncd.errors import SyncdError
from syncd_adapters.sql import postgres

FIELDS = ("name", "email")


class Crash(BaseException):
    """Stands for the end of our own process, in the moment the server crashed."""


@pytest.fixture(scope="module")
def server() -> Iterator[CrashingPostgres]:
    try:
        with crashing() as made:
            yield made
    except ServerMissing as missing:
        if REQUIRED:
            pytest.fail(str(missing))
        pytest.skip(str(missing))


@pytest.fixture
def world(server: CrashingPostgres) -> Iterator[SqlWorld]:
    made = SqlWorld("postgresql", server.fresh())
    yield made
    made.close()


def crashed_before_commit(server: CrashingPostgres, world: SqlWorld, writes: list[Write]) -> str:
    """The server crashes when the token is in the journal and before COMMIT is sent."""
    tokens: list[str] = []

    def token(text: str) -> None:
        tokens.append(text)
        server.crash()
        raise Crash

    with pytest.raises(Crash):
        world.open("people", FIELDS).apply(writes, go, token)
    server.restart()
    return tokens[-1]


def number(token: str) -> int:
    return int(token.split(":")[1].partition("+")[0].partition("@")[0])


def somebody_takes(server: CrashingPostgres, world: SqlWorld, wanted: int) -> int:
    """The first number from that one on which the server gives out now."""
    taken = 0
    with server.people(world.url) as somebody:
        while taken < wanted:
            row = somebody.execute(
                "INSERT INTO people (name) VALUES ('x') RETURNING pg_current_xact_id()::text"
            ).fetchone()
            assert row is not None
            taken = int(row[0])
    return taken


@pytest.fixture(params=["from within", "before version 17", "without the right"])
def flushed(
    request: pytest.FixtureRequest, world: SqlWorld, monkeypatch: pytest.MonkeyPatch
) -> str:
    """How the log is written out: from within the transaction, or by another one."""
    if request.param == "before version 17":
        monkeypatch.setattr(postgres, "_FLUSHING", "pg_logical_emit_message_of_old(boolean)")
    if request.param == "without the right":
        role = f"of_{make_url(world.url).database}"
        world.run(
            f"REVOKE EXECUTE ON FUNCTION {postgres._FLUSHING} FROM PUBLIC",
            f"CREATE ROLE {role} LOGIN",
            f"GRANT SELECT, INSERT, UPDATE ON people TO {role}",
        )
        world.url = world.url.replace("postgres@", f"{role}@")
    return str(request.param)


@pytest.mark.parametrize("kind", ["create", "update"])
def test_f58_i4_i2_a_number_given_again_after_a_crash_is_not_taken_for_ours(
    server: CrashingPostgres, world: SqlWorld, flushed: str, kind: str
) -> None:
    """Until the server has written down that a number is taken, a crash makes it give the number
    to somebody else. Were that one's commit taken for ours, a record that was never made would
    look made and deleted since, or an edit that was never sent look sent and edited back."""
    at = world.add(name="old", email="old")
    server.keep(world.url)
    writes = [create("c", name="new", email="new")] if kind == "create" else []
    writes += [update("u", at, name="new")] if kind == "update" else []
    token = crashed_before_commit(server, world, writes)
    taken = somebody_takes(server, world, number(token))
    (outcome,) = world.open("people", FIELDS).settle(writes, token)
    assert outcome.status == "stale"
    assert taken != number(token), "the number of our transaction was given again"


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("kind", ["create", "update"])
def test_f58_i4_i2_a_number_given_by_another_history_is_not_taken_for_ours(
    server: CrashingPostgres, world: SqlWorld, kind: str, given: bool
) -> None:
    """A standby that lagged has taken over: what its predecessor had on the disk is not there, so
    the number is somebody else's here, and their row none of ours; or nobody's yet."""
    at = world.add(name="old", email="old")
    server.keep(world.url)
    server.copy()
    writes = [create("c", name="new", email="new")] if kind == "create" else []
    writes += [update("u", at, name="new")] if kind == "update" else []
    tokens: list[str] = []
    assert statuses(world.open("people", FIELDS).apply(writes, go, tokens.append)) == ["applied"]
    server.fail_over()
    if given:
        wanted = number(tokens[-1])
        assert somebody_takes(server, world, wanted) == wanted
    (outcome,) = world.open("people", FIELDS).settle(writes, tokens[-1])
    assert outcome.status == ("unknown" if given else "stale")
    assert outcome.after is None


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGQUIT])
def test_f58_i2_a_write_that_was_answered_outlives_a_crash(
    server: CrashingPostgres, world: SqlWorld, how: signal.Signals
) -> None:
    """Also where the server's own setting is not to wait for the disk: a base that moved to a value
    which a crash takes back would make the old one look like somebody's edit."""
    old, gone = world.add(name="old", email="old"), world.add(name="gone", email="gone")
    server.keep(world.url)
    endpoint = world.open("people", FIELDS)
    batches = [
        [create("c", name="new", email="new")],
        [update("u", old, name="newer")],
        [delete("d", gone)],
    ]
    for writes in batches:
        assert statuses(endpoint.apply(writes, go, forget)) == ["applied"]
    server.crash(how)
    server.restart()
    assert sorted(row["name"] for row in world.all().values()) == ["new", "newer"]


def test_f58_a_crash_in_the_middle_of_a_write_is_told_as_an_outage(
    server: CrashingPostgres, world: SqlWorld
) -> None:
    """Nothing of it can have happened, and the next try finds the server again."""
    endpoint = world.open("people", FIELDS)
    at = world.add(name="old", email="old")
    server.keep(world.url)

    def check(write: Write, row: object) -> str | None:
        server.crash()
        return None

    with pytest.raises(SyncdError) as raised:
        endpoint.apply([update("u", at, name="new")], check, forget)
    assert raised.value.kind.value == "retryable"
    server.restart()
    assert statuses(endpoint.apply([update("u", at, name="new")], go, forget)) == ["applied"]
