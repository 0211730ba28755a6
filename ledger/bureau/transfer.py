"""How much evidence from another platform weighs: measured from workers whom two platforms share.

Platform B's tally keeps, for each platform A that it shares workers with, how well B's results
would have been expected with A's evidence at the weights 0, 1/4, 1/2, 3/4 and 1. When an engagement
opens on B whose worker's linked files on A hold enough of late, what they hold is written into the
engagement's row. At its outcome, if that says something and is told by B itself or by a client of
some standing:

    expected(w) = `offset.expected_q16` of (B's own good + w · A's good; bad likewise), held to
                  1/16 … 15/16
    loss(w)    += −log2(expected(w) if the result is good, else 1 − expected(w))    bits, Q16

Each worker of B counts once for each A. When `transfer_window` workers are counted, all is halved.
The weight's posterior has the density 2^−(loss(w) + transfer_prior · (w − elsewhere_weight)²), the
losses drawn smoothly through the five. The weight is `elsewhere_weight`, moved as far as the losses
move the mean; the interval (90 %) is where the posterior is densest. Without shared workers nothing
is moved. A can neither open nor close B's engagements, and what it says after an open is too late;
what B says moves nothing but what A's evidence weighs in answers about B's own workers.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

from msgspec.structs import replace

from ledger.bureau.answer import Transfer
from ledger.bureau.fixed import Q22_ONE, exp2_minus, log2_q22
from ledger.bureau.model import Q16_ONE, Model
from ledger.bureau.offset import expected_q16
from ledger.bureau.standing import SOURCES_MAX, PlatformTally, Source

Losses = tuple[int, int, int, int, int]

STEPS: Final = 4
PLACES: Final = 32
_WIDTH: Final = Q16_ONE // PLACES
_NOTHING: Final = (0, 0, 0, 0, 0)
_LEAST: Final = Q16_ONE // 16  # so that no single worker weighs more than four bits


def losses_of(
    own: tuple[int, int], there: tuple[int, int], sign: int, tally: PlatformTally, model: Model
) -> Losses:
    """The bits (Q16) that a result (1 or −1) costs with other evidence at each of the five weights.

    `own`, `there`: good and bad of late (Q16), on the result's platform and on the other.
    """
    found = []
    for step in range(STEPS + 1):
        good, bad = (mine + other * step // STEPS for mine, other in zip(own, there, strict=True))
        expected = expected_q16(good, bad, tally, model)
        expected = min(Q16_ONE - _LEAST, max(_LEAST, expected))
        chance = expected if sign > 0 else Q16_ONE - expected
        found.append((16 * Q22_ONE - log2_q22(chance)) >> 6)
    return _five(found)


def _five(losses: Sequence[int]) -> Losses:
    none, quarter, half, most, full = losses
    return none, quarter, half, most, full


def learned(
    tally: PlatformTally, platform: int, losses: Sequence[int], model: Model
) -> PlatformTally | None:
    """The tally after one more worker shared with a platform; None if it has no room for that."""
    known = {each.platform: each for each in tally.sources}
    before = known.get(platform)
    if before is None:
        if len(known) >= SOURCES_MAX:
            return None
        before = Source(platform, 0, _NOTHING)
    workers = before.workers + 1
    sums = [sum(pair) for pair in zip(before.losses, losses, strict=True)]
    if workers >= model.transfer_window:
        workers, sums = workers // 2, [each // 2 for each in sums]
    known[platform] = Source(platform, workers, _five(sums))
    return replace(tally, sources=tuple(known[each] for each in sorted(known)))


def transfer_of(platform: int, source: Source | None, model: Model) -> Transfer:
    """What evidence from a platform weighs by what is measured, if anything is."""
    prior = _density(_NOTHING, model)
    density = prior if source is None else _density(source.losses, model)
    moved = model.elsewhere_weight + _mean(density) - _mean(prior)
    weight = min(Q16_ONE, max(0, moved))
    low, high = _densest(density)
    return Transfer(
        platform,
        weight,
        min(low, weight),
        max(high, weight),
        0 if source is None else source.workers,
    )


def _density(losses: Losses, model: Model) -> list[int]:
    """The posterior at 0, 1/32 … 1, its highest 2^20."""
    costs = []
    for place in range(PLACES + 1):
        away = abs(place * _WIDTH - model.elsewhere_weight)
        prior = (model.transfer_prior * away >> 16) * away >> 16  # < 2^22 · 2^16
        costs.append((prior << 8) + _drawn(losses, place))  # < 2^46
    least = min(costs)
    return [exp2_minus(each - least >> 8) >> 10 for each in costs]


def _drawn(losses: Losses, place: int) -> int:
    """256 times the loss at a place: between two of the five, the mean of the two parabolas through
    both and the next on either side; at the ends there is but one."""
    step, part = divmod(place, PLACES // STEPS)
    if step == STEPS:
        return losses[STEPS] << 8
    total = 0
    for middle in (max(1, step), min(STEPS - 1, step + 1)):
        before, here, behind = losses[middle - 1 : middle + 2]
        off = (step - middle) * (PLACES // STEPS) + part  # −8 … 8
        bent = before - 2 * here + behind
        total += 128 * here + 8 * off * (behind - before) + off * off * bent
    return total


def _mean(density: Sequence[int]) -> int:
    """The mean place (Q16), by the trapezoid rule."""
    masses = [one + two for one, two in pairwise(density)]
    moments = sum(mass * (2 * at + 1) for at, mass in enumerate(masses))  # < 33 · 2^21 · 2^7
    return moments * _WIDTH // (2 * sum(masses))


def _densest(density: Sequence[int]) -> tuple[int, int]:
    """The ends (Q16) of where 90 % lie: of the rest, what lies at the less dense end goes first."""
    masses = [one + two for one, two in pairwise(density)]
    share, left, right = sum(masses) // 10, 0, PLACES
    while True:
        is_left = density[left] <= density[right]
        mass = masses[left if is_left else right - 1]
        if mass > share:
            cut = _WIDTH * share // mass
            low, high = left * _WIDTH, right * _WIDTH
            return (low + cut, high) if is_left else (low, high - cut)
        share -= mass
        left, right = (left + 1, right) if is_left else (left, right - 1)


def transfers_of(
    platforms: Iterable[int], tally: PlatformTally | None, model: Model
) -> tuple[Transfer, ...]:
    """What evidence from each of these platforms weighs in answers of the tally's, ascending."""
    known = {} if tally is None else {each.platform: each for each in tally.sources}
    return tuple(transfer_of(each, known.get(each), model) for each in sorted(set(platforms)))
