"""Tallies that execution keeps, and the standing of a rater that it writes into files.

Everything is O(1) per record and in integers. A rater's regard is what others think of it:

    good_q16  sum of the standings of those who rated it well
    bad_q16   sum of standing · severity of those who rated it badly
    regard    good + attested_bonus · [its platform has verified it] − rater_bad_factor · bad,
              held between 0 and 2^36
    standing  ⌊regard · 2^16 / (regard + standing_half)⌋, so 0 ≤ standing < 2^16

A rating changes the tally of the party that is *rated*, in either direction; the tally of the party
that rates gives the standing that is written into the annotation, both as they stood just before
the record's position. Who rates many of late lifts each of them less: what a good rating adds is
`standing · H / (H + ratings given of late)`, H = lift_half. Divisions and shifts round down. The
sums stop at 2^48, so that `rater_bad_factor` times one stays below 2^53.

A platform's tally counts what its workers' first results are like (the newcomers' rate), how many
of its engagements it has closed, and holds its offset (`ledger/bureau/offset.py`).
"""

from functools import cache
from typing import Annotated, Final

import msgspec
from msgspec.structs import replace

from ledger.bureau.model import Q16_ONE, Model, Share
from ledger.encoding import PlatformNumber, Uint, Value
from ledger.parameters import Scale

SUM_MAX: Final = 2**48
REGARD_MAX: Final = 2**36
ATTESTED: Final = frozenset({"document", "in-person"})
OFFSET_ZERO: Final = 2**18
SOURCES_MAX: Final = 100
"""Platforms whose evidence is measured against one platform's results."""

Offset = Annotated[int, msgspec.Meta(ge=0, le=2 * OFFSET_ZERO)]
Loss = Annotated[int, msgspec.Meta(ge=0, le=2**36)]


class RaterTally(Value):
    """What others think of a subject, as a rater. Sums in Q16."""

    good_q16: Uint
    bad_q16: Uint
    attested: bool


class Source(Value):
    """What another platform's evidence tells of this one's results (`ledger/bureau/transfer.py`).

    workers: how many have been compared of late; losses: bits (Q16) that their results have cost
    with that evidence at the weights 0, 1/4, 1/2, 3/4 and 1.
    """

    platform: PlatformNumber
    workers: Annotated[int, msgspec.Meta(ge=0, le=2**18)]
    losses: tuple[Loss, Loss, Loss, Loss, Loss]


class PlatformTally(Value):
    """A platform's engagements, and its newcomers' first results.

    overdue: open engagements whose due day is past, by block time.
    offset_strong, offset_other: the two parts of its offset in doublings of the odds (Q16), each
    OFFSET_ZERO too much, so that it is never below 0.
    sources: platforms that it shares workers with, ascending.
    """

    opened: Uint
    closed: Uint
    newcomers: Uint
    newcomers_good: Uint
    overdue: Uint
    offset_strong: Offset
    offset_other: Offset
    sources: Annotated[tuple[Source, ...], msgspec.Meta(max_length=SOURCES_MAX)] = ()


class Annotation(Value):
    """What execution adds to an outcome or a rating, fixed for ever.

    pair_count: this is the pair's k-th outcome (or rating), from 1.
    standing_q16: of the client for an outcome, of the rater for a rating, just before the record.
    retrospective: 1 for an engagement that was opened in hindsight, else 0.
    """

    pair_count: Annotated[int, msgspec.Meta(ge=1, le=2**32)]
    standing_q16: Share
    retrospective: Annotated[int, msgspec.Meta(ge=0, le=1)]


_NEW: Final = RaterTally(good_q16=0, bad_q16=0, attested=False)
_NEW_ATTESTED: Final = RaterTally(good_q16=0, bad_q16=0, attested=True)
NEW_PLATFORM: Final = PlatformTally(
    opened=0,
    closed=0,
    newcomers=0,
    newcomers_good=0,
    overdue=0,
    offset_strong=OFFSET_ZERO,
    offset_other=OFFSET_ZERO,
)


def new_rater(assurance: str) -> RaterTally:
    """The tally of a subject that has just been registered with this assurance level."""
    return _NEW_ATTESTED if assurance in ATTESTED else _NEW


def grade_of(scale: Scale, value: int) -> int:
    """A rating's signed grade in Q16, −65,536…65,536: below 0 bad, 0 neither, above 0 good.

    Bad: ⌊(middle − value) · 2^16 / (middle − low)⌋ below zero. Good (from `good_from` up):
    ⌊(value − middle) · 2^16 / (high − middle)⌋, at least 1.
    """
    if value < scale.middle:
        return -((scale.middle - value) * Q16_ONE // (scale.middle - scale.low))
    if value < scale.good_from:
        return 0
    return max(1, (value - scale.middle) * Q16_ONE // max(1, scale.high - scale.middle))


def severity_excess(grade: int, model: Model) -> int:
    """What a bad grade adds to the weight 1 of a bad result (Q16); 0 for any other grade."""
    if grade >= 0:
        return 0
    return min(model.severity_cap, -grade * model.severity_slope // Q16_ONE)


def standing(tally: RaterTally, model: Model) -> int:
    """The standing of a rater in Q16, 0…65,535."""
    regard = tally.good_q16 - model.rater_bad_factor * tally.bad_q16
    if tally.attested:
        regard += model.attested_bonus
    regard = min(REGARD_MAX, max(0, regard))
    return regard * Q16_ONE // (regard + model.standing_half)


def damped(amount: int, given_q16: int, half: int) -> int:
    """amount · half / (half + ratings given of late): what one's word is worth who gives many."""
    return amount * (half << 16) // ((half << 16) + given_q16)


def after_rating(
    tally: RaterTally, grade: int, rater_standing: int, given_q16: int, model: Model
) -> RaterTally:
    """The tally of the rated party after a rating of this grade by a rater of this standing, who
    has given so many ratings of late (Q16)."""
    if grade > 0:
        lifted = damped(rater_standing, given_q16, model.lift_half)
        good = min(SUM_MAX, tally.good_q16 + lifted)
        return RaterTally(good_q16=good, bad_q16=tally.bad_q16, attested=tally.attested)
    if grade < 0:
        weight = rater_standing * (Q16_ONE + severity_excess(grade, model)) // Q16_ONE
        bad = min(SUM_MAX, tally.bad_q16 + weight)
        return RaterTally(good_q16=tally.good_q16, bad_q16=bad, attested=tally.attested)
    return tally


@cache
def worker_sign(status: str, fault: str, acceptance: str) -> int:
    """What an outcome says about its worker: 1 good, −1 bad, 0 nothing.

    Good: completed and accepted (or nothing said of acceptance). Bad: late or rejected, unless by
    the client's fault; cancelled by the worker or no-show, unless by the client's or by nobody's
    fault (declared illness). All else is neutral.
    """
    if status == "completed":
        if acceptance in {"accepted", "unknown"}:
            return 1
        at_fault = {"rejected": fault != "client", "partial": fault in {"worker", "shared"}}
        return -1 if at_fault[acceptance] else 0
    if status == "late":
        return 0 if fault == "client" else -1
    if status in {"cancelled-by-worker", "no-show"}:
        return -1 if fault in {"worker", "shared"} else 0
    return 0


@cache
def client_sign(status: str, fault: str, acceptance: str) -> int:
    """What an outcome says about its client: −1 by its fault, 1 completed and accepted, else 0."""
    if fault in {"client", "shared"}:
        return -1
    return 1 if status == "completed" and acceptance == "accepted" else 0


def after_open(tally: PlatformTally) -> PlatformTally:
    """The platform's tally after one of its engagements was opened."""
    return PlatformTally(
        tally.opened + 1,
        tally.closed,
        tally.newcomers,
        tally.newcomers_good,
        tally.overdue,
        tally.offset_strong,
        tally.offset_other,
        tally.sources,
    )


def after_outcome(
    tally: PlatformTally,
    sign: int,
    *,
    earlier_results: int,
    attested: bool,
    client_standing: int,
    offset: tuple[int, int],
    model: Model,
) -> PlatformTally:
    """The platform's tally after an outcome.

    `sign`: `worker_sign`; `earlier_results`: outcomes that the worker's handle had before this one;
    `attested`: the outcome's basis is the platform's own word; `client_standing`: Q16. A newcomer's
    result counts if it is on the platform's own word or on that of a client of some standing. When
    `newcomer_window` results are tallied, both counts are halved: the rate is that of late.
    `offset`: its two parts after the outcome (`ledger/bureau/offset.py`).
    """
    heard = attested or client_standing >= model.newcomer_standing_from
    counts = sign != 0 and heard and earlier_results < model.newcomer_results
    newcomers = tally.newcomers + (1 if counts else 0)
    newcomers_good = tally.newcomers_good + (1 if counts and sign > 0 else 0)
    if newcomers >= model.newcomer_window:
        newcomers, newcomers_good = newcomers // 2, newcomers_good // 2
    return PlatformTally(
        tally.opened,
        tally.closed + 1,
        newcomers,
        newcomers_good,
        tally.overdue,
        *offset,
        tally.sources,
    )


def after_overdue(tally: PlatformTally, change: int) -> PlatformTally:
    """The platform's tally after `change` more (or less) of its open engagements are overdue."""
    return replace(tally, overdue=tally.overdue + change)
