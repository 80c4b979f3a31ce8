"""The world of the scenarios."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from world import World


@pytest.fixture
def world(sql_kind: str, fresh_db: Callable[[str], str], tmp_path: Path) -> Iterator[World]:
    """An empty world whose members' databases are of each kind in turn."""
    made = World(sql_kind, fresh_db, tmp_path)
    yield made
    made.close()
