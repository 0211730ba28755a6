"""Restart from rows: whichever of consensus and the ledger is ahead, nothing is signed twice."""

from dataclasses import replace

import pytest

from consensus import simplex
from consensus.certificate import NOTARIZE
from consensus.config import Config, Head
from consensus.effects import Execute
from consensus.inputs import LinkUp, Now, Received, SealBatch
from consensus.messages import Answer, Blocks, Cosignature, FetchBlocks
from consensus.safety import VOTE, final_key
from ledger.errors import StoreDamaged
from ledger.store import SUBMISSION, MemoryStore, after
from tests.simulation.actors import sign_vote
from tests.simulation.cluster import Cluster, Node, quick_bounds
from tests.simulation.execution import HEAD_KEY
from tests.simulation.test_scenarios import drop


def worked(seed: int = 1) -> Cluster:
    cluster = Cluster(4, seed, bounds=quick_bounds(64)).start()
    for at in range(8):
        cluster.submit(1 + at % 4)
        cluster.run_ms(250)
    cluster.settle()
    return cluster


def rebuilt(node: Node, store: MemoryStore, head: Head | None = None) -> tuple:
    config: Config = node.config
    return simplex.restore(config, store, head or node.cluster.load_ledger(store).head, node.now())


def test_what_is_rebuilt_is_what_was() -> None:
    cluster = worked()
    for node in cluster.nodes.values():
        state, effects = rebuilt(node, node.store)
        old = node.state
        assert not [effect for effect in effects if isinstance(effect, Execute)]
        assert (state.epoch, state.view, state.final_view) == (old.epoch, old.view, old.final_view)
        assert state.final.hash == old.final.hash
        assert state.checkpoints.row == old.checkpoints.row
        for lane, before in zip(state.lanes, old.lanes, strict=True):
            assert (lane.base, lane.top, lane.base_time) == (
                before.base,
                before.top,
                before.base_time,
            )


def test_consensus_ahead_of_the_ledger_executes_again() -> None:
    node = worked().nodes[2]
    rows = node.store.copy()
    height = node.executed_height()
    rows.write({HEAD_KEY: None})
    state, effects = rebuilt(node, rows)
    assert state.executed_height == 0
    assert state.final.block.height == height
    # The batches' pending rows went with their execution, so what is held must be fetched again.
    assert not [effect for effect in effects if isinstance(effect, Execute)]
    state, effects = simplex.handle(state, LinkUp(1), node.now())
    assert [type(each.message).__name__ for each in effects if hasattr(each, "message")][:1] == [
        "Status"
    ]


def test_final_and_not_executed_blocks_are_executed_after_a_crash() -> None:
    cluster = worked()
    node = cluster.nodes[3]
    node.cluster.submit(1)
    while not node.state.issued:
        assert cluster.clock.step(), "no Execute under way"
    height = node.executed_height()
    cluster.crash(3, keep=99)
    state, effects = rebuilt(node, node.store)
    done = [effect.block.height for effect in effects if isinstance(effect, Execute)]
    assert state.executed_height + len(state.queue) == state.final.block.height >= height
    assert done == list(range(state.executed_height + 1, state.final.block.height + 1))


def test_a_ledger_ahead_of_consensus_is_damage() -> None:
    node = worked().nodes[2]
    rows = node.store.copy()
    rows.write({final_key(node.executed_height()): None})
    with pytest.raises(StoreDamaged, match="ahead of consensus"):
        rebuilt(node, rows)


def test_a_missing_submission_is_damage() -> None:
    cluster = worked()
    node = cluster.nodes[2]
    _, effects = simplex.handle(node.state, SealBatch(cluster.submissions(3)), node.now())
    rows = node.store.copy()
    rows.write(effects[0].changes)
    last = max(key for key in effects[0].changes if key.startswith(SUBMISSION))
    rows.write({last: None})
    with pytest.raises(StoreDamaged, match="rows H, S"):
        rebuilt(node, rows)


def test_an_own_batch_that_was_never_sent_keeps_its_height() -> None:
    cluster = worked()
    node = cluster.nodes[2]
    height = node.state.lanes.lanes[2].top.height
    _, effects = simplex.handle(node.state, SealBatch(cluster.submissions(3)), node.now())
    rows = node.store.copy()
    rows.write(effects[0].changes)
    state, _ = rebuilt(node, rows)
    assert state.lanes.lanes[2].top.height == height + 1
    for peer in (1, 3):
        answer = Answer(state.memory.start, 1, 0, 0, (), (), (), None)
        state, _ = simplex.handle(state, Received(peer, answer), node.now())
    _, effects = simplex.handle(state, SealBatch(cluster.submissions(1)), node.now())
    assert state.lanes.lanes[2].top.height == height + 2


def test_own_votes_are_known_again() -> None:
    cluster = Cluster(4, 4).start()
    cluster.run_ms(50)
    cluster.submit(1)
    node = cluster.nodes[4]
    cluster.run_until(
        lambda: next(iter(node.store.scan(VOTE, after(VOTE))), None) is not None, 2_000, "no vote"
    )
    state, _ = rebuilt(node, node.store)
    votes = [round_.own for round_ in state.rounds.values() if round_.own]
    assert any(NOTARIZE in own for own in votes)


def test_own_cosignatures_are_known_again_and_not_signed_anew() -> None:
    cluster = worked()
    node = cluster.nodes[2]
    drop(cluster, lambda _, __, message: isinstance(message, Cosignature))
    cluster.submit(1)
    cluster.run_ms(1_000)
    own = dict(node.state.checkpoints.own)
    assert own
    state, _ = rebuilt(node, node.store)
    assert state.checkpoints.own == own


def test_evidence_outlives_a_restart() -> None:
    cluster = worked()
    node = cluster.nodes[2]
    for hash_ in (b"\x05" * 32, b"\x06" * 32):
        vote = sign_vote(cluster.nodes[4], NOTARIZE, node.state.epoch, node.state.view, hash_)
        node.feed(Received(4, vote))
    cluster.run_ms(20)
    assert len(node.state.evidence) == 1
    state, _ = rebuilt(node, node.store)
    assert state.evidence == node.state.evidence


def test_reading_blocks_for_a_peer_is_bounded() -> None:
    """Small blocks in long answers count as well."""
    node = worked().nodes[2]
    state = node.state
    first = FetchBlocks(1)
    limits = replace(state.config.limits, served_bytes_max=500_000)
    state.config = replace(state.config, limits=limits)
    assert state.final.block.height >= 4
    later = Now(node.now().steady_ms + 2_000, node.now().wall_ms)
    answered = 0
    for _ in range(20):
        state, effects = simplex.handle(state, Received(3, first), later)
        answered += any(isinstance(getattr(each, "message", None), Blocks) for each in effects)
    assert 1 < answered < 500_000 // 65_536
