"""Kills the real process right after its first write has become visible in the other database."""

from __future__ import annotations

import signal
import subprocess
import time

from examples.demo.stage import NotAsClaimed
from examples.demo.world import Database

PATIENCE = 60.0  # seconds until the first write must be there


def kill_after_first_write(child: subprocess.Popen[bytes], target: Database, table: str) -> int:
    """Watches the table from outside, sends SIGKILL at the first row, and returns how many rows
    stood there when the process was dead. Raises NotAsClaimed if the process ended before it."""
    since = time.monotonic()
    sql = f"SELECT EXISTS (SELECT 1 FROM {table})"
    while not target.value(sql):
        if child.poll() is not None:
            raise NotAsClaimed(f"the run ended with {child.returncode} before it wrote anything")
        if time.monotonic() - since > PATIENCE:
            child.kill()
            raise NotAsClaimed(f"the run wrote nothing for {PATIENCE:g} seconds")
        time.sleep(0.001)
    child.send_signal(signal.SIGKILL)
    if child.wait() != -signal.SIGKILL:
        raise NotAsClaimed("the run was over before it could be killed")
    return int(target.value(f"SELECT count(*) FROM {table}"))
