"""One run of one flow in a process of its own: prints what it did and its peak memory in MB."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

from syncd import host
from syncd.config.load import load
from syncd.config.places import state_dir
from syncd.engine.result import RunOptions
from syncd.engine.session import Session
from syncd.registry import Registry
from syncd.secrets import Secrets

if __name__ == "__main__":
    loaded = load(Path(sys.argv[1]))
    host.calm_collector()
    with Session(
        loaded,
        seams=host.real_seams(host.Interrupt()),
        registry=Registry(),
        secrets=Secrets(loaded.base, os.environ),
        holder=host.holder(),
        alive=host.alive,
        state_dir=state_dir(os.environ),
        environ=os.environ,
    ) as session:
        report = session.run(sys.argv[2], RunOptions(keep=0))
    for member in report.members.values():
        print(member)
    print(report.state, report.messages, report.seconds)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
