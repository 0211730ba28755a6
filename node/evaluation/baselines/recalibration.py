"""What a score that is no probability has been worth so far: logistic regression on earlier events.

Each event's score, as it stood before, and its result are kept; at the first question of a calendar
month (30 days) the line logit p = a + b · score is fitted to the newest 5,000 of them, b ≥ 0,
slightly drawn to no effect. Who had no score yet gets the rate of those who had none.
"""

import copy
from collections import deque
from math import exp, log, log1p, sqrt
from typing import Final, Self

KEPT_MAX: Final = 5_000
MONTH_MS: Final = 30 * 86_400_000
_ROUNDS: Final = 12
_HALVINGS: Final = 8
_DRAWN: Final = 1.0
_ENOUGH: Final = 1e-6
_PAIRS_MIN: Final = 50


def sigmoid(x: float) -> float:
    """1 / (1 + e^−x), held where e^x still is a number."""
    return 1 / (1 + exp(-min(500.0, max(-500.0, x))))


class Recalibration:
    """The line under way."""

    def __init__(self) -> None:
        self._pairs: deque[tuple[float, bool]] = deque(maxlen=KEPT_MAX)
        self._a, self._b = 0.0, 1.0
        self._month = -1
        self._unknown_good, self._unknown = 1.0, 2.0

    def branch(self) -> Self:
        """A copy that goes on by itself."""
        other = copy.copy(self)
        other._pairs = self._pairs.copy()  # noqa: SLF001 - its own
        return other

    def learn(self, score: float | None, good: bool, time_ms: int) -> None:
        """Keep what a score was worth."""
        self._fit_monthly(time_ms)
        if score is None:
            self._unknown_good += good
            self._unknown += 1
        else:
            self._pairs.append((score, good))

    def at(self, score: float | None, time_ms: int) -> float:
        """The probability that goes with a score."""
        self._fit_monthly(time_ms)
        if score is None:
            return self._unknown_good / self._unknown
        return sigmoid(self._a + self._b * score)

    def _fit_monthly(self, time_ms: int) -> None:
        month = time_ms // MONTH_MS
        if month != self._month and len(self._pairs) >= _PAIRS_MIN:
            self._month = month
            self._fit()

    def _fit(self) -> None:
        """Newton's steps from no effect, over scores in units of their spread, halved until they
        help."""
        count = len(self._pairs)
        mean = sum(score for score, _ in self._pairs) / count
        spread = sqrt(sum((score - mean) ** 2 for score, _ in self._pairs) / count) or 1.0
        pairs = [((score - mean) / spread, good) for score, good in self._pairs]
        good = sum(each for _, each in pairs)
        a, b = log((good + 1) / (count - good + 1)), 0.0
        loss = _loss(pairs, a, b)
        for _ in range(_ROUNDS):
            da, db = _step(pairs, a, b)
            for _ in range(_HALVINGS):
                following = _loss(pairs, a + da, max(0.0, b + db))
                if following <= loss:
                    break
                da, db = da / 2, db / 2
            else:
                break
            a, b, gained, loss = a + da, max(0.0, b + db), loss - following, following
            if gained < _ENOUGH * count:
                break
        self._a, self._b = a - b * mean / spread, b / spread


def _loss(pairs: list[tuple[float, bool]], a: float, b: float) -> float:
    """−ln of the likelihood, with what draws b to 0."""
    told = (a + b * score if good else -a - b * score for score, good in pairs)
    return sum(log1p(exp(-min(500.0, max(-500.0, x)))) for x in told) + _DRAWN * b * b / 2


def _step(pairs: list[tuple[float, bool]], a: float, b: float) -> tuple[float, float]:
    """Newton's step."""
    ga, gb = 0.0, -_DRAWN * b
    haa, hab, hbb = _DRAWN, 0.0, _DRAWN
    for score, good in pairs:
        p = sigmoid(a + b * score)
        off, weight = good - p, p * (1 - p)
        ga += off
        gb += off * score
        haa += weight
        hab += weight * score
        hbb += weight * score * score
    det = max(1e-12, haa * hbb - hab * hab)
    return (hbb * ga - hab * gb) / det, (haa * gb - hab * ga) / det
