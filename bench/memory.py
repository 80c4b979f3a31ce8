"""Peak memory of runs at two sizes: what grows with the number of records shows.

    python -m bench.memory [SMALL LARGE] [CASE …]

Each case is a story of runs between two SQLite files, every run in a process of its own, as the
command line makes it; the figure is that process's peak (VmHWM). Exits with 1 where a peak grows
by more than LIMIT from the small size to the large one, or passes BOUND.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from syncd import host
from syncd.config.load import load
from syncd.config.places import state_dir
from syncd.engine.result import RunOptions
from syncd.engine.session import Session
from syncd.registry import Registry
from syncd.secrets import Secrets
from syncd.store import holds, shadow
from syncd.store.database import Store

LIMIT = 15  # MB
BOUND = 150  # MB
CONFIG = """
[state]
url = "sqlite:///state.db"
[systems.a]
connector = "sql"
url = "sqlite:///a.db"
[systems.b]
connector = "sql"
url = "sqlite:///b.db"
[flows.people]
match = [{match}]
deletes = "propagate"
guard = {{ {guard} }}
[flows.people.fields]
email = "text"
name = "text"
city = "text"
score = "integer"
[flows.people.members.a]
object = "people"
fields = {{ email = "email", name = "name", city = "city", score = "score" }}
[flows.people.members.b]
object = "people"
fields = {{ email = "email", name = "name", city = "city", score = "score" }}
"""
OPEN = 'creates = "off", updates = "off", deletes = "off", blankings = "off"'
TABLE = "CREATE TABLE people (id INTEGER PRIMARY KEY, email TEXT, name TEXT, city TEXT, score"
FILL = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) "
    "INSERT INTO people (email, name, city, score) SELECT {email}, {name}, 'City ' || (i % 997), "
    "{score} FROM n"
)


@dataclass(frozen=True, slots=True)
class World:
    folder: Path
    rows: int

    def config(self, guard: str = OPEN, match: str = '"email"') -> None:
        (self.folder / "syncd.toml").write_text(CONFIG.format(guard=guard, match=match))

    def fill(
        self,
        member: str,
        email: str = "'user' || i || '@example.org'",
        name: str = "'Name ' || i",
        score: str = "i % 1000",
        rows: int | None = None,
        check: str = "",
    ) -> None:
        self.sql(member, f"{TABLE}{check})")
        if rows != 0:
            wanted = self.rows if rows is None else rows
            self.sql(member, FILL.format(rows=wanted, email=email, name=name, score=score))

    def sql(self, member: str, statement: str) -> None:
        with sqlite3.connect(self.folder / f"{member}.db") as conn:
            conn.execute(statement)
        conn.close()

    def count(self, member: str, where: str = "1") -> int:
        with sqlite3.connect(self.folder / f"{member}.db") as conn:
            (n,) = conn.execute(f"SELECT count(*) FROM people WHERE {where}").fetchone()
        conn.close()
        return int(n)

    def process(self, what: str) -> int:
        """MB at the peak."""
        command = [sys.executable, "-m", "bench.memory", what, str(self.folder)]
        env = {**os.environ, "XDG_STATE_HOME": str(self.folder), "TMPDIR": str(self.folder)}
        done = subprocess.run(command, env=env, check=False, capture_output=True, text=True)
        if os.environ.get("BENCH_SHOW"):
            print(done.stdout, done.stderr)
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        return int(done.stdout.split()[-1])

    def run(self) -> int:
        return self.process("--run")

    def approve(self) -> int:
        return self.process("--approve")


Steps = Iterator[tuple[str, Callable[[], int]]]


def ordinary(world: World) -> Steps:
    world.config()
    world.fill("a")
    world.fill("b", rows=0)
    yield "first sync into an empty table", world.run
    assert world.count("b") == world.rows
    yield "nothing changed", world.run
    world.sql("a", "UPDATE people SET city = city || '!'")
    yield "every record changed", world.run
    assert world.count("b", "city LIKE '%!'") == world.rows
    world.sql("a", "UPDATE people SET email = 'none@example.org'")
    yield "every linked record given one key", world.run
    yield "the same, once more", world.run


def vanished(world: World) -> Steps:
    world.config('creates = "off"')
    world.fill("a")
    world.fill("b", rows=0)
    yield "first sync", world.run
    world.sql("a", "DELETE FROM people")
    yield "all gone on one member: read as empty", world.run
    yield "a person approves that it is empty", world.approve
    yield "deletes held", world.run
    yield "a person approves them", world.approve
    yield "deletes carried out", world.run
    assert world.count("b") == 0


def creates(world: World) -> Steps:
    world.config('creates = 10, updates = "off"')
    world.fill("a", rows=10)
    world.fill("b", rows=10)
    yield "few linked", world.run
    world.sql("a", FILL.format(rows=world.rows, email="'x' || i", name="'N' || i", score="i"))
    yield "creates held", world.run
    yield "held still", world.run
    yield "a person approves them", world.approve
    yield "creates carried out", world.run
    assert world.count("b") == world.rows + 10


def one_key(world: World) -> Steps:
    world.config()
    for member in ("a", "b"):
        world.fill(member, email="'same@example.org'")
    yield "all under one match key", world.run
    assert world.count("b") == world.rows


def many_cases(world: World) -> Steps:
    world.config()
    world.fill("a", email="'user' || (i / 2) || '@example.org'")
    world.fill("b", rows=0)
    yield "every key twice: a case each", world.run
    yield "the same cases again", world.run
    assert world.count("b") < 3


def conflicts(world: World) -> Steps:
    world.config()
    world.fill("a")
    world.fill("b", name="'Other ' || i")
    yield "first sight: every name differs", world.run
    yield "the same conflicts again", world.run


def refused(world: World) -> Steps:
    world.config()
    world.fill("a")
    world.fill("b", rows=0, check=" CHECK (score < 0)")
    yield "every create is refused", world.run
    yield "in quarantine", world.run


def unreadable(world: World) -> Steps:
    world.config()
    world.fill("a", score="'many'")
    world.fill("b", rows=0)
    yield "no record can be read", world.run
    yield "set aside still", world.run


CASES = {
    one.__name__: one
    for one in (
        ordinary,
        vanished,
        creates,
        one_key,
        many_cases,
        conflicts,
        refused,
        unreadable,
    )
}


def main(small: int, large: int, wanted: list[str]) -> int:
    """The number of peaks that are too high."""
    bad = 0
    print(f"{'':46}{small:>9,}{large:>9,}   growth     time")
    for name in wanted or list(CASES):
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
            worlds = World(Path(one), small), World(Path(other), large)
            stories = [CASES[name](world) for world in worlds]
            for (what, first), (_, second) in zip(*stories, strict=True):
                before, begun = first(), time.perf_counter()
                after, seconds = second(), time.perf_counter() - begun
                much = after - before > LIMIT or after > BOUND
                bad += much
                print(
                    f"{name + ': ' + what:46.46}{before:6} MB{after:6} MB{after - before:+6} MB"
                    f"{seconds:7.1f} s{'   TOO MUCH' if much else ''}",
                    flush=True,
                )
    return bad


def _peak() -> int:
    """Of this process alone: what getrusage says begins with its parent's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) // 1024
    raise SystemExit("this needs Linux")


def _child(what: str, folder: Path) -> None:
    loaded = load(folder / "syncd.toml")
    host.calm_collector()
    with Session(
        loaded,
        seams=host.real_seams(host.Interrupt()),
        registry=Registry(),
        secrets=Secrets(loaded.base, os.environ),
        holder=host.holder(),
        alive=host.alive,
        state_dir=state_dir(os.environ),
        environ=os.environ,
    ) as session:
        if what == "--run":
            report = session.run("people", RunOptions())
            print(report.state, report.messages, *report.members.values(), sep="\n")
        else:
            _approve(session.store())
    print(_peak())


def _approve(store: Store) -> None:
    at = store.seams.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    with store.write() as conn:
        for hold in _held(conn):
            holds.approve(conn, hold.id, hold.digest, by="bench", at=at)


def _held(conn: Connection) -> list[holds.Hold]:
    found = holds.holds(conn, shadow.flow_id(conn, "people"))
    if not found:
        raise SystemExit("nothing is held")
    return found


if __name__ == "__main__":
    words = sys.argv[1:]
    if words[:1] in (["--run"], ["--approve"]):
        _child(words[0], Path(words[1]))
    else:
        sizes = [int(word) for word in words if word.isdigit()] or [20_000, 80_000]
        sys.exit(1 if main(sizes[0], sizes[-1], [w for w in words if not w.isdigit()]) else 0)
