"""`scripts/simulate`: run random schedules, print what happened.

    scripts/simulate --seed N [--faults a,b,…]      one schedule, told
    scripts/simulate --seeds N [--first M]          many, summed up; one in a hundred runs twice
    scripts/simulate --faults list                  the faults that can be named
    scripts/simulate --model --seeds N              the view rules alone (`model.py`)

On a violation the schedule is reduced to what the violation needs, and told line by line. Exit
code 1: a rule was broken; 2: wrong usage.
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from rich.progress import Progress, TextColumn

from consensus.quorum import N_MAX, faults
from node.cli.output import print_json, stderr
from tests.simulation.checkers import Violation, check
from tests.simulation.faults import FAULTS, LIARS
from tests.simulation.model import Conflict, walk
from tests.simulation.schedules import Outcome, Schedule, draw, perform
from tests.simulation.shrink import TRIALS_MAX, reduce

TWICE_EVERY = 100
"""One schedule of so many is run twice: equal seed, equal trace."""


@dataclass
class Sum:
    """What many schedules came to."""

    seeds: int = 0
    simulated_ms: int = 0
    faults: int = 0
    blocks: int = 0
    slowest_ms: int = 0
    broken: list[str] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        self.simulated_ms += outcome.simulated_ms
        self.faults += outcome.faults
        self.blocks += outcome.blocks
        self.slowest_ms = max(self.slowest_ms, outcome.recovery_ms)
        self.traces.append(outcome.trace)

    def figures(self) -> dict[str, object]:
        return {
            "seeds": self.seeds,
            "simulated_hours": round(self.simulated_ms / 3_600_000, 3),
            "faults": self.faults,
            "blocks": self.blocks,
            "violations": len(self.broken),
            "slowest_recovery_s": self.slowest_ms / 1_000,
            "trace_hash": sha256("".join(self.traces).encode()).hexdigest(),
        }


def main() -> int:
    given = _parser().parse_args()
    if given.faults == "list":
        for name, fault in {**FAULTS, **LIARS}.items():
            print(f"{name:<22} {fault.says}")
        return 0
    if given.model:
        return _walk(given.first, given.seeds or 1, given.nodes, as_json=given.json)
    wrong = _wrong(given)
    if wrong:
        print(f"scripts/simulate: {wrong}", file=sys.stderr)
        return 2
    mix = tuple(given.faults.split(",")) if given.faults else None
    if given.seed is not None:
        return _run_one(draw(given.seed, given.nodes, mix=mix, changes=given.changes), given)
    return _run_many(mix, given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/simulate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", type=int, help="run this one schedule, and tell of it")
    parser.add_argument("--seeds", type=int, help="how many schedules")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--nodes", type=int, default=4, help="validators per network (1 … 100)")
    parser.add_argument("--faults", help="draw from these alone, with commas; 'list' prints them")
    parser.add_argument("--changes", action="store_true", help="members come, go, change keys")
    parser.add_argument(
        "--trials", type=int, default=TRIALS_MAX, help="runs to reduce a violation's schedule"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--model", action="store_true", help="walk the model of the view rules")
    return parser


def _wrong(given: argparse.Namespace) -> str:
    """What is wrong with the usage, or nothing."""
    if given.seed is None and given.seeds is None:
        return "say --seed N for one schedule or --seeds N for many"
    if not 1 <= given.nodes <= N_MAX:
        return f"--nodes is 1 to {N_MAX}"
    names = given.faults.split(",") if given.faults else []
    unknown = sorted(set(names) - FAULTS.keys() - LIARS.keys())
    if unknown:
        return f"no such fault: {', '.join(unknown)}; --faults list prints them"
    liars = sum(name in LIARS or name in ("byzantine", "twins") for name in names)
    if liars > faults(given.nodes):
        return f"{given.nodes} validators bear {faults(given.nodes)} faulty ones, not {liars}"
    return ""


def _run_one(schedule: Schedule, given: argparse.Namespace) -> int:
    sum_, story = Sum(seeds=1), []
    try:
        sum_.add(perform(schedule))
    except Violation as violation:
        sum_.broken.append(str(violation))
        story = _story(schedule, violation, given)
    events = [f"{event.at_ms:>6} ms  {event}" for event in schedule.events]
    whole = {**sum_.figures(), "nodes": given.nodes}
    if given.json:
        print_json({**whole, "events": events, "transcript": story})
        return 1 if sum_.broken else 0
    print("\n".join(story or events))
    _print(whole)
    return 1 if sum_.broken else 0


def _run_many(mix: tuple[str, ...] | None, given: argparse.Namespace) -> int:
    sum_ = Sum(seeds=given.seeds)
    columns = (*Progress.get_default_columns(), TextColumn("{task.fields[bad]} violations"))
    with Progress(*columns, console=stderr, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("schedules", total=given.seeds, bad=0)
        for seed in range(given.first, given.first + given.seeds):
            schedule = draw(seed, given.nodes, mix=mix, changes=given.changes)
            try:
                outcome = perform(schedule)
                is_alike = seed % TWICE_EVERY or perform(schedule).trace == outcome.trace
                check(bool(is_alike), "one schedule ran in two ways")
            except Violation as violation:
                sum_.broken.append(f"seed {seed}: {violation}")
                told = _story(schedule, violation, given) if len(sum_.broken) <= 3 else []
                stderr.print("\n".join([sum_.broken[-1], *told]), markup=False, highlight=False)
            else:
                sum_.add(outcome)
            progress.update(task, advance=1, bad=len(sum_.broken))
    whole = {**sum_.figures(), "nodes": given.nodes}
    if given.json:
        print_json(whole)
    else:
        _print(whole)
    return 1 if sum_.broken else 0


def _story(schedule: Schedule, violation: Violation, given: argparse.Namespace) -> list[str]:
    """The shortest transcript that was found, for a person."""
    reduced = reduce(schedule, violation, trials_max=given.trials)
    kept, all_ = len(reduced.schedule.events), len(schedule.events)
    heading = (
        f"seed {schedule.seed}, {schedule.nodes} nodes, epochs of {schedule.epoch_blocks} blocks; "
        f"{kept} of {all_} events are enough (found in {reduced.trials} runs):"
    )
    return [heading, *reduced.transcript]


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
        _print(whole)
    return 1 if broken else 0


def _print(figures: Mapping[str, object]) -> None:
    for name, value in figures.items():
        print(f"{name:>20}  {value}")


if __name__ == "__main__":
    sys.exit(main())
