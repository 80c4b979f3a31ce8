"""The adapter contract, on PostgreSQL, MariaDB and SQLite, with and without receipts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlworld import SqlWorld
from suite import AdapterContract, World

from syncd.adapter import Endpoint, EndpointSpec
from syncd_adapters.sql.generic import Generic


class TestSql(AdapterContract):
    """By key, or by the transaction's token."""


class TestSqlWithReceipts(AdapterContract):
    """By receipts in the target."""

    def open(self, world: World, **options: Any) -> Endpoint:
        return super().open(world, receipts=True, **options)


class TestAnyDialect(AdapterContract):
    """The plain path, for databases without a flavor of their own; shown on SQLite's driver."""

    @pytest.fixture
    def world(self, fresh_db: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqlWorld]:
        monkeypatch.setattr("syncd_adapters.sql.adapter._FLAVORS", {})
        made = SqlWorld("sqlite", fresh_db("sqlite"))
        yield made
        made.close()

    def test_it_is_the_plain_path(self, world: SqlWorld) -> None:
        adapter = world.adapter()
        assert isinstance(adapter._flavor, Generic)
        endpoint = adapter.open(EndpointSpec("people", ("name",), frozenset({"name"})))
        assert not endpoint.capabilities.consistent
