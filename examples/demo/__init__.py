"""A walk through one day of two databases, by the real command line: `make demo`."""
