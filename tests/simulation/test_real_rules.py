"""Rules of records met by a whole network over the real ledger: every node refuses alike.

FAULTS 39, 43, 46, 63, 64, 65, 72 by name, and 31: a backlog after a blip.
"""

from dataclasses import replace

import pytest

from consensus.config import Limits, Timing
from ledger.batch import Submission, commitment
from ledger.record_rows import find_record
from ledger.records import Evidence
from ledger.rows import BlockRow, block_key, need_row
from tests.ledger.world import World, genesis_of, handle, key_of
from tests.simulation.cluster import Cluster, Node, quick_bounds
from tests.simulation.test_scenarios import ready

ELSEWHERE = "accepted elsewhere"


class Market:
    """Four nodes over the real ledger; records go in by any lane."""

    def __init__(self, seed: int, n: int = 4) -> None:
        genesis = genesis_of(n, quick_bounds(8))
        self.cluster = Cluster(n, seed, genesis=genesis).start()
        self.world = World(genesis)
        self.world.time = 1_699_999_000_000
        self.said: list[tuple[int, bytes]] = []

    def say(self, lane: int, *said: object) -> None:
        items = tuple(
            each if isinstance(each, Submission) else self.world.submit(each)  # type: ignore[arg-type]
            for each in said
        )
        self.cluster.seal(lane, items)
        self.said += [(lane, commitment(each)) for each in items]
        self.cluster.run_ms(600)

    def refusals(self) -> list[str]:
        """The rules broken by what was said, in its order, as every node has them. What was
        accepted elsewhere is told so."""
        self.cluster.settle()
        told = [self._told(node) for node in self.cluster.nodes.values()]
        assert all(each == told[0] for each in told)
        assert len({node.ledger.head.root for node in self.cluster.nodes.values()}) == 1
        return told[0]

    def _told(self, node: Node) -> list[str]:
        heights = range(1, node.executed_height() + 1)
        rows = [need_row(node.store, BlockRow, block_key(height)) for height in heights]
        refused = {(each.lane, each.commitment) for row in rows for each in row.refusals}
        rules = []
        for lane, name in self.said:
            found = find_record(node.store, name, lane)
            assert found is not None
            if (lane, name) in refused:
                rules.append(found.rule or ELSEWHERE)
        assert len(refused) == len(rules)
        return rules


def test_duplicate_record_two_lanes() -> None:
    """A link may come through any lane; through two it is one."""
    market = Market(1)
    market.say(1, market.world.register("w", 1, key=True))
    market.say(2, market.world.register("w2", 2, key=True))
    link = market.world.link((1, "w"), (2, "w2"))
    market.say(3, link)
    market.say(4, link)
    assert market.refusals() == [ELSEWHERE]


def test_duplicate_record_two_lanes_in_one_cut() -> None:
    market = Market(2)
    market.say(1, market.world.register("w", 1, key=True))
    market.say(2, market.world.register("w2", 2, key=True))
    link = market.world.link((1, "w"), (2, "w2"))
    for lane in (3, 4):
        market.cluster.seal(lane, (link,))
        market.said.append((lane, commitment(link)))
    assert market.refusals() == [ELSEWHERE]


def test_foreign_handle_written_or_registered_by_another_platform() -> None:
    market = Market(3)
    world = market.world
    market.say(1, world.register("w", 1), world.register("c", 1))
    market.say(2, world.register("w", 1), world.open("job", platform=1))
    market.say(2, world.register("c2", 2))
    market.say(2, world.open("job 2", platform=2, client="c2"))
    assert market.refusals() == ["foreign-platform", "foreign-platform", "unknown-subject"]


def test_same_handle_registered_by_two_platforms() -> None:
    """They are two subjects: nobody's file is touched by it."""
    market = Market(4)
    for platform in (1, 2):
        market.say(platform, market.world.register("w", platform))
    assert market.refusals() == []


def test_copied_record_to_make_the_original_a_duplicate() -> None:
    """The copy comes first, in the copier's lane: it is refused, and the original is entered."""
    market = Market(5)
    world = market.world
    market.say(1, world.register("w", 1), world.register("c", 1))
    original = world.submit(world.open("job", platform=1))
    market.say(2, original)
    market.say(1, original)
    assert market.refusals() == [ELSEWHERE], "the copy, by the rule; the original stands"
    store = market.cluster.nodes[3].store
    row = find_record(store, commitment(original), 1)
    assert row is not None
    assert row.log_index is not None


def test_new_record_type_on_old_nodes() -> None:
    """A record of a kind that this version does not know: refused by all alike, and the lane and
    the network go on."""
    market = Market(6)
    unknown = [b"\x93\xcc\xfa\x01\x02", b"\x92\x7f\x01", b"\xc1"]
    market.say(1, *unknown)
    market.say(1, market.world.register("w", 1))
    broken = market.refusals()
    assert len(broken) == len(unknown)
    assert len(set(broken)) == 1


def test_fabricated_evidence_cannot_frame() -> None:
    """Evidence with a signature that does not hold, of two messages that do not conflict, and of
    one and the same message: nobody is convicted."""
    market = Market(7)
    world = market.world
    parts = [b"\x93\x01\x02\xc4\x20" + bytes([at]) * 32 + bytes(64) for at in (1, 2)]
    for kind in (2, 3):
        market.say(2, Evidence(2, world.time, kind, 1, 1, 2, parts[0], parts[1]))
    market.say(2, Evidence(2, world.time, 3, 1, 1, 2, parts[0], parts[0]))
    assert len(market.refusals()) == 3


def test_handles_of_one_person_are_joined_by_both_sides_only() -> None:
    """A link that one side alone signed joins nobody."""
    market = Market(8)
    world = market.world
    market.say(1, world.register("w", 1, key=True))
    market.say(2, world.register("w2", 2, key=True))
    link = world.link((1, "w"), (2, "w2"))
    stranger = key_of("subject", "stranger")
    forged = world.submit(link.record, stranger, stranger)
    market.say(2, forged)
    (broken,) = market.refusals()
    assert "signature" in broken
    assert handle("w") != handle("w2")


# --- versions and load ---


def test_mixed_version_rolling_upgrade() -> None:
    """One node after the other stops and comes back with other waits and bounds, under load: what
    a version may change for itself changes nothing that all must do alike."""
    cluster = ready(epoch_blocks=4)
    newer = (Timing(view_timeout_ms=700, resend_ms=250), Limits(blocks_per_answer_max=3))
    for number in cluster.nodes:
        before = max(cluster.checker.blocks)
        cluster.crash(number)
        for at in range(6):
            cluster.submit(1 + (number + at % 3) % 4)
            cluster.run_ms(300)
        node = cluster.nodes[number]
        node.config = replace(node.config, timing=newer[0], limits=newer[1])
        cluster.restart(number)
        cluster.run_ms(2_000)
        assert max(cluster.checker.blocks) > before, "the others go on"
    for at in range(8):
        cluster.submit(1 + at % 4)
        cluster.run_ms(100)
    cluster.settle()


@pytest.mark.parametrize("blip_ms", [2_000, 10_000, 30_000])
def test_backlog_after_blip(blip_ms: int) -> None:
    """What gathered while there was no quorum is drained in a small part of the time that the blip
    took, and never in more than a few seconds."""
    cluster = ready()
    cluster.partition((1, 2), (3, 4))
    for at in range(blip_ms // 50):
        cluster.submit(1 + at % 4, 5)
        cluster.run_ms(50)
    cluster.heal()
    drained_ms = cluster.settle()
    assert drained_ms <= max(2_500, blip_ms // 4), f"{drained_ms} ms after {blip_ms} ms"
