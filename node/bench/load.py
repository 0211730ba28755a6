"""The fixed load: a seeded population and its engagements, as record bytes.

Workers and clients are dealt out evenly to the platforms. Who is hired, and by whom, follows Zipf's
law: the i-th of a platform's workers (clients) is drawn with weight 1/i^exponent. Each engagement
is three records: its open, and later its outcome and the client's rating. Equal seeds yield the
same handles, draws and outcomes; only the dates are the clock's.
"""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ledger.hashing import sha256
from ledger.records import encode_record
from ledger.records.engagement import Acceptance, EngagementOpen, EngagementOutcome, Fault, Status
from ledger.records.rating import Rating
from ledger.records.subject import SubjectRegister
from ledger.signing import SigningKey, signed_message

DAY_MS: Final = 86_400_000
DRAWS_AT_ONCE: Final = 4_096

Offer = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Population:
    """How many workers and clients all platforms have together, and how uneven their work is."""

    workers: int = 100_000
    clients: int = 20_000
    exponent: float = 1.0
    rater_signed: bool = False


@dataclass(frozen=True, slots=True)
class Ending:
    """How an engagement goes: its outcome's fields and the client's stars (1–5)."""

    status: Status
    fault: Fault
    lateness_band: int
    acceptance: Acceptance
    stars: int


# weight in percent → ending
ENDINGS: Final = (
    (58, Ending("completed", "none", 0, "accepted", 5)),
    (27, Ending("completed", "none", 0, "accepted", 4)),
    (6, Ending("late", "worker", 2, "accepted", 3)),
    (3, Ending("completed", "none", 0, "rejected", 2)),
    (3, Ending("no-show", "worker", 0, "unknown", 1)),
    (3, Ending("cancelled-by-client", "client", 0, "unknown", 3)),
)


@dataclass(frozen=True, slots=True)
class Engagement:
    """One engagement of the load: its reference, and the numbers of its worker, client, ending."""

    reference: bytes
    worker: int
    client: int
    ending: Ending


class PlatformLoad:
    """One platform's part of the load."""

    def __init__(
        self, chain: bytes, platform: int, share: tuple[int, int], population: Population, seed: int
    ) -> None:
        """`share` = (place, places): this is the place-th (from 0) of so many platforms."""
        place, places = share
        self._chain = chain
        self._platform = platform
        self._seed = seed
        self.workers = [self._handle(b"w", i) for i in range(place, population.workers, places)]
        self.clients = [self._handle(b"c", i) for i in range(place, population.clients, places)]
        self._keys = [SigningKey.from_seed(sha256(b"key", each)) for each in self.clients]
        self._rater_signed = population.rater_signed
        self._draws = self._draw(population.exponent)

    def _handle(self, kind: bytes, number: int) -> bytes:
        place = self._platform.to_bytes(4) + number.to_bytes(8)
        return sha256(b"standing bench ", kind, self._seed.to_bytes(8), place)

    def _draw(self, exponent: float) -> Iterator[Engagement]:
        rng = random.Random(f"{self._seed}/{self._platform}")  # noqa: S311 - a load, not a secret
        workers, clients = (
            list(itertools.accumulate(1 / i**exponent for i in range(1, len(each) + 1)))
            for each in (self.workers, self.clients)
        )
        weights = list(itertools.accumulate(weight for weight, _ in ENDINGS))
        endings = [ending for _, ending in ENDINGS]
        name = sha256(b"standing bench engagement", self._seed.to_bytes(8))[:20]
        name += self._platform.to_bytes(4)
        for first in itertools.count(0, DRAWS_AT_ONCE):
            drawn = zip(
                range(first, first + DRAWS_AT_ONCE),
                rng.choices(range(len(workers)), cum_weights=workers, k=DRAWS_AT_ONCE),
                rng.choices(range(len(clients)), cum_weights=clients, k=DRAWS_AT_ONCE),
                rng.choices(endings, cum_weights=weights, k=DRAWS_AT_ONCE),
                strict=True,
            )
            for number, worker, client, ending in drawn:
                yield Engagement(name + number.to_bytes(8), worker, client, ending)

    def registrations(self, now_ms: int) -> Iterator[Offer]:
        """One `subject.register` for each worker and each client."""
        for handle in self.workers:
            record = SubjectRegister(self._platform, now_ms, handle, b"", "document")
            yield encode_record(record), b""
        for handle, key in zip(self.clients, self._keys, strict=True):
            public = key.public if self._rater_signed else b""
            record = SubjectRegister(self._platform, now_ms, handle, public, "document")
            yield encode_record(record), b""

    def engagements(self, count: int) -> list[Engagement]:
        """The next engagements of the seeded sequence."""
        return list(itertools.islice(self._draws, count))

    def skip(self, count: int) -> None:
        """Leave out the next engagements: they are in the ledger already."""
        next(itertools.islice(self._draws, count, count), None)

    def open(self, engagement: Engagement, now_ms: int) -> Offer:
        """The engagement's open."""
        record = EngagementOpen(
            platform=self._platform,
            at=now_ms,
            reference=engagement.reference,
            worker=self.workers[engagement.worker],
            client=self.clients[engagement.client],
            format="freelance",
            domains=("software.web",),
            role="lead",
            due_from=now_ms,
            due_until=now_ms + 7 * DAY_MS,
            value_band=3,
        )
        return encode_record(record), b""

    def close(self, engagement: Engagement, now_ms: int) -> tuple[Offer, Offer]:
        """The engagement's outcome, and its client's rating of the worker."""
        ending = engagement.ending
        outcome = EngagementOutcome(
            platform=self._platform,
            at=now_ms,
            reference=engagement.reference,
            status=ending.status,
            fault=ending.fault,
            lateness_band=ending.lateness_band,
            acceptance=ending.acceptance,
            basis="platform",
        )
        return (encode_record(outcome), b""), self._rating(engagement, now_ms)

    def _rating(self, engagement: Engagement, now_ms: int) -> Offer:
        key = self._keys[engagement.client]
        rating = encode_record(
            Rating(
                platform=self._platform,
                at=now_ms,
                reference=engagement.reference,
                direction="of-worker",
                rater=self.clients[engagement.client],
                rater_key=key.public if self._rater_signed else b"",
                scale="stars-5",
                value=engagement.ending.stars,
                dimensions=(),
            )
        )
        if not self._rater_signed:
            return rating, b""
        return rating, key.sign(signed_message("record", self._chain, sha256(rating)))
