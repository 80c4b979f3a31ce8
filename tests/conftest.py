"""Fixtures for every test: databases that are really there.

Hypothesis explores anew at every run of `make test`. Where `CI` is set it repeats one fixed choice
of examples, so that what lands is judged by the change and not by luck.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from hypothesis import settings
from servers import KINDS, REQUIRED, ServerMissing, Servers

settings.register_profile("repeat", derandomize=True, deadline=None, print_blob=True)
if os.environ.get("CI"):
    settings.load_profile("repeat")


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """One server of each kind a process (so one a worker), started at first use."""
    with Servers() as running:
        yield running


@pytest.fixture
def fresh_db(servers: Servers) -> Iterator[Callable[[str], str]]:
    """`fresh_db("postgresql")` → URL of an empty database, dropped after the test."""
    urls: list[str] = []

    def fresh(kind: str) -> str:
        try:
            urls.append(servers.fresh(kind))
        except ServerMissing as missing:
            if REQUIRED:
                pytest.fail(str(missing))
            pytest.skip(str(missing))
        return urls[-1]

    yield fresh
    for url in urls:
        servers.drop(url)


@pytest.fixture(params=KINDS)
def sql_kind(request: pytest.FixtureRequest) -> str:
    """The test runs once on each of SQLite, PostgreSQL and MariaDB."""
    return str(request.param)


@pytest.fixture
def sql_url(sql_kind: str, fresh_db: Callable[[str], str]) -> str:
    """URL of an empty database of the kind at hand."""
    return fresh_db(sql_kind)
