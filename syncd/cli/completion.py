"""`syncd completion`: the script that lets a shell complete commands and flags."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from syncd.cli.app import App
from syncd.cli.command import Command, pass_app
from syncd.cli.output import Result


@click.command(
    cls=Command,
    examples=(
        'eval "$(syncd completion bash)"',
        "syncd completion fish > ~/.config/fish/completions/syncd.fish",
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@pass_app
@click.pass_context
def command(context: click.Context, app: App, shell: str) -> None:
    """Print the completion script for a shell."""
    made = get_completion_class(shell)
    assert made is not None, "click knows these shells"
    script = made(context.find_root().command, {}, "syncd", "_SYNCD_COMPLETE").source()
    app.finish(Result("completion", {"shell": shell, "script": script}, script.splitlines()))
