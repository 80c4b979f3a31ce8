"""What this machine knows of a store, kept outside it: `<state_dir>/<deployment>.counter`.

The file says "I know this deployment, and it had come this far". A store of another deployment
has no such file here; a store restored from a backup is behind its file; a store that vanished
leaves its file behind.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from syncd.errors import ConfigError, StoreError, StoreRefused
from syncd.store.disk import refused

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class Sidecar:
    """tick: what the store's counter had reached; store: the store's name (`Place.name`)."""

    deployment: str
    tick: int
    store: str


def checked_name(deployment: str) -> str:
    """A deployment's id becomes a file name. Raises ConfigError."""
    if not _NAME.fullmatch(deployment):
        raise ConfigError(
            f"{deployment!r} cannot be a deployment's name",
            code="SY0191",
            where="state.deployment",
            hint="Use up to 64 letters, digits, `-` and `_`.",
        )
    return deployment


def read(state_dir: Path, deployment: str) -> Sidecar | None:
    """Raises StoreRefused for a file that is not readable as one."""
    path = _path(state_dir, deployment)
    try:
        with path.open("rb", buffering=0) as file:
            text = file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _failed("read", path, error) from error
    try:
        content = json.loads(text)
        return Sidecar(str(content["deployment"]), int(content["tick"]), str(content["store"]))
    except (ValueError, KeyError, TypeError) as error:
        raise StoreRefused(
            "the state's counter file is damaged",
            code="SY0409",
            where=str(path),
            hint="If the state itself was not restored from a backup, remove this file and run "
            "`syncd state doctor --adopt`; otherwise run `syncd state rebuild`.",
        ) from error


def known(state_dir: Path) -> Iterator[Sidecar]:
    """Every deployment this machine knows."""
    if not state_dir.is_dir():
        return
    for path in sorted(state_dir.glob("*.counter")):
        found = read(state_dir, path.stem)
        if found is not None:
            yield found


def write(state_dir: Path, sidecar: Sidecar) -> None:
    """Durable and whole, or not at all: the old file stays until the new one is on the disk."""
    path = _path(state_dir, sidecar.deployment)
    fresh = path.with_suffix(".counter.new")
    text = json.dumps(
        {"deployment": sidecar.deployment, "tick": sidecar.tick, "store": sidecar.store}
    )
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        sync_folder(state_dir)
    except OSError as error:
        raise _failed("write", path, error) from error


def sync_folder(folder: Path) -> None:
    """Makes a rename in the folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _path(state_dir: Path, deployment: str) -> Path:
    return state_dir / f"{checked_name(deployment)}.counter"


def _failed(verb: str, path: Path, error: OSError) -> StoreError:
    return refused(
        f"cannot {verb} the state's counter file",
        error,
        where=str(path),
        hint="Free disk space or mend the permissions of the folder, then run again.",
    )
