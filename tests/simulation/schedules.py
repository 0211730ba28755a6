"""Random schedules: seeded work, weather, crashes, cuts, pauses and Byzantine actors, then healing.

A run ends with everything healed and restarted: then all must become final, certified and silent
within a bound. Safety is checked at every step.
"""

from dataclasses import dataclass
from random import Random

from consensus.quorum import faults
from tests.simulation.actors import ACTORS
from tests.simulation.checkers import check
from tests.simulation.cluster import Cluster, Weather, quick_bounds


@dataclass(frozen=True)
class Outcome:
    seed: int
    simulated_ms: int
    faults: int
    blocks: int
    recovery_ms: int
    trace: str
    actors: tuple[str, ...]


def random_cluster(random: Random, n: int, seed: int, *, byzantine: bool) -> Cluster:
    harsh = random.random() < 0.5
    weather = Weather(
        delay_us=random.choice([500, 2_000, 20_000, 80_000]),
        jitter_us=random.choice([500, 5_000, 100_000, 400_000]),
        loss=random.choice([0.0, 0.05, 0.3]) if harsh else 0.0,
        duplicate=random.choice([0.0, 0.2]) if harsh else 0.0,
        reorder=harsh and random.random() < 0.5,
    )
    bounds = quick_bounds(random.choice([1, 2, 4, 64]))
    skew = random.choice([20, 20, 5_000, 3_600_000])
    cluster = Cluster(n, seed, weather=weather, bounds=bounds, skew_ms=skew)
    if byzantine and random.random() < 0.6:
        for number in random.sample(sorted(cluster.nodes), faults(n)):
            name = random.choice(sorted(ACTORS))
            cluster.make_byzantine(number, ACTORS[name]()).actor = name
    return cluster.start()


def disturb(cluster: Cluster, random: Random) -> None:
    """One random event."""
    n = len(cluster.nodes)
    number = random.randrange(1, n + 1)
    match random.randrange(12):
        case 0:
            cluster.crash(number, keep=random.randrange(4))
        case 1 | 2:
            cluster.restart(number)
        case 3:
            side = tuple(random.sample(range(1, n + 1), random.randrange(1, n)) if n > 1 else (1,))
            cluster.partition(side, tuple(set(range(1, n + 1)) - set(side)))
        case 4:
            cluster.block(number, random.randrange(1, n + 1))
        case 5 | 6:
            cluster.heal()
        case 7:
            pause_us = random.randrange(3_000_000)
            cluster.nodes[number].paused_until_us = cluster.clock.now_us + pause_us
        case 8 if random.random() < 0.2:
            for each in cluster.nodes:
                cluster.crash(each, keep=random.randrange(3))
            for each in cluster.nodes:
                cluster.restart(each)
        case _:
            cluster.submit(number, random.choice([0, 1, 1, 5]))


def run(seed: int, n: int = 4, *, byzantine: bool = True, events: int = 40) -> Outcome:
    """One seeded schedule; raises Violation."""
    random = Random(seed * 1_000_003 + n)
    cluster = random_cluster(random, n, seed, byzantine=byzantine)
    for _ in range(events):
        disturb(cluster, random)
        cluster.run_ms(random.choice([1, 5, 30, 200, 700]))
    cluster.network.weather = Weather()
    for node in cluster.nodes.values():
        node.paused_until_us = 0
    for number in cluster.nodes:
        cluster.restart(number)
    cluster.heal()
    cluster.run_ms(500)
    cluster.relink()
    for node in cluster.honest():
        cluster.submit(node.number, 1)
    recovery = cluster.settle()
    check(recovery < 60_000, "recovery takes too long")
    return Outcome(
        seed,
        cluster.clock.now_us // 1_000,
        cluster.faults,
        max(cluster.checker.blocks, default=0),
        recovery,
        cluster.trace.hexdigest(),
        tuple(node.actor for node in cluster.nodes.values() if node.actor),
    )
