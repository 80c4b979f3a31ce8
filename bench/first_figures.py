"""First figures: no-op, 1 % changed and first sync, PostgreSQL to PostgreSQL, beside COPY.

    python -m bench.first_figures [ROWS]

Starts its own PostgreSQL. Each figure is a ratio of medians measured in one run: a no-op and a
1 % run against text COPY TO of both tables at once to nowhere, a first sync against binary COPY
out | COPY in. Memory is the peak of this process (the database's own is not counted).
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psycopg

from tests.servers import Servers

COLUMNS = """
    id bigint primary key, email text not null, name text, city text, phone text,
    credit numeric(12,2), active boolean, born date, seen timestamptz, score integer
"""
FILL = """
    insert into {table} select i, 'user' || i || '@example.org', 'Name ' || i, 'City ' || i % 997,
    '+49 30 ' || (1000000 + i), (i % 100000) / 100.0, i % 3 = 0,
    date '1970-01-01' + (i % 20000)::int,
    timestamptz '2024-01-01' + i * interval '1 second', (i % 1000)::int
    from generate_series(1, {rows}) i
"""
CONFIG = """
[state]
url = "sqlite:///state.db"
[systems.a]
connector = "sql"
url = "env:BENCH_A"
[systems.b]
connector = "sql"
url = "env:BENCH_B"
[flows.people]
match = ["email"]
deletes = "propagate"
guard = {{ updates = "off" }}
[flows.people.fields]
no = "integer"
email = "text"
name = "text"
city = "text"
phone = "text"
credit = "decimal(12,2)"
active = "boolean"
born = "date"
seen = "datetime"
score = "integer"
[flows.people.members.a]
object = "people"
fields = {{ {fields} }}
[flows.people.members.b]
object = "people"
fields = {{ {fields} }}
"""
FIELDS = (
    'no = "id", email = "email", name = "name", city = "city", phone = "phone", '
    'credit = "credit", active = "active", born = "born", seen = "seen", score = "score"'
)


def main(rows: int) -> None:
    with Servers() as servers, tempfile.TemporaryDirectory() as folder:
        urls = [servers.fresh("postgresql") for _ in range(2)]
        dsns = [url.replace("postgresql+psycopg://", "postgresql://") for url in urls]
        for dsn, filled in zip(dsns, (True, False), strict=True):
            with psycopg.connect(dsn, autocommit=True) as conn:
                conn.execute(f"create table people ({COLUMNS})")
                if filled:
                    conn.execute(FILL.format(table="people", rows=rows))
                    conn.execute("vacuum analyze people")
        where = Path(folder)
        (where / "syncd.toml").write_text(CONFIG.format(fields=FIELDS))
        run = _runner(where, urls)
        pipe = _pipe(dsns[0], dsns[1], rows)
        print(f"pipe (binary COPY out | in)      {pipe:8.2f} s")
        first, memory = run()
        print(f"first sync of {rows:,}        {first:8.2f} s  {first / pipe:5.1f} x   {memory} MB")
        with psycopg.connect(dsns[1], autocommit=True) as conn:
            conn.execute("vacuum analyze people")
        limits, noops = [], []
        for _ in range(3):
            limits.append(_limit(dsns))
            seconds, memory = run()
            noops.append(seconds)
        limit, noop = statistics.median(limits), statistics.median(noops)
        print(f"limit (text COPY TO, both)       {limit:8.2f} s")
        print(
            f"no-op                            {noop:8.2f} s  {noop / limit:5.1f} x   {memory} MB"
        )
        for dsn, remainder in zip(dsns, (0, 50), strict=True):
            with psycopg.connect(dsn, autocommit=True) as conn:
                conn.execute(f"update people set city = city || '!' where id % 100 = {remainder}")
        part, memory = run()
        print(
            f"1 % changed on each side         {part:8.2f} s  {part / limit:5.1f} x   {memory} MB"
        )
        with psycopg.connect(dsns[0]) as a, psycopg.connect(dsns[1]) as b:
            sums = [
                c.execute(
                    "select count(*), sum(hashtext(p::text)::bigint) from people p"
                ).fetchone()
                for c in (a, b)
            ]
        print("both sides equal" if sums[0] == sums[1] else f"NOT EQUAL: {sums}")


def _runner(where: Path, urls: list[str]):  # type: ignore[no-untyped-def]
    env = {**os.environ, "BENCH_A": urls[0], "BENCH_B": urls[1], "XDG_STATE_HOME": str(where)}

    def run() -> tuple[float, int]:
        begun = time.perf_counter()
        command = [sys.executable, "-m", "bench.once", str(where / "syncd.toml"), "people"]
        done = subprocess.run(command, env=env, check=False, capture_output=True, text=True)
        if os.environ.get("BENCH_SHOW"):
            print(done.stdout, done.stderr)
        if done.returncode not in (0, 3):
            raise SystemExit(done.stdout + done.stderr)
        seconds = time.perf_counter() - begun
        return seconds, int(done.stdout.split()[-1])

    return run


def _limit(dsns: list[str]) -> float:
    def read(dsn: str) -> None:
        with psycopg.connect(dsn) as conn, conn.cursor().copy("copy people to stdout") as copy:
            for _ in copy:
                pass

    begun = time.perf_counter()
    threads = [threading.Thread(target=read, args=(dsn,)) for dsn in dsns]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - begun


def _pipe(source: str, target: str, rows: int) -> float:
    with psycopg.connect(source) as a, psycopg.connect(target) as b:
        b.execute(f"create table piped ({COLUMNS})")
        begun = time.perf_counter()
        with (
            a.cursor().copy("copy people to stdout (format binary)") as out,
            b.cursor().copy("copy piped from stdin (format binary)") as into,
        ):
            for block in out:
                into.write(block)
        b.commit()
        seconds = time.perf_counter() - begun
        b.execute("drop table piped")
        b.commit()
    return seconds


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
    print(f"largest child: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024} MB")
