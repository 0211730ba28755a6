"""An answer of the bureau as HTTP gives it: with the base rate to read it beside, and its age.

All of it is proven by the answer's bundle: the base rate follows from the platform's summary and
the parameters in it (`ledger/bureau/README.md`, section 10).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from ledger.bureau.answer import Answer, Counts, Transfer
from ledger.bureau.model import Q16_ONE
from ledger.bureau.whatif import Asked, base_rate
from ledger.encoding import UINT_MAX
from node.api.erasures import Erasing
from node.view import Certificate

DAY_MS: Final = 86_400_000
Signed = Annotated[int, msgspec.Meta(ge=-UINT_MAX, le=UINT_MAX)]


@dataclass(frozen=True, slots=True)
class Material:
    """What an answer is made of and stands on. `codes`: of all platforms that ever were members, by
    number; `erased`: what is erased of the files, or None."""

    asked: Asked
    certified: Certificate
    codes: Mapping[int, str]
    erased: Erasing | None


class ReasonShown(msgspec.Struct, frozen=True):
    """A contribution in points; `base_points` and all contributions add up to `points`."""

    code: str
    points: Signed


class CheckpointShown(msgspec.Struct, frozen=True):
    """The certified checkpoint that an answer stands on; `time` is its block's, in ms."""

    height: int
    size: int
    root: bytes
    time: int


class BaseRateShown(msgspec.Struct, frozen=True):
    """What the model says of somebody on the subject's platform of whom nothing is known.

    `rate`: the newcomers' (its workers' first results), drawn to the model's; `good` of `results`
    were counted of late (both 0: the model's alone, as for clients). `probability` and `points`
    have the platform's offset in them, too: so they stand beside the subject's.
    """

    probability: float
    points: int
    rate: float
    good: int
    results: int
    probability_q16: int
    rate_q16: int
    offset_q16: Signed


class TransferShown(msgspec.Struct, frozen=True):
    """What evidence from another platform weighs in an answer, with the 90 % interval of that.

    Measured by `workers` whom both platforms share; with none it is what the model says.
    """

    platform: str
    weight: float
    interval: tuple[float, float]
    workers: int
    weight_q16: int
    interval_q16: tuple[int, int]


class ScoreShown(msgspec.Struct, frozen=True):
    """The bureau's answer. Probability and points are null for a thin file: no guess is made.

    `probability_q16` and `interval_q16` are the exact integers (65,536 is 1); `probability` and
    `interval` (5 % and 95 %) are the same for people. `evidence` counts good and bad results, of
    them `off_domain` outside the domain asked about; the newest is `newest_days` whole days older
    than `as_of` (null: there is none). `erased` is null if the files are whole; else they are
    partly erased, by what it says. `transfers`: one for each other platform that results come from.
    """

    subject: str
    role: str
    domain: str
    as_of: int
    probability: float | None
    points: int | None
    interval: tuple[float, float]
    evidence: int
    reasons: tuple[ReasonShown, ...]
    thin_file: bool
    model: str
    checkpoint: CheckpointShown
    base_points: int
    probability_q16: int | None
    interval_q16: tuple[int, int]
    counts: Counts
    last_at: int | None
    newest_days: int | None
    on_domain: int
    off_domain: int
    base_rate: BaseRateShown
    transfers: tuple[TransferShown, ...]
    erased: Erasing | None


def shown(answer: Answer, material: Material) -> ScoreShown:
    """An answer as HTTP gives it."""
    question, probability, counts = answer.question, answer.probability_q16, answer.evidence
    last_at = answer.last_at
    return ScoreShown(
        subject=f"{material.codes[question.platform]}:{question.handle.hex()}",
        role=question.role,
        domain=question.domain,
        as_of=question.as_of,
        probability=None if probability is None else share(probability),
        points=answer.points,
        interval=(share(answer.low_q16), share(answer.high_q16)),
        evidence=counts.good + counts.bad,
        reasons=tuple(ReasonShown(each.code, each.points) for each in answer.reasons),
        thin_file=answer.thin_file,
        model=answer.model,
        checkpoint=checkpoint_of(material.certified),
        base_points=answer.base_points,
        probability_q16=probability,
        interval_q16=(answer.low_q16, answer.high_q16),
        counts=counts,
        last_at=last_at,
        newest_days=None if last_at is None else max(0, question.as_of - last_at) // DAY_MS,
        on_domain=counts.good + counts.bad - counts.off_domain,
        off_domain=counts.off_domain,
        base_rate=_base_rate(material.asked),
        transfers=tuple(_transfer(each, material.codes) for each in answer.transfers),
        erased=material.erased,
    )


def checkpoint_of(certified: Certificate) -> CheckpointShown:
    """A checkpoint as answers name it."""
    return CheckpointShown(certified.height, certified.size, certified.root, certified.time)


def share(q16: int) -> float:
    """A Q16 share for people."""
    return round(q16 / Q16_ONE, 6)


def _transfer(found: Transfer, codes: Mapping[int, str]) -> TransferShown:
    low, high = found.low_q16, found.high_q16
    return TransferShown(
        platform=codes[found.platform],
        weight=share(found.weight_q16),
        interval=(share(low), share(high)),
        workers=found.workers,
        weight_q16=found.weight_q16,
        interval_q16=(low, high),
    )


def _base_rate(asked: Asked) -> BaseRateShown:
    found = base_rate(asked.summary, asked.question.role, asked.parameters.model)
    return BaseRateShown(
        probability=share(found.probability_q16),
        points=found.points,
        rate=share(found.rate_q16),
        good=found.good,
        results=found.results,
        probability_q16=found.probability_q16,
        rate_q16=found.rate_q16,
        offset_q16=found.offset_q16,
    )
