"""What each piece of evidence weighs, and what all of it adds up to. Weights are Q30.

    scope   = [retrospective] · [elsewhere] · [nearness]                              Q16
    word    = 1 on the platform's own word, else max(standing, standing_floor)        Q16
    decay   = φ + (1 − φ) · 2^(−age / half-life)            φ = floor_good or floor_bad
    plain   = scope
    told    = scope · word / k                              k = 1 on the platform's own word
    decayed = scope · decay · word / k
    excess  = scope · decay · max(standing, floor) / k · severity        (bad results with a rating)

Ages are whole hours; a date in the future has age 0. On the platform's own word and strong words
add up freely; the weak words of one sign add up to `weak_cap` at most. A bad result of
`adverse_stop_days` or more is left out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ledger.bureau.evidence import Evidence
from ledger.bureau.fixed import exp2_minus
from ledger.bureau.model import Q16_ONE, Model

HOUR_MS: Final = 3_600_000
DAY_HOURS: Final = 24
MASS_MAX: Final = 2**50  # about a million results


@dataclass(frozen=True, slots=True)
class Weighed:
    """One piece of evidence with its weights in Q30, as the module describes.

    `strong` and `excess_strong` say whether the weight is outside of the cap on weak words.
    """

    evidence: Evidence
    age_hours: int
    strong: bool
    excess_strong: bool
    plain: int
    told: int
    decayed: int
    excess: int


def age_hours(at: int, as_of: int) -> int:
    """Whole hours between two times in ms, 0 if `at` is the later one."""
    return max(0, as_of - at) // HOUR_MS


def decay_q30(hours: int, floor: int, model: Model) -> int:
    """What is left of evidence of this age; `floor` (Q16) never decays."""
    x_q16 = hours * Q16_ONE // (model.half_life_days * DAY_HOURS)  # < 2^32 · 2^16
    return (floor << 14) + ((Q16_ONE - floor) * exp2_minus(x_q16) >> 16)  # ≤ 2^16 · 2^30


def weigh(evidence: Evidence, as_of: int, model: Model) -> Weighed:
    """The weights of one piece of evidence at a time (ms)."""
    hours = age_hours(evidence.at, as_of)
    scope = _scope(evidence, model)
    floor = model.floor_good if evidence.sign > 0 else model.floor_bad
    live = decay_q30(hours, floor, model) * scope >> 16  # ≤ 2^30 · 2^16
    word = Q16_ONE if evidence.attested else max(evidence.standing_q16, model.standing_floor)
    pairs = 1 if evidence.attested else evidence.pair_count
    graded = max(evidence.excess_standing_q16, model.standing_floor)
    excess = (live * graded >> 16) // evidence.excess_pair_count * evidence.excess_q16 >> 16
    return Weighed(
        evidence=evidence,
        age_hours=hours,
        strong=evidence.attested or evidence.standing_q16 >= model.strong_from,
        excess_strong=evidence.excess_standing_q16 >= model.strong_from,
        plain=scope << 14,
        told=((scope << 14) * word >> 16) // pairs,
        decayed=(live * word >> 16) // pairs,
        excess=excess,  # ≤ 2^30 · 2^22
    )


def _scope(evidence: Evidence, model: Model) -> int:
    """Q16, rounded down after each factor."""
    scope = Q16_ONE
    if evidence.retrospective:
        scope = scope * model.retrospective_weight >> 16
    if evidence.elsewhere:
        scope = scope * model.elsewhere_weight >> 16
    if evidence.nearness == "near":
        scope = scope * model.near_domain_weight >> 16
    elif evidence.nearness == "far":
        scope = scope * model.far_domain_weight >> 16
    return scope


def mass(pieces: Iterable[Weighed], model: Model, *, decay: bool = True, cap: bool = True) -> int:
    """What pieces of one sign add up to: what their words weigh, with or without decay and cap.

    The severity's excess is part of the decayed weight only.
    """
    strong = weak = 0
    for piece in pieces:
        amount = piece.decayed if decay else piece.told
        excess = piece.excess if decay else 0
        strong += (amount if piece.strong else 0) + (excess if piece.excess_strong else 0)
        weak += (0 if piece.strong else amount) + (0 if piece.excess_strong else excess)
    if cap:
        weak = min(weak, model.weak_cap << 14)
    return min(MASS_MAX, strong + weak)


def plain_mass(pieces: Iterable[Weighed]) -> int:
    """What pieces would add up to undecayed and on the word of the platform."""
    return min(MASS_MAX, sum(piece.plain for piece in pieces))


def has_expired(piece: Weighed, model: Model) -> bool:
    """Whether a bad result is too old to count."""
    hours = model.adverse_stop_days * DAY_HOURS
    return piece.evidence.sign < 0 and piece.age_hours >= hours


def is_recent(piece: Weighed, model: Model) -> bool:
    """Whether a result is of the last `recent_days`."""
    return piece.age_hours < model.recent_days * DAY_HOURS
