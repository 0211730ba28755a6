"""Coverage of intervals, judged by yes and no."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.evaluation.coverage import (
    beta_binomial,
    beta_interval,
    beta_quantile,
    beta_share,
    coverage_90,
    covered,
    weight_of,
)
from node.evaluation.measures import Prediction


def test_shares_of_known_betas():
    assert beta_share(0.5, 2, 3) == pytest.approx(0.6875)  # 11/16
    assert beta_share(0.25, 1, 1) == pytest.approx(0.25)
    assert beta_share(0.3, 1, 4) == pytest.approx(1 - 0.7**4)
    assert beta_quantile(0.5, 3, 3) == pytest.approx(0.5, abs=1e-5)


@given(st.floats(0.05, 50), st.floats(0.05, 50), st.integers(1, 10))
def test_beta_binomials_sum_to_one(a, b, count):
    assert sum(beta_binomial(good, count, a, b) for good in range(count + 1)) == pytest.approx(1)


@pytest.mark.parametrize(
    ("mean", "width"),
    [(0.1, 0.05), (0.1, 0.4), (0.5, 0.2), (0.5, 0.8), (0.9, 0.2), (0.9, 0.4), (0.97, 0.05)],
)
def test_the_weight_gives_the_width(mean, width):
    weight = weight_of(mean, width)
    low, high = beta_interval(mean * weight, (1 - mean) * weight)
    assert high - low == pytest.approx(width, rel=0.02)


@pytest.mark.parametrize(("a", "b"), [(9, 1), (40, 8), (2, 2)])
@pytest.mark.parametrize("ahead", [5, 10])
def test_a_true_interval_covers_nine_in_ten(a, b, ahead):
    """Summed over all results with their probabilities: exact but for the matching."""
    low, high = beta_interval(a, b)
    chance = [beta_binomial(good, ahead, a, b) for good in range(ahead + 1)]
    share = sum(
        chance[good] * covered(a / (a + b), low, high, good, ahead) for good in range(ahead + 1)
    )
    assert share == pytest.approx(0.9, abs=0.01)


def test_too_narrow_covers_less_and_too_wide_more():
    chance = [beta_binomial(good, 10, 9, 1) for good in range(11)]

    def share(a, b):
        low, high = beta_interval(a, b)
        told = [covered(0.9, low, high, good, 10) for good in range(11)]
        return sum(p * c for p, c in zip(chance, told, strict=True))

    assert share(900, 100) < 0.88
    assert share(1.8, 0.2) > 0.92


def test_too_few_ahead_or_no_interval_say_nothing():
    few = Prediction(0.9, True, 0, 0, 0.8, 0.95, 4, 4)
    none = Prediction(0.9, True, 0, 0, None, None, 10, 10)
    assert coverage_90([few, none]) is None
