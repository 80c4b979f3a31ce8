"""What a life shows that breaks no promise and is worth knowing: what waited for a person, what a
policy decided alone, what a fold hid, what a guard stopped."""

from __future__ import annotations

import json
import sqlite3
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from syncd.simulate.campaign import Played
from syncd.simulate.fields import Model
from syncd.simulate.own.words import said
from syncd.simulate.people import AUTOMATION
from syncd.simulate.trace import Happening

_ARTEFACT = "empty"  # a hold that only small worlds see: all three records of a member deleted


@dataclass(frozen=True, slots=True)
class Note:
    """kind     conflict | gap | overruled | hidden | held | unreadable
    what     of a conflict: which; of an overruled edit: by which policy; of a hold: of what
    look     a person should look at it: something of the config does not do what it seems to
    example  in words
    clear    nothing else is going on in the example
    """

    kind: str
    what: str
    fields: tuple[str, ...]
    member: str
    look: bool
    example: tuple[str, ...]
    clear: bool = True

    @property
    def about(self) -> tuple[str, str, tuple[str, ...], str, bool]:
        member = "" if self.kind == "overruled" else self.member
        return self.kind, self.what, self.fields, member, self.look


def notes(life: Played, crowd: bool) -> list[Note]:
    """crowd: the life is one of ordinary days of many records, in which a hold means something."""
    model = life.model
    conn = sqlite3.connect(life.store)
    conn.row_factory = sqlite3.Row
    try:
        members = {r["id"]: r["name"] for r in conn.execute("SELECT id, name FROM member")}
        found = [*_cases(conn, model), *_overruled(conn, members), *_unreadable(conn, members)]
        if crowd:
            found += _held(conn)
    finally:
        conn.close()
    return [*found, *_hidden(life)]


def _cases(conn: sqlite3.Connection, model: Model) -> Iterator[Note]:
    for row in conn.execute("SELECT * FROM case_ ORDER BY id"):
        fields = tuple(json.loads(row["fields"]))
        kind, member, reason = row["kind"], row["member"], row["reason"]
        lines = [reason]
        for source, values, *_ in json.loads(row["candidates"]):
            told = "deleted" if values is None else _told(values, fields)
            lines.append(f"{source}: {told}")
        if kind == "invalid":
            gap = any(model.places[member][n].table is not None for n in fields)
            gap = gap and "is not in the table" in reason
            look = gap and any(model.fields[n].kind.name != "text" for n in fields)
            yield Note("gap" if gap else "conflict", kind, fields, member, look, tuple(lines))
        elif kind in ("identity", "delete", "reappeared", "same-entity", "duplicate"):
            yield Note("conflict", kind, (), "", False, tuple(lines))
        else:
            yield Note("conflict", kind, fields, "", False, tuple(lines))


def _told(values: Mapping[str, Any], fields: Iterable[str]) -> str:
    return ", ".join(f"{n} {said(values.get(n))}" for n in (list(fields) or values))


def _overruled(conn: sqlite3.Connection, members: Mapping[int, str]) -> Iterator[Note]:
    for row in conn.execute("SELECT * FROM audit WHERE kind = 'lost' ORDER BY id"):
        reason = str(row["reason"])
        if reason.startswith(("person:", "drift")):
            continue  # somebody was asked; or nobody there had a say in it
        values = json.loads(row["after"] or "{}")
        member = members.get(row["member_id"], "")
        lines = [f"{member} had {_told(values, values)}; {reason} took another value"]
        for name in values:
            yield Note("overruled", reason, (name,), member, False, tuple(lines))


def _unreadable(conn: sqlite3.Connection, members: Mapping[int, str]) -> Iterator[Note]:
    for row in conn.execute("SELECT * FROM quarantine WHERE entity_id = 0 ORDER BY id"):
        name, _, why = str(row["error"]).partition(": ")
        member = members.get(row["member_id"], "")
        yield Note("unreadable", "", (name,), member, False, (f"{name} {why}",))


def _held(conn: sqlite3.Connection) -> Iterator[Note]:
    for row in conn.execute("SELECT * FROM hold ORDER BY id"):
        if row["kind"] != _ARTEFACT:
            what = f"{row['kind']}s"
            yield Note("held", what, (), row["cause_member"], True, (row["reason"],))


# --- folds


def _hidden(life: Played) -> Iterator[Note]:
    """Edits that count as none: what was entered stands at one member only, for good."""
    model, truth = life.model, life.truth
    for h in life.trace.happenings:
        if h.who != "user" or h.what != "update" or h.detail == AUTOMATION:
            continue
        before, after = h.before or {}, h.after or {}
        standing = truth[h.member].get(h.key)
        for name, value in after.items():
            there = before.get(name)
            if there == value or not model.judged.same(name, there, value):
                continue
            if standing is None or standing[1][name] != value:
                continue
            others = [
                (member, values[name])
                for member, rows in truth.items()
                for person, values in rows.values()
                if person == h.person and member != h.member and name in values
            ]
            if any(other != value for _, other in others):
                coded = model.places[h.member][name].table is not None
                look = coded or letters(there) != letters(value)
                yield _hidden_note(h, name, (there, value), look, others, model)


def _hidden_note(
    h: Happening,
    name: str,
    values: tuple[Any, Any],
    look: bool,
    others: Sequence[tuple[str, Any]],
    model: Model,
) -> Note:
    there, value = values
    counts = said(model.judged.plain[name](value))
    kind = model.fields[name].kind
    rule = ", ".join(sorted(kind.folds)) or ("null" if kind.empty else kind.precision)
    ends = [f"{member} has {said(other)}" for member, other in others]
    lines = (
        f"at {h.member} somebody changes {name}: {said(there)} → {said(value)}",
        f"both count as {counts}, so that no run sees a change",
        f"at the end {h.member} has {said(value)}, " + ", ".join(ends),
    )
    clear = all(other == there for _, other in others)
    return Note("hidden", rule, (name,), "", look, lines, clear)


def letters(value: Any) -> Any:
    """What is left of a value without case, blanks and signs: another spelling has the same."""
    if isinstance(value, list):
        return sorted(letters(one) for one in value)
    text = unicodedata.normalize("NFC", "" if value is None else str(value)).casefold()
    return "".join(c for c in text if c.isalnum())
