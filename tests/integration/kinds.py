"""Which databases a test runs on, where not all of its variants need every one of them."""

from __future__ import annotations

from typing import Any

import pytest
from servers import KINDS

LOCAL = pytest.mark.parametrize("sql_kind", ["sqlite"])  # nothing of it depends on the database
SERVERS = pytest.mark.parametrize("sql_kind", ["postgresql", "mariadb"])


def mostly(name: str, *values: Any) -> pytest.MarkDecorator:
    """The first value on every database, the others on SQLite."""
    cases = [(kind, values[0]) for kind in KINDS]
    return pytest.mark.parametrize(
        ("sql_kind", name), cases + [("sqlite", value) for value in values[1:]]
    )
