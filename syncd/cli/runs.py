"""`syncd runs`: what happened when, and what one run did."""

from __future__ import annotations

from typing import Any

import click

from syncd.cli.app import App
from syncd.cli.command import Group, flow_option, pass_app
from syncd.cli.output import Result, masked, moment, plain, shown, table
from syncd.cli.records import before_first_run, flows_of, reading
from syncd.core import keys
from syncd.errors import ConfigError
from syncd.store import events, shadow
from syncd.store import runs as stored
from syncd.store.events import Event


@click.group(
    cls=Group,
    invoke_without_command=True,
    examples=("syncd runs --flow customers", "syncd runs show 17"),
)
@flow_option()
@click.option("--limit", "-n", type=click.IntRange(1), default=20, help="How many, newest first.")
@click.pass_context
def command(context: click.Context, flow: str | None, limit: int) -> None:
    """The history of runs, newest first."""
    if context.invoked_subcommand is None:
        app = context.ensure_object(App)
        app.start_log()
        _list(app, flow, limit)


def _list(app: App, flow: str | None, limit: int) -> None:
    found: list[dict[str, Any]] = []
    with before_first_run(), reading(app) as (_, conn):
        only = flows_of(conn, app, flow)[flow] if flow else None
        names = {number: name for name, number in shadow.flows(conn).items()}
        found = [_run(run, names) for run in stored.runs(conn, only, limit=limit)]
    rows = [
        (
            run["run"],
            run["flow"],
            run["mode"],
            run["state"],
            moment(run["started_at"]),
            _counts(run),
        )
        for run in found
    ]
    lines = table(("run", "flow", "mode", "state", "started", "changes"), rows, ("run",))
    app.finish(Result("runs", {"runs": found}, lines if rows else ["no run so far"]))


@command.command("show", examples=("syncd runs show 17", "syncd runs show 17 --json"))
@click.argument("number", type=int, metavar="RUN")
@pass_app
def show(app: App, number: int) -> None:
    """What a run did: every operation with its outcome, and what it noted."""
    with reading(app) as (_, conn):
        run = stored.run(conn, number)
        if run is None:
            raise ConfigError(f"there is no run {number}", code="SY0168", hint="see `syncd runs`")
        names = {one: name for name, one in shadow.flows(conn).items()}
        name = names.get(run.flow, "")
        flow = app.loaded.config.flows.get(name)
        private = {f for f, o in flow.fields.items() if o.private} if flow else None
        happened = [e for block in events.of_run(conn, run.flow, number) for e in block]
        found = [_event(event, private) for event in happened]
        shape = _run(run, names)
    lines = [
        f"run {number} of {plain(name)}: {run.mode}, {run.state}",
        f"  {moment(run.started_at)} to {moment(run.ended_at)}  {_counts(shape)}",
    ]
    if run.error:
        lines.append(f"  ! {plain(run.error)}")
    lines += [f"  {_line(*both)}" for both in zip(found, happened, strict=True)]
    app.finish(Result("runs show", {**shape, "events": found}, lines))


def _run(run: stored.Run, names: dict[int, str]) -> dict[str, Any]:
    return {
        "run": run.id,
        "flow": names.get(run.flow, ""),
        "mode": run.mode,
        "state": run.state.value,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "counts": dict(run.counts),
        "exit_code": run.exit,
        "error": run.error,
        "holder": run.holder,
    }


def _counts(run: dict[str, Any]) -> str:
    counts = run["counts"]
    created, updated, deleted = (counts.get(n, 0) for n in ("created", "updated", "deleted"))
    return f"+{created:,} ~{updated:,} -{deleted:,}"


def _event(event: Event, private: set[str] | None) -> dict[str, Any]:
    """private None: the flow is not in the config any more, so nothing says what may be shown."""

    def safe(fields: Any) -> dict[str, Any] | None:
        if fields is None:
            return None
        return masked(fields, fields if private is None else private)

    return {
        "at": event.at,
        "kind": event.kind,
        "entity": event.entity,
        "member": event.member,
        "key": keys.show(event.key) if event.key else None,
        "before": safe(event.before),
        "after": safe(event.after),
        "cause": event.cause,
        "reason": event.reason,
        "outcome": event.outcome,
        "actor": event.actor,
    }


def _line(event: dict[str, Any], happened: Event) -> str:
    """What an update left as it was is not told."""
    before, after = event["before"] or {}, event["after"] or {}
    old, new = happened.before or {}, happened.after or {}
    changes = ", ".join(
        f"{plain(name)} {shown(before.get(name))} → {shown(after[name])}"
        if name in before
        else f"{plain(name)} {shown(after[name])}"
        for name in after
        if name not in old or old[name] != new[name]
    )
    which = plain(event["key"] or "")
    if not which and event["member"] and event["entity"]:
        which = f"entity {event['entity']}"
    where = f"{event['member'] or ''} {which}".strip()
    why = f"  ({plain(event['reason'])})" if event["reason"] else ""
    outcome = f"  {event['outcome']}" if event["outcome"] else ""
    return f"{event['kind']}  {plain(where)}  {changes}{why}{outcome}"
