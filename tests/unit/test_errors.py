"""What each error decides: its class says whether another try may help, and so how to exit."""

from __future__ import annotations

import ast
import errno
import re
from pathlib import Path
from typing import Any

import pytest

import syncd.errors as errors
from syncd.core.codec import Misfit
from syncd.engine.result import MemberReport, RunMode, RunReport, RunState
from syncd.errors import AccessDenied, Kind, SyncdError, Unreachable
from syncd.store import connect, disk
from syncd_adapters.sql import faults

ROOT = Path(__file__).parents[2]

EXITS = {
    "SyncdError": 1,  # nobody foresaw it
    "ConfigError": 2,
    "SystemFault": 2,
    "Unreachable": 1,
    "AccessDenied": 2,
    "SchemaChanged": 2,
    "IdentityMismatch": 2,
    "ReadIncomplete": 1,
    "Rejected": 2,
    "Unrepresentable": 2,
    "StoreError": 2,
    "StoreRefused": 2,
    "StoreBusy": 1,
    "StoreUnwritable": 1,
    "FlowBusy": 4,
    "LeaseLost": 4,
    "Interrupted": 130,
}
CLASSES: dict[str, type[SyncdError]] = {
    name: made
    for name, made in vars(errors).items()
    if isinstance(made, type) and issubclass(made, SyncdError)
}


def test_every_class_has_its_exit_code() -> None:
    assert {name: made.exit_code for name, made in CLASSES.items()} == EXITS


@pytest.mark.parametrize("name", sorted(set(EXITS) - {"SyncdError"}))
def test_exit_2_is_what_no_other_try_helps_and_nothing_else(name: str) -> None:
    made = CLASSES[name]
    assert (made.exit_code == 2) == (made.kind is not Kind.RETRYABLE)


def by_code() -> dict[str, set[int]]:
    """Exit codes of every place that gives a code to an error."""
    names = {"DAMAGED": connect.DAMAGED, "NOT_OURS": connect.NOT_OURS}
    classes = {**CLASSES, "Misfit": Misfit, "Problem": CLASSES["ConfigError"]}
    found: dict[str, set[int]] = {made.code: {made.exit_code} for made in CLASSES.values()}
    for kind, code, _ in faults._CLASSES.values():
        found.setdefault(code, set()).add(kind.exit_code)
    for folder in ("syncd", "adapters", "migrations"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    made = classes.get(node.func.id)
                    for code in _codes(node, names) if made else ():
                        found.setdefault(code, set()).add(made.exit_code)
    return found


def _codes(call: ast.Call, names: dict[str, str]) -> list[str]:
    said: list[Any] = [k.value for k in call.keywords if k.arg == "code"]
    texts = [n.value for n in (*said, *call.args) if isinstance(n, ast.Constant)]
    texts += [names[n.id] for n in said if isinstance(n, ast.Name) and n.id in names]
    return [text for text in texts if re.fullmatch(r"SY\d{4}", str(text))]


def test_a_code_comes_to_one_exit_code() -> None:
    """But for the disk: no space passes, a missing right does not."""
    several = {code for code, exits in by_code().items() if len(exits) > 1}
    assert several <= {"SY0432"}


def test_the_page_lists_the_codes_that_are_worth_a_retry() -> None:
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    (listed,) = re.findall(r"(?s)\nWorth retrying \(exit 1\): (.+?)\.\nSY0500", page)
    wanted = {code for code, exits in by_code().items() if 1 in exits}
    assert set(re.findall(r"SY\d{4}", listed)) == wanted
    assert {"SY0212", "SY0230", "SY0231"}.isdisjoint(wanted)


@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOSPC, 1), (errno.EIO, 1), (errno.EACCES, 2), (errno.EROFS, 2)]
)
def test_f53_a_full_disk_is_worth_a_retry_a_missing_right_is_not(number: int, code: int) -> None:
    refused = disk.refused("it cannot be written", OSError(number, "no"), where="x", hint="y")
    assert (refused.code, refused.exit_code) == ("SY0432", code)


def _report(*failures: SyncdError) -> RunReport:
    members = {}
    for n, failure in enumerate(failures):
        members[str(n)] = MemberReport(str(n), str(n))
        members[str(n)].fail("read", failure)
    return RunReport("people", 1, RunMode.FULL, RunState.FAILED, members)


def test_a_run_is_worth_a_retry_while_its_members_only_need_time() -> None:
    away, denied = Unreachable("away"), AccessDenied("no")
    assert _report(away, away).exit_code == 1
    assert _report(away, denied).exit_code == 2
