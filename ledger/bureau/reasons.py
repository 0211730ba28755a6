"""Reasons: the path from a newcomer's points to the answer's, one group of evidence at a time.

Each step recomputes the points with one more group than the step before; a reason's points are the
difference that its group makes. So all of them add up to points − base points exactly, whatever was
rounded or held to the scale on the way. Steps, in this order:

    (base)                      the model's newcomer, with no evidence
    platform-newcomers          + the rate of newcomers on the subject's platform
    platform-offset             + how the platform's results differ of late
    good-outcomes               + good results here and in the domain, undecayed, at full word
    few-strong-counterparties   … each at the weight of the word of who told it, and of its pair
    weak-evidence-capped        … the words that are not strong held to their caps
    idle-decay                  … with decay
    other-domains               + good results here, outside the domain
    other-platforms             + good results from linked files
    old-bad-outcomes            + bad results of `recent_days` or older
    recent-bad-outcomes         + the other bad results: this is the answer

At most four are shown, the largest first (ties in the order above). Of more than four the three
largest are, and all that follows is folded into `other`.
"""

from ledger.bureau.answer import REASONS_SHOWN_MAX, Reason
from ledger.bureau.belief import Basis, Belief, believe
from ledger.bureau.model import Model
from ledger.bureau.prior import points_of
from ledger.bureau.weights import MASS_MAX_Q16, Groups, Mass, Sums

_NOTHING = Sums()


def basis_of(good: Sums, bad: Sums, last_word: int, rate: int, offset: int) -> Basis:
    """The basis of a probability on sums of good and of bad evidence, both decayed."""
    return Basis(
        good=good.decayed(),
        bad=bad.decayed(),
        lasting_good=min(MASS_MAX_Q16, good.lasting >> 14),
        lasting_bad=min(MASS_MAX_Q16, bad.lasting >> 14),
        last_word=last_word,
        rate=rate,
        offset=offset,
    )


def explain(
    groups: Groups, rate: int, offset: int, belief: Belief, model: Model
) -> tuple[int, tuple[Reason, ...]]:
    """The points of a newcomer, and the reasons that lead from them to those of this evidence.

    `belief`: the answer's, of all groups.
    """
    start, *path = _path(groups, rate, offset, belief, model)
    deltas: list[Reason] = []
    before = start[1]
    for code, points in path:
        if points != before:
            deltas.append(Reason(code, points - before))
        before = points
    return start[1], _fold(deltas)


def _path(
    groups: Groups, rate: int, offset: int, belief: Belief, model: Model
) -> list[tuple[str, int]]:
    here, home = groups.here, groups.here + groups.beyond
    good = home + groups.elsewhere

    def points(mass: Mass, rate: int = rate, offset: int = offset) -> int:
        return _points(believe(Basis(mass, Mass(), 0, 0, 0, rate, offset), model), model)

    old = believe(basis_of(good, groups.old, 0, rate, offset), model)
    return [
        ("", points(Mass(), model.newcomer_rate, 0)),
        ("platform-newcomers", points(Mass(), rate, 0)),
        ("platform-offset", points(Mass())),
        ("good-outcomes", points(here.in_full())),
        ("few-strong-counterparties", points(here.trusted())),
        ("weak-evidence-capped", points(here.undecayed())),
        ("idle-decay", points(here.decayed())),
        ("other-domains", points(home.decayed())),
        ("other-platforms", points(good.decayed())),
        ("old-bad-outcomes", _points(old, model)),
        ("recent-bad-outcomes", _points(belief, model)),
    ]


def _points(belief: Belief, model: Model) -> int:
    return points_of(belief.probability_q16, model)


def _fold(deltas: list[Reason]) -> tuple[Reason, ...]:
    ranked = sorted(deltas, key=lambda reason: -abs(reason.points))
    if len(ranked) <= REASONS_SHOWN_MAX:
        return tuple(ranked)
    shown, rest = ranked[: REASONS_SHOWN_MAX - 1], ranked[REASONS_SHOWN_MAX - 1 :]
    other = sum(reason.points for reason in rest)
    return (*shown, Reason("other", other)) if other else tuple(shown)
