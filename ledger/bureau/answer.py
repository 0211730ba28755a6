"""What is asked of the bureau, and what it answers. Probabilities are Q16; times are in ms."""

from typing import Annotated, Final, Literal

import msgspec

from ledger.encoding import Code, Handle, PlatformNumber, TimeMs, Uint, Value

SubjectRole = Literal["worker", "client"]
DomainAsked = Annotated[
    str,
    msgspec.Meta(max_length=48, pattern=r"^(?:[a-z0-9]+(?:[.-][a-z0-9]+)*)?\Z"),
]

REASONS_SHOWN_MAX: Final = 4
REASON_CODES: Final = (
    "platform-newcomers",
    "platform-offset",
    "good-outcomes",
    "few-strong-counterparties",
    "weak-evidence-capped",
    "idle-decay",
    "other-domains",
    "other-platforms",
    "old-bad-outcomes",
    "recent-bad-outcomes",
    "thin-file",
    "other",
)


class Question(Value):
    """Whose score, as a worker or as a client, in which domain (empty: all work), at what time."""

    platform: PlatformNumber
    handle: Handle
    role: SubjectRole
    domain: DomainAsked
    as_of: TimeMs


class Reason(Value):
    """A named contribution in points. All of an answer's add up to its points − base points."""

    code: str
    points: int


class Counts(Value):
    """How many engagements stand behind an answer, in the whole closure of files.

    engagements: all in this role; good, bad, neutral: closed (or rated) ones by what they say;
    open, overdue: not closed, and whether their due window is over; expired: bad ones that are too
    old to count; attested: good or bad ones on the platform's own word; strong, weak: those on a
    counterparty's word, by its standing; retrospective: opened in hindsight; off_domain, elsewhere:
    good or bad ones outside the domain, from another platform; files: in the closure; erased:
    leaves of a type that the score reads, erased from these files (they are *partly erased* if it
    is not 0); weight_q16: undecayed evidence, for the thin-file line.
    """

    engagements: Uint
    good: Uint
    bad: Uint
    neutral: Uint
    open: Uint
    overdue: Uint
    expired: Uint
    attested: Uint
    strong: Uint
    weak: Uint
    retrospective: Uint
    off_domain: Uint
    elsewhere: Uint
    files: Uint
    erased: Uint
    weight_q16: Uint


class Transfer(Value):
    """What evidence from another platform weighs in this answer, and how sure that is.

    `weight_q16` with its interval (90 %); `workers`: shared workers by whom it is measured. With
    none it is the model's. About a client it always is: results of workers are measured.
    """

    platform: PlatformNumber
    weight_q16: Uint
    low_q16: Uint
    high_q16: Uint
    workers: Uint


class Answer(Value):
    """The bureau's answer.

    `probability_q16` and `points` are nil if the file is thin: then only the interval (5 % and 95 %
    quantiles) says something. `base_points` is where a newcomer starts; `last_at` the date of the
    newest good or bad result, or nil. `transfers`: one for each other platform that good or bad
    results come from, ascending.
    """

    question: Question
    model: Code
    probability_q16: Uint | None
    points: Uint | None
    low_q16: Uint
    high_q16: Uint
    thin_file: bool
    base_points: Uint
    reasons: tuple[Reason, ...]
    evidence: Counts
    last_at: TimeMs | None
    transfers: tuple[Transfer, ...]
