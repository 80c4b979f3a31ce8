"""The judge of simulated lives shares no code with what it judges."""

from __future__ import annotations

import ast
from pathlib import Path

ORACLE = Path(__file__).parents[2] / "syncd" / "simulate" / "oracle"
MAY = ("syncd.simulate.oracle", "syncd.simulate.trace", "syncd.simulate.script")


def test_the_oracle_imports_nothing_of_the_engine() -> None:
    found = []
    for path in sorted(ORACLE.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            found += [
                f"{path.name}: {name}"
                for name in names
                if name.split(".")[0] == "syncd" and not name.startswith(MAY)
            ]
    assert not found
    assert len(list(ORACLE.glob("*.py"))) >= 5
