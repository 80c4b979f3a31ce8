"""`syncd init`: look at the systems, propose a flow, write a first config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import click

from syncd.adapter import Adapter, Context, EndpointSpec, NativeFields, ObjectSchema
from syncd.cli.app import App
from syncd.cli.command import Command, pass_app
from syncd.cli.draft import Draft
from syncd.cli.output import Result, plain
from syncd.config import compile_flow, parse
from syncd.config.places import FILE
from syncd.config.problems import ConfigErrors, did_you_mean, one_error
from syncd.engine.propose import Proposal, Seen, propose
from syncd.errors import AccessDenied, ConfigError, SystemFault
from syncd.log import system_logger
from syncd.secrets import Secrets, holds_secret, is_reference

_ROWS = 500
_MOST_OBJECTS = 60  # of one system are looked at without being named
_TRIES = 40  # proposals tried until the config compiles


@click.command(
    cls=Command,
    examples=(
        "syncd init --system crm=sqlite:///crm.db --system erp=env:ERP_URL",
        "syncd init --system crm=env:CRM_URL --system erp=env:ERP_URL --object crm=customers",
    ),
)
@click.option(
    "--system",
    "-s",
    "systems",
    multiple=True,
    required=True,
    metavar="NAME=URL",
    help="A system: its address, or a reference to it (env:, file:, credential:).",
)
@click.option(
    "--object",
    "-o",
    "objects",
    multiple=True,
    metavar="NAME=OBJECT",
    help="Look at this table or view only.",
)
@click.option(
    "--connector",
    "connectors",
    multiple=True,
    metavar="NAME=CONNECTOR",
    help="How to speak to a system; sql where nothing is said.",
)
@click.option("--name", metavar="FLOW", help="What to call the flow.")
@click.option(
    "--output",
    "target",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FILE",
    help="Where to write; syncd.toml where nothing is said.",
)
@click.option("--force", is_flag=True, help="Replace a config that is there.")
@pass_app
def command(
    app: App,
    systems: tuple[str, ...],
    objects: tuple[str, ...],
    connectors: tuple[str, ...],
    name: str | None,
    target: Path | None,
    force: bool,
) -> None:
    """Write a first config by looking at the systems.

    Reads tables, columns and a few hundred rows, and proposes what belongs together. Writes the
    config, and nothing anywhere else.
    """
    path = target or Path(app.options.get("config") or FILE)
    if path.exists() and not force:
        raise ConfigError(
            f"{path} is there already",
            code="SY0165",
            hint="--force replaces it; --output writes another",
        )
    urls = _named(systems, "--system")
    if len(urls) < 2:
        raise ConfigError(
            "one system alone is equal to itself",
            code="SY0166",
            hint="name two or more: --system crm=… --system erp=…",
        )
    chosen = _named(objects, "--object", urls)
    spoken = _named(connectors, "--connector", urls)
    kinds = {system: spoken.get(system, "sql") for system in urls}
    base = path.absolute().parent
    with app.interrupt.on_signals(), ExitStack() as stack:
        adapters = {
            system: _adapter(app, system, url, kinds[system], base, stack)
            for system, url in urls.items()
        }
        seen = [
            one
            for system, adapter in adapters.items()
            for one in _look(app, system, adapter, chosen.get(system))
        ]
        proposal = propose(seen)
        if proposal is None:
            raise ConfigError(
                "no two objects of these systems resemble each other",
                code="SY0166",
                hint="name the ones that do: "
                + " ".join(f"--object {system}=…" for system in urls),
            )
        if name:
            proposal = replace(proposal, name=name)
        references = {system: _reference(system, url) for system, url in urls.items()}
        draft = Draft(proposal, kinds, references)
        try:
            draft = _receipts(adapters, _working(draft, seen, path), path, seen)
        except ConfigError as error:
            raise one_error(_unwritten(error)) from error
    _write(path, draft.text())
    app.finish(_result(draft, path, urls))


def _named(
    words: Sequence[str], flag: str, known: Mapping[str, str] | None = None
) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in words:
        system, equals, value = word.partition("=")
        if not equals or not system or not value:
            # the word itself may hold a password
            raise ConfigError(f"{flag} takes NAME=VALUE", code="SY0160")
        if known is not None and system not in known:
            raise ConfigError(
                f"{flag}: no --system is called `{system}`",
                code="SY0160",
                hint=did_you_mean(system, known),
            )
        if system in found:
            raise ConfigError(f"{flag}: `{system}` stands there twice", code="SY0160")
        found[system] = value
    return found


def _adapter(
    app: App, system: str, url: str, connector: str, base: Path, stack: ExitStack
) -> Adapter:
    secrets = Secrets(base, app.environ, app.redactor)

    def secret(text: str) -> str:
        try:
            return secrets.resolve(text)
        except ConfigError as error:
            error.where = f"--system {system}"
            raise

    context = Context(
        system=system,
        options={"url": url},
        secret=secret,
        seams=app.seams,
        log=system_logger(system),
        base=str(base),
    )
    adapter = app.registry.factory(connector, f"--connector {system}")(context)
    stack.callback(adapter.close)
    return adapter


def _look(app: App, system: str, adapter: Adapter, only: str | None) -> list[Seen]:
    names = [only] if only else adapter.objects()[:_MOST_OBJECTS]
    found = []
    for name in names:
        app.seams.sleep(0)
        app.out.note(f"looking at {system}: {plain(name)}")
        try:
            schema = adapter.describe(name)
            found.append(Seen(system, schema, sample(adapter, schema, _ROWS)))
        except SystemFault as fault:
            if only or not isinstance(fault, AccessDenied):
                raise
            app.out.note(f"  passed over: {fault}")
    if not found:
        raise ConfigError(
            f"{system} has no object that can be read", code="SY0166", where=f"system {system}"
        )
    return found


def sample(adapter: Adapter, schema: ObjectSchema, rows: int) -> list[NativeFields]:
    """The first rows by key; none where an object has no key to read it by."""
    unique = next(iter(schema.unique), ())
    key = schema.key or unique
    if not key:
        return []
    columns = tuple(schema.columns)
    spec = EndpointSpec(schema.name, columns, key=() if schema.key else tuple(unique))
    with adapter.open(spec).snapshot() as snapshot:
        raws = (raw for block in snapshot.blocks() for raw in block.raws)
        return [snapshot.decode(raw).values for raw in islice(raws, rows)]


def _reference(system: str, url: str) -> str:
    if is_reference(url) or not holds_secret(url):
        return url
    return f"env:{_variable(system)}"


def _variable(system: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in system).upper() + "_URL"


def _working(draft: Draft, seen: Sequence[Seen], path: Path) -> Draft:
    """The proposal, less the fields that the config's own rules refuse."""
    described = {(one.system, one.schema.name): one.schema for one in seen}
    schemas = {
        member.system: described[member.system, member.object] for member in draft.proposal.members
    }
    for _ in range(_TRIES):
        try:
            loaded = parse(draft.text(), path)
            compiled = compile_flow(loaded, draft.proposal.name, schemas)
        except ConfigError as error:
            dropped = _blamed(draft.proposal, error)
            if dropped is None or dropped[0] in draft.dropped:
                raise
            draft = _without(draft, *dropped)
        else:
            reads_only = [
                member for member, made in compiled.members.items() if not made.schema.writable
            ]
            return replace(draft, sources=reads_only)
    raise ConfigError("no config could be made of what was found", code="SY0166")


def _unwritten(error: ConfigError) -> list[ConfigError]:
    """No file was written, so that no line of it can be meant."""
    errors = error.errors if isinstance(error, ConfigErrors) else (error,)
    hints = {"SY0132": "give it a primary key, or look at another one: --object SYSTEM=OBJECT"}
    return [
        ConfigError(one.message, code=one.code, hint=hints.get(one.code, one.hint))
        for one in errors
    ]


def _blamed(proposal: Proposal, error: ConfigError) -> tuple[str, str] | None:
    """The field that the first error is about, and what it says."""
    first = error.errors[0] if isinstance(error, ConfigErrors) else error
    place, _, message = first.message.partition(": ")
    parts = place.split(".")
    for made in proposal.fields:
        if "fields" in parts and parts[-1] == made.name:
            return made.name, message
    return None


def _without(draft: Draft, name: str, why: str) -> Draft:
    match = tuple(rule for rule in draft.proposal.match if name not in rule)
    return replace(
        draft,
        proposal=replace(draft.proposal, match=match),
        dropped={**draft.dropped, name: why},
    )


def _receipts(
    adapters: Mapping[str, Adapter], draft: Draft, path: Path, seen: Sequence[Seen]
) -> Draft:
    """Receipts where nothing else could tell whether an unanswered create happened."""
    described = {(one.system, one.schema.name): one.schema for one in seen}
    schemas = {m.system: described[m.system, m.object] for m in draft.proposal.members}
    compiled = compile_flow(parse(draft.text(), path), draft.proposal.name, schemas)
    wanted = []
    for name, member in compiled.members.items():
        if not member.mode.is_target:
            continue
        endpoint = adapters[name].open(member.spec)
        if not endpoint.capabilities.settles:
            wanted.append(name)
    return replace(draft, receipts=wanted)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    except OSError as error:
        raise ConfigError(
            f"cannot be written: {error.strerror}", code="SY0165", where=str(path)
        ) from error


def _result(draft: Draft, path: Path, urls: Mapping[str, str]) -> Result:
    proposal = draft.proposal
    fields = [made for made in proposal.fields if made.name not in draft.dropped]
    objects = " = ".join(f"{m.system}:{m.object}" for m in proposal.members)
    lines = [f"wrote {plain(path)}: flow {proposal.name}, {plain(objects)}"]
    names = max((len(made.name) for made in fields), default=0)
    types = max((len(made.type) for made in fields), default=0)
    for made in fields:
        columns = ", ".join(f"{s}.{'+'.join(n)}" for s, n in made.columns.items())
        lines.append(f"  {made.name:<{names}}  {made.type:<{types}}  {plain(columns)}")
    if proposal.match:
        lines.append("records are matched by " + " and ".join(proposal.match[0]))
    else:
        lines.append("nothing was found to match records by: set `match` before the first run")
    exports = {
        _variable(system): system for system, url in urls.items() if draft.urls[system] != url
    }
    for variable in exports:
        lines.append(f"a password never stands in the config; first: export {variable}=…")
    where = "" if path.name == FILE and path.parent == Path() else f" --config {path}"
    lines.append(f"next: syncd check{where}, then syncd reconcile --dry-run{where}")
    data: dict[str, Any] = {
        "path": str(path),
        "flow": proposal.name,
        "members": [{"system": m.system, "object": m.object} for m in proposal.members],
        "fields": [
            {
                "name": made.name,
                "type": made.type,
                "columns": {system: list(native) for system, native in made.columns.items()},
                "reason": made.reason,
            }
            for made in fields
        ],
        "match": [list(rule) for rule in proposal.match],
        "receipts": list(draft.receipts),
        "variables": sorted(exports),
    }
    return Result("init", data, lines)
