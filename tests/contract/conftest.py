"""The worlds of the contract tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlworld import SqlWorld


@pytest.fixture
def world(sql_kind: str, sql_url: str) -> Iterator[SqlWorld]:
    """A fresh database of each kind in turn, with an empty table `people`."""
    made = SqlWorld(sql_kind, sql_url)
    yield made
    made.close()
