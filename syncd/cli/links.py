"""`syncd links`: who is who."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import click

from syncd.cli.app import App
from syncd.cli.command import Group, pass_app
from syncd.cli.output import Result, masked, number, plain, shown, table
from syncd.cli.records import (
    Record,
    acting,
    before_first_run,
    known_flow,
    parse_record,
    parse_records,
    reading,
)
from syncd.config.fields import comparison
from syncd.config.models import FlowConfig
from syncd.core import keys
from syncd.core.model import Entity, Link, LinkState
from syncd.errors import ConfigError
from syncd.store import identity, shadow
from syncd.store.standing import entity_page

_RECORD = "MEMBER:ID"


@click.group(
    cls=Group,
    examples=("syncd links show customers crm:42", "syncd links link customers crm:42 erp:7"),
)
def command() -> None:
    """Which records are the same thing.

    Nothing here writes to any system: the next run sees the new links and brings the records
    together, or apart.
    """


@command.command(
    "list", examples=("syncd links list customers", "syncd links list customers --state unlinked")
)
@click.argument("flow")
@click.option(
    "--state",
    type=click.Choice([s.value for s in LinkState if s is not LinkState.GONE]),
    help="Only with a link in this state.",
)
@click.option("--after", type=int, default=0, metavar="ENTITY", help="Go on behind this one.")
@click.option("--limit", "-n", type=click.IntRange(1), default=100, help="At most so many.")
@pass_app
def list_(app: App, flow: str, state: str | None, after: int, limit: int) -> None:
    """Linked records, entity by entity."""
    app.flow(flow)
    found: list[dict[str, Any]] = []
    last = 0
    with before_first_run(), reading(app) as (_, conn):
        flow_number = known_flow(conn, app, flow)
        page = entity_page(conn, flow_number, after=after, state=state, limit=limit)
        found = [_shape(one) for one in shadow.load_entities(conn, flow_number, page)]
        last = page[-1] if len(page) == limit else 0
    rows = [(one["entity"], one["state"], _records(one)) for one in found]
    lines = table(("entity", "state", "records"), rows, ("entity",))
    if last:
        lines.append(f"next: syncd links list {plain(flow)} --after {last}")
    data = {"flow": flow, "entities": found, "after": last or None}
    app.finish(Result("links list", data, lines if found else ["none"]))


@command.command(
    "show",
    examples=("syncd links show customers crm:42", "syncd links show customers erp:7 --json"),
)
@click.argument("flow")
@click.argument("record", metavar=_RECORD)
@pass_app
def show(app: App, flow: str, record: str) -> None:
    """A record's entity: what is agreed, and what each member has confirmed of it."""
    with reading(app) as (_, conn):
        flow_number = known_flow(conn, app, flow)
        member, key = parse_record(conn, app, flow, record)
        number_ = shadow.entity_of(conn, flow_number, member, key)
        if number_ is None:
            raise _not_linked((member, key))
        (entity,) = shadow.load_entities(conn, flow_number, [number_])
    data = {"flow": flow, **_shape(entity), **_values(entity, app.flow(flow))}
    head = ("field", "agreed", *(f"{m} {keys.show(k.key)}" for m, k in entity.links.items()))
    rows = [
        (
            name,
            shown(facts["value"]),
            *(_cell(data["bases"][member].get(name)) for member in entity.links),
        )
        for name, facts in data["agreed"].items()
    ]
    lines = [f"entity {entity.id} of {plain(flow)} ({entity.state.value}): {_records(data)}"]
    lines += [f"  {line}" for line in table(head, rows)]
    for tomb in data["gone"]:
        lines.append(f"  gone: {tomb['member']} {plain(tomb['key'])}")
    app.finish(Result("links show", data, [plain(line) for line in lines]))


def _changing(word: str, *examples: str) -> Callable[[Callable[..., None]], click.Command]:
    """A command that changes who is who: of which flow, which records, and who says so."""

    def made(act: Callable[..., None]) -> click.Command:
        for decorate in (
            pass_app,
            click.option(
                "--by", metavar="NAME", help="Who says so; the user where nothing is said."
            ),
            click.argument("records", nargs=-1, required=True, metavar=f"{_RECORD}..."),
            click.argument("flow"),
        ):
            act = decorate(act)
        return command.command(word, examples=examples)(act)

    return made


@_changing(
    "link",
    "syncd links link customers crm:42 erp:7",
    "syncd links link customers crm:42,erp:7,shop:x9",
)
def link(app: App, flow: str, records: tuple[str, ...], by: str | None) -> None:
    """These records are one thing. Where they differ, the next run treats it as first sight. A
    single one that was unlinked takes part again."""
    wanted = _parsed(app, flow, records, least=1)
    _there(app, flow, wanted)
    with acting(app, flow, by) as act:
        entity = identity.join(act, wanted)
    text = "are one thing now" if len(wanted) > 1 else "takes part again"
    _done(app, "link", flow, wanted, [entity], text)


@_changing(
    "merge",
    "syncd links merge customers crm:42 crm:43",
    "syncd links merge customers crm:42 erp:9 --by anna",
)
def merge(app: App, flow: str, records: tuple[str, ...], by: str | None) -> None:
    """Make one entity of the ones that these records belong to, with all their records."""
    wanted = _parsed(app, flow, records)
    with acting(app, flow, by) as act:
        entity = identity.join(act, wanted)
    _done(app, "merge", flow, wanted, [entity], "and what is linked to them are one thing now")


@command.command(
    "unlink",
    examples=("syncd links unlink customers crm:42", "syncd links unlink customers erp:7 --by bo"),
)
@click.argument("flow")
@click.argument("record", metavar=_RECORD)
@click.option("--by", metavar="NAME", help="Who says so; the user where nothing is said.")
@pass_app
def unlink(app: App, flow: str, record: str, by: str | None) -> None:
    """Leave this record alone: it stays as it is, and takes part no more until it is linked."""
    wanted = _parsed(app, flow, (record,), least=1)
    with acting(app, flow, by) as act:
        entity = identity.unlink(act, wanted[0])
    _done(app, "unlink", flow, wanted, [entity], "takes part no more")


@_changing(
    "split",
    "syncd links split customers crm:42",
    "syncd links split customers crm:42 erp:7",
)
def split(app: App, flow: str, records: tuple[str, ...], by: str | None) -> None:
    """Each of these records is a thing of its own. The next run makes what it lacks at the other
    members; to have it left alone, unlink it instead."""
    wanted = _parsed(app, flow, records, least=1)
    with acting(app, flow, by) as act:
        entities = identity.split(act, wanted)
    text = "are things of their own now" if len(wanted) > 1 else "is a thing of its own now"
    _done(app, "split", flow, wanted, entities, text)


@_changing(
    "never",
    "syncd links never customers crm:42 erp:7",
    "syncd links never customers crm:1,crm:2",
)
def never(app: App, flow: str, records: tuple[str, ...], by: str | None) -> None:
    """None of these records is another one of them, whatever their keys say."""
    wanted = _parsed(app, flow, records)
    with acting(app, flow, by) as act:
        entities = {r: shadow.entity_of(act.conn, act.flow, *r) for r in wanted}
        for one, other in combinations(wanted, 2):
            if entities[one] is not None and entities[one] == entities[other]:
                raise ConfigError(
                    f"{_name(one)} and {_name(other)} are linked",
                    code="SY0169",
                    hint=f"take them apart: syncd links split {flow} {_name(one)}",
                )
        identity.never(act, [frozenset(pair) for pair in combinations(wanted, 2)])
        # a free record becomes an entity of its own, else its keys would ask again
        free = [record for record, entity in entities.items() if entity is None]
        for record in free:
            entities[record] = identity.join(act, [record])
    found = [entities[record] or 0 for record in wanted]
    _done(app, "never", flow, wanted, found, "are never the same thing")


def _parsed(app: App, flow: str, texts: tuple[str, ...], *, least: int = 2) -> list[Record]:
    with reading(app) as (_, conn):
        known_flow(conn, app, flow)
        found = list(dict.fromkeys(parse_records(conn, app, flow, texts)))
    if len(found) < least:
        raise ConfigError("name two records or more", code="SY0160")
    return found


def _there(app: App, flow: str, records: list[Record]) -> None:
    """Refuse to link a record that its member does not have; a member that is down cannot say."""
    with reading(app) as (_, conn):
        flow_number = known_flow(conn, app, flow)
        free = [r for r in records if shadow.entity_of(conn, flow_number, *r) is None]
    if not free:
        return
    with app.session() as session:
        opened = session.open(flow)
        for member, key in free:
            if member in opened.failed:
                raise opened.failed[member]
            if not opened.endpoints[member].get([key]):
                raise ConfigError(
                    f"{member} has no record {keys.show(key)}",
                    code="SY0168",
                    where=f"flow {flow}",
                    hint="write the id as the system shows it; linked ones: "
                    f"syncd links list {flow}",
                )


def _done(
    app: App, word: str, flow: str, records: list[Record], entities: list[int], text: str
) -> None:
    names = [_name(record) for record in records]
    lines = [f"{', '.join(map(plain, names))} {text}", f"next: syncd reconcile {plain(flow)} -n"]
    data = {"flow": flow, "records": names, "entities": entities}
    app.finish(Result(f"links {word}", data, lines))


def _name(record: Record) -> str:
    return f"{record[0]}:{keys.show(record[1])}"


def _not_linked(record: Record) -> ConfigError:
    return ConfigError(
        f"{_name(record)} is not linked to anything",
        code="SY0168",
        hint="syncd links list shows what is",
    )


def _shape(entity: Entity) -> dict[str, Any]:
    return {
        "entity": entity.id,
        "state": entity.state.value,
        "links": [
            {"member": member, "key": keys.show(link.key), "state": link.state.value}
            for member, link in entity.links.items()
        ],
        "gone": [
            {"member": link.member, "key": keys.show(link.key) if link.key else ""}
            for link in entity.gone
        ],
    }


def _records(entity: dict[str, Any]) -> str:
    said = [
        f"{link['member']}:{link['key']}"
        + ("" if link["state"] == LinkState.LIVE else f" ({link['state']})")
        for link in entity["links"]
    ]
    return " = ".join(plain(one) for one in said) or number(len(entity["gone"]), "tombstone")


def _values(entity: Entity, flow: FlowConfig) -> dict[str, Any]:
    hidden = [name for name, options in flow.fields.items() if options.private]
    agreed = masked({n: a.value for n, a in entity.agreed.items()}, hidden)
    return {
        "agreed": {
            name: {
                "value": agreed[name],
                "seq": facts.seq,
                "origin": facts.origin.member or facts.origin.rule,
                "run": facts.origin.run,
                "at": facts.origin.at,
            }
            for name, facts in entity.agreed.items()
        },
        "bases": {
            member: _bases(entity, link, hidden, flow) for member, link in entity.links.items()
        },
    }


def _bases(entity: Entity, link: Link, hidden: list[str], flow: FlowConfig) -> dict[str, Any]:
    values = masked({n: base.value for n, base in link.bases.items()}, hidden)
    found = {}
    for name, base in link.bases.items():
        agreed = entity.agreed.get(name)
        behind = agreed is not None and base.seq < agreed.seq
        degraded = False
        if agreed is not None and not behind and name in flow.fields:
            compare = comparison(flow.fields[name])
            degraded = compare(base.value) != compare(agreed.value)
        found[name] = {
            "value": values[name],
            "state": "pending" if behind else "degraded" if degraded else "in step",
        }
    return found


def _cell(base: dict[str, Any] | None) -> str:
    if base is None:
        return "-"
    if base["state"] == "in step":
        return "="
    return f"{shown(base['value'])} ({base['state']})"
