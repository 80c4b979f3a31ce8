"""`syncd quarantine`: what a system refused; in nobody's way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from sqlalchemy import Connection

from syncd.cli.app import App
from syncd.cli.command import Group, flow_option, pass_app
from syncd.cli.output import Result, moment, number, plain, table
from syncd.cli.records import before_first_run, flows_of, reading
from syncd.core import keys
from syncd.errors import ConfigError
from syncd.store import quarantine as stored
from syncd.store.quarantine import Quarantined, QuarantineState


@click.group(cls=Group, examples=("syncd quarantine list", "syncd quarantine retry 5"))
def command() -> None:
    """What a system refused, seen and retried apart from everything else."""


@command.command(
    "list", examples=("syncd quarantine list", "syncd quarantine list --flow customers --json")
)
@flow_option()
@click.option("--dropped", is_flag=True, help="What was given up instead; retry takes it up again.")
@click.option("--limit", "-n", type=click.IntRange(1), default=100, help="At most so many.")
@pass_app
def list_(app: App, flow: str | None, dropped: bool, limit: int) -> None:
    """What waits there, oldest first. Exit 3 while there is something."""
    look = stored.dropped if dropped else stored.quarantined
    found: list[dict[str, Any]] = []
    more = 0
    with before_first_run(), reading(app) as (_, conn):
        for name, flow_number in flows_of(conn, app, flow).items():
            waiting = look(conn, flow_number)
            room = max(0, limit - len(found))
            more += max(0, len(waiting) - room)
            found += [_shape(one, name) for one in waiting[:room]]
    rows = [
        (
            one["id"],
            one["flow"],
            f"{one['member']} {one['key'] or '(new)'}",
            one["attempts"],
            moment(one["last_at"]),
            _next(one),
            one["error"],
        )
        for one in found
    ]
    head = ("id", "flow", "record", "attempts", "last", "next", "what the system said")
    lines = table(head, rows, ("id", "attempts"))
    if more:
        lines.append(f"… {more:,} more; --limit shows them")
    if found:
        first = found[0]["id"]
        other = "" if dropped else f", or syncd quarantine drop {first}"
        lines.append(f"next: syncd quarantine retry {first}{other}")
    data = {"quarantined": found, "more": more}
    app.finish(
        Result(
            "quarantine list", data, lines if found else ["none"], 3 if found and not dropped else 0
        )
    )


@command.command(
    "retry", examples=("syncd quarantine retry 5", "syncd quarantine retry --all --flow customers")
)
@click.argument("numbers", nargs=-1, type=int, metavar="[ID]...")
@click.option("--all", "every", is_flag=True, help="Everything that waits.")
@flow_option("With --all: only of this flow.")
@pass_app
def retry(app: App, numbers: tuple[int, ...], every: bool, flow: str | None) -> None:
    """Try again in the next run."""
    _answer(app, "retry", numbers, every, flow, stored.retry)


@command.command("drop", examples=("syncd quarantine drop 5", "syncd quarantine drop 5 6 7"))
@click.argument("numbers", nargs=-1, type=int, metavar="[ID]...")
@click.option("--all", "every", is_flag=True, help="Everything that waits.")
@flow_option("With --all: only of this flow.")
@pass_app
def drop(app: App, numbers: tuple[int, ...], every: bool, flow: str | None) -> None:
    """Give these operations up; another one for the same record will be tried."""
    _answer(app, "drop", numbers, every, flow, stored.drop)


def _answer(
    app: App,
    word: str,
    numbers: tuple[int, ...],
    every: bool,
    flow: str | None,
    act: Callable[[Connection, int], None],
) -> None:
    if bool(numbers) == every:
        raise ConfigError(
            "name what to " + word,
            code="SY0160",
            hint=f"syncd quarantine {word} ID, or --all; see `syncd quarantine list`",
        )
    with app.store() as store, store.write() as conn:
        flows = flows_of(conn, app, flow)
        wanted = list(numbers) or [
            one.id for number_ in flows.values() for one in stored.quarantined(conn, number_)
        ]
        for one in wanted:
            act(conn, one)
    done = {"retry": "tried again in the next run", "drop": "given up"}[word]
    lines = [f"{number(len(wanted), 'operation')} {done}"]
    if word == "retry" and wanted:
        lines.append("next: syncd reconcile")
    if word == "drop" and wanted:
        lines.append("their records stay pending: syncd quarantine list --dropped")
    app.finish(Result(f"quarantine {word}", {"ids": wanted}, lines))


def _next(one: dict[str, Any]) -> str:
    """When it is tried again. A record that could not be read has no time: each run reads it."""
    if one["state"] == QuarantineState.DROPPED.value:
        return "when asked"
    if one["state"] == QuarantineState.RETRY.value:
        return "next run"
    return moment(one["next_at"]) if one["next_at"] else "every run"


def _shape(one: Quarantined, name: str) -> dict[str, Any]:
    return {
        "id": one.id,
        "flow": name,
        "member": one.refused.member,
        "key": keys.show(one.refused.key) if one.refused.key else None,
        "entity": one.refused.entity,
        "error": plain(one.refused.error),
        "attempts": one.attempts,
        "first_at": one.first_at,
        "last_at": one.last_at,
        "next_at": one.refused.next_at,
        "state": one.state.value,
    }
