"""What is expected of a platform's newcomers, and how a probability turns into points.

    points = points_base + points_per_doubling · log2(p / (1 − p) / points_odds), held to the scale

A platform's own rate is drawn to the model's: μ = (its newcomers' good results + K · newcomer_rate)
/ (its newcomers' results + K), with K = newcomer_prior, between 0.01 and 0.99.
"""

from typing import Final

from ledger.bureau.fixed import logit_points
from ledger.bureau.model import Q16_ONE, Model
from ledger.bureau.standing import PlatformTally

_RATE_MIN: Final = 656
_RESULTS_MAX: Final = 2**36


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


def points_of(probability_q16: int, model: Model) -> int:
    """The place of a probability on the scale."""
    size = logit_points(probability_q16, model.points_odds, model.points_per_doubling)
    return min(model.points_max, max(model.points_min, model.points_base + size))
