"""Random schedules: seeded work, weather, crashes, cuts, pauses and Byzantine actors, then healing.

With `changes`, platforms join, leave, are removed and rotate their keys as well, and one that has
lost its store comes back by a rotation; never so many that more than f of a set could be faulty.

A run ends with everything healed and restarted: then all must become final, certified and silent
within a bound. Safety is checked at every step.
"""

from dataclasses import dataclass
from random import Random

from consensus.quorum import faults
from tests.simulation.actors import ACTORS
from tests.simulation.checkers import check
from tests.simulation.cluster import Cluster, Weather, quick_bounds
from tests.simulation.execution import leave

NODES_MAX = 10


@dataclass(frozen=True)
class Outcome:
    seed: int
    simulated_ms: int
    faults: int
    blocks: int
    recovery_ms: int
    trace: str
    actors: tuple[str, ...]


def random_cluster(
    random: Random, n: int, seed: int, *, byzantine: bool, changes: bool = False
) -> Cluster:
    harsh = random.random() < 0.5
    weather = Weather(
        delay_us=random.choice([500, 2_000, 20_000, 80_000]),
        jitter_us=random.choice([500, 5_000, 100_000, 400_000]),
        loss=random.choice([0.0, 0.05, 0.3]) if harsh else 0.0,
        duplicate=random.choice([0.0, 0.2]) if harsh else 0.0,
        reorder=harsh and random.random() < 0.5,
    )
    bounds = quick_bounds(random.choice([1, 2, 3, 8] if changes else [1, 2, 4, 64]))
    skew = random.choice([20, 20, 5_000, 3_600_000])
    cluster = Cluster(n, seed, weather=weather, bounds=bounds, skew_ms=skew)
    if byzantine and random.random() < 0.6:
        for number in random.sample(sorted(cluster.nodes), faults(n)):
            name = random.choice(sorted(ACTORS))
            cluster.make_byzantine(number, ACTORS[name]()).actor = name
    return cluster.start()


def disturb(cluster: Cluster, random: Random) -> None:
    """One random event."""
    numbers = sorted(cluster.nodes)
    n = len(numbers)
    number = random.choice(numbers)
    match random.randrange(12):
        case 0:
            cluster.crash(number, keep=random.randrange(4))
        case 1 | 2:
            cluster.restart(number)
        case 3:
            side = tuple(random.sample(numbers, random.randrange(1, n)) if n > 1 else numbers)
            cluster.partition(side, tuple(set(numbers) - set(side)))
        case 4:
            cluster.block(number, random.choice(numbers))
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


def lose(cluster: Cluster, number: int) -> None:
    """Its store is gone, and with it what it alone held; its keys come back as new ones. What it
    signs in between may contradict what nobody within reach knows: that is a faulty node's."""
    cluster.lose_store(number)
    checker = cluster.checker
    checker.excuse(number)
    for hash_, owner in list(checker.acknowledged.items()):
        if owner == number and hash_ not in checker.final:
            del checker.acknowledged[hash_]
    cluster.restart(number)


def faulty(cluster: Cluster, members: tuple[int, ...]) -> int:
    """How many members are Byzantine, or lost their store and have no new keys yet."""
    lost = [n for n in cluster.checker.may_forget if n in members and not is_new(cluster, n)]
    return len(lost) + sum(not cluster.nodes[number].honest for number in members)


def is_new(cluster: Cluster, number: int) -> bool:
    """Whether a platform signs with the newest keys that it has made, and made some."""
    node = cluster.nodes[number]
    newest = node.config.further_keys[-1:]
    return bool(newest) and node.state.keys == newest[0] and node.state.silence is None


def change(cluster: Cluster, random: Random, going: set[int]) -> None:
    """One random change of membership, through any platform. `going`: who was asked to go."""
    members, honest = cluster.members(), cluster.honest()
    by = random.choice(members)
    liars = faulty(cluster, members)
    left = len(set(members) - going) - 1
    trusted = [node.number for node in honest if node.number in members]
    match random.randrange(5):
        case 0 if len(cluster.nodes) < NODES_MAX:
            number = max(cluster.nodes) + 1
            cluster.add_node(number)
            cluster.admit(number, by)
        case 1 if left >= 3 * liars + 1:
            number = random.choice(members)
            going.add(number)
            cluster.record(by, leave(number))
        case 2 | 3 if trusted:
            number = random.choice(trusted)
            generation = 1 + len(cluster.nodes[number].config.further_keys)
            cluster.rotate(number, by, generation)
        case 4 if len(trusted) > 1 and liars < faults(left + 1) and not cluster.checker.may_forget:
            number = random.choice(trusted)
            lose(cluster, number)
            generation = 1 + len(cluster.nodes[number].config.further_keys)
            cluster.rotate(number, random.choice([n for n in trusted if n != number]), generation)
        case _:
            pass


def run(
    seed: int, n: int = 4, *, byzantine: bool = True, events: int = 40, changes: bool = False
) -> Outcome:
    """One seeded schedule; raises Violation."""
    random = Random(seed * 1_000_003 + n)
    cluster = random_cluster(random, n, seed, byzantine=byzantine, changes=changes)
    going: set[int] = set()
    for _ in range(events):
        disturb(cluster, random)
        if changes and random.random() < 0.3:
            change(cluster, random, going)
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
