"""`syncd state`: the shadow-state store itself."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import click

from syncd import host
from syncd.cli.app import App
from syncd.cli.command import Group, pass_app
from syncd.cli.output import Result, plain
from syncd.cli.records import acting, known_flow
from syncd.errors import ConfigError, StoreRefused, SystemFault
from syncd.store import admit, doctor, lifecycle, rebuild, shadow, sidecar, upgrade
from syncd.store.database import Store
from syncd.store.doctor import Level

_SIGNS = {Level.OK: "ok", Level.INFO: "note", Level.WARNING: "!", Level.ERROR: "!!"}


@click.group(cls=Group, examples=("syncd state doctor", "syncd state upgrade"))
def command() -> None:
    """What was agreed, and how it is kept."""


@command.command("upgrade", examples=("syncd state upgrade", "syncd state upgrade --no-backup"))
@click.option("--no-backup", is_flag=True, help="Without a copy of the state before.")
@pass_app
def upgrade_(app: App, no_backup: bool) -> None:
    """Bring an older state to the schema of this syncd; a backup is made first."""
    done = upgrade.upgrade(
        app.state_url(),
        seams=app.seams,
        state_dir=app.state_dir,
        base=app.loaded.base,
        no_backup=no_backup,
    )
    if done.before == done.after:
        lines = [f"nothing to do: schema {done.after}"]
    else:
        lines = [f"schema {done.before} → {done.after}"]
        lines.append(f"backup: {done.backup}" if done.backup else "no backup was made")
    data = {"before": done.before, "after": done.after, "backup": done.backup}
    app.finish(Result("state upgrade", data, lines))


@command.command("doctor", examples=("syncd state doctor", "syncd state doctor --adopt"))
@click.option("--adopt", is_flag=True, help="This state belongs to this machine from now on.")
@click.option("--accept", metavar="MEMBER", help="The member's system is another database now.")
@click.option("--flow", "-f", metavar="FLOW", help="With --accept: of this flow only.")
@pass_app
def doctor_(app: App, adopt: bool, accept: str | None, flow: str | None) -> None:
    """Everything that can be told about the state by looking at it. Exit 1 for an error."""
    acts = []
    if adopt:
        facts = lifecycle.adopt(app.state_url(), state_dir=app.state_dir, base=app.loaded.base)
        acts.append(f"adopted the state of deployment {facts.deployment}")
    if accept:
        acts += _accept(app, accept, flow)
    with app.store() as store:
        found = doctor.doctor(store, host.holder().boot) + _receipts(app, store)
        place = store.place.name
    level = {"ok": 0, "info": 0, "warning": 0, "error": 1}
    code = max((level[f.level.value] for f in found), default=0)
    data = {
        "state": place,
        "acts": acts,
        "findings": [
            {"level": f.level.value, "code": f.code, "message": f.text, "hint": f.hint}
            for f in found
        ],
    }
    lines = [*map(plain, acts), plain(place)]
    for finding in found:
        lines.append(f"  {_SIGNS[finding.level]:<4} {plain(finding.text)}  [{finding.code}]")
        if finding.hint and finding.level is not Level.OK:
            lines.append(f"         → {plain(finding.hint)}")
    app.finish(Result("state doctor", data, lines, code))


def _accept(app: App, member: str, only: str | None) -> list[str]:
    """Forget which database answered for this member; the next run learns the new one."""
    flows = [
        name
        for name in ([only] if only else app.loaded.config.flows)
        if member in app.flow(name).members
    ]
    if not flows:
        raise ConfigError(
            f"no flow has a member `{member}`", code="SY0111", hint="see `syncd status`"
        )
    done = []
    for name in flows:
        with acting(app, name, None) as act:
            state = shadow.members(act.conn, act.flow).get(member)
            if state is not None:
                shadow.save_member(act.conn, act.flow, replace(state, identity=None, cursor=None))
                done.append(f"{name}: {member} may be another database from the next run on")
    return done


def _receipts(app: App, store: Store) -> list[doctor.Finding]:
    """What systems have receipts of: a state restored together with its counter file shows so."""
    granted = _granted(app)
    if not granted:
        return []
    known: dict[str, int | None] = {}
    found = []
    with app.session() as session:
        for system in granted:
            try:
                known[system] = session.adapter(system).counter(store.deployment)
            except SystemFault as fault:
                text = f"{system} does not answer; its receipts could not be compared: {fault}"
                found.append(doctor.Finding(Level.WARNING, fault.code, text, fault.hint))
    try:
        admit.check_counters(store, known)
    except StoreRefused as refused:
        found.append(doctor.Finding(Level.ERROR, refused.code, refused.message, refused.hint))
    else:
        answered = ", ".join(system for system in known)
        if answered:
            text = f"no receipt in {answered} is newer than the state"
            found.append(doctor.Finding(Level.OK, "SY0431", text))
    return found


def _granted(app: App) -> list[str]:
    """Systems that keep receipts."""
    return sorted(
        {
            app.loaded.system_of(flow, member)
            for flow, options in app.loaded.config.flows.items()
            for member in options.members
            if app.loaded.receipts(flow, member)
        }
    )


@command.command("rebuild", examples=("syncd state rebuild", "syncd state rebuild --yes"))
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@pass_app
def rebuild_(app: App, yes: bool) -> None:
    """Set a lost, damaged or outdated state aside and begin a new one.

    The next runs link the records anew. Nothing is created or deleted until you confirm each
    flow; what differs is treated as first sight.
    """
    if not yes:
        if not app.asks:
            raise ConfigError(
                "rebuilding sets the state aside; it wants a yes",
                code="SY0160",
                hint="syncd state rebuild --yes",
            )
        answer = app.ask("Set the state aside and link everything anew? [y/N] ")
        if answer.lower() not in ("y", "yes"):
            app.finish(
                Result("state rebuild", {"kept": "", "deployment": ""}, ["nothing was done"])
            )
    done = rebuild.rebuild(
        app.state_url(),
        seams=app.seams,
        state_dir=app.state_dir,
        base=app.loaded.base,
        at_least=_highest_receipt(app),
    )
    lines = [
        f"the old state is kept as {done.kept}" if done.kept else "nothing was left of the old one",
        "next: syncd reconcile --dry-run, then syncd reconcile, and syncd state confirm FLOW",
    ]
    app.finish(Result("state rebuild", {"kept": done.kept, "deployment": done.deployment}, lines))


def _highest_receipt(app: App) -> int:
    """The new state must not count below what a system has a receipt of. A system that does not
    answer is left out: the rebuilt state leaves a wide margin anyway."""
    highest = 0
    owners = [known.deployment for known in sidecar.known(app.state_dir)]
    with app.session() as session:
        for system in _granted(app):
            for deployment in owners:
                with suppress(SystemFault):
                    highest = max(highest, session.adapter(system).counter(deployment) or 0)
    return highest


@command.command("confirm", examples=("syncd state confirm customers", "syncd state confirm a b"))
@click.argument("flows", nargs=-1, required=True, metavar="FLOW...")
@pass_app
def confirm(app: App, flows: tuple[str, ...]) -> None:
    """After a rebuild: what was linked is right, these flows may create and delete again."""
    with app.store() as store, store.write() as conn:
        for name in flows:
            known_flow(conn, app, name)
            rebuild.relinked(conn, name)
    lines = [f"{plain(name)} works as before from the next run on" for name in flows]
    app.finish(Result("state confirm", {"flows": list(flows)}, lines))
