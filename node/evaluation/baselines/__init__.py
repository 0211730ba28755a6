"""What else could be asked for a worker's reliability: known scores to compare with, in floats."""

from collections.abc import Callable
from typing import Final

from node.evaluation.baselines.bayes import HierarchicalBayes
from node.evaluation.baselines.counting import (
    BetaCount,
    DecayedBeta,
    RaterWeightedBeta,
    RawMean,
    SmoothedShare,
    Wilson,
)
from node.evaluation.baselines.graphs import EigenTrust, FairnessGoodness
from node.evaluation.events import DataSet
from node.evaluation.models import Forecast

BASELINES: Final[dict[str, Callable[[DataSet], Forecast]]] = {
    "raw-mean": RawMean,
    "smoothed-share": SmoothedShare,
    "beta": BetaCount,
    "wilson": Wilson,
    "rater-weighted-beta": RaterWeightedBeta,
    "decayed-beta": DecayedBeta,
    "hierarchical-bayes": HierarchicalBayes,
    "fga": FairnessGoodness,
    "eigentrust": EigenTrust,
}
NEED_RATERS: Final = frozenset({"rater-weighted-beta", "fga", "eigentrust"})


def baselines_of(data: DataSet) -> dict[str, Forecast]:
    """The baselines that mean something on a set: those of raters need raters."""
    return {
        name: made(data)
        for name, made in BASELINES.items()
        if data.has_raters or name not in NEED_RATERS
    }
