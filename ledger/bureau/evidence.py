"""Files folded into evidence: each engagement is counted once.

For the subject as a *worker*: the sign comes from the outcome (`worker_sign`), or, where there is
no outcome, from the rating of the worker. The severity of a bad outcome comes from the rating, if
the outcome declares the worker's fault. For the subject as a *client*, the same with the other
direction. An engagement between two handles of one person (one closure of links) counts for
nothing.
An engagement without outcome is open, and overdue once its due window is over: that is the
platform's affair and never evidence about the worker.

What stands in a file after `as_of` (by block time) is not there yet. What is erased counts for
nothing, whatever `as_of` is: nobody can read it any more. How much of that there is, is counted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from ledger.bureau.answer import Question
from ledger.bureau.domains import DomainTree, Nearness
from ledger.bureau.model import Model
from ledger.bureau.standing import (
    Annotation,
    client_sign,
    grade_of,
    severity_excess,
    worker_sign,
)
from ledger.encoding import Value
from ledger.errors import InvalidInput
from ledger.parameters import Parameters, Scale
from ledger.records import TAGS, Record
from ledger.records.engagement import EngagementOpen, EngagementOutcome
from ledger.records.rating import Rating
from ledger.records.subject import SubjectLink

READ_TYPES: Final = frozenset(
    TAGS[kind] for kind in (EngagementOpen, EngagementOutcome, Rating, SubjectLink)
)


_TELLING: Final = (EngagementOutcome, Rating)


class NoAnnotation(Value):
    """The annotation of a record to which execution adds nothing: the empty array."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One opened leaf of a file: its block time (ms), its record, and its annotation if it has one.

    `record` is None for an erased leaf (`ledger/bureau/erased.py`).
    """

    time: int
    record: Record | None
    annotation: Annotation | None


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A subject's file as the score reads it: the leaves of `READ_TYPES`, in log order."""

    platform: int
    handle: bytes
    facts: Sequence[Fact]


class Evidence(msgspec.Struct, frozen=True, gc=False):
    """One engagement that says something about the subject.

    `sign` 1 or −1; `at` when it ended (ms); `attested`: on the platform's own word. `standing_q16`
    and `pair_count` are those of the counterparty's word. `excess_q16` is what the severity adds to
    a bad result, told by `excess_standing_q16` for the `excess_pair_count`-th time. `source` is the
    number of the platform that it comes from.
    """

    sign: int
    at: int
    attested: bool
    standing_q16: int
    pair_count: int
    excess_q16: int
    excess_standing_q16: int
    excess_pair_count: int
    retrospective: bool
    elsewhere: bool
    nearness: Nearness
    source: int = 0


@dataclass(slots=True)
class Folded:
    """What folding yields: the evidence in order of the opens, and counts."""

    evidence: list[Evidence] = field(default_factory=list)
    engagements: int = 0
    neutral: int = 0
    open: int = 0
    overdue: int = 0
    retrospective: int = 0
    erased: int = 0


@dataclass(slots=True)
class _Engagement:
    platform: int
    open: EngagementOpen
    outcome: tuple[EngagementOutcome, Annotation] | None = None
    rating: tuple[Rating, Annotation] | None = None


@dataclass(frozen=True, slots=True)
class _Rules:
    question: Question
    tree: DomainTree
    scales: dict[str, Scale]
    model: Model


def fold(files: Sequence[OpenFile], question: Question, parameters: Parameters) -> Folded:
    """The evidence in a closure of files about the subject of a question.

    Raises:
        InvalidInput: the domain asked about does not exist.
    """
    tree = DomainTree(parameters)
    tree.check(question.domain)
    rules = _Rules(
        question, tree, {each.code: each for each in parameters.scales}, parameters.model
    )
    folded = Folded()
    persons = {(file.platform, file.handle) for file in files}
    for engagement in _gather(files, persons, question, folded):
        folded.engagements += 1
        _judge(engagement, rules, folded)
    return folded


def _gather(
    files: Sequence[OpenFile],
    persons: set[tuple[int, bytes]],
    question: Question,
    folded: Folded,
) -> Iterable[_Engagement]:
    """The engagements in which the subject has the role asked about, with what followed."""
    found: dict[tuple[int, bytes], _Engagement] = {}
    direction = f"of-{question.role}"
    as_of = question.as_of
    for file in files:
        for fact in file.facts:
            if fact.time > as_of:
                continue
            record, annotation = fact.record, fact.annotation
            if isinstance(record, EngagementOpen):
                if _has_role(record, file, persons, question):
                    found[record.platform, record.reference] = _Engagement(file.platform, record)
            elif isinstance(record, _TELLING) and annotation is not None:
                engagement = found.get((record.platform, record.reference))
                if engagement is None:
                    continue
                if isinstance(record, EngagementOutcome):
                    engagement.outcome = record, annotation
                elif record.direction == direction:
                    engagement.rating = record, annotation
            elif record is None:
                folded.erased += 1
    return found.values()


def _has_role(
    opened: EngagementOpen,
    file: OpenFile,
    persons: set[tuple[int, bytes]],
    question: Question,
) -> bool:
    mine, other = opened.worker, opened.client
    if question.role == "client":
        mine, other = other, mine
    return mine == file.handle and (opened.platform, other) not in persons


def _judge(engagement: _Engagement, rules: _Rules, folded: Folded) -> None:
    outcome, rating, question = engagement.outcome, engagement.rating, rules.question
    grade = 0
    if rating is not None:
        scale = rules.scales.get(rating[0].scale) or _no_scale(rating[0])
        grade = grade_of(scale, rating[0].value)
    if outcome is None and rating is None:
        folded.open += 1
        folded.overdue += engagement.open.due_until < question.as_of
        return
    sign = _sign(outcome, grade, question)
    if outcome is not None and question.role == "worker":
        told = outcome[1]
    else:
        told = _told(engagement, question)
    folded.retrospective += told.retrospective
    if sign == 0:
        folded.neutral += 1
        return
    excess = 0
    if sign < 0 and outcome is not None and outcome[0].fault in {question.role, "shared"}:
        excess = severity_excess(grade, rules.model)
    graded = told if rating is None else rating[1]
    folded.evidence.append(
        Evidence(
            sign=sign,
            at=(outcome or rating or _never())[0].at,
            attested=outcome is not None and outcome[0].basis == "platform",
            standing_q16=told.standing_q16,
            pair_count=told.pair_count,
            excess_q16=excess,
            excess_standing_q16=graded.standing_q16,
            excess_pair_count=graded.pair_count,
            retrospective=told.retrospective == 1,
            elsewhere=engagement.platform != question.platform,
            nearness=(
                rules.tree.nearness(question.domain, engagement.open.domains)
                if question.domain
                else "on"
            ),
            source=engagement.platform,
        )
    )


def _never() -> tuple[Rating, Annotation]:
    raise AssertionError("an engagement without outcome and rating has been sorted out")


def _sign(
    outcome: tuple[EngagementOutcome, Annotation] | None, grade: int, question: Question
) -> int:
    if outcome is None:
        return (grade > 0) - (grade < 0)
    judge = worker_sign if question.role == "worker" else client_sign
    return judge(outcome[0].status, outcome[0].fault, outcome[0].acceptance)


def _told(engagement: _Engagement, question: Question) -> Annotation:
    """The annotation with the standing of who told it.

    An outcome's is its client's. About a client it is the worker who tells: by the rating, or, if
    there is none, with no standing.
    """
    outcome, rating = engagement.outcome, engagement.rating
    if outcome is None or (question.role == "client" and rating is not None):
        return (rating or _never())[1]
    if question.role == "client":
        return Annotation(outcome[1].pair_count, 0, outcome[1].retrospective)
    return outcome[1]


def _no_scale(rating: Rating) -> Scale:
    raise InvalidInput(f"there is no scale {rating.scale}", field="scale")
