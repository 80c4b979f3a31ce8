"""Logs carry their fields and no secret."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Callable, Iterator

import pytest

from syncd import log
from syncd.host import HostTasks
from syncd.secrets import Redactor

Setup = Callable[..., io.StringIO]


@pytest.fixture
def setup() -> Iterator[Setup]:
    root = logging.getLogger()
    before = root.level, logging.getLogger(log.ROOT).level

    def made(verbosity: int = 1, *, json: bool = False, secret: str = "hunter22") -> io.StringIO:
        stream = io.StringIO()
        redactor = Redactor()
        redactor.add(secret)
        log.setup(verbosity, json=json, redactor=redactor, stream=stream)
        return stream

    yield made
    log.setup(0, stream=io.StringIO())
    root.handlers = [h for h in root.handlers if not isinstance(h.formatter, log._Lines)]
    root.setLevel(before[0])
    logging.getLogger(log.ROOT).setLevel(before[1])
    logging.captureWarnings(False)


def test_text_lines_have_time_level_and_fields(setup: Setup) -> None:
    stream = setup()
    with log.fields(flow="customers", run=7):
        logging.getLogger("syncd.engine").info("pulled %d records", 3, extra={"record": "42"})
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO flow=customers run=7 record=42: "
        r"pulled 3 records\n",
        stream.getvalue(),
    )


def test_json_lines_are_one_object_each(setup: Setup) -> None:
    stream = setup(json=True)
    with log.fields(flow="customers", run=7):
        log.system_logger("crm").warning("slow\nvery")
    logging.getLogger("syncd").info("over")
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert first["system"] == "crm" and first["flow"] == "customers" and first["run"] == 7
    assert first["level"] == "warning" and first["message"] == "slow\nvery"
    assert "flow" not in second


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("verbosity", [1, 2])
def test_i16_no_secret_leaves_in_message_arguments_fields_or_traceback(
    setup: Setup, as_json: bool, verbosity: int
) -> None:
    stream = setup(verbosity, json=as_json, secret='hun"ter\\22')
    try:
        raise ValueError('driver says hun"ter\\22')
    except ValueError:
        logging.getLogger("syncd").exception(
            "failed with %s and %r", 'hun"ter\\22', 'hun"ter\\22', extra={"record": 'hun"ter\\22'}
        )
    shown = stream.getvalue()
    assert "hun" not in shown and "ter" not in shown
    assert shown.count("***") >= 4


def test_a_traceback_only_with_vv(setup: Setup) -> None:
    for verbosity, expected in ((1, False), (2, True)):
        stream = setup(verbosity)
        try:
            raise ValueError("broken")
        except ValueError:
            logging.getLogger("syncd").exception("failed")
        assert ("Traceback" in stream.getvalue()) is expected
        assert "ValueError: broken" in stream.getvalue()


@pytest.mark.parametrize(
    ("verbosity", "levels"), [(-1, "E"), (0, "WE"), (1, "IWE"), (2, "DIWE"), (3, "DIWE")]
)
def test_levels(setup: Setup, verbosity: int, levels: str) -> None:
    stream = setup(verbosity)
    logger = logging.getLogger("syncd.x")
    for name in ("debug", "info", "warning", "error"):
        getattr(logger, name)("said")
    logging.getLogger("some.library").info("a customer's name")
    assert "".join(line.split()[1][0] for line in stream.getvalue().splitlines()) == levels
    assert "customer" not in stream.getvalue(), "libraries log values below warnings"


def test_a_records_text_makes_no_line_of_its_own(setup: Setup) -> None:
    stream = setup()
    logging.getLogger("syncd").info("name is %s", "x\n2026 ERROR forged\x1b[2J\u2028")
    assert stream.getvalue().count("\n") == 1 and "\x1b" not in stream.getvalue()


def said(message: str, *args: object) -> logging.LogRecord:
    """A record that goes past pytest's own handlers, which it would upset."""
    return logging.LogRecord("syncd", logging.INFO, "x.py", 1, message, args, None)


def test_a_bad_format_string_costs_nothing() -> None:
    line = log.TextLines(Redactor(), traces=False).format(said("%d records", "many"))
    assert "%d records" in line and "many" in line


def test_half_a_character_costs_nothing() -> None:
    line = log.JsonLines(Redactor(), traces=False).format(said("name is \ud800"))
    assert json.loads(line)["message"] == "name is \\ud800"
    text = log.TextLines(Redactor(), traces=False).format(said("name is \ud800"))
    assert text.encode() and text.endswith("name is \\ud800")


def test_tasks_keep_the_fields(setup: Setup) -> None:
    stream = setup()
    with log.fields(flow="f"):
        HostTasks().spawn(lambda: logging.getLogger("syncd").info("x"), "t").result()
    assert "flow=f" in stream.getvalue()


def test_setting_up_twice_logs_once(setup: Setup) -> None:
    setup()
    stream = setup()
    logging.getLogger("syncd").info("once")
    assert stream.getvalue().count("once") == 1
