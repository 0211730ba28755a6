"""Random closures of files, questions, tallies and parameters from a seed, in the ledger's forms.

They are wilder than a ledger would hold: references of others, results before their opens, dates in
the future, self-dealing, models at their bounds. Two implementations must still agree.
"""

import random
from dataclasses import dataclass
from hashlib import sha256
from typing import get_args

import msgspec

from ledger.bureau.answer import Question
from ledger.bureau.evidence import Fact, OpenFile
from ledger.bureau.model import FIRST_MODEL, Q16_ONE, Model, check_model
from ledger.bureau.reading import NO_ANNOTATION
from ledger.bureau.standing import OFFSET_ZERO, Annotation, PlatformTally, Source
from ledger.encoding import UINT_MAX, encode
from ledger.errors import Malformed
from ledger.parameters import FIRST_DOMAINS, FIRST_SCALES, Domain, Parameters, Scale
from ledger.records import encode_record
from ledger.records.engagement import Acceptance, EngagementOpen, EngagementOutcome, Fault, Status
from ledger.records.rating import Rating
from ledger.records.subject import SubjectLink

DAY = 86_400_000
NOW = 1_700_000_000_000
SHARES = (
    "floor_good",
    "floor_bad",
    "attested_weight",
    "standing_floor",
    "nobody_until",
    "weak_from",
    "strong_from",
    "strong_full",
    "weak_lift",
    "weak_drop",
    "nobody_drop",
    "doubt",
    "newcomer_rate",
    "retrospective_weight",
    "elsewhere_weight",
    "near_domain_weight",
    "far_domain_weight",
)
UNITS = (
    "severity_slope",
    "severity_cap",
    "nobody_good_cap",
    "weak_good_cap",
    "nobody_bad_cap",
    "weak_bad_cap",
    "weak_lift_from",
    "doubt_half",
    "distrust_from",
    "distrust_slope",
    "distrust_max",
    "prior_strength",
    "interval_weight",
)


@dataclass(frozen=True)
class Case:
    """One question with everything that answers it."""

    files: tuple[OpenFile, ...]
    tally: PlatformTally | None
    parameters: Parameters
    question: Question

    def as_json(self) -> dict:
        """As `run.mjs` reads it."""
        return {
            "files": [
                {
                    "platform": file.platform,
                    "handle": file.handle.hex(),
                    "facts": [_fact_json(fact) for fact in file.facts],
                }
                for file in self.files
            ],
            "tally": None if self.tally is None else encode(self.tally).hex(),
            "parameters": encode(self.parameters).hex(),
            "question": encode(self.question).hex(),
        }


def _fact_json(fact: Fact) -> list:
    if fact.record is None:
        return [fact.time, None, None]
    annotation = NO_ANNOTATION if fact.annotation is None else encode(fact.annotation)
    return [fact.time, encode_record(fact.record).hex(), annotation.hex()]


def name(*parts: object) -> bytes:
    """32 bytes that depend on nothing but the parts."""
    return sha256(repr(parts).encode()).digest()


def random_case(seed: int) -> Case:
    """The case of a seed."""
    rng = random.Random(seed)
    parameters = _parameters(rng)
    count = rng.choice((1, 1, 1, 2, 3))
    subjects = [(number, name("subject", number)) for number in range(1, count + 1)]
    asked = rng.choice(subjects)
    domains = ["", "", *(each.code for each in parameters.domains)]
    as_of = NOW if rng.random() < 0.8 else NOW - rng.randrange(400) * DAY
    question = Question(
        asked[0],
        asked[1],
        rng.choice(("worker", "worker", "client")),
        rng.choice([*domains, "no.such.domain"] if rng.random() < 0.1 else domains),
        as_of,
    )
    files = tuple(_file(rng, subject, subjects, parameters) for subject in subjects)
    return Case(files, _tally(rng), parameters, question)


def _tally(rng: random.Random) -> PlatformTally | None:
    kind = rng.randrange(4)
    if kind == 0:
        return None
    most = (200, 100_000, UINT_MAX)[kind - 1]
    newcomers = rng.randint(0, most)
    good = rng.randint(0, newcomers if rng.random() < 0.9 else most)
    offset = rng.choice((0, 20_000, OFFSET_ZERO))
    parts = (OFFSET_ZERO + rng.randint(-offset, offset) for _ in range(2))
    sources = tuple(_source(rng, each) for each in (1, 2, 3) if rng.random() < 0.7)
    return PlatformTally(
        rng.randint(0, most), rng.randint(0, most), newcomers, good, 0, *parts, sources
    )


def _source(rng: random.Random, platform: int) -> Source:
    """Losses as execution sums them, or anything."""
    if rng.random() < 0.3:
        most = rng.choice((1, 2**17, 2**36))
        losses = [rng.randint(0, most) for _ in range(5)]
        return Source(platform, rng.choice((0, 1, 2**18)), tuple(losses))
    workers, place, slope = rng.randint(1, 1_000), rng.randint(-4, 8), rng.randint(0, 60_000)
    losses = [workers * (20_000 + slope * (step - place) ** 2 // 16) for step in range(5)]
    return Source(platform, workers, tuple(losses))


def _parameters(rng: random.Random) -> Parameters:
    domains: tuple[Domain, ...] = FIRST_DOMAINS
    scales: tuple[Scale, ...] = FIRST_SCALES
    if rng.random() < 0.3:
        names = [f"d{number}" for number in range(rng.randint(1, 30))]
        domains = tuple(
            Domain(each, rng.choice(["", *names[:at]])) for at, each in enumerate(names)
        )
    if rng.random() < 0.3:
        edges = (sorted(rng.choices(range(256), k=4)) for _ in range(8))
        made = [(low, high, middle, good) for low, middle, good, high in edges if low < middle]
        scales = tuple(Scale(f"s{at}", *each) for at, each in enumerate(made))
    return Parameters(rng.choice((1, 1, UINT_MAX)), _model(rng), scales, domains)


def _model(rng: random.Random) -> Model:
    """The first model, or one whose numbers are anywhere in their bounds."""
    while rng.random() < 0.7:
        change: dict[str, int] = {each: rng.randint(0, Q16_ONE) for each in SHARES}
        change |= {each: rng.randint(0, 64) * rng.choice((1, 997, Q16_ONE)) for each in UNITS}
        change |= {
            "thin_evidence": rng.choice((0, 98_304, 98_304, 64 * Q16_ONE)),
            "transfer_prior": rng.choice((Q16_ONE, 800_000, 64 * Q16_ONE)),
            "last_word": rng.choice((0, 40_000, 2 * Q16_ONE)),
            "last_word_days": rng.choice((1, 30, 36_500)),
            "half_life_days": rng.choice((1, 7, 60, 36_500)),
            "newcomer_prior": rng.choice((1, 20, 1_000_000)),
            "recent_days": rng.choice((1, 180, 900)),
            "adverse_stop_days": rng.choice((900, 2_555, 36_500)),
            "points_base": rng.randint(1, 9_999),
            "points_per_doubling": rng.choice((1, 50, 10_000)),
            "points_odds": rng.choice((1, 4, 1_023, 1_024)),
            "points_min": 0,
            "points_max": 10_000,
        }
        kept = rng.sample(sorted(change), rng.randint(1, len(change)))
        if "points_base" in kept:
            kept += ["points_min", "points_max"]
        model = msgspec.structs.replace(FIRST_MODEL, **{each: change[each] for each in kept})
        try:
            check_model(model)
        except Malformed:
            continue
        return model
    return FIRST_MODEL


def _file(
    rng: random.Random,
    subject: tuple[int, bytes],
    subjects: list[tuple[int, bytes]],
    parameters: Parameters,
) -> OpenFile:
    number, handle = subject
    facts: list[Fact] = []
    if len(subjects) > 1:
        ends = [(*each, name("key", *each)) for each in (subjects[0], subjects[-1])]
        facts.append(Fact(NOW - 900 * DAY, SubjectLink(1, NOW, *ends[0], *ends[1]), None))
    most = rng.choice((0, 4, 20, 60, 150))
    for at in range(rng.randint(0, most)):
        facts += _engagement(rng, subject, name(number, at), subjects, parameters)
    if rng.random() < 0.1:
        rng.shuffle(facts)
    return OpenFile(number, handle, facts)


def _annotation(rng: random.Random) -> Annotation:
    standing = rng.choice((0, 9_000, 20_000, 32_768, 40_000, Q16_ONE - 1, rng.randint(0, Q16_ONE)))
    return Annotation(rng.choice((1, 1, 1, 2, 3, 40, 2**32)), standing, int(rng.random() < 0.2))


def _engagement(
    rng: random.Random,
    subject: tuple[int, bytes],
    reference: bytes,
    subjects: list[tuple[int, bytes]],
    parameters: Parameters,
) -> list[Fact]:
    number, handle = subject
    at = NOW - rng.randrange(rng.choice((60, 400, 3_000))) * DAY - rng.randrange(DAY)
    at += rng.choice((0, 0, 0, 0, 2 * DAY * 365))
    other = rng.choice(subjects)[1] if rng.random() < 0.05 else name("other", rng.randrange(9))
    parties = [handle, other] if rng.random() < 0.7 else [other, handle]
    codes = [each.code for each in parameters.domains]
    domains = tuple(rng.choices([*codes, "unknown"], k=rng.randint(1, 3)))
    due = at + rng.randrange(90) * DAY
    opened = EngagementOpen(
        number, at, reference, *parties, "gig", domains, "lead", at, due, rng.randrange(10)
    )
    time = at + rng.randrange(DAY)
    facts = [Fact(time, opened, None)]
    if rng.random() < 0.85:
        outcome = EngagementOutcome(
            number,
            at + rng.randrange(30) * DAY,
            reference,
            rng.choice(("completed", *get_args(Status))),
            rng.choice(get_args(Fault)),
            rng.randrange(6),
            rng.choice(("accepted", *get_args(Acceptance))),
            rng.choice(("platform", "counterparty")),
        )
        facts.append(Fact(time + rng.randrange(30 * DAY), outcome, _annotation(rng)))
    directions = [each for each in ("of-worker", "of-client") if rng.random() < 0.4]
    return facts + [_rating(rng, opened, each, parameters) for each in directions]


def _rating(
    rng: random.Random, opened: EngagementOpen, direction: str, parameters: Parameters
) -> Fact:
    scale, value = "none.such", 1
    if parameters.scales and rng.random() < 0.998:
        chosen = rng.choice(parameters.scales)
        scale, value = chosen.code, rng.randint(chosen.low, chosen.high)
    rating = Rating(
        opened.platform,
        opened.at + rng.randrange(60) * DAY,
        opened.reference,
        direction,  # type: ignore[arg-type]
        name("rater"),
        b"" if rng.random() < 0.5 else name("key"),
        scale,
        value,
        (("quality", value),) if rng.random() < 0.3 else (),
    )
    return Fact(opened.at + rng.randrange(90 * DAY), rating, _annotation(rng))
