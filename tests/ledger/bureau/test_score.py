"""The score: against exact arithmetic, and the properties that it promises."""

from fractions import Fraction
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.bureau import score as score_module
from ledger.bureau.evidence import Folded, OpenFile
from ledger.bureau.model import FIRST_MODEL, Q16_ONE, check_model
from ledger.bureau.offset import offset_of
from ledger.bureau.prior import newcomer_rate
from ledger.bureau.standing import OFFSET_ZERO, PlatformTally, Source
from ledger.bureau.weights import MASS_MAX_Q16, Sums, group
from ledger.encoding import decode, encode
from ledger.errors import Malformed
from tests.ledger.bureau.facts import (
    DAY,
    FULL,
    ME,
    NOW,
    PARAMETERS,
    ask,
    bad,
    good,
    name,
    own,
    piece,
    question,
    rated,
)
from tests.reference import score as reference
from tests.reference.bounded import Bounded

pieces = st.builds(
    piece,
    sign=st.sampled_from([1, -1]),
    at=st.integers(NOW - 3_000 * DAY, NOW + 10 * DAY),
    attested=st.booleans(),
    standing_q16=st.integers(0, Q16_ONE - 1),
    pair_count=st.integers(1, 50),
    excess_standing_q16=st.integers(0, Q16_ONE - 1),
    excess_pair_count=st.integers(1, 50),
    retrospective=st.booleans(),
    elsewhere=st.booleans(),
    nearness=st.sampled_from(["on", "near", "far"]),
    source=st.integers(2, 4),
).flatmap(
    lambda each: st.builds(
        lambda excess: piece(
            **{
                **{field: getattr(each, field) for field in each.__slots__},
                "excess_q16": excess if each.sign < 0 else 0,
            }
        ),
        st.integers(0, 4 * Q16_ONE),
    )
)
many = st.lists(pieces, max_size=25)
losses = st.tuples(*[st.integers(0, 2**36) | st.integers(0, 2**24)] * 5)
sources = st.tuples(*(st.builds(Source, st.just(n), st.integers(1, 2**18), losses) for n in (2, 3)))
tallies = st.none() | st.integers(0, 2**50).flatmap(
    lambda n: st.builds(
        PlatformTally,
        opened=st.just(n),
        closed=st.just(n),
        newcomers=st.just(n),
        newcomers_good=st.integers(0, n),
        overdue=st.just(0),
        offset_strong=st.integers(OFFSET_ZERO - 66_000, OFFSET_ZERO + 66_000),
        offset_other=st.integers(OFFSET_ZERO - 24_000, OFFSET_ZERO + 24_000),
        sources=st.just(()) | sources,
    )
)


def answer_of(evidence, tally=None):
    """The answer to this evidence, however it was folded."""
    folded = Folded(evidence=list(evidence), engagements=len(evidence))
    with patch.object(score_module, "fold", lambda *_: folded):
        return score_module.score(own([]), tally, PARAMETERS, question())


ROUNDING = 8  # of 65,536: the bounds on words that are not strong are found to Q16


# --- properties ---


@settings(max_examples=200)
@given(many, tallies)
def test_integers_are_close_to_exact_arithmetic(evidence, tally):
    evidence = [*evidence, piece(), piece()]
    found = answer_of(evidence, tally)
    rate = newcomer_rate(tally, FIRST_MODEL)
    weights = {each.platform: each.weight_q16 for each in found.transfers}
    exact = reference.probability(
        evidence, NOW, rate, offset_of(tally), FIRST_MODEL, weights=weights
    )
    assert abs(Fraction(found.probability_q16, Q16_ONE) - exact) < Fraction(25, 10_000)


@given(many, tallies)
def test_answers_are_in_range_and_encode(evidence, tally):
    found = answer_of(evidence, tally)
    assert 0 < found.low_q16 <= found.high_q16 < Q16_ONE
    assert (found.probability_q16 is None) == (found.points is None) == found.thin_file
    if found.probability_q16 is not None:
        assert found.low_q16 <= found.probability_q16 <= found.high_q16
        assert FIRST_MODEL.points_min <= found.points <= FIRST_MODEL.points_max
    assert decode(type(found), encode(found), bytes_max=4_096) == found


@settings(max_examples=300)
@given(many, tallies)
def test_reasons_sum_exactly(evidence, tally):
    found = answer_of(evidence, tally)
    total = sum(reason.points for reason in found.reasons)
    if found.thin_file:
        assert [reason.code for reason in found.reasons] == ["thin-file"]
    else:
        assert total == found.points - found.base_points
        assert len(found.reasons) <= 4
        assert len({reason.code for reason in found.reasons}) == len(found.reasons)
        assert all(reason.points for reason in found.reasons)


@given(many, tallies, pieces)
def test_one_more_good_outcome_never_lowers(evidence, tally, extra):
    extra = piece(**{**{f: getattr(extra, f) for f in extra.__slots__}, "sign": 1, "excess_q16": 0})
    before, after = answer_of(evidence, tally), answer_of([*evidence, extra], tally)
    if before.probability_q16 is not None:
        assert after.probability_q16 >= before.probability_q16 - ROUNDING


@given(many, tallies, pieces)
def test_one_more_bad_outcome_never_raises(evidence, tally, extra):
    extra = piece(**{**{f: getattr(extra, f) for f in extra.__slots__}, "sign": -1})
    before, after = answer_of(evidence, tally), answer_of([*evidence, extra], tally)
    if before.probability_q16 is not None:
        assert after.probability_q16 <= before.probability_q16 + ROUNDING


@given(many.flatmap(lambda e: st.tuples(st.just(e), st.permutations(e))), tallies)
def test_the_order_of_engagements_does_not_matter(both, tally):
    assert answer_of(both[0], tally) == answer_of(both[1], tally)


@settings(max_examples=50)
@given(many, tallies)
def test_no_intermediate_reaches_2_to_the_53(evidence, tally):
    bounded = [
        piece(
            **{
                field: Bounded(value) if type(value) is int and field != "sign" else value
                for field in each.__slots__
                for value in [getattr(each, field)]
            }
        )
        for each in evidence
    ]
    assert answer_of(bounded, tally) == answer_of(evidence, tally)


# --- single answers ---


def test_a_newcomer_gets_an_interval_and_never_a_point():
    found = ask(own([]))
    assert found.thin_file
    assert (found.probability_q16, found.points) == (None, None)
    assert found.low_q16 < 20_000
    assert found.high_q16 > 60_000
    assert found.base_points == 531
    assert found.evidence.engagements == 0
    assert found.last_at is None


def test_two_attested_results_are_enough_and_one_is_not():
    assert ask(own(good("a"))).thin_file
    found = ask(own(good("a"), good("b")))
    assert not found.thin_file
    assert found.points > found.base_points
    assert found.reasons[0].code == "good-outcomes"


def test_a_good_but_idle_worker_is_not_thin_only_less_sure():
    fresh = ask(own(*(good(f"{n}") for n in range(8))))
    idle = ask(own(*(good(f"{n}", NOW - 800 * DAY) for n in range(8))))
    assert not idle.thin_file
    assert idle.probability_q16 < fresh.probability_q16
    assert idle.high_q16 - idle.low_q16 > fresh.high_q16 - fresh.low_q16
    assert any(reason.code == "idle-decay" and reason.points < 0 for reason in idle.reasons)


def test_bad_results_are_not_forgotten_by_waiting_until_they_stop_counting():
    work = [*(bad(f"{n}", NOW - 2_500 * DAY) for n in range(6)), good("a"), good("b")]
    found = ask(own(*work))
    assert found.evidence.bad == 6
    assert any(reason.code == "old-bad-outcomes" and reason.points < 0 for reason in found.reasons)
    later = ask(own(*work), as_of=NOW + 60 * DAY)
    assert (later.evidence.bad, later.evidence.expired) == (0, 6)


def test_recent_bad_results_are_named():
    found = ask(own(*(good(f"{n}") for n in range(9)), bad("x")))
    assert any(
        reason.code == "recent-bad-outcomes" and reason.points < 0 for reason in found.reasons
    )


def test_words_of_strangers_are_capped_however_many():
    def words(count):
        return [good(f"{n}", basis="counterparty", told=(1, 0, 0)) for n in range(count)]

    assert ask(own(*words(300))).thin_file
    known = [good("a"), good("b")]
    few, many = ask(own(*known, *words(20))), ask(own(*known, *words(300)))
    assert few.probability_q16 == many.probability_q16
    assert any(reason.code == "weak-evidence-capped" for reason in many.reasons)


def test_a_pair_that_repeats_itself_says_less_and_less():
    once = own(*(good(f"{n}", basis="counterparty", told=(1, FULL, 0)) for n in range(10)))
    same = own(*(good(f"{n}", basis="counterparty", told=(n + 1, FULL, 0)) for n in range(10)))
    attested = own(*(good(f"{n}", told=(n + 1, FULL, 0)) for n in range(10)))
    assert ask(same).probability_q16 < ask(once).probability_q16
    assert ask(attested) == ask(own(*(good(f"{n}") for n in range(10))))


def test_work_elsewhere_counts_less_and_is_named():
    other = name("me elsewhere")
    there = OpenFile(2, other, [fact for n in range(9) for fact in _elsewhere(n, other)])
    alone = ask(own(good("a"), good("b")))
    both = ask([*own(good("a"), good("b")), there])
    assert both.probability_q16 > alone.probability_q16
    assert (both.evidence.elsewhere, both.evidence.files) == (9, 2)
    assert any(reason.code == "other-platforms" for reason in both.reasons)


def _elsewhere(n, handle):
    from tests.ledger.bureau.facts import closed, opened

    return [opened(f"x{n}", platform=2, worker=handle), closed(f"x{n}", platform=2)]


def test_off_domain_work_alone_says_little_of_this_domain():
    files = own(*(good(f"{n}") for n in range(9)))
    inside, outside = ask(files, domain="software.web"), ask(files, domain="care")
    assert outside.probability_q16 < inside.probability_q16
    assert outside.evidence.off_domain == 9
    assert [reason.code for reason in outside.reasons] == ["other-domains"]


def test_a_platforms_newcomers_move_the_start():
    tally = PlatformTally(
        opened=900,
        closed=900,
        newcomers=900,
        newcomers_good=400,
        overdue=0,
        offset_strong=OFFSET_ZERO,
        offset_other=OFFSET_ZERO,
    )
    harsh, plain = ask(own(good("a"), good("b")), tally), ask(own(good("a"), good("b")))
    assert harsh.points < plain.points
    assert harsh.base_points == plain.base_points
    assert any(reason.code == "platform-newcomers" for reason in harsh.reasons)


def test_dates_in_the_future_are_as_of_now():
    assert (
        ask(own(good("a"), good("b"))).probability_q16
        == answer_of([piece(at=NOW + 10**9), piece(at=2**53 - 1)]).probability_q16
    )


def test_all_at_one_instant_and_at_the_ends_of_time():
    assert not answer_of([piece()] * 5_000).thin_file
    assert not answer_of([piece(at=0)] * 50).thin_file


def test_thirty_thousand_words_of_one_rater():
    words = [
        piece(sign, attested=False, standing_q16=FULL, pair_count=n + 1)
        for n in range(15_000)
        for sign in (1, -1)
    ]
    found = answer_of(words)
    assert 20_000 < found.probability_q16 < 45_000


def test_a_million_results_do_not_overflow():
    one = group([piece()], NOW, FIRST_MODEL).good
    assert one.plain == 2**14 * FIRST_MODEL.attested_weight
    many = Sums(attested=one.attested * 10**7, told_attested=one.attested)
    assert many.decayed().attested == MASS_MAX_Q16


def test_severity_multiplies_a_declared_fault():
    work = [good(f"{n}") for n in range(9)]
    plain, graded = bad("x"), [*bad("x"), rated("x", 1)]
    assert ask(own(*work, graded)).points < ask(own(*work, plain)).points


def test_the_same_input_gives_the_same_bytes():
    files = own(*(good(f"{n}", NOW - n * DAY) for n in range(9)), bad("x"))
    assert encode(ask(files)) == encode(ask(files))
    assert ask(files).question.handle == ME


@pytest.mark.parametrize(
    "change",
    [
        {"newcomer_rate": 0},
        {"prior_strength": 0},
        {"newcomer_prior": 0},
        {"newcomer_window": 1},
        {"severity_cap": 5 * Q16_ONE},
        {"weak_from": 0},
        {"strong_full": 0},
        {"lift_half": 0},
        {"doubt_half": 0},
        {"attested_weight": 0},
        {"interval_weight": 0},
        {"points_base": 900},
        {"points_per_doubling": 0},
        {"recent_days": 9_000},
    ],
)
def test_a_model_that_contradicts_itself_is_refused(change):
    check_model(FIRST_MODEL)
    with pytest.raises(Malformed, match=next(iter(change))):
        check_model(msgspec.structs.replace(FIRST_MODEL, **change))
