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


class _Engagement(msgspec.Struct, gc=False):
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
    grades: dict[tuple[str, int], int] = field(default_factory=dict)

    def grade(self, rating: Rating) -> int:
        """A rating's grade; most files have a few values of a scale or two.

        Raises:
            InvalidInput: the scale does not exist.
        """
        name = rating.scale, rating.value
        found = self.grades.get(name)
        if found is None:
            scale = self.scales.get(rating.scale) or _no_scale(rating)
            found = self.grades[name] = grade_of(scale, rating.value)
        return found


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
    as_of, asked_of_client = question.as_of, question.role == "client"
    for file in files:
        platform, handle = file.platform, file.handle
        for fact in file.facts:
            if fact.time > as_of:
                continue
            record, annotation = fact.record, fact.annotation
            if isinstance(record, EngagementOpen):
                mine, other = record.worker, record.client
                if asked_of_client:
                    mine, other = other, mine
                where = record.platform
                if mine == handle and (where, other) not in persons:
                    found[where, record.reference] = _Engagement(platform, record)
            elif isinstance(record, EngagementOutcome):
                engagement = found.get((record.platform, record.reference))
                if engagement is not None and annotation is not None:
                    engagement.outcome = record, annotation
            elif isinstance(record, Rating):
                engagement = found.get((record.platform, record.reference))
                if engagement is None or annotation is None:
                    continue
                if record.direction == direction:
                    engagement.rating = record, annotation
            elif record is None:
                folded.erased += 1
    return found.values()


def _judge(engagement: _Engagement, rules: _Rules, folded: Folded) -> None:
    outcome, rating, question = engagement.outcome, engagement.rating, rules.question
    role = question.role
    grade = 0 if rating is None else rules.grade(rating[0])
    if outcome is not None:
        ended, told = outcome
        judge = worker_sign if role == "worker" else client_sign
        sign, at = judge(ended.status, ended.fault, ended.acceptance), ended.at
        attested = ended.basis == "platform"
        if role == "client":
            told = _told_of_client(told, rating)
    elif rating is not None:
        sign, at, told, attested = (grade > 0) - (grade < 0), rating[0].at, rating[1], False
    else:
        folded.open += 1
        folded.overdue += engagement.open.due_until < question.as_of
        return
    folded.retrospective += told.retrospective
    if sign == 0:
        folded.neutral += 1
        return
    excess = 0
    if sign < 0 and outcome is not None and outcome[0].fault in {role, "shared"}:
        excess = severity_excess(grade, rules.model)
    graded = told if rating is None else rating[1]
    domain, source = question.domain, engagement.platform
    folded.evidence.append(
        # in the order of the fields, for names take as long again
        Evidence(
            sign,
            at,
            attested,
            told.standing_q16,
            told.pair_count,
            excess,
            graded.standing_q16,
            graded.pair_count,
            told.retrospective == 1,
            source != question.platform,
            rules.tree.nearness(domain, engagement.open.domains) if domain else "on",
            source,
        )
    )


def _told_of_client(outcome: Annotation, rating: tuple[Rating, Annotation] | None) -> Annotation:
    """The annotation with the standing of who told of a client: the worker, by the rating; or,
    if there is none, with no standing, for that of the outcome is the client's own."""
    if rating is not None:
        return rating[1]
    return Annotation(outcome.pair_count, 0, outcome.retrospective)


def _no_scale(rating: Rating) -> Scale:
    raise InvalidInput(f"there is no scale {rating.scale}", field="scale")
