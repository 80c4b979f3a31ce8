"""Histories written by hand, for the oracle to judge: what happened, and the store as it stood."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import create_engine

from syncd.simulate.oracle.facts import Fields, Flow
from syncd.simulate.oracle.judge import judge
from syncd.simulate.script import Script, Traits
from syncd.simulate.trace import Happening, RunEnd, Trace
from syncd.store.tables import metadata

FIELDS = ("email", "name", "city", "amount", "tags")
FLOW: dict[str, Any] = {
    "match": ["email"],
    "conflict": "review",
    "deletes": "propagate",
    "fields": {name: {"type": "text"} for name in FIELDS},
    "members": {member: {"fields": {name: name for name in FIELDS}} for member in "ab"},
}
KNOWN = Fields(
    {name: lambda value: value for name in FIELDS}
    | {"email": lambda value: value and value.strip().lower()},
    sets=frozenset({"tags"}),
)
Values = Mapping[str, Any]


def person(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {"email": "p0.@x", "name": "p0.1", "city": "p0.2", "memo": "m"}
    return {**values, "amount": None, "tags": None, "stamp": None, **changes}


@dataclass
class History:
    """What happened, in rounds; `judged` says what the oracle finds in it."""

    flow: dict[str, Any] = field(default_factory=lambda: dict(FLOW))
    trace: Trace = field(default_factory=Trace)
    truth: dict[tuple[str, int], tuple[int, Values]] = field(default_factory=dict)
    rows: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    round: int = 0
    first: int = 0

    def happens(self, who: str, what: str, member: str = "", key: int = 0, **more: Any) -> None:
        number = len(self.trace.happenings)
        time = 60.0 * self.round + 0.05 * number
        self.trace.happenings.append(
            Happening(number, time, self.round, who, what, member, key, **more)
        )

    def changes(self, who: str, member: str, key: int, after: Values | None, **more: Any) -> None:
        """Somebody makes a record be so; None = takes it away. person: whom it is about."""
        _, before = self.truth.pop((member, key), (0, None))
        what = "insert" if before is None else "delete" if after is None else "update"
        about = more.pop("about", 0)
        if after is not None:
            self.truth[member, key] = (about, after)
        self.happens(who, what, member, key, person=about, before=before, after=after, **more)

    def user(self, member: str, key: int, after: Values | None, about: int = 0) -> None:
        self.changes("user", member, key, after, about=about)

    def syncd(
        self,
        member: str,
        key: int,
        after: Values | None,
        op: str,
        about: int = 0,
        audited: bool = True,
    ) -> None:
        """What the engine does, with the rows that it leaves in the store."""
        _, before = self.truth.get((member, key), (0, None))
        sent = {
            name: value
            for name, value in (after or {}).items()
            if name in FIELDS and value is not None and (before is None or before[name] != value)
        }
        self.changes("syncd", member, key, after, about=about, op_id=op, sent=sent)
        kind = "create" if before is None else "delete" if after is None else "update"
        self.operation(op, about + 1, kind=kind)
        if audited:
            self.audit(kind, about + 1, before, after, op_id=op, outcome="applied")

    def ends(self, state: str = "done", mode: str = "full", settling: bool = False) -> None:
        """The run of this round is over."""
        last = len(self.trace.happenings)
        writes = sum(h.who == "syncd" for h in self.trace.happenings[self.first :])
        self.trace.runs.append(
            RunEnd(self.round, state, mode, writes, 10, self.first, last, settling=settling)
        )
        self.round, self.first = self.round + 1, last

    # --- the store

    def stands(self, member: str, key: int, entity: int, state: str = "live") -> None:
        at = {"member_id": "ab".index(member) + 1, "key": f"a{key}", "entity_id": entity}
        if state == "gone":
            self.rows.append(("tombstone", {**at, "gone_at": ""}))
        else:
            self.rows.append(("link", {**at, "state": state}))

    def operation(self, op: str, entity: int, state: str = "applied", kind: str = "update") -> None:
        if any(name == "operation" and row["op_id"] == op for name, row in self.rows):
            return
        self.rows.append(
            ("operation", {"op_id": op, "entity_id": entity, "state": state, "kind": kind})
        )

    def audit(
        self, kind: str, entity: int, before: Values | None, after: Values | None, **more: Any
    ) -> None:
        row = {"entity_id": entity, "kind": kind, "before": _text(before), "after": _text(after)}
        self.rows.append(("audit", {**row, **more}))

    def judged(self, folder: Path) -> list[str]:
        path = folder / "state.db"
        path.write_bytes(_empty())
        conn = sqlite3.connect(path)
        try:
            conn.execute("INSERT INTO flow (id, name) VALUES (1, 'people')")
            for number, name in enumerate("ab", 1):
                _insert(conn, "member", number, {"flow_id": 1, "name": name})
            for number, (table, row) in enumerate(self.rows, 1):
                _insert(conn, table, number, row)
            conn.commit()
        finally:
            conn.close()
        truth: dict[str, dict[int, tuple[int, Values]]] = {"a": {}, "b": {}}
        for (member, key), told in self.truth.items():
            truth[member][key] = told
        script = Script(0, {name: Traits(proof="receipts") for name in "ab"}, self.flow, ())
        return judge(script, KNOWN, {0: Flow(self.flow)}, self.trace, truth, path)


@cache
def _empty() -> bytes:
    """A store's tables, without a row."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        engine = create_engine(f"sqlite:///{path}")
        metadata.create_all(engine)
        engine.dispose()
        return path.read_bytes()


def _text(values: Values | None) -> str | None:
    if values is None:
        return None
    parts = (f'"{n}":{"null" if v is None else repr(v)}' for n, v in values.items())
    return "{" + ",".join(parts).replace("'", '"') + "}"


def _insert(conn: sqlite3.Connection, table: str, number: int, row: Mapping[str, Any]) -> None:
    """Columns that the oracle does not read get something that the schema takes."""
    info = conn.execute(f"PRAGMA table_info({table})").fetchall()
    full = {
        name: b"" if kind == "BLOB" else 0 if "INT" in kind else ""
        for _, name, kind, needed, default, _ in info
        if needed and default is None
    }
    full.update(row)
    if "id" in full:
        full["id"] = number
    names = ", ".join(f'"{name}"' for name in full)
    marks = ", ".join("?" for _ in full)
    conn.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(full.values()))
