"""Connectors are found by name; what cannot be found or loaded is said."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest

from syncd.errors import ConfigError
from syncd.registry import GROUP, Registry


def point(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, GROUP)


def refused(registry: Registry, name: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        registry.factory(name, where="syncd.toml:3")
    assert caught.value.where == "syncd.toml:3"
    return caught.value


def test_the_bundled_connector_is_found() -> None:
    assert "sql" in Registry().names()


def test_a_factory_is_loaded_by_its_name() -> None:
    found: object = Registry([point("x", "builtins:dict")]).factory("x")
    assert found is dict


def test_an_unknown_connector_has_the_nearest_name() -> None:
    error = refused(Registry([point("sql", "builtins:dict")]), "sqll")
    assert error.code == "SY0150" and "`sql`" in error.hint


def test_one_name_offered_by_two_packages_is_reported() -> None:
    registry = Registry([point("x", "builtins:dict"), point("x", "builtins:list")])
    error = refused(registry, "x")
    assert error.code == "SY0151" and "builtins:list" in str(error)
    twice = Registry([point("x", "builtins:dict"), point("x", "builtins:dict")])
    found: object = twice.factory("x")
    assert found is dict, "the same package seen twice is none"


@pytest.mark.parametrize("value", ["no_such_module:f", "builtins:no_such_name", "math:pi"])
def test_a_connector_that_cannot_be_loaded_is_reported(value: str) -> None:
    assert refused(Registry([point("x", value)]), "x").code == "SY0152"


def test_a_connector_of_this_process_comes_first() -> None:
    def mine(context: Any) -> Any:
        return context

    registry = Registry([point("x", "builtins:dict")])
    registry.add("x", mine)
    assert registry.factory("x") is mine
