"""What would be, by the real model: counterfactuals, what tells most, and who can be told apart.

Beside the score, never in a proven answer: pure functions of what the score reads. What might
happen is appended to the subject's own file as an engagement that ends at `as_of`, and the score is
asked again. Only what a person can do is asked for: more work that is completed, accepted and on
time; nothing is ever taken out of a file.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from ledger.bureau.answer import Answer, Question
from ledger.bureau.evidence import Fact, OpenFile
from ledger.bureau.model import Q16_ONE
from ledger.bureau.score import score
from ledger.bureau.standing import Annotation, PlatformTally
from ledger.encoding import Value
from ledger.hashing import sha256
from ledger.parameters import Parameters
from ledger.records.engagement import EngagementOpen, EngagementOutcome

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
    """So many more engagements, completed, accepted and on time, and where they would lead.

    `points` is nil where the file would still be thin.
    """

    engagements: int
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


def counterfactuals(asked: Asked, teller: Teller = "platform") -> tuple[Counterfactual, ...]:
    """What 1, 3 and 10 more good engagements in the domain would make of the answer.

    Raises:
        InvalidInput: the domain asked about does not exist.
    """
    return tuple(_counterfactual(asked, count, teller) for count in STEPS)


def information_value(asked: Asked) -> tuple[Information, ...]:
    """Which next engagement narrows the interval most, the best first (ties in TELLERS' order).

    The expected width: that after a good result and that after a bad one, weighed by the
    probability that the interval's own middle gives where the file is thin.

    Raises:
        InvalidInput: the domain asked about does not exist.
    """
    now = score(asked.files, asked.summary, asked.parameters, asked.question)
    chance = now.probability_q16
    if chance is None:
        chance = (now.low_q16 + now.high_q16) // 2
    found = []
    for teller in TELLERS:
        good, bad = (_width(_after(asked, 1, teller, good=each)) for each in (True, False))
        width = (good * chance + bad * (Q16_ONE - chance)) >> 16
        found.append(Information(teller, width, max(0, _width(now) - width)))
    return tuple(sorted(found, key=lambda each: each.width_q16))


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


def _counterfactual(asked: Asked, count: int, teller: Teller) -> Counterfactual:
    answer = _after(asked, count, teller, good=True)
    return Counterfactual(count, answer.points, answer.low_q16, answer.high_q16)


def _after(asked: Asked, count: int, teller: Teller, *, good: bool) -> Answer:
    """The answer after so many more engagements of one kind."""
    facts = [fact for nth in range(count) for fact in _engagement(asked, nth, teller, good=good)]
    own = (asked.question.platform, asked.question.handle)
    files = [
        replace(file, facts=[*file.facts, *facts]) if (file.platform, file.handle) == own else file
        for file in asked.files
    ]
    return score(files, asked.summary, asked.parameters, asked.question)


def _engagement(asked: Asked, nth: int, teller: Teller, *, good: bool) -> tuple[Fact, Fact]:
    question = asked.question
    other = sha256(b"standing what if", question.handle, nth.to_bytes(4))
    is_worker = question.role == "worker"
    domain = question.domain or asked.parameters.domains[0].code
    opened = EngagementOpen(
        platform=question.platform,
        at=question.as_of,
        reference=other,
        worker=question.handle if is_worker else other,
        client=other if is_worker else question.handle,
        format="freelance",
        domains=(domain,),
        role="lead",
        due_from=question.as_of,
        due_until=question.as_of,
        value_band=0,
    )
    closed = EngagementOutcome(
        platform=question.platform,
        at=question.as_of,
        reference=other,
        status="completed" if good else "late",
        fault="none" if good else question.role,
        lateness_band=0 if good else 1,
        acceptance="accepted" if good else "unknown",
        basis="platform" if teller == "platform" else "counterparty",
    )
    told = Annotation(nth + 2 if teller == "known-counterparty" else 1, Q16_ONE - 1, 0)
    time = question.as_of
    return Fact(time, opened, None), Fact(time, closed, told)
