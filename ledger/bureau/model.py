"""The model: every number of the score, as integers, activated on the ledger.

Weights and probabilities are Q16: 65,536 is 1. Ages are in days.
"""

from typing import Annotated, Final

import msgspec

from ledger.encoding import Code, Uint, Value

Q16_ONE: Final = 65_536

Q16 = Annotated[int, msgspec.Meta(ge=0, le=2**32)]


class Model(Value):
    """Parameters of the score (SCORE.md, model R3)."""

    id: Code
    half_life_days: Annotated[int, msgspec.Meta(ge=1, le=36_500)]
    floor_good: Q16
    floor_bad: Q16
    severity_slope: Q16
    standing_floor: Q16
    standing_half: Q16
    strong_from: Q16
    weak_cap: Q16
    attested_bonus: Q16
    prior_strength: Q16
    newcomer_rate: Q16
    thin_evidence: Q16
    retrospective_weight: Q16
    elsewhere_weight: Q16
    adverse_stop_days: Uint
    points_base: Uint
    points_per_doubling: Uint
    points_min: Uint
    points_max: Uint


FIRST_MODEL: Final = Model(
    id="r3.1",
    half_life_days=60,
    floor_good=1_966,
    floor_bad=6_554,
    severity_slope=4 * Q16_ONE,
    standing_floor=9_830,
    standing_half=5 * Q16_ONE,
    strong_from=32_768,
    weak_cap=Q16_ONE,
    attested_bonus=10 * Q16_ONE,
    prior_strength=Q16_ONE,
    newcomer_rate=56_360,
    thin_evidence=98_304,
    retrospective_weight=Q16_ONE,
    elsewhere_weight=39_322,
    adverse_stop_days=2_555,
    points_base=500,
    points_per_doubling=50,
    points_min=300,
    points_max=850,
)
