"""A violation's schedule, reduced: what is not needed for it is left out, as far as the bound goes.

Delta debugging over the list of events: ever smaller runs of events are left out, each trial is a
run of the whole remaining schedule, and a cut stays if a violation of the same kind is still found.
Equal schedule, equal trace: so what is left can be run again at any time.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.simulation.checkers import Violation
from tests.simulation.schedules import Event, Outcome, Schedule, perform
from tests.simulation.transcript import Recorder, tell

TRIALS_MAX = 200

Perform = Callable[..., Outcome]


@dataclass(frozen=True)
class Reduced:
    """A schedule that still breaks the rule, what it breaks, and its story."""

    schedule: Schedule
    violation: Violation
    transcript: tuple[str, ...]
    trials: int


def violation_of(schedule: Schedule, run: Perform = perform, **other: object) -> Violation | None:
    """What a schedule breaks, if anything."""
    try:
        run(schedule, **other)
    except Violation as violation:
        return violation
    return None


def reduce(
    schedule: Schedule,
    violation: Violation,
    *,
    trials_max: int = TRIALS_MAX,
    run: Perform = perform,
    **other: object,
) -> Reduced:
    """Leave out what a violation does not need; then tell what is left.

    One that is not found again (equal schedules ran in two ways) is told as it stands, with the
    whole schedule: nothing that was left out would mean anything.
    """
    trials = 0

    def still(events: tuple[Event, ...]) -> bool:
        nonlocal trials
        trials += 1
        found = violation_of(replace(schedule, events=events), run, **other)
        return found is not None and found.kind() == violation.kind()

    recorder = Recorder()
    again = violation_of(schedule, run, recorder=recorder, **other)
    if again is None or again.kind() != violation.kind():
        return Reduced(schedule, violation, tuple(tell(recorder.lines, violation)), trials)
    events = schedule.events
    size = max(1, len(events) // 2)
    while trials < trials_max and events:
        kept = _cut(events, size, still, lambda: trials < trials_max)
        if kept == events and size == 1:
            break
        size = max(1, min(size, len(kept)) // 2) if kept == events else min(size, len(kept))
        events = kept
    reduced = replace(schedule, events=events)
    recorder = Recorder()
    last = violation_of(reduced, run, recorder=recorder, **other)
    assert last is not None, "equal schedules run alike"
    return Reduced(reduced, last, tuple(tell(recorder.lines, last)), trials)


def _cut(
    events: tuple[Event, ...],
    size: int,
    still: Callable[[tuple[Event, ...]], bool],
    may: Callable[[], bool],
) -> tuple[Event, ...]:
    """Leave out each run of so many events that is not needed, from the last to the first."""
    start = len(events)
    while start > 0 and may():
        first = max(0, start - size)
        without = events[:first] + events[start:]
        if still(without):
            events = without
        start = first
    return events
