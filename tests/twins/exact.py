"""The score's integers against exact rational arithmetic (`tests/reference/score.py`).

On random files by the model in force, and on the first half of a set of real events: before each
event its worker is asked about, as in an evaluation. What is compared is the probability, that of
thin files, too. Ages are whole hours in the integers and exact in the reference.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Final

import msgspec

from ledger.bureau.answer import Question
from ledger.bureau.evidence import OpenFile, fold
from ledger.bureau.model import FIRST_MODEL, Q16_ONE, Model
from ledger.bureau.offset import offset_of
from ledger.bureau.prior import newcomer_rate
from ledger.bureau.score import conclude
from ledger.bureau.standing import OFFSET_ZERO, PlatformTally
from ledger.bureau.transfer import transfers_of
from ledger.errors import InvalidInput
from ledger.parameters import Parameters
from node.evaluation.events import DataSet
from node.evaluation.ground import handle_of
from node.evaluation.models import Expected, Standing
from node.evaluation.prequential import predict
from tests.node.web.js.random_files import Case
from tests.reference import score as reference
from tests.twins.nasty import nasty_case

APART_MAX: Final = Fraction(25, 10_000)
PIECES_MAX: Final = 80
"""Of more, exact fractions take their time."""


@dataclass(slots=True)
class Apart:
    """How far integers and fractions were apart, over some questions."""

    questions: int = 0
    pieces: int = 0
    most: Fraction = Fraction(0)
    where: str = ""
    above: int = 0
    told: list[float] = field(default_factory=list)

    def take(self, where: str, apart: Fraction, pieces: int) -> None:
        """Count one question."""
        self.questions += 1
        self.pieces += pieces
        self.told.append(float(apart))
        self.above += apart > APART_MAX
        if apart >= self.most:
            self.most, self.where = apart, where

    def figures(self) -> dict[str, object]:
        """For JSON."""
        return {
            "questions": self.questions,
            "pieces": self.pieces,
            "apart_max": float(self.most),
            "at": self.where,
            "apart_mean": sum(self.told) / max(1, len(self.told)),
            "above_0.0025": self.above,
        }


def apart(
    files: Sequence[OpenFile],
    tally: PlatformTally | None,
    parameters: Parameters,
    question: Question,
) -> tuple[Fraction, int]:
    """How far the two probabilities are apart, and of how many pieces of evidence they are.

    Raises:
        InvalidInput: there is no answer.
    """
    model = msgspec.structs.replace(parameters.model, thin_evidence=0)
    parameters = msgspec.structs.replace(parameters, model=model)
    folded = fold(files, question, parameters)
    answer = conclude(folded, len(files), tally, parameters, question)
    assert answer.probability_q16 is not None, "without a thin-file line nothing is thin"
    known = tally if question.role == "worker" else None
    sources = {each.source for each in folded.evidence if each.elsewhere}
    weights = {each.platform: each.weight_q16 for each in transfers_of(sources, known, model)}
    exact = reference.probability(
        folded.evidence,
        question.as_of,
        newcomer_rate(known, model),
        offset_of(known),
        model,
        weights=weights,
    )
    return abs(Fraction(answer.probability_q16, Q16_ONE) - exact), len(folded.evidence)


# --- random files ---


def on_random_files(
    seed: int,
    first: int,
    count: int,
    model: Model = FIRST_MODEL,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Apart:
    """Random files of any kind, by one model; what a bad domain or scale makes unanswerable and
    files of more than PIECES_MAX pieces are left out, and others drawn for them."""
    found = Apart()
    place = first
    while found.questions < count:
        name = f"{seed}:{place}"
        place += 1
        case = _by(model, nasty_case(name)[1])
        if sum(len(file.facts) for file in case.files) > 4 * PIECES_MAX:
            continue
        try:
            told = apart(case.files, case.tally, case.parameters, case.question)
        except InvalidInput:
            continue
        found.take(name, *told)
        on_progress(found.questions)
    return found


def _by(model: Model, case: Case) -> Case:
    """The case by a model, with a tally as execution under that model could leave one."""
    tally = case.tally
    if tally is not None:
        strong = _held(tally.offset_strong, model.offset_max)
        other = _held(tally.offset_other, model.offset_weak_max)
        tally = msgspec.structs.replace(tally, offset_strong=strong, offset_other=other)
    parameters = msgspec.structs.replace(case.parameters, model=model)
    return replace(case, tally=tally, parameters=parameters)


def _held(offset: int, most: int) -> int:
    return max(OFFSET_ZERO - most, min(OFFSET_ZERO + most, offset))


# --- real events ---


class Exact(Standing):
    """The node's own model, which looks at each of its answers in exact arithmetic, too."""

    def __init__(self, data: DataSet, model: Model, every: int) -> None:
        super().__init__(data, model)
        self._every = every
        self._nth = 0
        self.apart = Apart()

    def expect(self, platform: int, rated: str, as_of_ms: int) -> Expected:
        """The score's probability; every so many-th is compared."""
        self._nth += 1
        if self._nth % self._every == 0:
            self.apart.take(f"question {self._nth}", *self._apart(platform, rated, as_of_ms))
        return super().expect(platform, rated, as_of_ms)

    def _apart(self, platform: int, rated: str, as_of_ms: int) -> tuple[Fraction, int]:
        handle, course = handle_of(rated), self.course
        files = [OpenFile(platform, handle, course._files.get((platform, handle), ()))]
        question = Question(platform, handle, "worker", "", as_of_ms)
        return apart(files, course.summary(platform), course.parameters, question)


def on_events(
    data: DataSet,
    model: Model = FIRST_MODEL,
    every: int = 1,
    on_progress: Callable[[float], None] = lambda _: None,
) -> Apart:
    """The first half of a set's events, every so many-th of them compared."""
    exact = Exact(data, model, every)
    predict(data, {"exact": exact}, "fit", (), on_progress)
    return exact.apart
