"""`scripts/attack-lab`: attacks on any versions of the model, and the cheapest way to buy points.

For each version: the attack table, the cheapest purchase of 50 points for each of some bad workers,
what the honest way would cost, and how many honest newcomers are turned away. Exit 1 if a version
misses what it must withstand.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from ledger.bureau.model import Model
from ledger.errors import Misconfigured, StandingError
from node.cli.evaluation import Bars, checks_table, show_wide
from node.cli.output import fail, print_json, stdout
from node.evaluation.attack_table import Table, attack_all, checks_of, figures_of_tables
from node.evaluation.attacks import attacks_on
from node.evaluation.events import DataSet
from node.evaluation.ground import load_model
from node.evaluation.models import Forecast, Standing
from node.evaluation.newcomers import turned_away
from node.evaluation.prequential import predict
from node.evaluation.purchase import Market, Progress, search, told_of
from node.evaluation.run import read_all
from node.evaluation.scene import Scene, scene_of
from node.evaluation.targets import OWN


@dataclass(frozen=True, slots=True)
class Settings:
    """What the lab does. `tries`: purchases tried for each target; 0: no search. `targets`: how
    many of the scene's bad workers points are bought for."""

    seed: int
    tries: int
    targets: int
    newcomers: bool


def examine(
    data: DataSet, scene: Scene, model: Model, settings: Settings, bars: Bars
) -> dict[str, Any]:
    """One version of the model on one set."""
    table: Table = {}
    bought: list[dict[str, Any]] = []

    def visit(models: Mapping[str, Forecast], now_ms: int) -> None:
        made = attacks_on(scene, settings.seed)
        stage = f"{model.id}: attacks"
        table.update(attack_all(models, made, now_ms, lambda share: bars(stage, share)))
        settled = own.branch()
        settled.settle(now_ms)
        for nth in range(settings.targets if settings.tries else 0):
            told = partial(bars, f"{model.id}: purchase {nth + 1}")
            bought.append(_buy(settled, scene, nth, settings, told))

    own = Standing(data, model)
    stage = f"{model.id}: history"
    part = data if settings.newcomers else _until(data, scene.place)
    visits = [(scene.place, visit)]
    made = predict(part, {OWN: own}, "test", visits, lambda share: bars(stage, share))
    bars(stage, 1.0)
    return {
        "model": model.id,
        "attacks": figures_of_tables([table]),
        "checks": [asdict(check) for check in checks_of(table)],
        "purchases": bought,
        "newcomers": asdict(turned_away(made[OWN])) if settings.newcomers else None,
    }


def _buy(
    model: Standing, scene: Scene, nth: int, settings: Settings, on_progress: Progress
) -> dict[str, Any]:
    """The cheapest purchase found for one bad worker."""
    market = Market(model, scene, scene.bad[nth], settings.seed)
    best = search(market.attempt, settings.seed + nth, settings.tries, on_progress)
    told = told_of(best, market.honest_deals())
    on_progress(1.0)
    return told


def _until(data: DataSet, place: int) -> DataSet:
    """The set as far as the attacks need it."""
    return replace(data, events=data.events[:place])


def main(
    *,
    data: Annotated[str, typer.Option(help="A set with raters.")] = "bitcoin-otc",
    model: Annotated[
        list[Path] | None,
        typer.Option("--model", help="Parameters file (JSON) of a version; may be given again."),
    ] = None,
    tries: Annotated[int, typer.Option(min=0, max=10_000, help="Purchases tried.")] = 60,
    targets: Annotated[int, typer.Option(min=1, max=5, help="Bad workers bought for.")] = 2,
    seed: Annotated[int, typer.Option(min=0, max=2**53 - 1)] = 1,
    newcomers: Annotated[bool, typer.Option(help="Measure honest newcomers, too.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Attack versions of the model, and look for the cheapest way to buy 50 points."""
    try:
        versions = [load_model(path) for path in model or (None,)]
        (chosen,) = read_all([data])[:1]
        scene = scene_of(chosen, seed)
        if scene is None:
            raise Misconfigured(f"{chosen.name} has no raters, or too few who could be attacked")
        settings = Settings(seed, tries, targets, newcomers)
        with Bars() as bars:
            found = [examine(chosen, scene, each, settings, bars) for each in versions]
    except StandingError as error:
        fail(str(error))
    if as_json:
        print_json({"set": chosen.name, "seed": seed, "versions": found})
    else:
        for each in found:
            _show(each)
    met = all(check["met"] for each in found for check in each["checks"])
    raise typer.Exit(0 if met else 1)


def _show(found: dict[str, Any]) -> None:
    stdout.print(f"\n[bold]{found['model']}[/bold]")
    for name, effects in found["attacks"].items():
        effect = effects[OWN]
        stdout.print(f"{name:24}{effect['before']:.3f} → {effect['after']:.3f}")
    show_wide(checks_table(found["checks"]))
    for bought in found["purchases"]:
        _show_purchase(bought)
    away = found["newcomers"]
    if away is not None:
        stdout.print(
            f"honest newcomers ({away['honest']}) below .8 after 0, 1, 3, 4 results: "
            f"{list(away['false_rejection'].values())}; dishonest ({away['dishonest']}): "
            f"{list(away['true_rejection'].values())}"
        )


def _show_purchase(bought: dict[str, Any]) -> None:
    purchase = ", ".join(f"{name} {value}" for name, value in bought["purchase"].items())
    if bought["reached"]:
        stdout.print(
            f"cheapest {bought['wanted_points']} points: {bought['points']:.0f} for "
            f"{bought['cost']:.1f} ({bought['cost_per_point']:.2f} a point) by {purchase}"
        )
    else:
        stdout.print(
            f"no purchase gains {bought['wanted_points']} points; the most was "
            f"{bought['points']:.0f} for {bought['cost']:.1f} by {purchase}"
        )
    honest = bought["honest_deals"]
    stdout.print(
        f"honest work: {'more than 40' if honest is None else honest} good deals, a week apart"
        + ("" if honest is None else f", cost {bought['honest_cost']:.0f}")
    )


if __name__ == "__main__":
    typer.run(main)
