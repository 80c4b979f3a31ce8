"""Which test proves which promise: fills the right column of docs/testing.md.

A test proves S53 when its name has `_s53_` in it or its docstring, or its class's, says S53.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "testing.md"
SHOWN = 3  # tests named in one row

ROW = re.compile(r"\| ([SF][0-9]+) \| ([^|]+) \| ([^|]*) \|")
_IN_NAME = re.compile(r"(?:^|_)([sf][0-9]+)(?=_|$)")
_IN_TEXT = re.compile(r"\b([SF][0-9]+)\b")
_NOT_YET = "waits for its test"

NUMBERS = [f"S{n}" for n in range(1, 79)] + [f"F{n}" for n in range(1, 72)]


def proofs() -> dict[str, list[str]]:
    """By number: the tests that carry it, as pytest names them."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for name, words in _tests(tree):
            place = f"{path.relative_to(ROOT).as_posix()}::{name}"
            for number in _numbers(name, words):
                found.setdefault(number, []).append(place)
    return found


def _tests(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(name within the file, docstrings)"""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            above = ast.get_docstring(node) or ""
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef) and inner.name.startswith("test"):
                    words = f"{above} {ast.get_docstring(inner) or ''}"
                    yield f"{node.name}::{inner.name}", words
        elif isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
            yield node.name, ast.get_docstring(node) or ""


def _numbers(name: str, words: str) -> set[str]:
    carried = {number.upper() for number in _IN_NAME.findall(name)}
    return (carried | set(_IN_TEXT.findall(words))) & set(NUMBERS)


def cell(tests: list[str], before: str) -> str:
    """The right column: the tests, or what is waited for."""
    if not tests:
        return before if before.startswith("waits for ") else _NOT_YET
    # those named after the number say most
    named = [f"`{test}`" for test in tests[:SHOWN]]
    if len(tests) > SHOWN:
        named.append(f"and {len(tests) - SHOWN} more")
    return "<br>".join(named)


def page(text: str) -> str:
    """The page with its right column written anew."""
    found = proofs()

    def row(match: re.Match[str]) -> str:
        number, words, before = match.groups()
        tests = found.get(number, [])
        tests.sort(key=lambda test: (f"_{number.lower()}" not in f"{test}_", test))
        return f"| {number} | {words} | {cell(tests, before)} |"

    return ROW.sub(row, text)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
