"""Where attacks take place: a set's history up to 70 % of its events, and who is who by then.

Targets and accomplices are drawn by seed from those whom the bare history qualifies, whatever any
model thinks of them:

    bad           at least 5 results, at most 30 % good, the last one not 90 days old
                  (a year, where too few qualify)
    good          at least 10 results, at least 95 % good, the last one not 90 days old
    good, idle    the same, but none within the last year
    established   as good, and not among the targets: accomplices, and those who deal with
                  infiltrators in good faith
"""

import random
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

from node.evaluation.events import DataSet, Event

DAY_MS: Final = 86_400_000
CUT: Final = 0.7
TARGETS: Final = 5
ESTABLISHED_MAX: Final = 200
RECENT_DAYS: Final = 90
IDLE_DAYS: Final = 365
_FIRST_PLACE: Final = 1_000_000_000

Who = tuple[int, str]
"""Platform and name."""


@dataclass(slots=True)
class _Past:
    good: int = 0
    bad: int = 0
    last_ms: int = 0

    @property
    def count(self) -> int:
        return self.good + self.bad


@dataclass(frozen=True, slots=True)
class Scene:
    """A history that an attack sets in at: its time, the targets, the established.

    `domain` and `format` are the history's commonest, for made-up events to look alike.
    """

    now_ms: int
    place: int
    bad: tuple[Who, ...]
    good: tuple[Who, ...]
    idle: tuple[Who, ...]
    established: tuple[Who, ...]
    best: int | None
    worst: int | None
    domain: str
    format: str


@dataclass(slots=True)
class Script:
    """The made-up events of one attack, in the making."""

    scene: Scene
    seed: int
    made: list[Event] = field(default_factory=list)
    draw: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)  # noqa: S311 - a drawing, not a secret

    def fakes(self, count: int) -> list[str]:
        """Names of accounts made up for this attack."""
        return [f"fake {self.seed} {nth}" for nth in range(count)]

    def deal(self, rater: str, rated: Who, day: float, *, good: bool) -> None:
        """`rater` deals with `rated` so many days in, and finds them as good (or bad) as can be."""
        scene = self.scene
        self.made.append(
            Event(
                place=_FIRST_PLACE + len(self.made),
                time_ms=scene.now_ms + 1 + int(day * DAY_MS),
                platform=rated[0],
                rater=rater,
                rated=rated[1],
                good=good,
                grade=scene.best if good else scene.worst,
                format=scene.format,
                domain=scene.domain,
            )
        )

    def events(self) -> tuple[Event, ...]:
        """All events in order of time."""
        return tuple(sorted(self.made, key=lambda event: (event.time_ms, event.place)))


def scene_of(data: DataSet, seed: int, cut: float = CUT) -> Scene | None:
    """The scene of a set after this share of its events, or None where too few qualify."""
    place = int(len(data.events) * cut)
    past = data.events[:place]
    if not past or not data.has_raters:
        return None
    now_ms = past[-1].time_ms
    people: defaultdict[Who, _Past] = defaultdict(_Past)
    for event in past:
        person = people[event.platform, event.rated]
        person.good += event.good
        person.bad += not event.good
        person.last_ms = event.time_ms
    draw = random.Random(seed)  # noqa: S311 - a drawing, not a secret
    bad: list[Who] = []
    for days in (RECENT_DAYS, IDLE_DAYS):
        if len(bad) < TARGETS:
            since = now_ms - days * DAY_MS
            bad = [w for w, p in people.items() if _is_bad(p) and p.last_ms >= since]
    proven = {w: p for w, p in people.items() if _is_good(p)}
    good = [w for w, p in proven.items() if now_ms - p.last_ms <= RECENT_DAYS * DAY_MS]
    idle = [w for w, p in proven.items() if now_ms - p.last_ms > IDLE_DAYS * DAY_MS]
    if min(len(bad), len(good)) < TARGETS:
        return None
    targets = _drawn(draw, bad, TARGETS), _drawn(draw, good, TARGETS), _drawn(draw, idle, TARGETS)
    rest = [w for w in good if w not in targets[1]]
    return Scene(
        now_ms=now_ms,
        place=place,
        bad=targets[0],
        good=targets[1],
        idle=targets[2],
        established=_drawn(draw, rest, ESTABLISHED_MAX),
        best=None if data.scale is None else data.scale.high,
        worst=None if data.scale is None else data.scale.low,
        domain=_commonest([event.domain for event in past]),
        format=_commonest([event.format for event in past]),
    )


def _is_bad(past: _Past) -> bool:
    return past.count >= 5 and past.good <= 0.3 * past.count


def _is_good(past: _Past) -> bool:
    return past.count >= 10 and past.good >= 0.95 * past.count


def _drawn(draw: random.Random, people: list[Who], count: int) -> tuple[Who, ...]:
    ordered = sorted(people)
    return tuple(draw.sample(ordered, min(count, len(ordered))))


def _commonest(values: list[str]) -> str:
    return max(sorted(set(values)), key=values.count)
