"""What the demo does on the screen: commands, what they answered, and claims that are checked."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.demo.world import Database

WIDTH = 100


class NotAsClaimed(Exception):
    """Something the demo says of syncd is not so."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Of one command. code: its exit code."""

    code: int
    out: str
    err: str


class Stage:
    """Runs `syncd` as a user does: the real command line, in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        script = Path(sys.executable).with_name("syncd")
        found = str(script) if script.exists() else shutil.which("syncd")
        if found is None:
            raise NotAsClaimed("there is no `syncd` command beside this Python; pip install -e .")
        self.program = [found]
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "SYNCD_CONFIG"},
            "STATE_DIRECTORY": str(folder / "state"),
            "COLUMNS": str(WIDTH),
            "NO_COLOR": "1",
        }

    # -- on the screen -----------------------------------------------------------------------

    def chapter(self, number: int, title: str, *lines: str) -> None:
        print(f"\n{number}  {title}\n{'─' * WIDTH}", flush=True)
        for line in lines:
            print(textwrap.fill(line, WIDTH), flush=True)

    def say(self, text: str) -> None:
        print(textwrap.fill(text, WIDTH), flush=True)

    def quote(self, line: str) -> None:
        """A line of a file, wrapped where the screen ends."""
        print(textwrap.fill(line, WIDTH, initial_indent="    ", subsequent_indent="        "))

    def claim(self, text: str, holds: bool, otherwise: object = "") -> None:
        """Prints the claim, or ends the demo where it does not hold."""
        if not holds:
            print(f"  ✗ {text}", flush=True)
            raise NotAsClaimed(f"not so: {text}" + (f" ({otherwise})" if otherwise else ""))
        print(textwrap.fill(text, WIDTH, initial_indent="  ✓ ", subsequent_indent="    "))
        sys.stdout.flush()

    def show(self, database: Database, sql: str) -> None:
        """The rows of a query, as they stand in that database now."""
        for row in database.rows(sql):
            shown = " | ".join("—" if value is None else str(value) for value in row)
            print(f"    {database.name}: {shown}", flush=True)

    def edit(self, database: Database, sql: str) -> int:
        """What a person or a program does to a database, behind syncd's back."""
        print(f"  {database.name}> {' '.join(sql.split())}", flush=True)
        return database.execute(sql)

    # -- commands ----------------------------------------------------------------------------

    def syncd(self, *words: str, exit_code: int = 0, lines: int = 30) -> Answer:
        """Runs and shows a command; raises NotAsClaimed where it ends otherwise."""
        print(f"\n$ syncd {' '.join(words)}", flush=True)
        answer = self._run(*words)
        shown = [*answer.out.rstrip().splitlines(), *answer.err.rstrip().splitlines()]
        for line in shown[:lines]:
            print(f"    {line}".rstrip())
        if len(shown) > lines:
            print(f"    … and {len(shown) - lines} more lines")
        sys.stdout.flush()
        self.ended(answer, exit_code, words)
        return answer

    def ask(self, *words: str, exit_code: int = 0) -> Any:
        """A command's JSON, without showing it."""
        answer = self._run(*words, "--json")
        self.ended(answer, exit_code, words)
        try:
            return json.loads(answer.out)
        except ValueError:
            raise NotAsClaimed(f"`syncd {' '.join(words)} --json` gave no JSON") from None

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Begins a command and leaves it to itself."""
        print(f"\n$ syncd {' '.join(words)}", flush=True)
        return subprocess.Popen(
            [*self.program, *words],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _run(self, *words: str) -> Answer:
        done = subprocess.run(
            [*self.program, *words],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def ended(self, answer: Answer, expected: int, words: tuple[str, ...]) -> None:
        if answer.code != expected:
            said = (answer.err or answer.out).strip()
            raise NotAsClaimed(
                f"`syncd {' '.join(words)}` ended with {answer.code} instead of {expected}:\n{said}"
            )
