"""Where an answer stands among comparable workers: a node's own figure, and no part of any proof.

The index cannot prove it: what a record makes of one worker's score is known at execution only if
the score is computed there (0.2 ms and more), and every score moves with time though no record
comes. So the node asks the real model about a bounded sample of the same platform's subjects at a
checkpoint, and says how many, and at which. They follow one another by handle, from a place that
the checkpoint's seal decides: a fair draw, since handles are random (a platform that made its own
otherwise would distort its own sample), and the same at every node that draws at that checkpoint,
but for files that have grown since, whose newest rows say how long they are.

Comparable are subjects of the same platform, in the same role, whose file is not thin, and, where a
domain is asked about, with evidence on it; workers, moreover, who have had an outcome there (so
that no files are read that are clients' alone). A person with several files is counted once.
"""

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec
from aiohttp import web

from ledger.bureau import reading
from ledger.bureau.answer import Answer, Question
from ledger.bureau.basis import Basis
from ledger.errors import InvalidInput
from ledger.files import closure, read_subject
from ledger.hashing import sha256
from ledger.rows import SubjectRow, decode_row
from ledger.store import SUBJECT, Reader, after
from node.api.scores import DAY_MS, share
from node.view import Certificate

WORKERS_MAX: Final = 256
"""So many are enough: the percentile's standard error is then at most 3."""
WORKERS_MIN: Final = 20
"""Of fewer nothing is said."""
ROWS_MAX: Final = 4_096
LEAVES_MAX: Final = 8_192
FILE_LEAVES_MAX: Final = 1_024
"""Longer files are passed over, and counted."""
LEAVES_MIN: Final = 3
"""A register, an open and what came of it: of less nothing is said."""
SAMPLES_KEPT: Final = 64
FRESH_MS: Final = 600_000
"""A sample does for answers at checkpoints so near to its own, by the ledger's time."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Probabilities (Q16, ascending) of comparable subjects at a checkpoint of `size` entries.

    `read`: how many subjects' files were read for them; `too_long`: how many were passed over.
    """

    size: int
    time: int
    read: int
    too_long: int
    probabilities: tuple[int, ...]


class PeersShown(msgspec.Struct, frozen=True):
    """Where an answer stands among comparable subjects: this node's own figure, never proven.

    `sampled` comparable subjects of the same platform, role and domain were found among `read`
    files (`too_long`: passed over for their length) at the checkpoint of `size` entries, sealed at
    `time` (ms). `percentile` of them are below the probability (ties count half), from
    `percentiles[0]` to `percentiles[1]` below the interval's ends; `quartiles` are the sample's
    probabilities at 25, 50 and 75 %. All null where fewer than 20 were found; the first two for a
    thin file.
    """

    sampled: int
    read: int
    too_long: int
    size: int
    time: int
    percentile: int | None
    percentiles: tuple[int, int] | None
    quartiles: tuple[float, float, float] | None


class Samples:
    """The newest samples, by platform, role and domain."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, str, str], tuple[int, Sample]] = OrderedDict()

    def get(self, reader: Reader, basis: Basis, question: Question, generation: int) -> Sample:
        """A sample near a checkpoint: one that is kept, or a new one at the checkpoint itself.

        `generation`: of what is remembered; it grows when something is erased.

        Raises:
            StoreDamaged: a row is missing or not what was written.
        """
        key = question.platform, question.role, question.domain
        found = self._kept.get(key)
        if found is not None and found[0] == generation:
            sample = found[1]
            if abs(basis.seal.time - sample.time) <= FRESH_MS:
                self._kept.move_to_end(key)
                return sample
        sample = take_sample(reader, basis, question)
        self._kept[key] = generation, sample
        self._kept.move_to_end(key)
        while len(self._kept) > SAMPLES_KEPT:
            self._kept.popitem(last=False)
        return sample


SAMPLES: Final = web.AppKey("samples", Samples)


def take_sample(reader: Reader, basis: Basis, question: Question) -> Sample:
    """Ask about comparable subjects at a checkpoint, from the place that its seal decides.

    Raises:
        StoreDamaged: a row is missing or not what was written.
    """
    certified, as_of = basis.certified, basis.seal.time
    summary = reading.summary_at(reader, certified, question.platform)
    found: list[int] = []
    read = too_long = leaves = 0
    for handle, row in _subjects(reader, basis, question.platform):
        if question.role == "worker" and not row.results:
            continue
        asked = Question(question.platform, handle, question.role, question.domain, as_of)
        length = _length(reader, certified.size, asked) if row.links else row.length
        if not LEAVES_MIN <= length <= FILE_LEAVES_MAX:
            too_long += length > FILE_LEAVES_MAX
            continue
        read, leaves = read + 1, leaves + length
        try:
            files = reading.read_closure(reader, certified, question.platform, handle)
            answer = reading.answer_of(files, summary, basis, asked)
        except InvalidInput:  # not registered by then, erased since, or too much to read
            continue
        if answer.probability_q16 is not None and _is_comparable(answer):
            found.append(answer.probability_q16)
        if len(found) >= WORKERS_MAX or leaves >= LEAVES_MAX:
            break
    return Sample(certified.size, as_of, read, too_long, tuple(sorted(found)))


def _subjects(reader: Reader, basis: Basis, platform: int) -> Iterator[tuple[bytes, SubjectRow]]:
    """At most `ROWS_MAX` of a platform's subjects, by handle, once around from a drawn place."""
    prefix = SUBJECT + platform.to_bytes(4)
    start = prefix + sha256(b"standing peers", basis.seal_bytes)
    rows = 0
    for low, high in ((start, after(prefix)), (prefix, start)):
        for key, data in reader.scan(low, high):
            if rows == ROWS_MAX:
                return
            rows += 1
            yield key[len(prefix) :], decode_row(SubjectRow, key, data)


def _length(reader: Reader, size: int, asked: Question) -> int:
    """How many leaves a person's files have together; 0 but for the first of them on a platform."""
    joined = closure(reader, asked.platform, asked.handle, size)
    if asked.handle != min(each for number, each in joined if number == asked.platform):
        return 0
    rows = (read_subject(reader, *each) for each in joined)
    return sum(each.length for each in rows if each is not None)


def _is_comparable(answer: Answer) -> bool:
    counts = answer.evidence
    return counts.good + counts.bad > counts.off_domain


def standing_among(sample: Sample, answer: Answer, certified: Certificate) -> PeersShown | None:
    """Where an answer stands in a sample; None if it is of another day than its checkpoint."""
    if abs(certified.time - answer.question.as_of) > DAY_MS:
        return None
    those = sample.probabilities
    enough = len(those) >= WORKERS_MIN
    probability = answer.probability_q16
    ranked = enough and probability is not None
    return PeersShown(
        sampled=len(those),
        read=sample.read,
        too_long=sample.too_long,
        size=sample.size,
        time=sample.time,
        percentile=_below(those, probability) if ranked and probability is not None else None,
        percentiles=(_below(those, answer.low_q16), _below(those, answer.high_q16))
        if ranked
        else None,
        quartiles=_quartiles(those) if enough else None,
    )


def _below(those: tuple[int, ...], value: int) -> int:
    """The share below a value in whole percent; who is equal counts half."""
    return 50 * (bisect_left(those, value) + bisect_right(those, value)) // len(those)


def _quartiles(those: tuple[int, ...]) -> tuple[float, float, float]:
    first, middle, last = (share(those[(len(those) - 1) * nth // 4]) for nth in (1, 2, 3))
    return first, middle, last
