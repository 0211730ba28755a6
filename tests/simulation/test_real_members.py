"""Members that come, go and change their keys by records of the real ledger, under load."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from consensus.config import Keys
from ledger.batch import Submission, commitment
from ledger.epochs import policy_of
from ledger.rows import BlockRow, block_key, need_row
from tests.ledger.members import Members, Party, party
from tests.ledger.world import World, genesis_of, key_of
from tests.simulation.checkers import check
from tests.simulation.cluster import Cluster, Node, quick_bounds
from tests.simulation.execution import RealLedger


def keys_of(who: Party) -> Keys:
    return Keys(who.keys["lane"], who.keys["vote"], who.keys["cosigner"])


class Federation:
    """A network over the real ledger, whose members say what is to change."""

    def __init__(self, n: int, seed: int, epoch_blocks: int) -> None:
        self.genesis = genesis_of(n, quick_bounds(epoch_blocks))
        self.cluster = Cluster(n, seed, genesis=self.genesis).start()
        self.world = World(self.genesis)
        self.world.time = 1_699_999_000_000
        self.members = Members(self.world)
        self.works = 0

    def look(self) -> None:
        """What is to be said is said of the ledger as it stands."""
        ledger = max((n.ledger for n in self.cluster.honest()), key=lambda each: each.head.height)
        assert isinstance(ledger, RealLedger)
        self.world.state = ledger.state

    def say(self, lane: int, said: Submission) -> bytes:
        self.cluster.seal(lane, (said,))
        self.cluster.run_ms(300)
        return commitment(said)

    def agree(self, change: bytes, *by: int) -> None:
        for number in by:
            self.say(number, self.members.approve(number, change))

    def work(self, rounds: int = 3) -> None:
        """Every member registers somebody, in turn."""
        for _ in range(rounds):
            for number in self.cluster.members():
                self.works += 1
                record = self.world.register(f"w{self.works}", number)
                self.cluster.seal(number, (self.world.submit(record),))
                self.cluster.run_ms(40)

    def until(self, *numbers: int) -> None:
        def seated() -> bool:
            return all(n.state.seats.numbers == numbers for n in self.cluster.honest())

        self.cluster.run_until(seated, 60_000, f"the members are not {numbers}")

    def refused(self) -> list[str]:
        """The rules broken by any record."""
        node = self.cluster.honest()[0]
        rows = [
            need_row(node.store, BlockRow, block_key(height))
            for height in range(1, node.executed_height() + 1)
        ]
        return [each.rule for row in rows for each in row.refusals]

    def ready(self, who: Party, change: bytes, lane: int) -> None:
        """What a node does that holds keys for an approved change: say so in each epoch anew."""
        self.all_ready({change: who}, lane)

    def all_ready(self, changes: dict[bytes, Party], *lanes: int) -> None:
        """Several do so at once; what they say comes through these lanes in turn."""

        def bound(who: Party) -> bool:
            return any(
                seat == who.validator
                for n in self.cluster.honest()
                for seat in n.state.seats.validators
            )

        said_in = dict.fromkeys(changes, 0)
        for turn in range(400):
            waiting = {change: who for change, who in changes.items() if not bound(who)}
            if not waiting:
                return
            for change, who in waiting.items():
                self.look()
                epoch = self.world.state.footing.epoch
                if epoch != said_in[change]:
                    said_in[change] = epoch
                    self.say(lanes[turn % len(lanes)], self.members.ready(who, change))
            if len(changes) > 1:
                self.work(1)
            self.cluster.run_ms(100)
        check(all(map(bound, changes.values())), "ready and approved, and not bound")


def in_epoch(federation: Federation, condition: Callable[[], bool]) -> None:
    federation.cluster.run_until(condition, 60_000, "it does not come about")


def test_join_rotate_leave_and_remove_under_load() -> None:
    federation = Federation(4, 31, 6)
    cluster, members = federation.cluster, federation.members
    federation.work()
    joiner = party(5)
    cluster.add_node(5, keys_of(joiner))
    change = federation.say(1, members.propose(1, joiner))
    federation.agree(change, 2, 3)
    cluster.settle()
    height = cluster.nodes[1].executed_height()
    cluster.run_ms(20_000)
    assert cluster.nodes[1].executed_height() == height, "68: approved, not ready, idle"

    federation.ready(joiner, change, lane=2)
    federation.until(1, 2, 3, 4, 5)
    federation.work()

    turned = party(2, 1, root=key_of(2, "root"))
    node = cluster.nodes[2]
    node.config = node.state.config = replace(node.config, further_keys=(keys_of(turned),))
    change = federation.say(3, members.rotate(turned))
    federation.agree(change, 1, 3, 4)
    federation.work(1)
    federation.ready(turned, change, lane=2)
    in_epoch(federation, lambda: cluster.nodes[2].state.keys == keys_of(turned))
    federation.work()

    federation.say(3, members.leave(3))
    federation.work(1)
    federation.until(1, 2, 4, 5)
    change = federation.say(5, members.remove(5, 4))
    federation.agree(change, 1, 2)
    federation.work(1)
    federation.until(1, 2, 5)
    federation.work()
    cluster.settle()
    assert cluster.nodes[3].state.keys is None
    assert cluster.nodes[4].state.keys is None
    assert not federation.refused(), "no record was lost or judged twice"
    federation.look()
    registered = federation.world.state.validators
    assert policy_of("example.org/standing", registered).quorum == 3
    for number in (1, 4):
        cluster.crash(number)
        cluster.restart(number)
    cluster.hear_answers()
    federation.work(1)
    cluster.settle()


@pytest.mark.parametrize("n", [4, 7])
def test_two_platforms_join_at_once_under_load(n: int) -> None:
    """With f = 1 one after the other, with f = 2 at one epoch's end; both by members' lanes."""
    federation = Federation(n, 7, 6)
    cluster, members = federation.cluster, federation.members
    federation.work(1)
    joiners = [party(n + 1), party(n + 2)]
    for who in joiners:
        cluster.add_node(who.number, keys_of(who))
    changes = {
        federation.say(at, members.propose(at, who)): who for at, who in enumerate(joiners, 1)
    }
    for proposer, change in enumerate(changes, 1):  # all: the quorum grows with the first joiner
        federation.agree(change, *(each for each in range(1, n + 1) if each != proposer))
    federation.work(1)
    federation.all_ready(changes, 2, 3)
    federation.until(*range(1, n + 3))
    first = [
        min(epoch for epoch, seats in cluster.checker.sets.items() if who.number in seats.numbers)
        for who in joiners
    ]
    assert (first[0] == first[1]) == (n == 7), "max(1, f) seats change at an epoch's end"
    cluster.run_until(lambda: not any(map(_asks, cluster.nodes.values())), 20_000, "asks")
    federation.work(3)
    cluster.settle()
    assert not federation.refused(), "no record was lost or judged twice"
    tips = cluster.nodes[1].ledger.head.cut
    for who in joiners:
        assert tips[who.number].height > 1, "their own records are final"
        assert who.number in {number for number, *_ in cluster.checker.votes}


def _asks(node: Node) -> bool:
    return node.is_asking()
