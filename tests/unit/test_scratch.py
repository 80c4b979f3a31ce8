"""The scratch of a run: in memory while it is small, in a file once it is not."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from syncd.core.model import Record
from syncd.errors import StoreUnwritable
from syncd.store.stage import Stage

Row = tuple[str, str, int, str, Record, str]


def stage(folder: Path) -> Stage:
    return Stage(folder, threading.RLock())


def rows(first: int, last: int) -> list[Row]:
    return [
        ("a", str(n), 0, "seen", Record(str(n), {"name": f"{n}" * 40}), "")
        for n in range(first, last)
    ]


def test_small_runs_write_no_file(tmp_path: Path) -> None:
    one = stage(tmp_path)
    one.add_seen(rows(0, 100))
    assert list(tmp_path.iterdir()) == []
    assert [s.record for block in one.free() for s in block] == [r[4] for r in rows(0, 100)]
    one.close()


def test_a_big_one_moves_into_a_file_and_loses_nothing_on_the_way(tmp_path: Path) -> None:
    one = stage(tmp_path)
    one.add_todo(range(5000))
    reading = one.todo()
    before = next(reading)
    for first in range(0, 30_000, 1000):
        one.add_seen(rows(first, first + 1000))
    assert len(list(tmp_path.iterdir())) == 1
    assert before + [i for ids in reading for i in ids] == list(range(5000))
    found = [s.record for block in one.free() for s in block]
    assert found == [r[4] for r in rows(0, 30_000)]
    one.index_seen()
    assert [s.key for s in one.seen([1, 30_000])] == ["0", "29999"]
    one.close()
    assert list(tmp_path.iterdir()) == []


def test_the_next_run_finds_nothing_of_the_one_before(tmp_path: Path) -> None:
    one = stage(tmp_path)
    one.add_seen(rows(0, 10))
    one.add_units([(7, "unit")])
    one.block([1])
    rest = one.free_names()
    next(rest)
    one.close()
    two = stage(tmp_path)
    assert two.count() == 0
    assert list(two.units()) == []
    assert two.blocked([1]) == set()
    two.add_seen(rows(5, 6))
    assert two.last_id() == 1
    with pytest.raises(StoreUnwritable):
        one.add_seen(rows(20, 30))
    with pytest.raises(StoreUnwritable):
        list(one.linked())
    assert two.count() == 1
    two.close()
