"""What the oracle knows: the flow as configured round by round, equality of values, the store."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


@dataclass(frozen=True, slots=True)
class Fields:
    """What whoever made the world says of the flow's fields.

    plain  by field: a value → what it counts as, equal for values that are the same thing
    sets   fields whose values are elements that come and go one by one
    vague  fields with too few values to tell who gave one: whose edit it was, cannot be judged
    fixed  (member, field) where a field is read and never written
    normal (member, field, value) → the same as that member's columns can say it
    kept   (member, field, value) → what becomes of it once that member's system has it
    """

    plain: Mapping[str, Callable[[Any], Any]]
    sets: frozenset[str] = frozenset()
    vague: frozenset[str] = frozenset()
    fixed: frozenset[tuple[str, str]] = frozenset()
    normal: Callable[[str, str, Any], Any] = lambda member, name, value: value
    kept: Callable[[str, str, Any], Any] = lambda member, name, value: value

    def __iter__(self) -> Iterator[str]:
        return iter(self.plain)

    def same(self, name: str, one: Any, other: Any) -> bool:
        """Whether two values of a field are the same thing, as the flow says."""
        return bool(self.plain[name](one) == self.plain[name](other))

    def contains(self, texts: Iterable[str], name: str, value: Any, member: str = "") -> bool:
        """Whether a JSON text somewhere holds the value, or what this member's columns say in its
        place."""
        said = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        if self.plain[name](value) is None:  # null, or what counts as that
            return any(
                "null" in text or said in text or (value == "" and '""' in text) for text in texts
            )
        if isinstance(value, (list, tuple)):
            return any(all(json.dumps(part) in text for part in value) for text in texts)
        if any(said in text for text in texts):
            return True
        return isinstance(value, str) and any(
            self.same(name, told, value)
            or (member != "" and self.same(name, self.normal(member, name, told), value))
            for text in texts
            for told in strings(text)
        )


def strings(text: str) -> Iterator[str]:
    """Those in a JSON text."""
    yield from (json.loads(found) for found in _STRING.findall(text))


def blank(value: Any) -> bool:
    return value is None or value == []


@dataclass(frozen=True, slots=True)
class Flow:
    """The flow's table, asked as the law asks."""

    raw: Mapping[str, Any]

    @property
    def members(self) -> list[str]:
        return list(self.raw["members"])

    def mode(self, member: str) -> str:
        return str(self.raw["members"].get(member, {}).get("mode", "both"))

    def is_source(self, member: str) -> bool:
        return member in self.raw["members"] and self.mode(member) in ("both", "source")

    def is_target(self, member: str) -> bool:
        return member in self.raw["members"] and self.mode(member) in ("both", "target")

    def maps(self, member: str, name: str) -> bool:
        return name in self.raw["fields"] and name in self.raw["members"][member]["fields"]

    def columns(self, member: str) -> set[str]:
        """Columns in which this member has its fields."""
        said = self.raw["members"][member]["fields"].items()
        places = [place for name, place in said if name in self.raw["fields"]]
        natives = [p if isinstance(p, (str, list)) else p["native"] for p in places]
        return {c for n in natives for c in ([n] if isinstance(n, str) else n)}

    def matched(self) -> set[str]:
        """Fields that serve a match rule."""
        rules = self.raw["match"]
        return {n for rule in rules for n in ([rule] if isinstance(rule, str) else rule)}

    def keys(self, fields: Fields, values: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
        """What a record may be known by: of each match rule its folded values, if all are there."""
        for rule in self.raw["match"]:
            names = [rule] if isinstance(rule, str) else rule
            said = [fields.plain[name](values.get(name)) for name in names]
            if not any(one in (None, "", []) for one in said):
                yield (*names, *map(repr, said))

    def groups(self) -> list[list[str]]:
        """Fields that change together, as declared."""
        return [list(group) for group in self.raw.get("groups", ())]

    def unanimous(self) -> bool:
        """Whether a record is deleted once all sources have deleted it."""
        whence = self.raw.get("deletes_from")
        aggregates = any(self.mode(member) == "source" for member in self.members)
        return whence == "all" or (whence is None and aggregates)

    def heard(self) -> list[str]:
        """Members whose deletions count."""
        whence = self.raw.get("deletes_from")
        named = whence if isinstance(whence, (list, tuple)) else self.members
        return [member for member in named if self.is_source(member)]

    def speaks(self, member: str, name: str) -> bool:
        """Whether this member's edits of this field count."""
        if not self.is_source(member) or not self.maps(member, name):
            return False
        options = self.options(name)
        return options.get("owner") in (None, member)

    def options(self, name: str) -> Mapping[str, Any]:
        said = self.raw["fields"].get(name, {})
        return {"type": said} if isinstance(said, str) else said

    def said(self, name: str, default: str) -> str:
        return str(self.raw.get(name, default))

    def limit(self, kind: str) -> int | None:
        found = self.raw.get("guard", {}).get(kind)
        if isinstance(found, Mapping):
            found = found.get("count")
        return found if isinstance(found, int) else None

    def words(self, option: str) -> Iterator[str]:
        """The policies that stand there, of the flow and of each field."""
        for said in (self.raw, *(self.options(name) for name in self.raw["fields"])):
            found = said.get(option) or ()
            yield from [found] if isinstance(found, str) else found


@dataclass(slots=True)
class Open:
    """What stands open in the store, by entity."""

    cases: dict[int, list[str]] = field(default_factory=dict)  # their candidates, as text
    fields: dict[int, set[str]] = field(default_factory=dict)  # frozen by a case; "*" = all
    holds: set[int] = field(default_factory=set)
    quarantine: set[int] = field(default_factory=set)
    unreadable: set[tuple[str, int]] = field(default_factory=set)  # records of no entity
    unknown: set[int] = field(default_factory=set)
    waiting: set[str] = field(default_factory=set)  # op ids neither sent nor settled
    identity: list[str] = field(default_factory=list)  # cases of no entity, as text


@dataclass(slots=True)
class StoreView:
    """The store's tables, as far as they matter here.

    links   (member, key number) → (entity, state); gone: the same for tombstones
    ops     op id → entity
    audit   op id → rows of the audit; told: entity → rows
    firsts  (entity, field) that were ever asked about at first sight
    said    (where, text) of all that is put in words there
    """

    links: dict[tuple[str, int], tuple[int, str]] = field(default_factory=dict)
    gone: dict[tuple[str, int], set[int]] = field(default_factory=dict)
    ops: dict[str, int] = field(default_factory=dict)
    audit: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    told: dict[int, list[Mapping[str, Any]]] = field(default_factory=dict)
    firsts: set[tuple[int, str]] = field(default_factory=set)
    open: Open = field(default_factory=Open)
    said: list[tuple[str, str]] = field(default_factory=list)

    def entity(self, member: str, key: int) -> int:
        return self.links.get((member, key), (0, ""))[0]


def number(key: str) -> int:
    """Of a native id, as the store spells it: a letter and the digits, or "=k" and the digits;
    negative for one that no record has any more."""
    if "\uffff" in key:
        return -int(key[2:].partition(":")[0])
    return int(key.lstrip("=k") if key.startswith("=") else key[1:])


# Where the store has sentences.
_WORDS = (
    ("operation", "error"), ("quarantine", "error"), ("run", "error"), ("case_", "reason"),
    ("audit", "reason"), ("audit", "cause"),
)  # fmt: skip


def _key(row: sqlite3.Row) -> int:
    """Of a link, or one that is gone; what a person declined to have made never had a record."""
    return number(row["key"]) if row["key"] else -1_000_000 - int(row["entity_id"])


def read_store(path: Path) -> StoreView:
    view = StoreView()
    conn = sqlite3.connect(path)
    conn.row_factory = sqlite3.Row
    try:
        members = {r["id"]: r["name"] for r in conn.execute("SELECT id, name FROM member")}
        for row in conn.execute("SELECT member_id, key, entity_id, state FROM link"):
            view.links[members[row["member_id"]], _key(row)] = (row["entity_id"], row["state"])
        for row in conn.execute("SELECT member_id, key, entity_id FROM tombstone"):
            at = (members[row["member_id"]], _key(row))
            view.gone.setdefault(at, set()).add(row["entity_id"])
        for row in conn.execute("SELECT op_id, entity_id, state FROM operation"):
            view.ops[row["op_id"]] = row["entity_id"]
            if row["state"] in ("planned", "sent"):
                view.open.waiting.add(row["op_id"])
            if row["state"] == "unknown":
                view.open.unknown.add(row["entity_id"])
        for row in conn.execute("SELECT * FROM audit"):
            if row["op_id"]:
                view.audit.setdefault(row["op_id"], []).append(dict(row))
            told = {**dict(row), "member": members.get(row["member_id"], "")}
            view.told.setdefault(row["entity_id"], []).append(told)
        for row in conn.execute("SELECT entity_id, fields FROM case_ WHERE kind = 'first-sight'"):
            view.firsts.update((row["entity_id"], name) for name in json.loads(row["fields"]))
        _read_open(conn, view.open)
        for table, column in _WORDS:
            for row in conn.execute(f"SELECT {column} FROM {table} WHERE {column} != ''"):
                view.said.append((f"{table}.{column}", row[0]))
        sql = "SELECT member_id, key FROM quarantine WHERE state != 'solved' AND entity_id = 0"
        for row in conn.execute(sql):
            view.open.unreadable.add((members[row["member_id"]], number(row["key"])))
    finally:
        conn.close()
    return view


def _read_open(conn: sqlite3.Connection, open_: Open) -> None:
    for row in conn.execute("SELECT * FROM case_ WHERE state != 'closed'"):
        entity, names = row["entity_id"], json.loads(row["fields"])
        open_.cases.setdefault(entity, []).append(row["candidates"])
        frozen = (
            set(names)
            if row["kind"] in ("field", "first-sight", "drift", "lossy", "unproven")
            else {"*"}
        )
        open_.fields.setdefault(entity, set()).update(frozen)
        if not entity or row["kind"] in ("identity", "same-entity", "duplicate", "reappeared"):
            open_.identity.append(row["candidates"])
    sql = (
        "SELECT i.entity_id FROM hold_item i JOIN hold h ON h.id = i.hold_id "
        "WHERE h.state = 'open' OR i.state IN ('held', 'approved', 'excused', 'reverted')"
    )
    open_.holds.update(row[0] for row in conn.execute(sql))
    sql = "SELECT entity_id FROM quarantine WHERE state != 'solved'"
    open_.quarantine.update(row[0] for row in conn.execute(sql))


def overruled(row: Mapping[str, Any], name: str) -> bool:
    """Whether an audit row says that a rule or a person, and no edit, put this field's value in
    the place of another."""
    if row["kind"] in ("lost", "first-sight", "drift", "degraded", "delete", "archive"):
        return True
    if row["kind"] != "update":
        return False
    said = [part for part in str(row["reason"]).split("; ") if part.startswith(f"{name}: ")]
    return any("edited in" not in part for part in said)
