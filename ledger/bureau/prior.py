"""What is expected before any evidence, and how evidence turns into a probability and into points.

    p      = (good + c · μ) / (good + bad + c)        c = prior_strength, μ = the newcomers' rate
    points = points_base + points_per_doubling · log2(p / (1 − p) / points_odds), held to the scale

A platform's own rate is drawn to the model's: μ = (its newcomers' good results + K · newcomer_rate)
/ (its newcomers' results + K), with K = newcomer_prior, between 0.01 and 0.99.
"""

from dataclasses import dataclass
from typing import Final

from ledger.bureau.fixed import logit_points, ratio_q16
from ledger.bureau.model import Q16_ONE, Model
from ledger.bureau.standing import PlatformTally

_RATE_MIN: Final = 656
_RESULTS_MAX: Final = 2**36


@dataclass(frozen=True, slots=True)
class Prior:
    """Good and bad results that are imagined before the first real one (Q30)."""

    good: int
    bad: int


def newcomer_rate(tally: PlatformTally | None, model: Model) -> int:
    """The rate of good first results on a platform (Q16)."""
    if tally is None:
        return model.newcomer_rate
    shift = max(0, tally.newcomers.bit_length() - _RESULTS_MAX.bit_length() + 1)
    good, results = tally.newcomers_good >> shift, tally.newcomers >> shift
    weight = model.newcomer_prior
    # < 2^36 · 2^16 + 2^20 · 2^16
    rate = (good * Q16_ONE + weight * model.newcomer_rate) // (results + weight)
    return min(Q16_ONE - _RATE_MIN, max(_RATE_MIN, rate))


def prior_of(rate_q16: int, model: Model) -> Prior:
    """The prior of a newcomers' rate."""
    good = model.prior_strength * rate_q16 >> 2  # < 2^22 · 2^16
    return Prior(good, (model.prior_strength << 14) - good)


def probability_of(prior: Prior, good: int, bad: int) -> int:
    """The probability that the next result is good (Q16, 1…65,535), from masses in Q30."""
    return ratio_q16(prior.good + good, prior.bad + bad)


def points_of(probability_q16: int, model: Model) -> int:
    """The place of a probability on the scale."""
    size = logit_points(probability_q16, model.points_odds, model.points_per_doubling)
    return min(model.points_max, max(model.points_min, model.points_base + size))
