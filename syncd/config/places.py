"""Where the config is, and where the state is kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from syncd.errors import ConfigError

FILE = "syncd.toml"


def find(explicit: str | None, environ: Mapping[str, str]) -> Path:
    """The config file: the one given, `$SYNCD_CONFIG`, or the first of the usual places.
    Raises ConfigError SY0101 where there is none."""
    given = explicit or environ.get("SYNCD_CONFIG")
    if given:
        path = Path(given).expanduser()
        path = path / FILE if path.is_dir() else path
        if not path.is_file():
            by = "--config" if explicit else "$SYNCD_CONFIG"
            raise ConfigError(
                f"there is no file {path} ({by} names it)",
                code="SY0101",
                hint="`syncd init` writes a first config",
            )
        return path.absolute()
    places = [
        Path(FILE),
        _xdg(environ, "CONFIG", ".config") / FILE,
        Path("/etc/syncd", FILE),
    ]
    for path in places:
        if path.is_file():
            return path.absolute()
    looked = ", ".join(str(path) for path in places)
    raise ConfigError(
        f"no config found; looked for {looked}",
        code="SY0101",
        hint="name one with --config or $SYNCD_CONFIG, or let `syncd init` write a first one",
    )


def state_dir(environ: Mapping[str, str]) -> Path:
    """Folder of the state: systemd's `$STATE_DIRECTORY`, else the user's own."""
    given = environ.get("STATE_DIRECTORY", "").split(":")[0]
    return Path(given) if given else _xdg(environ, "STATE", ".local/state") / "syncd"


def state_url(url: str | None, base: Path, environ: Mapping[str, str]) -> str:
    """The store's URL or a reference to it. A relative SQLite path refers to the config's
    folder; without a word in the config it is state.db in `state_dir`."""
    if url is None:
        return f"sqlite:///{state_dir(environ).absolute() / 'state.db'}"
    scheme, mark, rest = url.partition(":///")
    if mark and scheme.split("+")[0] == "sqlite" and rest and not rest.startswith((":", "/")):
        return f"{scheme}:///{base / rest}"
    return url


def _xdg(environ: Mapping[str, str], kind: str, default: str) -> Path:
    given = environ.get(f"XDG_{kind}_HOME")
    if given and Path(given).is_absolute():
        return Path(given) if kind == "STATE" else Path(given) / "syncd"
    home = Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    return home / default if kind == "STATE" else home / default / "syncd"
