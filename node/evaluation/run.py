"""A whole evaluation: sets read, predicted, measured, and put beside what is to be reached."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ledger.bureau.model import Model
from ledger.errors import Misconfigured
from node.evaluation.attack_table import Table, attack_all, checks_of, figures_of_tables
from node.evaluation.attacks import attacks_on
from node.evaluation.baselines import BASELINES, baselines_of
from node.evaluation.events import DataSet, Part
from node.evaluation.fairness import fairness
from node.evaluation.measures import Prediction, by_earlier, measures
from node.evaluation.models import Forecast, Standing
from node.evaluation.newcomers import turned_away
from node.evaluation.prequential import predict
from node.evaluation.reading import data_root, read_set, sets_of
from node.evaluation.scene import scene_of
from node.evaluation.targets import OWN, Check, checks_of_sets

EVENTS_MIN = 20
Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is evaluated. `models`: names of those to leave in (None: all); `groups`: name → group,
    as only the auditor knows them."""

    data: tuple[str, ...]
    model: Model
    part: Part = "test"
    models: tuple[str, ...] | None = None
    attacks: bool = True
    seed: int = 1
    groups: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """One set, every model's predictions of its part, and what attacks do to it (if they can)."""

    data: DataSet
    predictions: dict[str, list[Prediction]]
    attacks: Table


def check_models(names: Sequence[str]) -> None:
    """Refuse names of models that there are not.

    Raises:
        Misconfigured: names it.
    """
    for name in names:
        if name != OWN and name not in BASELINES:
            raise Misconfigured(f"there is no model {name}: {', '.join((OWN, *BASELINES))}")


def read_all(names: Sequence[str], root: Path | None = None) -> list[DataSet]:
    """The sets that names, folders and mapping files mean, each once.

    Raises:
        Misconfigured: one of them cannot be read, or has too few events.
    """
    found = [each for name in names for each in sets_of(name, root or data_root())]
    sets: dict[str, DataSet] = {}
    for mapping, folder in found:
        if mapping.name in sets:
            continue
        data = read_set(mapping, folder)
        if len(data.events) < EVENTS_MIN:
            raise Misconfigured(
                f"{data.name} has {len(data.events)} events; {EVENTS_MIN} are needed "
                f"(rows dropped: {data.dropped or 'none'})"
            )
        sets[mapping.name] = data
    return list(sets.values())


def measure_set(
    data: DataSet, plan: Plan, progress: Progress = lambda _stage, _share: None
) -> Measured:
    """Predict one set with the node's own model and the baselines."""
    models: dict[str, Forecast] = {OWN: Standing(data, plan.model), **baselines_of(data)}
    if plan.models is not None:
        models = {name: model for name, model in models.items() if name in plan.models}
    table: Table = {}
    scene = scene_of(data, plan.seed) if plan.attacks and plan.part == "test" else None

    def attack(learned: Mapping[str, Forecast], now_ms: int) -> None:
        assert scene is not None, "attacks are made where there is a scene"
        stage = f"{data.name}, attacks"
        made = attacks_on(scene, plan.seed)
        table.update(attack_all(learned, made, now_ms, lambda share: progress(stage, share)))

    visits = [] if scene is None else [(scene.place, attack)]
    made = predict(data, models, plan.part, visits, lambda share: progress(data.name, share))
    progress(data.name, 1.0)
    return Measured(data, made, table)


def figures_of(measured: Sequence[Measured], plan: Plan) -> dict[str, Any]:
    """The figures of FIGURES.md, with what they are about, and the checks."""
    sets = {
        each.data.name: {name: measures(made) for name, made in each.predictions.items()}
        for each in measured
    }
    bins = {
        each.data.name: {name: by_earlier(made) for name, made in each.predictions.items()}
        for each in measured
    }
    attacked = [each for each in measured if each.attacks]
    checks: list[Check] = []
    if plan.part == "test":
        checks = checks_of_sets(sets)
        checks += [
            replace(check, name=f"{each.data.name} {check.name}")
            for each in attacked
            for check in checks_of(each.attacks)
        ]
    return {
        "model": plan.model.id,
        "part": plan.part,
        "sets": sets,
        "attacks": figures_of_tables([each.attacks for each in attacked]),
        "attacked_sets": [each.data.name for each in attacked],
        "by_earlier_records": bins,
        "newcomers": {
            each.data.name: {
                name: asdict(turned_away(made)) for name, made in each.predictions.items()
            }
            for each in measured
        },
        "fairness": {
            each.data.name: fairness(each.predictions[OWN], each.data.platforms, plan.groups)
            for each in measured
            if OWN in each.predictions
        },
        "about": {
            each.data.name: {
                "title": each.data.title,
                "note": each.data.note,
                "events": len(each.data.events),
                "dropped": each.data.dropped,
            }
            for each in measured
        },
        "checks": [asdict(check) for check in checks],
    }
