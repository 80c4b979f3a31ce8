"""Where the command begins: `syncd`, and `python -m syncd.cli` where no script is installed."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Ctrl-C also has a meaning while the modules are still being loaded."""
    try:
        from syncd.cli.main import main as begin
    except KeyboardInterrupt:
        sys.stderr.write("error SY0502: interrupted\n  → nothing was begun\n")
        sys.exit(130)
    begin()


if __name__ == "__main__":
    main()
