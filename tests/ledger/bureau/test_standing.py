"""Tallies and standings."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.bureau.model import FIRST_MODEL, Q16_ONE
from ledger.bureau.standing import (
    NEW_PLATFORM,
    OFFSET_ZERO,
    SUM_MAX,
    RaterTally,
    after_open,
    after_outcome,
    after_rating,
    client_sign,
    grade_of,
    new_rater,
    severity_excess,
    standing,
    worker_sign,
)
from ledger.parameters import FIRST_SCALES, Scale

STARS = next(scale for scale in FIRST_SCALES if scale.code == "stars-5")
sums = st.integers(0, SUM_MAX)


def test_an_unknown_rater_has_no_standing_and_a_verified_one_more_than_half():
    assert standing(new_rater("none"), FIRST_MODEL) == 0
    assert standing(new_rater("contact"), FIRST_MODEL) == 0
    bonus, half = FIRST_MODEL.attested_bonus, FIRST_MODEL.standing_half
    found = standing(new_rater("document"), FIRST_MODEL)
    assert found == bonus * Q16_ONE // (bonus + half) > Q16_ONE // 2


@given(sums, sums, st.booleans())
def test_standing_is_its_formula(good, bad, attested):
    found = standing(RaterTally(good, bad, attested), FIRST_MODEL)
    bad *= FIRST_MODEL.rater_bad_factor
    regard = Fraction(good - bad + (10 * Q16_ONE if attested else 0), Q16_ONE)
    regard = min(Fraction(2**20), max(Fraction(0), regard))
    assert 0 <= found < Q16_ONE
    assert abs(
        Fraction(found, Q16_ONE) - regard / (regard + Fraction(FIRST_MODEL.standing_half, Q16_ONE))
    ) < Fraction(1, Q16_ONE)


@given(sums, st.integers(1, Q16_ONE), st.integers(0, Q16_ONE - 1))
def test_good_ratings_raise_and_bad_ones_lower(good, grade, rater):
    tally = RaterTally(good, 0, attested=False)
    before = standing(tally, FIRST_MODEL)
    assert standing(after_rating(tally, grade, rater, 0, FIRST_MODEL), FIRST_MODEL) >= before
    assert standing(after_rating(tally, -grade, rater, 0, FIRST_MODEL), FIRST_MODEL) <= before
    assert after_rating(tally, 0, rater, 0, FIRST_MODEL) == tally


def test_sums_stop_rather_than_overflow():
    full = RaterTally(SUM_MAX, SUM_MAX, attested=True)
    assert after_rating(full, Q16_ONE, Q16_ONE - 1, 0, FIRST_MODEL) == full
    assert after_rating(full, -Q16_ONE, Q16_ONE - 1, 0, FIRST_MODEL) == full


def test_grades_of_stars():
    grades = [grade_of(STARS, value) for value in range(1, 6)]
    assert grades == [-Q16_ONE, -Q16_ONE // 2, 0, Q16_ONE // 2, Q16_ONE]


def test_a_good_value_is_good_even_at_the_middle():
    assert grade_of(Scale("x", 0, 2, 1, 1), 1) == 1
    assert grade_of(Scale("x", 0, 1, 1, 1), 1) == 1


def test_severity_grows_with_the_badness_of_a_bad_grade():
    assert severity_excess(-Q16_ONE, FIRST_MODEL) == FIRST_MODEL.severity_slope
    assert severity_excess(-Q16_ONE // 2, FIRST_MODEL) == FIRST_MODEL.severity_slope // 2
    assert severity_excess(Q16_ONE, FIRST_MODEL) == 0


@pytest.mark.parametrize(
    ("status", "fault", "acceptance", "worker", "client"),
    [
        ("completed", "none", "accepted", 1, 1),
        ("completed", "none", "unknown", 1, 0),
        ("completed", "worker", "rejected", -1, 0),
        ("completed", "none", "rejected", -1, 0),
        ("completed", "client", "rejected", 0, -1),
        ("completed", "none", "partial", 0, 0),
        ("completed", "shared", "partial", -1, -1),
        ("late", "worker", "accepted", -1, 0),
        ("late", "client", "accepted", 0, -1),
        ("no-show", "worker", "unknown", -1, 0),
        ("no-show", "none", "unknown", 0, 0),
        ("cancelled-by-worker", "worker", "unknown", -1, 0),
        ("cancelled-by-worker", "none", "unknown", 0, 0),
        ("cancelled-by-client", "client", "unknown", 0, -1),
        ("cancelled-by-client", "none", "unknown", 0, 0),
        ("force-majeure", "none", "unknown", 0, 0),
        ("unresolved", "none", "unknown", 0, 0),
    ],
)
def test_what_an_outcome_says(status, fault, acceptance, worker, client):
    assert worker_sign(status, fault, acceptance) == worker
    assert client_sign(status, fault, acceptance) == client


def test_newcomers_count_for_some_results_and_only_on_a_word_that_is_heard():
    tally, most = after_open(NEW_PLATFORM), FIRST_MODEL.newcomer_results
    none = (OFFSET_ZERO, OFFSET_ZERO)
    for earlier in range(most + 2):
        tally = after_outcome(
            tally,
            1 if earlier else -1,
            earlier_results=earlier,
            attested=True,
            client_standing=0,
            offset=none,
            model=FIRST_MODEL,
        )
    assert (tally.opened, tally.closed) == (1, most + 2)
    assert (tally.newcomers, tally.newcomers_good) == (most, most - 1)
    for known, heard in ((FIRST_MODEL.newcomer_standing_from, 1), (0, 0)):
        told = after_outcome(
            tally,
            1,
            earlier_results=0,
            attested=False,
            client_standing=known,
            offset=none,
            model=FIRST_MODEL,
        )
        assert (told.closed, told.newcomers) == (most + 3, most + heard)


def test_newcomers_of_long_ago_are_forgotten():
    tally = NEW_PLATFORM
    for n in range(4_000):
        tally = after_outcome(
            tally,
            1 if n < 2_000 else -1,
            earlier_results=0,
            attested=True,
            client_standing=0,
            offset=(OFFSET_ZERO, OFFSET_ZERO),
            model=FIRST_MODEL,
        )
    assert tally.closed == 4_000
    assert tally.newcomers < FIRST_MODEL.newcomer_window
    assert tally.newcomers_good * 50 < tally.newcomers


def test_who_gives_many_ratings_lifts_each_of_them_less():
    none, half = RaterTally(0, 0, attested=False), FIRST_MODEL.lift_half
    few = after_rating(none, Q16_ONE, 40_000, 0, FIRST_MODEL)
    many = after_rating(none, Q16_ONE, 40_000, half * Q16_ONE, FIRST_MODEL)
    assert (few.good_q16, many.good_q16) == (40_000, 20_000)
    blame = after_rating(none, -Q16_ONE, 40_000, half * Q16_ONE, FIRST_MODEL)
    assert blame == after_rating(none, -Q16_ONE, 40_000, 0, FIRST_MODEL)
