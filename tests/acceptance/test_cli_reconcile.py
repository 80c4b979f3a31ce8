"""`reconcile` and `apply`: plans, first runs, saved plans, several flows, stops."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cliworld import World

from syncd import host
from syncd.cli.reconcile import Done, run_all
from syncd.engine import apply
from syncd.engine.context import RunContext
from syncd.seams import Holder
from syncd.store import lease
from syncd.store.database import Store


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def test_s60_a_dry_run_writes_nothing_anywhere(world: World) -> None:
    world.people(4)
    world.sql("crm", "INSERT INTO contacts VALUES (9, 'new@example.com', 'New', '1', 1)")
    before = world.state()
    first = world.json("reconcile", "--dry-run")
    assert (
        world.json("reconcile", "-n")["flows"][0]["operations"] == (first["flows"][0]["operations"])
    )
    assert world.state() == before
    assert not (world.folder / "state.db").exists()
    world.ok("reconcile", "--yes", code=0)
    world.sql("crm", "UPDATE contacts SET name = 'Else' WHERE id = 1")
    before = world.state()
    world.ok("reconcile", "-n", code=3)  # the credit of 9 is the ERP's to say: the run asks too
    assert world.state() == before
    world.ok("reconcile", code=3)


def test_plan_lines_name_direction_record_values_and_reason(world: World) -> None:
    world.synced(30)
    world.sql("erp", "UPDATE customers SET credit_limit = 250 WHERE no = 103")
    world.sql("crm", "UPDATE contacts SET phone = '+49 999' WHERE id = 4")
    world.sql("crm", "DELETE FROM contacts WHERE id = 5")
    lines = [line.strip() for line in world.ok("reconcile", "-n").stdout.splitlines()]
    assert "~ erp → crm 3  credit  30.00 → 250.00  (edited in erp)" in lines
    assert "~ crm → erp 104  phone  *** → ***  (edited in crm)" in lines
    deletion = next(at for at, line in enumerate(lines) if line.startswith("- "))
    assert lines[deletion].startswith("- crm → erp 105  delete  email p5@example.com")
    assert deletion > max(at for at, line in enumerate(lines) if line.startswith(("~", "+")))
    assert lines[-2:] == ["crm  +0 ~1 -0", "erp  +0 ~1 -1"]


SITUATIONS = {
    "nothing": (0, ""),
    "edit": (0, ""),
    "conflict": (3, "! crm 1 ↔ erp 101  name  Mine ↔ Theirs  (conflict: "),
    "private": (3, "! crm 1 ↔ erp 101  phone  *** ↔ ***  (conflict: "),
    "deleted": (3, "! crm 1 ↔ erp 101  (conflict: "),
    "twins": (3, "(conflict: "),
    "decided": (0, ""),
    "decided and moved": (3, "! crm 1 ↔ erp 101  name  Mine too ↔ Theirs  (conflict: "),
    "hold": (3, "[held: delete]"),
    "empty": (3, ""),
    "away": (1, "erp was not read"),
    "column": (2, ""),
}


def happens(world: World, what: str) -> None:
    """One of the situations."""
    if what == "edit":
        world.sql("crm", "UPDATE contacts SET name = 'Mine' WHERE id = 1")
    if what == "conflict" or what.startswith("decided"):
        world.sql("crm", "UPDATE contacts SET name = 'Mine' WHERE id = 1")
        world.sql("erp", "UPDATE customers SET full_name = 'Theirs' WHERE no = 101")
    if what.startswith("decided"):
        world.ok("reconcile", code=3)
        world.ok("conflicts", "resolve", "1", "--take", "crm")
    if what == "decided and moved":
        world.sql("crm", "UPDATE contacts SET name = 'Mine too' WHERE id = 1")
    if what == "private":
        world.sql("crm", "UPDATE contacts SET phone = 'mine' WHERE id = 1")
        world.sql("erp", "UPDATE customers SET tel = 'theirs' WHERE no = 101")
    if what == "deleted":
        world.sql("crm", "DELETE FROM contacts WHERE id = 1")
        world.sql("erp", "UPDATE customers SET full_name = 'Theirs' WHERE no = 101")
    if what == "twins":
        world.sql("crm", "CREATE TABLE more AS SELECT * FROM contacts")
        world.sql("crm", "DROP TABLE contacts")
        columns = "id INTEGER PRIMARY KEY, mail TEXT, name TEXT, phone TEXT, credit NUMERIC(12,2)"
        world.sql("crm", f"CREATE TABLE contacts ({columns})")
        world.sql("crm", "INSERT INTO contacts SELECT * FROM more")
        world.sql("crm", "INSERT INTO contacts VALUES (98, 'twin@example.com', 'A', NULL, NULL)")
        world.sql("crm", "INSERT INTO contacts VALUES (99, 'twin@example.com', 'B', NULL, NULL)")
    if what == "hold":
        world.sql("crm", "DELETE FROM contacts WHERE id > 5")
    if what == "empty":
        world.sql("crm", "DELETE FROM contacts")
    if what == "away":
        (world.folder / "erp.db").rename(world.folder / "gone.db")
        (world.folder / "erp.db").mkdir()
    if what == "column":
        world.sql("erp", "ALTER TABLE customers DROP COLUMN full_name")


@pytest.mark.parametrize("what", SITUATIONS)
def test_a_dry_run_exits_as_the_run_would_and_shows_what_it_would_open(
    world: World, what: str
) -> None:
    code, line = SITUATIONS[what]
    world.synced(30)
    happens(world, what)
    before = world.state() if what != "away" else {}
    text = world.ok("reconcile", "-n", code=code)
    assert line in text.stdout
    dry = world.json("reconcile", "-n", code=code)
    assert world.json("reconcile", "--plan", "plan.jsonl", code=code)["saved"] is (code in (0, 3))
    if what != "away":
        assert world.state() == before
    real = world.json("reconcile", code=code)
    open_ = [[run[name] for name in ("conflicts", "holds", "quarantined")] for run in dry["flows"]]
    assert open_ == [
        [run[name] for name in ("conflicts", "holds", "quarantined")] for run in real["flows"]
    ]
    opened = [one["digest"] for run in dry["flows"] for one in run["opens"]]
    if opened:
        listed = world.json("conflicts", "list", code=3)["conflicts"]
        assert set(opened) <= {one["digest"] for one in listed}
    news = ("conflict", "private", "deleted", "twins", "decided and moved")
    assert bool(opened) is (what in news)
    if code == 3:  # what stands open already is foretold too, and not as news
        again = world.json("reconcile", "-n", code=3)["flows"][0]
        assert [again[name] for name in ("conflicts", "holds", "quarantined")] == open_[0]
        assert again["opens"] == []


def test_deletions_do_not_drown(world: World) -> None:
    world.change(
        "[flows.people.fields]",
        'guard = { updates = "off", deletes = "off" }\n[flows.people.fields]',
    )
    world.synced(40)
    world.sql("crm", "UPDATE contacts SET name = name || '!' WHERE id < 39")
    world.sql("crm", "DELETE FROM contacts WHERE id >= 39")
    short = world.ok("reconcile", "-n").stdout
    assert "18 more changes; -v shows them all" in short
    assert short.count("  - crm → erp") == 2
    assert world.ok("reconcile", "-n", "-v").stdout.count("  ~ crm → erp") == 38


def test_a_first_run_that_writes_wants_a_yes(world: World) -> None:
    world.people(2)
    world.sql("crm", "INSERT INTO contacts VALUES (9, 'new@example.com', 'New', '1', NULL)")
    result = world.ok("reconcile", code=3)
    assert "a first run wants a yes (--yes)" in result.stdout
    assert len(world.sql("erp", "SELECT * FROM customers")) == 2
    world.ok("reconcile", "--yes")
    assert len(world.sql("erp", "SELECT * FROM customers")) == 3
    world.sql("crm", "INSERT INTO contacts VALUES (10, 'newer@example.com', 'New', '1', NULL)")
    world.ok("reconcile")  # the members know each other now: nobody is asked again
    assert len(world.sql("erp", "SELECT * FROM customers")) == 4


def test_a_first_run_that_only_links_asks_nothing(world: World) -> None:
    world.people(3)
    run = world.json("reconcile")["flows"][0]
    assert run["state"] == "done"
    assert run["linked"] == 3
    assert world.ok("reconcile").stdout.startswith("people: nothing to do")


def test_hostile_text_is_shown_and_never_obeyed(world: World) -> None:
    world.synced(3)
    nasty = "\x1b]0;owned\x07\x1b[2J\u202eevil\nnext"
    connection_name = nasty.replace("'", "''")
    world.sql("crm", f"UPDATE contacts SET name = '{connection_name}' WHERE id = 1")
    shown = world.ok("reconcile", "-n").stdout
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "\\e]0;owned\\x07\\e[2J\\u202eevil\\nnext" in shown
    operation = world.json("reconcile", "-n")["flows"][0]["operations"][0]
    assert operation["fields"]["name"]["after"] == nasty


def test_private_values_are_masked_in_text_json_and_saved_plans(world: World) -> None:
    world.synced(3)
    world.sql("crm", "UPDATE contacts SET phone = '+49 555 secret' WHERE id = 1")
    plan = world.folder / "plan.jsonl"
    said = [
        world.ok("reconcile", "-n", "-v").output,
        world.ok("reconcile", "-n", "--json").output,
        world.ok("reconcile", "--plan", str(plan)).output,
        plan.read_text(),
        world.ok("apply", str(plan), "-v").output,
        world.ok("links", "show", "people", "crm:1").output,
        world.ok("links", "show", "people", "crm:1", "--json").output,
        world.ok("runs", "show", "2", "--json").output,
        world.ok("runs", "show", "2").output,
    ]
    assert not [text for text in said if "555 secret" in text]
    assert world.sql("erp", "SELECT tel FROM customers WHERE no = 101") == [("+49 555 secret",)]
    assert json.loads(plan.read_text().splitlines()[0])["masked"] == ["people.phone"]


TWO = """
[flows.firms]
match = ["number"]

[flows.firms.fields]
number = "text"
title = "text"

[flows.firms.members.crm]
object = "firms"
fields = { number = "number", title = "title" }

[flows.firms.members.erp]
object = "companies"
fields = { number = "number", title = "title" }
"""


def test_i13_one_bad_flow_never_stops_the_others(world: World) -> None:
    world.people(2)
    world.config.write_text(world.config.read_text() + TWO)
    world.sql("crm", "CREATE TABLE firms (id INTEGER PRIMARY KEY, number TEXT, title TEXT)")
    result = world.run("reconcile", "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == document["exit"] == 2  # the table of firms is not in the ERP
    assert [run["flow"] for run in document["flows"]] == ["people"]
    assert document["flows"][0]["state"] == "done"
    assert document["errors"][0]["flow"] == "firms"
    text = world.run("reconcile")
    assert "flows: people done, firms did not run" in text.stdout
    assert "companies" in text.stderr


def test_an_unreachable_member_is_named_and_the_code_is_1(world: World) -> None:
    world.synced(2)
    (world.folder / "erp.db").rename(world.folder / "gone.db")
    (world.folder / "erp.db").mkdir()
    document = world.json("reconcile", code=1)
    assert document["flows"][0]["state"] == "failed"
    assert [m["error"] is None for m in document["flows"][0]["members"]] == [True, False]
    assert "member erp" in document["errors"][0]["where"]


def test_a_write_that_fails_is_not_called_a_read(world: World) -> None:
    """Somebody keeps the ERP locked: it was read, and could not be written."""
    world.change('url = "sqlite:///erp.db"', 'url = "sqlite:///erp.db"\ntimeout = 0.1')
    world.synced(2)
    world.sql("crm", "UPDATE contacts SET name = 'New' WHERE id = 1")
    holder = sqlite3.connect(world.folder / "erp.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    result = world.ok("reconcile", code=1)
    holder.execute("ROLLBACK")
    holder.close()
    assert "erp  +0 ~0 -0  writing failed" in result.stdout
    assert "writing erp failed: " in result.stdout
    assert "not read" not in result.output
    assert "1 change" in world.ok("reconcile").stdout


FULL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
from syncd.cli.main import main
main()
"""


def test_f53_a_full_scratch_folder_is_not_blamed_on_the_state(world: World) -> None:
    """A first dry run keeps what it needs in TMPDIR: it is full, and there is no state yet."""
    world.people(3)
    done = subprocess.run(
        [sys.executable, "-c", FULL, "reconcile", "--dry-run"],
        cwd=world.folder,
        env={**os.environ, **world.environ, "TMPDIR": str(world.folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "error SY0439" in done.stderr
    assert "scratch file" in done.stderr and "TMPDIR" in done.stderr
    assert "the state" not in done.stderr


def test_s49_a_held_flow_exits_4_and_says_who_has_it(world: World) -> None:
    world.synced(2)
    interrupt = host.Interrupt()
    seams = host.real_seams(interrupt)
    with_url = f"sqlite:///{world.folder}/state.db"
    store = Store.open(
        with_url, seams=seams, deployment=None, create=False, state_dir=world.folder / "home/syncd"
    )
    try:
        lease.acquire(store, "people", Holder("elsewhere", 4711, "x"), 60.0)
        result = world.run("reconcile")
        assert result.exit_code == 4
        assert "4711" in result.stderr
        assert world.run("links", "unlink", "people", "crm:1").exit_code == 4
        world.ok("status")
        assert world.json("status")["flows"][0]["running"] == "process 4711 on elsewhere"
    finally:
        store.close()
        interrupt.close()


def test_a_record_run_reads_one_record_only(world: World) -> None:
    world.synced(4)
    world.sql("crm", "UPDATE contacts SET name = 'One' WHERE id = 1")
    world.sql("crm", "UPDATE contacts SET name = 'Two' WHERE id = 2")
    run = world.json("reconcile", "people", "--record", "crm:1")["flows"][0]
    assert run["mode"] == "entity"
    assert world.sql("erp", "SELECT full_name FROM customers WHERE no IN (101, 102)") == [
        ("One",),
        ("Person 2",),
    ]
    assert world.run("reconcile", "--record", "crm:x").exit_code == 2
    assert world.run("reconcile", "--record", "shop:1").exit_code == 2


# --- saved plans ---------------------------------------------------------------------------


def planned(world: World) -> Path:
    world.synced(5)
    for n in (1, 2, 3):
        world.sql("crm", f"UPDATE contacts SET name = 'New {n}' WHERE id = {n}")
    plan = world.folder / "plan.jsonl"
    world.ok("reconcile", "--plan", str(plan))
    assert world.sql("erp", "SELECT full_name FROM customers WHERE no = 101") == [("Person 1",)]
    return plan


def names(world: World) -> list[str]:
    return [name for (name,) in world.sql("erp", "SELECT full_name FROM customers ORDER BY no")]


def test_s60_apply_runs_exactly_the_saved_plan(world: World) -> None:
    plan = planned(world)
    world.sql("crm", "UPDATE contacts SET name = 'Later' WHERE id = 4")
    document = world.json("apply", str(plan))
    assert document["applied"] is True
    assert names(world) == ["New 1", "New 2", "New 3", "Person 4", "Person 5"]
    world.ok("reconcile")
    assert names(world)[3] == "Later"


def test_s60_apply_refuses_and_lists_when_records_moved(world: World) -> None:
    plan = planned(world)
    world.sql("crm", "UPDATE contacts SET name = 'Moved' WHERE id = 2")
    result = world.run("apply", str(plan))
    assert result.exit_code == 1
    assert "moved: people  update erp 102  name Person 2 → New 2" in result.stdout
    assert "error SY0161" in result.stderr
    assert names(world)[:3] == ["Person 1", "Person 2", "Person 3"]
    document = world.json("apply", str(plan), code=1)
    assert document["applied"] is False
    assert [entry["key"] for entry in document["moved"]] == ["102"]


def test_s60_skip_moved_runs_the_rest_and_lists_what_dropped_out(world: World) -> None:
    plan = planned(world)
    world.sql("crm", "UPDATE contacts SET name = 'Moved' WHERE id = 2")
    document = world.json("apply", str(plan), "--skip-moved", code=3)
    assert [entry["key"] for entry in document["moved"]] == ["102"]
    assert names(world)[:3] == ["New 1", "Person 2", "New 3"]


@pytest.mark.parametrize("edit", ["target", "source"])
def test_s60_a_record_with_another_edit_since_is_not_the_one_planned(
    world: World, edit: str
) -> None:
    """The operation planned is the same as ever, and there is one more for its record."""
    plan = planned(world)
    world.sql("erp", "UPDATE customers SET credit_limit = 99 WHERE no = 102")
    if edit == "source":
        world.sql("erp", "UPDATE customers SET credit_limit = 20 WHERE no = 102")
        world.sql("crm", "UPDATE contacts SET phone = 'other' WHERE id = 2")
    document = world.json("apply", str(plan), code=1)
    assert (document["applied"], document["flows"]) == (False, [])
    assert [entry["key"] for entry in document["moved"]] == ["102"]
    assert names(world)[:3] == ["Person 1", "Person 2", "Person 3"]
    text = world.ok("apply", str(plan), "-v", code=1)
    assert "! moved: people  update erp 102  name Person 2 → New 2" in text.stdout
    text = world.ok("apply", str(plan), "-v", "--skip-moved", code=3)
    assert "! left out: people  update erp 102  name Person 2 → New 2" in text.stdout
    assert "crm 2 " not in text.stdout  # nobody planned that
    assert names(world)[:3] == ["New 1", "Person 2", "New 3"]


def test_s60_nothing_runs_of_a_flow_that_moved_after_the_look(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(world)

    def late(*args: Any, **options: Any) -> Done:
        world.sql("crm", "UPDATE contacts SET name = 'Moved' WHERE id = 2")
        return run_all(*args, **options)

    monkeypatch.setattr("syncd.cli.apply.run_all", late)
    document = world.json("apply", str(plan), code=1)
    assert document["applied"] is False
    assert [entry["key"] for entry in document["moved"]] == ["102"]
    assert document["errors"][0]["code"] == "SY0161"
    assert names(world)[:3] == ["Person 1", "Person 2", "Person 3"]


@pytest.mark.parametrize(("skip", "code"), [((), 1), (("--skip-moved",), 3)])
def test_s60_a_record_edited_before_the_write_arrives_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch, skip: tuple[str, ...], code: int
) -> None:
    plan = planned(world)
    apply_all = apply.apply_all

    def late(context: RunContext) -> int:
        world.sql("erp", "UPDATE customers SET full_name = 'Theirs' WHERE no = 102")
        return apply_all(context)

    monkeypatch.setattr(apply, "apply_all", late)
    result = world.ok("apply", str(plan), *skip, code=code)
    assert "! moved: people  update erp 102  name Person 2 → New 2" in result.stdout
    assert ("error SY0161: 1 operation of the plan moved" in result.stderr) == (not skip)
    assert names(world)[:3] == ["New 1", "Theirs", "New 3"]


def test_apply_does_not_call_moved_what_it_could_not_look_at(world: World) -> None:
    plan = planned(world)
    (world.folder / "erp.db").rename(world.folder / "gone.db")
    (world.folder / "erp.db").mkdir()
    document = world.json("apply", str(plan), code=1)
    assert (document["applied"], document["moved"]) == (False, [])
    assert document["errors"][0]["where"] == "flow people, member erp"
    assert "nothing was done: a member was not read" in world.run("apply", str(plan)).stdout


def test_moved_creates_and_deletions_say_what_the_record_has(world: World) -> None:
    world.synced(5)
    world.sql("crm", "INSERT INTO contacts VALUES (9, 'new@example.com', 'New', NULL, NULL)")
    world.sql("crm", "DELETE FROM contacts WHERE id = 5")
    world.ok("reconcile", "--plan", "plan.jsonl")
    world.sql("crm", "UPDATE contacts SET name = 'Newer' WHERE id = 9")
    world.sql("crm", "INSERT INTO contacts VALUES (5, 'p5@example.com', 'Person 5', NULL, NULL)")
    said = world.ok("apply", "plan.jsonl", code=1).stdout
    assert "! moved: people  create erp (new)  email new@example.com, name New\n" in said
    assert "! moved: people  delete erp 105  credit 50.00, email p5@example.com" in said
    assert "null" not in said and "→" not in said


def test_a_plan_of_another_config_is_refused(world: World) -> None:
    plan = planned(world)
    world.change('deletes = "propagate"', 'deletes = "review"')
    result = world.run("apply", str(plan))
    assert result.exit_code == 2
    assert "SY0163" in result.stderr


@pytest.mark.parametrize("damage", ["cut", "empty", "other", "version"])
def test_a_damaged_plan_is_refused(world: World, damage: str) -> None:
    plan = planned(world)
    lines = plan.read_text().splitlines(keepends=True)
    texts = {
        "cut": "".join(lines[:-1]),
        "empty": "",
        "other": '{"kind": "something"}\n{"kind": "end"}\n',
        "version": "".join([lines[0].replace('"version":1', '"version":99'), *lines[1:]]),
    }
    plan.write_text(texts[damage])
    result = world.run("apply", str(plan))
    assert result.exit_code == 2
    assert "SY0162" in result.stderr
    assert names(world)[0] == "Person 1"


@pytest.mark.parametrize("name", ["syncd.toml", "state.db", "crm.db", "empty", "notes.jsonl"])
def test_a_plan_replaces_an_earlier_plan_and_nothing_else(world: World, name: str) -> None:
    """I6: a dry run writes nothing; also where somebody mistypes where its plan shall go."""
    world.synced(3)
    (world.folder / "empty").touch()
    (world.folder / "notes.jsonl").write_text('{"kind": "note"}\n')
    before = (world.folder / name).read_bytes()
    files = sorted(path.name for path in world.folder.iterdir())
    result = world.ok("reconcile", "--plan", name, code=2)
    assert "error SY0179" in result.stderr
    assert result.stdout == ""
    assert (world.folder / name).read_bytes() == before
    assert sorted(path.name for path in world.folder.iterdir()) == files


def test_a_plan_is_renamed_into_place_and_takes_no_other_file(world: World) -> None:
    world.synced(3)
    (world.folder / ".plan.jsonl.new").write_text("mine")
    (world.folder / "link").symlink_to(world.folder / "plan.jsonl")
    assert world.json("reconcile", "--plan", "plan.jsonl")["saved"] is True
    world.sql("crm", "UPDATE contacts SET name = 'X' WHERE id = 1")
    world.ok("reconcile", "--plan", "link")
    assert (world.folder / "link").is_symlink()
    assert len((world.folder / "plan.jsonl").read_text().splitlines()) == 3
    assert (world.folder / "plan.jsonl").stat().st_mode & 0o777 == 0o600
    assert (world.folder / ".plan.jsonl.new").read_text() == "mine"
    assert [p.name for p in world.folder.iterdir() if p.name.startswith(".plan")] == [
        ".plan.jsonl.new"
    ]
    result = world.ok("reconcile", "--plan", "/dev/null", code=2)
    assert "error SY0179" in result.stderr
    assert "error SY0165" in world.ok("reconcile", "--plan", "no/plan", code=2).stderr


def test_a_plan_that_lacks_a_member_is_not_saved(world: World) -> None:
    plan = planned(world)
    before = plan.read_bytes()
    (world.folder / "erp.db").rename(world.folder / "gone.db")
    (world.folder / "erp.db").mkdir()
    for name in ("plan.jsonl", "other.jsonl"):
        result = world.run("reconcile", "--plan", name)
        assert "the plan is not whole and was not saved" in result.stdout
        assert "plan saved" not in result.stdout
    assert plan.read_bytes() == before
    assert not (world.folder / "other.jsonl").exists()


# --- stops ---------------------------------------------------------------------------------


def test_ctrl_c_stops_cleanly_and_the_next_run_goes_on(world: World) -> None:
    world.people(1)
    rows = [(n, f"n{n}@example.com", "N", "1", None) for n in range(1000, 3500)]
    world.sql("crm", "INSERT INTO contacts VALUES (?,?,?,?,?)", *rows)
    with world.process("reconcile", "--yes") as process:
        # the ERP's table grows when the first writes are through: then it is in the midst of them
        while world.sql("erp", "SELECT count(*) FROM customers") == [(1,)]:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert "the next run goes on" in stderr
    assert world.sql("erp", "SELECT count(*) FROM customers") < [(2501,)]
    world.ok("reconcile", "--yes")
    assert world.sql("erp", "SELECT count(*), count(DISTINCT email) FROM customers") == [
        (2501, 2501)
    ]


@contextmanager
def at_the_question(world: World) -> Iterator[tuple[subprocess.Popen[str], int, str]]:
    """A first run at a terminal; what it shows before it waits for an answer."""
    world.people(3)
    world.sql("crm", "INSERT INTO contacts (mail, name) VALUES ('new@example.com', 'New')")
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "syncd.cli", "reconcile"],
        cwd=world.folder,
        env={**os.environ, **world.environ, "TERM": "dumb"},
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=0,
    )
    os.close(theirs)
    assert process.stderr is not None
    said = ""
    while not said.endswith("[y/N] "):
        said += process.stderr.read(1) or pytest.fail(said)
    try:
        yield process, ours, said
    finally:
        process.kill()
        process.communicate()
        os.close(ours)


def test_a_first_run_shows_its_plan_before_it_asks(world: World) -> None:
    with at_the_question(world) as (process, terminal, said):
        assert "plan of 1 operation" in said
        assert "+ crm → erp (new)  email new@example.com" in said
        os.write(terminal, b"y\n")
        assert process.wait(60) == 0
    assert world.sql("erp", "SELECT count(*) FROM customers") == [(4,)]


def test_ctrl_c_at_the_question_is_an_answer(world: World) -> None:
    with at_the_question(world) as (process, _, _):
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert world.sql("erp", "SELECT count(*) FROM customers") == [(3,)]


def test_a_record_that_is_not_there_is_said(world: World) -> None:
    world.synced(1)
    assert "crm has no record 999" in world.ok("reconcile", "--record", "crm:999").stdout
