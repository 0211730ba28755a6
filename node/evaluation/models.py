"""What every model of an evaluation does: expect, and learn. And the node's own model as one."""

from collections.abc import Sequence
from typing import Protocol, Self

from msgspec.structs import replace

from ledger.bureau.model import Q16_ONE, Model
from node.evaluation.course import Course
from node.evaluation.events import DataSet, Event
from node.evaluation.ground import parameters_of

Expected = tuple[float, float | None, float | None]
"""A probability and, where the model has one, its 90 % interval."""


class Forecast(Protocol):
    """A model under way through one set's events. Batches come in order of time."""

    def foresee(self, events: Sequence[Event], now_ms: int) -> None:
        """Be told, at `now_ms`, of the next batch's engagements; of how they end, nothing."""
        ...

    def expect(self, platform: int, rated: str, as_of_ms: int) -> Expected:
        """How probable it is that the next engagement of this worker is good."""
        ...

    def learn(self, events: Sequence[Event]) -> None:
        """Take in the results of a batch."""
        ...

    def settle(self, now_ms: int) -> None:
        """Let all that was learned count from now on, even where that is usually put off."""
        ...

    def branch(self) -> Self:
        """A copy that goes on by itself."""
        ...


class Standing:
    """The node's own model: the bureau's integer score over the ledger's files.

    The score abstains on a thin file; a measure needs a number for each event. So it is asked with
    the thin-file line at 0, all else the same: what it would have said.
    """

    def __init__(self, data: DataSet, model: Model) -> None:
        self.course = Course(data, parameters_of(replace(model, thin_evidence=0), data))

    def foresee(self, events: Sequence[Event], now_ms: int) -> None:
        """Open the batch's engagements, and execute what was told."""
        self.course.open(events, now_ms)
        self.course.execute(now_ms)

    def expect(self, platform: int, rated: str, as_of_ms: int) -> Expected:
        """The score's probability and interval."""
        told = self.course.ask(platform, rated, as_of_ms)
        assert told.probability_q16 is not None, "without a thin-file line nothing is thin"
        return told.probability_q16 / Q16_ONE, told.low_q16 / Q16_ONE, told.high_q16 / Q16_ONE

    def learn(self, events: Sequence[Event]) -> None:
        """Tell the results; they are executed with the next batch's opens."""
        self.course.close(events)

    def settle(self, now_ms: int) -> None:
        """Execute what was told."""
        self.course.execute(now_ms)

    def branch(self) -> Self:
        """A course of its own from here on."""
        other = object.__new__(type(self))
        other.course = self.course.branch()
        return other
