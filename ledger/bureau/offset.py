"""A platform's offset: how its results differ of late from what is expected of its workers.

Execution keeps two running sums for each worker, the good and the bad results of late, and expects
of the next result what they say; what the result says beyond that moves the platform's offset, in
doublings of the odds:

    expected = (good + c · μ) · 2^offset / ((good + c · μ) · 2^offset + bad + c · (1 − μ))
    offset  += offset_rate · w · (result − expected)              result 1 good, 0 bad
    good    += v (a good result)    bad += v (a bad one), v · severity more by its rating

μ is the platform's newcomers' rate, c = prior_strength. The sums lose half in
`offset_half_life_days`; hours are those of block time, counted from 1970. On the platform's own
word v = w = attested_weight. On a counterparty's word v = max(standing, standing_floor) / k², and
w = H / (H + ratings it gave of late) / k², H = offset_given_half, for its k-th result with the
worker. The strong share of w moves one part of the offset, held to ±offset_max; the rest moves the
other, held to ±offset_weak_max: so accounts without standing move all scores of a platform by
little, however many they are. A worker's first `newcomer_results` results move the newcomers' rate
instead. What is told in hindsight moves nothing.
"""

from dataclasses import dataclass
from typing import Final

from ledger.bureau.fixed import exp2_minus
from ledger.bureau.model import Q16_ONE, Model
from ledger.bureau.prior import newcomer_rate
from ledger.bureau.standing import OFFSET_ZERO, PlatformTally, damped
from ledger.bureau.weights import DAY_HOURS, shares

LATELY_MAX_Q16: Final = 2**34
GIVEN_MAX_Q16: Final = 2**34


@dataclass(frozen=True, slots=True)
class Told:
    """On whose word a result is: the platform's own, or a counterparty's of this standing (Q16),
    for the k-th time, who gave so many ratings of late (Q16)."""

    attested: bool
    standing_q16: int
    pair_count: int
    given_q16: int


def is_heard(told: Told, model: Model) -> bool:
    """Whether a result's word counts for what is measured of platforms."""
    return told.attested or told.standing_q16 >= model.newcomer_standing_from


def left_q16(amount: int, hours: int, half_life_days: int) -> int:
    """What is left of an amount after so many hours (none: all of it)."""
    if not hours or not amount:
        return amount
    x_q16 = hours * Q16_ONE // (half_life_days * DAY_HOURS)
    return amount * (exp2_minus(x_q16) >> 14) >> 16


def offset_of(tally: PlatformTally | None) -> int:
    """A platform's offset in doublings of the odds (signed Q16)."""
    if tally is None:
        return 0
    return tally.offset_strong + tally.offset_other - 2 * OFFSET_ZERO


def expected_q16(good: int, bad: int, tally: PlatformTally, model: Model) -> int:
    """What is expected of the next result of one with these sums of late."""
    prior = model.prior_strength * newcomer_rate(tally, model) >> 16
    plus, minus, offset = good + prior, bad + model.prior_strength - prior, offset_of(tally)
    if offset > 0:
        minus = minus * (exp2_minus(offset) >> 14) >> 16
    elif offset < 0:
        plus = plus * (exp2_minus(-offset) >> 14) >> 16
    return plus * Q16_ONE // (plus + minus)


def moved_offset(
    tally: PlatformTally, sign: int, expected: int, told: Told, model: Model
) -> tuple[int, int]:
    """The two parts of the offset after a result (1 or −1) of which so much was expected (Q16)."""
    unexpected = Q16_ONE - expected if sign > 0 else expected
    move = model.offset_rate * unexpected >> 16
    if told.attested:
        strong, other = move * model.attested_weight >> 16, 0
    else:
        move = damped(move, told.given_q16, model.offset_given_half)
        move = move // told.pair_count // told.pair_count
        strong = move * shares(told.standing_q16, model)[0] >> 16
        other = move - strong
    return (
        _held(tally.offset_strong + sign * strong, model.offset_max),
        _held(tally.offset_other + sign * other, model.offset_weak_max),
    )


def _held(offset: int, most: int) -> int:
    return min(OFFSET_ZERO + most, max(OFFSET_ZERO - most, offset))


def weight_lately_q16(told: Told, model: Model) -> int:
    """What a result weighs in the sums of late."""
    if told.attested:
        return model.attested_weight
    return max(told.standing_q16, model.standing_floor) // told.pair_count // told.pair_count
