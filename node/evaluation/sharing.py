"""Two platforms that share workers: what the one's evidence comes to weigh in the other's answers.

A made-up scene, told through real records. Seven workers in ten have results that are good at a
rate of .97, the others at .55. On platform 2 each has 8 to 30 of them within a month; then they
come to platform 1, one after another, for one engagement each. `like` is the share of workers whose
rate is the same there; the others' is drawn anew. Both platforms tell on their own word. Each
result on platform 1 is predicted just before by the node's own score: with the weight as it is
measured by then, with the model's, and without evidence from elsewhere.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from msgspec.structs import replace

from ledger.bureau.answer import Question
from ledger.bureau.evidence import OpenFile
from ledger.bureau.model import Q16_ONE, Model
from ledger.bureau.score import score
from ledger.bureau.standing import NEW_PLATFORM, PlatformTally
from ledger.bureau.transfer import transfer_of
from ledger.hashing import sha256
from ledger.records import encode_record
from ledger.records.subject import SubjectLink
from ledger.rules.signatures import record_message
from ledger.signing import SigningKey
from node.evaluation.course import Course
from node.evaluation.events import DataSet, Event
from node.evaluation.ground import handle_of, parameters_of

LIKE: Final = (0.0, 0.5, 1.0)
SHOWN_AT: Final = (10, 30, 100, 300, 1_000)
_DAY_MS: Final = 86_400_000
_START_MS: Final = 1_600_000_000_000
_RATES: Final = (0.97,) * 7 + (0.55,) * 3
_HERE: Final = 1
_THERE: Final = 2


@dataclass(frozen=True, slots=True)
class Measured:
    """After so many shared workers: the weight of platform 2's evidence on 1, with its interval."""

    workers: int
    weight: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Shared:
    """One scene: the weight as it is measured, and the mean log-loss of the second half of the
    results by it, by the model's weight, and without evidence from elsewhere."""

    like: float
    course: tuple[Measured, ...]
    log_loss: float
    log_loss_unmeasured: float
    log_loss_alone: float


def measure_sharing(model: Model, workers: int, seed: int) -> dict[str, Any]:
    """The figures of the scene for each of LIKE."""
    return {"sharing": [asdict(measure_scene(model, each, workers, seed)) for each in LIKE]}


def measure_scene(model: Model, like: float, workers: int, seed: int) -> Shared:
    """Play the scene with so many workers."""
    draw = random.Random(seed)  # noqa: S311 - a drawing, not a secret
    rates = [draw.choice(_RATES) for _ in range(workers)]
    data = _data([event for nth, rate in enumerate(rates) for event in _before(draw, nth, rate)])
    # A measure needs a number for each result, of thin files, too.
    course = Course(data, parameters_of(replace(model, thin_evidence=0), data))
    _play_there(course, data, workers)
    losses: list[tuple[float, float, float]] = []
    shown: list[Measured] = []
    for nth, rate in enumerate(rates):
        here = rate if draw.random() < like else draw.choice(_RATES)
        losses.append(_first_result(course, nth, good=draw.random() < here))
        if nth + 1 in SHOWN_AT or nth + 1 == workers:
            shown.append(_measured(course, model))
    means = [sum(each) / len(each) for each in zip(*losses[workers // 2 :], strict=True)]
    return Shared(like, tuple(shown), *(round(each, 4) for each in means))


def _name(nth: int) -> str:
    return f"worker {nth}"


def _event(nth: int, place: int, time_ms: int, platform: int, *, good: bool) -> Event:
    client = f"client {platform}"
    return Event(place, time_ms, platform, client, _name(nth), good, None, "freelance", "work")


def _before(draw: random.Random, nth: int, rate: float) -> list[Event]:
    days = sorted(draw.uniform(1, 30) for _ in range(draw.randint(8, 30)))
    return [
        _event(nth, nth * 100 + at, int(_START_MS + day * _DAY_MS), _THERE,
               good=draw.random() < rate)
        for at, day in enumerate(days)
    ]  # fmt: skip


def _data(events: Sequence[Event]) -> DataSet:
    ordered = tuple(sorted(events, key=lambda event: (event.time_ms, event.place)))
    return DataSet(
        "sharing", "", "", "platform", None, frozenset(), ("one", "two"), ("work",), ordered, {}
    )


def _play_there(course: Course, data: DataSet, workers: int) -> None:
    """Everybody is registered and linked; then the results on platform 2, a block a day."""
    keys = [SigningKey.from_seed(sha256(b"shared worker", n.to_bytes(8))) for n in range(workers)]
    for nth, key in enumerate(keys):
        for platform in (_HERE, _THERE):
            course.register(platform, _name(nth), _START_MS, key.public)
    course.execute(_START_MS)
    for nth, key in enumerate(keys):
        handle = handle_of(_name(nth))
        link = SubjectLink(_HERE, _START_MS, _HERE, handle, key.public, _THERE, handle, key.public)
        message = record_message(course.state.chain, encode_record(link))
        course.link(link, key.sign(message) * 2)
    course.execute(_START_MS + 1)
    for day in range(1, 31):
        begun = _START_MS + day * _DAY_MS
        events = [each for each in data.events if begun <= each.time_ms < begun + _DAY_MS]
        course.open(events, begun - 1)
        course.execute(begun - 1)
        course.close(events)
        course.execute(begun + _DAY_MS - 2)


def _first_result(course: Course, nth: int, *, good: bool) -> tuple[float, float, float]:
    """One worker's engagement on platform 1; the log-loss of its result by each prediction."""
    time_ms = course.state.time + 60_000
    event = _event(nth, 10**9 + nth, time_ms + 60_000, _HERE, good=good)
    course.open([event], time_ms)
    course.execute(time_ms)
    files = [course.file(platform, _name(nth)) for platform in (_HERE, _THERE)]
    known = course.summary(_HERE) or NEW_PLATFORM
    found = (
        _loss(course, files, known, nth, good=good),
        _loss(course, files, replace(known, sources=()), nth, good=good),
        _loss(course, files[:1], known, nth, good=good),
    )
    course.close([event])
    course.execute(event.time_ms)
    return found


def _loss(
    course: Course, files: Sequence[OpenFile], known: PlatformTally, nth: int, *, good: bool
) -> float:
    question = Question(_HERE, handle_of(_name(nth)), "worker", "", course.state.time)
    chance = score(files, known, course.parameters, question).probability_q16
    assert chance is not None, "no file is thin in this scene"
    return -math.log((chance if good else Q16_ONE - chance) / Q16_ONE)


def _measured(course: Course, model: Model) -> Measured:
    known = course.summary(_HERE) or NEW_PLATFORM
    found = {each.platform: each for each in known.sources}.get(_THERE)
    transfer = transfer_of(_THERE, found, model)
    weight, low, high = (
        round(each / Q16_ONE, 3)
        for each in (transfer.weight_q16, transfer.low_q16, transfer.high_q16)
    )
    return Measured(transfer.workers, weight, low, high)
