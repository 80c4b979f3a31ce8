"""The options of an SQL system in the config, checked."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL

from syncd.adapter import Context
from syncd.errors import ConfigError

_KNOWN = ("connector", "url", "schema", "timeout", "read_timeout")
_DRIVERS = {
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
    "mariadb+pymysql": "mysql+pymysql",
}


@dataclass(frozen=True, slots=True)
class SqlOptions:
    """url          with the driver spelled out; its repr hides the password
    schema       the only schema (on MySQL: database) looked at; None = see `Flavor.tables`
    timeout      seconds for one statement of a lookup or write
    read_timeout seconds for one whole snapshot
    """

    url: URL
    schema: str | None
    timeout: float
    read_timeout: float


def read_options(context: Context) -> SqlOptions:
    """Raises ConfigError for an option that is missing, unknown or of the wrong type."""
    options = context.options
    where = f"systems.{context.system}"
    for name in options:
        if name not in _KNOWN:
            near = difflib.get_close_matches(name, _KNOWN, 1)
            raise ConfigError(
                f"an SQL system has no option {name!r}",
                code="SY0181",
                where=where,
                hint=f"did you mean {near[0]!r}?" if near else f"options: {', '.join(_KNOWN)}",
            )
    reference = options.get("url")
    if not isinstance(reference, str) or not reference:
        raise ConfigError(
            "an SQL system needs `url`",
            code="SY0181",
            where=where,
            hint='for example url = "env:ERP_URL", holding postgresql://user:password@host/name',
        )
    schema = options.get("schema")
    if schema is not None and not isinstance(schema, str):
        raise ConfigError("`schema` must be a text", code="SY0181", where=where)
    return SqlOptions(
        _url(context, reference),
        schema,
        _seconds(options, "timeout", 60.0, where),
        _seconds(options, "read_timeout", 6 * 3600.0, where),
    )


def _url(context: Context, reference: str) -> URL:
    where = f"systems.{context.system}.url"
    text = context.secret(reference)
    try:
        url = sa.make_url(text)
        if "@" in (url.host or ""):  # the rest of a password, which no message may show
            raise ValueError
    except (sa.exc.ArgumentError, ValueError):
        raise ConfigError(
            "this is no database address",
            code="SY0182",
            where=where,
            hint="the form is postgresql://user:password@host:5432/name, mysql://…, "
            "sqlite:///file.db; reserved characters of a password are percent-encoded",
        ) from None
    url = url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))
    if url.get_backend_name() == "sqlite":
        if not url.database or url.database == ":memory:":
            raise ConfigError(
                "an SQLite address needs a file",
                code="SY0182",
                where=where,
                hint="sqlite:///relative.db or sqlite:////absolute/path.db",
            )
        url = url.set(database=str((Path(context.base) / url.database).resolve()))
    return url


def _seconds(options: Mapping[str, Any], name: str, default: float, where: str) -> float:
    value = options.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise ConfigError(f"`{name}` must be a number of seconds", code="SY0181", where=where)
    return float(value)
