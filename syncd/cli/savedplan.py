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
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from syncd.cli.output import VERSION
from syncd.errors import ConfigError

_HEAD = 1 << 24  # bytes that a plan's first line may have: it names flows and private fields


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """flows: fingerprint of the config by flow, in the order to run; digests: by flow, of the
    operations to run; held: how many were held and are not part of it."""

    path: Path
    flows: Mapping[str, str]
    digests: Mapping[str, frozenset[str]]
    made: str
    held: int = 0

    def entries(self, wanted: Mapping[str, Collection[str]]) -> list[dict[str, Any]]:
        """What the file says of these operations, by flow and digest; read again, for nobody keeps
        a whole plan in memory. Raises what `read` raises."""
        sought = {flow: set(digests) for flow, digests in wanted.items() if digests}
        if not sought:
            return []
        return [
            {name: value for name, value in line.items() if name != "kind"}
            for line in _lines(self.path)
            if line.get("digest") in sought.get(str(line.get("flow")), ())
        ]


class PlanFile:
    """Collects a plan on the disk, and puts it in its place at once: a file there is whole.

    flows, masked  as the head has them; count: operations so far. Raises ConfigError SY0165.
    """

    def __init__(self, path: Path, made: str) -> None:
        self.path, self.made = path, made
        self.flows: dict[str, str] = {}
        self.masked: set[str] = set()
        self.count = 0
        try:
            self._lines = tempfile.TemporaryFile()  # noqa: SIM115
        except OSError as error:
            raise _unwritable(path, error) from error

    def add(self, flow: str, operation: Mapping[str, Any]) -> None:
        line = orjson.dumps({"kind": "operation", "flow": flow, **operation})
        try:
            self._lines.write(line + b"\n")
        except OSError as error:
            raise _unwritable(self.path, error) from error
        self.count += 1

    def close(self) -> None:
        self._lines.close()

    def write(self) -> None:
        """Raises what `check_place` raises."""
        head = {
            "kind": "plan",
            "version": VERSION,
            "made": self.made,
            "flows": self.flows,
            "masked": sorted(self.masked),
        }
        end = {"kind": "end", "operations": self.count}
        path = self.path
        check_place(path)  # a run takes its time: something else may stand there by now
        place = path.resolve()
        try:
            number, name = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
        except OSError as error:
            raise _unwritable(path, error) from error
        try:
            with os.fdopen(number, "wb") as file:
                file.write(orjson.dumps(head) + b"\n")
                self._lines.seek(0)
                shutil.copyfileobj(self._lines, file)
                file.write(orjson.dumps(end) + b"\n")
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
    lines = _lines(path)
    try:
        head = next(lines, None)
        if head is None or head["kind"] != "plan":
            raise _bad(path, "is not a whole plan")
        if head["version"] != VERSION:
            raise _bad(path, f"is a plan of version {head['version']}, this is {VERSION}")
        flows = {str(flow): str(mark) for flow, mark in head["flows"].items()}
        found: dict[str, set[str]] = {flow: set() for flow in flows}
        held = count = 0
        end: dict[str, Any] = {}
        for line in lines:
            if end:
                raise _bad(path, "is not a whole plan")
            if line["kind"] == "end":
                end = line
                continue
            count += 1
            if line["held"]:
                held += 1
            else:
                found[line["flow"]].add(str(line["digest"]))
        if not end:
            raise _bad(path, "is not a whole plan")
        if end["operations"] != count:
            raise _bad(path, "is not a whole plan: lines are missing")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _bad(path, "is not a plan of syncd") from error
    digests = {flow: frozenset(marks) for flow, marks in found.items()}
    return SavedPlan(path, flows, digests, str(head["made"]), held)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with path.open("rb") as file:
            for line in file:
                yield orjson.loads(line)
    except OSError as error:
        raise _bad(path, f"cannot be read: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise _bad(path, "is not a plan of syncd") from error


def _bad(path: Path, why: str) -> ConfigError:
    return ConfigError(
        why, code="SY0162", where=str(path), hint="syncd reconcile --plan FILE writes one"
    )
