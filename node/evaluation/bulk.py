"""Bulk scoring: many subjects over all cores, by the pure function, with progress.

The subjects are made up: subject i has a number of engagements drawn from a heavy tail (most have
a handful, one in a thousand some hundreds), each opened, closed, and two in three rated. Equal
seeds make equal files, so that the digest over all answers, in order of subjects, is the same for
any number of processes. Files are made by the process that scores them, one at a time: `scoring_…`
is scoring's own processor time, `cpu_seconds` that of all processes, making the files included,
`seconds` that of the clock. `rss_mib_max` is the most that any process has ever held in memory.

Besides, the time of one file of 1,000 records, the figure that the bureau promises to keep.
"""

import hashlib
import random
import resource
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from ledger.bureau.answer import Question
from ledger.bureau.evidence import Fact, OpenFile
from ledger.bureau.model import Model
from ledger.bureau.score import score
from ledger.bureau.standing import Annotation
from ledger.encoding import encode
from ledger.hashing import sha256
from ledger.parameters import FIRST_DOMAINS, FIRST_SCALES, Parameters
from ledger.records.engagement import (
    Acceptance,
    Basis,
    EngagementOpen,
    EngagementOutcome,
    Fault,
)
from ledger.records.rating import Rating

SUBJECTS_MAX: Final = 100_000_000
CHUNK: Final = 1_000
AHEAD: Final = 4
"""Chunks that are under way or wait, for each process."""
LARGE_RECORDS: Final = 1_000
LARGE_ROUNDS: Final = 40
LARGE_MS_MUST: Final = 2.0
NOW_MS: Final = 1_780_000_000_000
DAY_MS: Final = 86_400_000
_SPAN_DAYS: Final = 900
_TAIL: Final = 1.25
_ENGAGEMENTS_MAX: Final = 600
_DOMAINS: Final = ("software.web", "writing.copy", "care", "delivery")


@dataclass(frozen=True, slots=True)
class Done:
    """Subjects scored: how many records their files had, scoring's own processor time and all of
    it, a digest over the answers, and the most memory (KiB) that the process ever held."""

    subjects: int
    records: int
    thin: int
    seconds: float
    cpu_seconds: float
    rss_kib: int
    digest: bytes


def score_chunk(model: Model, seed: int, first: int, count: int) -> Done:
    """Make and score the files of some subjects (in any process)."""
    parameters = Parameters(1, model, FIRST_SCALES, FIRST_DOMAINS)
    digest, records, thin, spent = hashlib.sha256(), 0, 0, 0.0
    started = time.process_time()
    for subject in range(first, first + count):
        file = file_of(seed, subject)
        question = Question(file.platform, file.handle, "worker", "", NOW_MS)
        begun = time.process_time()
        told = score([file], None, parameters, question)
        spent += time.process_time() - begun
        records += len(file.facts)
        thin += told.thin_file
        digest.update(encode(told))
    rss_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cpu_seconds = time.process_time() - started
    return Done(count, records, thin, spent, cpu_seconds, rss_kib, digest.digest())


def file_of(seed: int, subject: int) -> OpenFile:
    """The file of a made-up subject."""
    draw = random.Random(seed << 32 | subject)  # noqa: S311 - a load, not a secret
    count = min(_ENGAGEMENTS_MAX, int(draw.paretovariate(_TAIL) * 2))
    return _file(subject, draw, count)


def large_file(records: int = LARGE_RECORDS) -> OpenFile:
    """A file of so many records: a third of them opens, outcomes, ratings each."""
    made = _file(0, random.Random(1), records, rated=1.0)  # noqa: S311 - a load, not a secret
    return OpenFile(made.platform, made.handle, made.facts[:records])


def _file(subject: int, draw: random.Random, count: int, rated: float = 2 / 3) -> OpenFile:
    handle = sha256(b"standing bulk subject", subject.to_bytes(8))
    skill = draw.betavariate(6, 1)
    facts: list[Fact] = []
    for nth in range(count):
        at = NOW_MS - int(draw.random() * _SPAN_DAYS * DAY_MS)
        facts += _engagement(draw, handle, nth, at, good=draw.random() < skill, rated=rated)
    return OpenFile(1, handle, facts)


def _engagement(
    draw: random.Random, handle: bytes, nth: int, at: int, *, good: bool, rated: float
) -> Iterator[Fact]:
    reference = sha256(handle, nth.to_bytes(4))
    client = sha256(b"standing bulk client", draw.randrange(5_000).to_bytes(4))
    known = at - DAY_MS
    domains = (draw.choice(_DOMAINS),)
    told = Annotation(1 + draw.randrange(3), draw.randrange(65_536), 0)
    yield Fact(
        known,
        EngagementOpen(1, known, reference, handle, client, "gig", domains, "lead", known, at, 1),
        None,
    )
    basis: Basis = "platform" if draw.random() < 0.5 else "counterparty"
    accepted: Acceptance = "accepted" if good else "rejected"
    fault: Fault = "none" if good else "worker"
    yield Fact(
        at, EngagementOutcome(1, at, reference, "completed", fault, 0, accepted, basis), told
    )
    if draw.random() < rated:
        stars = draw.choice((4, 5)) if good else draw.choice((1, 2, 3))
        rating = Rating(1, at, reference, "of-worker", client, b"", "stars-5", stars, ())
        yield Fact(at, rating, told)


def measure_bulk(
    model: Model,
    subjects: int,
    seed: int,
    executor: Executor,
    *,
    processes: int,
    on_progress: Callable[[float], None] = lambda _share: None,
) -> dict[str, Any]:
    """Score so many subjects, in chunks over an executor of so many processes; the figures."""
    begun = time.perf_counter()
    waiting: list[Future[Done]] = []
    chunks = [(first, min(CHUNK, subjects - first)) for first in range(0, subjects, CHUNK)]
    whole, total = hashlib.sha256(), Done(0, 0, 0, 0.0, 0.0, 0, b"")
    for at in range(len(chunks) + AHEAD * processes):
        if at < len(chunks):
            waiting.append(executor.submit(score_chunk, model, seed, *chunks[at]))
        if waiting and (len(waiting) >= AHEAD * processes or at >= len(chunks)):
            done = waiting.pop(0).result()
            whole.update(done.digest)
            total = _sum(total, done)
            on_progress(total.subjects / subjects)
    seconds = time.perf_counter() - begun
    return {
        "model": model.id,
        "subjects": total.subjects,
        "records": total.records,
        "thin_files": total.thin,
        "processes": processes,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(total.cpu_seconds, 2),
        "rss_mib_max": round(total.rss_kib / 1_024, 1),
        "scores_per_s": round(total.subjects / seconds, 1),
        "scoring_us_per_subject": round(total.seconds / total.subjects * 1e6, 2),
        "scoring_us_per_record": round(total.seconds / max(1, total.records) * 1e6, 3),
        "answers_digest": whole.hexdigest(),
    }


def _sum(total: Done, done: Done) -> Done:
    return Done(
        total.subjects + done.subjects,
        total.records + done.records,
        total.thin + done.thin,
        total.seconds + done.seconds,
        total.cpu_seconds + done.cpu_seconds,
        max(total.rss_kib, done.rss_kib),
        b"",
    )


def measure_large(model: Model) -> dict[str, float]:
    """The processor time of scoring one file of 1,000 records: the median and the best, in ms."""
    parameters = Parameters(1, model, FIRST_SCALES, FIRST_DOMAINS)
    file = large_file()
    question = Question(file.platform, file.handle, "worker", "", NOW_MS)
    spent = []
    for _ in range(LARGE_ROUNDS):
        begun = time.process_time()
        score([file], None, parameters, question)
        spent.append((time.process_time() - begun) * 1_000)
    return {
        "file_records": len(file.facts),
        "file_ms_median": round(median(spent), 3),
        "file_ms_best": round(min(spent), 3),
        "file_ms_must": LARGE_MS_MUST,
    }
