"""`scripts/fit-model`: the model's numbers fitted to the first halves of the data, or judged.

    --check         the model in use (or --model) on train, hold-out, crowd sets and attacks
    else            a search from there, for --minutes of processor time or --candidates tries

Figures are of the first half only: nothing behind it is read (`fitting_plan.py`).
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from msgspec.structs import replace

from ledger.bureau.model import Model
from ledger.errors import Misconfigured, StandingError
from node.cli.evaluation import Bars
from node.cli.output import fail, print_json, stdout
from node.evaluation.fitting_objective import Objective
from node.evaluation.fitting_plan import CONFIG, load_plan, read_halves
from node.evaluation.fitting_search import Candidate, Search
from node.evaluation.ground import load_model

COVERED: Final = 0.9
COVERAGE_EVERY: Final = 2
INTERVAL_WEIGHTS: Final = (6_554, 9_830, 13_107, 16_384, 19_661, 26_214, 32_768, 49_152)
_ROUND: Final = 5


def covering(objective: Objective, model: Model) -> tuple[int, float]:
    """The `interval_weight` whose coverage of the hold-out is nearest to 90 % (of equal ones the
    least, whose intervals are the widest), and that coverage. It moves nothing else."""
    found = {
        weight: objective.coverage(replace(model, interval_weight=weight), COVERAGE_EVERY) or 0.0
        for weight in INTERVAL_WEIGHTS
    }
    best = min(found, key=lambda weight: (round(abs(found[weight] - COVERED), 3), weight))
    return best, found[best]


def check(objective: Objective, model: Model) -> dict[str, Any]:
    """The parts of the objective of one model, and its coverage."""
    parts = objective.measure(model)
    covered = objective.coverage(model, COVERAGE_EVERY)
    coverage = None if covered is None else round(covered, _ROUND)
    return {"model": model.id, **parts.told(), "coverage_90": coverage}


def fit(search: Search, seconds: float, candidates: int, bars: Bars) -> dict[str, Any]:
    """Search until the processor time or the number of candidates is spent, then set intervals."""
    begun = time.process_time()
    search.begin()
    first = search.tried
    while search.tried - first < candidates:
        spent = time.process_time() - begun
        if spent >= seconds:
            break
        bars("candidates", max(spent / seconds, (search.tried - first) / candidates))
        search.step()
    bars("candidates", 1.0)
    changes = dict(search.best.changes)
    weight, covered = covering(search.objective, search.model(changes))
    if weight != search.first.interval_weight:
        changes["interval_weight"] = weight
    return {
        "seed": search.seed,
        "tried": search.tried,
        "kept": [_told(each) for each in search.kept],
        "numbers": changes,
        "coverage_90": round(covered, _ROUND),
    }


def _told(each: Candidate) -> dict[str, Any]:
    return {"nth": each.nth, "changes": dict(each.changes), **each.parts}


def main(
    *,
    check_only: Annotated[
        bool, typer.Option("--check", help="Judge one model; no search.")
    ] = False,
    minutes: Annotated[float, typer.Option(min=0.0, max=10_000, help="Of processor time.")] = 30.0,
    candidates: Annotated[int, typer.Option(min=1, max=1_000_000)] = 1_000_000,
    seed: Annotated[int, typer.Option(min=0, max=2**53 - 1)] = 1,
    model: Annotated[
        Path | None, typer.Option(help="Parameters file (JSON) to begin with.")
    ] = None,
    plan: Annotated[Path, typer.Option(help="Sets, splits, weights, ranges (TOML).")] = CONFIG,
    data: Annotated[Path | None, typer.Option(help="Folder of the sets.")] = None,
    log: Annotated[
        Path | None, typer.Option(help="Every candidate, a line each; begun again, goes on.")
    ] = None,
    write: Annotated[
        Path | None, typer.Option(help="Write the numbers found, as `--model` reads them.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Fit the model's numbers to the first halves of the data."""
    try:
        first, told = load_model(model), load_plan(plan)
        objective = Objective(told, read_halves(told, data), first)
        if check_only:
            figures = check(objective, first)
        else:
            with Bars() as bars:
                search = Search(objective, first, seed, log)
                figures = fit(search, minutes * 60, candidates, bars)
            if write is not None:
                _write(write, model, figures["numbers"])
    except StandingError as error:
        fail(str(error))
    if as_json:
        print_json(figures)
    elif check_only:
        _show(figures)
    else:
        show_kept(figures)


def _write(path: Path, start: Path | None, numbers: Mapping[str, int]) -> None:
    """The start's own changes and those found, as one parameters file."""
    begun: dict[str, Any] = {}
    if start is not None:
        begun = msgspec.json.decode(start.read_bytes())
        begun = begun.get("model", begun)
    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode({**begun, **numbers})) + b"\n")
    except OSError as error:
        raise Misconfigured(f"{path}: {error}") from error


def _show(figures: Mapping[str, Any]) -> None:
    """The parts of one model, one to a line."""
    for name, value in figures.items():
        if isinstance(value, dict):
            stdout.print(f"{name}:")
            for key, each in value.items():
                stdout.print(f"    {key:28}{each:+.4f}")
        else:
            stdout.print(f"{name:16}{value}")


def show_kept(figures: Mapping[str, Any]) -> None:
    """What was kept on the way, and the numbers in the end."""
    stdout.print(f"{figures['tried']} candidates, seed {figures['seed']}")
    stdout.print(" nth   total  hold-out  months   ece    train  attacks  change")
    before: dict[str, int] = {}
    for each in figures["kept"]:
        excess = sum(each["excess"].values())
        stdout.print(
            f"{each['nth']:4} {each['total']:.5f} {each['loss']:.5f}  {each['months']:.4f}  "
            f"{each['ece']:.4f} {each['train_loss']:.5f} {excess:.4f}  "
            f"{_changed(before, each['changes'])}"
        )
        before = each["changes"]
    stdout.print(f"interval coverage {figures['coverage_90']}")
    for name, value in sorted(figures["numbers"].items()):
        stdout.print(f"    {name} = {value}")


def _changed(before: Mapping[str, int], after: Mapping[str, int]) -> str:
    names: Sequence[str] = sorted({*before, *after})
    moved = (name for name in names if before.get(name) != after.get(name))
    return ", ".join(f"{name} {after.get(name, 'as at first')}" for name in moved)


if __name__ == "__main__":
    typer.run(main)
