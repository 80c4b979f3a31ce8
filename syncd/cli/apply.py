"""`syncd apply`: exactly the operations of a saved plan, or none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from syncd.cli import failure
from syncd.cli.app import App
from syncd.cli.command import Command, pass_app
from syncd.cli.output import Result, number, plain, shown
from syncd.cli.progress import watching
from syncd.cli.reconcile import in_order, run_all
from syncd.cli.savedplan import SavedPlan, read
from syncd.engine.result import RunOptions
from syncd.errors import ConfigError, SyncdError

_SHOWN = 20
_MOST = 1_000_000


@click.command(
    cls=Command, examples=("syncd apply plan.jsonl", "syncd apply plan.jsonl --skip-moved")
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--skip-moved", is_flag=True, help="Run the rest when some records moved since.")
@pass_app
def command(app: App, file: Path, skip_moved: bool) -> None:
    """Run exactly what a saved plan says.

    The plan is made again and compared. Where an operation is not the same any more nothing is
    done, the ones that moved are listed, and the exit code is 1; --skip-moved runs the others.
    What a guard held is not part of a plan: see `syncd holds`.
    """
    saved = read(file)
    for flow in saved.flows:
        app.flow(flow)
    with app.session() as session:
        moved: dict[str, list[str]] = {}
        for flow in in_order(session, list(saved.flows)):
            opened = session.open(flow)
            if opened.compiled.fingerprint != saved.flows[flow]:
                raise ConfigError(
                    f"the config of {flow} changed since the plan was made",
                    code="SY0163",
                    where=str(file),
                    hint="make it again: syncd reconcile --plan FILE",
                )
            with watching(app) as progress:
                now = session.run(flow, RunOptions(dry_run=True, keep=_MOST, progress=progress))
            current = {planned.digest for planned in now.operations if not planned.held}
            gone = [digest for digest in saved.operations[flow] if digest not in current]
            if gone:
                moved[flow] = gone
        if moved and not skip_moved:
            app.finish(_refused(saved, moved))
        options = {
            flow: RunOptions(only=frozenset(operations) - frozenset(moved.get(flow, ())))
            for flow, operations in saved.operations.items()
        }
        done = run_all(app, session, list(saved.flows), options, yes=True)
    listed = _entries(saved, moved)
    result = done.result("apply", app, {"applied": True, "moved": listed})
    lines = [*result.lines, *_moved_lines(listed, "left out")]
    if saved.held:
        lines.append(f"{number(saved.held, 'operation')} of the plan were held and did not run")
    code = failure.worst([result.exit, 3]) if listed and not result.exit else result.exit
    app.finish(replace(result, lines=lines, exit=code))


def _refused(saved: SavedPlan, moved: dict[str, list[str]]) -> Result:
    listed = _entries(saved, moved)
    error = SyncdError(
        f"{number(len(listed), 'operation')} of the plan moved since it was made; nothing was done",
        code="SY0161",
        hint="look at them, then make the plan again, or run the rest with --skip-moved",
    )
    data = {"applied": False, "moved": listed, "flows": [], "skipped": []}
    lines = _moved_lines(listed, "moved")
    return Result("apply", data, lines, error.exit_code, failure.describe(error))


def _entries(saved: SavedPlan, moved: dict[str, list[str]]) -> list[dict[str, Any]]:
    return [
        {k: v for k, v in saved.operations[flow][digest].items() if k != "kind"}
        for flow, digests in moved.items()
        for digest in digests
    ]


def _moved_lines(listed: list[dict[str, Any]], word: str) -> list[str]:
    lines = []
    for entry in listed[:_SHOWN]:
        fields = ", ".join(
            f"{plain(name)} {shown(facts['before'])} → {shown(facts['after'])}"
            for name, facts in entry["fields"].items()
        )
        key = plain(entry["key"]) if entry["key"] is not None else "(new)"
        lines.append(
            f"! {word}: {entry['flow']}  {entry['operation']} {entry['member']} {key}  {fields}"
        )
    if len(listed) > _SHOWN:
        lines.append(f"  … {len(listed) - _SHOWN:,} more; --json lists them all")
    return lines
