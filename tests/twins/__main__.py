"""`scripts/compare-twins`: the score in Python and in JavaScript, on random files, bit for bit.

    scripts/compare-twins --files 100000 --seed 1

JavaScript is the module that the browser's verifier loads, run in Node. The files are nasty ones
(`nasty.py`). At the first difference it stops, shrinks the file to what the difference needs, and
tells it. Exit code 1: a difference; 2: wrong usage.
"""

import argparse
import json
import resource
import sys

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from node.cli.output import stderr
from tests.node.web.js.in_node import NODE, WHY_NOT
from tests.twins.compare import Compared, compare, drawn
from tests.twins.twin import Browser

FILES_MAX = 100_000_000


def main() -> int:
    given = _parser().parse_args()
    if NODE is None:
        print(f"scripts/compare-twins: {WHY_NOT}", file=sys.stderr)
        return 2
    if not 1 <= given.files <= FILES_MAX or given.first < 0:
        print(f"scripts/compare-twins: 1 to {FILES_MAX} files, from 0 on", file=sys.stderr)
        return 2
    columns = (TextColumn("files"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Browser() as browser, Progress(*columns, console=stderr) as bar:
        task = bar.add_task("", total=given.files)
        found = compare(
            drawn(given.seed, given.first, given.files),
            browser,
            on_progress=lambda done: bar.update(task, completed=done),
        )
    _tell(found, as_json=given.json)
    return 1 if found.difference else 0


def _tell(found: Compared, *, as_json: bool) -> None:
    spent = {
        name: round(usage.ru_utime + usage.ru_stime, 1)
        for name, usage in (
            ("cpu_seconds_ledger", resource.getrusage(resource.RUSAGE_SELF)),
            ("cpu_seconds_browser", resource.getrusage(resource.RUSAGE_CHILDREN)),
        )
    }
    memory = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024)
    figures = found.figures() | spent | {"memory_mib_max": memory}
    if as_json:
        print(json.dumps(figures))
        return
    lines = figures.pop("difference")
    for name, value in figures.items():
        print(f"{name:22} {value}")
    print(*(lines or ["no difference"]), sep="\n")  # type: ignore[misc]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/compare-twins", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--files", type=int, default=10_000, help="How many closures of files.")
    parser.add_argument("--seed", type=int, default=1, help="What they are drawn by.")
    parser.add_argument("--first", type=int, default=0, help="From which place of the seed on.")
    parser.add_argument("--json", action="store_true", help="One JSON object on stdout.")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
