"""`python -m examples.demo [FOLDER]`: plays the demo; 0 = every claim held, 1 = one did not.

The databases, the config and the state stay in FOLDER (default: build/demo) to be looked at. With
SYNCD_DEMO_POSTGRES=postgresql://… the ERP is made in that database, in a schema `syncd_demo` of
its own, which is dropped first.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from examples.demo.stage import NotAsClaimed
from examples.demo.story import play


def main(arguments: list[str]) -> int:
    folder = Path(arguments[0] if arguments else "build/demo").absolute()
    began = time.monotonic()
    try:
        play(folder)
    except NotAsClaimed as error:
        print(f"\nThe demo stops here: {error}\nWhat it left is in {folder}", file=sys.stderr)
        return 1
    print(f"\nEvery ✓ was read from the databases. It took {time.monotonic() - began:.0f} s.")
    shown = os.path.relpath(folder)
    print(f"Look around: {shown}/ has both databases, syncd.toml and the state; then")
    print(f"  cd {shown} && STATE_DIRECTORY=state syncd status")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
