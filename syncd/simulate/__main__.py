"""`python -m syncd.simulate 1..500`: plays a range of seeds, or shows and shrinks one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
import orjson

from syncd.host import calm_collector
from syncd.simulate import campaign
from syncd.simulate.generate import script as generated
from syncd.simulate.script import Script, load
from syncd.simulate.show import story
from syncd.simulate.shrink import shrink


class Seeds(click.ParamType):  # type: ignore[type-arg]
    """7, or 1..500 with both ends."""

    name = "seeds"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> range:
        first, dots, last = str(value).partition("..")
        if not first.isdigit() or (dots and not last.isdigit()):
            self.fail("say a seed, or a range of them: 1..500", param, ctx)
        found = range(int(first), int(last or first) + 1)
        if not found:
            self.fail("the range is empty", param, ctx)
        return found


@click.command()
@click.argument("seeds", type=Seeds(), required=False)
@click.option("--ledger", type=click.Path(path_type=Path), help="Go on where this file ends.")
@click.option("--processes", type=int, default=os.cpu_count() or 1, show_default=True)
@click.option("--show", is_flag=True, help="Tell what happens, event by event.")
@click.option("--shrink", "small", type=click.Path(path_type=Path), help="Write it as small.")
@click.option("--script", type=click.Path(path_type=Path, exists=True), help="Play this file.")
def main(
    seeds: range | None,
    ledger: Path | None,
    processes: int,
    show: bool,
    small: Path | None,
    script: Path | None,
) -> None:
    """Simulated lives of a flow under faults, each judged by an oracle of its own."""
    calm_collector()
    if script is not None:
        one(load(orjson.loads(script.read_bytes())), show, small)
        return
    if seeds is None:
        raise click.UsageError("say which seeds, or --script")
    if show or small:
        one(generated(seeds.start), show, small)
        return
    kept = campaign.Ledger(ledger) if ledger is not None else None
    total = campaign.campaign(seeds, kept, processes, tell)
    for seed, text in total.broken:
        click.echo(f"seed {seed}: {text}")
    for kind, many in sorted(total.fired.items()):
        click.echo(f"  {kind:14} {many:8,}")
    click.echo(str(total))
    sys.exit(1 if total.broken else 0)


def tell(count: campaign.Count) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{count}", nl=False, err=True)


def one(script: Script, show: bool, small: Path | None) -> None:
    """One life, in words; small: the file for the smallest script that breaks the same."""
    desk = campaign.desk()
    try:
        trace = campaign.live(script, desk)
        laws = {text.split(":")[0] for text in trace.broken}
        if small is not None and laws:

            def fails(candidate: Script) -> bool:
                found = campaign.live(candidate, desk).broken
                return any(text.split(":")[0] in laws for text in found)

            script = shrink(script, fails)
            small.write_bytes(orjson.dumps(script.dump(), option=orjson.OPT_INDENT_2))
            trace = campaign.live(script, desk)
    finally:
        desk.remove()
    if show or small:
        click.echo(story(trace))
    for text in trace.broken:
        click.echo(text)
    sys.exit(1 if trace.broken else 0)


if __name__ == "__main__":
    main()
