"""Hierarchical Bayes in the manner of Glicko (Glickman, 1999): each worker a latent log-odds.

A newcomer's log-odds θ is N(log-odds of the newcomers' rate, 1.5²). With time it drifts: its
variance grows by .002 a day, at most back to a newcomer's. Each result moves it by one step of the
Laplace approximation; the probability is that of the mean, softened by the variance:
σ(θ / √(1 + π·v / 8)). The interval is the 5 %–95 % of θ.
"""

from math import log, pi, sqrt
from typing import Final

from node.evaluation.baselines.counting import DAY_MS, Counting, Key
from node.evaluation.baselines.recalibration import sigmoid
from node.evaluation.events import DataSet, Event
from node.evaluation.models import Expected

VARIANCE: Final = 1.5**2
DRIFT_PER_DAY: Final = 0.002
_Z: Final = 1.645


class HierarchicalBayes(Counting):
    """Every worker's mean and variance, as of its last result."""

    def __init__(self, data: DataSet) -> None:
        super().__init__(data)
        self._beliefs: dict[Key, tuple[float, float, int]] = {}

    def take(self, event: Event) -> None:
        """One step towards a result."""
        key = (event.platform, event.rated)
        mean, variance = self._belief(key, event.time_ms)
        p = sigmoid(mean)
        variance = 1 / (1 / variance + p * (1 - p))
        self._beliefs[key] = (mean + variance * (event.good - p), variance, event.time_ms)

    def expect(self, platform: int, rated: str, as_of_ms: int) -> Expected:
        """The softened mean, and the interval of the log-odds."""
        mean, variance = self._belief((platform, rated), as_of_ms)
        spread = _Z * sqrt(variance)
        softened = sigmoid(mean / sqrt(1 + pi * variance / 8))
        return softened, sigmoid(mean - spread), sigmoid(mean + spread)

    def _belief(self, key: Key, now_ms: int) -> tuple[float, float]:
        found = self._beliefs.get(key)
        if found is None:
            rate = self.newcomers.rate
            return log(rate / (1 - rate)), VARIANCE
        mean, variance, at = found
        return mean, min(VARIANCE, variance + DRIFT_PER_DAY * max(0, now_ms - at) / DAY_MS)
