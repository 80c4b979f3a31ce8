"""Read the config, and say what is wrong with it, with line and table path."""

from __future__ import annotations

import re
import tomllib
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from syncd.config import check
from syncd.config.lines import line_of, scan
from syncd.config.models import Config, FlowConfig, SystemConfig
from syncd.config.places import FILE, state_url
from syncd.config.problems import Path, Problem, did_you_mean, nearest, one_error
from syncd.errors import ConfigError
from syncd.findings import Finding

_NO_WHERE = "filters are not available yet"
_WHERE_HINT = "take the key out; every record of the object takes part for now"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A config that was read and checked, and where each of its words stands.

    path      the file, absolute; None for one that was made in memory
    findings  worth a look, stops nothing
    """

    config: Config
    path: FilePath | None
    lines: Mapping[Path, int] = field(repr=False, default_factory=dict)
    findings: tuple[Finding, ...] = ()

    @property
    def base(self) -> FilePath:
        """The folder that relative paths in the config refer to."""
        return self.path.parent if self.path else FilePath.cwd()

    def where(self, path: Path = ()) -> str:
        return _where(self.path, self.lines, path)

    def error(self, problem: Problem) -> ConfigError:
        return _error(self.path, self.lines, problem)

    def placed(self, error: ConfigError) -> ConfigError:
        """An adapter's or the store's complaint about its table ("systems.crm.url"), with file
        and line; any other as it is."""
        path = tuple(error.where.split("."))
        if path[0] not in Config.model_fields or ":" in error.where:  # it has its line already
            return error
        return self.error(Problem(path, error.message, error.code, error.hint))

    def state_url(self, environ: Mapping[str, str], secret: Callable[[str], str] = str) -> str:
        """The store's URL; see `places.state_url`. secret: what a reference stands for."""
        text = state_url(self.config.state.url, self.base, environ)
        return self.resolved(("state", "url"), text, secret)

    def resolved(self, path: Path, text: str, secret: Callable[[str], str]) -> str:
        """What the reference at `path` stands for. Raises ConfigError, with its line."""
        try:
            return secret(text)
        except ConfigError as error:
            raise self.error(Problem(path, error.message, error.code, error.hint)) from None

    def flow(self, name: str) -> FlowConfig:
        """Raises ConfigError SY0113 for a flow that is not there."""
        if name not in self.config.flows:
            hint = did_you_mean(name, self.config.flows)
            raise ConfigError(f"no flow `{name}`", code="SY0113", where=self.where(), hint=hint)
        return self.config.flows[name]

    def system(self, name: str) -> SystemConfig:
        """Raises ConfigError SY0110 for a system that is not there."""
        if name not in self.config.systems:
            hint = did_you_mean(name, self.config.systems)
            raise ConfigError(f"no system `{name}`", code="SY0110", where=self.where(), hint=hint)
        return self.config.systems[name]

    def system_of(self, flow: str, member: str) -> str:
        """Name of the system behind a member."""
        return self.flow(flow).members[member].system or member

    def receipts(self, flow: str, member: str) -> bool:
        """The member's word, else its system's."""
        own = self.flow(flow).members[member].receipts
        systems = self.config.systems[self.system_of(flow, member)].receipts
        return bool(systems if own is None else own)


def load(path: FilePath) -> Loaded:
    """Raises ConfigError: unreadable (SY0102), or whatever `parse` finds."""
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error.strerror}", code="SY0102", where=str(path)
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"is not UTF-8 text (byte {error.start})", code="SY0102", where=str(path)
        ) from error
    return parse(text, path)


def parse(text: str, path: FilePath | None = None) -> Loaded:
    """Raises ConfigError, or ConfigErrors for several problems at once."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _not_toml(path, error) from None
    lines = scan(text)
    problems = list(_take_where(raw))
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        problems += [_problem(raw, details) for details in error.errors()]
    else:
        problems += check.problems(config)
    if problems:
        ordered = sorted(problems, key=lambda problem: line_of(lines, problem.path) or 0)
        raise one_error([_error(path, lines, problem) for problem in ordered])
    findings = tuple(
        Finding(_where(path, lines, place), text, hint)
        for place, text, hint in check.findings(config)
    )
    return Loaded(config, path.absolute() if path else None, lines, findings)


def _where(path: FilePath | None, lines: Mapping[Path, int], place: Path) -> str:
    name = str(_short(path)) if path else FILE
    line = line_of(lines, place)
    return f"{name}:{line}" if line else name


def _short(path: FilePath) -> FilePath:
    """As a person would type it: relative where it lies below the current folder."""
    try:
        return path.absolute().relative_to(FilePath.cwd())
    except (ValueError, OSError):
        return path


def _error(path: FilePath | None, lines: Mapping[Path, int], problem: Problem) -> ConfigError:
    table = ".".join(_quoted(part) for part in problem.path)
    text = f"{table}: {problem.message}" if table else problem.message
    where = _where(path, lines, problem.path)
    return ConfigError(text, code=problem.code, where=where, hint=problem.hint)


def _quoted(part: str) -> str:
    return part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else f'"{part}"'


def _not_toml(path: FilePath | None, error: tomllib.TOMLDecodeError) -> ConfigError:
    text = str(error)
    found = re.search(r" \(at line (\d+), column \d+\)$", text)
    name = str(_short(path)) if path else FILE
    where = f"{name}:{found.group(1)}" if found else name
    text = text[: found.start()] if found else text
    return ConfigError(f"is not valid TOML: {text}", code="SY0102", where=where)


def _take_where(raw: dict[str, Any]) -> Iterable[Problem]:
    """`where` is a word of the design that this version cannot keep; a config that relies on it
    must not run without it."""
    flows = raw.get("flows")
    for flow, table in flows.items() if isinstance(flows, dict) else ():
        if isinstance(table, dict) and "where" in table:
            del table["where"]
            yield Problem(("flows", flow, "where"), _NO_WHERE, "SY0107", _WHERE_HINT)
        members = table.get("members") if isinstance(table, dict) else None
        for member, options in members.items() if isinstance(members, dict) else ():
            if isinstance(options, dict) and "where" in options:
                del options["where"]
                path = ("flows", flow, "members", member, "where")
                yield Problem(path, _NO_WHERE, "SY0107", _WHERE_HINT)


def _problem(raw: Mapping[str, Any], details: ErrorDetails) -> Problem:
    """A pydantic error in our words."""
    loc = tuple(str(part) for part in details["loc"])
    # a list's element has the list's path; a place in a list means nothing to a reader
    path = tuple(str(part) for part in details["loc"] if not isinstance(part, int))
    kind = details["type"]
    if kind == "extra_forbidden":
        return Problem(path, f"unknown key `{loc[-1]}`", "SY0103", _known(path))
    if kind == "missing":
        example = _EXAMPLES.get(loc[-1], "")
        return Problem(path[:-1], f"`{loc[-1]}` is missing", "SY0105", example)
    if kind == "too_short":
        return Problem(path, "is empty", "SY0105", "at least one is needed here")
    message = details["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    value = details["input"]
    hint = ""
    if kind in ("enum", "literal_error"):
        choices = re.findall(r"'([^']+)'", str(details.get("ctx", {}).get("expected", "")))
        message = f"{value!r} is not one of: {', '.join(choices)}"
        close = nearest(str(value), choices)
        hint = f'did you mean "{close}"?' if close else ""
    elif kind.endswith("_type"):
        wanted = _WANTED.get(kind)
        message = f"{wanted} is needed here" if wanted else message
        message = f"{message}, not {_toml_word(value)}"
    return Problem(path, message, "SY0104", hint)


_EXAMPLES = {
    "connector": 'connector = "sql"',
    "object": 'object = "public.customers"',
    "type": 'type = "text"',
    "native": 'native = "email"',
    "systems": '[systems.crm] with connector = "sql"',
    "flows": "[flows.customers]",
}


_WANTED = {
    "tuple_type": 'a list like ["email"]',
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "string_type": "text",
}


def _toml_word(value: Any) -> str:
    words = {bool: "a boolean", str: "text", int: "a number", float: "a number", list: "a list"}
    return words.get(type(value), "a table" if isinstance(value, dict) else "that")


def _known(path: Sequence[str]) -> str:
    model = _model_at(Config, path[:-1])
    return did_you_mean(path[-1], model.model_fields) if model else ""


def _model_at(model: type[BaseModel], path: Sequence[str]) -> type[BaseModel] | None:
    """The table's model; names of flows, fields and members are passed over."""
    current: Any = model
    for part in path:
        if isinstance(current, type) and issubclass(current, BaseModel):
            known = current.model_fields.get(part)
            current = _plain(known.annotation) if known else None
        elif typing.get_origin(current) is dict:
            current = _plain(typing.get_args(current)[1])
        else:
            return None
    found = isinstance(current, type) and issubclass(current, BaseModel)
    return typing.cast("type[BaseModel]", current) if found else None


def _plain(annotation: Any) -> Any:
    """Without `| None`."""
    if isinstance(annotation, types.UnionType):
        return next(part for part in annotation.__args__ if part is not type(None))
    return annotation
