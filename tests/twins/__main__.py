"""`scripts/compare-twins`: the score in Python and in JavaScript, on random files, bit for bit.

    scripts/compare-twins --files 100000 --seed 1
    scripts/compare-twins --exact --files 3000          # integers and exact fractions instead
    scripts/compare-twins --exact --data bitcoin-otc    # … on the first half of real events

JavaScript is the module that the browser's verifier loads, run in Node. The files are nasty ones
(`nasty.py`). At the first difference it stops, shrinks the file to what the difference needs, and
tells it. Exit code 1: a difference (of more than .0025 from exact arithmetic); 2: wrong usage.
"""

import argparse
import json
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ledger.errors import StandingError
from node.cli.output import stderr
from tests.node.web.js.in_node import NODE, WHY_NOT
from tests.twins.compare import Compared, compare, drawn
from tests.twins.twin import Browser

FILES_MAX = 100_000_000


def main() -> int:
    given = _parser().parse_args()
    if not 1 <= given.files <= FILES_MAX or given.first < 0 or given.every < 1:
        return _wrong(f"1 to {FILES_MAX} files, from 0 on; every event or every so many-th")
    if given.exact:
        return _exact(given)
    if given.data:
        return _wrong("--data goes with --exact")
    if NODE is None:
        return _wrong(WHY_NOT)
    with Browser() as browser, _bar(given.files) as progress:
        found = compare(drawn(given.seed, given.first, given.files), browser, on_progress=progress)
    _tell(found, as_json=given.json)
    return 1 if found.difference else 0


def _wrong(why: str) -> int:
    print(f"scripts/compare-twins: {why}", file=sys.stderr)
    return 2


def _exact(given: argparse.Namespace) -> int:
    """The integers beside exact fractions: on random files, or on a set's first half."""
    from node.evaluation.run import read_all
    from tests.twins.exact import on_events, on_random_files

    if given.data is None:
        with _bar(given.files) as progress:
            found = on_random_files(given.seed, given.first, given.files, on_progress=progress)
    else:
        try:
            (data, *_) = read_all([given.data])
        except StandingError as error:
            return _wrong(str(error))
        whole = len(data.events) // 2
        with _bar(whole) as progress:
            found = on_events(
                data, every=given.every, on_progress=lambda share: progress(int(share * whole))
            )
    spent = resource.getrusage(resource.RUSAGE_SELF)
    figures = found.figures() | {"cpu_seconds": round(spent.ru_utime + spent.ru_stime, 1)}
    if given.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:22} {value}")
    return 1 if found.above else 0


@contextmanager
def _bar(total: int) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("files"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr) as bar:
        task = bar.add_task("", total=total)
        yield lambda done: bar.update(task, completed=done)


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
    parser.add_argument("--exact", action="store_true", help="Exact fractions, not JavaScript.")
    parser.add_argument("--data", help="Of --exact: a set of real events.")
    parser.add_argument("--every", type=int, default=1, help="Of --data: each so many-th event.")
    parser.add_argument("--json", action="store_true", help="One JSON object on stdout.")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
