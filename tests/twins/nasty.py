"""Random closures of files that are as bad as their bounds allow: what two programs disagree about.

A case is made of a seed's *twists*: files of no entries or of thousands, every kind of entry in any
order, all records at one instant, times before genesis and at the end of time, domains and scales
that nobody registered, every number of the model, of the tally and of annotations at the ends of
its range or beside them, many linked platforms. No ledger would hold most of them.
"""

import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any, get_args

import msgspec

from ledger.bureau.answer import Question, SubjectRole
from ledger.bureau.evidence import Fact, OpenFile
from ledger.bureau.model import FIRST_MODEL, Q16_ONE, Model, check_model
from ledger.bureau.standing import Annotation, PlatformTally
from ledger.encoding import UINT_MAX
from ledger.errors import Malformed
from ledger.parameters import FIRST_DOMAINS, FIRST_SCALES, Domain, Parameters, Scale
from ledger.records.engagement import Acceptance, EngagementOpen, EngagementOutcome, Fault, Status
from ledger.records.rating import Rating
from ledger.records.subject import SubjectLink
from tests.node.web.js.random_files import DAY, NOW, Case, name, random_case

HOUR = DAY // 24
FILES_MAX = 16
LONG = 4_000
LONGEST = 65_536
SIZES = (0, 1, 3, 8, 21, 34, 55, 89, 144)
THIN = (0, 0, FIRST_MODEL.thin_evidence)
"""Most cases show what a thin file hides."""

Draw = Callable[[random.Random], int]


def nasty_case(seed: str) -> tuple[str, Case]:
    """The case of a seed, and what kind of case it is."""
    rng = random.Random(seed)
    kind = rng.choices(("wild", "plain", "nasty", "many", "long"), (20, 25, 50, 4.95, 0.05))[0]
    if kind == "wild":
        return kind, random_case(rng.getrandbits(48))
    parameters = _parameters(rng, plain=kind == "plain")
    as_of = _as_of(rng)
    clock = _clock(rng, as_of, parameters.model)
    subjects = [
        (number, name("subject", number)) for number in _platforms(rng, kind, parameters.model)
    ]
    asked = rng.choice(subjects)
    role: SubjectRole = rng.choice(("worker", "worker", "client"))
    question = Question(*asked, role, _domain_asked(rng, parameters), as_of)
    sizes = (LONG, LONG, LONG, LONGEST // 8, LONGEST) if kind == "long" else SIZES
    room, files = LONGEST, []
    for subject in subjects:
        count = min(room, rng.choice(sizes))
        room -= count
        pen = Pen(rng, subject, subjects, parameters, clock)
        files.append(OpenFile(*subject, [pen.fact() for _ in range(count)]))
    tally = _tally(rng, [number for number, _ in subjects])
    return kind, Case(tuple(files), tally, parameters, question)


# --- numbers ---


def edge(rng: random.Random, low: int, high: int) -> int:
    """A number of a range: mostly at an end of it, beside one, or of any size between."""
    kind = rng.randrange(8)
    if kind < 4:
        return (low, high, min(high, low + 1), max(low, high - 1))[kind]
    if kind < 6:
        return rng.randint(low, high)
    return min(high, low + (1 << rng.randint(0, (high - low).bit_length())) - rng.randrange(2))


def ranges_of(kind: type) -> dict[str, tuple[int, int]]:
    """The bounds of the fields of a struct that are whole numbers."""
    told = msgspec.inspect.type_info(kind)
    assert isinstance(told, msgspec.inspect.StructType)
    types = {each.name: _bare(each.type) for each in told.fields}
    return {
        name: _ends(each)
        for name, each in types.items()
        if isinstance(each, msgspec.inspect.IntType)
    }


def _bare(kind: msgspec.inspect.Type) -> msgspec.inspect.Type:
    return kind.type if isinstance(kind, msgspec.inspect.Metadata) else kind


def _ends(kind: msgspec.inspect.IntType) -> tuple[int, int]:
    assert kind.ge is not None, "a number has no lower bound"
    assert kind.le is not None, "a number has no upper bound"
    return kind.ge, kind.le


def any_value(rng: random.Random, kind: msgspec.inspect.Type) -> Any:
    """Any value of a type of whole numbers, structs, and tuples of them."""
    kind = _bare(kind)
    if isinstance(kind, msgspec.inspect.IntType):
        return edge(rng, *_ends(kind))
    if isinstance(kind, msgspec.inspect.TupleType):
        return tuple(any_value(rng, each) for each in kind.item_types)
    if isinstance(kind, msgspec.inspect.VarTupleType):
        count = rng.choice((0, 1, 3, 20, kind.max_length or 0))
        return tuple(any_value(rng, kind.item_type) for _ in range(count))
    assert isinstance(kind, msgspec.inspect.StructType), kind
    return kind.cls(*(any_value(rng, each.type) for each in kind.fields))


MODEL_RANGES = ranges_of(Model)
TALLY = msgspec.inspect.type_info(PlatformTally)


def nasty_model(rng: random.Random) -> Model:
    """A model some or all of whose numbers are at the ends of their ranges."""
    some = rng.sample(sorted(MODEL_RANGES), rng.choice((1, 2, 5, 20, len(MODEL_RANGES))))
    numbers = {each: getattr(FIRST_MODEL, each) for each in MODEL_RANGES}
    numbers |= {each: edge(rng, *MODEL_RANGES[each]) for each in some}
    if rng.random() < 0.7:
        numbers["thin_evidence"] = rng.choice((0, 1, numbers["thin_evidence"] >> 4))
    model = msgspec.structs.replace(FIRST_MODEL, **_reconciled(numbers))
    try:
        check_model(model)
    except Malformed:
        return FIRST_MODEL
    return model


def _reconciled(numbers: dict[str, int]) -> dict[str, int]:
    """The nearest numbers that do not contradict each other (`check_model`)."""
    least = {
        "prior_strength": 6_554,
        "newcomer_rate": 656,
        "newcomer_prior": 1,
        "newcomer_window": 2,
        "lift_half": 1,
        "offset_given_half": 1,
        "doubt_half": 1,
        "weak_lift_from": 1,
        "strong_lift_from": 1,
        "attested_weight": 656,
        "interval_weight": 656,
        "points_per_doubling": 1,
    }
    made = {each: max(least.get(each, 0), value) for each, value in numbers.items()}
    made["newcomer_rate"] = min(Q16_ONE - 656, made["newcomer_rate"])
    made["severity_cap"] = min(made["severity_cap"], made["severity_slope"])
    made["recent_days"] = min(made["recent_days"], made["adverse_stop_days"])
    for below, above in (("nobody_until", "weak_from"), ("strong_from", "strong_full")):
        made[below] = min(Q16_ONE - 1, made[below], made[above])
        made[above] = max(made[above], made[below] + 1)
    low, base, high = sorted(made[each] for each in ("points_min", "points_base", "points_max"))
    made["points_base"] = min(9_999, max(1, base))
    made["points_min"] = min(low, made["points_base"] - 1)
    made["points_max"] = max(high, made["points_base"] + 1)
    return made


def _tally(rng: random.Random, platforms: list[int]) -> PlatformTally | None:
    """None, or one with numbers at their ends, and sources that are mostly of these platforms."""
    if rng.random() < 0.2:
        return None
    tally = any_value(rng, TALLY)
    assert isinstance(tally, PlatformTally)
    named = {
        rng.choice(platforms) if rng.random() < 0.8 else each.platform: each
        for each in tally.sources
    }
    sources = tuple(
        msgspec.structs.replace(each, platform=number) for number, each in sorted(named.items())
    )
    return msgspec.structs.replace(tally, sources=sources)


# --- parameters and the question ---


def _parameters(rng: random.Random, *, plain: bool) -> Parameters:
    if plain:
        model = msgspec.structs.replace(FIRST_MODEL, thin_evidence=rng.choice(THIN))
        return Parameters(1, model, FIRST_SCALES, FIRST_DOMAINS)
    scales: tuple[Scale, ...] = FIRST_SCALES
    if rng.random() < 0.5:
        edges = (sorted(edge(rng, 0, 255) for _ in range(4)) for _ in range(rng.randrange(6)))
        made = [(low, high, middle, good) for low, middle, good, high in edges if low < middle]
        scales = tuple(Scale(f"s{at}", *each) for at, each in enumerate(made))
    return Parameters(edge(rng, 0, UINT_MAX), nasty_model(rng), scales, _tree(rng))


def _tree(rng: random.Random) -> tuple[Domain, ...]:
    """The first domains, none, one deep path, or a random forest."""
    kind = rng.randrange(4)
    if kind == 0:
        return FIRST_DOMAINS
    names = [f"d{number}" for number in range(rng.choice((0, 1, 2, 40)))]
    if kind == 1:
        return tuple(Domain(child, parent) for parent, child in pairwise(["", *names]))
    return tuple(Domain(each, rng.choice(["", *names[:at]])) for at, each in enumerate(names))


def _domain_asked(rng: random.Random, parameters: Parameters) -> str:
    known = [each.code for each in parameters.domains]
    if rng.random() < 0.02:
        return "no.such.domain"
    return rng.choice(known) if known and rng.random() < 0.6 else ""


def _as_of(rng: random.Random) -> int:
    if rng.random() < 0.7:
        return NOW
    return rng.choice((0, 1, HOUR, UINT_MAX, UINT_MAX, UINT_MAX - 1, edge(rng, 0, UINT_MAX)))


def _platforms(rng: random.Random, kind: str, model: Model) -> list[int]:
    """The numbers of the platforms that the closure's files are of."""
    if kind == "many":
        return sorted(rng.sample(range(1, 300), rng.randint(4, FILES_MAX)))
    count = rng.choice((1, 1, 1, 1, 2, 3))
    numbers = {edge(rng, 1, 2**32 - 1) for _ in range(count)}
    return sorted(numbers)


def _clock(rng: random.Random, as_of: int, model: Model) -> Draw:
    """When things of a case happen: at one instant, at borders, late, or over the years."""
    days = (model.recent_days, model.adverse_stop_days, model.half_life_days, 1)
    past = [0, 1, as_of, as_of, *(as_of - each * DAY for each in days), as_of - HOUR]
    borders = [*past, *past, UINT_MAX]
    instant = rng.choice(borders)

    def bounded(time: int) -> int:
        return max(0, min(UINT_MAX, time))

    def at_once(_: random.Random) -> int:
        return bounded(instant)

    def at_borders(rng: random.Random) -> int:
        return bounded(rng.choice(borders) + rng.randint(-1, 1))

    def over_years(rng: random.Random) -> int:
        return bounded(as_of - rng.randrange(1 << rng.randint(1, 37)))

    return rng.choice((at_once, at_borders, over_years, over_years))


# --- entries ---


class Pen:
    """Writes entries of one file: of few engagements, so that they meet, repeat, and miss."""

    def __init__(
        self,
        rng: random.Random,
        subject: tuple[int, bytes],
        subjects: list[tuple[int, bytes]],
        parameters: Parameters,
        clock: Draw,
    ) -> None:
        self._rng = rng
        self._platform, self._handle = subject
        self._subjects = subjects
        self._parameters = parameters
        self._clock = clock
        self._place = 0
        self._opened: list[tuple[int, bytes]] = []
        self._known = [each.code for each in parameters.domains]
        model = parameters.model
        lines = (model.nobody_until, model.weak_from, model.strong_from, model.strong_full)
        near = {line + step for line in lines for step in (-1, 0, 1)} | {0, 1, Q16_ONE - 1, Q16_ONE}
        self._standings = sorted(held for held in near if 0 <= held <= Q16_ONE)

    def fact(self) -> Fact:
        """The next entry."""
        rng = self._rng
        self._place += 1
        kind = rng.choices(("open", "outcome", "rating", "link", "erased"), (40, 30, 22, 3, 5))[0]
        time = self._clock(rng)
        if kind == "erased":
            return Fact(time, None, None)
        if kind == "link":
            return Fact(time, self._link(), None)
        if kind == "open":
            return Fact(time, self._open(), None)
        record = self._outcome() if kind == "outcome" else self._rating()
        return Fact(time, record, self._annotation())

    def _engagement(self) -> tuple[int, bytes]:
        """Platform and reference of a late open; at times of one long ago, to come, or never."""
        rng = self._rng
        if not self._opened or rng.random() < 0.1:
            ahead = rng.choice((0, 1, 2, 3, 9, 100))
            return self._platform, name(self._platform, self._place + ahead)
        if rng.random() < 0.03:
            return rng.choice(self._subjects)[0], self._opened[-1][1]
        back = min(len(self._opened), rng.choice((1, 1, 2, 3, 5, 1 << rng.randrange(12))))
        return self._opened[-back]

    def _open(self) -> EngagementOpen:
        rng = self._rng
        platform, reference = self._platform, name(self._platform, self._place)
        if rng.random() < 0.05:
            platform, reference = self._engagement()
        self._opened.append((platform, reference))
        other = name("other", rng.randrange(4))
        if rng.random() < 0.05:
            other = rng.choice(self._subjects)[1]
        parties = [self._handle, other] if rng.random() < 0.75 else [other, self._handle]
        domains = rng.choices([*self._known, "unknown"], k=rng.randint(1, 4))
        times = (self._clock(rng) for _ in range(3))
        at, due_from, due_until = times
        return EngagementOpen(
            platform, at, reference, parties[0], parties[1], "gig", tuple(domains), "lead",
            due_from, due_until, edge(rng, 0, 9),
        )  # fmt: skip

    def _outcome(self) -> EngagementOutcome:
        rng = self._rng
        platform, reference = self._engagement()
        return EngagementOutcome(
            platform,
            self._clock(rng),
            reference,
            rng.choice(get_args(Status)),
            rng.choice(get_args(Fault)),
            edge(rng, 0, 5),
            rng.choice(get_args(Acceptance)),
            rng.choice(("platform", "counterparty")),
        )

    def _rating(self) -> Rating:
        rng = self._rng
        platform, reference = self._engagement()
        scale, value = "none.such", edge(rng, 0, 255)
        if self._parameters.scales and rng.random() < 0.999:
            chosen = rng.choice(self._parameters.scales)
            scale, value = chosen.code, edge(rng, chosen.low, chosen.high)
        direction: Any = rng.choice(("of-worker", "of-worker", "of-client"))
        rater = name("other", rng.randrange(4))
        return Rating(
            platform, self._clock(rng), reference, direction, rater, b"", scale, value, ()
        )

    def _link(self) -> SubjectLink:
        rng = self._rng
        ends = [(*each, name("key", *each)) for each in rng.choices(self._subjects, k=2)]
        return SubjectLink(self._platform, self._clock(rng), *ends[0], *ends[1])

    def _annotation(self) -> Annotation:
        rng = self._rng
        standing = rng.choice(self._standings) if rng.random() < 0.6 else rng.randint(0, Q16_ONE)
        pairs = rng.choice((1, 1, 1, 2, 3, 1 << rng.randrange(33), 2**32))
        return Annotation(pairs, standing, int(rng.random() < 0.2))
