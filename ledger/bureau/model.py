"""The model: every number of the score, as integers, activated on the ledger.

Weights and probabilities are Q16 (65,536 is 1), ages are in days. What each number does is written
down, with the order of evaluation, in `ledger/bureau/README.md`. `check_model` keeps every number
inside the limits under which no intermediate of the score reaches 2^53.
"""

from typing import Annotated, Final

import msgspec

from ledger.encoding import Code, Value
from ledger.errors import Malformed

Q16_ONE: Final = 65_536

Share = Annotated[int, msgspec.Meta(ge=0, le=Q16_ONE, description="0 to 1 in Q16")]
Units = Annotated[int, msgspec.Meta(ge=0, le=64 * Q16_ONE, description="0 to 64 in Q16")]
Days = Annotated[int, msgspec.Meta(ge=1, le=36_500)]
Points = Annotated[int, msgspec.Meta(ge=0, le=10_000)]
Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
Bits = Annotated[int, msgspec.Meta(ge=Q16_ONE, le=64 * Q16_ONE, description="1 to 64 in Q16")]
Doublings = Annotated[int, msgspec.Meta(ge=0, le=2 * Q16_ONE, description="0 to 2 in Q16")]


class Model(Value):
    """Parameters of the score. *Q16* numbers are weights, shares, or results in units of 2^-16.

    id: names this set of numbers in every answer.
    half_life_days: evidence loses half of what decays in this time.
    floor_good, floor_bad: the share of a good, a bad result that never decays.
    severity_slope: a bad result with a rating of grade −1 weighs 1 + this.
    severity_cap: the most that a severity adds.
    attested_weight: what a result on the platform's own word weighs; a full word weighs 1.
    standing_floor: what a counterparty's word weighs at least.
    standing_half: sum of regard at which a rater's standing is one half.
    rater_bad_factor: how many times regard withdrawn counts against regard given.
    attested_bonus: regard of a subject that its platform has verified.
    lift_half, given_half_life_days: after so many ratings given of late a rater lifts others'
        standing by half; what is given is forgotten with this half-life.
    nobody_until, weak_from: up to the one standing a word is wholly a nobody's, from the other on
        not at all.
    strong_from, strong_full: up to the one standing a word is not strong, from the other on wholly.
    nobody_good_cap, weak_good_cap, nobody_bad_cap, weak_bad_cap: the most that nobodies' words of
        one sign add up to, and all words that are not strong.
    weak_lift, weak_lift_from: how far good words that are not strong raise the probability of one
        with so much against him (less, the less there is).
    weak_drop, nobody_drop: how far bad words that are not strong lower it, and nobodies' words.
    last_word, last_word_days: what a bad word that is not strong adds to the odds against (in
        doublings) as long as nothing good has followed, and its half-life.
    doubt, doubt_half: how much of the prior's good part strong words against somebody take away at
        most, and the sum of strong words at which they take half of it.
    distrust_from, distrust_slope, distrust_max: from this much in strong bad words on, strong good
        words are divided by 1 + slope · (what is above), at most by 1 + max.
    prior_strength: results that the newcomers' rate is worth.
    newcomer_rate: the rate of good first results where a platform has no own.
    newcomer_results: how many first results of a worker count for the newcomers' rate, and not for
        the offset.
    newcomer_standing_from: standing from which a counterparty's word counts for that rate.
    newcomer_window: when so many first results are tallied, half of them are forgotten.
    newcomer_prior: results by which a platform's own rate is drawn to `newcomer_rate`.
    offset_rate: how much of an unexpected result moves a platform's offset (doublings of the odds).
    offset_max, offset_weak_max: how far strong words, and all others, move it at most.
    offset_given_half: after so many ratings given of late a rater moves it by half.
    offset_half_life_days: half-life of the evidence by which execution expects a result.
    interval_weight: results that one full word is worth for the width of the interval.
    thin_evidence: undecayed evidence below which the score abstains.
    retrospective_weight: weight of an engagement that was opened in hindsight.
    elsewhere_weight: weight of evidence from another platform than the one asked about, before
        what it tells is measured (`ledger/bureau/transfer.py`).
    transfer_prior: bits (Q16) by which a measured weight a whole 1 away from that has to be better.
    transfer_window: when so many workers shared with a platform are compared, half are forgotten.
    near_domain_weight, far_domain_weight: weight of work outside the domain asked about, inside
        and outside of its branch of the tree.
    recent_days: up to this age a bad result is called recent (reasons only).
    adverse_stop_days: from this age on a bad result counts no more.
    points_base: points at odds of `points_odds` (a whole number) to 1.
    points_per_doubling: points for each doubling of the odds.
    points_odds: see `points_base`.
    points_min, points_max: the ends of the scale.
    """

    id: Code
    half_life_days: Days
    floor_good: Share
    floor_bad: Share
    severity_slope: Units
    severity_cap: Units
    attested_weight: Share
    standing_floor: Share
    standing_half: Annotated[int, msgspec.Meta(ge=1, le=64 * Q16_ONE)]
    rater_bad_factor: Annotated[int, msgspec.Meta(ge=0, le=16)]
    attested_bonus: Units
    lift_half: Count
    given_half_life_days: Days
    nobody_until: Share
    weak_from: Share
    strong_from: Share
    strong_full: Share
    nobody_good_cap: Units
    weak_good_cap: Units
    nobody_bad_cap: Units
    weak_bad_cap: Units
    weak_lift: Share
    weak_lift_from: Units
    weak_drop: Share
    nobody_drop: Share
    last_word: Doublings
    last_word_days: Days
    doubt: Share
    doubt_half: Units
    distrust_from: Units
    distrust_slope: Units
    distrust_max: Units
    prior_strength: Units
    newcomer_rate: Share
    newcomer_results: Count
    newcomer_standing_from: Share
    newcomer_window: Count
    newcomer_prior: Count
    offset_rate: Share
    offset_max: Doublings
    offset_weak_max: Doublings
    offset_given_half: Count
    offset_half_life_days: Days
    interval_weight: Units
    thin_evidence: Units
    retrospective_weight: Share
    elsewhere_weight: Share
    transfer_prior: Bits
    transfer_window: Annotated[int, msgspec.Meta(ge=2, le=2**18)]
    near_domain_weight: Share
    far_domain_weight: Share
    recent_days: Days
    adverse_stop_days: Days
    points_base: Points
    points_per_doubling: Points
    points_odds: Annotated[int, msgspec.Meta(ge=1, le=1_024)]
    points_min: Points
    points_max: Points


FIRST_MODEL: Final = Model(
    id="r4.1",
    half_life_days=63,
    floor_good=1_966,
    floor_bad=5_898,
    severity_slope=85_197,
    severity_cap=85_197,
    attested_weight=9_830,
    standing_floor=3_277,
    standing_half=288_358,
    rater_bad_factor=2,
    attested_bonus=10 * Q16_ONE,
    lift_half=150,
    given_half_life_days=30,
    nobody_until=3_277,
    weak_from=9_830,
    strong_from=26_214,
    strong_full=36_700,
    nobody_good_cap=16_384,
    weak_good_cap=65_536,
    nobody_bad_cap=39_322,
    weak_bad_cap=65_536,
    weak_lift=2_294,
    weak_lift_from=16_384,
    weak_drop=9_306,
    nobody_drop=8_323,
    last_word=66_184,
    last_word_days=30,
    doubt=49_152,
    doubt_half=196_608,
    distrust_from=85_197,
    distrust_slope=196_608,
    distrust_max=393_216,
    prior_strength=49_152,
    newcomer_rate=56_360,
    newcomer_results=4,
    newcomer_standing_from=6_554,
    newcomer_window=300,
    newcomer_prior=20,
    offset_rate=4_727,
    offset_max=52_002,
    offset_weak_max=17_019,
    offset_given_half=10,
    offset_half_life_days=21,
    interval_weight=19_661,
    thin_evidence=98_304,
    retrospective_weight=Q16_ONE,
    elsewhere_weight=39_322,
    transfer_prior=12 * Q16_ONE,
    transfer_window=1_000,
    near_domain_weight=39_322,
    far_domain_weight=19_661,
    recent_days=180,
    adverse_stop_days=2_555,
    points_base=500,
    points_per_doubling=50,
    points_odds=4,
    points_min=300,
    points_max=850,
)

_RATE_MIN: Final = 656  # one in a hundred: a rate of 0 or 1 would be certainty without evidence
_PRIOR_MIN: Final = 6_554  # a tenth of a result
_WEIGHT_MIN: Final = 656


def check_model(model: Model) -> None:
    """Refuse a model whose numbers contradict each other.

    Raises:
        Malformed: names the number.
    """
    if not _RATE_MIN <= model.newcomer_rate <= Q16_ONE - _RATE_MIN:
        raise Malformed("is not between 0.01 and 0.99", field="newcomer_rate")
    if model.prior_strength < _PRIOR_MIN:
        raise Malformed("is below one tenth of a result", field="prior_strength")
    if model.newcomer_prior < 1:
        raise Malformed("is below 1", field="newcomer_prior")
    if model.newcomer_window < 2:
        raise Malformed("is below 2", field="newcomer_window")
    if model.severity_cap > model.severity_slope:
        raise Malformed("exceeds severity_slope", field="severity_cap")
    if not model.points_min < model.points_base < model.points_max:
        raise Malformed("is not between points_min and points_max", field="points_base")
    if model.nobody_until >= model.weak_from:
        raise Malformed("is not above nobody_until", field="weak_from")
    if model.strong_from >= model.strong_full:
        raise Malformed("is not above strong_from", field="strong_full")
    for field in ("lift_half", "offset_given_half", "doubt_half", "weak_lift_from"):
        if getattr(model, field) < 1:
            raise Malformed("is below 1", field=field)
    if min(model.attested_weight, model.interval_weight) < _WEIGHT_MIN:
        field = "attested_weight" if model.attested_weight < _WEIGHT_MIN else "interval_weight"
        raise Malformed("is below one hundredth", field=field)
    if model.points_per_doubling < 1:
        raise Malformed("is below 1", field="points_per_doubling")
    if model.recent_days > model.adverse_stop_days:
        raise Malformed("exceeds adverse_stop_days", field="recent_days")
