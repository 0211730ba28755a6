"""Reasons: the path from a newcomer's points to the answer's, one group of evidence at a time.

Each step recomputes the points with one more group than the step before; a reason's points are the
difference that its group makes. So all of them add up to points − base points exactly, whatever was
rounded or held to the scale on the way. Steps, in this order:

    (base)                      the model's newcomer, with no evidence
    platform-newcomers          + the rate of newcomers on the subject's platform
    good-outcomes               + good results here and in the domain, undecayed, at full word
    few-strong-counterparties   … each at the weight of the word of who told it, and of its pair
    weak-evidence-capped        … the weak words held to the cap
    idle-decay                  … with decay
    other-domains               + good results here, outside the domain
    other-platforms             + good results from linked files
    old-bad-outcomes            + bad results of `recent_days` or older
    recent-bad-outcomes         + the other bad results: this is the answer

At most four are shown, the largest first (ties in the order above). Of more than four the three
largest are, and all that follows is folded into `other`.
"""

from collections.abc import Sequence

from ledger.bureau.answer import REASONS_SHOWN_MAX, Reason
from ledger.bureau.model import Model
from ledger.bureau.prior import Prior, points_of, probability_of
from ledger.bureau.weights import Weighed, is_recent, mass, plain_mass


def explain(
    good: Sequence[Weighed], bad: Sequence[Weighed], base: Prior, prior: Prior, model: Model
) -> tuple[int, tuple[Reason, ...]]:
    """The points of a newcomer, and the reasons that lead from them to those of this evidence."""
    start, *path = _path(good, bad, base, prior, model)
    deltas: list[Reason] = []
    before = start[1]
    for code, points in path:
        if points != before:
            deltas.append(Reason(code, points - before))
        before = points
    return start[1], _fold(deltas)


def _path(
    good: Sequence[Weighed], bad: Sequence[Weighed], base: Prior, prior: Prior, model: Model
) -> list[tuple[str, int]]:
    home = [each for each in good if not each.evidence.elsewhere]
    here = [each for each in home if each.evidence.nearness == "on"]
    old = [each for each in bad if not is_recent(each, model)]
    everything = mass(good, model)

    def points(prior: Prior, good_mass: int, bad_mass: int) -> int:
        return points_of(probability_of(prior, good_mass, bad_mass), model)

    return [
        ("", points(base, 0, 0)),
        ("platform-newcomers", points(prior, 0, 0)),
        ("good-outcomes", points(prior, plain_mass(here), 0)),
        ("few-strong-counterparties", points(prior, mass(here, model, decay=False, cap=False), 0)),
        ("weak-evidence-capped", points(prior, mass(here, model, decay=False), 0)),
        ("idle-decay", points(prior, mass(here, model), 0)),
        ("other-domains", points(prior, mass(home, model), 0)),
        ("other-platforms", points(prior, everything, 0)),
        ("old-bad-outcomes", points(prior, everything, mass(old, model))),
        ("recent-bad-outcomes", points(prior, everything, mass(bad, model))),
    ]


def _fold(deltas: list[Reason]) -> tuple[Reason, ...]:
    ranked = sorted(deltas, key=lambda reason: -abs(reason.points))
    if len(ranked) <= REASONS_SHOWN_MAX:
        return tuple(ranked)
    shown, rest = ranked[: REASONS_SHOWN_MAX - 1], ranked[REASONS_SHOWN_MAX - 1 :]
    other = sum(reason.points for reason in rest)
    return (*shown, Reason("other", other)) if other else tuple(shown)
