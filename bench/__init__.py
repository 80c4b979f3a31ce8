"""Measurements: ratios of medians in one run, never absolute times."""
