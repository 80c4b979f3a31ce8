"""`make demo` holds every one of its claims, whichever database the ERP is in."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.demo import stage, story, world

ROOT = Path(__file__).parent.parent.parent


def play(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "examples.demo", str(folder)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=180,
        check=False,
    )


def test_s1_s3_s24_s29_s43_s48_demo_on_sqlite(tmp_path: Path) -> None:
    """Edits of both sides (S1), a conflict (S3), a deletion (S24), a guard (S29), SIGKILL after
    the first write (S43, S48), by the real command line."""
    done = play(tmp_path / "demo")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert "✗" not in done.stdout
    chapters = re.findall(r"^([1-9])  ", done.stdout, re.MULTILINE)
    assert chapters == [str(number) for number in range(1, 9)]
    assert done.stdout.count("✓") >= 20


def test_demo_with_the_erp_in_postgresql(tmp_path: Path, fresh_db: Callable[[str], str]) -> None:
    done = play(tmp_path / "demo", **{world.POSTGRES: fresh_db("postgresql")})
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr


def test_a_claim_that_does_not_hold_ends_it(tmp_path: Path) -> None:
    with pytest.raises(stage.NotAsClaimed, match="both are equal"):
        stage.Stage(tmp_path).claim("both are equal", False)


def test_it_overwrites_no_folder_but_its_own(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(stage.NotAsClaimed, match="not empty"):
        story.play(tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_the_comparison_sees_differences(tmp_path: Path) -> None:
    """The demo's own eyes: before the first run its two databases are not equal, in 14 people."""
    crm, erp = world.make(tmp_path)
    assert len(world.unequal(world.crm_people(crm), world.erp_people(erp))) == 14


def test_the_records_come_with_their_licence() -> None:
    data = ROOT / "examples" / "data"
    assert "Luis Rocha" in (data / "chinook-LICENSE.md").read_text()
    listed = (data / "README.md").read_text()
    assert all(f"`{path.name}`" in listed for path in data.glob("*.csv"))


def test_the_config_has_25_lines() -> None:
    text = (story.HERE / "customers.toml").read_text()
    assert len([line for line in text.splitlines() if line.strip()]) == 25
