"""The closed list of faults that a schedule may name, as data: what each means, how its arguments
are drawn, and what it does to a running network. Arguments are integers and words, so that a
schedule is a value: any part of it can be run again.

*Lasting* faults are in force from before the start until all heals; *passing* ones happen at a
moment. `RELIEF` and `WORK` are what else may happen: healing, restarts, records, other members.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from consensus.certificate import FINALIZE
from consensus.config import Timing
from consensus.messages import Blocks, CertificateMessage, Cosignature, Message, Vote
from consensus.quorum import faults
from ledger.errors import StoreDamaged
from ledger.store import CHECKPOINT, CONSENSUS, HEADER, SUBMISSION, MemoryStore, after
from tests.simulation.actors import ACTORS
from tests.simulation.cluster import Cluster
from tests.simulation.execution import leave
from tests.simulation.twins import TWIN, Twins

Args = tuple[int | str, ...]

NODES_MAX = 10
"""Platforms that `change` lets a network grow to."""
HASTY = Timing(view_timeout_ms=100, view_timeout_max_ms=400)


@dataclass
class Run:
    """A network under a schedule, and what its faults must remember."""

    cluster: Cluster
    changes: bool = False
    going: set[int] = field(default_factory=set)
    """Platforms that were asked to leave."""
    twins: Twins | None = None

    def bears(self) -> bool:
        """Whether one more of the members may be faulty: lost stores count, and liars."""
        cluster = self.cluster
        has_started = any(node.up for node in cluster.nodes.values())
        members = cluster.members() if has_started else tuple(cluster.nodes)
        left = len(set(members) - self.going)
        return faulty(cluster, members) < faults(left)


Draw = Callable[[Random, int], Args]
Cause = Callable[..., None]


@dataclass(frozen=True)
class Fault:
    """`weight`: how often it is drawn among the passing ones; 0 marks a lasting fault."""

    says: str
    draw: Draw
    cause: Cause
    weight: float = 0.0


# --- drawing ---


def nothing(random: Random, n: int) -> Args:
    return ()


def anyone(random: Random, n: int) -> Args:
    return (random.randrange(1, n + 1),)


def anyone_and(most: int) -> Draw:
    """A platform and a number below `most`."""
    return lambda random, n: (random.randrange(1, n + 1), random.randrange(most))


def two(random: Random, n: int) -> Args:
    return tuple(random.randrange(1, n + 1) for _ in range(2))


def one_of(*chosen: int) -> Draw:
    return lambda random, _: (random.choice(chosen),)


def some_with(most: int) -> Draw:
    """Everybody, or a few, each with a number below `most`: flat pairs."""

    def draw(random: Random, n: int) -> Args:
        count = n if random.random() < 0.5 else random.randrange(1, n + 1)
        numbers = sorted(random.sample(range(1, n + 1), count))
        return tuple(each for number in numbers for each in (number, random.randrange(most)))

    return draw


def a_side(random: Random, n: int) -> Args:
    count = random.randrange(1, n) if n > 1 else 1
    return tuple(sorted(random.sample(range(1, n + 1), count)))


def a_split(random: Random, n: int) -> Args:
    """A side for one of the two twins."""
    return (TWIN, *(number for number in range(1, n + 1) if random.random() < 0.5))


def clocks(random: Random, n: int) -> Args:
    most = random.choice([5_000, 3_600_000])
    return tuple(random.randrange(-most, most + 1) for _ in range(n))


def liar(actor: str) -> Draw:
    return lambda random, n: (random.randrange(1, n + 1), actor)


def any_liar(random: Random, n: int) -> Args:
    return (random.randrange(1, n + 1), random.choice(sorted(ACTORS)))


# --- lasting ---


def delay(run: Run, delay_us: int, jitter_us: int) -> None:
    weather = run.cluster.network.weather
    weather.delay_us, weather.jitter_us = delay_us, jitter_us


def loss(run: Run, percent: int) -> None:
    run.cluster.network.weather.loss = percent / 100


def duplicate(run: Run, percent: int) -> None:
    run.cluster.network.weather.duplicate = percent / 100


def reorder(run: Run) -> None:
    run.cluster.network.weather.reorder = True


def skew(run: Run, *skews_ms: int) -> None:
    for number, skew_ms in enumerate(skews_ms, 1):
        run.cluster.nodes[number].skew_ms = skew_ms


def slow_disk(run: Run, number: int, fsync_ms: int) -> None:
    run.cluster.nodes[number].fsync_us = fsync_ms * 1_000


def hasty(run: Run) -> None:
    for node in run.cluster.nodes.values():
        node.set_timing(HASTY)


def lost_finality(run: Run) -> None:
    """Finalizations are seen by few: so what they rest on is tried by what comes after."""
    random = run.cluster.random

    def is_lost(message: Message) -> bool:
        fragile = isinstance(message, CertificateMessage | Blocks | Cosignature) or (
            isinstance(message, Vote) and message.kind == FINALIZE
        )
        return fragile and random.random() < 0.6

    run.cluster.network.is_lost = is_lost


def codec(run: Run) -> None:
    run.cluster.has_codec = True


def byzantine(run: Run, number: int, actor: str) -> None:
    if not run.cluster.nodes[number].honest or not run.bears():
        return
    run.cluster.make_byzantine(number, ACTORS[actor]()).actor = actor


def twins(run: Run, number: int) -> None:
    if run.twins is None and run.cluster.nodes[number].honest and run.bears():
        run.twins = Twins(run.cluster, number)
        run.cluster.nodes[number].actor = "twins"


# --- passing ---


def crash(run: Run, number: int, keep: int) -> None:
    run.cluster.crash(number, keep=keep)


def power(run: Run, *pairs: int) -> None:
    numbers, keeps = pairs[::2], pairs[1::2]
    for number, keep in zip(numbers, keeps, strict=True):
        run.cluster.crash(number, keep=keep)
    for number in numbers:
        restart(run, number)


def disk_full(run: Run, number: int) -> None:
    run.cluster.faults += 1
    run.cluster.nodes[number].disk_full = True


def partition(run: Run, *side: int) -> None:
    run.cluster.partition(side, tuple(set(run.cluster.nodes) - set(side)))


def one_way(run: Run, source: int, target: int) -> None:
    run.cluster.block(source, target)


def pause(run: Run, number: int, pause_ms: int) -> None:
    run.cluster.faults += 1
    node = run.cluster.nodes[number]
    node.paused_until_us = run.cluster.clock.now_us + pause_ms * 1_000


def clock_jump(run: Run, number: int, by_ms: int) -> None:
    run.cluster.faults += 1
    run.cluster.nodes[number].skew_ms += by_ms - 5_000


def relink(run: Run) -> None:
    run.cluster.relink()


def may_be_lost(run: Run, number: int) -> bool:
    """Whether this platform's store may be harmed: it is honest, whole, and f allows it."""
    node = run.cluster.nodes[number]
    known = node.honest and number not in run.cluster.checker.may_forget
    return known and not node.damaged and number in run.cluster.members() and run.bears()


def store_loss(run: Run, number: int) -> None:
    if may_be_lost(run, number):
        lose(run.cluster, number)


def truncate(run: Run, number: int, groups: int) -> None:
    """The disk comes back without the last groups of rows that it had said were safe."""
    if not may_be_lost(run, number):
        return
    node = run.cluster.nodes[number]
    run.cluster.crash(number)
    store = MemoryStore()
    for changes in node.history[: max(0, len(node.history) - 1 - groups)]:
        store.write(changes)
    run.cluster.set_back(number, store)
    run.cluster.checker.lost(number)
    forget_lost_records(run.cluster, number)


def bit_flip(run: Run, number: int, place: int) -> None:
    """One byte of a row is another now: whoever reads the row is told, as by a checksum."""
    node = run.cluster.nodes[number]
    if not may_be_lost(run, number):
        return
    prefixes = (CONSENSUS, HEADER, SUBMISSION, CHECKPOINT)
    keys = [key for each in prefixes for key, _ in node.store.scan(each, after(each))]
    if keys:
        run.cluster.faults += 1
        node.damaged.add(keys[place % len(keys)])


def split(run: Run, *side: int) -> None:
    if run.twins is not None:
        run.cluster.faults += 1
        run.twins.side = set(side)


# --- relief and work ---


def restart(run: Run, number: int) -> None:
    """Start a node again. One whose disk was full has room; one whose store is damaged has to be
    given a new store, which is a lost one."""
    node = run.cluster.nodes[number]
    node.disk_full = False
    try:
        run.cluster.restart(number)
    except StoreDamaged:
        if not node.damaged:
            raise
        lose(run.cluster, number)


def heal(run: Run) -> None:
    run.cluster.heal()
    if run.twins is not None:
        run.twins.side = set()
        run.twins.relink()


def submit(run: Run, number: int, count: int) -> None:
    if run.twins is not None and run.twins.number == number:
        run.twins.submit(count)
    else:
        run.cluster.submit(number, count)


def calm(run: Run) -> None:
    """End all faults: good weather, room on every disk, everybody up and linked. Stores are looked
    through (`fsck`): one with a damaged row that nobody has read yet is given up as well."""
    network = run.cluster.network
    network.weather = type(network.weather)()
    network.is_lost = None
    for node in run.cluster.nodes.values():
        node.paused_until_us = 0
        node.fsync_us = 1_500
    for number, node in run.cluster.nodes.items():
        restart(run, number)
        if node.damaged:
            lose(run.cluster, number)
    heal(run)
    run.cluster.run_ms(500)
    run.cluster.relink()


# --- stores that are lost ---


def lose(cluster: Cluster, number: int) -> None:
    """Its store is gone, and with it what it alone held. It signs nothing as soon as anybody within
    reach knows better; what it signs before is a faulty node's."""
    cluster.lose_store(number)
    cluster.checker.lost(number)
    forget_lost_records(cluster, number)
    cluster.restart(number)


def forget_lost_records(cluster: Cluster, number: int) -> None:
    checker = cluster.checker
    for hash_, owner in list(checker.acknowledged.items()):
        if owner == number and hash_ not in checker.final:
            del checker.acknowledged[hash_]


def faulty(cluster: Cluster, members: tuple[int, ...]) -> int:
    """How many members are Byzantine, or lost their store and have no new keys yet."""
    lost = {n for n in cluster.checker.may_forget if n in members and not is_new(cluster, n)}
    harmed = {number for number in members if cluster.nodes[number].damaged}
    return len(lost | harmed | {n for n in members if not cluster.nodes[n].honest})


def is_new(cluster: Cluster, number: int) -> bool:
    """Whether a platform signs with the newest keys that it has made, and made some."""
    node = cluster.nodes[number]
    newest = node.config.further_keys[-1:]
    return bool(newest) and node.state.keys == newest[0] and node.state.silence is None


# --- changes of members ---


def change(run: Run, place: int) -> None:
    """One change of membership, through any platform; which one `place` decides."""
    random, cluster, going = Random(place), run.cluster, run.going
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


# --- the lists ---


def said_of(actor: str) -> str:
    """The first line of what an actor's docstring says."""
    said = ACTORS[actor]().__doc__
    assert said, "an actor says what it does"
    return said.splitlines()[0]


def delays(random: Random, n: int) -> Args:
    chosen = random.choice([500, 2_000, 20_000, 80_000])
    return (chosen, random.choice([500, 5_000, 100_000, 400_000]))


def slowness(random: Random, n: int) -> Args:
    return (random.randrange(1, n + 1), random.choice([20, 150, 400]))


FAULTS: dict[str, Fault] = {
    "delay": Fault("messages take up to half a second", delays, delay),
    "loss": Fault("5 or 30 % of all messages are lost", one_of(5, 30), loss),
    "duplicate": Fault("20 % of all messages come twice", one_of(20), duplicate),
    "reorder": Fault("messages overtake each other", nothing, reorder),
    "skew": Fault("every clock is seconds or up to an hour off", clocks, skew),
    "slow_disk": Fault("one disk takes up to 0.4 s a write", slowness, slow_disk),
    "hasty": Fault("views run out after 0.1 to 0.4 s", nothing, hasty),
    "lost_finality": Fault("most finalizations and cosignatures are lost", nothing, lost_finality),
    "codec": Fault("every message goes through the wire's bytes", nothing, codec),
    "byzantine": Fault("a platform breaks rules, in one of the ways below", any_liar, byzantine),
    "twins": Fault("a platform runs twice with the same keys, on two sides", anyone, twins),
    "crash": Fault("a process dies; some writes under way remain", anyone_and(4), crash, 1),
    "power": Fault("some or all lose what was not synced; a restart", some_with(3), power, 0.3),
    "disk_full": Fault("the next write fails and stops the node", anyone, disk_full, 0.4),
    "partition": Fault("the network falls into two sides", a_side, partition, 1),
    "one_way": Fault("a link loses all in one direction, unnoticed", two, one_way, 1),
    "pause": Fault("a process stands still for up to 3 s", anyone_and(3_000), pause, 1),
    "clock_jump": Fault("a clock jumps by up to 5 s", anyone_and(10_000), clock_jump, 0.2),
    "relink": Fault("all links break and are made anew", nothing, relink, 0.3),
    "store_loss": Fault("a store is lost; its keys must fall silent", anyone, store_loss, 0.3),
    "truncate": Fault("a store loses its newest synced rows", anyone_and(6), truncate, 0.2),
    "bit_flip": Fault("a row of a store is damaged", anyone_and(10**6), bit_flip, 0.2),
}
RELIEF: dict[str, Fault] = {
    "restart": Fault("a node starts again", anyone, restart, 2),
    "heal": Fault("all links work again", nothing, heal, 2),
}
WORK: dict[str, Fault] = {
    "submit": Fault("a platform seals a batch", anyone_and(4), submit, 4),
    "split": Fault("the twins' sides change", a_split, split),
    "change": Fault(
        "members come, go, change keys", lambda random, _: (random.randrange(2**32),), change
    ),
}
LIARS: dict[str, Fault] = {
    name: Fault(f"byzantine: {said_of(name)}", liar(name), byzantine) for name in ACTORS
}
STORES = ("store_loss", "truncate", "bit_flip")
"""They make a faulty node of the one they strike; where members change, `change` does that."""
KINDS = {**FAULTS, **LIARS, **RELIEF, **WORK}
"""Everything that can stand in a schedule, by name."""
LASTING = frozenset(name for name, each in {**FAULTS, **LIARS}.items() if not each.weight)


def named(name: str) -> Fault:
    """A fault that may be asked for.

    Raises:
        KeyError: no such fault.
    """
    return {**FAULTS, **LIARS}[name]
