"""Settling writes of a process that is dead, after people went on editing its rows.

A row edited since proves that the write happened, never what it became: its values must not pass
for what the write left there, or the edit would be taken for known (law 5).
"""

from __future__ import annotations

from typing import Any

import pytest
from sqlworld import SqlWorld
from suite import create, go, key, update

from syncd.adapter import Outcome, Status
from syncd_adapters.sql.faults import Fault, FaultKind
from syncd_adapters.sql.writing import CommitRefused

FIELDS = ("name", "email")


class Dead(Exception):
    """Stands for the kill."""


@pytest.mark.parametrize("receipts", [False, True])
def test_f17_f51_an_update_edited_since_is_no_proof_of_what_stands_there(
    world: SqlWorld, receipts: bool
) -> None:
    number = world.add(name="old", email="e")
    endpoint = world.open("people", FIELDS, receipts=receipts)
    tokens: list[str] = []
    endpoint.apply([update("u", number, name="ours")], go, tokens.append)
    world.run(f"UPDATE people SET name = 'theirs' WHERE id = {number}")
    (found,) = endpoint.settle([update("u", number, name="ours")], (tokens or [""])[-1] or None)
    assert found.after is None
    if receipts or world.kind == "postgresql":
        assert found.status is Status.APPLIED
    else:
        assert found.status is not Status.STALE, "it did happen"


@pytest.mark.parametrize("receipts", [False, True])
def test_f17_creates_edited_or_deleted_since_are_told_apart(
    world: SqlWorld, receipts: bool
) -> None:
    """Several of them, so that their values tell nothing any more."""
    endpoint = world.open("people", ("name",), receipts=receipts)
    writes = [create(f"c{n}", name=f"n{n}") for n in range(4)]
    tokens: list[str] = []
    done = endpoint.apply(writes, go, tokens.append)
    ids = [int(o.after.values["id"]) if "id" in o.after.values else 0 for o in done if o.after]
    assert len(ids) == 4
    rows = sorted(world.all())
    world.run(f"UPDATE people SET name = 'x' WHERE id IN ({rows[0]}, {rows[1]})")
    world.run(f"DELETE FROM people WHERE id = {rows[2]}")
    found = endpoint.settle(writes, (tokens or [""])[-1] or None)
    if receipts or world.kind == "postgresql":
        assert [(o.status, o.key) for o in found] == [(Status.APPLIED, o.key) for o in done]
    assert [o.after is None for o in found] == [True, True, True, False]
    assert found[3].key == key(rows[3])
    assert Status.STALE not in {o.status for o in found}, "a create repeated is a duplicate"


def test_f17_a_batch_committed_in_halves_is_told_by_both_transactions(
    world: SqlWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """COMMIT refuses the whole (deferred constraints), the first half is committed, the process
    dies before the second is."""
    endpoint = world.open("people", ("name",))
    commit = endpoint._writer._commit

    def refused(connection: Any, outcomes: dict[str, Outcome]) -> dict[str, Outcome]:
        monkeypatch.setattr(endpoint._writer, "_commit", commit)
        endpoint._flavor.rollback(connection)
        raise CommitRefused(Fault(FaultKind.REFUSED, "a deferred constraint"))

    monkeypatch.setattr(endpoint._writer, "_commit", refused)
    tokens: list[str] = []

    def journal(token: str) -> None:
        tokens.append(token)
        if len(tokens) == 3:  # the whole, the first half, the second half
            raise Dead

    writes = [create(f"c{n}", name=f"n{n}") for n in range(4)]
    with pytest.raises(Dead):
        endpoint.apply(writes, go, journal)
    assert sorted(row["name"] for row in world.all().values()) == ["n0", "n1"]
    found = endpoint.settle(writes, tokens[-1])
    statuses = [outcome.status for outcome in found]
    assert statuses[:2] == [Status.APPLIED, Status.APPLIED]
    assert Status.APPLIED not in statuses[2:]
    if world.kind == "postgresql":
        assert statuses[2:] == [Status.STALE, Status.STALE]
