"""How good a candidate is: one number, and the parts that it is made of.

    total =   log-loss of the hold-out (of the set with raters)
            + months   · (1 − AUC within months of the hold-out)
            + ece      · (what the hold-out's calibration error has above its limit)
            + ece_thin · (the same of the thin files)
            + crowd    · (what other sets' gains on the smoothed share lack to their limit, summed)
            + attacks  · (what attacks do beyond their musts less the margin; mean over scenes)
            + train    · (what the train part's loss has above the first model's and a tolerance)

All weights and limits stand in the plan. The least total is the best. A candidate whose loss alone
is above a total that is known is not attacked: no part is below 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from statistics import fmean
from typing import Any, Final

from ledger.bureau.model import Model
from ledger.errors import Misconfigured
from node.evaluation.attack_table import (
    ACCOMPLICES,
    ACCOMPLICES_MUST,
    FLAT_MUST,
    IDLE_MUST,
    LOWER_MUST,
    LOWERS,
    RAISE_MUST,
    RAISES,
)
from node.evaluation.attacks import LARGE, SMALL, Effect, attacks_on, carry_out
from node.evaluation.baselines.counting import SmoothedShare
from node.evaluation.coverage import coverage_90
from node.evaluation.events import DataSet
from node.evaluation.fitting_course import DirectCourse
from node.evaluation.fitting_plan import FittingPlan
from node.evaluation.measures import (
    THIN_BELOW,
    Prediction,
    auc,
    auc_within_months,
    ece,
    log_loss,
)
from node.evaluation.models import Forecast
from node.evaluation.prequential import Visit, predict
from node.evaluation.scene import Scene, scene_of

_ROUND: Final = 5


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of the objective. `crowd`: log-loss gained on the smoothed share, by set;
    `attacks`: the mean move (idle-bad: the mean height) by attack; `excess`: what counts of them;
    None where the candidate was given up before."""

    train_loss: float
    loss: float
    auc: float
    months: float
    ece: float
    ece_thin: float
    crowd: Mapping[str, float]
    attacks: Mapping[str, float]
    excess: Mapping[str, float]
    total: float | None

    def told(self) -> dict[str, Any]:
        """As figures, rounded."""
        return {name: _rounded(value) for name, value in asdict(self).items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    return None if value is None else round(value, _ROUND)


class Objective:
    """What candidates are measured by: first halves, and the plan's weights.

    Raises:
        Misconfigured: not just one set has raters, or nobody on it can be attacked.
    """

    def __init__(self, plan: FittingPlan, halves: Sequence[DataSet], first: Model) -> None:
        rated = [data for data in halves if data.has_raters]
        if len(rated) != 1:
            raise Misconfigured("a plan has one set with raters, whose word is weighed")
        self.plan = plan
        self._data = rated[0]
        self._others = [data for data in halves if not data.has_raters]
        drawn = [(scene_of(self._data, s, cut), s) for cut in plan.cuts for s in plan.seeds]
        self._scenes = [(scene, seed) for scene, seed in drawn if scene is not None]
        if not self._scenes:
            raise Misconfigured(f"{self._data.name} has too few who could be attacked")
        self.train_loss = self._losses(first)[0]

    # --- the whole ---

    def measure(self, model: Model, best: float | None = None) -> Parts:
        """A candidate's parts; given up, without a total, as soon as it cannot beat `best`."""
        train_loss, made = self._losses(model)
        thin = [each for each in made if each.earlier < THIN_BELOW]
        weights, limits = self.plan.weights, self.plan.limits
        loss, months = _known(log_loss(made)), _known(auc_within_months(made))
        errors = _known(ece(made)), _known(ece(thin))
        total = loss + weights["months"] * (1 - months)
        total += weights["ece"] * max(0.0, errors[0] - limits["ece"])
        total += weights["ece_thin"] * max(0.0, errors[1] - limits["ece_thin"])
        over = train_loss - self.train_loss - limits["train_worse"]
        total += weights["train"] * max(0.0, over)
        crowd: dict[str, float] = {}
        attacks: dict[str, float] = {}
        excess: dict[str, float] = {}
        if best is None or total < best:
            attacks, excess = self._attacked(model)
            total += weights["attacks"] * sum(excess.values())
        if best is None or total < best:
            crowd = self._crowd(model)
            lacks = (max(0.0, limits["crowd_gain"] - gain) for gain in crowd.values())
            total += weights["crowd"] * sum(lacks)
        whole = None if best is not None and total >= best else total
        return Parts(
            train_loss, loss, _known(auc(made)), months, *errors, crowd, attacks, excess, whole
        )

    def coverage(self, model: Model, every: int) -> float | None:
        """The coverage of 90 % intervals over the hold-out, by every so many-th event."""
        places = range(self._place(self._data, self.plan.split), len(self._data.events), every)
        course = DirectCourse(self._data, model, asks_intervals=True)
        return coverage_90(predict(self._data, {"": course}, places)[""])

    # --- losses ---

    def _place(self, data: DataSet, share: float) -> int:
        return int(len(data.events) * share)

    def _losses(self, model: Model) -> tuple[float, list[Prediction]]:
        """The train part's log-loss, and the hold-out's predictions."""
        data = self._data
        places = range(self._place(data, self.plan.start), len(data.events))
        made = predict(data, {"": DirectCourse(data, model)}, places)[""]
        split = self._place(data, self.plan.split) - places.start
        return _known(log_loss(made[:split])), made[split:]

    def _crowd(self, model: Model) -> dict[str, float]:
        """The log-loss that each other set's hold-out gains on the smoothed share."""
        gains = {}
        for data, share_loss in zip(self._others, self._share_losses, strict=True):
            course: Forecast = DirectCourse(data, model)
            made = predict(data, {"": course}, self._sample(data))[""]
            gains[data.name] = share_loss - _known(log_loss(made))
        return gains

    @cached_property
    def _share_losses(self) -> list[float]:
        found = []
        for data in self._others:
            made = predict(data, {"": SmoothedShare(data)}, self._sample(data))[""]
            found.append(_known(log_loss(made)))
        return found

    def _sample(self, data: DataSet) -> range:
        return range(self._place(data, self.plan.split), len(data.events), self.plan.every)

    # --- attacks ---

    def _attacked(self, model: Model) -> tuple[dict[str, float], dict[str, float]]:
        """What attacks do in the mean over the scenes, and what of it is beyond the limits."""
        visited: list[dict[str, Effect]] = []

        def visit(scene: Scene, seed: int, course: Forecast, now_ms: int) -> None:
            settled = course.branch()
            settled.settle(now_ms)
            made = attacks_on(scene, seed)
            visited.append({each.name: carry_out(each, settled, now_ms) for each in made})

        def visit_of(scene: Scene, seed: int) -> Visit:
            return scene.place, lambda models, now: visit(scene, seed, models[""], now)

        visits = [visit_of(scene, seed) for scene, seed in self._scenes]
        end = max(scene.place for scene, _ in self._scenes)
        until = range(end, end)
        predict(self._data, {"": DirectCourse(self._data, model)}, until, visits)
        return (
            _mean([{name: _judged(name, each) for name, each in t.items()} for t in visited]),
            _mean([excess_of(effects, self.plan.margin) for effects in visited]),
        )


def excess_of(effects: Mapping[str, Effect], margin: float) -> dict[str, float]:
    """What each attack does beyond its must less the margin."""
    found = {}
    for name, effect in effects.items():
        kind, _, number = name.rpartition("-")
        judged, most = _judged(name, effect), None
        if kind in RAISES:
            most = RAISE_MUST
        elif kind in LOWERS:
            judged, most = -judged, -LOWER_MUST
        elif name == ACCOMPLICES:
            most = ACCOMPLICES_MUST
        elif name == "idle-bad":
            most = IDLE_MUST
        if most is not None:
            found[name] = max(0.0, judged - most * (1 - margin))
        small = effects.get(f"{kind}-{SMALL}")
        if number == str(LARGE) and small is not None:
            more = effect.after - small.after
            gained = -more if kind in LOWERS else more
            found[f"{kind} flat"] = max(0.0, gained - FLAT_MUST * (1 - margin))
    return found


def _judged(name: str, effect: Effect) -> float:
    """What an attack is judged by: how far it moves the targets; of idleness, where they are."""
    return effect.after if name == "idle-bad" else effect.after - effect.before


def _mean(tables: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each key over the tables that have it."""
    keys = dict.fromkeys(key for table in tables for key in table)
    return {key: fmean(table[key] for table in tables if key in table) for key in keys}


def _known(value: float | None) -> float:
    assert value is not None, "a part has events of both kinds"
    return value
