"""Two platforms: evidence that foretells comes to weigh more, and what does not less."""

import pytest

from ledger.bureau.model import FIRST_MODEL, Q16_ONE
from node.evaluation.sharing import Shared, measure_scene

WORKERS = 240


@pytest.fixture(scope="module")
def scenes() -> tuple[Shared, Shared]:
    """Nobody is on the one platform as on the other, and everybody."""
    nobody, everybody = (measure_scene(FIRST_MODEL, like, WORKERS, 1) for like in (0.0, 1.0))
    return nobody, everybody


def test_the_weight_goes_where_the_truth_is(scenes: tuple[Shared, Shared]) -> None:
    nobody, everybody = (each.course for each in scenes)
    before = FIRST_MODEL.elsewhere_weight / Q16_ONE
    assert nobody[-1].weight < 0.7 * before
    assert everybody[-1].weight > 1.1 * before
    assert nobody[0].weight > nobody[-1].weight
    assert everybody[0].weight < everybody[-1].weight


def test_the_interval_narrows(scenes: tuple[Shared, Shared]) -> None:
    for scene in scenes:
        first, *_, last = scene.course
        assert last.high - last.low < first.high - first.low
        assert all(each.low <= each.weight <= each.high for each in scene.course)
        assert WORKERS * 0.9 < last.workers <= WORKERS


def test_results_are_predicted_better_by_what_is_measured(scenes: tuple[Shared, Shared]) -> None:
    nobody, everybody = scenes
    assert nobody.log_loss < nobody.log_loss_unmeasured
    assert everybody.log_loss < everybody.log_loss_alone
