"""Model values to stored payloads and back, without loss. No database here.

JSON knows null but not "no value": what is `UNSET` or absent is left out. Times are text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson

from syncd.core.model import (
    UNSET,
    Agreed,
    Base,
    Candidate,
    Case,
    CaseKind,
    Fields,
    Operation,
    OpKind,
    Origin,
    Value,
)
from syncd.errors import StoreError


def stamp(at: datetime) -> str:
    """An aware datetime as canonical text, "2026-01-31T08:00:00.000000Z"; sorts as time does."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def dumps(payload: Any) -> bytes:
    """Canonical JSON. Raises StoreError for what is not JSON-native: a bug, not a user's value."""
    try:
        return orjson.dumps(payload, option=orjson.OPT_SORT_KEYS)
    except TypeError as error:
        raise StoreError(
            f"a value cannot be stored: {error}",
            code="SY0413",
            hint="values must be canonical before they reach the store; please report this",
        ) from error


def text(payload: Any) -> str:
    return dumps(payload).decode()


def loads(payload: bytes | str) -> Any:
    return orjson.loads(payload)


def same(a: Value, b: Value) -> bool:
    """Identical as stored: 1, 1.0 and true differ, which `==` does not see."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, (dict, list)):
        return dumps(a) == dumps(b)
    return bool(a == b)


# --- agreed values -------------------------------------------------------------------------


def encode_agreed(agreed: Mapping[str, Agreed]) -> tuple[bytes, bytes | None]:
    """(values, sequence and origin). The latter is one default, since fields mostly share it,
    and the fields that have another; None where nothing is agreed."""
    if not agreed:
        return b"{}", None
    values = dumps({name: a.value for name, a in agreed.items()})
    first = next(iter(agreed.values()))
    seq, origin = first.seq, first.origin
    if all(a.seq == seq and (a.origin is origin or a.origin == origin) for a in agreed.values()):
        return values, _usual(seq, origin)
    facts = {name: (a.seq, a.origin) for name, a in agreed.items()}
    usual = Counter(facts.values()).most_common(1)[0][0]
    others = {name: _fact(*fact) for name, fact in facts.items() if fact != usual}
    return values, dumps({"*": _fact(*usual), "f": others})


@lru_cache(maxsize=1024)
def _usual(seq: int, origin: Origin) -> bytes:
    return dumps({"*": _fact(seq, origin)})


def decode_agreed(values: bytes, meta: bytes | None) -> dict[str, Agreed]:
    if meta is None:
        return {}
    parsed = loads(meta)
    seq, origin = _unfact(parsed["*"])
    others = {name: _unfact(fact) for name, fact in parsed.get("f", {}).items()}
    agreed: dict[str, Agreed] = {}
    for name, value in loads(values).items():
        own = others.get(name)
        agreed[name] = Agreed(value, seq, origin) if own is None else Agreed(value, *own)
    return agreed


def _fact(seq: int, origin: Origin) -> list[Any]:
    return [seq, origin.member, origin.run, origin.rule, origin.at]


def _unfact(fact: Sequence[Any]) -> tuple[int, Origin]:
    return fact[0], Origin(member=fact[1], run=fact[2], rule=fact[3], at=fact[4])


# --- bases ---------------------------------------------------------------------------------


def encode_base(bases: Mapping[str, Base], agreed: Mapping[str, Agreed]) -> bytes | None:
    """None: every agreed field has exactly its agreed value and sequence as base.

    Otherwise the fields in step by name ("="), which a member mapping fewer fields needs only
    once, and the others in full ("!").
    """
    others = None
    for name, base in bases.items():  # most links leave this loop without one
        a = agreed.get(name)
        if (
            a is None
            or base.seq != a.seq
            or base.unproven
            or base.sent is not UNSET
            or base.seen is not UNSET
            or not (base.value is a.value or same(base.value, a.value))
        ):
            others = others or {}
            others[name] = _explicit(base)
    if others is None and len(bases) == len(agreed):
        return None
    others = others or {}
    payload: dict[str, Any] = {}
    if len(others) < len(bases):
        payload["="] = sorted(name for name in bases if name not in others)
    if others:
        payload["!"] = others
    return dumps(payload)


def decode_base(payload: bytes | None, agreed: Mapping[str, Agreed]) -> dict[str, Base]:
    if payload is None:
        return {name: Base(a.value, a.seq) for name, a in agreed.items()}
    parsed = loads(payload)
    bases = {name: Base(agreed[name].value, agreed[name].seq) for name in parsed.get("=", ())}
    for name, facts in parsed.get("!", {}).items():
        bases[name] = Base(
            value=facts["v"],
            seq=facts["s"],
            unproven="u" in facts,
            sent=facts.get("sent", UNSET),
            seen=facts.get("seen", UNSET),
            beside=tuple(facts.get("with", ())),
        )
    return bases


def _explicit(base: Base) -> dict[str, Any]:
    facts: dict[str, Any] = {"v": base.value, "s": base.seq}
    if base.unproven:
        facts["u"] = 1
    if base.sent is not UNSET:
        facts["sent"] = base.sent
    if base.beside:
        facts["with"] = list(base.beside)
    if base.seen is not UNSET:
        facts["seen"] = base.seen
    return facts


# --- operations ----------------------------------------------------------------------------


def encode_operation(operation: Operation, *, derived: bool = False) -> bytes:
    """derived: `fields` and `seqs` are the entity's agreed ones; only their names are kept."""
    payload: dict[str, Any] = {"kind": operation.kind.value, "member": operation.member}
    if derived:
        payload["derived"] = sorted(operation.fields)
    else:
        payload["fields"] = dict(operation.fields)
        payload["seqs"] = dict(operation.seqs)
    for name in ("key", "version"):
        if (value := getattr(operation, name)) is not None:
            payload[name] = value
    for name in ("cause", "rebase"):
        if value := getattr(operation, name):
            payload[name] = value
    for name in ("expect", "before", "reasons"):
        if value := getattr(operation, name):
            payload[name] = dict(value)
    for name in ("blanks", "first_sight"):
        if value := getattr(operation, name):
            payload[name] = list(value)
    return dumps(payload)


def decode_operation(parsed: dict[str, Any], agreed: Mapping[str, Agreed]) -> Operation:
    """parsed: what `loads` made of it; agreed: the entity's, for one with "derived" in it."""
    if "derived" in parsed:
        known = {name: agreed[name] for name in parsed["derived"] if name in agreed}
        parsed["fields"] = {name: a.value for name, a in known.items()}
        parsed["seqs"] = {name: a.seq for name, a in known.items()}
    return Operation(
        member=parsed["member"],
        kind=OpKind(parsed["kind"]),
        key=parsed.get("key"),
        fields=parsed["fields"],
        expect=parsed.get("expect", {}),
        seqs=parsed["seqs"],
        before=parsed.get("before", {}),
        version=parsed.get("version"),
        cause=parsed.get("cause", ""),
        reasons=parsed.get("reasons", {}),
        blanks=tuple(parsed.get("blanks", ())),
        first_sight=tuple(parsed.get("first_sight", ())),
        rebase=parsed.get("rebase", False),
    )


# --- cases ---------------------------------------------------------------------------------


def encode_candidates(candidates: Sequence[Candidate]) -> str:
    return text([[c.source, _fields(c.values), c.key, c.seq, c.at, c.heard] for c in candidates])


def decode_candidates(payload: str) -> tuple[Candidate, ...]:
    return tuple(Candidate(*facts) for facts in loads(payload))


def decode_case(row: Any) -> Case:
    """A row of the table of cases, without what the store adds to it."""
    return Case(
        kind=CaseKind(row.kind),
        fields=tuple(loads(row.fields)),
        candidates=decode_candidates(row.candidates),
        reason=row.reason,
        digest=row.digest,
        member=row.member or None,
    )


def _fields(fields: Fields | None) -> dict[str, Value] | None:
    return None if fields is None else dict(fields)
