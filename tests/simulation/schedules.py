"""Schedules: a seed's list of events, drawn first and then run, so that any part of it runs alike.

`draw` makes the list from a seed: which faults are in the mix (all of them at random, or just the
named ones), then some forty events (fewer for large networks) at their moments. `perform` runs a
list: safety is checked at every step; it ends with everything healed and restarted, and then all
must become final, certified and silent within a bound. Equal schedule, equal trace.

With `changes`, platforms join, leave, are removed and rotate their keys as well, and one that has
lost its store comes back by a rotation; never so many that more than f of a set could be faulty.
"""

from dataclasses import dataclass
from random import Random

from consensus.quorum import faults
from tests.simulation.actors import ACTORS
from tests.simulation.checkers import Violation, check
from tests.simulation.cluster import Cluster, Weather, quick_bounds
from tests.simulation.faults import FAULTS, KINDS, LASTING, LIARS, RELIEF, STORES, Args, Run, calm
from tests.simulation.transcript import Recorder

RECOVERY_MS_MAX = 60_000
EVENTS = 40
EVENTS_MIN = 8
"""Of a schedule of up to ten nodes; larger networks are given fewer, down to so many."""
GAPS_MS = (1, 5, 30, 200, 700)
CODEC_EVERY = 4
"""One seed of so many sends all its messages through the wire's bytes …"""
REAL_EVERY = 50
"""… and one of so many signs with real keys."""
BYZANTINE_ODDS = 0.6
TWINS_ODDS = 0.12


@dataclass(frozen=True)
class Event:
    """Something that happens so long after the start (lasting faults: before it)."""

    at_ms: int
    kind: str
    args: Args = ()

    def __str__(self) -> str:
        said = " ".join([self.kind, *map(str, self.args)])
        return said if len(said) <= 100 else said[:97] + "…"


@dataclass(frozen=True)
class Schedule:
    """Everything that a run depends on."""

    seed: int
    nodes: int
    events: tuple[Event, ...]
    end_ms: int
    epoch_blocks: int = 64
    real_signatures: bool = False
    changes: bool = False


@dataclass(frozen=True)
class Outcome:
    seed: int
    simulated_ms: int
    faults: int
    blocks: int
    recovery_ms: int
    trace: str
    actors: tuple[str, ...]
    forgotten: int
    """Platforms whose keys fell silent for ever."""


# --- drawing ---


def draw(
    seed: int,
    n: int = 4,
    *,
    mix: tuple[str, ...] | None = None,
    events: int = 0,
    changes: bool = False,
) -> Schedule:
    """A seed's schedule. `mix`: the faults to draw from; None for a mix that is drawn, too.
    `events`: how many; 0 for as many as networks of this size are given."""
    events = events or max(EVENTS_MIN, EVENTS * min(10, n) // n)
    random = Random(seed * 1_000_003 + n)
    chosen = _any_mix(random, seed, n, changes=changes) if mix is None else mix
    made = [Event(0, *each) for each in _lasting(random, n, chosen)]
    passing = {name: KINDS[name] for name in chosen if KINDS[name].weight} | RELIEF
    passing["submit"] = KINDS["submit"]
    at_ms = 0
    names, weights = list(passing), [each.weight for each in passing.values()]
    for _ in range(events):
        name = random.choices(names, weights)[0]
        made.append(Event(at_ms, name, passing[name].draw(random, n)))
        if "twins" in chosen and random.random() < 0.3:
            made.append(Event(at_ms, "split", KINDS["split"].draw(random, n)))
        if changes and random.random() < 0.3:
            made.append(Event(at_ms, "change", KINDS["change"].draw(random, n)))
        at_ms += random.choice(GAPS_MS)
    return Schedule(
        seed,
        n,
        tuple(made),
        at_ms,
        random.choice([1, 2, 3, 8] if changes else [1, 2, 4, 64]),
        real_signatures=seed % REAL_EVERY == REAL_EVERY - 1,
        changes=changes,
    )


def _any_mix(random: Random, seed: int, n: int, *, changes: bool) -> tuple[str, ...]:
    """Some of all faults: what is left out makes room for the rest."""
    mix = ["delay"]
    if random.random() < 0.5:
        mix += [name for name in ("loss", "duplicate", "reorder") if random.random() < 0.5]
    odds = {"skew": 0.5, "slow_disk": 0.15, "hasty": 0.15, "lost_finality": 0.1}
    mix += [name for name, odd in odds.items() if random.random() < odd]
    if seed % CODEC_EVERY == 0:
        mix.append("codec")
    if faults(n) and random.random() < BYZANTINE_ODDS:
        is_double = random.random() < TWINS_ODDS
        mix += ["twins"] if is_double else [random.choice(sorted(ACTORS)) for _ in range(faults(n))]
    for name, fault in FAULTS.items():
        if fault.weight and random.random() < 0.75 and not (changes and name in STORES):
            mix.append(name)
    return tuple(mix)


def _lasting(random: Random, n: int, mix: tuple[str, ...]) -> list[tuple[str, Args]]:
    """The lasting faults of a mix with their arguments: liars are distinct platforms."""
    made: list[tuple[str, Args]] = []
    free = random.sample(range(1, n + 1), n)
    for name in mix:
        if name not in LASTING:
            continue
        args = KINDS[name].draw(random, n)
        if name in LIARS or name in ("byzantine", "twins"):
            args = (free.pop(), *args[1:])
        made.append(("byzantine" if name in LIARS else name, args))
    return made


# --- running ---


def perform(
    schedule: Schedule, *, forks_only: bool = False, recorder: Recorder | None = None
) -> Outcome:
    """Run a schedule. `forks_only`: with rules that are broken on purpose, look for forks alone.

    Raises:
        Violation: a rule of safety or progress is broken.
    """
    cluster = Cluster(
        schedule.nodes,
        schedule.seed,
        weather=Weather(),
        bounds=quick_bounds(schedule.epoch_blocks),
        real_signatures=schedule.real_signatures,
    )
    cluster.recorder = recorder
    cluster.checker.forks_only = forks_only
    run = Run(cluster, schedule.changes)
    try:
        _run(run, schedule)
        recovery_ms = 0 if forks_only else _recover(run)
    except Violation:
        raise
    except Exception as error:  # a node must not fail, whatever happens
        raise Violation(f"a node failed: {type(error).__name__}: {error}") from error
    return Outcome(
        schedule.seed,
        cluster.clock.now_us // 1_000,
        cluster.faults,
        max(cluster.checker.blocks, default=0),
        recovery_ms,
        cluster.trace.hexdigest(),
        tuple(node.actor for node in cluster.nodes.values() if node.actor),
        len(cluster.checker.forgotten),
    )


def _run(run: Run, schedule: Schedule) -> None:
    cluster = run.cluster
    for event in schedule.events:
        if event.kind in LASTING:
            _cause(run, event)
    cluster.start()
    if run.twins is not None:
        run.twins.start_second()
    start_us = cluster.clock.now_us
    for event in schedule.events:
        if event.kind not in LASTING:
            _run_to(cluster, start_us + event.at_ms * 1_000)
            _cause(run, event)
    _run_to(cluster, start_us + schedule.end_ms * 1_000)


def _cause(run: Run, event: Event) -> None:
    run.cluster.happens(str(event))
    KINDS[event.kind].cause(run, *event.args)


def _run_to(cluster: Cluster, at_us: int) -> None:
    cluster.run_ms(max(0, at_us - cluster.clock.now_us) // 1_000)


def _recover(run: Run) -> int:
    """Heal everything; how long (ms) until all is final, certified and silent."""
    cluster = run.cluster
    cluster.happens("all faults end")
    calm(run)
    for node in cluster.honest():
        cluster.submit(node.number, 1)
    recovery_ms = cluster.settle(RECOVERY_MS_MAX)
    check(recovery_ms < RECOVERY_MS_MAX, "recovery takes too long")
    return recovery_ms


def run(seed: int, n: int = 4, *, changes: bool = False, **other: object) -> Outcome:
    """Draw a seed's schedule and run it; raises Violation."""
    return perform(draw(seed, n, changes=changes, **other))  # type: ignore[arg-type]
