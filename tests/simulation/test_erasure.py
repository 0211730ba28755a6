"""Erasure under faults: the real ledger, whose nodes destroy openings and serve what remains."""

from random import Random

import pytest
from msgspec.structs import replace

from consensus.messages import Batches, FetchBatches, Message, RemainsMessage
from ledger import erasure_queue
from ledger.batch import Submission
from ledger.replay import ReaderSource
from ledger.replay import replay as replayed
from ledger.residue import Remains
from ledger.store import RESIDUE, SUBMISSION, MemoryStore, after
from tests.ledger.world import World, genesis_of
from tests.simulation import actors
from tests.simulation.cluster import Cluster, Node, Outgoing, Weather, quick_bounds
from tests.simulation.test_scenarios import drop


class Market:
    """A cluster on the real ledger. On each platform there are a worker and a client with keys."""

    def __init__(self, n: int = 4, seed: int = 1, *, weather: Weather | None = None) -> None:
        self.genesis = genesis_of(n, quick_bounds(4))
        self.cluster = Cluster(n, seed, genesis=self.genesis, weather=weather).start()
        self.world = World(self.genesis)
        self.world.time = 1_699_999_000_000
        self.jobs = 0
        self.given: list[tuple[int, int, Message]] = []
        """Batches and what remains of batches, as sent: source, target, message."""
        drop(self.cluster, self._see)
        for number in range(1, n + 1):
            self.seal(
                number,
                self.world.register(f"w{number}", number, key=True),
                self.world.register(f"c{number}", number, key=True),
            )

    def _see(self, source: int, target: int, message: Message) -> bool:
        if isinstance(message, Batches | RemainsMessage):
            self.given.append((source, target, message))
        return False

    def seal(self, number: int, *records: object, wait_ms: int = 260) -> None:
        items = tuple(
            each if isinstance(each, Submission) else self.world.submit(each)  # type: ignore[arg-type]
            for each in records
        )
        self.cluster.seal(number, items)
        self.cluster.run_ms(wait_ms)

    def work(self, number: int, count: int = 1, *, is_open: bool = False) -> None:
        """Engagements on a platform, each with what becomes of it, and a record without form."""
        world = self.world
        for _ in range(count):
            self.jobs += 1
            name, names = f"job {self.jobs}", (f"w{number}", f"c{number}")
            said: list[object] = [world.open(name, *names, platform=number), b"not a record"]
            if not is_open:
                said.append(world.outcome(name, platform=number))
                said.append(world.rating(name, f"c{number}", platform=number))
            self.seal(number, *said)

    def erase(self, number: int, who: str = "w", wait_ms: int = 260) -> None:
        self.seal(number, self.world.erasure(f"{who}{number}", number), wait_ms=wait_ms)

    def wipe(self, number: int) -> None:
        """A new disk: the node takes the whole ledger from its peers."""
        self.cluster.lose_store(number)
        self.cluster.restart(number)

    def remains_given_to(self, number: int) -> list[RemainsMessage]:
        return [
            message
            for _, target, message in self.given
            if target == number and isinstance(message, RemainsMessage)
        ]

    def check(self, *, erased: int) -> None:
        """All stand at one root, with the same residues, and each ledger replays to it."""
        self.cluster.settle()
        nodes = self.cluster.honest()
        assert len({node.ledger.head.root for node in nodes}) == 1
        left = [rows(node.store, RESIDUE) for node in nodes if node.erase_lag_us is not None]
        assert all(each == left[0] for each in left), "the same bytes at every node"
        assert len(left[0]) == erased
        for node in nodes:
            assert not node.ledger.head.is_erasing
            openings = rows(node.store, SUBMISSION)
            if node.erase_lag_us is not None:
                assert not {key[1:] for key in openings} & {key[1:] for key in left[0]}
            steps = replayed(self.genesis, ReaderSource(node.store), stored=node.store)
            assert [each for step in steps for each in step.findings] == []


def rows(store: MemoryStore, prefix: bytes) -> dict[bytes, bytes]:
    return dict(store.scan(prefix, after(prefix)))


@pytest.fixture
def few_leaves(monkeypatch: pytest.MonkeyPatch) -> int:
    """A block takes four leaves of an erasure."""
    monkeypatch.setattr(erasure_queue, "ERASURE_LEAVES_PER_BLOCK", 4)
    return 4


def test_open_erase_then_outcome_replays_alike() -> None:
    market = Market()
    world = market.world
    market.work(1, is_open=True)
    market.erase(1)
    market.cluster.settle()
    named = {"platform": 1}
    market.seal(1, world.outcome("job 1", **named))
    market.seal(1, world.rating("job 1", "c1", **named), world.open("job 1", "w1", "c1", **named))
    market.check(erased=2)
    market.wipe(4)
    market.check(erased=2)
    assert market.remains_given_to(4)


@pytest.mark.parametrize("n", [1, 3, 4, 7])
def test_an_idle_network_finishes_the_queue_and_falls_silent(n: int, few_leaves: int) -> None:
    market = Market(n)
    market.work(1, 7)
    market.cluster.settle()
    before = market.cluster.nodes[1].executed_height()
    market.erase(1)
    market.check(erased=1 + 7 * 3)
    blocks = market.cluster.nodes[1].executed_height() - before
    leaves = 1 + 2 * 7 * 3
    assert leaves // few_leaves <= blocks <= leaves // few_leaves + 4


def test_erasing_goes_on_after_all_have_crashed(few_leaves: int) -> None:
    market = Market()
    market.work(1, 10)
    market.cluster.settle()
    market.erase(1, wait_ms=0)
    cluster = market.cluster
    cluster.run_until(lambda: cluster.nodes[2].ledger.head.is_erasing, 5_000, "begun")
    cluster.run_ms(400)
    for number in cluster.nodes:
        cluster.crash(number, keep=number % 2)
    assert any(node.ledger.head.is_erasing for node in cluster.nodes.values())
    for number in cluster.nodes:
        cluster.restart(number)
    market.check(erased=1 + 10 * 3)


def test_a_node_that_was_away_catches_up_by_residues() -> None:
    market = Market()
    market.cluster.settle()
    market.cluster.crash(4)
    for number in (1, 2, 3):
        market.work(number, 2)
        market.erase(number)
    market.work(2)
    market.cluster.run_ms(5_000)
    market.cluster.restart(4)
    market.check(erased=3 * (1 + 2 * 3))
    assert market.remains_given_to(4)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_take_each_others_word(n: int) -> None:
    market = Market(n)
    market.work(1, 3)
    market.erase(1)
    market.check(erased=1 + 3 * 3)
    if n > 1:
        market.wipe(n)
        market.check(erased=1 + 3 * 3)
        assert market.remains_given_to(n)


@pytest.mark.parametrize("seed", range(6))
def test_false_residues_neither_poison_nor_stall(seed: int) -> None:
    market = Market(4, seed)
    for number in (1, 2, 3, 4):
        market.work(number, 3)
        market.erase(number, "wc"[number % 2])
    market.cluster.settle()
    market.cluster.make_byzantine(2, actors.false_heir)
    market.wipe(4)
    market.check(erased=4 * (1 + 3 * 3))
    given = {source for source, target, _ in market.given if target == 4}
    counted = market.cluster.refusals.get((4, 2, "residue"), 0)
    assert counted or 2 not in given
    assert not market.cluster.checker.halts


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("second", [actors.false_heir, actors.silent])
def test_two_of_seven_that_lie_alike_or_say_nothing(seed: int, second: Outgoing) -> None:
    market = Market(7, seed)
    for number in (1, 2, 3):
        market.work(number, 2)
        market.erase(number)
    market.cluster.settle()
    market.cluster.make_byzantine(2, actors.false_heir)
    market.cluster.make_byzantine(3, second)
    market.wipe(7)
    market.check(erased=3 * (1 + 2 * 3))
    assert not market.cluster.checker.halts


def test_a_liar_that_is_asked_first_is_counted() -> None:
    market = Market(4)
    market.work(1, 3)
    market.erase(1)
    market.cluster.settle()
    market.cluster.make_byzantine(2, actors.false_heir)
    market.cluster.lose_store(4)
    keep_from = {1, 3}
    drop(market.cluster, lambda source, _, message: source in keep_from and is_batches(message))
    market.cluster.restart(4)
    market.cluster.run_ms(8_000)
    four = market.cluster.nodes[4]
    assert four.executed_height() < market.cluster.nodes[1].executed_height()
    assert rows(four.store, RESIDUE) == {}, "one peer's word is not taken"
    keep_from.clear()
    market.check(erased=1 + 3 * 3)
    assert market.cluster.refusals[4, 2, "residue"] > 0


def is_batches(message: Message) -> bool:
    return isinstance(message, Batches | RemainsMessage)


def test_all_but_one_word_is_not_enough_and_asks_at_leisure() -> None:
    """Only a liar and one honest peer are there: nothing is taken, and nobody is flooded."""
    market = Market(4)
    market.work(1, 3)
    market.erase(1)
    market.cluster.settle()
    market.cluster.make_byzantine(2, actors.false_heir)
    market.cluster.crash(3)
    market.wipe(4)
    market.cluster.run_ms(2_000)
    market.given.clear()
    market.cluster.run_ms(8_000)
    assert 1 <= len(market.remains_given_to(4)) <= 4 * 12
    assert rows(market.cluster.nodes[4].store, RESIDUE) == {}
    market.cluster.restart(3)
    market.check(erased=1 + 3 * 3)


def test_the_whole_batch_wins_when_it_comes_first() -> None:
    market = Market(4)
    market.cluster.nodes[3].erase_lag_us = None
    market.work(1, 3)
    market.erase(1)
    market.cluster.settle()
    market.cluster.lose_store(4)
    market.cluster.crash(1)
    drop(market.cluster, lambda source, target, _: (source, target) == (2, 4))
    market.cluster.restart(4)
    market.cluster.run_ms(6_000)
    four = market.cluster.nodes[4]
    assert four.executed_height() == market.cluster.nodes[3].executed_height()
    market.cluster.run_ms(500)
    assert len(rows(four.store, RESIDUE)) == 1 + 3 * 3, "erased by itself, once executed"


def test_peers_that_have_erased_unequally_far_are_enough() -> None:
    """Of one batch one peer has erased both records, the other one, and the third lies."""
    market = Market(4)
    world = market.world
    both = [world.register("x", 1, key=True), world.register("y", 1, key=True)]
    market.seal(1, *both)
    market.seal(1, world.erasure("x", 1))
    market.cluster.settle()
    market.cluster.nodes[3].erase_lag_us = None
    market.seal(1, world.erasure("y", 1))
    market.cluster.settle()
    market.cluster.make_byzantine(2, actors.false_heir)
    market.wipe(4)
    market.cluster.run_ms(10_000)
    assert market.cluster.nodes[4].executed_height() == market.cluster.nodes[1].executed_height()
    market.cluster.nodes[3].erase_lag_us = 20_000
    market.cluster.crash(3)
    market.cluster.restart(3)
    market.check(erased=2)


def test_remains_above_the_final_cut_are_dropped() -> None:
    """A liar pushes what it says remains of its own new batches: nobody takes or votes on it."""
    market = Market(4)
    market.work(2)
    market.erase(2)
    market.cluster.settle()
    [form] = [
        form
        for message in remains_of(market.cluster.nodes[1], 2)
        for form in message.batches
        if form.residues
    ][:1]

    def outgoing(node: Node, target: int, message: Message) -> list[Message]:
        if isinstance(message, Batches) and message.batches[-1].header.lane == node.number:
            return [
                RemainsMessage(
                    tuple(
                        replace(form, header=each.header, signature=each.signature)
                        for each in message.batches
                    )
                )
            ]
        return [message]

    market.cluster.make_byzantine(2, outgoing)
    before = market.cluster.nodes[1].state.lanes.lanes[2].top
    market.work(2)
    market.work(1)
    market.cluster.run_ms(3_000)
    assert market.cluster.nodes[1].state.lanes.lanes[2].top == before
    assert not market.cluster.refusals, "it might be ahead"


def remains_of(node: Node, lane: int) -> list[RemainsMessage]:
    """What a node serves of a lane."""
    found: list[RemainsMessage] = []
    tip = node.state.lanes.lanes[lane].final
    send = node._send
    node._send = lambda _, message: found.append(message)  # type: ignore[method-assign, assignment, func-returns-value, return-value]
    node.cluster.network.deliver(1 + node.number % 4, node.number, FetchBatches(lane, 0, tip))
    node._send = send  # type: ignore[method-assign]
    return [each for each in found if isinstance(each, RemainsMessage)]


@pytest.mark.parametrize("seed", range(8))
def test_erasing_under_load_and_faults(seed: int, few_leaves: int) -> None:
    drawn = Random(seed)
    weather = Weather(
        delay_us=drawn.choice([500, 20_000]),
        jitter_us=drawn.choice([500, 100_000]),
        loss=drawn.choice([0.0, 0.1]),
        reorder=drawn.random() < 0.5,
    )
    market = Market(4, seed, weather=weather)
    market.cluster.run_ms(2_000)
    cluster = market.cluster
    liar = drawn.choice([None, 2, 3])
    if liar:
        cluster.make_byzantine(liar, actors.false_heir)
    gone: set[tuple[int, str]] = set()
    for step in range(24):
        number = 1 + step % 4
        if not cluster.nodes[number].up:
            cluster.restart(number)
        market.work(number)
        who = (number, drawn.choice("wc"))
        if drawn.random() < 0.4:
            market.erase(*who)
            gone.add(who)
        victim = drawn.choice([each for each in cluster.nodes if each != liar])
        match drawn.randrange(5):
            case 0:
                cluster.crash(victim, keep=drawn.randrange(3))
            case 1:
                cluster.relink()
    for number in cluster.nodes:
        cluster.restart(number)
    cluster.heal()
    cluster.network.weather = Weather()
    cluster.relink()
    cluster.settle()
    victim = drawn.choice([each for each in cluster.nodes if each != liar])
    market.wipe(victim)
    erased = len(rows(cluster.nodes[1 + victim % 4].store, RESIDUE))
    assert erased > 0
    market.check(erased=erased)


def test_catching_up_costs_what_f_plus_1_answers_cost() -> None:
    """A long lane, every other batch in part erased: nobody is asked for the same twice."""
    market = Market(7)
    for _ in range(20):
        market.work(1)
        market.work(2)
    market.erase(1)
    market.cluster.settle()
    market.cluster.lose_store(7)
    market.given.clear()
    market.cluster.restart(7)
    top = market.cluster.nodes[1].executed_height()
    seven = market.cluster.nodes[7]
    took = market.cluster.run_until(lambda: seven.executed_height() == top, 20_000, "behind")
    assert took < 1_000, "no question waited for its time to run out"
    given = [message for _, target, message in market.given if target == 7]
    answers = [each for each in given if isinstance(each, RemainsMessage)]
    epochs = 1 + top // 4  # an epoch's batches are asked for once it has begun
    assert 3 <= len(answers) <= 3 * epochs
    market.check(erased=1 + 20 * 3)


def test_a_crash_between_taking_remains_and_executing_them() -> None:
    market = Market()
    market.work(1, 6)
    market.erase(1)
    market.cluster.settle()
    four, late = market.cluster.nodes[4], {2, 3, 4}

    def is_late(_: int, target: int, message: Message) -> bool:
        """Of the second epoch on, the other lanes' batches are long in coming."""
        return target == 4 and lane_of(message) in late and four.executed_height() >= 4

    drop(market.cluster, is_late)
    market.wipe(4)

    def holds_remains() -> bool:
        held = four.state.lanes.held
        written = {name for name in held if rows(four.store, RESIDUE + name)}
        return any(isinstance(held[name].batch, Remains) for name in written)

    for _ in range(3):
        market.cluster.run_until(holds_remains, 5_000, "no remains")
        before = {name: each.batch for name, each in four.state.lanes.held.items()}
        market.cluster.crash(4)
        market.cluster.restart(4)
        after_start = {name: each.batch for name, each in four.state.lanes.held.items()}
        assert any(isinstance(each, Remains) for each in after_start.values())
        assert after_start.items() <= before.items()
        market.cluster.run_ms(1)
    late.clear()
    market.check(erased=1 + 6 * 3)


def lane_of(message: Message) -> int:
    """Whose batches a message brings: those of one lane."""
    return message.batches[0].header.lane if is_batches(message) else 0  # type: ignore[union-attr]
