"""Who may import whom, and what nobody reaches except through the seams."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Imports go down only: a part may import the parts of lower floors, and itself.
FLOORS: dict[str, int] = {
    "syncd.errors": 0,
    "syncd.seams": 0,
    "syncd.findings": 0,
    "syncd.core": 1,
    "syncd.adapter": 2,
    "syncd.secrets": 2,
    "syncd.transport": 2,
    "syncd.log": 3,
    "syncd.config": 3,
    "syncd.registry": 4,
    "syncd.store": 4,
    "syncd.engine": 5,
    "syncd.host": 5,
    "syncd.daemon": 6,
    "syncd.simulate": 6,
    "syncd.cli": 7,
}

ADAPTERS_MAY = ("syncd.adapter", "syncd.core", "syncd.errors", "syncd.seams", "syncd_adapters")
MIGRATIONS_MAY = ("syncd_migrations",)

# What the pure core stands on: values in, values out.
CORE_MAY = {
    "__future__", "abc", "array", "base64", "binascii", "bisect", "collections", "contextlib",
    "copy", "dataclasses", "datetime", "decimal", "difflib", "enum", "fractions", "functools",
    "hashlib", "heapq", "itertools", "json", "math", "operator", "orjson", "re", "string",
    "struct", "types", "typing", "unicodedata", "uuid", "xxhash", "zoneinfo",
}  # fmt: skip

BANNED = {
    "threading", "_thread", "multiprocessing", "concurrent", "asyncio", "sched", "queue",
    "time", "random", "secrets", "signal", "select",
}  # fmt: skip
BANNED_CALLS = {("uuid", "uuid1"), ("uuid", "uuid4"), ("os", "urandom"), ("os", "fork")}
CLOCK_CALLS = {"now", "utcnow", "today"}
CLOCKS = ("clock", "_clock", "func")  # our seam, and a database's own clock in a query

# (file, what) → why it truly needs it
ALLOWED: dict[tuple[str, str], str] = {
    ("syncd/host.py", "*"): "the one place with the real clock, random numbers and threads",
    ("syncd/engine/failpoint.py", "signal"): "ends its own process at a named point, for tests",
    ("syncd/simulate/clock.py", "random"): "the one source of chance of a simulated world",
    ("syncd/simulate/tasks.py", "threading"): "simulated tasks, one at a time",
    ("syncd/simulate/campaign.py", "concurrent"): "plays lives in several processes",
    ("syncd/simulate/own/course.py", "concurrent"): "the same for lives of a user's flow",
    ("syncd/transport.py", "httpx"): "the one place that speaks HTTP",
}


@dataclass(frozen=True)
class Import:
    file: str
    line: int
    module: str
    name: str = ""

    @property
    def full(self) -> str:
        return f"{self.module}.{self.name}" if self.name else self.module

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.full}"


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[1:] if parts[0] in ("adapters", "migrations") else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(path: Path, node: ast.AST) -> Iterator[Import]:
    file = str(path.relative_to(ROOT))
    for found in ast.walk(node):
        if isinstance(found, ast.Import):
            for alias in found.names:
                yield Import(file, found.lineno, alias.name)
        elif isinstance(found, ast.ImportFrom):
            assert not found.level, f"{file}:{found.lineno} imports relatively; write it out"
            for alias in found.names:
                yield Import(file, found.lineno, found.module or "", alias.name)


def floor(name: str) -> tuple[str, int] | None:
    """The part a dotted name belongs to."""
    for part, height in FLOORS.items():
        if name == part or name.startswith(part + "."):
            return part, height
    return None


def within(name: str, parts: tuple[str, ...]) -> bool:
    return any(name == part or name.startswith(part + ".") for part in parts)


def allowed(file: str, what: str) -> bool:
    return (file, "*") in ALLOWED or (file, what) in ALLOWED


def upward(path: Path, node: ast.AST) -> list[str]:
    mine = floor(module_of(path))
    found = []
    for each in imports(path, node):
        if not within(each.module, ("syncd", "syncd_adapters")):
            continue
        other = floor(each.full) or floor(each.module)
        if each.full in ("syncd", "syncd.__version__") or mine is None:
            continue  # the package itself, which only tells its version
        if other is None or (other[0] != mine[0] and other[1] > mine[1]):
            found.append(str(each))
        elif other[0] != mine[0] and other[1] == mine[1] and mine[1] in (4, 6, 7):
            found.append(f"{each}: side by side, not on each other")
    return found


def reaching_out(path: Path, node: ast.AST) -> list[str]:
    """Clocks, random numbers, threads and HTTP that do not come through the seams."""
    file = str(path.relative_to(ROOT))
    found = []
    for each in imports(path, node):
        top = each.module.split(".")[0]
        if top in BANNED and not allowed(file, top):
            found.append(str(each))
        if top in ("httpx", "httpcore", "requests") and not allowed(file, top):
            found.append(str(each))
        if (each.module, each.name) in BANNED_CALLS and not allowed(file, each.full):
            found.append(str(each))
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
            base = call.func.value
            of = base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")
            name = call.func.attr
            wrong = (of, name) in BANNED_CALLS or (name in CLOCK_CALLS and of not in CLOCKS)
            if wrong and not allowed(file, f"{of}.{name}"):
                found.append(f"{file}:{call.lineno} calls {of}.{name}")
    return found


def impure(path: Path, node: ast.AST) -> list[str]:
    found = []
    for each in imports(path, node):
        if within(each.module, ("syncd",)):
            if not within(each.full, ("syncd.core", "syncd.errors", "syncd.seams")):
                found.append(str(each))
        elif each.module.split(".")[0] not in CORE_MAY:
            found.append(str(each))
    for call in ast.walk(node):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            continue
        if call.func.id in ("open", "print", "input", "exec", "eval", "__import__"):
            found.append(f"{path.relative_to(ROOT)}:{call.lineno} calls {call.func.id}")
    return found


def all_of(check: object, *folders: str) -> list[str]:
    assert callable(check)
    return [text for path in sources(*folders) for text in check(path, tree(path))]


def test_every_part_has_a_floor() -> None:
    parts = {module_of(path) for path in sources("syncd")} - {"syncd"}
    assert not {part for part in parts if floor(part) is None}


def test_imports_go_down_only() -> None:
    assert all_of(upward, "syncd") == []


def test_adapters_see_the_contract_only() -> None:
    found = [
        str(each)
        for path in sources("adapters")
        for each in imports(path, tree(path))
        if within(each.module, ("syncd", "syncd_adapters", "syncd_migrations"))
        and not within(each.full, ADAPTERS_MAY)
    ]
    assert found == []


def test_nothing_in_syncd_imports_an_adapter() -> None:
    found = [
        str(each)
        for path in sources("syncd")
        for each in imports(path, tree(path))
        if within(each.module, ("syncd_adapters",))
    ]
    assert found == []


def test_migrations_stand_alone() -> None:
    """A migration must mean the same in every later version, so it uses nothing that changes."""
    found = [
        str(each)
        for path in sources("migrations/syncd_migrations/versions")
        for each in imports(path, tree(path))
        if within(each.module, ("syncd", "syncd_adapters"))
    ]
    assert found == []


def test_the_core_is_pure() -> None:
    assert all_of(impure, "syncd/core") == []


def test_clock_random_and_threads_come_through_the_seams() -> None:
    assert all_of(reaching_out, "syncd", "adapters") == []


def test_every_exception_is_still_needed() -> None:
    files = {file for file, _ in ALLOWED if file != "syncd/transport.py"}
    assert all((ROOT / file).is_file() for file in files)


@pytest.mark.parametrize(
    ("file", "text", "check"),
    [
        ("syncd/core/x.py", "from syncd.store import tables", upward),
        ("syncd/store/x.py", "from syncd import engine", upward),
        ("syncd/store/x.py", "import syncd.registry", upward),
        ("syncd/engine/x.py", "def f():\n    from syncd.cli import main", upward),
        ("syncd/core/x.py", "import logging", impure),
        ("syncd/core/x.py", "open('x')", impure),
        ("syncd/core/x.py", "import os.path", impure),
        ("syncd/engine/x.py", "from time import sleep", reaching_out),
        ("syncd/engine/x.py", "import concurrent.futures", reaching_out),
        ("syncd/engine/x.py", "import uuid\nuuid.uuid4()", reaching_out),
        ("syncd/engine/x.py", "from uuid import uuid4", reaching_out),
        ("syncd/engine/x.py", "import datetime\ndatetime.datetime.now()", reaching_out),
        ("syncd/store/x.py", "import httpx", reaching_out),
        ("syncd/store/x.py", "from datetime import datetime as d\nd.now()", reaching_out),
    ],
)
def test_the_checks_can_fail(file: str, text: str, check: object) -> None:
    assert callable(check)
    assert check(ROOT / file, ast.parse(text))
