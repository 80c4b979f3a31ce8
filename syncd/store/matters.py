"""What stands open in a flow, asked in one statement: where nothing does, a run need not look for
it record by record."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import BindParameter, ColumnElement, Connection, bindparam, exists, select

from syncd.store import tables
from syncd.store.cases import NOT_CLOSED, PENDING_DECISION
from syncd.store.entities import OPEN_WORK
from syncd.store.holds import HOLD_NOT_CLOSED
from syncd.store.journal import OUTCOME_IS_OPEN, UNSETTLED
from syncd.store.quarantine import QUARANTINED


class Matters(NamedTuple):
    """cases: not closed; decided: decisions that wait for a run; holds: not closed; refused: in
    quarantine; unknown: operations without a known outcome; work: entities to be looked at."""

    cases: bool
    decided: bool
    holds: bool
    refused: bool
    unknown: bool
    work: bool


UNASKED = Matters(True, True, True, True, True, True)  # there may be any

_FLOW: BindParameter[Any] = bindparam("flow")


def _any(table: Any, *words: Any) -> ColumnElement[bool]:
    return exists(select(table.c.id).where(table.c.flow_id == _FLOW, *words))


_LOOK = select(
    _any(tables.case_, NOT_CLOSED),
    _any(tables.decision, PENDING_DECISION),
    _any(tables.hold, HOLD_NOT_CLOSED),
    _any(tables.quarantine, QUARANTINED),
    _any(tables.operation, UNSETTLED, OUTCOME_IS_OPEN),
    _any(tables.entity, OPEN_WORK),
)


def look(conn: Connection, flow: int) -> Matters:
    return Matters(*conn.execute(_LOOK, {"flow": flow}).one())
