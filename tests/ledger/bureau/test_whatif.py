"""What would be: by the real model, and only what a person can do."""

from ledger.bureau.score import score
from ledger.bureau.whatif import (
    STEPS,
    Asked,
    compare,
    counterfactuals,
    distinguishable,
    information_value,
)
from tests.ledger.bureau.facts import DAY, NOW, PARAMETERS, ask, bad, good, own, question


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


def test_a_client_can_do_better_too():
    found = counterfactuals(asked(own(), role="client"))
    assert found[2].points is not None


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
