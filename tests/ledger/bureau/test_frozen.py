"""Frozen answers: what another implementation of the specification has to give, bit for bit."""

import pytest

from ledger.bureau.evidence import OpenFile
from ledger.bureau.standing import OFFSET_ZERO, PlatformTally
from tests.ledger.bureau.facts import (
    DAY,
    FULL,
    ME,
    NOW,
    ask,
    bad,
    closed,
    good,
    name,
    opened,
    own,
    rated,
)


def mixed():
    """Attested and told, good and bad, old and new, near and far, here and elsewhere."""
    mine = [
        *(fact for n in range(12) for fact in good(f"g{n}", NOW - n * 17 * DAY)),
        *(
            fact
            for n in range(5)
            for fact in good(
                f"w{n}", NOW - n * 40 * DAY, basis="counterparty", told=(n + 1, 9_000 * n, 0)
            )
        ),
        *bad("b1", NOW - 30 * DAY),
        rated("b1", 2, NOW - 30 * DAY, told=(2, 40_000, 0)),
        *bad("b2", NOW - 900 * DAY, told=(1, FULL, 1)),
        opened("d", NOW - 9 * DAY, domains=("care",)),
        closed("d", NOW - 9 * DAY),
    ]
    other = name("elsewhere")
    there = [
        fact
        for n in range(6)
        for at in [NOW - n * 9 * DAY]
        for fact in (
            opened(f"x{n}", at, platform=2, worker=other, domains=("software.data",)),
            closed(f"x{n}", at, platform=2),
        )
    ]
    return [OpenFile(1, ME, mine), OpenFile(2, other, there)]


TALLY = PlatformTally(
    opened=90,
    closed=80,
    newcomers=70,
    newcomers_good=55,
    overdue=1,
    offset_strong=OFFSET_ZERO + 9_000,
    offset_other=OFFSET_ZERO,
)


@pytest.mark.parametrize(
    ("files", "tally", "domain", "numbers", "reasons"),
    [
        (own([]), None, "", (None, None, 298, 65_534, 531, 0), {"thin-file": 0}),
        (
            mixed(),
            TALLY,
            "software.web",
            (54_910, 518, 39_456, 64_287, 531, 1_089_376),
            {
                "good-outcomes": 181,
                "few-strong-counterparties": -77,
                "recent-bad-outcomes": -57,
                "other": -60,
            },
        ),
        (
            mixed(),
            None,
            "",
            (56_458, 532, 43_156, 64_431, 531, 1_229_625),
            {
                "good-outcomes": 178,
                "few-strong-counterparties": -73,
                "recent-bad-outcomes": -68,
                "other": -36,
            },
        ),
    ],
    ids=["newcomer", "one-domain", "all-work"],
)
def test_answers_do_not_change(files, tally, domain, numbers, reasons):
    found = ask(files, tally, domain=domain)
    assert numbers == (
        found.probability_q16,
        found.points,
        found.low_q16,
        found.high_q16,
        found.base_points,
        found.evidence.weight_q16,
    )
    assert [(each.code, each.points) for each in found.reasons] == list(reasons.items())
