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


class Model(Value):
    """Parameters of the score (SCORE.md, model R3).

    id: names this set of numbers in every answer.
    half_life_days: evidence loses half of what decays in this time.
    floor_good, floor_bad: the share of a good, a bad result that never decays.
    severity_slope: a bad result with a rating of grade −1 weighs 1 + this.
    severity_cap: the most that a severity adds.
    standing_floor: what a counterparty's word weighs at least.
    standing_half: sum of regard at which a rater's standing is one half.
    rater_bad_factor: how many times regard withdrawn counts against regard given.
    attested_bonus: regard of a subject that its platform has verified.
    strong_from: standing from which a counterparty's word is strong.
    weak_cap: the most that all weak words of one sign add up to.
    prior_strength: results that the newcomers' rate is worth.
    newcomer_rate: the rate of good first results where a platform has no own.
    newcomer_results: how many first results of a worker count for the newcomers' rate.
    newcomer_standing_from: standing from which a counterparty's word counts for that rate.
    newcomer_window: when so many first results are tallied, half of them are forgotten.
    newcomer_prior: results by which a platform's own rate is drawn to `newcomer_rate`.
    thin_evidence: undecayed evidence below which the score abstains.
    retrospective_weight: weight of an engagement that was opened in hindsight.
    elsewhere_weight: weight of evidence from another platform than the one asked about.
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
    standing_floor: Share
    standing_half: Annotated[int, msgspec.Meta(ge=1, le=64 * Q16_ONE)]
    rater_bad_factor: Annotated[int, msgspec.Meta(ge=0, le=16)]
    attested_bonus: Units
    strong_from: Share
    weak_cap: Units
    prior_strength: Units
    newcomer_rate: Share
    newcomer_results: Count
    newcomer_standing_from: Share
    newcomer_window: Count
    newcomer_prior: Count
    thin_evidence: Units
    retrospective_weight: Share
    elsewhere_weight: Share
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
    id="r3.1",
    half_life_days=60,
    floor_good=1_966,
    floor_bad=6_554,
    severity_slope=4 * Q16_ONE,
    severity_cap=4 * Q16_ONE,
    standing_floor=9_830,
    standing_half=5 * Q16_ONE,
    rater_bad_factor=2,
    attested_bonus=10 * Q16_ONE,
    strong_from=32_768,
    weak_cap=Q16_ONE,
    prior_strength=Q16_ONE,
    newcomer_rate=56_360,
    newcomer_results=3,
    newcomer_standing_from=13_107,
    newcomer_window=400,
    newcomer_prior=20,
    thin_evidence=98_304,
    retrospective_weight=Q16_ONE,
    elsewhere_weight=39_322,
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
    if model.points_per_doubling < 1:
        raise Malformed("is below 1", field="points_per_doubling")
    if model.recent_days > model.adverse_stop_days:
        raise Malformed("exceeds adverse_stop_days", field="recent_days")
