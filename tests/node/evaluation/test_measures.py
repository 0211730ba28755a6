"""Measures by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.evaluation.measures import (
    Prediction,
    auc,
    auc_within_months,
    brier,
    by_earlier,
    ece,
    equal_mass_bins,
    equal_width_bins,
    log_loss,
    measures,
)

JANUARY, FEBRUARY = 1_579_000_000_000, 1_581_000_000_000


def told(probability, good, time_ms=JANUARY, earlier=0):
    return Prediction(probability, good, time_ms, earlier)


def test_auc_counts_pairs_and_halves_ties():
    # pairs (good, bad): .9>.3, .9>.6, .6>.3, .6=.6 → 3.5 of 4
    made = [told(0.9, True), told(0.6, True), told(0.6, False), told(0.3, False)]
    assert auc(made) == 3.5 / 4
    assert auc(made[:2]) is None


def test_auc_within_months_leaves_out_pairs_across_months():
    made = [
        told(0.9, True), told(0.1, False),  # in order
        told(0.2, True, FEBRUARY), told(0.5, False, FEBRUARY), told(0.1, False, FEBRUARY),
    ]  # fmt: skip
    assert auc_within_months(made) == 2 / 3
    assert auc(made) == (3 + 2) / 6


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.9]), st.booleans()), max_size=30))
def test_auc_is_that_of_all_pairs(pairs):
    made = [told(p, good) for p, good in pairs]
    goods = [p for p, good in pairs if good]
    bads = [p for p, good in pairs if not good]
    won = sum((g > b) + (g == b) / 2 for g in goods for b in bads)
    expected = won / (len(goods) * len(bads)) if goods and bads else None
    assert auc(made) == (None if expected is None else pytest.approx(expected))


def test_losses_by_hand():
    made = [told(0.8, True), told(0.8, False)]
    assert log_loss(made) == pytest.approx(-(math.log(0.8) + math.log(0.2)) / 2)
    assert brier(made) == pytest.approx((0.04 + 0.64) / 2)


def test_nobody_is_surer_than_the_score_can_be():
    assert log_loss([told(0.0, True)]) == pytest.approx(16 * math.log(2))
    assert log_loss([told(1.0, True)]) < 2e-5


def test_ece_by_hand_in_two_bins_of_equal_number():
    made = [told(0.2, False), told(0.4, True), told(0.8, True), told(0.9, True)]
    two = ece(made, lambda each: equal_mass_bins(each, 2))
    # means .3 against .5, .85 against 1
    assert two == pytest.approx((2 * 0.2 + 2 * 0.15) / 4)


def test_ece_by_hand_in_bins_of_equal_width():
    made = [told(0.05, False), told(0.15, True), told(0.95, True), told(1.0, False)]
    tenths = ece(made, lambda each: equal_width_bins(each, 10))
    assert tenths == pytest.approx((0.05 + 0.85 + 2 * abs(0.975 - 0.5)) / 4)


@given(st.integers(1, 200), st.integers(1, 20))
def test_bins_of_equal_number_hold_everything_once(count, bins):
    made = [told(nth / count, nth % 3 == 0) for nth in range(count)]
    found = equal_mass_bins(made, bins)
    assert sum(each.count for each in found) == count
    assert max(each.count for each in found) - min(each.count for each in found) <= 1


def test_events_fall_into_bins_by_earlier_ones():
    made = [told(0.5, True, earlier=number) for number in (0, 1, 4, 5, 19, 20, 500)]
    counts = {name: each["events"] for name, each in by_earlier(made).items()}
    assert counts == {"0": 1, "1-4": 2, "5-19": 2, "20+": 2}


def test_the_keys_are_those_that_figures_are_known_by():
    wanted = {"auc", "auc_within_months", "log_loss", "brier", "ece", "ece_thin", "coverage_90"}
    found = measures([told(0.5, True)])
    assert wanted | {"events"} <= set(found)
    assert found["auc"] is None
    assert found["coverage_90"] is None
