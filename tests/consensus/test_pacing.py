"""The leader's pace, silence, and the doubling of view time."""

from consensus import view
from consensus.config import Timing
from consensus.messages import CertificateMessage, Message, Vote
from tests.simulation import actors
from tests.simulation.cluster import Cluster, Node


def blocks(cluster: Cluster) -> int:
    return max(cluster.checker.blocks, default=0)


def calm() -> Cluster:
    cluster = Cluster(4, 2).start()
    for number in cluster.nodes:
        cluster.submit(number, 1)
    cluster.settle()
    return cluster


def test_when_idle_a_block_comes_at_once() -> None:
    cluster = calm()
    before = blocks(cluster)
    cluster.submit(1)
    took = cluster.run_until(lambda: blocks(cluster) > before, 2_000, "no block")
    assert took < 80, "five hops and fsyncs, no waiting"


def test_under_load_a_block_comes_every_interval() -> None:
    cluster = calm()
    before = blocks(cluster)
    for _ in range(100):
        cluster.submit(1, 1)
        cluster.run_ms(20)
    made = blocks(cluster) - before
    assert 7 <= made <= 12, "one each 200 ms and the way of one block"


def test_many_records_do_not_wait_for_the_interval() -> None:
    cluster = calm()
    before = blocks(cluster)
    for _ in range(6):
        for number in cluster.nodes:
            cluster.submit(number, 1_200)
        cluster.run_ms(60)
    assert blocks(cluster) - before >= 4


def test_an_idle_network_is_silent() -> None:
    cluster = calm()
    sent = cluster.network.sent
    cluster.run_ms(3_600_000)
    assert cluster.network.sent == sent
    assert all(not view.describe(node.state).waits for node in cluster.nodes.values())


def test_view_time_doubles_without_progress_and_comes_back() -> None:
    cluster = calm()
    timing = Timing()
    for number in (3, 4):
        cluster.nodes[number].outgoing = actors.silent_leader
    for _ in range(10):
        cluster.submit(1)
        cluster.run_ms(400)
    waited = [node.state.waits.view_timeout_ms for node in cluster.honest()]
    assert max(waited) <= timing.view_timeout_max_ms
    for node in cluster.nodes.values():
        node.outgoing = None
    for _ in range(40):
        cluster.submit(1)
        cluster.run_ms(300)
    cluster.settle()
    assert {n.state.waits.view_timeout_ms for n in cluster.honest()} == {timing.view_timeout_ms}


def test_no_quorum_no_block_and_no_growing_view() -> None:
    cluster = calm()
    cluster.crash(3)
    cluster.crash(4)
    cluster.submit(1)
    before = blocks(cluster)
    cluster.run_ms(600_000)
    assert blocks(cluster) == before
    assert cluster.nodes[1].state.view < 10
    assert len(cluster.nodes[1].state.rounds) < 10
    assert view.pending_records(cluster.nodes[1].state) == 3
    cluster.restart(3)
    cluster.restart(4)
    cluster.settle()
    assert view.pending_records(cluster.nodes[1].state) == 0


def test_a_lost_vote_is_sent_again_under_a_steady_load() -> None:
    cluster = calm()
    cluster.crash(4)
    lost = dict.fromkeys((1, 2, 3), 12)

    def forgetful(node: Node, target: int, message: Message) -> list[Message]:
        if isinstance(message, Vote | CertificateMessage) and lost[node.number]:
            lost[node.number] -= 1
            return []
        return [message]

    for number in lost:
        cluster.nodes[number].outgoing = forgetful
    before = blocks(cluster)
    for _ in range(400):
        for number in lost:
            cluster.submit(number, 1)
        cluster.run_ms(25)
    assert not any(lost.values()), "as many as were to be lost were sent"
    assert blocks(cluster) > before + 5
