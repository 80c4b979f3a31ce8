"""Decisions that a run could not act on: whoever took one is told, and where it is asked again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select

from syncd.core.model import CaseKind
from syncd.store import bulk, tables
from syncd.store.cases import NO_ENTITY, PENDING_DECISION, StoredCase, case, open_cases
from syncd.store.conflicts import VOID

_D = tables.decision.c
_WAITING = select(_D.id).where(_D.flow_id == bindparam("flow"), PENDING_DECISION)
_VOIDED = (
    select(_D.case_id, _D.by).where(bulk.among(_D.id, "ids"), _D.state == VOID).order_by(_D.id)
)


@dataclass(frozen=True, slots=True)
class Voided:
    """case: the number of the conflict that was decided; again: of the one that is open about the
    same now, None where nothing is left to decide."""

    case: int
    fields: tuple[str, ...]
    by: str
    again: int | None


def waiting(conn: Connection, flow: int) -> list[int]:
    """Decisions the next run is to take."""
    return list(conn.execute(_WAITING, {"flow": flow}).scalars())


def voided(conn: Connection, ids: Sequence[int]) -> list[Voided]:
    """Those of these decisions that are void now, oldest first."""
    found = []
    for part in bulk.chunks(sorted(ids)):
        for row in conn.execute(_VOIDED, {"ids": part}).all():
            decided = case(conn, row.case_id)
            if decided is not None:
                found.append(Voided(decided.id, decided.case.fields, row.by, _again(conn, decided)))
    return found


def _again(conn: Connection, before: StoredCase) -> int | None:
    among = open_cases(conn, before.flow, entity=before.entity)
    return next((now.id for now in among if _same_matter(before, now)), None)


def _same_matter(before: StoredCase, now: StoredCase) -> bool:
    if before.id == now.id:
        return True
    if before.entity == NO_ENTITY:
        records = {(c.source, c.key) for c in before.case.candidates}
        return any((c.source, c.key) in records for c in now.case.candidates)
    if CaseKind.DELETE in (before.case.kind, now.case.kind):
        return True  # it is about the whole record
    return bool(set(before.case.fields) & set(now.case.fields))
