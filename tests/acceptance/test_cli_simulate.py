"""`syncd simulate`: users' configs on copies of their systems, good ones and bad ones."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cliworld import World

ROOT = Path(__file__).parents[2]
SERIAL = ("--processes", "1")

BAD = """\
[systems.crm]
connector = "sql"
url = "sqlite:///crm.db"
[systems.erp]
connector = "sql"
url = "sqlite:///erp.db"
[flows.orders]
match = ["number"]
deletes = "propagate"
[flows.orders.fields]
number = "text"
status = {status}
note = {note}
[flows.orders.members.crm]
object = "orders"
fields = {{ number = "no", status = "status", note = "note" }}
[flows.orders.members.erp]
object = "orders"
fields = {{ number = "no", status = {{ native = "state", table = {table} }}, note = "note" }}
"""
STATUS = '{ type = "enum", choices = ["open", "paid", "lost"] }'
TABLE = '{ "1" = "open", "2" = "paid", "3" = "lost" }'


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def simulated(world: World, *words: str, code: int = 0) -> Any:
    (flow,) = world.json("simulate", *SERIAL, *words, code=code)["flows"]
    return flow


def orders(world: World, status: str = STATUS, note: str = '"text"', table: str = TABLE) -> None:
    world.config.write_text(BAD.format(status=status, note=note, table=table))


def broken(flow: Any) -> dict[str, Any]:
    return {one["promise"]: one for one in flow["promises"] if one["state"] == "broken"}


def worth(flow: Any, kind: str) -> list[Any]:
    return [note for note in flow["notes"] if note["kind"] == kind]


# --- configs that are fine -----------------------------------------------------------------------


def test_the_readmes_config_keeps_its_promises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I1 to I9, I11, I12, I14, I15, I17, for whoever follows the README."""
    world = World(tmp_path, monkeypatch)
    readme = (ROOT / "README.md").read_text("utf-8")
    world.config.write_text(readme.partition("```toml\n")[2].partition("```")[0])
    world.sql(
        "crm",
        "CREATE TABLE people (id INTEGER PRIMARY KEY, first TEXT, last TEXT, email TEXT UNIQUE,"
        " phone TEXT)",
    )
    world.change('object = "contacts"', 'object = "people"')
    world.sql("erp", "DROP TABLE customers")
    world.sql(
        "erp",
        "CREATE TABLE customers (no INTEGER PRIMARY KEY, name TEXT NOT NULL, mail TEXT UNIQUE,"
        " tel TEXT)",
    )
    flow = simulated(world, "--seeds", "40")
    assert (flow["lives"], flow["seeds"], flow["stopped"]) == (40, [0, 39], False)
    assert flow["edits"] > 200
    assert flow["runs"] > 200
    states = {one["promise"]: one["state"] for one in flow["promises"]}
    assert set(states) >= {f"I{n}" for n in range(1, 18)}
    assert {law for law, state in states.items() if state == "not played"} == {"I10", "I13", "I16"}
    assert not any(note["look"] for note in flow["notes"])
    refused = [note for note in worth(flow, "conflict") if note["what"] == "invalid"]
    assert [(note["fields"], note["member"]) for note in refused] == [(["name"], "erp")]


def test_the_rich_example_keeps_its_promises(world: World) -> None:
    """Three members, most types, owner, fill, groups, a value table, a column that is only read."""
    world.config.write_text((ROOT / "config.example.toml").read_text("utf-8"))
    flow = simulated(world, "--seeds", "24", "--offline", "--accept", "phone")
    assert not broken(flow)
    assert flow["unjudged"] == ["currency"]
    assert {name for note in worth(flow, "overruled") for name in note["fields"]} & {
        "phone",
        "seen",
    }
    assert all(note["path"].startswith("flows.customers.") for note in flow["notes"])


def test_the_demos_flow_keeps_its_promises(world: World) -> None:
    world.config.write_text((ROOT / "examples" / "demo" / "customers.toml").read_text("utf-8"))
    assert not broken(simulated(world, "--seeds", "20", "--offline"))


# --- configs that are not ------------------------------------------------------------------------


def test_two_members_that_rewrite_each_other_are_shown_doing_it(world: World) -> None:
    """I17, I1: the values come again and again, and the story says who writes which."""
    habits = ("--habit", "crm.name=upper", "--habit", "erp.name=lower")
    flow = simulated(world, "--seeds", "4", *habits, code=3)
    (example,) = broken(flow)["I17"]["examples"]
    assert (example["path"], example["where"]) == ("flows.people.fields.name", "syncd.toml:18")
    told = [swing for swing in example["swings"] if swing.startswith("name at crm: ")]
    values = told[0].removeprefix("name at crm: ").split(" → ")
    assert len(values) >= 4
    assert len(set(values)) == 2
    assert values == [*values[:2]] * (len(values) // 2) + values[: len(values) % 2]
    story = "\n".join(example["steps"])
    assert "an automation of crm changes" in story
    assert "an automation of erp changes" in story
    assert "run" in story
    assert example["hint"]
    text = world.ok("simulate", *SERIAL, "--seeds", "4", *habits, code=3).stdout
    seed = example["seed"]
    assert f"syncd simulate people --seeds {seed}..{seed} --habit crm.name=upper" in text


def test_a_fold_that_makes_both_forms_the_same_ends_it(world: World) -> None:
    world.change('name = "text"', 'name = { type = "text", fold = ["lower"] }')
    habits = ("--habit", "crm.name=upper", "--habit", "erp.name=lower")
    assert not broken(simulated(world, "--seeds", "8", *habits))


def test_a_value_for_which_a_table_has_no_code(world: World) -> None:
    """What one side may enter, the other can never be told."""
    orders(world, table='{ "1" = "open", "2" = "paid" }')
    flow = simulated(world, "--seeds", "10", "--offline", code=3)
    (gap,) = worth(flow, "gap")
    assert (gap["fields"], gap["member"], gap["look"]) == (["status"], "erp", True)
    assert gap["where"] == "syncd.toml:19"
    assert any("lost" in line for line in gap["example"])
    orders(world)
    assert not worth(simulated(world, "--seeds", "10", "--offline"), "gap")


def test_a_table_that_reads_two_codes_as_one_is_refused(world: World) -> None:
    """Its two directions disagree: which code would be written?"""
    orders(world, table='{ "1" = "open", "2" = "paid", "3" = "paid" }')
    document = world.json("simulate", "--offline", *SERIAL, code=2)
    assert [error["code"] for error in document["errors"]] == ["SY0177"]


def test_a_fold_that_hides_an_edit(world: World) -> None:
    orders(world, note='{ type = "text", fold = ["digits"] }')
    flow = simulated(world, "--seeds", "30", "--offline", code=3)
    hidden = [note for note in worth(flow, "hidden") if note["look"]]
    assert [(note["fields"], note["what"]) for note in hidden] == [(["note"], "digits")]
    changed, counted, ends = hidden[0]["example"]
    assert "somebody changes note: " in changed
    assert "no run sees a change" in counted
    assert "at the end" in ends
    assert "--accept note" in hidden[0]["hint"]
    flow = simulated(world, "--seeds", "30", "--offline", "--accept", "note")
    assert worth(flow, "hidden")


def test_a_fold_of_the_spelling_is_only_mentioned(world: World) -> None:
    orders(world, note='{ type = "text", fold = ["trim", "lower"] }')
    hidden = worth(simulated(world, "--seeds", "30", "--offline"), "hidden")
    assert hidden
    assert not any(note["look"] for note in hidden)


def test_a_guard_that_stops_ordinary_days(world: World) -> None:
    """I9 holds, and somebody has to come every morning."""
    world.change('deletes = "propagate"', 'deletes = "propagate"\nguard = { updates = 3 }')
    flow = simulated(world, "--seeds", "64..75", code=3)
    assert not broken(flow)
    held = worth(flow, "held")
    assert held
    assert {(note["what"], note["look"], note["where"]) for note in held} == {
        ("updates", True, "syncd.toml:15")
    }


def test_a_policy_that_asks_nobody_says_what_it_overrules(world: World) -> None:
    world.change(
        'match = ["email"]', 'match = ["email"]\nconflict = "prefer:erp"\nfirst = "prefer:erp"'
    )
    flow = simulated(world, "--seeds", "30")
    rules = {note["what"] for note in worth(flow, "overruled")}
    assert rules == {"prefer:erp", "first prefer:erp"}
    assert all(note["per_thousand"] > 0 for note in worth(flow, "overruled"))


def test_a_record_that_no_member_may_create(world: World) -> None:
    """I1: it is missing there for ever, and the config's own check said why."""
    world.sql("erp", "ALTER TABLE customers ADD COLUMN region TEXT NOT NULL DEFAULT ''")
    world.sql("erp", "DROP TABLE customers")
    world.sql(
        "erp",
        "CREATE TABLE customers (no INTEGER PRIMARY KEY, email TEXT UNIQUE, full_name TEXT,"
        " tel TEXT, credit_limit NUMERIC(12,2), region TEXT NOT NULL)",
    )
    flow = simulated(world, "--seeds", "6", code=3)
    assert "I1" in broken(flow)
    assert any("region" in text for text in flow["warned"])
    assert any("erp has no record" in line for line in broken(flow)["I1"]["examples"][0]["ending"])


# --- the command ---------------------------------------------------------------------------------


def test_the_systems_and_the_state_are_left_alone(world: World) -> None:
    world.synced(3)
    before, files = world.state(), sorted(world.folder.rglob("*"))
    simulated(world, "--seeds", "2")
    assert world.state() == before
    assert sorted(world.folder.rglob("*")) == files


def test_the_same_seeds_are_the_same_lives(world: World) -> None:
    def told(*words: str) -> Any:
        flow = simulated(world, "--seeds", "5..9", *words)
        return {name: said for name, said in flow.items() if name != "seconds"}

    assert told() == told("--processes", "2")


def test_the_text_names_every_promise_and_where_it_was_judged(world: World) -> None:
    lines = world.ok("simulate", *SERIAL, "--seeds", "3").stdout.splitlines()
    assert lines[0].startswith("people: 3 lives, ")
    assert "(seeds 0..2, " in lines[0]
    promised = [line for line in lines if line.startswith(("ok ", "-- "))]
    assert [line.split()[1] for line in promised] == [f"I{n}" for n in range(1, 18)]
    assert any("held in 3 lives" in line for line in promised)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["peple"], "did you mean `people`?"),
        (["--habit", "cm.name=upper"], "did you mean `crm`?"),
        (["--habit", "crm.nam=upper"], "did you mean `name`?"),
        (["--habit", "crm.name=uper"], "did you mean `upper`?"),
        (["--accept", "fone"], "did you mean `phone`?"),
        (["--seeds", "a..b"], "syncd simulate --help"),
        (["--seeds", "9..3"], "syncd simulate --help"),
    ],
)
def test_a_wrong_word_is_answered_with_the_right_one(
    world: World, words: list[str], hint: str
) -> None:
    document = world.json("simulate", *words, code=2)
    assert [error["hint"] for error in document["errors"]] == [hint]


def test_a_system_that_does_not_answer_stops_its_own_flow_only(world: World) -> None:
    """Exit 1: another try may help; or none, if nobody is asked."""
    with world.config.open("a") as config:
        config.write(
            '[systems.shop]\nconnector = "sql"\nurl = "postgresql://nobody@127.0.0.1:9/none"\n'
            '[flows.goods]\nmatch = ["number"]\n[flows.goods.fields]\nnumber = "text"\n'
            '[flows.goods.members.shop]\nobject = "goods"\nfields.number = "no"\n'
            '[flows.goods.members.erp]\nobject = "goods"\nfields.number = "no"\n'
        )
    document = world.json("simulate", *SERIAL, "--seeds", "1", code=1)
    assert [flow["flow"] for flow in document["flows"]] == ["people"]
    (error,) = document["errors"]
    assert error["flow"] == "goods"
    assert error["hint"].endswith("; or: syncd simulate goods --offline")
    document = world.json("simulate", *SERIAL, "--seeds", "1", "--offline")
    assert [flow["flow"] for flow in document["flows"]] == ["people", "goods"]


def test_minutes_end_it(world: World) -> None:
    flow = simulated(world, "--minutes", "0.02")
    assert flow["lives"] >= 1
    assert not flow["stopped"]


@pytest.mark.parametrize("processes", ["1", "2"])
def test_f61_ctrl_c_tells_what_was_played_until_then(world: World, processes: str) -> None:
    """F61: the command stops between two lives, says what it knows and exits 130."""
    ours, theirs = os.openpty()
    words = ("simulate", "--seeds", "100000", "--json", "--processes", processes)
    with subprocess.Popen(
        [sys.executable, "-m", "syncd.cli", *words],
        env={**os.environ, "TERM": "xterm"},
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    ) as running:
        os.close(theirs)
        shown = b""
        while b"lives people" not in shown:  # the bar: a life is over
            shown += os.read(ours, 1000)
        running.send_signal(signal.SIGINT)
        document = json.loads(running.communicate(timeout=60)[0])
    assert running.returncode == document["exit"] == 130
    os.close(ours)
    (flow,) = document["flows"]
    assert flow["stopped"]
    assert 1 <= flow["lives"] < 100_000
