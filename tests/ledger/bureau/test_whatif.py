"""What would be: by the real model, and only what a person can do."""

from dataclasses import replace

import pytest

from ledger.bureau.model import FIRST_MODEL
from ledger.bureau.score import score
from ledger.bureau.standing import NEW_PLATFORM, OFFSET_ZERO
from ledger.bureau.whatif import (
    STEPS,
    TELLERS,
    Asked,
    base_rate,
    compare,
    counterfactuals,
    distinguishable,
    information_value,
    outlook,
)
from ledger.parameters import Parameters
from tests.ledger.bureau.facts import (
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


def asked(files, **other):
    return Asked(files, None, PARAMETERS, question(**other))


def test_more_good_work_leads_where_the_model_leads():
    files = own(*(good(f"{n}", NOW - n * DAY) for n in range(5)), bad("x", NOW - 3 * DAY))
    found = counterfactuals(asked(files))
    assert [each.engagements for each in found] == list(STEPS)
    truth = ask(own(*(each for each in [[*files[0].facts]]), good("new")))
    assert (found[0].points, found[0].low_q16) == (truth.points, truth.low_q16)
    assert ask(files).points < found[0].points < found[2].points


def test_a_thin_file_becomes_one_with_points():
    found = counterfactuals(asked(own()))
    assert found[0].points is None
    assert found[2].points is not None


@pytest.mark.parametrize("teller", TELLERS)
def test_a_client_can_do_better_too(teller):
    now = ask(own(), role="client")
    found = counterfactuals(asked(own(), role="client"), teller)
    assert found[2].low_q16 > found[0].low_q16 > now.low_q16


def test_about_a_client_it_is_the_worker_who_tells():
    sides = {"worker": name("new"), "client": ME}
    told = [
        opened("new", NOW, **sides),
        closed("new", NOW, basis="counterparty"),
        rated("new", 5, NOW, direction="of-client", rater=name("new"), told=(1, FULL, 0)),
    ]
    truth = ask(own(told), role="client")
    found = counterfactuals(asked(own(), role="client"), "new-counterparty")[0]
    assert (found.low_q16, found.high_q16) == (truth.low_q16, truth.high_q16)


def test_without_scales_and_domains_it_is_answered_too():
    bare = Parameters(1, FIRST_MODEL, (), ())
    for role in ("worker", "client"):
        told = replace(asked(own(good("a")), role=role), parameters=bare)
        assert len(outlook(told).information) == len(TELLERS)


@pytest.mark.parametrize("domain", ["", "software"])
def test_all_at_once_is_what_each_question_gives(domain):
    files = own(*(good(f"{n}", NOW - n * DAY) for n in range(4)), bad("x", NOW - 2 * DAY))
    told = asked(files, domain=domain)
    whole = outlook(told)
    assert whole.answer == ask(files, domain=domain)
    assert whole.information == information_value(told)
    for teller in TELLERS:
        each = tuple(one for one in whole.counterfactuals if one.teller == teller)
        assert each == counterfactuals(told, teller)
    assert [one.engagements for one in whole.counterfactuals[:: len(TELLERS)]] == list(STEPS)


def test_the_base_rate_is_the_score_of_nothing_known():
    assert base_rate(None, "worker", FIRST_MODEL).points == ask(own()).base_points
    known = replace_tally(newcomers=1_000, newcomers_good=500, offset_strong=OFFSET_ZERO - 9_000)
    found = base_rate(known, "worker", FIRST_MODEL)
    assert (found.good, found.results, found.offset_q16) == (500, 1_000, -9_000)
    assert found.probability_q16 < found.rate_q16
    answer = ask(own(*(good(f"{n}") for n in range(9))), known)
    steps = {each.code: each.points for each in answer.reasons}
    moved = steps.get("platform-newcomers", 0) + steps.get("platform-offset", 0)
    assert found.points == answer.base_points + moved
    assert base_rate(known, "client", FIRST_MODEL) == base_rate(None, "worker", FIRST_MODEL)


def replace_tally(**changes):
    fields = {each: getattr(NEW_PLATFORM, each) for each in NEW_PLATFORM.__struct_fields__}
    return type(NEW_PLATFORM)(**{**fields, **changes})


def test_what_tells_most_is_first_and_a_known_counterparty_tells_less_than_a_new_one():
    found = information_value(asked(own(good("a"), good("b"), bad("c"))))
    assert [each.width_q16 for each in found] == sorted(each.width_q16 for each in found)
    by = {each.teller: each.width_q16 for each in found}
    assert by["new-counterparty"] <= by["known-counterparty"]


def test_the_files_asked_about_are_left_as_they_were():
    files = own(good("a"), good("b"))
    before = score(files, None, PARAMETERS, question())
    counterfactuals(asked(files))
    information_value(asked(files))
    assert score(files, None, PARAMETERS, question()) == before


def test_intervals_that_overlap_are_not_told_apart():
    fine = ask(own(*(good(f"{n}") for n in range(60))))
    poor = ask(own(*(bad(f"{n}") for n in range(60))))
    thin = ask(own())
    assert distinguishable(fine, poor)
    assert not distinguishable(fine, thin)
    assert compare([poor, fine, fine]) == ((1, 2), (0,))
    assert compare([]) == ()
