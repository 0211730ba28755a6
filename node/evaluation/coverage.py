"""Whether 90 % intervals about a probability hold, judged by results that are only yes or no.

An interval says where the subject's *rate* lies; a single result cannot lie in it. So what it says
of the next few results is judged. For one prediction, of m = min(10, those there are) next events
of the same subject, S are good. The interval and the probability are those of one Beta
distribution (mean p, as wide as the interval); with it S is beta-binomial. With
F its distribution function, u drawn evenly from (F(S−1), F(S)] is even in 0…1 if what the interval
says is true, whatever m is. So the *coverage* is the expected share of u in [.05, .95]:
|(F(S−1), F(S)] ∩ [.05, .95]| / P(S), no random number needed. It is 90 % if intervals are right,
less if they are too narrow, more if too wide. Only predictions with at least 5 events ahead count,
for of fewer the width hardly matters.

It is a demanding definition: a subject whose rate changes within its next ten events counts against
the interval, too.
"""

from collections.abc import Iterable
from functools import lru_cache
from math import exp, lgamma, log, log1p
from typing import Final, Protocol

AHEAD_MAX: Final = 10
AHEAD_MIN: Final = 5
TAIL: Final = 0.05
CLIP: Final = 1 / 1_024
_Z: Final = 1.645
_STEPS: Final = 10
_CLOSE: Final = 0.005
_STEPS_MAX: Final = 40
_SLOPE_MAX: Final = 300.0
_NEAR: Final = 1e-5
_GRID: Final = 1_024
_TERMS: Final = 512
_WEIGHT_MIN: Final = 0.02
_WEIGHT_MAX: Final = 20_000.0


class Expected(Protocol):
    """What coverage reads of a prediction."""

    @property
    def probability(self) -> float:
        """The mean of the rate."""
        ...

    @property
    def low(self) -> float | None:
        """Its 5 % quantile, or None."""
        ...

    @property
    def high(self) -> float | None:
        """Its 95 % quantile, or None."""
        ...

    @property
    def ahead_good(self) -> int:
        """Of the next `ahead` events, how many are good."""
        ...

    @property
    def ahead(self) -> int:
        """How many events are ahead, at most AHEAD_MAX."""
        ...


def coverage_90(predictions: Iterable[Expected]) -> float | None:
    """The share of 90 % intervals that hold, or None where there is none to judge."""
    total, count = 0.0, 0
    for each in predictions:
        if each.low is None or each.high is None or each.ahead < AHEAD_MIN:
            continue
        total += covered(each.probability, each.low, each.high, each.ahead_good, each.ahead)
        count += 1
    return total / count if count else None


def covered(probability: float, low: float, high: float, good: int, ahead: int) -> float:
    """How much of one prediction's result lies within the interval's own 5 … 95 %, 0 … 1."""
    weight = weight_of(
        round(probability * _GRID) / _GRID, max(1, round((high - low) * _GRID)) / _GRID
    )
    mean = min(1 - CLIP, max(CLIP, probability))
    a, b = mean * weight, (1 - mean) * weight
    below = sum(beta_binomial(each, ahead, a, b) for each in range(good))
    here = beta_binomial(good, ahead, a, b)
    inside = min(1 - TAIL, below + here) - max(TAIL, below)
    return max(0.0, min(1.0, inside / here)) if here > 0 else 0.0


def beta_binomial(good: int, count: int, a: float, b: float) -> float:
    """The probability of so many good of `count`, where the rate is Beta(a, b)."""
    chosen = lgamma(count + 1) - lgamma(good + 1) - lgamma(count - good + 1)
    return exp(chosen + log_beta(good + a, count - good + b) - log_beta(a, b))


def log_beta(a: float, b: float) -> float:
    """ln of the Beta function."""
    return lgamma(a) + lgamma(b) - lgamma(a + b)


@lru_cache(maxsize=65_536)
def weight_of(mean: float, width: float) -> float:
    """The a + b of the Beta with this mean whose 5 %–95 % interval is so wide.

    A width goes nearly by the root of the weight, so a few steps of that rule find it; what is
    wider than any Beta of the mean gets the least weight.
    """
    mean = min(1 - CLIP, max(CLIP, mean))
    weight = 4 * mean * (1 - mean) * (_Z / width) ** 2
    for _ in range(_STEPS):
        weight = min(_WEIGHT_MAX, max(_WEIGHT_MIN, weight))
        low, high = beta_interval(mean * weight, (1 - mean) * weight)
        ratio = max(1e-6, high - low) / width
        if abs(ratio - 1) < _CLOSE:
            break
        weight *= min(8.0, max(0.125, ratio * ratio))
    return min(_WEIGHT_MAX, max(_WEIGHT_MIN, weight))


def beta_interval(a: float, b: float) -> tuple[float, float]:
    """The 5 % and 95 % quantiles of Beta(a, b)."""
    a, b = max(a, 1e-3), max(b, 1e-3)
    return beta_quantile(TAIL, a, b), beta_quantile(1 - TAIL, a, b)


def beta_quantile(share: float, a: float, b: float) -> float:
    """The place below which this share of Beta(a, b) lies: Newton's steps, halving where they leave
    the bracket."""
    low, high, whole = 0.0, 1.0, log_beta(a, b)
    place = 0.5
    for _ in range(_STEPS_MAX):
        off = beta_share(place, a, b) - share
        low, high = (low, place) if off > 0 else (place, high)
        log_slope = (a - 1) * log(place) + (b - 1) * log1p(-place) - whole
        following = place - off / exp(log_slope) if abs(log_slope) < _SLOPE_MAX else low
        if not low < following < high:
            following = (low + high) / 2
        if abs(following - place) < _NEAR:
            return following
        place = following
    return place


def beta_share(x: float, a: float, b: float) -> float:
    """The share of Beta(a, b) below x: the regularised incomplete Beta function, by its continued
    fraction (Lentz), which converges quickly on the side of the mean that is chosen."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    front = exp(a * log(x) + b * log1p(-x) - log_beta(a, b))
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(x, a, b) / a
    return 1 - front * _fraction(1 - x, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    tiny = 1e-30
    c, d = 1.0, 1 - (a + b) * x / (a + 1)
    d = 1 / (d if abs(d) > tiny else tiny)
    value = d
    for m in range(1, _TERMS):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 + numerator * d
            c = 1 + numerator / c
            d = 1 / (d if abs(d) > tiny else tiny)
            c = c if abs(c) > tiny else tiny
            value *= d * c
        if abs(d * c - 1) < 1e-8:
            break
    return value
