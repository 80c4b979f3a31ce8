"""`syncd holds`: what a guard stopped, and what a person says of it."""

from __future__ import annotations

from typing import Any

import click

from syncd.cli.app import App
from syncd.cli.command import Group, flow_option, pass_app
from syncd.cli.output import Result, masked, moment, number, plain, shown, table
from syncd.cli.records import before_first_run, flows_of, reading
from syncd.config.models import FlowConfig
from syncd.core import keys
from syncd.errors import ConfigError
from syncd.store import events, shadow
from syncd.store import holds as stored
from syncd.store.holds import Hold, HoldItem, ItemState

_EMPTY = "empty"
_HARM = ("delete", "blanking", _EMPTY, "scope-exit")


@click.group(cls=Group, examples=("syncd holds list", "syncd holds approve 3 --confirm customers"))
def command() -> None:
    """What a guard stopped before it could do harm."""


@command.command("list", examples=("syncd holds list", "syncd holds list --flow customers --all"))
@flow_option()
@click.option("--all", "every", is_flag=True, help="Also those that were answered.")
@pass_app
def list_(app: App, flow: str | None, every: bool) -> None:
    """The open holds. Exit 3 while there is one."""
    found: list[dict[str, Any]] = []
    with before_first_run(), reading(app) as (_, conn):
        for name, flow_number in flows_of(conn, app, flow).items():
            state = None if every else stored.OPEN
            for hold in stored.holds(conn, flow_number, state=state):
                found.append(_shape(hold, name, stored.counts(conn, hold.id)))
    rows = [
        (
            hold["id"],
            hold["flow"],
            hold["kind"],
            hold["cause"] or "a rule",
            hold["items"].get("held", 0),
            hold["state"],
            moment(hold["opened_at"]),
            hold["reason"],
        )
        for hold in found
    ]
    head = ("id", "flow", "kind", "caused by", "held", "state", "since", "why")
    lines = table(head, rows, ("id", "held"))
    open_ = [hold for hold in found if hold["state"] == stored.OPEN]
    if open_:
        lines.append(f"next: syncd holds show {open_[0]['id']}")
    app.finish(
        Result("holds list", {"holds": found}, lines if found else ["none"], 3 if open_ else 0)
    )


@command.command("show", examples=("syncd holds show 3", "syncd holds show 3 --limit 1000 --json"))
@click.argument("hold_id", type=int, metavar="ID")
@click.option("--limit", "-n", type=click.IntRange(1), default=50, help="At most so many items.")
@pass_app
def show(app: App, hold_id: int, limit: int) -> None:
    """Every operation of a hold, with what it would change."""
    with reading(app) as (_, conn):
        hold = _found(stored.hold(conn, hold_id), hold_id)
        name = {one: name for name, one in shadow.flows(conn).items()}.get(hold.flow, "")
        flow = app.loaded.config.flows.get(name)
        counts = stored.counts(conn, hold_id)
        items = stored.items(conn, hold_id, limit=limit)
    operations = [_item(item, flow) for item in items]
    more = sum(counts.values()) - len(items)
    lines = [
        f"hold {hold_id} ({hold.state}): {plain(name)}, {hold.kind} caused by "
        + (hold.cause or "a rule"),
        f"  {plain(hold.reason)}; since {moment(hold.opened_at)}",
        *(f"  {_line(item)}" for item in operations if hold.kind != _EMPTY),
    ]
    if more:
        lines.append(f"  … {more:,} more; --limit shows them")
    if hold.state == stored.OPEN:
        approve_ = f"syncd holds approve {hold_id} --seen {hold.digest[:12]}"
        discard_ = f"syncd holds discard {hold_id} --seen {hold.digest[:12]}"
        sure = f" --confirm {name}" if hold.kind in _HARM else ""
        lines.append("next:")
        if hold.kind == _EMPTY:
            who = plain(hold.cause)
            lines += [
                f"  look into {who}: wrong database, a missing right, a restore under way?",
                f"  {approve_}{sure}   {who} is empty indeed: its records count as deleted there",
            ]
        else:
            steps = {
                f"{approve_}{sure}": "they run if they are still the same",
                discard_: "the records stay as they are, unlinked",
            }
            if stored.revertible(hold):
                steps[f"{discard_} --revert"] = "the change behind is taken back"
            width = max(map(len, steps))
            lines += [f"  {step:<{width}}   {what}" for step, what in steps.items()]
    data = {"hold": _shape(hold, name, counts), "operations": operations, "more": more}
    app.finish(Result("holds show", data, lines))


@command.command(
    "approve",
    examples=("syncd holds approve 3 --seen 4f1d", "syncd holds approve 3 --confirm customers"),
)
@click.argument("hold_id", type=int, metavar="ID")
@click.option("--seen", metavar="DIGEST", help="Refuse if it is not what was shown any more.")
@click.option("--confirm", metavar="FLOW", help="The flow's name, where records would be lost.")
@click.option("--by", metavar="NAME", help="Who decides; the user where nothing is said.")
@pass_app
def approve(app: App, hold_id: int, seen: str | None, confirm: str | None, by: str | None) -> None:
    """Let the operations run that the hold lists now. Those whose records move before the next
    run drop out; nothing else is let through."""
    _answer(app, hold_id, seen, by, confirm=confirm, revert=None)


@command.command("discard", examples=("syncd holds discard 3", "syncd holds discard 3 --revert"))
@click.argument("hold_id", type=int, metavar="ID")
@click.option("--revert", is_flag=True, help="Also take the change behind them back.")
@click.option("--seen", metavar="DIGEST", help="Refuse if it is not what was shown any more.")
@click.option("--by", metavar="NAME", help="Who decides; the user where nothing is said.")
@pass_app
def discard(app: App, hold_id: int, revert: bool, seen: str | None, by: str | None) -> None:
    """Give the operations up. Their records stay as they are and take part no more; with
    --revert the change that caused them is taken back where it was made."""
    _answer(app, hold_id, seen, by, confirm=None, revert=revert)


def _answer(
    app: App,
    hold_id: int,
    seen: str | None,
    by: str | None,
    *,
    confirm: str | None,
    revert: bool | None,
) -> None:
    """revert None: approve."""
    by = by or app.user
    with app.store() as store:
        with store.read() as conn:
            hold = _found(stored.hold(conn, hold_id), hold_id)
            name = {one: name for name, one in shadow.flows(conn).items()}.get(hold.flow, "")
            held = stored.counts(conn, hold_id).get(ItemState.HELD, 0)
        if seen and not hold.digest.startswith(seen):
            raise ConfigError(
                "what it holds changed since it was shown",
                code="SY0198",
                where=f"hold {hold_id}",
                hint=f"look again with `syncd holds show {hold_id}`, then decide",
            )
        if revert is None and hold.kind in _HARM and hold.state == stored.OPEN:
            _sure(app, hold, name, held, confirm)
        at = app.time()
        with store.write() as conn:
            if revert is None:
                count = stored.approve(conn, hold_id, hold.digest, by=by, at=at)
            else:
                count = stored.discard(conn, hold_id, hold.digest, by=by, at=at, revert=revert)
            word = "approve" if revert is None else "revert" if revert else "discard"
            event = events.Event(0, at, word, reason=f"hold {hold_id}", actor=by)
            events.record(conn, hold.flow, [event])
    lines = [
        f"hold {hold_id} of {plain(name)}: {number(count, 'operation')} "
        + {"approve": "approved", "discard": "discarded", "revert": "to be taken back"}[word],
        f"next: syncd reconcile {plain(name)}",
    ]
    data = {"id": hold_id, "flow": name, "answer": word, "operations": count, "by": by}
    app.finish(Result(f"holds {'approve' if revert is None else 'discard'}", data, lines))


def _sure(app: App, hold: Hold, name: str, held: int, confirm: str | None) -> None:
    if confirm == name:
        return
    if confirm is None and app.asks:
        answer = app.ask(
            f"{number(held, 'operation')} of kind {hold.kind} will run. "
            f"Type the flow's name ({name}) to approve: "
        )
        if answer == name:
            return
    raise ConfigError(
        f"approving {number(held, 'operation')} of kind {hold.kind} wants the flow's name",
        code="SY0160",
        where=f"hold {hold.id}",
        hint=f"syncd holds approve {hold.id} --confirm {name}",
    )


def _found(hold: Hold | None, hold_id: int) -> Hold:
    if hold is None:
        raise ConfigError(
            f"there is no hold {hold_id}", code="SY0196", hint="see `syncd holds list`"
        )
    return hold


def _shape(hold: Hold, name: str, counts: dict[ItemState, int]) -> dict[str, Any]:
    return {
        "id": hold.id,
        "flow": name,
        "kind": hold.kind,
        "cause": hold.cause,
        "target": hold.target,
        "state": hold.state,
        "reason": hold.reason,
        "opened_at": hold.opened_at,
        "opened_run": hold.opened_run,
        "closed_at": hold.closed_at,
        "by": hold.by,
        "digest": hold.digest,
        "items": {state.value: n for state, n in counts.items()},
    }


def _item(item: HoldItem, flow: FlowConfig | None) -> dict[str, Any]:
    summary = dict(item.summary)
    values = [dict(summary.get(side) or {}) for side in ("before", "after")]
    hidden = (
        {name for side in values for name in side}
        if flow is None
        else {name for name, options in flow.fields.items() if options.private}
    )
    before, after = (masked(side, hidden) for side in values)
    return {
        "member": item.member,
        "key": keys.show(item.key) if item.key else None,
        "operation": summary.get("kind", ""),
        "cause": summary.get("cause", ""),
        "before": before,
        "after": after,
        "state": item.state.value,
        "digest": item.op_digest,
    }


def _line(item: dict[str, Any]) -> str:
    sign = {"create": "+", "update": "~"}.get(item["operation"], "-")
    way = f"{item['cause'] or 'agreed'} → {item['member']} {plain(item['key'] or '(new)')}"
    before, after = item["before"], item["after"]
    if item["operation"] == "update":
        said = ", ".join(f"{plain(n)} {shown(before.get(n))} → {shown(after[n])}" for n in after)
    else:
        fields = after or before
        known = [n for n in fields if fields[n] is not None][:4]
        said = ", ".join(f"{plain(n)} {shown(fields[n])}" for n in known)
    return f"{sign} {way}  {said}  [{item['state']}]"
