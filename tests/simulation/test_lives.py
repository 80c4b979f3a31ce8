"""Simulated lives, judged: a share of the seeds, every failure that was kept, and that a seed
decides everything. `make simulate` plays more."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path

import orjson
import pytest

from syncd.core.folds import FOLDS
from syncd.core.values import KINDS
from syncd.simulate.campaign import CHUNK, chunk, desk, live
from syncd.simulate.faults import FITS
from syncd.simulate.generate import VARIED, script
from syncd.simulate.process import Desk
from syncd.simulate.script import Traits, load
from syncd.simulate.trace import Trace

KEPT = sorted((Path(__file__).parent / "kept").glob("*.json"))
SEEDS = int(os.environ.get("SYNCD_SEEDS", "400"))
TWICE = range(3, 63, 20)


@pytest.fixture(scope="module")
def here() -> Iterator[Desk]:
    made = desk()
    yield made
    made.remove()


def named(trace: Trace) -> str:
    """A digest of all that happened."""
    ends = [(end.state, end.text, end.calls) for end in trace.runs]
    told = repr((trace.happenings, ends, trace.broken, trace.fired))
    return blake2b(told.encode(), digest_size=16).hexdigest()


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_promise_is_broken(first: int, here: Desk) -> None:
    """F1, F4, F5, F6, F7, F9, F10, F16, F17, F18, F22, F24, F25, F27, F28, F29, F37, F38, F40, F41,
    F42, F43, F45, F47, F48, F49, F50, F51, F57, F60, F61, F71, in random company, with users
    editing at any time."""
    count = chunk(range(first, first + CHUNK), here)
    assert not count.broken, "\n".join(f"seed {seed}: {text}" for seed, text in count.broken)
    assert count.edits > CHUNK
    assert count.calls > 100 * CHUNK


def test_the_seeds_have_all_there_is() -> None:
    """Every kind of fault, every trait of a system and every policy comes up among the first."""
    scripts = [script(seed) for seed in range(400)]
    assert {fault.kind for one in scripts for fault in one.faults} == set(FITS)
    traits = [asdict(t) for one in scripts for t in one.systems.values()]
    for name, plain in asdict(Traits()).items():
        assert any(t[name] != plain for t in traits), name
    for name in ("conflict", "first", "deletes", "delete_conflict", "drift"):
        assert len({one.flow[name] for one in scripts}) >= 3, name
    hows = {(event.kind, event.how) for one in scripts for event in one.events}
    assert {how for kind, how in hows if kind == "edit"} == {
        "new", "blank", "back", "same", "spelling", "accent", "word", "long", "odd", "respelled",
    }  # fmt: skip
    modes = {part.mode for one in scripts for part in one.rounds}
    assert modes == {"full", "incremental", "dry", "entity", "saved"}
    assert {kind for kind, _ in hows} == {
        "add", "edit", "delete", "restore", "merge", "decide", "approve", "discard", "retry",
    }  # fmt: skip


def test_the_varied_lives_have_every_type() -> None:
    """And every fold, every way to keep a field, and every rule of a field."""
    flows = [script(seed).flow for seed in range(0, 400, VARIED)]
    fields = [said for flow in flows for said in flow["fields"].values()]
    assert {said["type"].partition("(")[0] for said in fields} == set(KINDS)
    assert {fold for said in fields for fold in said.get("fold", ())} == set(FOLDS)
    assert {option for said in fields for option in said} >= {
        "owner", "fill", "conflict", "first", "lossy", "exclusive", "private", "null", "zone",
        "precision", "choices", "limit",
    }  # fmt: skip
    places = [p for flow in flows for m in flow["members"].values() for p in m["fields"].values()]
    options = {option for place in places if isinstance(place, dict) for option in place}
    assert options == {"native", "lens", "table", "zone", "read_only"}
    assert {len(flow["match"]) for flow in flows} == {1, 2}
    assert any(flow.get("groups") for flow in flows)
    habits = [h for seed in range(0, 400, VARIED) for h in script(seed).habits.values()]
    assert {how for habit in habits for how in habit.values()} == {
        "upper",
        "lower",
        "title",
        "trim",
    }


def test_lives_are_as_full_as_real_ones(here: Desk) -> None:
    """Some forty things that users change, and ten runs."""
    traces = [live(script(seed), here) for seed in range(20)]
    deeds = [h for trace in traces for h in trace.happenings if h.who == "user"]
    assert len(deeds) >= 40 * len(traces)
    assert sum(len(trace.runs) for trace in traces) >= 10 * len(traces)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_what_was_mended_stays_mended(path: Path, here: Desk) -> None:
    """Each script once broke a promise."""
    assert not live(load(orjson.loads(path.read_bytes())), here).broken


@pytest.mark.parametrize("seed", TWICE)
def test_a_seed_decides_everything(seed: int, here: Desk) -> None:
    again = load(orjson.loads(orjson.dumps(script(seed).dump())))
    assert named(live(script(seed), here)) == named(live(again, here))


def test_the_order_of_hashes_decides_nothing(here: Desk) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from test_lives import *\n"
        "place = desk()\n"
        "print([named(live(script(seed), place)) for seed in TWICE])\n"
        "place.remove()\n"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", program, str(Path(__file__).parent)],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in (1, 77)
    ]
    assert said[0] == said[1]
    assert said[0].strip() == str([named(live(script(seed), here)) for seed in TWICE])
