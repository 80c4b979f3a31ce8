"""`syncd`: the commands, and what happens to an error that reaches the top."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

import click

import syncd
from syncd.cli import failure
from syncd.cli.app import App
from syncd.cli.command import Group
from syncd.cli.output import Result, silence, unwritten
from syncd.errors import SyncdError

COMMANDS = (
    "init",
    "check",
    "simulate",
    "reconcile",
    "apply",
    "status",
    "runs",
    "conflicts",
    "holds",
    "links",
    "quarantine",
    "state",
    "completion",
)


class Root(Group):
    """Loads a command's module when it is asked for, and turns every failure into a message and
    an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        found = importlib.import_module(f"syncd.cli.{cmd_name}").command
        assert isinstance(found, click.Command)
        return found

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> NoReturn:
        app = App()
        try:
            code = super().main(
                args,
                prog_name or "syncd",
                complete_var or "_SYNCD_COMPLETE",
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                **{**extra, "obj": app},
            )
        except click.exceptions.Exit as left:
            code = left.exit_code
        except (Exception, KeyboardInterrupt) as error:
            if "--json" in (sys.argv[1:] if args is None else args):
                app.options["json"] = True  # what is wrong may stand before it
            code = fail(app, error)
        finally:
            app.interrupt.close()
        if lost := unwritten(sys.stdout):
            code = _lost(app, lost)
        sys.exit(code if isinstance(code, int) else 0)


def fail(app: App, error: BaseException) -> int:
    """Say what went wrong; answers the exit code."""
    ours = failure.translated(error)
    if isinstance(error, click.exceptions.NoArgsIsHelpError) and error.ctx and not app.json:
        app.out.error(error.ctx.get_help())  # `syncd conflicts`
        return ours.exit_code
    if isinstance(error, OSError) and _in_echo(error):
        return _lost(app, error)
    entries = failure.describe(ours)
    out = app.out
    if out.json:
        try:
            out.result(Result("error", {}, exit=ours.exit_code, errors=entries))
        except OSError as unsaid:
            _lost(app, unsaid)
    for line in failure.lines(entries):
        out.error(line)
    if app.verbosity >= 2:
        out.error(failure.trace(error))
    return ours.exit_code


def _in_echo(error: OSError) -> bool:
    """Whether it came up while something was said; what goes to stderr raises nothing."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_code is click.echo.__code__ for frame, _ in frames)


def _lost(app: App, error: OSError) -> int:
    """The answer has not got out. What was done stands, and nothing more is said there: an error
    is told, and a pipe that nobody reads, as in `syncd … | head`, is none."""
    silence(sys.stdout)
    ours = SyncdError(f"the output cannot be written: {error.strerror}", code="SY0167")
    if not isinstance(error, BrokenPipeError):
        for line in failure.lines(failure.describe(ours)):
            app.out.error(line)
    return ours.exit_code


@click.group(
    "syncd",
    cls=Root,
    examples=(
        "syncd init --system crm=sqlite:///crm.db --system erp=env:ERP_URL",
        "syncd reconcile --dry-run",
    ),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=True,
)
@click.option("--version", is_flag=True, help="Show the version and exit.")
@click.pass_context
def cli(context: click.Context, version: bool) -> None:
    """Keeps the same records equal in every system a business uses.

    Exit: 0 done, 1 failed and worth retrying, 2 bad usage or config, or something else that
    somebody has to change first, 3 done but a person is needed, 4 another run holds the flow,
    130 interrupted.
    """
    if version:
        said = syncd.__version__
        context.ensure_object(App).out.result(
            Result("version", {"syncd": said}, [f"syncd, version {said}"])
        )
        context.exit()
    if context.invoked_subcommand is None:
        if context.ensure_object(App).json:
            raise click.exceptions.NoArgsIsHelpError(context)
        click.echo(context.get_help())


def main() -> NoReturn:
    cli.main()
