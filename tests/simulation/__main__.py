"""`scripts/simulate`: run many random schedules, print what happened.

With `--model` the schedules are of the view rules alone (`model.py`): no code of the product, and
thousands in a second.
"""

import argparse
import sys
from hashlib import sha256

from rich.progress import Progress, TextColumn

from node.cli.output import print_json, stderr
from tests.simulation.checkers import Violation
from tests.simulation.model import Conflict, walk
from tests.simulation.schedules import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, required=True, help="how many schedules")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--nodes", type=int, default=4, help="validators per network")
    parser.add_argument("--changes", action="store_true", help="members come, go, change keys")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--model", action="store_true", help="walk the model of the view rules")
    given = parser.parse_args()
    if given.model:
        return _walk(given.first, given.seeds, given.nodes, as_json=given.json)
    figures = {"seeds": given.seeds, "simulated_hours": 0.0, "faults": 0, "blocks": 0}
    broken: list[str] = []
    slowest_ms = 0
    trace = sha256()
    simulated_ms = 0
    columns = (*Progress.get_default_columns(), TextColumn("{task.fields[bad]} violations"))
    with Progress(*columns, console=stderr, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("schedules", total=given.seeds, bad=0)
        for seed in range(given.first, given.first + given.seeds):
            try:
                outcome = run(seed, given.nodes, changes=given.changes)
            except Violation as violation:
                broken.append(f"seed {seed}: {violation}")
                stderr.print(broken[-1], markup=False)
            else:
                simulated_ms += outcome.simulated_ms
                figures["faults"] += outcome.faults
                figures["blocks"] += outcome.blocks
                slowest_ms = max(slowest_ms, outcome.recovery_ms)
                trace.update(outcome.trace.encode())
            progress.update(task, advance=1, bad=len(broken))
    figures["simulated_hours"] = round(simulated_ms / 3_600_000, 3)
    figures |= {"violations": len(broken), "slowest_recovery_s": slowest_ms / 1_000}
    whole = {**figures, "nodes": given.nodes, "trace_hash": trace.hexdigest()}
    if given.json:
        print_json(whole)
    else:
        for name, value in whole.items():
            print(f"{name:>20}  {value}")
    return 1 if broken else 0


def _walk(first: int, seeds: int, nodes: int, *, as_json: bool) -> int:
    blocks = 0
    broken: list[str] = []
    with Progress(console=stderr, disable=not sys.stderr.isatty()) as progress:
        for seed in progress.track(range(first, first + seeds), description="schedules"):
            try:
                blocks += len(walk(seed, nodes).finalized) - 1
            except Conflict as conflict:
                broken.append(f"seed {seed}: {conflict}")
                stderr.print(broken[-1], markup=False)
    whole = {"seeds": seeds, "blocks": blocks, "violations": len(broken), "nodes": nodes}
    if as_json:
        print_json(whole)
    else:
        for name, value in whole.items():
            print(f"{name:>20}  {value}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
