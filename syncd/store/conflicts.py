"""Conflicts: the cases that policies leave open (`syncd.store.cases`), and what people decide.

A decision names the digest of the case it was shown; it is refused, or void, for any other (S4,
F71). It waits for the next run of its entity: that run uses it, or finds that it cannot.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, select

from syncd.core.model import Case, Choice, Decision, Fields
from syncd.errors import ConfigError
from syncd.store import bulk, codec, tables
from syncd.store.cases import (
    CLOSED,
    DECIDED,
    NO_ENTITY,
    NOT_CLOSED,
    OPEN,
    PENDING_DECISION,
    StoredCase,
    case,
    cases_of,
    close_unseen,
    count_open,
    new_of_none,
    open_cases,
    sync_cases,
)
from syncd.store.entities import mark_work

__all__ = [
    "CLOSED",
    "DECIDED",
    "NO_ENTITY",
    "OPEN",
    "PENDING",
    "USED",
    "VOID",
    "Answer",
    "StoredCase",
    "StoredDecision",
    "case",
    "cases_of",
    "close_unseen",
    "count_open",
    "decide",
    "decided_entities",
    "decisions_of",
    "new_of_none",
    "open_cases",
    "pending_decisions",
    "pending_of_none",
    "sync_cases",
    "use",
    "void",
]

PENDING = "pending"
USED = "used"
VOID = "void"

_C, _D = tables.case_.c, tables.decision.c
_FLOW: BindParameter[Any] = bindparam("flow")
_OF_CASE = select(tables.decision).where(_D.case_id == bindparam("case")).order_by(_D.id)
_PENDING = (
    select(tables.decision)
    .where(_D.flow_id == _FLOW, bulk.among(_D.entity_id, "entities"), PENDING_DECISION)
    .order_by(_D.id)
)
_PENDING_OF_NONE = bulk.page(
    select(tables.decision).where(_D.flow_id == _FLOW, _D.entity_id == NO_ENTITY, PENDING_DECISION),
    _D.id,
)
_DECIDED = bulk.page(
    select(_D.entity_id).where(_D.flow_id == _FLOW, PENDING_DECISION).distinct(), _D.entity_id
)
_CASES_DECIDED = _C.id.in_(select(_D.case_id).where(bulk.among(_D.id, "ids")))
_CLOSE = (
    tables.case_.update()
    .where(_CASES_DECIDED, NOT_CLOSED)
    .values(state=CLOSED, closed_run=bindparam("run"))
)
_REOPEN = (
    tables.case_.update().where(_CASES_DECIDED, _C.state == DECIDED, NOT_CLOSED).values(state=OPEN)
)
_VOID = (
    tables.decision.update()
    .where(bulk.among(_D.id, "ids"), PENDING_DECISION)
    .values(state=VOID, note=bindparam("why"))
)


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """state: PENDING (the next run takes it), USED, or VOID, with the reason in `note`."""

    decision: Decision
    case: int
    flow: int
    entity: int
    at: str
    state: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person chose; the fields are those of `model.Decision`."""

    choice: Choice
    by: str
    source: str | None = None
    values: Fields = field(default_factory=dict)
    keys: tuple[tuple[str, str], ...] = ()
    note: str = ""


def decisions_of(conn: Connection, case_id: int) -> list[StoredDecision]:
    """Every decision ever taken on the case, oldest first."""
    return [_decision(row) for row in conn.execute(_OF_CASE, {"case": case_id})]


# --- what people decide --------------------------------------------------------------------


def decide(conn: Connection, case_id: int, digest: str, answer: Answer, *, at: str) -> Decision:
    """Record a decision for the next run; an earlier one that waits is replaced.

    digest: of the case as the person saw it. Raises ConfigError: SY0192 no such case, SY0193 it
    is closed, SY0194 its candidates moved since, SY0195 the answer does not fit the case.
    """
    stored = case(conn, case_id)
    if stored is None:
        raise ConfigError(
            f"there is no case {case_id}", code="SY0192", hint="see `syncd conflicts list`"
        )
    where = f"case {case_id}"
    if stored.state == CLOSED:
        raise ConfigError(
            "it is closed already", code="SY0193", where=where, hint="see `syncd conflicts list`"
        )
    if stored.case.digest != digest:
        raise ConfigError(
            "its records changed since they were shown",
            code="SY0194",
            where=where,
            hint=f"look again with `syncd conflicts show {case_id}`, then decide",
        )
    _check(stored.case, answer, where)
    _void(conn, [d.decision.id for d in decisions_of(conn, case_id)], "replaced by a later one")
    (number,) = bulk.allocate(conn, "decision")
    conn.execute(
        tables.decision.insert().values(
            id=number,
            case_id=case_id,
            flow_id=stored.flow,
            entity_id=stored.entity,
            digest=digest,
            choice=answer.choice.value,
            source=answer.source,
            values=codec.text(dict(answer.values)),
            keys=codec.text([list(pair) for pair in answer.keys]),
            by=answer.by,
            at=at,
            state=PENDING,
            note=answer.note,
        )
    )
    bulk.update(conn, tables.case_, ("id",), ("state",), [(case_id, DECIDED)])
    if stored.entity != NO_ENTITY:
        mark_work(conn, {stored.entity: True})
    return Decision(
        number, digest, answer.choice, answer.by, answer.source, dict(answer.values), answer.keys
    )


def _check(case: Case, answer: Answer, where: str) -> None:
    sources = [c.source for c in case.candidates if c.heard]
    problem = ""
    if answer.choice is Choice.TAKE and answer.source not in sources:
        problem = f"{answer.source or 'nobody'} is none of its candidates ({', '.join(sources)})"
        if any(c.source == answer.source for c in case.candidates):
            problem = f"{answer.source} has no authority over {', '.join(case.fields)}"
    unknown = sorted(set(answer.values) - set(case.fields))
    if answer.choice is Choice.VALUE and (unknown or not answer.values):
        named = ", ".join(unknown) or "no field"
        problem = f"a value was given for {named}; it is about {', '.join(case.fields)}"
    if problem:
        raise ConfigError(problem, code="SY0195", where=where, hint="see `syncd conflicts show`")


def pending_decisions(
    conn: Connection, flow: int, entities: Sequence[int]
) -> dict[int, list[Decision]]:
    """What people decided for these entities (NO_ENTITY: for cases of identity) and no run has
    taken yet, oldest first."""
    found: dict[int, list[Decision]] = {}
    for part in bulk.chunks(sorted(set(entities))):
        for row in conn.execute(_PENDING, {"flow": flow, "entities": part}):
            found.setdefault(row.entity_id, []).append(_decision(row).decision)
    return found


def pending_of_none(conn: Connection, flow: int) -> Iterator[list[Decision]]:
    """`pending_decisions` for cases of no entity, in blocks."""
    for block in bulk.pages(conn, _PENDING_OF_NONE, {"flow": flow}):
        yield [_decision(row).decision for row in block]


def decided_entities(conn: Connection, flow: int) -> Iterator[list[int]]:
    """Entities with a decision that no run has taken yet, ascending; NO_ENTITY left out."""
    for block in bulk.pages(conn, _DECIDED, {"flow": flow}):
        yield [entity for (entity,) in block]


def use(conn: Connection, ids: Sequence[int], *, run: int) -> None:
    """A run acts on these decisions, in this transaction; their cases are closed with it. Call it
    before `sync_cases`, which voids decisions whose case it does not find any more."""
    bulk.update(conn, tables.decision, ("id",), ("state",), [(i, USED) for i in ids])
    for part in bulk.chunks(ids):
        conn.execute(_CLOSE, {"ids": part, "run": run})


def void(conn: Connection, ids: Sequence[int], note: str = "its records changed since") -> None:
    """A run cannot act on these decisions; cases among them that are still there are open again."""
    _void(conn, ids, note)
    for part in bulk.chunks(ids):
        conn.execute(_REOPEN, {"ids": part})


def _void(conn: Connection, ids: Sequence[int], note: str) -> None:
    for part in bulk.chunks(ids):
        conn.execute(_VOID, {"ids": part, "why": note})


# --- rows and values -----------------------------------------------------------------------


def _decision(row: Any) -> StoredDecision:
    return StoredDecision(
        decision=Decision(
            id=row.id,
            digest=row.digest,
            choice=Choice(row.choice),
            by=row.by,
            source=row.source,
            values=codec.loads(row.values),
            keys=tuple((member, key) for member, key in codec.loads(row.keys)),
        ),
        case=row.case_id,
        flow=row.flow_id,
        entity=row.entity_id,
        at=row.at,
        state=row.state,
        note=row.note,
    )
