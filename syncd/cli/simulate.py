"""`syncd simulate`: a user's own flows against simulated copies of their systems."""

from __future__ import annotations

import os
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import click

from syncd.cli import failure
from syncd.cli.app import App
from syncd.cli.command import Command, pass_app
from syncd.cli.output import Result, plain
from syncd.cli.progress import Watcher, watching
from syncd.errors import Interrupted, SyncdError

if TYPE_CHECKING:
    from syncd.simulate.own.copy import Copy
    from syncd.simulate.own.course import Course
    from syncd.simulate.own.report import Report

_LIVES = 100


class Seeds(click.ParamType):  # type: ignore[type-arg]
    """50 are the first fifty, 100..199 a hundred others."""

    name = "seeds"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> range:
        first, dots, last = str(value).partition("..")
        if not first.isdigit() or (dots and not last.isdigit()):
            self.fail("say how many, or from where to where: 50, or 100..199", param, ctx)
        found = range(int(first), int(last) + 1) if dots else range(int(first))
        if not found:
            self.fail("that is no seed at all", param, ctx)
        return found


@click.command(
    cls=Command,
    examples=("syncd simulate", "syncd simulate customers --seeds 500 --minutes 10"),
)
@click.argument("flows", nargs=-1, metavar="[FLOW]...")
@click.option("--flow", "-f", "named", multiple=True, metavar="FLOW", help="The same as FLOW.")
@click.option("--seeds", type=Seeds(), metavar="N|A..B", help="So many lives, or these.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Stop after so long.")
@click.option("--offline", is_flag=True, help="Ask no system what its columns are.")
@click.option(
    "--habit",
    "habits",
    multiple=True,
    metavar="MEMBER.FIELD=HOW",
    help="What a system there does to values by itself: upper, lower, title or trim.",
)
@click.option(
    "--accept",
    "accepted",
    multiple=True,
    metavar="FIELD",
    help="What a fold hides there, or a value table lacks, is meant so.",
)
@click.option(
    "--processes", type=click.IntRange(1), default=os.cpu_count() or 1, help="Default: all cores."
)
@pass_app
def command(
    app: App,
    flows: tuple[str, ...],
    named: tuple[str, ...],
    seeds: range | None,
    minutes: float | None,
    offline: bool,
    habits: tuple[str, ...],
    accepted: tuple[str, ...],
    processes: int,
) -> None:
    """Try out flows and their policies on simulated copies of their systems.

    A seed makes a life: people edit at all members, runs come and go, systems fail, the process is
    killed. Afterwards each promise is judged, and what broke one is told as a short story. Systems
    are asked for their columns, never for a record, and nothing is written to them or to the
    state. Exit 3 where a person should look at something.
    """
    from syncd.simulate.own.copy import accustomed, known
    from syncd.simulate.own.report import Report

    wanted = list(dict.fromkeys((*flows, *named))) or list(app.loaded.config.flows)
    for flow in wanted:
        app.flow(flow)
    copies, errors = _copies(app, wanted, offline)
    known(copies, accepted)
    copies = accustomed(copies, habits)
    again = "".join((" --offline" if offline else "", *(f" --habit {one}" for one in habits)))

    def reported(course: Course) -> Report:
        return Report(course, app.loaded.where, again, accepted)

    reports = [reported(one) for one in _play(app, copies, seeds, minutes, processes)]
    skipped = [copy.name for copy in copies[len(reports) :]]
    app.finish(_result(app, reports, skipped, errors))


def _copies(
    app: App, flows: list[str], offline: bool
) -> tuple[list[Copy], list[tuple[str, SyncdError]]]:
    from syncd.simulate.own.copy import implied, looked

    copies, errors = [], []
    with app.session() as session:
        for flow in flows:
            try:
                if offline:
                    copies.append(implied(app.loaded, flow))
                else:
                    copies.append(looked(app.loaded, flow, session.adapter))
            except Interrupted:
                raise
            except SyncdError as error:
                if error.exit_code == 1 and not offline:
                    ways = [error.hint, f"or: syncd simulate {flow} --offline"]
                    error.hint = "; ".join(filter(None, ways))
                errors.append((flow, error))
    return copies, errors


def _play(
    app: App, copies: list[Copy], seeds: range | None, minutes: float | None, processes: int
) -> list[Course]:
    """The flows that were begun; each has its share of the minutes."""
    from syncd.simulate.own.course import run

    clock = app.seams.clock.monotonic
    share = None if minutes is None else minutes * 60 / max(1, len(copies))
    courses: list[Course] = []
    with app.interrupt.on_signals():
        for copy in copies:
            if app.interrupt.cause is not None:
                break
            begun = clock()

            def enough(begun: float = begun) -> bool:
                return share is not None and clock() - begun >= share

            with watching(app) as progress:
                course = run(
                    copy,
                    seeds or (range(_LIVES) if minutes is None else count()),
                    processes=processes,
                    enough=enough,
                    stop=lambda: app.interrupt.cause is not None,
                    tell=partial(_tell, progress, copy.name),
                )
            course.seconds = clock() - begun
            courses.append(course)
    return courses


def _tell(progress: Watcher, flow: str, stage: str, done: int, of: int | None) -> None:
    progress(stage, flow, done, of)


def _result(
    app: App, reports: list[Report], skipped: list[str], errors: list[tuple[str, SyncdError]]
) -> Result:
    lines: list[str] = []
    for report in reports:
        lines += [plain(line) for line in report.lines(app.verbosity > 0)]
    codes = [3 if report.look else 0 for report in reports]
    codes += [error.exit_code for _, error in errors]
    if app.interrupt.cause is not None:
        codes.append(130)
        lines.append(f"stopped by {app.interrupt.cause}; this is what was played until then")
    data = {"flows": [report.json() for report in reports], "skipped": skipped}
    entries = [entry for flow, error in errors for entry in failure.describe(error, flow)]
    return Result("simulate", data, lines, failure.worst(codes), entries)
