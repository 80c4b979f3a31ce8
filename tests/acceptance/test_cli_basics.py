"""What holds for every command: help, errors, exit codes, quiet, colour, secrecy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from cliworld import World

from syncd.cli.main import cli


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def commands(group: click.Group, way: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        yield (*way, name)
        if isinstance(found, click.Group):
            yield from commands(found, (*way, name))


@pytest.mark.parametrize("way", list(commands(cli)), ids=" ".join)
def test_each_help_page_opens_with_two_examples_that_parse(way: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli, [*way, "--help"])
    assert result.exit_code == 0
    head, *examples = result.output.splitlines()[:3]
    assert head == "Examples:"
    for example in examples:
        assert "syncd " in example
    assert f"Usage: syncd {' '.join(way)}" in result.output
    for flag in ("--config", "--json", "--quiet", "--no-input"):
        assert flag in result.output


def test_an_unknown_word_is_answered_with_the_nearest_one() -> None:
    result = CliRunner().invoke(cli, ["reconsile"])
    assert result.exit_code == 2
    assert "did you mean `reconcile`" in result.stderr
    result = CliRunner().invoke(cli, ["conflicts", "shwo"])
    assert "did you mean `show`" in result.stderr
    result = CliRunner().invoke(cli, ["status", "--jsn"])
    assert result.exit_code == 2
    assert "--json" in result.stderr


def test_the_config_is_missing(world: World) -> None:
    world.config.unlink()
    result = world.run("status")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "error SY0101: no config found" in result.stderr
    assert "syncd init" in result.stderr


def test_bad_config_names_line_word_and_nearest(world: World) -> None:
    world.change("deletes =", "delets =")
    world.change('credit = "credit_limit"', 'credt = "credit_limit"')
    result = world.run("reconcile")
    assert result.exit_code == 2
    assert "syncd.toml:14" in result.stderr
    assert "did you mean `deletes`" in result.stderr
    assert "Traceback" not in result.stderr
    document = world.json("check", code=2)
    assert document["kind"] == "error"
    assert document["errors"][0]["code"] == "SY0103"


def test_an_error_is_a_document_too_and_text_beside_it(world: World) -> None:
    result = world.run("reconcile", "nobody", "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == document["exit"] == 2
    (error,) = document["errors"]
    assert error["code"] == "SY0113"
    assert "people" in error["hint"]
    assert "error SY0113" in result.stderr


def test_quiet_keeps_the_final_error(world: World) -> None:
    world.people(2)
    assert world.ok("reconcile", "--yes", "-q").output == ""
    result = world.run("-q", "reconcile", "nobody")
    assert "error SY0113" in result.stderr
    assert result.stdout == ""


def test_a_traceback_only_when_asked_for(world: World) -> None:
    assert "Traceback" not in world.run("reconcile", "nobody", "-v").output
    assert "Traceback" in world.run("reconcile", "nobody", "-vv").stderr


def test_a_bug_says_so_and_exits_1(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("syncd.cli.status._never_ran", broken)
    result = world.run("status")
    assert result.exit_code == 1
    assert "error SY0001: this is a bug: RuntimeError: boom" in result.stderr
    assert "-vv" in result.stderr
    assert "Traceback" not in result.stderr


def test_flags_mean_the_same_before_and_behind_the_command(world: World) -> None:
    before = world.run("--json", "status").stdout
    behind = world.run("status", "--json").stdout
    assert json.loads(before) == json.loads(behind)
    other = world.folder / "elsewhere.toml"
    world.config.rename(other)
    assert world.run("-c", str(other), "status").exit_code == 0
    assert world.run("status", "--config", str(other)).exit_code == 0


def test_colour_heeds_no_color_and_never_carries_meaning_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.synced(3)
    world.sql("crm", "UPDATE contacts SET name = 'New' WHERE id = 1")
    plain = world.ok("reconcile", "-n", "--color", "never").stdout
    assert "\x1b" not in plain
    colored = world.ok("reconcile", "-n", "--color", "always").stdout
    assert "\x1b[33m" in colored
    assert click.unstyle(colored) == plain
    assert "\x1b" not in world.ok("reconcile", "-n").stdout
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in world.ok("reconcile", "-n").stdout


def test_a_reference_that_names_nothing_is_told_with_its_line(world: World) -> None:
    world.change('url = "sqlite:///erp.db"', 'url = "env:NOWHERE_URL"')
    line = world.config.read_text().splitlines().index('url = "env:NOWHERE_URL"') + 1
    result = world.ok("reconcile", code=2)
    assert f"error SY0141: syncd.toml:{line}: systems.erp.url: the environment" in result.stderr
    world.change('url = "sqlite:///state.db"', 'url = "env:STATE_URL"')
    result = world.ok("status", code=2)
    assert "error SY0141: syncd.toml:2: state.url: the environment" in result.stderr


def test_a_state_that_cannot_be_reached_says_where_and_why(world: World) -> None:
    world.change('url = "sqlite:///state.db"', 'url = "env:STATE_URL"')
    url = "postgresql://syncd:hunter2-and-more@127.0.0.1:1/shadow"
    result = world.run("status", env={"STATE_URL": url})
    assert result.exit_code == 1
    assert "error SY0434: postgresql://syncd:***@127.0.0.1:1/shadow" in result.stderr
    assert "Connection refused" in result.stderr
    assert "hunter2" not in result.output + result.stderr


def test_no_password_in_any_output_i16(world: World) -> None:
    secret = "hunter2-and-more"
    world.change('url = "sqlite:///erp.db"', 'url = "env:ERP_URL"')
    url = f"postgresql://syncd:{secret}@127.0.0.1:1/erp?connect_timeout=1"
    for words in (["check"], ["reconcile"], ["check", "--json"], ["reconcile", "-vv"]):
        result = world.run(*words, env={"ERP_URL": url})
        assert result.exit_code == 1, result.output
        assert secret not in result.output
        assert secret not in result.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str) -> None:
    result = CliRunner().invoke(cli, ["completion", shell])
    assert result.exit_code == 0
    assert "_SYNCD_COMPLETE" in result.stdout


def test_completion_completes(world: World) -> None:
    result = world.run(env={"_SYNCD_COMPLETE": "bash_complete", "COMP_WORDS": "syncd con",
                            "COMP_CWORD": "1"})  # fmt: skip
    assert "conflicts" in result.stdout


def test_the_real_process_answers(world: World) -> None:
    with world.process("status", "--json") as process:
        stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(stdout)["flows"][0]["last_attempt"] is None


def test_a_reader_that_leaves_is_no_error(world: World) -> None:
    with world.process("--help") as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        said = process.stderr.read()
        process.wait(timeout=60)
    assert "Traceback" not in said


@pytest.mark.parametrize("noun", ["conflicts", "holds", "links", "quarantine", "state"])
def test_a_noun_alone_shows_its_help(world: World, noun: str) -> None:
    result = world.ok(noun, code=2)
    assert result.stderr.startswith("Examples:")
    assert "error" not in result.stderr.splitlines()[0]
    (error,) = world.json(noun, code=2)["errors"]
    assert error["code"] == "SY0160"


@pytest.mark.parametrize("words", [("nonsense", "--json"), ("--nonsense", "--json")])
def test_json_is_json_whatever_is_wrong_before_it(world: World, words: tuple[str, ...]) -> None:
    document = json.loads(world.ok(*words, code=2).stdout)
    assert (document["kind"], document["exit"]) == ("error", 2)


def test_ctrl_c_while_the_modules_load_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from syncd.cli import __main__

    def interrupted(*args: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("builtins.__import__", interrupted)
        with pytest.raises(SystemExit) as left:
            __main__.main()
    assert left.value.code == 130
    assert "SY0502" in capsys.readouterr().err


def test_json_alone_is_answered_in_json(world: World) -> None:
    (error,) = world.json(code=2)["errors"]
    assert (error["code"], error["message"]) == ("SY0160", "a command is missing")
