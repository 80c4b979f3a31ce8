"""docs/cli.md is true: every command has its place there, every JSON shape is the real one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cliworld import World
from test_cli_basics import commands

from syncd.cli.failure import ORDER
from syncd.cli.main import cli

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text("utf-8")
SHAPES: dict[str, Any] = {
    kind: json.loads(text)
    for kind, text in re.findall(r"^### `([a-z ]+)`\n.*?```json\n(.*?)```", PAGE, re.S | re.M)
}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def documents(world: World) -> Iterator[tuple[str, Any]]:
    """One document of every kind, from a morning with everything in it."""

    def one(*words: str) -> Any:
        result = world.run(*words, "--json")
        document = json.loads(result.stdout)
        assert document["exit"] == result.exit_code
        return document["kind"], document

    yield one("reconcile", "nobody")
    yield one("init", "-s", "crm=sqlite:///crm.db", "-s", "erp=sqlite:///erp.db", "--output", "n")
    world.change("[flows.people.fields]", "guard = { deletes = 0 }\n[flows.people.fields]")
    yield one("check")
    yield one("completion", "bash")
    yield one("--version")
    yield one("simulate", "--seeds", "6", "--habit", "crm.name=upper", "--habit", "erp.name=lower")
    world.synced(20)
    world.sql(
        "erp",
        "CREATE TRIGGER no_bad BEFORE UPDATE ON customers WHEN NEW.full_name = 'Bad'"
        " BEGIN SELECT RAISE(ABORT, 'bad name'); END",
    )
    world.sql("crm", "UPDATE contacts SET name = 'X' WHERE id = 1")
    world.sql("erp", "UPDATE customers SET full_name = 'Y' WHERE no = 101")
    world.sql("crm", "UPDATE contacts SET name = 'Bad' WHERE id = 2")
    world.sql("crm", "DELETE FROM contacts WHERE id = 3")
    world.sql("crm", "UPDATE contacts SET name = 'Fine' WHERE id = 4")
    one("reconcile", "--plan", "plan.jsonl")
    world.sql("crm", "UPDATE contacts SET name = 'Finer' WHERE id = 4")
    yield one("apply", "plan.jsonl")
    yield one("reconcile")
    yield one("status")
    yield one("runs")
    yield one("runs", "show", "2")
    yield one("conflicts", "list")
    yield one("conflicts", "resolve", "1", "--take", "crm")
    yield one("conflicts", "show", "1")
    yield one("holds", "list")
    yield one("holds", "show", "1")
    yield one("holds", "approve", "1", "--confirm", "people")
    world.sql("crm", "DELETE FROM contacts WHERE id = 9")
    one("reconcile")
    yield one("holds", "discard", "2")
    yield one("quarantine", "list")
    yield one("quarantine", "retry", "1")
    yield one("quarantine", "drop", "1")
    yield one("links", "list", "people")
    yield one("links", "show", "people", "crm:1")
    yield one("links", "unlink", "people", "crm:5")
    yield one("links", "link", "people", "crm:5", "erp:105")
    yield one("links", "split", "people", "crm:6")
    yield one("links", "merge", "people", "crm:6", "erp:106")
    yield one("links", "never", "people", "crm:7", "crm:8")
    yield one("state", "doctor", "--accept", "erp")
    yield one("state", "upgrade")
    yield one("state", "rebuild", "--yes")
    one("reconcile", "--yes")
    yield one("state", "confirm", "people")


def test_every_kind_of_document_has_the_shape_that_is_documented(world: World) -> None:
    seen = set()
    for kind, document in documents(world):
        assert kind in SHAPES, f"docs/cli.md has no shape of `{kind}`"
        seen.add(kind)
        assert list(differs(SHAPES[kind], document, kind)) == []
    assert seen == set(SHAPES)


def test_the_saved_plan_is_documented_line_by_line(world: World) -> None:
    world.synced(2)
    world.sql("crm", "UPDATE contacts SET name = 'X' WHERE id = 1")
    world.ok("reconcile", "--plan", "plan.jsonl")
    found = re.search(r"^## A saved plan\n.*?```jsonl\n(.*?)```", PAGE, re.S | re.M)
    assert found is not None
    documented = [json.loads(line) for line in found.group(1).splitlines()]
    real = [json.loads(line) for line in Path("plan.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in real] == [line["kind"] for line in documented]
    for ours, theirs in zip(documented, real, strict=True):
        assert list(differs(ours, theirs, ours["kind"])) == []


@pytest.mark.parametrize("way", list(commands(cli)), ids=" ".join)
def test_every_command_is_on_the_page(way: tuple[str, ...]) -> None:
    assert f"syncd {' '.join(way)}" in PAGE


def test_every_exit_code_is_on_the_page() -> None:
    rows = re.findall(r"^\| (\d+) \|", PAGE, re.M)
    assert sorted(map(int, rows)) == sorted(ORDER)


def differs(documented: Any, real: Any, where: str) -> Iterator[str]:
    """What a reader of the page would not expect. `<…>` stands for any name; null for "null, or
    what the text says"."""
    if documented is None or real is None:
        return
    if isinstance(documented, dict):
        if not isinstance(real, dict):
            yield f"{where} is {type(real).__name__}"
            return
        placeholder = next((key for key in documented if key.startswith("<")), None)
        if placeholder is None and set(real) != set(documented):
            yield f"{where}: {sorted(set(real) ^ set(documented))}"
        for key, value in real.items():
            shape = documented[placeholder] if placeholder else documented.get(key)
            yield from differs(shape, value, f"{where}.{key}")
    elif isinstance(documented, list):
        if not isinstance(real, list):
            yield f"{where} is {type(real).__name__}"
        elif documented:
            for index, value in enumerate(real):
                yield from differs(documented[0], value, f"{where}[{index}]")
    elif type(real) is not type(documented) and {type(real), type(documented)} != {int, float}:
        yield f"{where} is {type(real).__name__}, not {type(documented).__name__}"
