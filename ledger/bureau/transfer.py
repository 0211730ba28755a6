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
The weight is where the losses, with the prior's, are least:

    loss(w) + transfer_prior · (w − elsewhere_weight)²

by the parabola through the best of the five weights and its neighbours, held to 0 … 1; the interval
(90 %) is that of a normal distribution of that curvature. Without measured workers the weight is
`elsewhere_weight`. A can neither open nor close B's engagements, and what it says after an open is
too late; what B says moves nothing but what A's evidence weighs in answers about B's own workers.
"""

from collections.abc import Iterable, Sequence
from math import isqrt
from typing import Final

from msgspec.structs import replace

from ledger.bureau.answer import Transfer
from ledger.bureau.fixed import Q22_ONE, log2_q22
from ledger.bureau.model import Q16_ONE, Model
from ledger.bureau.offset import expected_q16
from ledger.bureau.standing import SOURCES_MAX, PlatformTally, Source

Losses = tuple[int, int, int, int, int]

STEPS: Final = 4
_STEP: Final = Q16_ONE // STEPS
_LEAST: Final = Q16_ONE // 16  # so that no single worker weighs more than four bits
_WIDTH: Final = 127_902  # (the normal's 95 % quantile)² / (2 · ln 2), Q16


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
        before = Source(platform, 0, (0, 0, 0, 0, 0))
    workers = before.workers + 1
    sums = [sum(pair) for pair in zip(before.losses, losses, strict=True)]
    if workers >= model.transfer_window:
        workers, sums = workers // 2, [each // 2 for each in sums]
    known[platform] = Source(platform, workers, _five(sums))
    return replace(tally, sources=tuple(known[each] for each in sorted(known)))


def transfer_of(platform: int, source: Source | None, model: Model) -> Transfer:
    """What evidence from a platform weighs by what is measured, if anything is."""
    prior, curve, weight = model.transfer_prior, model.transfer_prior, model.elsewhere_weight
    workers = 0
    if source is not None:
        workers = source.workers
        costs = [loss + _prior_cost(step * _STEP, model) for step, loss in enumerate(source.losses)]
        weight, bent = _least(costs)
        curve = max(prior, 2 * STEPS * bent)
    half = isqrt((_WIDTH << 32) // curve)  # < 2^49; curve ≥ 2^16
    return Transfer(platform, weight, max(0, weight - half), min(Q16_ONE, weight + half), workers)


def _prior_cost(weight: int, model: Model) -> int:
    away = abs(weight - model.elsewhere_weight)
    return (model.transfer_prior * away >> 16) * away >> 16  # < 2^22 · 2^16


def _least(costs: Sequence[int]) -> tuple[int, int]:
    """Where costs at the five weights are least (Q16), and their second difference there."""
    best = min(range(STEPS + 1), key=lambda step: costs[step])
    middle = min(STEPS - 1, max(1, best))
    before, here, behind = costs[middle - 1 : middle + 2]
    bent = before - 2 * here + behind
    if bent <= 0:
        return best * _STEP, 0
    size = abs(before - behind) * _STEP // (2 * bent)  # < 2^37 · 2^14
    place = middle * _STEP + (size if before >= behind else -size)
    return min(Q16_ONE, max(0, place)), bent


def transfers_of(
    platforms: Iterable[int], tally: PlatformTally | None, model: Model
) -> tuple[Transfer, ...]:
    """What evidence from each of these platforms weighs in answers of the tally's, ascending."""
    known = {} if tally is None else {each.platform: each for each in tally.sources}
    return tuple(transfer_of(each, known.get(each), model) for each in sorted(set(platforms)))
