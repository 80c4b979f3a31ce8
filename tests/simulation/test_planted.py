"""The simulator finds what it is there to find: each planted defect breaks its own law in a life
that `search.py` found, and nothing is broken there without it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest
from defects import DEFECTS
from search import known, shown

from syncd.simulate.campaign import desk, live
from syncd.simulate.generate import script
from syncd.simulate.process import Desk

CAUGHT = known()


@pytest.fixture(scope="module")
def here() -> Iterator[Desk]:
    made = desk()
    yield made
    made.remove()


@cache
def sound(seed: int, here: Desk) -> list[str]:
    """What the life of this seed breaks as the program is."""
    return live(script(seed), here).broken


def test_there_are_enough_of_them() -> None:
    """Of some the sides say nothing: they are equal at the end."""
    assert len(DEFECTS) >= 45
    assert sum(defect.equal for defect in DEFECTS.values()) >= 10
    assert {defect.law for defect in DEFECTS.values()} >= {
        "I1", "I2", "I3", "I4", "I5", "I6", "I7", "I9", "I11", "I14", "I15", "I16", "I17",
    }  # fmt: skip


def test_all_of_them_are_in_the_table() -> None:
    assert set(CAUGHT) == set(DEFECTS)
    for name, said in CAUGHT.items():
        assert (said.law, said.equal) == (DEFECTS[name].law, DEFECTS[name].equal), name
        assert said.seed < 2000


@pytest.mark.parametrize("name", [name for name in DEFECTS if name in CAUGHT])
def test_it_is_caught(name: str, here: Desk) -> None:
    """By the law that it breaks and by no error; where it is said to, with all sides equal."""
    defect, seed = DEFECTS[name], CAUGHT[name].seed
    with defect.planted():
        found = live(script(seed), here).broken
    assert shown(defect, found), found
    assert sound(seed, here) == []
