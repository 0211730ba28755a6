"""The reduction of schedules: down to what is needed, within its bound, of what is found again."""

from tests.simulation.checkers import Violation
from tests.simulation.schedules import Event, Schedule
from tests.simulation.shrink import reduce
from tests.simulation.transcript import Recorder

EVENTS = tuple(Event(at, "crash", (at % 4,)) for at in range(32))
WHOLE = Schedule(1, 4, EVENTS, 32)
NEEDED = (EVENTS[3], EVENTS[17], EVENTS[18])


class Runs:
    """Breaks a rule wherever all that is needed happens, in the first so many runs."""

    def __init__(self, most: int = 1_000) -> None:
        self.made: list[Schedule] = []
        self._most = most

    def __call__(self, schedule: Schedule, *, recorder: Recorder | None = None) -> None:
        self.made.append(schedule)
        if recorder is not None:
            for event in schedule.events:
                recorder.happens(event.at_ms, str(event))
        if set(NEEDED) <= set(schedule.events) and len(self.made) <= self._most:
            raise Violation(f"fork: {len(schedule.events)} events")


def test_what_is_needed_remains_and_is_run_and_told_once_more() -> None:
    runs = Runs()
    reduced = reduce(WHOLE, Violation("fork: 32 events"), run=runs)  # type: ignore[arg-type]
    assert reduced.schedule.events == NEEDED
    assert runs.made[-1] == reduced.schedule
    assert str(reduced.violation) == "fork: 3 events", "that of the reduced schedule"
    assert len(reduced.transcript) == len(NEEDED) + 1


def test_the_bound_is_kept() -> None:
    runs = Runs()
    reduced = reduce(WHOLE, Violation("fork: 32 events"), trials_max=5, run=runs)  # type: ignore[arg-type]
    assert reduced.trials == 5
    assert len(runs.made) == 5 + 2, "and one before, one after"
    assert set(NEEDED) <= set(reduced.schedule.events) < set(EVENTS)


def test_another_violation_is_no_proof() -> None:
    reduced = reduce(WHOLE, Violation("no progress"), run=Runs())  # type: ignore[arg-type]
    assert reduced.schedule == WHOLE


def test_what_is_not_found_again_is_told_as_it_stands() -> None:
    """One schedule ran in two ways: that itself is the fault, and no part of it means anything."""
    first = Violation("one schedule ran in two ways")
    runs = Runs(0)
    reduced = reduce(WHOLE, first, run=runs)  # type: ignore[arg-type]
    assert (reduced.schedule, reduced.violation) == (WHOLE, first)
    assert len(runs.made) == 1
    assert len(reduced.transcript) == len(EVENTS) + 1
