"""One call of the command line: its options, and the config, store and session made from them."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from syncd import host
from syncd import log as logs
from syncd.cli.output import Output, Result
from syncd.config import Loaded, find, load, state_dir
from syncd.config.models import FlowConfig
from syncd.registry import Registry
from syncd.secrets import Redactor, Secrets
from syncd.store.codec import stamp
from syncd.store.database import Store

if TYPE_CHECKING:
    from syncd.engine.session import Session


class App:
    """Made by click once a call. options: what the flags said; see `command.common`."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}
        self.redactor = Redactor()
        self.interrupt = host.Interrupt()
        self.seams = host.real_seams(self.interrupt)
        self.environ = os.environ

    # --- the flags -------------------------------------------------------------------------

    @property
    def json(self) -> bool:
        return bool(self.options.get("json"))

    @property
    def quiet(self) -> bool:
        return bool(self.options.get("quiet"))

    @property
    def verbosity(self) -> int:
        return -1 if self.quiet else int(self.options.get("verbose", 0))

    @property
    def color(self) -> bool | None:
        """None = let click ask the terminal."""
        chosen = self.options.get("color", "auto")
        if chosen != "auto":
            return bool(chosen == "always")
        if self.environ.get("NO_COLOR") or self.environ.get("TERM") == "dumb":
            return False
        return None

    @property
    def asks(self) -> bool:
        """Whether a person can be asked something."""
        return not self.options.get("no_input") and not self.json and sys.stdin.isatty()

    def ask(self, question: str) -> str:
        """What a person answers. Raises Interrupted at Ctrl-C."""
        click.echo(question, nl=False, err=True)
        return self.interrupt.line(sys.stdin).strip()

    # --- what a command works with ---------------------------------------------------------

    @property
    def out(self) -> Output:
        return Output(json=self.json, quiet=self.quiet, color=self.color, redact=self.redactor)

    @cached_property
    def loaded(self) -> Loaded:
        """The config. Raises ConfigError."""
        return load(find(self.options.get("config"), self.environ))

    @cached_property
    def secrets(self) -> Secrets:
        return Secrets(self.loaded.base, self.environ, self.redactor)

    @cached_property
    def registry(self) -> Registry:
        return Registry()

    @property
    def state_dir(self) -> Path:
        return state_dir(self.environ)

    def state_url(self) -> str:
        """Raises ConfigError where the reference leads nowhere."""
        return self.loaded.state_url(self.environ, self.secrets.resolve)

    def flow(self, name: str) -> FlowConfig:
        """Raises ConfigError for a flow that the config does not have."""
        return self.loaded.flow(name)

    @property
    def user(self) -> str:
        """Who decides, where `--by` does not say."""
        try:
            return getpass.getuser()
        except (KeyError, OSError):  # a user id without a name, as in a bare container
            return f"uid {os.getuid()}"

    def time(self) -> str:
        """Canonical time, for what is recorded."""
        return stamp(self.seams.clock.now().astimezone(UTC))

    @contextmanager
    def store(self, *, create: bool = False) -> Iterator[Store]:
        """Raises StoreRefused with the way out, StoreBusy, StoreError."""
        opened = Store.open(
            self.state_url(),
            seams=self.seams,
            deployment=None,
            create=create,
            state_dir=self.state_dir,
            base=self.loaded.base,
        )
        try:
            yield opened
        finally:
            opened.close()

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Everything a run needs; Ctrl-C and SIGTERM stop it cleanly meanwhile."""
        from syncd.engine.session import Session

        host.calm_collector()
        with (
            self.interrupt.on_signals(),
            Session(
                self.loaded,
                seams=self.seams,
                registry=self.registry,
                secrets=self.secrets,
                holder=host.holder(),
                alive=host.alive,
                state_dir=self.state_dir,
                environ=self.environ,
            ) as session,
        ):
            yield session

    # --- how it ends -----------------------------------------------------------------------

    def finish(self, result: Result) -> NoReturn:
        """Say it and leave with its code."""
        from syncd.cli import failure

        self.out.result(result)
        for line in failure.lines(dict(error) for error in result.errors):
            self.out.error(line)
        raise click.exceptions.Exit(result.exit)

    def start_log(self) -> None:
        logs.setup(self.verbosity, redactor=self.redactor)
