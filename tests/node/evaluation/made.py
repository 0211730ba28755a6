"""Made-up events for tests of the evaluation."""

import random

from ledger.parameters import Scale
from node.evaluation.events import DataSet, Event

START_MS = 1_500_000_000_000
HOUR_MS = 3_600_000
SCALE = Scale("evaluated", 0, 20, 10, 11)


def event(place, rated="w", rater="c", *, good=True, time_ms=None, grade=None, **other):
    fields = {"platform": 1, "format": "gig", "domain": "trade", **other}
    return Event(
        place=place,
        time_ms=START_MS + place * HOUR_MS if time_ms is None else time_ms,
        rater=rater,
        rated=rated,
        good=good,
        grade=grade,
        **fields,
    )


def data_of(events, *, basis="counterparty", scale=SCALE, verified=("c0",), platforms=("p",)):
    return DataSet(
        name="made",
        title="made up",
        note="",
        basis=basis,
        scale=scale,
        verified=frozenset(verified),
        platforms=platforms,
        domains=("trade",),
        events=tuple(events),
        dropped={},
    )


def market(count=600, seed=3, people=40):
    """A market in which some are good and some are not; everybody rates everybody."""
    draw = random.Random(seed)
    skill = [0.02 if nth % 5 == 0 else 0.99 for nth in range(people)]
    made = []
    for place in range(count):
        rated, rater = draw.sample(range(people), 2)
        good = draw.random() < skill[rated]
        grade = draw.randrange(11, 21) if good else draw.randrange(0, 10)
        made.append(event(place, f"c{rated}", f"c{rater}", good=good, grade=grade))
    return data_of(made)
