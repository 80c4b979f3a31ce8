"""What one table of the config says against another."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from syncd.config import check_flow
from syncd.config.models import Config
from syncd.config.problems import Path, Problem, did_you_mean
from syncd.core.rules import Mode
from syncd.secrets import holds_secret, is_reference

_NAME = re.compile(r"[^\W\d][\w-]{0,59}")
_RESERVED = {"agreed", "any", "all"}  # words that stand where a member's name may stand
_SECRET_WORDS = re.compile(r"(^|_)(password|passwd|secret|token|api_?key|private_key)$", re.I)


def problems(config: Config) -> Iterator[Problem]:
    yield from _names(config)
    yield from _secrets(config)
    for name, flow in config.flows.items():
        yield from check_flow.problems(name, flow, config.systems)
    yield from _shared(config)


def findings(config: Config) -> Iterator[tuple[Path, str, str]]:
    """(path, text, hint)"""
    for name, flow in config.flows.items():
        yield from check_flow.findings(name, flow)
    used = {
        member.system or name
        for flow in config.flows.values()
        for name, member in flow.members.items()
    }
    for system in config.systems:
        if system not in used:
            yield ("systems", system), "no flow uses this system", ""


def _names(config: Config) -> Iterator[Problem]:
    for system in config.systems:
        yield from _name(("systems", system))
    for flow, options in config.flows.items():
        yield from _name(("flows", flow))
        for field in options.fields:
            yield from _name(("flows", flow, "fields", field))
        for member in options.members:
            yield from _name(("flows", flow, "members", member))


def _name(path: Path) -> Iterator[Problem]:
    name = path[-1]
    if not _NAME.fullmatch(name):
        text = f"{name!r} is no name here"
        hint = "letters, digits, _ and -, beginning with a letter, at most 60"
        yield Problem(path, text, "SY0106", hint)
    elif path[-2] == "members" and name in _RESERVED:
        hint = f'call it otherwise and write system = "{name}"'
        yield Problem(path, f"`{name}` is a word of the config", "SY0106", hint)


def _secrets(config: Config) -> Iterator[Problem]:
    if config.state.url is not None and holds_secret(config.state.url):
        yield _literal(("state", "url"))
    for system, options in config.systems.items():
        yield from _secrets_in(("systems", system), options.options)


def _secrets_in(path: Path, value: Any) -> Iterator[Problem]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _secrets_in((*path, key), inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _secrets_in(path, inner)
    elif isinstance(value, str) and not is_reference(value):
        named = _SECRET_WORDS.search(path[-1]) is not None and value != ""
        if named or holds_secret(value):
            yield _literal(path)


def _literal(path: Path) -> Problem:
    variable = "_".join(re.sub(r"\W", "_", part) for part in path[1:] or path).upper()
    return Problem(
        path,
        "a secret stands in the config; only a reference to it may",
        "SY0140",
        f'write {path[-1]} = "env:{variable}", "file:<path>" or "credential:<name>" instead',
    )


def _shared(config: Config) -> Iterator[Problem]:
    """Two flows that write one native field of one object would undo each other for ever."""
    writers: dict[tuple[str, str, str], str] = {}
    for flow, options in config.flows.items():
        for name, member in options.members.items():
            if member.mode is Mode.SOURCE:
                continue
            system = _address(config, member.system or name)
            for field, column in member.fields.items():
                path = ("flows", flow, "members", name, "fields", field)
                for native in () if column.read_only else column.native:
                    other = writers.setdefault((system, member.object, native), flow)
                    if other != flow:
                        text = f"`{native}` of {member.object} is written by flow `{other}` too"
                        hint = "let one flow write it; read_only = true in the other"
                        yield Problem(path, text, "SY0118", hint)


def _address(config: Config, system: str) -> str:
    """Two systems with one url are one database."""
    options = config.systems.get(system)
    url = options.options.get("url") if options else None
    return f"url {url}" if isinstance(url, str) else f"system {system}"


def unknown(path: Path, what: str, name: str, known: Iterable[str], code: str) -> Problem:
    return Problem(path, f"no {what} `{name}`", code, did_you_mean(name, known))


def doubled(values: Iterable[Any]) -> list[Any]:
    return [value for value, count in Counter(values).items() if count > 1]
