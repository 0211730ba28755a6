"""Honest newcomers who are turned away, and dishonest ones who are not, by one bar.

A *newcomer* is a subject whose first event lies in the part that is measured, with at least 5
events there: *honest* if at least 95 % of them are good, *dishonest* if at most half are. After k
of them it is turned away if what the model says is below the bar: the odds of 4 to 1 at which the
scale has its base.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from node.evaluation.measures import Prediction, rounded

BAR: Final = 0.8
EVENTS_MIN: Final = 5
HONEST_FROM: Final = 0.95
DISHONEST_TO: Final = 0.5
LOOKS: Final = (0, 1, 3, 4)
"""Earlier events at which is looked."""


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """Of so many honest and dishonest newcomers, the shares that are turned away, by the number of
    their earlier events."""

    honest: int
    dishonest: int
    false_rejection: dict[str, float | None]
    true_rejection: dict[str, float | None]


def turned_away(predictions: Sequence[Prediction]) -> TurnedAway:
    """Who is turned away, by a model's predictions of a part."""
    people: defaultdict[tuple[int, str], list[Prediction]] = defaultdict(list)
    for each in predictions:
        if each.event is not None:
            people[each.event.platform, each.event.rated].append(each)
    new = [made for made in people.values() if made[0].earlier == 0 and len(made) >= EVENTS_MIN]
    honest = [made for made in new if _share(made) >= HONEST_FROM]
    dishonest = [made for made in new if _share(made) <= DISHONEST_TO]
    return TurnedAway(len(honest), len(dishonest), _rejected(honest), _rejected(dishonest))


def _share(made: Sequence[Prediction]) -> float:
    return sum(each.good for each in made) / len(made)


def _rejected(people: Sequence[Sequence[Prediction]]) -> dict[str, float | None]:
    return {
        str(look): rounded(
            sum(made[look].probability < BAR for made in people) / len(people) if people else None
        )
        for look in LOOKS
    }
