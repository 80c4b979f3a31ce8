"""`syncd check`: prove the config against the systems, without writing anything anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

import click

from syncd.cli import probe
from syncd.cli.app import App
from syncd.cli.command import Command, pass_app
from syncd.cli.failure import describe, worst
from syncd.cli.output import Result, number, plain
from syncd.cli.probe import Finding
from syncd.config import CompiledFlow, check_shared
from syncd.errors import ConfigError, Interrupted, StoreRefused, SyncdError

if TYPE_CHECKING:
    from syncd.engine.session import Session

_SIGNS = {"ok": "ok", "info": "note", "warning": "!", "error": "!!"}


@click.command(cls=Command, examples=("syncd check", "syncd check customers --rows 1000 --json"))
@click.argument("flows", nargs=-1, metavar="[FLOW]...")
@click.option("--flow", "-f", "named", multiple=True, metavar="FLOW", help="The same as FLOW.")
@click.option("--rows", type=click.IntRange(0), default=200, help="So many are tried per member.")
@pass_app
def command(app: App, flows: tuple[str, ...], named: tuple[str, ...], rows: int) -> None:
    """Prove the config: systems answer, columns are there, types fit, values survive the way
    there and back. Reads, and writes nothing. Exit 2 for what somebody has to mend, 1 for a system
    that does not answer."""
    wanted = list(dict.fromkeys((*flows, *named))) or list(app.loaded.config.flows)
    for flow in wanted:
        app.flow(flow)
    checked = _Checked()
    checked.add(
        Finding("warning", found.where, found.message, found.hint) for found in app.loaded.findings
    )
    with app.session() as session:
        checked.state(session)
        for system in dict.fromkeys(
            app.loaded.system_of(flow, member)
            for flow in wanted
            for member in app.flow(flow).members
        ):
            checked.one(f"system {system}", partial(probe.system, app, session, system))
        compiled = [made for flow in wanted if (made := checked.flow(app, session, flow, rows))]
        checked.one("flows", partial(_shared, app, compiled))
    checked.add(
        Finding("warning", found.where, found.message, found.hint) for found in app.secrets.findings
    )
    app.finish(checked.result())


def _shared(app: App, compiled: Sequence[CompiledFlow]) -> Iterable[Finding]:
    check_shared(app.loaded, compiled)
    return ()


@dataclass
class _Checked:
    """What was found so far; what fails is a finding, and the next check goes on."""

    def __post_init__(self) -> None:
        self.findings: list[Finding] = []
        self.codes: list[int] = []

    def add(self, found: Iterable[Finding]) -> None:
        for finding in found:
            self.findings.append(finding)
            if finding.level == "error":
                self.codes.append(ConfigError.exit_code)

    def one(self, where: str, look: Callable[[], Iterable[Finding]]) -> None:
        try:
            self.add(look())
        except Interrupted:
            raise
        except SyncdError as error:
            self._failed(where, error)

    def _failed(self, where: str, error: SyncdError) -> None:
        said = {(f.message, f.code) for f in self.findings}
        self.codes.append(error.exit_code)
        for entry in describe(error):
            if (entry["message"], entry["code"]) not in said:
                place = entry["where"] or where
                self.findings.append(
                    Finding("error", place, entry["message"], entry["hint"], entry["code"])
                )

    def state(self, session: Session) -> None:
        """A check before the first run has no state to look at."""
        try:
            session.store()
        except StoreRefused as error:
            if error.code != "SY0403":
                self._failed("state", error)
        except SyncdError as error:
            self._failed("state", error)

    def flow(self, app: App, session: Session, flow: str, rows: int) -> CompiledFlow | None:
        try:
            opened = session.open(flow)
        except Interrupted:
            raise
        except SyncdError as error:
            of = [m for m, o in app.flow(flow).members.items() if (o.system or m) == error.where]
            named = _named(app, flow, of[0], error) if len(of) == 1 else error
            self._failed(f"flow {flow}", named)
            return None
        self.add(
            Finding("warning", found.where, found.message, found.hint)
            for found in opened.compiled.findings
        )
        for member, failed in opened.failed.items():
            self._failed(f"flow {flow}, member {member}", _named(app, flow, member, failed))
        for member in opened.endpoints:
            where, config = f"flow {flow}, member {member}", app.flow(flow).members[member]

            def line(field: str, member: str = member) -> str:
                return app.loaded.where(("flows", flow, "members", member, "fields", field))

            look = partial(probe.member, opened, config, member, where, rows, line)
            self.one(where, look)
        return opened.compiled

    def result(self) -> Result:
        code = worst(self.codes)
        lines = []
        for finding in self.findings:
            mark = f"  [{finding.code}]" if finding.code else ""
            place = f"{plain(finding.where)}: " if finding.where else ""
            lines.append(f"{_SIGNS[finding.level]:<4} {place}{plain(finding.message)}{mark}")
            if finding.hint:
                lines.append(f"       → {plain(finding.hint)}")
        errors = sum(f.level == "error" for f in self.findings)
        warnings = sum(f.level == "warning" for f in self.findings)
        lines.append(f"{number(errors, 'error')}, {number(warnings, 'warning')}")
        if not errors:
            lines.append("next: syncd reconcile --dry-run")
        data = {
            "ok": not errors,
            "findings": [asdict(finding) for finding in self.findings],
        }
        return Result("check", data, lines, code)


def _named(app: App, flow: str, member: str, error: SyncdError) -> SyncdError:
    """A table that is not there is a matter of the config's line that names it."""
    if error.code != "SY0215":
        return error
    path = ("flows", flow, "members", member, "object")
    text = f"{'.'.join(path)}: {error.message}"
    return ConfigError(text, code=error.code, where=app.loaded.where(path), hint=error.hint)
