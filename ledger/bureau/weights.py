"""What each piece of evidence weighs, and what all of it adds up to. Pieces are weighed in Q30.

    scope   = [retrospective] · [elsewhere] · [nearness]                              Q16
    word    = attested_weight on the platform's own word, else max(standing, standing_floor)
    decay   = φ + (1 − φ) · 2^(−age / half-life)            φ = floor_good or floor_bad
    plain   = scope · (attested_weight on the platform's own word, else 1)
    told    = scope · word / k²                             k = 1 on the platform's own word
    decayed = scope · decay · word / k²
    excess  = scope · max(standing, floor) / k² · severity  (bad results with a rating)

Ages are whole hours; a date in the future has age 0. A word is divided by its standing, without a
step anywhere, into a strong part, a nobody's part, and the weak rest between them (`shares`). A bad
result of `adverse_stop_days` or more is left out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import add, attrgetter
from types import MappingProxyType
from typing import Final

from ledger.bureau.evidence import Evidence
from ledger.bureau.fixed import Q30_ONE, exp2_minus
from ledger.bureau.model import Q16_ONE, Model

HOUR_MS: Final = 3_600_000
DAY_HOURS: Final = 24
MASS_MAX_Q16: Final = 2**34
"""About 262,000 results: far more than a closure of files can hold of weight 1."""


@dataclass(frozen=True, slots=True)
class Mass:
    """What pieces of one sign add up to, by who told them (Q16, each at most `MASS_MAX_Q16`)."""

    attested: int = 0
    strong: int = 0
    weak: int = 0
    nobody: int = 0


@dataclass(slots=True)
class Sums:
    """Sums over some pieces (Q30): by who told them, decayed and not; and of those that last.

    `lasting`: attested and strong parts with their severity, undecayed. `thin`: what counts for
    the thin-file line, where a result on the platform's own word counts 1.
    """

    plain: int = 0
    told_attested: int = 0
    told_strong: int = 0
    told_weak: int = 0
    told_nobody: int = 0
    attested: int = 0
    strong: int = 0
    weak: int = 0
    nobody: int = 0
    lasting: int = 0
    thin_attested: int = 0

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(*map(add, _VALUES(self), _VALUES(other)))

    def decayed(self) -> Mass:
        """What they weigh now."""
        return _mass(self.attested, self.strong, self.weak, self.nobody)

    def undecayed(self) -> Mass:
        """What they would weigh if nothing faded; without severity."""
        return _mass(self.told_attested, self.told_strong, self.told_weak, self.told_nobody)

    def trusted(self) -> Mass:
        """The same, as if every word were strong: no cap reaches it."""
        return _mass(self.told_attested, self.told_strong + self.told_weak + self.told_nobody, 0, 0)

    def in_full(self) -> Mass:
        """What they would weigh undecayed and in full."""
        return _mass(self.plain, 0, 0, 0)


_VALUES: Final = attrgetter(*Sums.__slots__)


def _mass(*sums_q30: int) -> Mass:
    return Mass(*(min(MASS_MAX_Q16, each >> 14) for each in sums_q30))


def age_hours(at: int, as_of: int) -> int:
    """Whole hours between two times in ms, 0 if `at` is the later one."""
    return max(0, as_of - at) // HOUR_MS


def fading_q30(hours: int, half_life_days: int) -> int:
    """2^−(age / half-life)."""
    return exp2_minus(hours * Q16_ONE // (half_life_days * DAY_HOURS))  # < 2^32 · 2^16


def ramp_q16(value: int, low: int, high: int) -> int:
    """0 up to `low`, 1 from `high` on, and in a straight line between them (Q16)."""
    if value <= low:
        return 0
    return Q16_ONE if value >= high else (value - low) * Q16_ONE // (high - low)


def shares(standing: int, model: Model) -> tuple[int, int]:
    """The strong and the nobody's share of a word of this standing; the rest is weak (Q16)."""
    if standing >= model.strong_full:
        return Q16_ONE, 0
    strong = ramp_q16(standing, model.strong_from, model.strong_full)
    if standing >= model.weak_from:
        return strong, 0
    known = ramp_q16(standing, model.nobody_until, model.weak_from)
    return strong, Q16_ONE - max(known, strong)


Aged = tuple[Evidence, int]
"""A piece of evidence and its age in hours."""


def sums_of(pieces: Sequence[Aged], floor: int, model: Model, elsewhere: Mapping[int, int]) -> Sums:
    """What pieces of one sign add up to. `floor`: what of them never decays; `elsewhere`: as in
    `group`.

    No part exceeds 2^36 (a severity of 64 in Q30), and no product 2^52. One loop over local sums,
    for this is what a long file's answer takes longest for.
    """
    half_life, attested_weight = model.half_life_days * DAY_HOURS, model.attested_weight
    standing_floor, fades = model.standing_floor, Q16_ONE - floor
    plainly = told_attested = told_strong = told_weak = told_nobody = 0
    attested = strong = weak = nobody = lasting = thin_attested = 0
    for piece, hours in pieces:
        is_whole = piece.nearness == "on" and not (piece.elsewhere or piece.retrospective)
        plain = Q30_ONE if is_whole else _scope(piece, model, elsewhere) << 14
        # hours < 2^32
        decay = floor + (fades * (exp2_minus(hours * Q16_ONE // half_life) >> 14) >> 16)
        if piece.attested:
            told = plain * attested_weight >> 16
            plainly += told
            told_attested += told
            attested += told * decay >> 16
            lasting += told
            thin_attested += plain
        else:
            standing, pairs = piece.standing_q16, piece.pair_count
            heard = max(standing, standing_floor)
            told = (plain * heard >> 16) // pairs // pairs  # by k² in two steps below 2^53
            of_strong, of_nobody = shares(standing, model)
            by_strong, by_nobody = told * of_strong >> 16, told * of_nobody >> 16
            plainly += plain
            told_strong += by_strong
            told_nobody += by_nobody
            told_weak += told - by_strong - by_nobody
            lasting += by_strong
            told = told * decay >> 16
            by_strong, by_nobody = told * of_strong >> 16, told * of_nobody >> 16
            strong += by_strong
            nobody += by_nobody
            weak += told - by_strong - by_nobody
        if piece.excess_q16:
            standing, pairs = piece.excess_standing_q16, piece.excess_pair_count
            heard = max(standing, standing_floor)
            told = ((plain * heard >> 16) // pairs // pairs) * piece.excess_q16 >> 16
            of_strong, of_nobody = shares(standing, model)
            lasting += told * of_strong >> 16
            told = told * decay >> 16
            by_strong, by_nobody = told * of_strong >> 16, told * of_nobody >> 16
            strong += by_strong
            nobody += by_nobody
            weak += told - by_strong - by_nobody
    return Sums(
        plainly, told_attested, told_strong, told_weak, told_nobody,
        attested, strong, weak, nobody, lasting, thin_attested,
    )  # fmt: skip


def _scope(evidence: Evidence, model: Model, elsewhere: Mapping[int, int]) -> int:
    """Q16, rounded down after each factor."""
    scope = Q16_ONE
    if evidence.retrospective:
        scope = scope * model.retrospective_weight >> 16
    if evidence.elsewhere:
        scope = scope * elsewhere.get(evidence.source, model.elsewhere_weight) >> 16
    if evidence.nearness == "near":
        scope = scope * model.near_domain_weight >> 16
    elif evidence.nearness == "far":
        scope = scope * model.far_domain_weight >> 16
    return scope


@dataclass(slots=True)
class Groups:
    """The sums of all evidence that counts, by what the reasons tell apart.

    `here`: good, on the domain and on the platform asked about; `beyond`: good, on that platform,
    another domain; `elsewhere`: good, of other platforms; `old`, `recent`: bad, by `recent_days`.
    `last_word`: the doublings (Q16) that bad words add which nothing good has followed.
    `live`: the pieces behind them. `expired`: how many are too old to count.
    """

    here: Sums = field(default_factory=Sums)
    beyond: Sums = field(default_factory=Sums)
    elsewhere: Sums = field(default_factory=Sums)
    old: Sums = field(default_factory=Sums)
    recent: Sums = field(default_factory=Sums)
    last_word: int = 0
    live: list[Evidence] = field(default_factory=list)
    expired: int = 0

    @property
    def good(self) -> Sums:
        """All good evidence."""
        return self.here + self.beyond + self.elsewhere

    @property
    def bad(self) -> Sums:
        """All bad evidence."""
        return self.old + self.recent


def group(
    evidence: Iterable[Evidence],
    as_of: int,
    model: Model,
    elsewhere: Mapping[int, int] = MappingProxyType({}),
) -> Groups:
    """Weigh evidence at a time (ms) and sum it up.

    `elsewhere`: what evidence from other platforms weighs, by number (Q16); of others the model's.
    """
    here: list[Aged] = []
    beyond: list[Aged] = []
    other: list[Aged] = []
    old: list[Aged] = []
    recent: list[Aged] = []
    stop, late = model.adverse_stop_days * DAY_HOURS, model.recent_days * DAY_HOURS
    live: list[Evidence] = []
    expired, newest_good = 0, -1
    for piece in evidence:
        at = piece.at
        hours = (as_of - at) // HOUR_MS if at < as_of else 0
        if piece.sign > 0:
            if piece.elsewhere:
                other.append((piece, hours))
            else:
                (here if piece.nearness == "on" else beyond).append((piece, hours))
            newest_good = max(newest_good, at)
        elif hours >= stop:
            expired += 1
            continue
        else:
            (recent if hours < late else old).append((piece, hours))
        live.append(piece)
    good, bad = model.floor_good, model.floor_bad
    groups = Groups(
        here=sums_of(here, good, model, elsewhere),
        beyond=sums_of(beyond, good, model, elsewhere),
        elsewhere=sums_of(other, good, model, elsewhere),
        old=sums_of(old, bad, model, elsewhere),
        recent=sums_of(recent, bad, model, elsewhere),
        live=live,
        expired=expired,
    )
    for piece, hours in (*old, *recent):
        if piece.at > newest_good and not piece.attested:
            groups.last_word = max(groups.last_word, last_word_of(piece, hours, model))
    return groups


def last_word_of(piece: Evidence, hours: int, model: Model) -> int:
    """The doublings (Q16) that a bad word which nothing good has followed adds to the odds
    against, by so much as it is not strong."""
    faded = fading_q30(hours, model.last_word_days) >> 14
    strong, _ = shares(piece.standing_q16, model)
    return (model.last_word * faded >> 16) * (Q16_ONE - strong) >> 16


def thin_weight_q16(groups: Groups, model: Model) -> int:
    """What decides whether a file is thin: undecayed evidence, a platform's own word for 1, and
    what is not strong within its caps."""
    total = 0
    for sums, cap, nobody_cap in (
        (groups.good, model.weak_good_cap, model.nobody_good_cap),
        (groups.bad, model.weak_bad_cap, model.nobody_bad_cap),
    ):
        told = sums.undecayed()
        total += min(MASS_MAX_Q16, sums.thin_attested >> 14) + told.strong
        total += min(cap, told.weak + min(nobody_cap, told.nobody))
    return total
