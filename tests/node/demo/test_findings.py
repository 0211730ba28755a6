"""Rank correlation, and the choice of the worker to show."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.demo.findings import (
    FindingFailed,
    Scored,
    pick_sample,
    rank_correlation,
    retrospective,
    spearman,
)
from node.demo.market import make_market

MARKET = make_market(3, 1_800_000_000_000, jobs=500, live_jobs=1)


def scored(index: int, points: int | None, *, bad: int = 0, engagements: int = 1) -> Scored:
    counts = {
        "good": engagements - bad,
        "bad": bad,
        "neutral": 0,
        "engagements": engagements,
        "retrospective": 1,
    }
    return Scored(MARKET.workers[index], f"x:{index}", {"points": points, "counts": counts})


def test_known_values() -> None:
    assert spearman([1, 2, 3], [10, 20, 30]) == pytest.approx(1)
    assert spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert spearman([1, 2, 3, 4, 5], [2, 1, 4, 3, 5]) == pytest.approx(0.8)
    assert spearman([1, 2, 2, 3], [1, 2, 3, 4]) == pytest.approx(0.9486832980505138)
    assert spearman([1, 1, 1], [1, 2, 3]) == 0
    assert spearman([], []) == 0


@given(st.lists(st.integers(-100, 100), min_size=2, unique=True))
def test_any_rising_function_keeps_the_order(values: list[int]) -> None:
    assert spearman(values, [value**3 + value for value in values]) == pytest.approx(1)


def test_abstentions_do_not_count() -> None:
    some = [scored(0, 500), scored(1, None), scored(2, 600)]
    correlation, count = rank_correlation(some)
    assert count == 2
    assert abs(correlation) == pytest.approx(1)


def test_the_sample_is_linked_has_a_score_and_bad_results_too() -> None:
    linked = [at for at, worker in enumerate(MARKET.workers) if worker.is_linked]
    single = next(at for at, worker in enumerate(MARKET.workers) if not worker.is_linked)
    wanted = scored(linked[2], 500, bad=1, engagements=5)
    some = [
        scored(single, 700, bad=3, engagements=90),
        scored(linked[0], None, bad=3, engagements=80),
        scored(linked[1], 600, engagements=70),
        wanted,
        scored(linked[3], 500, bad=1, engagements=4),
    ]
    assert pick_sample(some) is wanted
    with pytest.raises(FindingFailed):
        pick_sample(some[:2])


def test_hindsight_and_foresight_add_up_to_the_closed() -> None:
    assert retrospective([scored(0, 1, engagements=3), scored(1, 1, engagements=2)]) == (2, 3)
