"""docs/testing.md says the truth about the tests."""

from __future__ import annotations

import re

import proofs

TEXT = proofs.PAGE.read_text(encoding="utf-8")
ROWS = proofs.ROW.findall(TEXT)


def test_every_scenario_and_fault_has_its_row() -> None:
    assert [number for number, _, _ in ROWS] == proofs.NUMBERS


def test_every_named_test_exists_and_carries_the_number() -> None:
    found = proofs.proofs()
    for number, _, proved in ROWS:
        for test in re.findall(r"`([^`]+)`", proved):
            assert test in found.get(number, []), f"{number}: {test} is gone or lost its number"


def test_a_row_without_a_test_says_what_it_waits_for() -> None:
    for number, _, proved in ROWS:
        assert "`" in proved or re.fullmatch("waits for .+", proved), number


def test_the_page_is_current() -> None:
    assert proofs.page(TEXT) == TEXT, "run: python tests/proofs.py"


def test_numbers_are_found_in_names_and_docstrings() -> None:
    assert proofs._numbers("test_s3_a_rerun_adds_none", "") == {"S3"}
    assert proofs._numbers("test_f56", "S48, F51; never S480") == {"F56", "S48", "F51"}
    assert proofs._numbers("test_uses3_s_of", "") == set()
