"""What no ledger should hold, and every bound at its ends: an answer all the same, or a clear no.

Cases are those of `tests/twins/nasty.py`, by seed; there the browser's program answers them, too.
"""

import random
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.bureau import fixed
from ledger.bureau.answer import Answer
from ledger.bureau.evidence import Fact, OpenFile
from ledger.bureau.model import FIRST_MODEL, Q16_ONE, Model
from ledger.bureau.offset import GIVEN_MAX_Q16, Told, moved_offset, weight_lately_q16
from ledger.bureau.score import score
from ledger.bureau.standing import (
    NEW_PLATFORM,
    OFFSET_ZERO,
    SUM_MAX,
    RaterTally,
    after_rating,
    standing,
)
from ledger.encoding import UINT_MAX, encode
from ledger.errors import InvalidInput
from ledger.parameters import Parameters
from tests.ledger.bureau.facts import (
    CLIENT,
    DAY,
    FULL,
    ME,
    NOW,
    PARAMETERS,
    ask,
    bad,
    closed,
    good,
    name,
    opened,
    own,
    question,
    rated,
)
from tests.node.web.js.random_files import Case
from tests.reference.bounded import Bounded
from tests.twins.nasty import TALLY, any_value, nasty_case, nasty_model

seeds = st.integers(0, 2**40)
cases = seeds.map(lambda seed: nasty_case(f"bad {seed}")[1])
small = cases.filter(lambda case: sum(len(file.facts) for file in case.files) < 400)


def answer_to(case: Case) -> Answer | None:
    """The answer, or None where the domain asked about or a rating's scale does not exist."""
    try:
        return score(case.files, case.tally, case.parameters, case.question)
    except InvalidInput:
        return None


def replaced_model(model: Model) -> Parameters:
    """The tests' parameters with another model."""
    return msgspec.structs.replace(PARAMETERS, model=model)


# --- whatever it is, an answer within its bounds ---


@settings(max_examples=150, deadline=None)
@given(small)
def test_whatever_stands_in_a_file_the_answer_is_within_its_bounds(case: Case) -> None:
    told = answer_to(case)
    if told is None:
        return
    model = case.parameters.model
    assert 0 < told.low_q16 <= told.high_q16 < Q16_ONE
    assert (told.probability_q16 is None) == (told.points is None) == told.thin_file
    if told.probability_q16 is not None and told.points is not None:
        assert told.low_q16 <= told.probability_q16 <= told.high_q16
        assert model.points_min <= told.points <= model.points_max
        assert sum(each.points for each in told.reasons) == told.points - told.base_points
    counts = told.evidence
    assert counts.good + counts.bad == counts.attested + counts.strong + counts.weak
    found = counts.good + counts.bad + counts.expired + counts.neutral + counts.open
    assert found == counts.engagements
    assert counts.overdue <= counts.open
    assert all(0 <= value <= UINT_MAX for value in msgspec.structs.astuple(counts))
    assert answer_to(case) == told
    assert len(encode(told)) < 4_096


def bounded(value):
    """The same, with every number in it one that refuses to grow to 2^53."""
    if type(value) is int:
        return Bounded(value)
    if isinstance(value, tuple | list):
        return type(value)(bounded(each) for each in value)
    if isinstance(value, msgspec.Struct):
        return type(value)(*(bounded(getattr(value, each)) for each in value.__struct_fields__))
    if isinstance(value, OpenFile):
        return replace(value, platform=bounded(value.platform), facts=bounded(value.facts))
    if isinstance(value, Fact):
        whole = (bounded(each) for each in (value.time, value.record, value.annotation))
        return Fact(*whole)
    return value


@settings(max_examples=120, deadline=None)
@given(small)
def test_no_intermediate_of_any_model_reaches_2_to_the_53(case: Case) -> None:
    tally = case.tally
    if tally is not None:  # more good newcomers than newcomers: the browser takes BigInt there
        most = min(tally.newcomers, tally.newcomers_good)
        tally = msgspec.structs.replace(tally, newcomers_good=most)
    case = replace(case, tally=tally)
    whole = Case(
        bounded(case.files), bounded(tally), bounded(case.parameters), bounded(case.question)
    )
    root = fixed.isqrt
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(fixed, "isqrt", lambda value: Bounded(root(value)))
        told = answer_to(whole)
    assert told == answer_to(case)


def test_the_longest_closure_stays_below_2_to_the_53() -> None:
    """Every leaf that a closure may have, each sum as large as pieces can make it."""
    engagement = [opened("a", domains=("care",)), closed("a", status="late", fault="worker")]
    worst = rated("a", 1, told=(1, Q16_ONE, 0))
    model = msgspec.structs.replace(
        FIRST_MODEL, severity_slope=64 * Q16_ONE, severity_cap=64 * Q16_ONE, floor_bad=Q16_ONE
    )
    facts = []
    for nth in range(21_845):  # three leaves each of 65,536
        reference = nth.to_bytes(32)
        for fact in (*engagement, worst):
            record = msgspec.structs.replace(fact.record, reference=reference)
            facts.append(replace(fact, record=record))
    told = score([OpenFile(1, ME, facts)], None, replaced_model(bounded(model)), question())
    assert told.evidence.bad == 21_845
    assert told.probability_q16 == 1


# --- zero evidence ---


@settings(max_examples=60, deadline=None)
@given(seeds)
def test_nothing_known_is_said_to_be_so_under_any_model(seed: int) -> None:
    rng = random.Random(seed)
    model = nasty_model(rng)
    model = msgspec.structs.replace(model, thin_evidence=max(1, model.thin_evidence))
    tally = any_value(rng, TALLY) if seed % 3 else None
    told = score(own([]), tally, replaced_model(model), question())
    assert told.thin_file
    assert [each.code for each in told.reasons] == ["thin-file"]
    assert 0 < told.low_q16 <= told.high_q16 < Q16_ONE
    assert told.last_at is None
    counts = msgspec.structs.asdict(told.evidence)
    assert {each: value for each, value in counts.items() if value} == {"files": 1}


@settings(max_examples=40, deadline=None)
@given(small)
def test_what_is_later_than_as_of_is_not_there_yet(case: Case) -> None:
    later = [
        replace(file, facts=[replace(fact, time=case.question.as_of + 1) for fact in file.facts])
        for file in case.files
    ]
    if case.question.as_of == UINT_MAX:
        return
    none = [replace(file, facts=[]) for file in case.files]
    assert answer_to(replace(case, files=tuple(later))) == answer_to(
        replace(case, files=tuple(none))
    )


# --- times ---


@pytest.mark.parametrize("at", [0, 1, NOW - 1, NOW, NOW + 1, UINT_MAX])
@pytest.mark.parametrize("as_of", [0, NOW, UINT_MAX])
def test_all_at_one_instant_before_genesis_or_at_the_end_of_time(at: int, as_of: int) -> None:
    records = [*(good(f"g{n}", at) for n in range(200)), *(bad(f"b{n}", at) for n in range(100))]
    told = ask(own(*records), as_of=as_of)
    if at > as_of:
        assert told.evidence.engagements == 0
        return
    assert told.evidence.engagements == 300
    stopped = as_of - at >= FIRST_MODEL.adverse_stop_days * DAY
    assert (told.evidence.bad, told.evidence.expired) == ((0, 100) if stopped else (100, 0))
    assert told.probability_q16 is not None


# --- impossible histories ---

SOUND = [*(good(f"{n}", NOW - n * DAY) for n in range(6)), bad("x", NOW - 9 * DAY)]


def test_what_belongs_to_no_engagement_of_the_file_changes_nothing() -> None:
    strange = [
        closed("never opened", status="no-show", fault="worker"),
        rated("never opened", 1),
        rated("0", 1, platform=2),
        closed("0", platform=7, status="late", fault="worker"),
    ]
    assert ask(own(*SOUND, strange)) == ask(own(*SOUND))
    assert ask(own(strange, *SOUND)) == ask(own(*SOUND))


def test_an_outcome_before_its_open_is_none() -> None:
    told = ask(own([closed("a"), opened("a")], *SOUND))
    assert told.evidence.open == 1
    assert told.evidence.good == 6


def test_of_two_outcomes_or_ratings_the_later_one_counts() -> None:
    late = closed("a", status="late", fault="worker")
    both = ask(own(*SOUND, [opened("a"), late, closed("a")]))
    assert both == ask(own(*SOUND, [opened("a"), closed("a")]))
    twice = ask(own(*SOUND, [opened("a"), late, rated("a", 5), rated("a", 1)]))
    assert twice == ask(own(*SOUND, [opened("a"), late, rated("a", 1)]))


def test_an_engagement_that_is_opened_again_begins_again() -> None:
    again = [opened("a"), closed("a", status="late", fault="worker"), opened("a")]
    assert ask(own(*SOUND, again)) == ask(own(*SOUND, [opened("a")]))


def test_work_for_oneself_or_of_others_counts_for_nothing() -> None:
    mine = [opened("a", client=ME), closed("a")]
    others = [opened("b", worker=name("somebody")), closed("b")]
    assert ask(own(*SOUND, mine, others)) == ask(own(*SOUND))
    linked = [*own(*SOUND, [opened("a"), closed("a")]), OpenFile(1, CLIENT, [])]
    assert ask(linked).evidence.engagements == 0  # who hires is the same person


def test_unknown_domains_are_refused_when_asked_and_far_when_worked_in() -> None:
    with pytest.raises(InvalidInput, match=r"there is no domain no\.such"):
        ask(own(*SOUND), domain="no.such")
    unknown = [opened("u", domains=("no.such",)), closed("u")]
    told = ask(own(*SOUND, unknown), domain="software.web")
    assert (told.evidence.engagements, told.evidence.off_domain) == (8, 1)
    with pytest.raises(InvalidInput, match="there is no scale"):
        ask(own(*SOUND, [opened("u"), rated("u", scale="no.such")]))


# --- a million records by one rater ---


def test_a_million_ratings_by_one_rater_move_sums_within_their_bounds() -> None:
    rated_one, given_q16 = RaterTally(0, 0, attested=False), 0
    for _ in range(1_000_000):
        rated_one = after_rating(rated_one, Q16_ONE, FULL, given_q16, FIRST_MODEL)
        given_q16 = min(GIVEN_MAX_Q16, given_q16 + Q16_ONE)
    # the n-th adds H / (H + n) of a word, n at most 2^18: H · ln(1 + 2^18 / H), and a little
    assert 0 < rated_one.good_q16 < 12 * FIRST_MODEL.lift_half * Q16_ONE
    assert 0 <= standing(rated_one, FIRST_MODEL) < Q16_ONE


def test_what_one_rater_says_again_and_again_soon_changes_nothing() -> None:
    def told(words: int) -> int:
        praise = (good(f"w{n}", basis="counterparty", told=(n + 1, FULL, 0)) for n in range(words))
        found = ask(own(*SOUND, *praise)).probability_q16
        assert found is not None
        return found

    assert 0 <= told(8_000) - told(400) < 100


tallies = st.builds(
    RaterTally,
    good_q16=st.integers(0, SUM_MAX),
    bad_q16=st.integers(0, SUM_MAX),
    attested=st.booleans(),
)
given_lately = st.integers(0, GIVEN_MAX_Q16)


@settings(deadline=None)
@given(tallies, st.integers(-Q16_ONE, Q16_ONE), st.integers(0, Q16_ONE), given_lately, seeds)
def test_sums_stay_within_their_bounds_whatever_the_rating(
    tally: RaterTally, grade: int, rater: int, given_q16: int, seed: int
) -> None:
    model = bounded(nasty_model(random.Random(seed)))
    after = after_rating(bounded(tally), Bounded(grade), Bounded(rater), Bounded(given_q16), model)
    assert tally.good_q16 <= after.good_q16 <= SUM_MAX
    assert tally.bad_q16 <= after.bad_q16 <= SUM_MAX
    assert 0 <= standing(after, model) < Q16_ONE


words = st.builds(
    Told,
    attested=st.booleans(),
    standing_q16=st.integers(0, Q16_ONE),
    pair_count=st.integers(1, 2**32),
    given_q16=given_lately,
)


@settings(deadline=None)
@given(st.sampled_from([1, -1]), st.integers(0, Q16_ONE), words, seeds)
def test_an_offset_stays_within_its_bounds_whatever_the_result(
    sign: int, expected: int, told: Told, seed: int
) -> None:
    model = bounded(nasty_model(random.Random(seed)))
    told = Told(*(bounded(getattr(told, each)) for each in Told.__slots__))
    strong, other = moved_offset(bounded(NEW_PLATFORM), sign, Bounded(expected), told, model)
    assert abs(strong - OFFSET_ZERO) <= model.offset_max
    assert abs(other - OFFSET_ZERO) <= model.offset_weak_max
    assert 0 <= weight_lately_q16(told, model) <= Q16_ONE
