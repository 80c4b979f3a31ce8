"""What runs ask the store: each statement finds its rows by a key or an index. One that looks
through a whole table costs nothing in a test and hours in a state of a million records."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, text

from syncd.simulate import campaign
from syncd.simulate.generate import script
from syncd.store import tables

# Of these there are a few dozen rows; of every other table one for each record, effect or event.
# After a change of the config every entity is looked at again.
WHOLE = "UPDATE entity SET work=? WHERE entity.flow_id = ?"
WORD = re.compile(r"\w+")
SMALL = {"counter", "fingerprint", "flow", "hold", "lease", "member", "meta", "rule", "run"}


@pytest.fixture(scope="module")
def statements() -> dict[str, Any]:
    """Everything that runs of forty lives asked the store, and values it was asked with."""
    found: dict[str, Any] = {}

    def note(
        conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> None:
        found.setdefault(statement, parameters[0] if many and parameters else parameters)

    event.listen(Engine, "before_cursor_execute", note)
    desk = campaign.desk()
    try:
        for seed in range(40):
            campaign.live(script(seed), desk)
    finally:
        event.remove(Engine, "before_cursor_execute", note)
        Engine._has_events = False  # which the removal leaves: engines made later would be heard
        desk.remove()
    return found


def test_no_statement_of_a_run_looks_through_a_whole_table(statements: dict[str, Any]) -> None:
    engine = create_engine("sqlite://")
    tables.metadata.create_all(engine)
    large = {table.name for table in tables.metadata.sorted_tables} - SMALL
    scans, asked = [], 0
    with engine.connect() as conn:
        for statement, values in statements.items():
            words = WORD.findall(statement)
            if words[0] not in ("SELECT", "UPDATE", "DELETE") or not large.intersection(words):
                continue
            if statement == WHOLE:
                continue
            asked += 1
            for *_, step in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values):
                what, table = f"{step} ?".split()[:2]
                if what == "SCAN" and table not in SMALL | {"json_each", "CONSTANT"}:
                    scans.append(f"{step}: {statement}")
    engine.dispose()
    assert asked > 40
    assert not scans, "\n\n".join(scans)


def test_a_scan_is_seen() -> None:
    """The test above can fail."""
    engine = create_engine("sqlite://")
    tables.metadata.create_all(engine)
    with engine.connect() as conn:
        (step,) = conn.execute(
            text("EXPLAIN QUERY PLAN SELECT id FROM entity WHERE (id IN (1)) = 1")
        )
    engine.dispose()
    assert step[-1].startswith("SCAN entity")
