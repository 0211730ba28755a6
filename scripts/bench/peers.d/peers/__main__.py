"""Runs the systems one after another under the same terms, and tells what came of each."""

import argparse
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from node.cli.output import print_json, stdout
from peers import cometbft, postgresql, raft, standing
from peers.figures import (
    OURS,
    Measured,
    Missing,
    System,
    Terms,
    figures_of,
    notes_of,
    ratios,
    table_of,
)

SYSTEMS: Final = (
    postgresql.ROWS,
    postgresql.BATCHES,
    raft.SYSTEM,
    cometbft.SYSTEM,
    standing.SYSTEM,
)
STOPPING: Final = (signal.SIGINT, signal.SIGTERM)
SECONDS_MAX: Final = 3_600.0
TABLE_CHARS: Final = 112  # also where the terminal is narrower, or there is none


def say(text: str) -> None:
    """Progress, on stderr."""
    print(f"peers: {text}", file=sys.stderr, flush=True)


def stop_once(_number: int, _frame: object) -> None:
    """Stop in order at the first word; what comes after does not disturb the stopping.

    Set for Ctrl-C too, which a shell has its background jobs ignore.
    """
    for each in STOPPING:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def judge(system: System, terms: Terms) -> Measured | str:
    """Measure one system in a folder of its own; or why that did not work.

    Whatever goes wrong is this system's result, and the others run all the same.
    """
    with tempfile.TemporaryDirectory(prefix="standing-peers-") as folder:
        try:
            return system.measure(terms, Path(folder), say)
        except Missing as error:
            why_not = str(error)
        except Exception as error:
            why_not = f"failed: {str(error) or type(error).__name__}"
    say(f"{system.title}: {why_not}")
    return why_not


def run(systems: Sequence[System], terms: Terms) -> dict[str, Any]:
    """The JSON object but for machine and version."""
    told = {system.name: figures_of(system, judge(system, terms)) for system in systems}
    return {**told, "ratios": ratios(told), "seconds": terms.seconds}


def show(figures: Mapping[str, Any], systems: Sequence[System]) -> None:
    """The table, and below it what a number alone would hide."""
    told = {system.name: figures[system.name] for system in systems}
    titles = {system.name: system.title for system in systems}
    table = table_of(told, titles, figures["ratios"])
    Console(highlight=False, width=max(stdout.width, TABLE_CHARS)).print(table)
    stdout.print()
    for line in notes_of(told, titles):
        stdout.print(line, markup=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0, or 1 where a system that was there failed, or 2 for wrong usage."""
    names = [system.name for system in SYSTEMS]
    parser = argparse.ArgumentParser(prog="scripts/bench/peers", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="measured, of each system")
    parser.add_argument("--only", action="append", choices=names, help="may be given several times")
    parser.add_argument("--seed", type=int, default=1, help="of the load")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    if not 1 <= options.seconds <= SECONDS_MAX:
        parser.error(f"--seconds is from 1 to {SECONDS_MAX:g}")
    if not 0 <= options.seed < 2**63:
        parser.error("--seed is from 0 to 2^63 - 1")
    for each in STOPPING:
        signal.signal(each, stop_once)
    systems = [each for each in SYSTEMS if not options.only or each.name in options.only]
    try:
        figures = run(systems, Terms(options.seconds, seed=options.seed))
    except KeyboardInterrupt:
        say("stopped; everything that was started is ended")
        return 130
    if options.json:
        print_json(figures)
    else:
        show(figures, systems)
    failed = [each.name for each in systems if figures[each.name]["why_not"].startswith("failed")]
    return 1 if failed or not figures.get(OURS, {"ran": True})["ran"] else 0


if __name__ == "__main__":
    sys.exit(main())
