"""`python -m syncd.cli`, where no script is installed."""

from syncd.cli.main import main

main()
