"""A plan in a file: JSON lines, so that a million operations need no memory.

    {"kind": "plan", "version": 1, "made": …, "flows": {flow: fingerprint of its config}, …}
    {"kind": "operation", "flow": …, "digest": …, …}       one for each
    {"kind": "end", "operations": n}                       without it the file is not whole

What binds is the digest of an operation: member, record, values and preconditions. The values
beside it are for people; those of private fields are masked.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from syncd.cli.output import VERSION
from syncd.errors import ConfigError

_HEAD = 1 << 24  # bytes that a plan's first line may have: it names flows and private fields


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """flows: fingerprint of the config by flow, in the order to run; operations: by flow, those
    to run, by digest; held: how many were held and are not part of it."""

    flows: Mapping[str, str]
    operations: Mapping[str, Mapping[str, Mapping[str, Any]]]
    made: str
    held: int = 0


@dataclass(slots=True)
class PlanFile:
    """Collects a plan, and writes it at once: a file that is there is whole."""

    made: str
    flows: dict[str, str] = field(default_factory=dict)
    masked: set[str] = field(default_factory=set)
    lines: list[bytes] = field(default_factory=list)

    def add(self, flow: str, fingerprint: str, operation: Mapping[str, Any]) -> None:
        self.flows[flow] = fingerprint
        self.lines.append(orjson.dumps({"kind": "operation", "flow": flow, **operation}))

    def write(self, path: Path) -> None:
        """Raises what `check_place` raises."""
        head = {
            "kind": "plan",
            "version": VERSION,
            "made": self.made,
            "flows": self.flows,
            "masked": sorted(self.masked),
        }
        end = {"kind": "end", "operations": len(self.lines)}
        text = b"\n".join([orjson.dumps(head), *self.lines, orjson.dumps(end)]) + b"\n"
        check_place(path)  # a run takes its time: something else may stand there by now
        place = path.resolve()
        try:
            number, name = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
        except OSError as error:
            raise _unwritable(path, error) from error
        try:
            with os.fdopen(number, "wb") as file:
                file.write(text)
            Path(name).replace(place)
        except OSError as error:
            Path(name).unlink(missing_ok=True)
            raise _unwritable(path, error) from error


def check_place(path: Path) -> None:
    """Whether a plan may be written there: only an earlier one is ever replaced. Raises
    ConfigError SY0165 (it cannot be written), SY0179 (something else stands there)."""
    place = path.resolve()
    try:
        if not os.access(place.parent, os.W_OK | os.X_OK):
            place.parent.stat()  # says what is wrong where it is not there
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        if not os.path.lexists(place):
            return
        if place.is_file():
            with place.open("rb") as file:
                head = file.readline(_HEAD)
            if _is_head(head):
                return
    except OSError as error:
        raise _unwritable(path, error) from error
    raise ConfigError(
        "it is there already and is no saved plan; it is left untouched",
        code="SY0179",
        where=str(path),
        hint="give the plan a file of its own; only an earlier plan is replaced",
    )


def _is_head(line: bytes) -> bool:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return isinstance(found, dict) and found.get("kind") == "plan" and "flows" in found


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"the plan cannot be written: {error.strerror}", code="SY0165", where=str(path)
    )


def read(path: Path) -> SavedPlan:
    """Raises ConfigError SY0162: no plan, of another version, or not whole."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise _bad(path, f"cannot be read: {error.strerror}") from error
    try:
        head, *operations, end = [orjson.loads(line) for line in lines]
        if head["kind"] != "plan" or end["kind"] != "end":
            raise _bad(path, "is not a whole plan")
        if head["version"] != VERSION:
            raise _bad(path, f"is a plan of version {head['version']}, this is {VERSION}")
        if end["operations"] != len(operations):
            raise _bad(path, "is not a whole plan: lines are missing")
        flows = {str(flow): str(mark) for flow, mark in head["flows"].items()}
        found: dict[str, dict[str, Mapping[str, Any]]] = {flow: {} for flow in flows}
        held = 0
        for operation in operations:
            if operation["held"]:
                held += 1
            else:
                found[operation["flow"]][str(operation["digest"])] = operation
        return SavedPlan(flows, found, str(head["made"]), held)
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise _bad(path, "is not a plan of syncd") from error


def _bad(path: Path, why: str) -> ConfigError:
    return ConfigError(
        why, code="SY0162", where=str(path), hint="syncd reconcile --plan FILE writes one"
    )
