"""`syncd conflicts`: what policies leave open, and what a person decides of it."""

from __future__ import annotations

from typing import Any

import click
from sqlalchemy import Connection

from syncd.cli.app import App
from syncd.cli.command import Group, flow_option, pass_app
from syncd.cli.output import Result, masked, moment, plain, shown, table
from syncd.cli.planlines import case_json
from syncd.cli.records import before_first_run, flows_of, reading
from syncd.cli.resolve import answers_to, resolve
from syncd.config.models import FlowConfig
from syncd.core.model import Agreed, CaseKind
from syncd.errors import ConfigError
from syncd.store import conflicts as stored
from syncd.store import shadow


@click.group(
    cls=Group,
    examples=("syncd conflicts list", "syncd conflicts resolve 12 --take erp"),
)
def command() -> None:
    """What policies leave open, and what you decide of it."""


@command.command(
    "list", examples=("syncd conflicts list", "syncd conflicts list --flow customers --field phone")
)
@flow_option()
@click.option("--field", metavar="FIELD", help="Only about this field.")
@click.option("--kind", type=click.Choice([k.value for k in CaseKind]), help="Only of this kind.")
@click.option("--limit", "-n", type=click.IntRange(1), default=100, help="At most so many.")
@pass_app
def list_(app: App, flow: str | None, field: str | None, kind: str | None, limit: int) -> None:
    """The open conflicts, oldest first. Exit 3 while one is undecided."""
    found: list[dict[str, Any]] = []
    more = 0
    with before_first_run(), reading(app) as (_, conn):
        for name, flow_number in flows_of(conn, app, flow).items():
            cases = stored.open_cases(
                conn, flow_number, field=field, kind=CaseKind(kind) if kind else None
            )
            more += max(0, len(cases) - max(0, limit - len(found)))
            for case in cases[: max(0, limit - len(found))]:
                found.append(shape(case, name, app.flow(name)))
    rows = [
        (
            case["id"],
            case["flow"],
            case["kind"],
            ", ".join(case["fields"]) or "the record",
            _who(case),
            case["state"],
        )
        for case in found
    ]
    lines = table(("id", "flow", "kind", "fields", "between", "state"), rows, ("id",))
    if more:
        lines.append(f"… {more:,} more; --limit shows them")
    if found:
        lines.append(f"next: syncd conflicts show {found[0]['id']}")
    needed = any(case["state"] == stored.OPEN for case in found)
    data = {"conflicts": found, "more": more}
    app.finish(Result("conflicts list", data, lines if found else ["none"], 3 if needed else 0))


@command.command("show", examples=("syncd conflicts show 12", "syncd conflicts show 12 --json"))
@click.argument("case_id", type=int, metavar="ID")
@pass_app
def show(app: App, case_id: int) -> None:
    """One conflict: every candidate side by side with what was agreed, and what you may decide."""
    with reading(app) as (_, conn):
        case = stored.case(conn, case_id)
        if case is None:
            raise ConfigError(
                f"there is no conflict {case_id}", code="SY0192", hint="see `syncd conflicts list`"
            )
        names = {one: name for name, one in shadow.flows(conn).items()}
        name = names.get(case.flow, "")
        flow = app.loaded.config.flows.get(name)
        agreed = _agreed(conn, case, flow)
        decisions = [
            {
                "choice": decision.decision.choice.value,
                "source": decision.decision.source,
                "values": _safe(decision.decision.values, flow),
                "by": decision.decision.by,
                "at": decision.at,
                "state": decision.state,
                "note": decision.note,
            }
            for decision in stored.decisions_of(conn, case_id)
        ]
    data = {
        "conflict": shape(case, name, flow),
        "agreed": agreed,
        "decisions": decisions,
        "answers": answers_to(case) if case.state != stored.CLOSED else [],
    }
    app.finish(Result("conflicts show", data, _lines(data)))


command.add_command(resolve)


def shape(case: stored.StoredCase, name: str, flow: FlowConfig | None) -> dict[str, Any]:
    """flow None: not in the config any more; then nothing says which values may be shown."""
    if flow is None:
        private = {field for one in case.case.candidates for field in one.values or ()}
    else:
        private = {field for field, options in flow.fields.items() if options.private}
    return {
        "id": case.id,
        "flow": name,
        "entity": case.entity,
        "state": case.state,
        "opened_at": case.opened_at,
        **case_json(case.case, private),
    }


def _agreed(conn: Connection, case: stored.StoredCase, flow: FlowConfig | None) -> dict[str, Any]:
    entities = shadow.load_entities(conn, case.flow, [case.entity]) if case.entity else []
    agreed: dict[str, Agreed] = dict(entities[0].agreed) if entities else {}
    wanted = case.case.fields or tuple(agreed)
    values = _safe({n: agreed[n].value for n in wanted if n in agreed}, flow)
    return {
        name: {
            "value": value,
            "origin": agreed[name].origin.member or agreed[name].origin.rule,
            "run": agreed[name].origin.run,
            "at": agreed[name].origin.at,
        }
        for name, value in values.items()
    }


def _safe(values: Any, flow: FlowConfig | None) -> dict[str, Any]:
    if flow is None:
        return masked(values, values)
    return masked(values, [name for name, options in flow.fields.items() if options.private])


def _who(case: dict[str, Any]) -> str:
    return ", ".join(
        f"{one['source']} {plain(one['key'])}" if one["key"] else one["source"]
        for one in case["candidates"]
    )


def _lines(data: dict[str, Any]) -> list[str]:
    case, all_agreed = data["conflict"], data["agreed"]
    about = ", ".join(case["fields"]) or "the record"
    what = f"{plain(case['flow'])}, {case['kind']}, {plain(about)}"
    lines = [
        f"conflict {case['id']} ({case['state']}): {what}",
        f"  {plain(case['reason'])}; open since {moment(case['opened_at'])}",
    ]
    sources = case["candidates"]
    fields = list(case["fields"]) or sorted(
        {name for one in sources for name in one["values"] or {}} | set(all_agreed)
    )
    head = ["", *(f"{one['source']} {one['key'] or ''}".strip() for one in sources), "agreed"]
    rows: list[list[object]] = []
    for name in fields:
        agreed = all_agreed.get(name)
        cells = [
            "(deleted)"
            if one["deleted"]
            else shown(one["values"][name])
            if name in one["values"]
            else "-"
            for one in sources
        ]
        rows.append([name, *cells, shown(agreed["value"]) if agreed else "-"])
    origins = {a["origin"] for a in all_agreed.values()}
    edited = [moment(one["at"]) if one["at"] else "-" for one in sources]
    if any(one["at"] for one in sources) or origins:
        rows.append(["edited", *edited, ", ".join(f"from {o}" for o in sorted(origins)) or "-"])
    if any(one["source"] == "agreed" for one in sources):  # it stands among the candidates
        head, rows = head[:-1], [row[:-1] for row in rows]
    lines += [f"  {line}" for line in table(head, rows)]
    for said in data["decisions"]:
        chosen = f"{said['choice']} {said['source'] or ''}".strip()
        lines.append(f"  decided: {chosen} by {said['by']} {moment(said['at'])} ({said['state']})")
    if data["answers"]:
        lines.append("next:")
        lines += [f"  syncd conflicts resolve {case['id']} {one}" for one in data["answers"]]
    return [plain(line) for line in lines]
