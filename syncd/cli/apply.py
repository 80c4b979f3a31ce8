"""`syncd apply`: exactly the operations of a saved plan, or none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from syncd.cli import failure
from syncd.cli.app import App
from syncd.cli.command import Command, pass_app
from syncd.cli.output import Result, number, plain, shown
from syncd.cli.progress import watching
from syncd.cli.reconcile import in_order, member_errors, run_all
from syncd.cli.savedplan import SavedPlan, read
from syncd.core.model import OpKind
from syncd.engine.result import RunOptions, RunReport, RunState
from syncd.errors import ConfigError, SyncdError

if TYPE_CHECKING:
    from syncd.engine.session import Session

_SHOWN = 20


@click.command(
    cls=Command, examples=("syncd apply plan.jsonl", "syncd apply plan.jsonl --skip-moved")
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--skip-moved", is_flag=True, help="Run the rest when some records moved since.")
@pass_app
def command(app: App, file: Path, skip_moved: bool) -> None:
    """Run exactly what a saved plan says.

    The plan is made again and compared. Where an operation is not planned exactly so any more, or
    its record has another one by now, nothing is done, what moved is listed, and the exit code is
    1; --skip-moved runs the others and exits 3. What a guard held is not part of a plan: see
    `syncd holds`.
    """
    saved = read(file)
    for flow in saved.flows:
        app.flow(flow)
    with app.session() as session:
        now = [
            _again(app, session, saved, flow, file) for flow in in_order(session, list(saved.flows))
        ]
        moved = {report.flow: report.moved for report in now if report.moved}
        if not skip_moved and (unread := member_errors(now)):
            codes = [member.exit for report in now for member in report.members.values()]
            app.finish(_nothing([], ["! nothing was done: a member was not read"], codes, unread))
        if not skip_moved and moved:
            app.finish(_refused(saved.entries(moved)))
        options = {
            flow: RunOptions(only=digests.difference(moved.get(flow, ())), whole=not skip_moved)
            for flow, digests in saved.digests.items()
        }
        done = run_all(app, session, list(saved.flows), options, yes=True)
    if skip_moved:
        done.of_moved = 3
    before = saved.entries(moved)
    late = saved.entries({report.flow: report.moved for report in done.reports})
    if late and all(report.state is RunState.PLANNED for report in done.reports):
        app.finish(_refused(late))
    result = done.result("apply", app, {"applied": True, "moved": [*before, *late]})
    lines = [*result.lines, *_moved_lines(before, "left out"), *_moved_lines(late, "moved")]
    if saved.held:
        lines.append(f"{number(saved.held, 'operation')} of the plan were held and did not run")
    left = [3] if before or (late and skip_moved) else []
    errors = [*result.errors]
    if late and not skip_moved:
        errors += failure.describe(_moved(late, "only the others ran"))
    code = failure.worst([result.exit, *left])
    app.finish(replace(result, lines=lines, exit=code, errors=errors))


def _again(app: App, session: Session, saved: SavedPlan, flow: str, file: Path) -> RunReport:
    """The plan of a flow as it would be now; `moved` has what is not in it any more."""
    session.has(flow)  # with the store open, a system that is away is known from last time
    if session.open(flow).compiled.fingerprint != saved.flows[flow]:
        raise ConfigError(
            f"the config of {flow} changed since the plan was made",
            code="SY0163",
            where=str(file),
            hint="make it again: syncd reconcile --plan FILE",
        )
    with watching(app) as progress:
        only = saved.digests[flow]
        return session.run(flow, RunOptions(dry_run=True, only=only, keep=0, progress=progress))


def _moved(listed: list[dict[str, Any]], what: str) -> SyncdError:
    return SyncdError(
        f"{number(len(listed), 'operation')} of the plan moved since it was made; {what}",
        code="SY0161",
        hint="look at them, then make the plan again, or run the rest with --skip-moved",
    )


def _refused(listed: list[dict[str, Any]]) -> Result:
    error = _moved(listed, "nothing was done")
    lines = _moved_lines(listed, "moved")
    return _nothing(listed, lines, [error.exit_code], failure.describe(error))


def _nothing(
    moved: list[dict[str, Any]],
    lines: list[str],
    codes: Iterable[int],
    errors: list[dict[str, Any]],
) -> Result:
    data = {"applied": False, "moved": moved, "flows": [], "skipped": []}
    return Result("apply", data, lines, failure.worst(codes), errors)


def _moved_lines(listed: list[dict[str, Any]], word: str) -> list[str]:
    lines = []
    for entry in listed[:_SHOWN]:
        key = plain(entry["key"]) if entry["key"] is not None else "(new)"
        said = ", ".join(_said(entry["operation"], *one) for one in _known(entry))
        lines.append(
            f"! {word}: {entry['flow']}  {entry['operation']} {entry['member']} {key}  {said}"
        )
    if len(listed) > _SHOWN:
        lines.append(f"  … {len(listed) - _SHOWN:,} more; --json lists them all")
    return lines


def _known(entry: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Of a record that comes or goes only what it has."""
    update = entry["operation"] == OpKind.UPDATE
    return [
        (name, facts)
        for name, facts in entry["fields"].items()
        if update or not (facts["before"] is None and facts["after"] is None)
    ]


def _said(operation: str, name: str, facts: dict[str, Any]) -> str:
    before, after = shown(facts["before"]), shown(facts["after"])
    if operation == OpKind.UPDATE:
        return f"{plain(name)} {before} → {after}"
    return f"{plain(name)} {after if operation == OpKind.CREATE else before}"
