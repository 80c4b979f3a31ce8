"""Records as people name them, `MEMBER:ID`, and flows as the store knows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, select

from syncd import host
from syncd.adapter import ObjectSchema
from syncd.cli.app import App
from syncd.config.fields import comparison
from syncd.config.problems import did_you_mean
from syncd.core import keys
from syncd.core.keys import PartKind
from syncd.core.rules import FieldRules, FlowRules
from syncd.errors import ConfigError, StoreRefused
from syncd.store import lease, shadow, tables
from syncd.store.database import Store
from syncd.store.flows import names
from syncd.store.identity import Act

Record = tuple[str, str]  # member, encoded key

_TTL = 60.0  # seconds a change of who is who may hold the flow


def known_flow(conn: Connection, app: App, name: str) -> int:
    """The flow's number in the store. Raises ConfigError where config or store lack it."""
    app.flow(name)
    try:
        return shadow.flow_id(conn, name, create=False)
    except KeyError:
        raise ConfigError(
            f"flow {name} has not run yet",
            code="SY0168",
            hint=f"syncd reconcile {name}",
        ) from None


def flows_of(conn: Connection, app: App, only: str | None) -> dict[str, int]:
    """Flows of the config that the store knows, by name."""
    if only is not None:
        return {only: known_flow(conn, app, only)}
    known = shadow.flows(conn)
    return {name: known[name] for name in app.loaded.config.flows if name in known}


@contextmanager
def reading(app: App) -> Iterator[tuple[Store, Connection]]:
    with app.store() as store, store.read() as conn:
        yield store, conn


def absent(error: StoreRefused) -> bool:
    """There is no state yet: nothing ran so far."""
    return error.code == "SY0403"


@contextmanager
def before_first_run() -> Iterator[None]:
    """What was to be read is none where there is no state yet."""
    try:
        yield
    except StoreRefused as error:
        if not absent(error):
            raise


@contextmanager
def acting(app: App, flow: str, by: str | None) -> Iterator[Act]:
    """Change who is who in one transaction, as the flow's only owner. Raises FlowBusy."""
    with app.store() as store:
        with store.read() as conn:
            number = known_flow(conn, app, flow)
        fence = lease.acquire(store, flow, host.holder(), _TTL, host.alive)
        try:
            with store.write(fence) as conn:
                store.tick(conn)
                yield Act(conn, number, match_rules(app, flow), by or app.user, app.time())
        finally:
            lease.release(store, fence)


def match_rules(app: App, name: str) -> FlowRules:
    """What of the rules can be told without asking a system: match rules and comparisons."""
    flow = app.flow(name)
    fields = {
        field: FieldRules(field, comparison(options), exclusive=options.exclusive)
        for field, options in flow.fields.items()
    }
    return FlowRules(name, fields, {}, (), tuple(tuple(rule) for rule in flow.match))


def parse_record(conn: Connection, app: App, flow: str, text: str) -> Record:
    """`MEMBER:ID` as (member, encoded key). The form of the ids is that of the ones in the store;
    where there is none the system is asked. Raises ConfigError SY0160, SY0170."""
    member, native = split_record(app, flow, text)
    kinds = _stored_kinds(conn, shadow.flow_id(conn, flow, create=False), member)
    if kinds is not None:
        return member, keys.parse(native, kinds)
    return member, asked_key(app, flow, member, native)


def split_record(app: App, flow: str, text: str) -> tuple[str, str]:
    members = app.flow(flow).members
    member, colon, native = text.partition(":")
    if not colon or not native:
        raise ConfigError(
            f"`{text}` names no record", code="SY0160", hint="write MEMBER:ID, as in crm:42"
        )
    if member not in members:
        raise ConfigError(
            f"flow {flow} has no member `{member}`",
            code="SY0160",
            hint=did_you_mean(member, members),
        )
    return member, native


def parse_records(conn: Connection, app: App, flow: str, texts: Sequence[str]) -> list[Record]:
    """Of several words, and of words that hold several: `crm:1,erp:9`."""
    members = app.flow(flow).members
    single: list[str] = []
    for text in texts:
        first, *rest = text.split(",")
        single.append(first)
        for part in rest:
            # a comma within an id: the part after it names no member
            if part.partition(":")[0] not in members:
                single[-1] += f",{part}"
            else:
                single.append(part)
    return [parse_record(conn, app, flow, one) for one in dict.fromkeys(single)]


def asked_key(app: App, flow: str, member: str, native: str) -> str:
    """The encoded key, by what the system says of its key columns."""
    with app.session() as session:
        schema = session.open(flow).compiled.members[member]
        return keys.parse(native, schema_kinds(schema.schema, schema.key))


def schema_kinds(schema: ObjectSchema, key: Sequence[str]) -> list[PartKind]:
    return [
        "int"
        if schema.columns[name].family == "integer"
        or (schema.columns[name].family == "decimal" and not schema.columns[name].scale)
        else "text"
        for name in key
    ]


def _stored_kinds(conn: Connection, flow: int, member: str) -> list[PartKind] | None:
    number = names(conn, flow).ids.get(member)
    for table in (tables.link, tables.tombstone):
        key = conn.execute(
            select(table.c.key).where(table.c.member_id == number, table.c.key != "").limit(1)
        ).scalar()
        if key is not None:
            return ["int" if isinstance(part, int) else "text" for part in keys.decode(key)]
    return None
