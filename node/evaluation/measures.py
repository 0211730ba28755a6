"""How good predictions were: discrimination, calibration, loss. All definitions in README.md.

Floats are for measures only; nothing here reaches a score.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from math import log
from typing import Final

from node.evaluation.coverage import coverage_90
from node.evaluation.events import Event

CLIP: Final = 1 / 65_536
"""No prediction counts as surer than the score can say."""
ECE_BINS: Final = 15
THIN_BELOW: Final = 20
EARLIER: Final[dict[str, tuple[int, int]]] = {
    "0": (0, 0),
    "1-4": (1, 4),
    "5-19": (5, 19),
    "20+": (20, 2**53),
}
"""By number of earlier records about the one who is predicted."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What was expected of one event, and what came.

    `earlier`: results of the same subject before; `low`, `high`: the 90 % interval, or None where
    the model gives none; `ahead_good`, `ahead`: of the subject's next events, this one included,
    how many are good, and how many there are; `event`: which one it was.
    """

    probability: float
    good: bool
    time_ms: int
    earlier: int
    low: float | None = None
    high: float | None = None
    ahead_good: int = 0
    ahead: int = 0
    event: Event | None = None


@dataclass(frozen=True, slots=True)
class Bin:
    """Predictions of about one height: how many, what they said, what came."""

    count: int
    predicted: float
    observed: float


def measures(predictions: Sequence[Prediction]) -> dict[str, float | int | None]:
    """The measures of FIGURES.md, of one model on one set; None where one is not defined."""
    thin = [each for each in predictions if each.earlier < THIN_BELOW]
    return {
        "auc": rounded(auc(predictions)),
        "auc_within_months": rounded(auc_within_months(predictions)),
        "log_loss": rounded(log_loss(predictions)),
        "brier": rounded(brier(predictions)),
        "ece": rounded(ece(predictions)),
        "ece_thin": rounded(ece(thin)),
        "coverage_90": rounded(coverage_90(predictions)),
        "events": len(predictions),
        "ece_equal_width": rounded(ece(predictions, equal_width_bins)),
    }


def by_earlier(predictions: Sequence[Prediction]) -> dict[str, dict[str, float | int | None]]:
    """The same measures by the number of earlier records."""
    return {
        name: measures([each for each in predictions if low <= each.earlier <= high])
        for name, (low, high) in EARLIER.items()
    }


def rounded(value: float | None) -> float | None:
    """Five decimals are more than any sample here can tell."""
    return None if value is None else round(value, 5)


def auc(predictions: Sequence[Prediction]) -> float | None:
    """The share of (good, bad) pairs in which the good one was given more; ties count half."""
    pairs, won = _pairs(predictions)
    return won / pairs if pairs else None


def auc_within_months(predictions: Sequence[Prediction]) -> float | None:
    """The same over the pairs whose events lie in one calendar month (UTC)."""
    months: dict[tuple[int, int], list[Prediction]] = {}
    for each in predictions:
        date = datetime.fromtimestamp(each.time_ms / 1_000, tz=UTC)
        months.setdefault((date.year, date.month), []).append(each)
    counted = [_pairs(month) for month in months.values()]
    pairs = sum(each for each, _ in counted)
    return sum(won for _, won in counted) / pairs if pairs else None


def _pairs(predictions: Sequence[Prediction]) -> tuple[int, float]:
    """The number of (good, bad) pairs, and of those that are in order, ties as halves."""
    ordered = sorted(predictions, key=lambda each: each.probability)
    goods = sum(each.good for each in ordered)
    won, bads_below, at = 0.0, 0, 0
    while at < len(ordered):
        end = at
        while end < len(ordered) and ordered[end].probability == ordered[at].probability:
            end += 1
        good = sum(each.good for each in ordered[at:end])
        bad = end - at - good
        won += good * (bads_below + bad / 2)
        bads_below += bad
        at = end
    return goods * (len(ordered) - goods), won


def log_loss(predictions: Sequence[Prediction]) -> float | None:
    """The mean of −ln of what the result was given, clipped to 1/65,536."""
    if not predictions:
        return None
    return sum(_loss(each) for each in predictions) / len(predictions)


def _loss(each: Prediction) -> float:
    given = each.probability if each.good else 1 - each.probability
    return -log(min(1 - CLIP, max(CLIP, given)))


def brier(predictions: Sequence[Prediction]) -> float | None:
    """The mean squared difference of prediction and result."""
    if not predictions:
        return None
    return sum((each.probability - each.good) ** 2 for each in predictions) / len(predictions)


def equal_width_bins(predictions: Sequence[Prediction], count: int = ECE_BINS) -> list[Bin]:
    """Predictions by equal parts of 0 … 1; empty bins are left out."""
    groups: list[list[Prediction]] = [[] for _ in range(count)]
    for each in predictions:
        groups[min(count - 1, int(each.probability * count))].append(each)
    return [_bin(group) for group in groups if group]


def equal_mass_bins(predictions: Sequence[Prediction], count: int = ECE_BINS) -> list[Bin]:
    """Predictions in order of their height, in bins of (nearly) the same number."""
    ordered = sorted(predictions, key=lambda each: each.probability)
    edges = [len(ordered) * nth // count for nth in range(count + 1)]
    groups = (ordered[low:high] for low, high in pairwise(edges))
    return [_bin(group) for group in groups if group]


def _bin(group: Sequence[Prediction]) -> Bin:
    return Bin(
        len(group),
        sum(each.probability for each in group) / len(group),
        sum(each.good for each in group) / len(group),
    )


Binning = Callable[[Sequence[Prediction]], Iterable[Bin]]


def ece(predictions: Sequence[Prediction], binning: Binning = equal_mass_bins) -> float | None:
    """Expected calibration error: |observed − predicted| of the bins, weighed by their counts."""
    if not predictions:
        return None
    off = sum(each.count * abs(each.observed - each.predicted) for each in binning(predictions))
    return off / len(predictions)
