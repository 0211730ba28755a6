"""A believable job market, made from a seed: nothing in it is real, and equal seeds make it equal.

Four platforms differ in what they do, how strict they are, how they rate. People have a true
reliability: the chance that an average job of theirs is completed, accepted and on time. It is
known here alone; the ledger never sees it, and the demo compares the scores' order with it.

Most people work on one platform, at least a fifth on two or three (their accounts are linked,
signed by the keys of both), one in eight is a newcomer with a job or two in the last weeks.
Activity is skewed: a few do much, many do little. Jobs lie in the year before `now_ms`, and some
are under way.
"""

from dataclasses import dataclass
from hashlib import sha256
from math import exp, log
from random import Random
from typing import Final

from node.demo.jobs import Job, draw_job
from node.importing.plan import Reference

DAY_MS: Final = 86_400_000
YEAR_DAYS: Final = 365
WORKERS: Final = 320
CLIENTS_PER_PLATFORM: Final = 60
JOBS: Final = 4_400
LIVE_JOBS: Final = 120
ELSEWHERE_SHARE: Final = 0.22
THIRD_SHARE: Final = 0.25
NEWCOMER_SHARE: Final = 0.125
NEWCOMER_DAYS: Final = 21


@dataclass(frozen=True, slots=True)
class Platform:
    """A platform's character. `leniency` is added to the log-odds of a good end."""

    number: int
    code: str
    about: str
    format: str
    domains: tuple[str, ...]
    leniency: float
    late_share: float
    scale: str
    stars_up: float


PLATFORMS: Final = (
    Platform(
        number=1,
        code="atelier",
        about="design, lenient, generous stars",
        format="contest",
        domains=("design.graphics",),
        leniency=0.5,
        late_share=0.25,
        scale="stars-5",
        stars_up=0.5,
    ),
    Platform(
        number=2,
        code="byteworks",
        about="software, strict, rates in percent",
        format="freelance",
        domains=("software.data", "software.web"),
        leniency=-0.5,
        late_share=0.35,
        scale="percent",
        stars_up=-0.3,
    ),
    Platform(
        number=3,
        code="courier",
        about="delivery, strict on time, thumbs",
        format="gig",
        domains=("delivery",),
        leniency=-0.3,
        late_share=0.6,
        scale="thumbs",
        stars_up=0.0,
    ),
    Platform(
        number=4,
        code="lingua",
        about="writing, forgiving, stars",
        format="freelance",
        domains=("writing.copy", "writing.translation"),
        leniency=0.3,
        late_share=0.3,
        scale="stars-5",
        stars_up=0.2,
    ),
)


@dataclass(frozen=True, slots=True)
class Account:
    """One person on one platform. `seed` makes the key that signs links; empty: no key."""

    platform: Platform
    reference: Reference
    seed: bytes
    since_ms: int


@dataclass(frozen=True, slots=True)
class Worker:
    """A person who works, and what only the market knows of them."""

    name: str
    reliability: float
    activity: float
    is_newcomer: bool
    accounts: tuple[Account, ...]

    @property
    def is_linked(self) -> bool:
        """Whether the person has accounts on several platforms."""
        return len(self.accounts) > 1


@dataclass(frozen=True, slots=True)
class Market:
    """The whole. `history` is past and imported; `live` ends while the demo runs."""

    seed: int
    now_ms: int
    workers: tuple[Worker, ...]
    clients: tuple[Account, ...]
    history: tuple[Job, ...]
    live: tuple[Job, ...]


def make_market(seed: int, now_ms: int, *, jobs: int = JOBS, live_jobs: int = LIVE_JOBS) -> Market:
    """The market of a seed, as it stands at `now_ms`."""
    random = Random(seed)  # noqa: S311 - a made-up market needs no secrets
    workers = tuple(_worker(random, number, now_ms) for number in range(WORKERS))
    clients = tuple(
        _account(platform, f"client/{number}", b"", now_ms - (YEAR_DAYS + 10) * DAY_MS)
        for platform in PLATFORMS
        for number in range(CLIENTS_PER_PLATFORM)
    )
    history = _history(random, workers, clients, now_ms, jobs)
    live = tuple(
        _job(random, f"live/{number}", worker, clients, now_ms, is_live=True)
        for number, worker in enumerate(_by_activity(random, workers, live_jobs))
    )
    return Market(seed, now_ms, workers, clients, history, live)


def _worker(random: Random, number: int, now_ms: int) -> Worker:
    name = f"worker/{number}"
    is_newcomer = random.random() < NEWCOMER_SHARE
    platforms = _platforms(random, number)
    days = random.uniform(3, NEWCOMER_DAYS) if is_newcomer else random.uniform(90, YEAR_DAYS)
    since_ms = now_ms - int(days * DAY_MS)
    accounts = tuple(
        _account(
            platform,
            name,
            sha256(f"{name}/{platform.code}/{random.getrandbits(128)}".encode()).digest(),
            since_ms,
        )
        for platform in platforms
    )
    activity = 0.0 if is_newcomer else exp(random.gauss(0.0, 0.8))
    return Worker(name, _reliability(random), activity, is_newcomer, accounts)


def _platforms(random: Random, number: int) -> list[Platform]:
    elsewhere = number % 9 < 9 * ELSEWHERE_SHARE  # by number: the share holds for every seed
    count = 1 + elsewhere + (elsewhere and random.random() < THIRD_SHARE)
    return random.sample(PLATFORMS, count)


def _reliability(random: Random) -> float:
    kind = random.random()
    if kind < 0.65:
        return random.betavariate(18, 1.6)
    if kind < 0.88:
        return random.betavariate(7, 3)
    return random.betavariate(3, 4)


def _account(platform: Platform, name: str, seed: bytes, since_ms: int) -> Account:
    reference = Reference("subject", f"{platform.code}/{name}")
    return Account(platform, reference, seed, since_ms)


def _history(
    random: Random,
    workers: tuple[Worker, ...],
    clients: tuple[Account, ...],
    now_ms: int,
    count: int,
) -> tuple[Job, ...]:
    newcomers = [worker for worker in workers if worker.is_newcomer]
    doing = [worker for worker in newcomers for _ in range(random.randint(1, 2))]
    regulars = [worker for worker in workers if not worker.is_newcomer]
    doing += regulars  # everyone has worked at least once
    doing += _by_activity(random, workers, count - len(doing))
    jobs = [
        _job(random, f"job/{number}", worker, clients, now_ms)
        for number, worker in enumerate(doing)
    ]
    return tuple(sorted(jobs, key=lambda job: (job.opened_ms, job.reference)))


def _by_activity(random: Random, workers: tuple[Worker, ...], count: int) -> list[Worker]:
    weights = [worker.activity for worker in workers]
    return random.choices(workers, weights=weights, k=count)


def _job(
    random: Random,
    name: str,
    worker: Worker,
    clients: tuple[Account, ...],
    now_ms: int,
    *,
    is_live: bool = False,
) -> Job:
    account = random.choice(worker.accounts)
    platform = account.platform
    client = random.choice([each for each in clients if each.platform is platform])
    odds = worker.reliability / (1 - worker.reliability)
    good = 1 / (1 + exp(-(log(odds) + platform.leniency)))
    opened_ms = random.randint(account.since_ms, now_ms - DAY_MS // 2)
    return draw_job(
        random,
        reference=Reference("engagement", f"{platform.code}/{name}"),
        platform=platform.number,
        worker=account.reference,
        client=client.reference,
        format=platform.format,
        domain=random.choice(platform.domains),
        scale=platform.scale,
        good=good,
        late_share=0.0 if is_live else platform.late_share,  # a live job ends at once
        stars_up=platform.stars_up,
        opened_ms=opened_ms,
        now_ms=now_ms,
    )
