"""What an evaluation is fed with: events in order of time, each with a known result.

An *event* is one engagement of which a data set tells how it ended: somebody (`rated`) worked for
somebody (`rater`), and it was good or bad. Where the set has graded opinions, `grade` is the
rating's place on the set's scale, in steps from its low end.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from ledger.parameters import Scale

Basis = Literal["platform", "counterparty"]
Part = Literal["test", "fit"]

PARTS: dict[Part, tuple[float, float]] = {"test": (0.5, 1.0), "fit": (0.1, 0.5)}
"""Which share of a set's events is measured: the last half, or, to fit by, the first without its
first tenth. Constants may be chosen by `fit` only."""


@dataclass(frozen=True, slots=True)
class Event:
    """One engagement with its result. `place` counts a set's events from 0, in order of time."""

    place: int
    time_ms: int
    platform: int
    rater: str
    rated: str
    good: bool
    grade: int | None
    format: str
    domain: str


@dataclass(frozen=True, slots=True)
class DataSet:
    """A set's events in order of time, and what is to be known about it.

    `name` as a result is called by; `basis`: on whose word results are; `scale`: of the grades, or
    None; `verified`: raters whom the platform vouches for; `platforms`: their names, by number from
    1; `dropped`: rows that are no event, by reason.
    """

    name: str
    title: str
    note: str
    basis: Basis
    scale: Scale | None
    verified: frozenset[str]
    platforms: tuple[str, ...]
    domains: tuple[str, ...]
    events: tuple[Event, ...]
    dropped: dict[str, int]

    @property
    def has_raters(self) -> bool:
        """Whether results are many counterparties' word, so that raters can be told apart."""
        return self.basis == "counterparty"

    def span(self, part: Part) -> range:
        """The places of the events that are measured."""
        low, high = PARTS[part]
        return range(int(len(self.events) * low), int(len(self.events) * high))


def batches(events: Sequence[Event]) -> Iterator[tuple[Event, ...]]:
    """Events of equal time together, in order: predicted together, then learned together."""
    for _, group in groupby(events, key=lambda event: event.time_ms):
        yield tuple(group)
