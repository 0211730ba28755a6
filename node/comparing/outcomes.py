"""Calibration before and after: outcomes, each predicted by both models from what was known before.

What is predicted is whether an engagement ends well (`worker_sign`), from the records before its
outcome in the log (of summaries: before its block), in the engagement's first domain, by each run's
own rows: under the model in force, under the other one on the same rows (the day it comes into
force), and under the other one had it been in force from genesis on. The thin-file line is left out
here: else two models would be measured on different events. Of many outcomes a sample is taken,
drawn by SHA-256(seed ‖ log index), so that everybody draws the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import msgspec

from ledger.batch import Submission
from ledger.bureau.answer import Answer, Question
from ledger.bureau.model import Q16_ONE
from ledger.bureau.standing import worker_sign
from ledger.errors import InvalidInput
from ledger.files import read_leaf, read_opening
from ledger.parameters import Parameters
from ledger.records import decode_record
from ledger.records.engagement import EngagementOpen, EngagementOutcome
from ledger.rows import EngagementRow, need_row
from ledger.rules.engagement import engagement_key
from ledger.store import ENGAGEMENT, Reader
from node.comparing.twins import Executed, Place, Twins, known_at
from node.evaluation.measures import Prediction, auc, brier, ece, log_loss, rounded

EVENTS_MAX: Final = 1_000_000
_WHOLE: Final = 2**64

Views = ("before", "on_the_day", "replayed")


@dataclass(frozen=True, slots=True)
class Predicted:
    """An outcome that both models foresaw in their ways, and whose it was."""

    platform: int
    format: str
    domain: str
    before: Prediction
    on_the_day: Prediction
    replayed: Prediction


@dataclass(frozen=True, slots=True)
class _Ended:
    """An engagement that has an outcome now: whose, when (ms), whether it ended well."""

    question: Question
    format: str
    is_good: bool


class Outcomes:
    """The sample, while the ledger is executed. `events_max`: at most so many are kept."""

    def __init__(self, twins: Twins, parameters: Parameters, events_max: int, seed: int) -> None:
        """`parameters`: those that are compared with the twins' model: in force at the end."""
        self._twins = twins
        self._before = _without_line(parameters)
        self._model = _without_line(msgspec.structs.replace(parameters, model=twins.model))
        self._events_max, self._seed = events_max, seed
        self._below = _WHOLE
        self._kept: list[tuple[int, Predicted]] = []
        self.total = 0

    @property
    def predicted(self) -> list[Predicted]:
        """The sample, in the order of the log."""
        return [each for _, each in self._kept]

    def note(self, block: Executed) -> None:
        """Predict what this block says, each outcome from the records before it."""
        for log_index, record, time in _accepted(block):
            sign = worker_sign(record.status, record.fault, record.acceptance)
            if not sign:
                continue
            self.total += 1
            drawn = self._drawn(log_index)
            if drawn >= self._below:
                continue
            ended = _ended(self._twins.as_it_was, record, time, is_good=sign > 0)
            found = (
                None
                if ended is None
                else self._predict(Place(block.before.height, log_index), ended)
            )
            if found is not None:
                self._kept.append((drawn, found))
                self._make_room()

    def _drawn(self, log_index: int) -> int:
        digest = sha256(self._seed.to_bytes(8) + log_index.to_bytes(8)).digest()
        return int.from_bytes(digest[:8])

    def _make_room(self) -> None:
        while len(self._kept) > self._events_max:
            self._below //= 2
            self._kept = [each for each in self._kept if each[0] < self._below]

    def _predict(self, place: Place, ended: _Ended) -> Predicted | None:
        """None: nothing was known of the subject, it has been erased since, or a model abstains."""
        question = ended.question
        subject = question.platform, question.handle
        try:
            known = known_at(self._twins.as_it_was, place, *subject)
            otherwise = known_at(self._twins.otherwise, place, *subject)
            answers = (
                known.answer(question, self._before),
                known.answer(question, self._model),
                otherwise.answer(question, self._model),
            )
        except InvalidInput:
            return None
        before, on_the_day, replayed = (_prediction(each, ended) for each in answers)
        if before is None or on_the_day is None or replayed is None:
            return None
        return Predicted(
            question.platform, ended.format, question.domain, before, on_the_day, replayed
        )


def _without_line(parameters: Parameters) -> Parameters:
    model = msgspec.structs.replace(parameters.model, thin_evidence=0)
    return msgspec.structs.replace(parameters, model=model)


def _accepted(block: Executed) -> Iterator[tuple[int, EngagementOutcome, int]]:
    """The outcomes of a block whose openings are held, with log index and their batch's time."""
    told = iter(block.applied.records)
    for batch in block.batches:
        for item in batch.submissions:
            _, log_index, _ = next(told)
            if log_index is None or not isinstance(item, Submission):
                continue
            record = decode_record(item.record)
            if isinstance(record, EngagementOutcome):
                yield log_index, record, batch.header.time


def _ended(reader: Reader, record: EngagementOutcome, time: int, *, is_good: bool) -> _Ended | None:
    """What is predicted; None where the open has been erased."""
    key = ENGAGEMENT + engagement_key(record.platform, record.reference)
    row = need_row(reader, EngagementRow, key)
    opening, _ = read_opening(reader, read_leaf(reader, row.open))
    opened = None if opening is None else decode_record(opening.record)
    if not isinstance(opened, EngagementOpen):
        return None
    question = Question(record.platform, row.worker, "worker", opened.domains[0], time)
    return _Ended(question, opened.format, is_good)


def _prediction(answer: Answer, ended: _Ended) -> Prediction | None:
    if answer.probability_q16 is None:
        return None
    return Prediction(
        probability=answer.probability_q16 / Q16_ONE,
        good=ended.is_good,
        time_ms=ended.question.as_of,
        earlier=answer.evidence.good + answer.evidence.bad,
        low=answer.low_q16 / Q16_ONE,
        high=answer.high_q16 / Q16_ONE,
    )


def calibration(predicted: Sequence[Predicted]) -> dict[str, Any]:
    """The measures of each view; `events`: how many were predicted."""
    figures: dict[str, Any] = {"events": len(predicted)}
    for view in Views:
        each = [getattr(one, view) for one in predicted]
        measured: Mapping[str, float | None] = {
            "auc": auc(each),
            "log_loss": log_loss(each),
            "brier": brier(each),
            "ece": ece(each),
        }
        figures[view] = {name: rounded(value) for name, value in measured.items()}
    return figures
