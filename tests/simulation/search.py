"""Finds, for each planted defect, the first seed whose life shows it.

    python tests/simulation/search.py [NAME…] [--seeds 2000] [--processes 1]

It begins with the seeds that the table has and goes on from 0. `caught.toml` is written after each
find, the table in docs/testing.md at the end; `--table` writes that alone.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tomllib
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from defects import DEFECTS, Defect  # noqa: E402
from defects.plant import watched  # noqa: E402

from syncd.simulate import campaign  # noqa: E402
from syncd.simulate.generate import script as generated  # noqa: E402
from syncd.simulate.process import Desk  # noqa: E402

TABLE = HERE / "caught.toml"
PAGE = HERE.parents[1] / "docs" / "testing.md"
BEGIN, END = "<!-- planted -->", "<!-- /planted -->"


@dataclass(frozen=True, slots=True)
class Caught:
    """seed: of the first life found in which the defect breaks its law."""

    law: str
    seed: int
    equal: bool


def shown(defect: Defect, found: Iterable[str]) -> bool:
    """Whether these are what the defect is said to break: by its law, and not by an error."""
    texts = [text for text in found if "a run ends error" not in text]
    laws = {text.partition(":")[0] for text in texts}
    return defect.law in laws and not (defect.equal and "I1" in laws)


def known() -> dict[str, Caught]:
    if not TABLE.exists():
        return {}
    return {name: Caught(**said) for name, said in tomllib.loads(TABLE.read_text()).items()}


def caught(defect: Defect, seed: int, desk: Desk) -> bool:
    """Whether the life of this seed shows the defect, and is sound without it."""
    return _shows(defect, seed, desk) and not campaign.live(generated(seed), desk).broken


def _shows(defect: Defect, seed: int, desk: Desk) -> bool:
    try:
        with defect.planted():
            return shown(defect, campaign.live(generated(seed), desk).broken)
    except Exception as error:  # it breaks the program instead of a promise
        print(f"{defect.name} {seed}: {type(error).__name__}: {error}", file=sys.stderr)
        return False


def look(seed: int, names: Sequence[str]) -> list[str]:
    """Which of these defects the life of this seed shows. Those that stand in for pure functions
    and never answer otherwise in it need not be played."""
    logging.disable(logging.CRITICAL)
    script, desk = generated(seed), campaign.desk()
    try:
        defects = [DEFECTS[name] for name in names if DEFECTS[name].may(script)]
        pure = [defect for defect in defects if defect.pure]
        sound: bool | None = None
        bit: set[str] = set()
        if pure:
            with watched(pure) as bit:
                sound = not campaign.live(script, desk).broken
        if sound is False:
            return []
        left = [defect for defect in defects if not defect.pure or defect.name in bit]
        found = [defect.name for defect in left if _shows(defect, seed, desk)]
        if found and sound is None:
            sound = not campaign.live(script, desk).broken
        return found if sound else []
    finally:
        desk.remove()


def confirm(name: str, seed: int) -> bool:
    logging.disable(logging.CRITICAL)
    desk = campaign.desk()
    try:
        return caught(DEFECTS[name], seed, desk)
    finally:
        desk.remove()


def search(names: Sequence[str], table: dict[str, Caught], seeds: int, processes: int) -> list[str]:
    """Fills the table; answers the names not found. What was found before is tried first."""
    left = list(names)

    def found(name: str, seed: int) -> None:
        defect = DEFECTS[name]
        table[name] = Caught(defect.law, seed, defect.equal)
        left.remove(name)
        write(table)
        print(f"{name}: {seed} ({len(left)} left)", flush=True)

    with ProcessPoolExecutor(processes) as pool:
        before = [name for name in left if name in table]
        again = pool.map(confirm, before, [table[name].seed for name in before])
        for name, holds in zip(before, again, strict=True):
            if holds:
                found(name, table[name].seed)
            else:
                del table[name]
        for first in seeds[::processes]:
            if not left:
                break
            part = range(first, min(seeds.stop, first + processes))
            for seed, shows in zip(part, pool.map(look, part, [left] * len(part)), strict=True):
                for name in shows:
                    if name in left:
                        found(name, seed)
    return left


def write(table: dict[str, Caught]) -> None:
    lines = ["# Written by search.py: by which seed each planted defect is caught."]
    for name in DEFECTS:
        if name in table:
            said = table[name]
            lines += [
                "",
                f"[{name}]",
                f'law = "{said.law}"',
                f"seed = {said.seed}",
                f"equal = {str(said.equal).lower()}",
            ]
    TABLE.write_text("\n".join(lines) + "\n")


def page(table: dict[str, Caught]) -> str:
    """The table for docs/testing.md."""
    rows = [
        f"| {name.replace('_', ' ')} | {defect.what} | {defect.law} | {table[name].seed + 1} "
        f"| {'yes' if defect.equal else ''} |"
        for name, defect in DEFECTS.items()
        if name in table
    ]
    return "\n".join(
        [
            BEGIN,
            "| defect | what it does | breaks | lives until caught | sides equal |",
            "|---|---|---|---|---|",
            *rows,
            END,
        ]
    )


def write_page(table: dict[str, Caught]) -> None:
    text = PAGE.read_text()
    if BEGIN in text:
        before, _, rest = text.partition(BEGIN)
        PAGE.write_text(before + page(table) + rest.partition(END)[2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--begin", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=2000)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="write the page from what is known")
    said = parser.parse_args()
    table = known()
    if said.table:
        write_page(table)
        return
    seeds = range(said.begin, said.seeds)
    missing = search(said.names or list(DEFECTS), table, seeds, said.processes)
    write(table)
    for name in missing:
        print(f"{name}: not caught")
    write_page(table)
    sys.exit(1 if missing else 0)


if __name__ == "__main__":
    main()
