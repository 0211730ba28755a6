"""What would be, by the real model: counterfactuals, what tells most, and who can be told apart.

Beside the score, never in a proven answer: pure functions of what the score reads. What might
happen is appended to the subject's own file as an engagement that ends at `as_of`, and the score is
asked again. Only what a person can do is asked for: more work that is completed, accepted and on
time; nothing is ever taken out of a file.

The files are folded once; each question after that folds only what it adds to them, and weighs all
anew. `outlook` asks 13 times in all. Section 10 of `ledger/bureau/README.md` is its specification.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ledger.bureau.answer import Answer, Question, SubjectRole
from ledger.bureau.belief import believe
from ledger.bureau.evidence import Fact, Folded, OpenFile, fold
from ledger.bureau.model import Q16_ONE, Model
from ledger.bureau.offset import offset_of
from ledger.bureau.prior import newcomer_rate, points_of
from ledger.bureau.reasons import basis_of
from ledger.bureau.score import conclude
from ledger.bureau.standing import Annotation, PlatformTally
from ledger.bureau.weights import Sums
from ledger.encoding import Value
from ledger.hashing import sha256
from ledger.parameters import Parameters
from ledger.records.engagement import EngagementOpen, EngagementOutcome
from ledger.records.rating import Rating

Teller = Literal["platform", "new-counterparty", "known-counterparty"]
"""On whose word a result would be: the platform's, or that of somebody of full standing, who has
or has not told of the subject before."""

STEPS: Final = (1, 3, 10)
TELLERS: Final[tuple[Teller, ...]] = ("platform", "new-counterparty", "known-counterparty")


@dataclass(frozen=True, slots=True)
class Asked:
    """All that an answer is made of, besides what might happen."""

    files: Sequence[OpenFile]
    summary: PlatformTally | None
    parameters: Parameters
    question: Question


class Counterfactual(Value):
    """So many more engagements, completed, accepted and on time, on the word of `teller`, and
    where they would lead.

    `points` is nil where the file would still be thin.
    """

    engagements: int
    teller: Teller
    points: int | None
    low_q16: int
    high_q16: int


class Information(Value):
    """How wide the interval would be, on average, after one more engagement told by `teller`.

    `narrower_q16`: by how much that is narrower than now, 0 if it is not.
    """

    teller: Teller
    width_q16: int
    narrower_q16: int


class BaseRate(Value):
    """What the model says of somebody on a platform of whom nothing is known.

    `rate_q16`: of good results among newcomers, drawn to the model's; `good` of `results` are those
    that the platform's tally counts. `probability_q16` and `points`: with the platform's offset,
    which is in doublings of the odds (signed Q16).
    """

    rate_q16: int
    good: int
    results: int
    offset_q16: int
    probability_q16: int
    points: int


@dataclass(frozen=True, slots=True)
class Outlook:
    """The answer, and what would be: by steps and tellers in their order; what tells most."""

    answer: Answer
    counterfactuals: tuple[Counterfactual, ...]
    information: tuple[Information, ...]


def base_rate(summary: PlatformTally | None, role: SubjectRole, model: Model) -> BaseRate:
    """The base rate of a platform, by its summary as the index holds it (None: it holds none).

    A platform's tally is of workers: a client's base rate is the model's.
    """
    known = summary if role == "worker" else None
    rate, offset = newcomer_rate(known, model), offset_of(known)
    nothing = basis_of(Sums(), Sums(), 0, rate, offset)
    probability = believe(nothing, model).probability_q16
    good, results = (0, 0) if known is None else (known.newcomers_good, known.newcomers)
    return BaseRate(rate, good, results, offset, probability, points_of(probability, model))


def outlook(asked: Asked) -> Outlook:
    """The answer, all counterfactuals, and which next engagement narrows the interval most.

    Raises:
        InvalidInput: the domain asked about, or a rating's scale, does not exist.
    """
    ground = _Ground(asked)
    found = tuple(_counterfactual(ground, count, each) for count in STEPS for each in TELLERS)
    return Outlook(ground.now, found, _information(ground))


def counterfactuals(asked: Asked, teller: Teller = "platform") -> tuple[Counterfactual, ...]:
    """What 1, 3 and 10 more good engagements in the domain would make of the answer.

    Raises:
        InvalidInput: the domain asked about, or a rating's scale, does not exist.
    """
    ground = _Ground(asked)
    return tuple(_counterfactual(ground, count, teller) for count in STEPS)


def information_value(asked: Asked) -> tuple[Information, ...]:
    """Which next engagement narrows the interval most, the best first (ties in TELLERS' order).

    The expected width: that after a good result and that after a bad one, weighed by the
    probability, or by what the interval's own middle gives where the file is thin.

    Raises:
        InvalidInput: the domain asked about, or a rating's scale, does not exist.
    """
    return _information(_Ground(asked))


def distinguishable(first: Answer, second: Answer) -> bool:
    """Whether the 90 % intervals of two answers do not overlap."""
    return first.low_q16 > second.high_q16 or second.low_q16 > first.high_q16


def compare(answers: Sequence[Answer]) -> tuple[tuple[int, ...], ...]:
    """Places of the answers in groups, the highest first: who stands with the leader of a group
    cannot be told apart from it. Thin files, which have no point, go by the interval's middle."""
    order = sorted(range(len(answers)), key=lambda place: (-_height(answers[place]), place))
    groups: list[list[int]] = []
    for place in order:
        if groups and not distinguishable(answers[groups[-1][0]], answers[place]):
            groups[-1].append(place)
        else:
            groups.append([place])
    return tuple(tuple(group) for group in groups)


def _height(answer: Answer) -> int:
    if answer.probability_q16 is not None:
        return answer.probability_q16
    return (answer.low_q16 + answer.high_q16) // 2


def _width(answer: Answer) -> int:
    return answer.high_q16 - answer.low_q16


class _Ground:
    """What is asked, its files folded; answers that were given already."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._folded = fold(asked.files, asked.question, asked.parameters)
        self._found: dict[tuple[int, Teller, bool], Answer] = {}
        self.now = self._conclude(self._folded)

    def after(self, count: int, teller: Teller, *, good: bool) -> Answer:
        """The answer after so many more engagements of one kind."""
        key = count, teller, good
        if key not in self._found:
            self._found[key] = self._conclude(self._with(_engagements(self._asked, *key)))
        return self._found[key]

    def _with(self, facts: list[Fact]) -> Folded:
        question = self._asked.question
        own = OpenFile(question.platform, question.handle, facts)
        more, now = fold([own], question, self._asked.parameters), self._folded
        return Folded(
            evidence=now.evidence + more.evidence,
            engagements=now.engagements + more.engagements,
            neutral=now.neutral + more.neutral,
            open=now.open + more.open,
            overdue=now.overdue + more.overdue,
            retrospective=now.retrospective + more.retrospective,
            erased=now.erased + more.erased,
        )

    def _conclude(self, folded: Folded) -> Answer:
        asked = self._asked
        return conclude(folded, len(asked.files), asked.summary, asked.parameters, asked.question)


def _counterfactual(ground: _Ground, count: int, teller: Teller) -> Counterfactual:
    answer = ground.after(count, teller, good=True)
    return Counterfactual(count, teller, answer.points, answer.low_q16, answer.high_q16)


def _information(ground: _Ground) -> tuple[Information, ...]:
    now = ground.now
    chance = now.probability_q16
    if chance is None:
        chance = (now.low_q16 + now.high_q16) // 2
    found = []
    for teller in TELLERS:
        good, bad = (_width(ground.after(1, teller, good=each)) for each in (True, False))
        width = (good * chance + bad * (Q16_ONE - chance)) >> 16
        found.append(Information(teller, width, max(0, _width(now) - width)))
    return tuple(sorted(found, key=lambda each: each.width_q16))


def _engagements(asked: Asked, count: int, teller: Teller, good: bool) -> list[Fact]:
    return [fact for nth in range(count) for fact in _engagement(asked, nth, teller, good=good)]


def _engagement(asked: Asked, nth: int, teller: Teller, *, good: bool) -> list[Fact]:
    """An open and its outcome. About a client it is the worker who tells: by a rating."""
    question = asked.question
    time, other = question.as_of, sha256(b"standing what if", question.handle, nth.to_bytes(4))
    is_worker = question.role == "worker"
    opened = EngagementOpen(
        platform=question.platform,
        at=time,
        reference=other,
        worker=question.handle if is_worker else other,
        client=other if is_worker else question.handle,
        format="freelance",
        domains=(question.domain or "work",),
        role="lead",
        due_from=time,
        due_until=time,
        value_band=0,
    )
    closed = EngagementOutcome(
        platform=question.platform,
        at=time,
        reference=other,
        status="completed" if good else "late",
        fault="none" if good else question.role,
        lateness_band=0 if good else 1,
        acceptance="accepted" if good else "unknown",
        basis="platform" if teller == "platform" else "counterparty",
    )
    told = Annotation(nth + 2 if teller == "known-counterparty" else 1, Q16_ONE - 1, 0)
    facts = [Fact(time, opened, None), Fact(time, closed, told)]
    if not is_worker and teller != "platform" and asked.parameters.scales:
        scale = asked.parameters.scales[0]
        value = scale.high if good else scale.middle
        rating = Rating(
            question.platform, time, other, "of-client", other, b"", scale.code, value, ()
        )
        facts.append(Fact(time, rating, told))
    return facts
