"""What a disk may do to the state's files under a real run: refuse a call, or lose at a power cut
what was not synced. Stands between the process and the C library (`disk.c`, LD_PRELOAD).

The power cut is worked out afterwards: from the files as they were before the run, what was synced
is on the disk, and of each write since the last sync whole sectors are, in any order, or are not.
What a disk says is synced is so, unless it lies. Files that come, go or are renamed are not
modelled: both files of the state are there before.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple

SECTOR = 512
FOR_EVER = 10**9


class NoCompiler(RuntimeError):
    """The message says what is missing."""


def compiled(folder: Path, name: str = "disk") -> Path:
    """The library of `<name>.c`, built in the folder. Raises NoCompiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise NoCompiler(f"no C compiler (cc, gcc) to build {name}.c with")
    library = folder / f"{name}.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]
    command += ["-o", str(library), str(Path(__file__).with_name(f"{name}.c")), "-ldl"]
    subprocess.run(command, check=True)
    return library


class Call(NamedTuple):
    """kind: W a write, T a file cut to `at` bytes, S a sync."""

    kind: str
    path: Path
    at: int
    data: bytes


@dataclass
class Disk:
    """For one run. files: how the paths begin that it stands for."""

    library: Path
    files: Path
    log: Path
    fail: str = ""
    before: dict[Path, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.log.unlink(missing_ok=True)
        self.before = {path: path.read_bytes() for path in self._there()}

    def _there(self) -> list[Path]:
        found = sorted(self.files.parent.glob(f"{self.files.name}*"))
        return [p for p in found if p.is_file() and not p.name.endswith(("-shm", ".lock"))]

    def environment(self) -> dict[str, str]:
        given = {"LD_PRELOAD": self.library, "SYNCD_DISK_FILES": self.files}
        given["SYNCD_DISK_LOG"] = self.log
        told = {name: str(value) for name, value in given.items()}
        return {**told, "SYNCD_DISK_FAIL": self.fail} if self.fail else told

    def refuse(self, kind: str, first: int, error: int, *, times: int = FOR_EVER) -> Disk:
        self.fail = f"{kind} {first} {first + times - 1} {error}"
        return self

    def kill(self, kind: str, at: int) -> Disk:
        """With SIGKILL, instead of that call."""
        return self.refuse(kind, at, 0, times=1)

    def calls(self) -> Iterator[Call]:
        content = self.log.read_bytes() if self.log.exists() else b""
        at = 0
        while at < len(content):
            end = content.index(b"\n", at)
            kind, path, place, size = content[at:end].decode().split(" ")
            at = end + 1 + int(size)
            yield Call(kind, Path(path), int(place), content[end + 1 : at])

    def count(self, kind: str) -> int:
        return sum(1 for call in self.calls() if call.kind == kind)

    def power_cut(self, random: Random, *, lying: bool = False) -> int:
        """Leaves the files as a disk may after a power cut; answers how many writes were not
        synced. lying: it never was what it said, and nothing since the run began is there."""
        safe = {path: bytearray(content) for path, content in self.before.items()}
        waiting: dict[Path, list[Call]] = {}
        for call in () if lying else self.calls():
            if call.path.name.endswith("-shm"):  # made anew from the log
                continue
            waiting.setdefault(call.path, []).append(call)
            if call.kind == "S":
                for one in waiting.pop(call.path):
                    _carry_out(safe.setdefault(one.path, bytearray()), one)
        open_ = [call for calls in waiting.values() for call in calls]
        for call in open_:
            for part in _sectors(call):
                if random.random() < 0.5:
                    _carry_out(safe.setdefault(call.path, bytearray()), part)
        for path in self._there():
            path.unlink()
        for path, content in safe.items():
            path.write_bytes(content)
        self.files.with_name(self.files.name + "-shm").unlink(missing_ok=True)
        return len(open_)


def _carry_out(content: bytearray, call: Call) -> None:
    if call.kind == "T":
        del content[call.at :]
        content.extend(bytes(call.at - len(content)))
    elif call.kind == "W":
        content.extend(bytes(max(0, call.at + len(call.data) - len(content))))
        content[call.at : call.at + len(call.data)] = call.data


def _sectors(call: Call) -> Iterator[Call]:
    if call.kind != "W":
        yield call
        return
    start = 0
    while start < len(call.data):
        end = start + SECTOR - (call.at + start) % SECTOR
        yield Call("W", call.path, call.at + start, call.data[start:end])
        start = end
