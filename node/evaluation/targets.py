"""What a model version has to reach (SCORE.md), and whether it does: checks with their limits.

A *must* decides the exit code; an *aim* is told beside it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

OWN: Final = "standing"
CROWD_BASELINE: Final = "smoothed-share"
CROWD_WORSE_MAX: Final = 0.001
CROWD_BETTER_MIN: Final = 0.001
CROWD_BETTER_SETS: Final = 5
CROWD_SETS: Final = 7

# set → measure → (must, aim): at least for the first kind, at most for the second
AT_LEAST: Final = {"bitcoin-otc": {"auc": (0.878, 0.888), "auc_within_months": (0.875, None)}}
AT_MOST: Final[dict[str, dict[str, tuple[float, float | None]]]] = {
    "bitcoin-otc": {"log_loss": (0.250, 0.240), "ece": (0.018, 0.012), "ece_thin": (0.03, None)}
}
COVERAGE: Final = {"bitcoin-otc": (0.88, 0.94)}


@dataclass(frozen=True, slots=True)
class Check:
    """One figure beside its limits. `met`: the must; `aim_met`: None where there is no aim."""

    name: str
    value: float | None
    must: str
    met: bool
    aim: str = ""
    aim_met: bool | None = None


def checks_of_sets(sets: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[Check]:
    """The checks of what was measured; sets that have no limits have none."""
    return [*_limits(sets), *_crowd(sets)]


def _limits(sets: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Iterator[Check]:
    for name, models in sets.items():
        if OWN not in models:
            continue
        own = models[OWN]
        for measure, (must, aim) in AT_LEAST.get(name, {}).items():
            yield check_least(f"{name} {measure}", own[measure], must, aim)
        for measure, (least_must, least_aim) in AT_MOST.get(name, {}).items():
            yield check_most(f"{name} {measure}", own[measure], least_must, least_aim)
        if name in COVERAGE:
            low, high = COVERAGE[name]
            value = own["coverage_90"]
            met = value is not None and low <= value <= high
            yield Check(f"{name} coverage_90", value, f"{low} … {high}", met)


def _crowd(sets: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Iterator[Check]:
    """Never worse than the smoothed share by more than .001, better by .001 on five of seven."""
    gains = {
        name: models[CROWD_BASELINE]["log_loss"] - models[OWN]["log_loss"]
        for name, models in sets.items()
        if name.startswith("crowd-gold") and OWN in models and CROWD_BASELINE in models
    }
    for name, gain in gains.items():
        yield check_least(f"{name} log_loss gained", gain, -CROWD_WORSE_MAX, None)
    if len(gains) >= CROWD_SETS:
        better = sum(gain >= CROWD_BETTER_MIN for gain in gains.values())
        yield check_least("crowd-gold sets gained", better, CROWD_BETTER_SETS, None)


def check_least(name: str, value: float | None, must: float, aim: float | None) -> Check:
    """A figure that must not be below its limit."""
    met = value is not None and value >= must
    aimed = None if aim is None else value is not None and value >= aim
    return Check(name, value, f"≥ {must:g}", met, "" if aim is None else f"≥ {aim:g}", aimed)


def check_most(name: str, value: float | None, must: float, aim: float | None) -> Check:
    """A figure that must not be above its limit."""
    met = value is not None and value <= must
    aimed = None if aim is None else value is not None and value <= aim
    return Check(name, value, f"≤ {must:g}", met, "" if aim is None else f"≤ {aim:g}", aimed)
