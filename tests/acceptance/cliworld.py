"""A small world for the command line: a CRM and an ERP in SQLite, and `syncd` beside them."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from syncd.cli.main import cli

CONFIG = """\
[state]
url = "sqlite:///state.db"

[systems.crm]
connector = "sql"
url = "sqlite:///crm.db"

[systems.erp]
connector = "sql"
url = "sqlite:///erp.db"

[flows.people]
match = ["email"]
deletes = "propagate"

[flows.people.fields]
email = { type = "text", fold = ["trim", "lower"] }
name = "text"
phone = { type = "text", private = true }
credit = { type = "decimal(12,2)", owner = "erp" }

[flows.people.members.crm]
object = "contacts"
fields = { email = "mail", name = "name", phone = "phone", credit = "credit" }

[flows.people.members.erp]
object = "customers"
fields = { email = "email", name = "full_name", phone = "tel", credit = "credit_limit" }
"""


class World:
    """crm.db (contacts, integer key) and erp.db (customers, integer key) in one folder."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.config = folder / "syncd.toml"
        self.environ = {"XDG_STATE_HOME": str(folder / "home"), "NO_COLOR": "1"}
        for name in ("SYNCD_CONFIG", "STATE_DIRECTORY", "CREDENTIALS_DIRECTORY"):
            monkeypatch.delenv(name, raising=False)
        for name, value in self.environ.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(folder)
        self.config.write_text(CONFIG)
        self.sql(
            "crm",
            "CREATE TABLE contacts (id INTEGER PRIMARY KEY, mail TEXT UNIQUE, name TEXT,"
            " phone TEXT, credit NUMERIC(12,2))",
        )
        self.sql(
            "erp",
            "CREATE TABLE customers (no INTEGER PRIMARY KEY, email TEXT UNIQUE, full_name TEXT,"
            " tel TEXT, credit_limit NUMERIC(12,2))",
        )

    def sql(self, system: str, statement: str, *rows: tuple[object, ...]) -> list[Any]:
        connection = sqlite3.connect(self.folder / f"{system}.db")
        try:
            if rows:
                connection.executemany(statement, rows)
                found = []
            else:
                found = connection.execute(statement).fetchall()
            connection.commit()
            return found
        finally:
            connection.close()

    def people(self, count: int) -> None:
        """The same people at both, numbered from 1 in the CRM and from 101 in the ERP."""
        rows = [
            (n, f"p{n}@example.com", f"Person {n}", f"+49 {n:03}", n * 10)
            for n in range(1, count + 1)
        ]
        self.sql("crm", "INSERT INTO contacts VALUES (?,?,?,?,?)", *rows)
        self.sql(
            "erp",
            "INSERT INTO customers VALUES (?,?,?,?,?)",
            *[(n + 100, *rest) for n, *rest in rows],
        )

    def edit(self, **changes: str) -> None:
        """The config, with each of these texts replaced by another."""
        text = self.config.read_text()
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        self.config.write_text(text)

    def change(self, old: str, new: str) -> None:
        text = self.config.read_text()
        assert old in text
        self.config.write_text(text.replace(old, new))

    def run(self, *words: str, env: Mapping[str, str] | None = None, answer: str = "") -> Result:
        return CliRunner().invoke(cli, list(words), env=dict(env or {}), input=answer)

    def ok(self, *words: str, code: int = 0) -> Result:
        result = self.run(*words)
        assert result.exit_code == code, (result.exit_code, result.output, result.exception)
        return result

    def json(self, *words: str, code: int = 0) -> Any:
        """The one document on stdout."""
        document = json.loads(self.ok(*words, "--json", code=code).stdout)
        assert document["version"] == 1
        assert document["exit"] == code
        return document

    def synced(self, count: int = 5) -> None:
        self.people(count)
        self.ok("reconcile", "--yes")

    def process(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """The real thing."""
        return subprocess.Popen(
            [sys.executable, "-m", "syncd.cli", *words],
            cwd=self.folder,
            env={**os.environ, **self.environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def state(self) -> dict[str, bytes]:
        """Every byte that a dry run must leave alone."""
        return {
            name: (self.folder / name).read_bytes()
            for name in ("crm.db", "erp.db", "state.db")
            if (self.folder / name).exists()
        }
