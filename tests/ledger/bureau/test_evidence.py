"""Files folded into evidence: counted once, by whom, in which role."""

import pytest

from ledger.bureau.evidence import OpenFile, fold
from ledger.bureau.model import FIRST_MODEL
from ledger.errors import InvalidInput
from tests.ledger.bureau.facts import (
    CLIENT,
    DAY,
    ME,
    NOW,
    PARAMETERS,
    bad,
    closed,
    good,
    name,
    opened,
    own,
    question,
    rated,
)


def folded(files, **other):
    return fold(files, question(**other), PARAMETERS)


def test_an_engagement_with_outcome_and_rating_counts_once():
    found = folded(own([*good("a"), rated("a", 1)]))
    assert [each.sign for each in found.evidence] == [1]
    assert found.engagements == 1


def test_severity_comes_from_the_rating_where_the_outcome_declares_the_fault():
    declared = closed("a", acceptance="rejected", fault="worker")
    undeclared = closed("b", acceptance="rejected", fault="none")
    found = folded(own([opened("a"), declared, rated("a", 1)]))
    assert found.evidence[0].excess_q16 == FIRST_MODEL.severity_slope
    found = folded(own([opened("b"), undeclared, rated("b", 1)]))
    assert (found.evidence[0].sign, found.evidence[0].excess_q16) == (-1, 0)


def test_a_rating_alone_is_a_word_and_never_attested():
    [each] = folded(own([opened("a"), rated("a", 2, told=(3, 77, 1))])).evidence
    assert (each.sign, each.attested, each.pair_count, each.standing_q16) == (-1, False, 3, 77)
    assert each.retrospective
    assert each.excess_q16 == 0


def test_a_middling_rating_alone_is_neutral():
    found = folded(own([opened("a"), rated("a", 3)]))
    assert (found.neutral, found.evidence) == (1, [])


@pytest.mark.parametrize("status", ["cancelled-by-client", "force-majeure", "unresolved"])
def test_neutral_outcomes_are_counted_and_weigh_nothing(status):
    found = folded(own([opened("a"), closed("a", status=status, acceptance="unknown")]))
    assert (found.engagements, found.neutral, found.evidence) == (1, 1, [])


def test_an_open_engagement_is_overdue_after_its_window_and_never_evidence():
    files = own([opened("a", NOW - 3 * DAY), opened("b")])
    found = folded(files)
    assert (found.open, found.overdue, found.evidence) == (2, 1, [])


def test_what_stands_in_the_file_after_as_of_is_not_there_yet():
    files = own(good("a", NOW - DAY), bad("b", NOW))
    assert [each.sign for each in folded(files, as_of=NOW - 1).evidence] == [1]


def test_basis_tells_who_is_believed():
    files = own(good("a"), good("b", basis="counterparty", told=(7, 99, 0)))
    one, two = folded(files).evidence
    assert (one.attested, two.attested) == (True, False)
    assert (two.pair_count, two.standing_q16) == (7, 99)


def test_a_clients_file_reads_faults_and_ratings_of_the_client():
    facts = [
        *good("a"),
        rated("a", 5, direction="of-client", rater=ME, told=(2, 123, 0)),
        rated("a", 1),
        opened("b"),
        closed("b", status="cancelled-by-client", fault="client", acceptance="unknown"),
    ]
    found = folded([OpenFile(1, CLIENT, facts)], handle=CLIENT, role="client")
    assert [each.sign for each in found.evidence] == [1, -1]
    assert found.evidence[0].standing_q16 == 123
    assert found.evidence[1].standing_q16 == 0
    assert folded([OpenFile(1, CLIENT, facts)], handle=CLIENT).engagements == 0


def test_linked_files_count_as_elsewhere_and_self_dealing_counts_nothing():
    other = name("me elsewhere")
    there = [
        opened("x", platform=2, worker=other, client=name("c2")),
        closed("x", platform=2),
    ]
    files = [*own(good("a")), OpenFile(2, other, there)]
    assert [each.elsewhere for each in folded(files).evidence] == [False, True]
    mine = [OpenFile(1, ME, good("a")), OpenFile(1, CLIENT, good("a"))]
    assert folded(mine).engagements == 0


def test_domains():
    files = own(
        [opened("a", domains=("software.web",)), closed("a")],
        [opened("b", domains=("software.data",)), closed("b")],
        [opened("c", domains=("care",)), closed("c")],
        [opened("d", domains=("care", "software.web")), closed("d")],
        [opened("e", domains=("software",)), closed("e")],
    )
    near = [each.nearness for each in folded(files, domain="software.web").evidence]
    assert near == ["on", "near", "far", "on", "near"]
    whole = [each.nearness for each in folded(files, domain="software").evidence]
    assert whole == ["on", "on", "far", "on", "on"]
    assert {each.nearness for each in folded(files, domain="work").evidence} == {"on"}
    assert {each.nearness for each in folded(files).evidence} == {"on"}
    with pytest.raises(InvalidInput, match="there is no domain magic"):
        folded(files, domain="magic")


def test_a_scale_that_nobody_registered_is_refused():
    with pytest.raises(InvalidInput, match="scale"):
        folded(own([opened("a"), rated("a", scale="smiles")]))
