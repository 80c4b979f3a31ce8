"""What every command has in common: the same flags everywhere, help that opens with examples, and
the nearest right word for a wrong one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from syncd.cli.app import App
from syncd.config.problems import nearest


def _set(name: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """A flag given before or after the command means the same."""

    def callback(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
        if value not in (None, False, 0):
            context.ensure_object(App).options[name] = value
        return value

    return callback


def common() -> list[click.Option]:
    def option(*names: str, to: str, **rest: Any) -> click.Option:
        return click.Option(names, expose_value=False, callback=_set(to), **rest)

    return [
        option("--config", "-c", to="config", metavar="FILE", help="The config file."),
        option("--json", to="json", is_flag=True, help="One JSON document on stdout."),
        option("--quiet", "-q", to="quiet", is_flag=True, help="Only the final error."),
        option("--verbose", "-v", to="verbose", count=True, help="More; -vv has tracebacks."),
        option(
            "--color",
            to="color",
            type=click.Choice(["auto", "always", "never"]),
            help="Colour; auto heeds the terminal and NO_COLOR.",
        ),
        option("--no-input", to="no_input", is_flag=True, help="Never ask; take the safe way."),
    ]


class _Helped(click.Command):
    """Help that opens with examples."""

    examples: Sequence[str] = ()

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{example}\n")
            formatter.write_paragraph()
        super().format_help(ctx, formatter)


class Command(_Helped):
    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples
        self.params += common()

    def invoke(self, ctx: click.Context) -> Any:
        ctx.ensure_object(App).start_log()  # not before the flags behind the command are known
        return super().invoke(ctx)


class Group(_Helped, click.Group):
    command_class = Command

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples
        self.params += common()

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            close = nearest(name, self.list_commands(ctx))
            hint = f"; did you mean `{close}`?" if close else ""
            raise click.UsageError(f"no command `{name}`{hint}", ctx)
        return super().resolve_command(ctx, args)


def flow_option(help_text: str = "Only this flow.") -> Callable[[Any], Any]:
    return click.option("--flow", "-f", "flow", metavar="FLOW", help=help_text)


pass_app = click.make_pass_decorator(App, ensure=True)
