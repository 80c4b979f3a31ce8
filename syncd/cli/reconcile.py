"""`syncd reconcile`: one run of some flows, or of all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from syncd.cli import failure, planlines
from syncd.cli.app import App
from syncd.cli.command import Command, pass_app
from syncd.cli.output import Result
from syncd.cli.planlines import View
from syncd.cli.progress import Watcher, watching
from syncd.cli.records import schema_kinds, split_record
from syncd.cli.savedplan import PlanFile, check_place
from syncd.core import keys
from syncd.engine.result import (
    PlannedOperation,
    RunMode,
    RunOptions,
    RunReport,
    RunState,
    joined,
)
from syncd.errors import ConfigError, Interrupted, SyncdError

if TYPE_CHECKING:
    from syncd.engine.session import Session

_MOST = 1_000_000  # operations that a saved plan may hold


@click.command(
    cls=Command,
    examples=("syncd reconcile --dry-run", "syncd reconcile customers --record crm:42"),
)
@click.argument("flows", nargs=-1, metavar="[FLOW]...")
@click.option("--flow", "-f", "named", multiple=True, metavar="FLOW", help="The same as FLOW.")
@click.option("--dry-run", "-n", is_flag=True, help="Show the plan; change nothing.")
@click.option(
    "--plan",
    "plan",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Save the plan, for `syncd apply`; changes nothing.",
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask before a first run.")
@click.option("--full", "mode", flag_value="full", default="full", help="Every record (default).")
@click.option("--incremental", "mode", flag_value="incremental", help="What changed since.")
@click.option("--record", metavar="MEMBER:ID", help="Only this record, read at every member.")
@pass_app
def command(
    app: App,
    flows: tuple[str, ...],
    named: tuple[str, ...],
    dry_run: bool,
    plan: Path | None,
    yes: bool,
    mode: str,
    record: str | None,
) -> None:
    """Bring every member of the flows up to date, once.

    A first run between two filled members shows its plan and asks. One bad flow never stops the
    others; the exit code is the worst of them: 130, 2, 1, 4, 3, 0.
    """
    dry_run = dry_run or plan is not None
    if plan is not None:
        check_place(plan)
    wanted = list(dict.fromkeys((*flows, *named))) or list(app.loaded.config.flows)
    for flow in wanted:
        app.flow(flow)
    named_record = _record(app, record, wanted)
    options = RunOptions(mode=RunMode(mode), dry_run=dry_run)
    to = nullcontext() if plan is None else closing(PlanFile(plan, app.time()))
    with app.session() as session, to as file:
        if named_record is not None:
            member, native = named_record
            compiled = session.open(wanted[0]).compiled.members[member]
            key = keys.parse(native, schema_kinds(compiled.schema, compiled.key))
            options = replace(options, mode=RunMode.ENTITY, record=(member, key))
        each = dict.fromkeys(wanted, options)
        if file is not None:
            each = {f: replace(options, planned=_tell(app, file, f)) for f in wanted}
        done = run_all(app, session, wanted, each, yes=yes)
        saved = file is not None and done.whole
        if file is not None and saved:
            file.flows = {r.flow: session.open(r.flow).compiled.fingerprint for r in done.reports}
            file.write()
    said = done.result("reconcile", app, {"dry_run": dry_run, "saved": saved})
    if plan is not None:
        why = "the plan is not whole and was not saved: see the errors"
        last = f"plan saved; next: syncd apply {plan}" if saved else f"! {why}"
        said = replace(said, lines=[*said.lines, last])
    app.finish(said)


class Done:
    """What came of the flows: reports of those that ran, errors of those that did not."""

    def __init__(self) -> None:
        self.reports: list[RunReport] = []
        self.errors: list[tuple[str, SyncdError]] = []
        self.asked: set[str] = set()  # flows whose plan a person has yet to confirm
        self.skipped: list[str] = []
        self.of_moved = 1  # exit code where operations of a saved plan moved

    def exit_of(self, report: RunReport) -> int:
        if report.flow in self.asked:
            return failure.worst([report.exit_code, 3])
        if report.moved:
            return failure.worst([report.exit_code, self.of_moved])
        return report.exit_code

    @property
    def exit(self) -> int:
        codes = [self.exit_of(report) for report in self.reports]
        return failure.worst([*codes, *(error.exit_code for _, error in self.errors)])

    @property
    def whole(self) -> bool:
        """Whether every flow was planned, with every member read."""
        failed = any(member.error for r in self.reports for member in r.members.values())
        return not (self.errors or self.skipped or failed)

    def result(self, kind: str, app: App, more: dict[str, Any]) -> Result:
        lines: list[str] = []
        for report in self.reports:
            view = View.of(app.flow(report.flow))
            lines += planlines.report_lines(report, view, verbose=app.verbosity > 0)
            if report.flow in self.asked:
                lines.append("  ! nothing was changed: a first run wants a yes (--yes)")
        if len(self.reports) + len(self.errors) + len(self.skipped) > 1:
            lines.append(self._summary())
        lines += planlines.next_steps(self.reports)
        data = {
            **more,
            "flows": [
                planlines.report_json(
                    report, View.of(app.flow(report.flow)).private, self.exit_of(report)
                )
                for report in self.reports
            ],
            "skipped": self.skipped,
        }
        entries = [entry for flow, error in self.errors for entry in failure.describe(error, flow)]
        return Result(kind, data, lines, self.exit, [*entries, *member_errors(self.reports)])

    def _summary(self) -> str:
        parts = [f"{r.flow} {r.state.value}" for r in self.reports]
        parts += [f"{flow} did not run" for flow, _ in self.errors]
        parts += [f"{flow} not begun" for flow in self.skipped]
        return "flows: " + ", ".join(parts)


def member_errors(reports: Sequence[RunReport]) -> list[dict[str, Any]]:
    """Members that were not read or not written, as entries of a document's errors."""
    return [
        {
            "code": member.code or "SY0200",
            "message": member.error,
            "where": f"flow {report.flow}, member {member.name}",
            "hint": member.hint,
            "kind": "member",
            "count": 1,
            "flow": report.flow,
        }
        for report in reports
        for member in report.members.values()
        if member.error
    ]


def run_all(
    app: App,
    session: Session,
    flows: Sequence[str],
    options: dict[str, RunOptions],
    *,
    yes: bool,
) -> Done:
    """Each flow in turn, parents of foreign keys first. What goes wrong with one stays with it."""
    done = Done()
    ordered = in_order(session, flows)
    for index, flow in enumerate(ordered):
        try:
            with watching(app) as progress:
                chosen = replace(options[flow], progress=progress)
                if not chosen.dry_run and not yes:
                    chosen = replace(chosen, confirm=partial(_confirm, app, progress))
                report = session.run(flow, chosen)
            done.reports.append(report)
            if report.state is RunState.PLANNED and not (chosen.dry_run or report.moved):
                done.asked.add(flow)
            if report.state is RunState.INTERRUPTED:
                raise Interrupted("stopped", hint="the next run goes on from here")
        except Interrupted as stopped:
            if not any(r.flow == flow for r in done.reports):
                done.errors.append((flow, stopped))
            done.skipped = ordered[index + 1 :]
            break
        except SyncdError as error:
            done.errors.append((flow, error))
    if not done.skipped:
        _once_more(session, done, options, ordered)
    return done


def _once_more(
    session: Session, done: Done, options: dict[str, RunOptions], ordered: Sequence[str]
) -> None:
    """Records that waited for one of another flow (a parent whose children had to go first) are
    tried again, children's flows before their parents' (I10)."""
    if len(ordered) < 2:
        return
    for flow in reversed(ordered):
        for index, report in enumerate(done.reports):
            blocked = any(member.blocked for member in report.members.values())
            if report.flow == flow and blocked and not options[flow].dry_run:
                try:
                    again = session.run(flow, replace(options[flow], confirm=None))
                    done.reports[index] = joined(report, again)
                except SyncdError as error:
                    done.errors.append((flow, error))


def in_order(session: Session, flows: Sequence[str]) -> list[str]:
    """A flow that cannot be opened has no place in the order, and says so when it runs."""
    if len(flows) < 2:
        return list(flows)
    try:
        return session.in_order(flows)
    except Interrupted:
        raise
    except SyncdError:
        return list(flows)


def _tell(app: App, file: PlanFile, flow: str) -> Callable[[PlannedOperation], None]:
    """What takes the operations of this flow's plan, one by one, to the file."""
    private = View.of(app.flow(flow)).private
    file.masked |= {f"{flow}.{name}" for name in private}

    def told(planned: PlannedOperation) -> None:
        if file.count == _MOST:
            raise ConfigError(
                f"the plan of {flow} has more operations than the {_MOST:,} that a file may hold",
                code="SY0164",
                hint=f"run it as it is: syncd reconcile {flow}",
            )
        file.add(flow, planlines.operation_json(planned, private))

    return told


def _confirm(app: App, progress: Watcher, report: RunReport) -> bool:
    """A first run that would write: the plan is shown, a person says yes."""
    if not app.asks:
        return False
    progress.pause()
    plan = replace(report, state=RunState.PLANNED)
    for line in planlines.report_lines(plan, View.of(app.flow(report.flow)), verbose=False):
        app.out.note(line)
    answer = app.ask(f"This is the first run of {report.flow}. Do it? [y/N] ")
    return answer.lower() in ("y", "yes")


def _record(app: App, text: str | None, flows: Sequence[str]) -> tuple[str, str] | None:
    if text is None:
        return None
    if len(flows) != 1:
        raise ConfigError(
            "--record is about one flow",
            code="SY0160",
            hint=f"syncd reconcile FLOW --record {text}",
        )
    return split_record(app, flows[0], text)
