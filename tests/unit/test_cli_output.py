"""Small promises of the command line: escaping, tables, exit codes, progress, questions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.cli import conflicts, failure, output, planlines, progress
from syncd.cli.app import App
from syncd.core import keys
from syncd.core.model import Operation, OpKind
from syncd.core.values import blank
from syncd.engine.result import PlannedOperation
from syncd.errors import ConfigError, Interrupted


@given(st.text(max_size=50))
def test_nothing_a_record_holds_reaches_the_terminal_unescaped(text: str) -> None:
    for shown in (output.plain(text), output.shown(text), *output.table(("h",), [(text,)])):
        assert shown.isprintable() or all(c.isprintable() or c.isspace() for c in shown)
        assert not set(shown) & set("\x1b\r\n\u202e\u2066\x9b\x00")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "null"),
        ("", '""'),
        (" a", '" a"'),
        ("null", '"null"'),
        (True, "true"),
        (0, "0"),
        ([], "[]"),
        (["a", None], "[a, null]"),
        ({"b": 1, "a": 2}, '{"a":2,"b":1}'),
        ("x" * 99, "x" * 59 + "…"),
    ],
)
def test_null_empty_and_words_that_look_like_them_are_told_apart(value: object, shown: str) -> None:
    assert output.shown(value) == shown
    assert output.shown(value, private=True) == "***"
    assert blank(None)


def test_nouns_have_their_plural() -> None:
    said = [output.number(n, noun) for n, noun in ((2, "entity"), (3, "match key"), (1, "key"))]
    assert said == ["2 entities", "3 match keys", "1 key"]


@pytest.mark.parametrize(
    ("cause", "way"), [("a", "agreed → a"), ("", "agreed → a"), ("b", "b → a")]
)
def test_a_plan_never_leads_from_a_member_to_itself(cause: str, way: str) -> None:
    operation = Operation("a", OpKind.UPDATE, keys.encode([1]), {"x": 2}, {}, {}, cause=cause)
    (line,) = planlines.operation_lines(PlannedOperation(1, operation, ""), planlines.View())
    assert line.startswith(f"~ {way} 1  x ")


def test_columns_stay_aligned_with_wide_letters() -> None:
    lines = output.table(("name", "n"), [("北京", 1), ("Ann", 22)], ("n",))
    assert lines == ["name   n", "北京   1", "Ann   22"]


def test_the_frame_of_a_document_is_not_overwritten() -> None:
    with pytest.raises(AssertionError):
        output.Result("x", {"kind": "y"}).document()


def test_the_worst_code_counts() -> None:
    assert failure.worst([]) == 0
    assert failure.worst([0, 3, 4]) == 4
    assert failure.worst([4, 1, 3]) == 1
    assert failure.worst([1, 2]) == 2
    assert failure.worst([2, 130]) == 130


def test_the_same_error_many_times_is_one_line_with_a_count() -> None:
    from syncd.config.problems import ConfigErrors

    same = [ConfigError("no column `x`", code="SY0130", where=f"f:{n}") for n in range(3)]
    lines = failure.lines(failure.describe(ConfigErrors(same)))
    assert lines == ["error SY0130: f:0: no column `x` (3 times)"]


def test_an_interrupt_is_130_however_it_came() -> None:
    assert failure.translated(KeyboardInterrupt()).exit_code == 130
    assert failure.translated(Interrupted("x")).exit_code == 130


# --- progress ------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.at = 0.0

    def monotonic(self) -> float:
        return self.at


@contextmanager
def app_at(clock: Clock, **options: object) -> Iterator[App]:
    app = App()
    app.options.update(options)
    object.__setattr__(app.seams, "clock", clock)
    try:
        yield app
    finally:
        app.interrupt.close()


def test_without_a_terminal_a_plain_line_every_half_minute(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = Clock()
    with app_at(clock) as app, progress.watching(app) as watch:
        for second in range(95):
            clock.at = float(second)
            watch("read", "crm", second * 1000, None)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "read crm: 30,000",
        "read crm: 60,000",
        "read crm: 90,000",
    ]


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with app_at(clock, quiet=True) as app, progress.watching(app) as watch:
        clock.at = 99.0
        watch("read", "crm", 1, None)
    assert capsys.readouterr().err == ""


def test_a_question_is_never_required(tmp_path: Path) -> None:
    with app_at(Clock(), no_input=True) as app:
        assert app.asks is False
    with app_at(Clock(), json=True) as app:
        assert app.asks is False


def test_the_agreed_value_stands_once_beside_a_conflict() -> None:
    """Where it is a candidate itself it needs no column of its own."""
    agreed = {
        "source": "agreed",
        "key": None,
        "values": {"name": "B"},
        "deleted": False,
        "at": None,
    }
    edited = {"source": "crm", "key": "1", "values": {"name": "A"}, "deleted": False, "at": None}
    case = {"id": 1, "flow": "people", "kind": "field", "fields": ["name"], "state": "open"}
    case |= {"reason": "several edits", "opened_at": "2026-11-23T02:11:22.209011Z"}
    data = {"agreed": {}, "decisions": [], "answers": []}
    head = conflicts._lines({"conflict": {**case, "candidates": [edited, agreed]}, **data})[2]
    assert head.split() == ["crm", "1", "agreed"]
    head = conflicts._lines({"conflict": {**case, "candidates": [edited]}, **data})[2]
    assert head.split() == ["crm", "1", "agreed"]
