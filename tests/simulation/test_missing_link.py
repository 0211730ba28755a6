"""Links that never come: whoever is linked with a quorum only falls behind for a while at most."""

import pytest

from consensus import view
from consensus.certificate import NOTARIZE, NULLIFY
from consensus.inputs import Received
from consensus.messages import (
    CertificateMessage,
    CheckpointMessage,
    Cosignature,
    Message,
    Proposal,
    Vote,
)
from tests.simulation.cluster import Cluster, Weather
from tests.simulation.schedules import draw, perform
from tests.simulation.test_scenarios import drop, is_vote, keep_all, ready


def cut(cluster: Cluster, *pairs: tuple[int, int]) -> None:
    """Take links away for good, to the knowledge of both ends."""
    for a, b in pairs:
        cluster.network.blocked |= {(a, b), (b, a)}
        cluster.unlink(a, b)


def test_who_has_nullified_what_the_others_made_final_is_told() -> None:
    """It hears of the notarization only after its view has run out, and of the finalization not at
    all; the others are idle. Its nullify vote, said again, is what lets them know."""
    cluster = ready()
    cluster.submit(1)
    cluster.run_ms(100)  # the others' quiet lanes follow, in one more block
    at = cluster.nodes[1].state.view
    assert 4 not in map(cluster.nodes[1].state.leader, (at, at + 1))
    node, kept = cluster.nodes[4], []

    def lost(source: int, target: int, message: Message) -> bool:
        if target == 4 and is_vote(message, NOTARIZE):
            kept.append((source, message))
        told = Vote | Proposal | CertificateMessage | Cosignature | CheckpointMessage
        return target == 4 and isinstance(message, told)

    drop(cluster, lost)
    cluster.run_until(lambda: NULLIFY in node.state.round(at).own, 5_000, "its time runs out")
    others = [cluster.nodes[number] for number in (1, 2, 3)]
    assert all(other.state.final_view == at for other in others)
    cluster.run_ms(50)
    keep_all(cluster)
    for source, message in kept:
        node.feed(Received(source, message))
    assert node.state.round(at).notarized
    assert node.state.final_view < at < node.state.view
    assert cluster.settle() < 5_000


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_missing_link_holds_nobody_up(seed: int) -> None:
    """Under load, and when it ends: all becomes final and silent with the link still missing."""
    cluster = Cluster(4, seed, weather=Weather(60_000, 15_000)).start()
    for number in cluster.nodes:
        cluster.submit(number)
    cluster.settle()
    cut(cluster, (1, 3))
    before = min(node.executed_height() for node in cluster.honest())
    for at in range(600):
        cluster.submit(1 + at % 4, 1)
        cluster.run_ms(50)
    assert min(node.executed_height() for node in cluster.honest()) > before + 60
    assert cluster.settle() < 10_000


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_a_ring_comes_to_rest(seed: int) -> None:
    """Each is linked with two others: a leader's quorum is just whom it is linked with, and whoever
    gives its views up early makes them fail that need its finalize vote."""
    cluster = Cluster(4, seed).start()
    for number in cluster.nodes:
        cluster.submit(number)
    cluster.settle()
    cut(cluster, (1, 3), (2, 4))
    for at in range(100):
        cluster.submit(1 + at % 4, 1)
        cluster.run_ms(50)
    cluster.run_until(
        lambda: not any(view.describe(node.state).waits for node in cluster.honest()),
        20_000,
        "blocks without end",
    )
    cluster.run_ms(100)
    assert cluster.settled()


ROUGH = ("delay", "reorder", "crash", "power", "partition", "pause", "relink", "clock_jump", "skew")
RING = ((1, 3), (2, 4))


@pytest.mark.parametrize("loss", [("loss",), ()])
def test_random_schedules_on_a_ring(loss: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """All faults end, and the two links are still missing: all must become final and silent."""
    link = Cluster.link

    def or_not(cluster: Cluster, a: int, b: int) -> None:
        if (min(a, b), max(a, b)) not in RING:
            link(cluster, a, b)

    monkeypatch.setattr(Cluster, "link", or_not)
    for seed in range(16):
        assert perform(draw(seed, 4, mix=(*ROUGH, *loss))).blocks
