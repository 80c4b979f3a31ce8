"""`syncd status`: where every flow stands, told from the state alone."""

from __future__ import annotations

from typing import Any

import click
from sqlalchemy import Connection

from syncd import host
from syncd.cli.app import App
from syncd.cli.command import Command, flow_option, pass_app
from syncd.cli.output import Result, moment, number, plain, table
from syncd.cli.records import absent
from syncd.errors import StoreRefused
from syncd.store import conflicts, holds, lease, quarantine, runs, shadow
from syncd.store.rebuild import relinking
from syncd.store.standing import WORDS, Standing, last_runs, standing


@click.command(cls=Command, examples=("syncd status", "syncd status --flow customers --json"))
@flow_option()
@pass_app
def command(app: App, flow: str | None) -> None:
    """Where every flow stands.

    Works while systems and daemon are down: it reads the state, nothing else. Exit 3 when a
    person is needed.
    """
    wanted = [flow] if flow else list(app.loaded.config.flows)
    for name in wanted:
        app.flow(name)
    found: list[dict[str, Any]] = []
    try:
        with app.store() as store:
            owners = {held.flow: held for held in lease.held(store, host.holder().boot)}
            with store.read() as conn:
                known = shadow.flows(conn)
                for name in wanted:
                    number = known.get(name)
                    shown = _never_ran(app, name) if number is None else _flow(conn, name, number)
                    owner = owners.get(name)
                    shown["running"] = str(owner.holder) if owner and not owner.ended else None
                    found.append(shown)
    except StoreRefused as error:
        if not absent(error):
            raise
        found = [_never_ran(app, name) for name in wanted]
    needed = any(f["conflicts"] or f["holds"] or f["quarantined"] for f in found)
    lines = [line for one in found for line in _lines(one)]
    app.finish(Result("status", {"flows": found}, lines, 3 if needed else 0))


def _never_ran(app: App, name: str) -> dict[str, Any]:
    flow = app.flow(name)
    members = [
        _member(member, options.system or member, None) for member, options in flow.members.items()
    ]
    return _shape(name, members)


def _flow(conn: Connection, name: str, flow: int) -> dict[str, Any]:
    attempt, success, change = last_runs(conn, flow)
    states = shadow.members(conn, flow)
    stands = standing(conn, flow)
    members = [
        {
            **_member(member, member, stands.get(member)),
            "last_full_read": state.last_full_at,
            "state": state.state,
        }
        for member, state in states.items()
    ]
    latest = next(iter(runs.runs(conn, flow, limit=1)), None)
    return {
        **_shape(name, members),
        "last_attempt": attempt,
        "last_success": success,
        "last_change": change,
        "last_state": latest.state.value if latest else None,
        "last_error": latest.error if latest else "",
        "conflicts": conflicts.count_open(conn, flow, state=conflicts.OPEN),
        "decided": conflicts.count_open(conn, flow, state=conflicts.DECIDED),
        "holds": len(holds.holds(conn, flow)),
        "quarantined": quarantine.count(conn, flow),
        "suppressed": runs.suppressed(conn, flow),
        "relinking": relinking(conn, name),
    }


def _shape(name: str, members: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "flow": name,
        "last_attempt": None,
        "last_success": None,
        "last_change": None,
        "last_state": None,
        "last_error": "",
        "running": None,
        "conflicts": 0,
        "decided": 0,
        "holds": 0,
        "quarantined": 0,
        "suppressed": 0,
        "relinking": False,
        "members": members,
    }


def _member(name: str, system: str, stands: Standing | None) -> dict[str, Any]:
    counts = stands.counts if stands else dict.fromkeys(WORDS, 0)
    return {
        "name": name,
        "system": system,
        "records": {word.replace(" ", "_"): counts[word] for word in WORDS},
        "unknown": stands.unknown if stands else 0,
        "last_full_read": None,
        "state": "active",
    }


def _lines(flow: dict[str, Any]) -> list[str]:
    lines = [plain(flow["flow"])]
    if flow["last_attempt"] is None:
        return [*lines, f"  never ran; next: syncd reconcile {plain(flow['flow'])}"]
    lines.append(
        f"  last attempt {moment(flow['last_attempt'])} ({flow['last_state']})"
        f"   last success {moment(flow['last_success'])}"
        f"   last change {moment(flow['last_change'])}"
    )
    if flow["running"]:
        lines.append(f"  running now: {plain(flow['running'])}")
    if flow["last_error"]:
        lines.append(f"  ! {plain(flow['last_error'])}")
    rows = [
        (
            member["name"],
            *(f"{member['records'][word.replace(' ', '_')]:,}" for word in WORDS),
            moment(member["last_full_read"]) if member["state"] == "active" else "not in config",
        )
        for member in flow["members"]
    ]
    head = ("member", *WORDS, "last full read")
    lines += [f"  {line}" for line in table(head, rows, WORDS)]
    for member in flow["members"]:
        if member["unknown"]:
            said = number(member["unknown"], "operation")
            lines.append(f"  ! {plain(member['name'])}: {said} with an unknown outcome")
    if flow["relinking"]:
        lines.append(
            "  ! rebuilt: it links, and creates or deletes nothing; "
            f"then: syncd state confirm {plain(flow['flow'])}"
        )
    open_ = [
        (flow["conflicts"], "conflict", "syncd conflicts list"),
        (flow["holds"], "hold", "syncd holds list"),
        (flow["quarantined"], "refused operation", "syncd quarantine list"),
    ]
    lines += [f"  ! {number(n, noun)}: {what}" for n, noun, what in open_ if n]
    if flow["decided"]:
        lines.append(f"  {number(flow['decided'], 'decision')} waiting for the next run")
    if flow["suppressed"]:
        back = number(flow["suppressed"], "deleted id")
        verb = "is" if flow["suppressed"] == 1 else "are"
        lines.append(f"  {back} {verb} back and suppressed for now: syncd reconcile -v")
    return lines
