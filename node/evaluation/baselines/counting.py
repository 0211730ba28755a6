"""Scores that count: the raw mean, Beta(1, 1), Wilson's bound, and Betas that weigh.

g good and b bad results of a worker, n = g + b, μ the rate of good ones among the first three
results of each worker, of late (of 400, half are forgotten):

    raw-mean              g / n, held to .01 … .99; without any, μ
    smoothed-share        (g + ½) / (n + 1)
    beta                  (g + 1) / (n + 2)                                  Jøsang and Ismail, 2002
    wilson                the lower end of Wilson's 95 % interval, recalibrated
    rater-weighted-beta   (P + μ) / (P + N + 1), each result with its rater's weight
    decayed-beta          the same with 2^(−age / 60 days) · (1 + 4·|r| if bad) for weight

A rater's weight is max(F / (F + 5), .15), where F sums the weights of those who found the rater
good, less twice that of those who found it bad, plus 10 if it is verified. r is the grade, −1 … 1.
"""

import copy
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from math import log, log2, sqrt
from typing import Final, Self

from node.evaluation.baselines.recalibration import Recalibration
from node.evaluation.coverage import beta_interval
from node.evaluation.events import DataSet, Event
from node.evaluation.models import Expected

Key = tuple[int, str]
DAY_MS: Final = 86_400_000
FIRST_RESULTS: Final = 3
WINDOW: Final = 400
HALF_LIFE_DAYS: Final = 60
SEVERITY: Final = 4.0
_Z: Final = 1.96
_GRID: Final = 32


class Newcomers:
    """The rate of good ones among everybody's first results."""

    def __init__(self) -> None:
        self._results: defaultdict[Key, int] = defaultdict(int)
        self._good, self._all = 1.0, 2.0

    def learn(self, event: Event) -> None:
        """Count one result if it is of the subject's first."""
        key = (event.platform, event.rated)
        self._results[key] += 1
        if self._results[key] <= FIRST_RESULTS:
            self._good += event.good
            self._all += 1
            if self._all >= WINDOW:
                self._good, self._all = self._good / 2, self._all / 2

    def branch(self) -> Self:
        """A copy that goes on by itself."""
        other = copy.copy(self)
        other._results = self._results.copy()  # noqa: SLF001 - its own
        return other

    @property
    def rate(self) -> float:
        """Strictly between 0 and 1."""
        return self._good / self._all


def grade_of(data: DataSet, event: Event) -> float:
    """The grade on −1 … 1; without a scale 1 or 0: good, or bad and nobody says how bad."""
    scale = data.scale
    if scale is None or event.grade is None:
        return 1.0 if event.good else 0.0
    distance = event.grade - scale.middle
    return distance / ((scale.high - scale.middle) if distance > 0 else scale.middle - scale.low)


class Counting:
    """What all of these share: a set, its newcomers, nothing that waits."""

    def __init__(self, data: DataSet) -> None:
        self.data = data
        self.newcomers = Newcomers()
        self.good: defaultdict[Key, float] = defaultdict(float)
        self.bad: defaultdict[Key, float] = defaultdict(float)

    def foresee(self, events: Sequence[Event], now_ms: int) -> None:
        """Nothing is known of an engagement before it ends."""

    def settle(self, now_ms: int) -> None:
        """Nothing waits."""

    def branch(self) -> Self:
        """A copy that goes on by itself; the values in all tables are never changed in place."""
        other = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, dict):
                setattr(other, name, value.copy())
            elif isinstance(value, Newcomers | Recalibration):
                setattr(other, name, value.branch())
        return other

    def learn(self, events: Sequence[Event]) -> None:
        """Take in the results of a batch."""
        for event in events:
            self.newcomers.learn(event)
            self.take(event)

    def take(self, event: Event) -> None:
        """Count one result."""
        (self.good if event.good else self.bad)[event.platform, event.rated] += 1

    def beta(self, a: float, b: float) -> Expected:
        """The mean of Beta(a, b) with its interval."""
        low, high = near_interval(round(log2(a) * _GRID), round(log2(b) * _GRID))
        return a / (a + b), low, high


@lru_cache(maxsize=262_144)
def near_interval(a: int, b: int) -> tuple[float, float]:
    """The interval of a Beta whose numbers are given as 32nds of their binary logarithm."""
    return beta_interval(2.0 ** (a / _GRID), 2.0 ** (b / _GRID))


class RawMean(Counting):
    """The share of good results as it is."""

    def expect(self, platform: int, rated: str, as_of_ms: int) -> Expected:
        """g / n; no interval."""
        del as_of_ms
        key = (platform, rated)
        count = self.good[key] + self.bad[key]
        share = self.good[key] / count if count else self.newcomers.rate
        return min(0.99, max(0.01, share)), None, None


class SmoothedShare(Counting):
    """The share of good results with half a good and half a bad one added."""

    def expect(self, platform: int, rated: str, as_of_ms: int) -> Expected:
        """(g + ½) / (n + 1)"""
        del as_of_ms
        key = (platform, rated)
        return self.beta(self.good[key] + 0.5, self.bad[key] + 0.5)


class BetaCount(Counting):
    """Beta(1, 1) with each result counted once."""

    def expect(self, platform: int, rated: str, as_of_ms: int) -> Expected:
        """(g + 1) / (n + 2)"""
        del as_of_ms
        key = (platform, rated)
        return self.beta(self.good[key] + 1, self.bad[key] + 1)


class Wilson(Counting):
    """The lower end of Wilson's interval, recalibrated."""

    def __init__(self, data: DataSet) -> None:
        super().__init__(data)
        self._calibration = Recalibration()

    def expect(self, platform: int, rated: str, as_of_ms: int) -> Expected:
        """No interval: the bound is one itself."""
        return self._calibration.at(self._bound((platform, rated)), as_of_ms), None, None

    def take(self, event: Event) -> None:
        """Learn what the bound was worth, then count the result."""
        bound = self._bound((event.platform, event.rated))
        self._calibration.learn(bound, event.good, event.time_ms)
        super().take(event)

    def _bound(self, key: Key) -> float | None:
        """The bound's log-odds, or None without a result."""
        good, count = self.good[key], self.good[key] + self.bad[key]
        if not count:
            return None
        share = good / count
        spread = _Z * sqrt(share * (1 - share) / count + _Z * _Z / (4 * count * count))
        low = (share + _Z * _Z / (2 * count) - spread) / (1 + _Z * _Z / count)
        low = min(0.999, max(0.001, low))
        return log(low / (1 - low))


class RaterWeightedBeta(Counting):
    """A Beta in which each result has its rater's weight."""

    def __init__(self, data: DataSet) -> None:
        super().__init__(data)
        self._regard: defaultdict[Key, float] = defaultdict(float)

    def weight(self, platform: int, rater: str) -> float:
        """What this rater's word weighs, .15 … 1."""
        regard = self._regard[platform, rater] + (10 if rater in self.data.verified else 0)
        return max(0.15, regard / (regard + 5) if regard > 0 else 0.0)

    def take(self, event: Event) -> None:
        """Weigh one result, and what the rated one's own word is worth from now on."""
        key = (event.platform, event.rated)
        weight = self.weight(event.platform, event.rater)
        (self.good if event.good else self.bad)[key] += weight
        self._regard[key] += weight if event.good else -2 * weight

    def expect(self, platform: int, rated: str, as_of_ms: int) -> Expected:
        """(P + μ) / (P + N + 1)"""
        del as_of_ms
        key, rate = (platform, rated), self.newcomers.rate
        return self.beta(self.good[key] + rate, self.bad[key] + 1 - rate)


class DecayedBeta(Counting):
    """A Beta in which results fade, and bad ones weigh by how bad they are."""

    def __init__(self, data: DataSet) -> None:
        super().__init__(data)
        self._at: defaultdict[Key, int] = defaultdict(int)

    def take(self, event: Event) -> None:
        """Let the older results fade, then count one."""
        key = (event.platform, event.rated)
        left = self._left(key, event.time_ms)
        self.good[key] *= left
        self.bad[key] *= left
        self._at[key] = event.time_ms
        if event.good:
            self.good[key] += 1
        else:
            self.bad[key] += 1 + SEVERITY * abs(min(0.0, grade_of(self.data, event)))

    def expect(self, platform: int, rated: str, as_of_ms: int) -> Expected:
        """(P + μ) / (P + N + 1)"""
        key, rate = (platform, rated), self.newcomers.rate
        left = self._left(key, as_of_ms)
        return self.beta(self.good[key] * left + rate, self.bad[key] * left + 1 - rate)

    def _left(self, key: Key, now_ms: int) -> float:
        days = max(0, now_ms - self._at[key]) / DAY_MS
        return float(2.0 ** -(min(days, 36_500.0) / HALF_LIFE_DAYS))
