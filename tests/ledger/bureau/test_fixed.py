"""Integer arithmetic of the score, against the real thing."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.bureau import fixed
from tests.reference.bounded import Bounded

Q16 = 65_536


@given(st.integers(0, 40 * Q16))
def test_halving_is_close_and_falls(x):
    found = fixed.exp2_minus(Bounded(x))
    assert abs(found / 2**30 - 2 ** (-x / Q16)) < 1.1e-6
    assert fixed.exp2_minus(x + 1) <= found


def test_halving_is_exact_at_whole_numbers():
    assert [fixed.exp2_minus(n * Q16) for n in (0, 1, 2, 30, 31, 10**9)] == [
        2**30,
        2**29,
        2**28,
        1,
        0,
        0,
    ]


@given(st.integers(1, 2**53 - 2))
def test_log2_is_close_and_rises(value):
    found = fixed.log2_q22(value)
    assert abs(found / 2**22 - math.log2(value)) < 1e-6
    assert fixed.log2_q22(value + 1) >= found
    if value < 2**52:
        fixed.log2_q22(Bounded(value))


def test_log2_of_powers_is_exact():
    assert all(fixed.log2_q22(1 << n) == n << 22 for n in range(53))


@given(st.integers(0, 2**51 - 1), st.integers(0, 2**51 - 1))
def test_ratio_is_the_exact_quotient(part, rest):
    if part + rest:
        expected = min(Q16 - 1, max(1, part * Q16 // (part + rest)))
        assert fixed.ratio_q16(Bounded(part), Bounded(rest)) == expected


@given(st.integers(1, Q16 - 1), st.integers(1, 1_024), st.integers(1, 10_000))
def test_points_follow_log_odds(p, odds, per_doubling):
    exact = per_doubling * math.log2(p / (Q16 - p) / odds)
    assert abs(fixed.logit_points(Bounded(p), odds, per_doubling) - exact) < 0.51 + exact**2 * 1e-9


def quantile(a, b, share):
    """By a fine sum over log-odds in floats: an independent method and a fine grid."""
    steps, low, high = 40_000, -45.0, 45.0
    places = [low + (high - low) * i / steps for i in range(steps + 1)]
    logs = [-a * math.log1p(math.exp(-u)) - b * math.log1p(math.exp(u)) for u in places]
    top = max(logs)
    weights = [math.exp(each - top) for each in logs]
    # the tails fall as e^(a u) and e^(-b u)
    step = (high - low) / steps
    below, above = weights[0] / a, weights[-1] / b
    target = share * (below + sum(weights) * step + above)
    reached = below
    if reached >= target:
        return 0.0
    for u, weight in zip(places, weights, strict=True):
        reached += weight * step
        if reached >= target:
            return 1 / (1 + math.exp(-u))
    return 1.0


@pytest.mark.parametrize(
    ("a", "b"),
    [
        *[(0.86, 0.14), (1.86, 0.14), (5.86, 1.14), (1, 1), (0.5, 2.3), (20.86, 1.14)],
        *[(50, 50), (500, 100), (0.86, 30), (300, 3), (700, 200.14), (0.1, 0.1)],
    ],
)
def test_intervals_are_the_beta_quantiles(a, b):
    low, high = fixed.beta_interval(Bounded(a * 2**16), Bounded(b * 2**16))
    assert abs(low / Q16 - quantile(a, b, 0.05)) < 0.005
    assert abs(high / Q16 - quantile(a, b, 0.95)) < 0.005


@settings(max_examples=150)
@given(st.integers(0, 2**37), st.integers(0, 2**37))
def test_intervals_are_ordered_and_bounded(a, b):
    low, high = fixed.beta_interval(Bounded(a), Bounded(b))
    assert 0 < low <= high < Q16


def test_an_interval_is_never_narrower_than_a_thousand_results_warrant():
    million = fixed.beta_interval(900_000 << 16, 100_000 << 16)
    thousand = fixed.beta_interval(int(921.6 * 2**16), int(102.4 * 2**16))
    assert abs(million[0] - thousand[0]) <= 2
    assert abs(million[1] - thousand[1]) <= 2
