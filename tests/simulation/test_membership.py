"""Validator sets that change while the network runs: FAULTS 14, 35-37, 55-58, 67, 68 by name."""

from collections import Counter

import pytest

from consensus import silence, view
from consensus.certificate import FINALIZE, NOTARIZE
from consensus.gate import stored_batch
from consensus.inputs import Received
from consensus.messages import (
    Batches,
    CertificateMessage,
    CheckpointMessage,
    Cosignature,
    Hint,
    Message,
    Proposal,
    Vote,
)
from ledger.batch import Batch, Header, batch_root, commitment, header_hash, header_message
from ledger.block import Tip
from ledger.rows import lane_key
from tests.simulation.actors import sign_vote
from tests.simulation.cluster import Cluster, Node, Weather, make_member, quick_bounds
from tests.simulation.execution import leave
from tests.simulation.schedules import run

SIZES = (4, 4, 1, 7, 2, 3, 5)


@pytest.mark.parametrize("seed", range(28))
def test_random_schedules_with_changes(seed: int) -> None:
    run(seed, SIZES[seed % len(SIZES)], changes=True)


def test_equal_seeds_with_changes_give_equal_traces() -> None:
    assert run(5, 4, changes=True).trace == run(5, 4, changes=True).trace


def network(seed: int, n: int = 4, epoch_blocks: int = 4, **other: object) -> Cluster:
    return Cluster(n, seed, bounds=quick_bounds(epoch_blocks), **other).start()  # type: ignore[arg-type]


def work(cluster: Cluster, ms: int = 3_000, step_ms: int = 100) -> None:
    """Records from every member, all the time."""
    for at in range(0, ms, step_ms):
        members = cluster.members()
        cluster.submit(members[at // step_ms % len(members)], 2)
        cluster.run_ms(step_ms)


def until_members(cluster: Cluster, *numbers: int, limit_ms: int = 60_000) -> None:
    """Run until all honest nodes are in an epoch of just these members."""

    def seated() -> bool:
        return all(node.state.seats.numbers == numbers for node in cluster.honest())

    cluster.run_until(seated, limit_ms, f"the members are not {numbers}")


def once_each(cluster: Cluster) -> None:
    """Every acknowledged record stands in the ledger once."""
    node = cluster.honest()[0]
    found: Counter[bytes] = Counter()
    for tip in node.ledger.head.cut.values():
        for height in range(1, tip.height + 1):
            found.update(records_at(node, tip.lane, height))
    assert found
    assert max(found.values()) == 1


def records_at(node: Node, lane: int, height: int) -> list[bytes]:
    name = node.store.get(lane_key(lane, height))
    assert name is not None
    batch = stored_batch(node.store, name)
    assert isinstance(batch, Batch)
    return [commitment(each) for each in batch.submissions]


def test_a_platform_joins_under_load() -> None:
    cluster = network(1)
    work(cluster, 1_000)
    cluster.add_node(5)
    cluster.run_ms(500)
    assert cluster.nodes[5].state.keys is None, "it follows and signs nothing"
    cluster.admit(5, by=1)
    work(cluster, 4_000)
    until_members(cluster, 1, 2, 3, 4, 5)
    work(cluster, 4_000)
    cluster.settle()
    tips = cluster.nodes[1].ledger.head.cut
    assert tips[5].height > 1, "records of the joiner are final"
    voters = {number for number, *_ in cluster.checker.votes}
    assert 5 in voters
    once_each(cluster)


def test_a_platform_leaves_under_load_and_another_is_removed() -> None:
    cluster = network(2, 7)
    work(cluster, 1_000)
    cluster.record(2, leave(7))
    work(cluster, 4_000)
    until_members(cluster, 1, 2, 3, 4, 5, 6)
    cluster.record(1, leave(1))
    work(cluster, 4_000)
    until_members(cluster, 2, 3, 4, 5, 6)
    work(cluster, 3_000)
    cluster.settle()
    gone = cluster.nodes[1].state
    assert gone.keys is None
    assert gone.lanes.lanes[1].closed
    last = max(epoch for number, epoch, *_ in cluster.checker.votes if number == 1)
    assert last < cluster.nodes[2].state.epoch
    once_each(cluster)


def test_a_set_of_one_grows_to_four_and_shrinks_again() -> None:
    cluster = network(3, 1)
    for number in (2, 3, 4):
        cluster.add_node(number)
        cluster.admit(number, by=1)
        cluster.run_until(lambda n=number: n in cluster.members(), 60_000, "not joined")
        cluster.run_until(lambda n=number: not cluster.nodes[n].is_asking(), 9_000, "asks")
        work(cluster, 1_500)
    until_members(cluster, 1, 2, 3, 4)
    for number in (1, 2, 3):
        cluster.record(4, leave(number))
        cluster.run_until(lambda n=number: n not in cluster.members(), 60_000, "not gone")
        work(cluster, 1_500)
    until_members(cluster, 4)
    cluster.settle()
    once_each(cluster)


def test_key_rotation_mid_epoch() -> None:
    """37: batches under the old key that no cut has reached are void and sealed again."""
    cluster = network(4, epoch_blocks=8)
    work(cluster, 700)
    cluster.rotate(2, by=2)
    for _ in range(160):
        cluster.submit(2, 1)
        cluster.run_ms(20)
        cluster.submit(2, 1)
        cluster.run_ms(5)
    old, new = make_member(2)[0], make_member(2, 1)[0]
    state = cluster.nodes[2].state
    assert state.keys == new != old
    work(cluster, 2_000)
    cluster.settle()
    assert cluster.checker.owed, "something was void and sealed again"
    once_each(cluster)


def test_key_rotation_of_all_in_turn_with_crashes() -> None:
    cluster = network(5, epoch_blocks=3)
    for number in (1, 2, 3, 4):
        cluster.rotate(number, by=number)
        for at in range(60):
            cluster.submit(number, 1)
            cluster.run_ms(30)
            if at % 15 == 14:
                cluster.crash(number, keep=at % 3)
                cluster.run_ms(60)
                cluster.restart(number)
                cluster.hear_answers()
        assert cluster.nodes[number].state.keys is cluster.nodes[number].config.further_keys[0]
    cluster.settle()
    once_each(cluster)


def test_a_node_whose_store_was_lost_returns_by_rotation() -> None:
    cluster = network(6, epoch_blocks=4)
    work(cluster, 2_000)
    cluster.lose_store(3)
    cluster.restart(3)
    cluster.run_until(lambda: silence.has_forgotten(cluster.nodes[3].state), 9_000, "not known")
    cluster.rotate(3, by=1)
    work(cluster, 4_000)
    cluster.run_until(lambda: silence.may_sign(cluster.nodes[3].state), 30_000, "still silent")
    assert not cluster.nodes[3].state.silence
    work(cluster, 2_000)
    cluster.crash(3)
    cluster.restart(3)
    cluster.hear_answers()
    assert silence.may_sign(cluster.nodes[3].state)
    cluster.settle()
    cluster.checker.forgotten.clear()
    once_each(cluster)


def test_an_old_copy_of_a_joiner_never_signs_again() -> None:
    """Its keys sign for the first time in the new epoch, says the copy; the others know better."""
    cluster = network(7, epoch_blocks=4)
    cluster.add_node(5)
    work(cluster, 500)
    old = cluster.nodes[5].store.copy()
    cluster.admit(5, by=1)
    work(cluster, 3_000)
    until_members(cluster, 1, 2, 3, 4, 5)
    work(cluster, 2_000)
    cluster.set_back(5, old)
    cluster.restart(5)
    cluster.run_until(lambda: silence.has_forgotten(cluster.nodes[5].state), 20_000, "not known")
    work(cluster, 1_000)
    cluster.settle()


def test_epoch_change_during_view_change() -> None:
    """35: the epoch's last block in a view that some nullify, while a platform joins."""
    for seed in range(8):
        cluster = network(3_500 + seed, 4, epoch_blocks=2)
        cluster.add_node(5)
        cluster.admit(5, by=1 + seed % 4)
        for step in range(14):
            leader = cluster.nodes[1].state.leader(cluster.nodes[1].state.view)
            if step % 2 and leader in cluster.nodes:
                others = tuple(set(cluster.nodes) - {leader})
                cluster.partition((leader,), others)
            cluster.submit(1 + step % 4, 1)
            cluster.run_ms(200 + 97 * (seed % 5))
            cluster.heal()
        until_members(cluster, 1, 2, 3, 4, 5)
        cluster.settle()


def forged_batch(node: Node, epoch: int, generation: int = 0) -> Batch:
    """A batch on the node's base, under one of its generations of keys."""
    base = node.state.lanes.lanes[node.number].base
    made = node.cluster.submissions(1)
    root = batch_root([commitment(each) for each in made])
    time = node.now().wall_ms + 5
    header = Header(epoch, node.number, base.height + 1, base.hash, 1, root, time)
    chain = node.config.chain
    key = make_member(node.number, generation)[0].lane
    return Batch(header, key.sign(header_message(chain, header)), made)


def test_removed_node_old_key_signs() -> None:
    """36: votes, cosignatures, batches and hints of a removed member count for nothing."""
    cluster = network(36)
    work(cluster, 1_000)
    cluster.record(1, leave(4))
    work(cluster, 3_000)
    until_members(cluster, 1, 2, 3)
    removed = cluster.make_byzantine(4)
    node = cluster.nodes[1]
    epoch, at = node.state.epoch, node.state.view
    tip = header_hash(node.config.chain, forged_batch(removed, epoch).header)
    said: list[Message] = [
        sign_vote(removed, NOTARIZE, epoch, at, bytes(32)),
        sign_vote(removed, FINALIZE, epoch, at, bytes(32)),
        Batches((forged_batch(removed, epoch),)),
        Batches((forged_batch(removed, epoch - 1),)),
        Hint((node.state.lanes.lanes[2].top, Tip(4, 99, tip)), False),
        Cosignature(node.state.final.block.height + 1, 9, bytes(32), 1, bytes(64), False),
    ]
    for message in said:
        node.feed(Received(4, message))
    round_ = node.state.rounds.get(at)
    assert round_ is None or all(4 not in dict(t.items()) for t in round_.tallies.values())
    assert not any(held.header.lane == 4 for held in node.state.lanes.held.values())
    assert all(4 not in lane.hints for lane in node.state.lanes)
    work(cluster, 2_000)
    cluster.settle()


def test_old_key_after_rotation_signs_nothing_that_counts() -> None:
    cluster = network(37)
    work(cluster, 500)
    cluster.rotate(2, by=1)
    work(cluster, 3_000)
    new = make_member(2, 1)[0]
    cluster.run_until(lambda: cluster.nodes[2].state.keys == new, 30_000, "not rotated")
    cluster.settle()
    node, thief = cluster.nodes[1], cluster.make_byzantine(2)
    epoch, at = node.state.epoch, node.state.view
    vote = sign_vote(thief, NOTARIZE, epoch, at, bytes(32))  # `config.keys` are the old ones
    node.feed(Received(2, vote))
    assert node.state.round(at).tallies[NOTARIZE].vote_of(2) is None
    held = set(node.state.lanes.held)
    for said in (epoch, epoch - 1, 1):
        node.feed(Received(2, Batches((forged_batch(thief, said),))))
    assert set(node.state.lanes.held) == held
    assert not node.state.evidence, "two keys are two signers"


def test_wrong_epoch_replay() -> None:
    """14: what was signed in one epoch counts in no other, though the set is the same."""
    cluster = network(14, epoch_blocks=2)
    kept: list[tuple[int, Message]] = []
    send = type(cluster.network).send

    def keeping(source: int, target: int, message: Message) -> None:
        if isinstance(message, Vote | Proposal | CertificateMessage | CheckpointMessage):
            kept.append((source, message))
        send(cluster.network, source, target, message)

    cluster.network.send = keeping  # type: ignore[method-assign]
    work(cluster, 1_500)
    cluster.record(1, leave(4))
    work(cluster, 2_000)
    cluster.settle()
    node = cluster.nodes[2]
    before = view.describe(node.state)
    for source, message in kept:
        if source != 2:
            node.feed(Received(source, message))
    after = view.describe(node.state)
    assert (after.epoch, after.view, after.final_hash) == (
        before.epoch,
        before.view,
        before.final_hash,
    )
    cluster.check_evidence()


def test_late_finalize_of_epoch_end_beside_next_epochs_first_block() -> None:
    """55: one node lacks E's finalization while the next epoch, of another set, works on."""
    cluster = network(55, epoch_blocks=2)
    cluster.add_node(5)
    work(cluster, 600)
    cluster.admit(5, by=1)
    send = type(cluster.network).send
    late: list[tuple[int, int, Message]] = []

    def slow(source: int, target: int, message: Message) -> None:
        final = isinstance(message, CertificateMessage) or (
            isinstance(message, Vote) and message.kind == FINALIZE
        )
        if target == 3 and final and len(late) < 60:
            late.append((source, target, message))
        else:
            send(cluster.network, source, target, message)

    cluster.network.send = slow  # type: ignore[method-assign]
    behind = 0
    for _ in range(25):
        work(cluster, 100)
        behind += cluster.nodes[3].state.epoch < cluster.nodes[1].state.epoch
    assert behind, "it is in the epoch that ended while others are in the next"
    for source, target, message in late:
        send(cluster.network, source, target, message)
    cluster.network.send = lambda *args: send(cluster.network, *args)  # type: ignore[method-assign]
    work(cluster, 1_000)
    until_members(cluster, 1, 2, 3, 4, 5)
    cluster.settle()


def test_idle_epoch_with_approved_change() -> None:
    """56: nothing but the change waits; the epoch still ends, soon, and then all is silent."""
    cluster = network(56, epoch_blocks=16)
    cluster.add_node(5)
    cluster.admit(5, by=1)
    took = cluster.run_until(lambda: 5 in cluster.members(), 30_000, "the change does not bind")
    assert took < 10_000
    cluster.settle()
    height = cluster.nodes[1].executed_height()
    cluster.run_ms(20_000)
    assert cluster.nodes[1].executed_height() == height


def test_approved_joiner_never_ready_network_goes_idle() -> None:
    """68: without a change that can bind, an epoch in its midst runs no timers."""
    cluster = network(68, epoch_blocks=16)
    cluster.add_node(5)
    cluster.submit(1, 1)
    cluster.settle()
    height = cluster.nodes[1].executed_height()
    assert height < 16
    cluster.run_ms(20_000)
    assert cluster.nodes[1].executed_height() == height
    assert 5 not in cluster.members()


def test_leaver_gone_before_cosigning() -> None:
    """57: the leaver is dead once its leave is final; the others end the epoch without it."""
    cluster = network(57, epoch_blocks=4)
    work(cluster, 300)
    cluster.record(4, leave(4))
    cluster.run_until(
        lambda: any(n.ledger.head.is_changing for n in cluster.honest()), 9_000, "not final"
    )
    cluster.crash(4)
    until_members(cluster, 1, 2, 3)
    work(cluster, 2_000)
    cluster.settle()
    cluster.restart(4)
    work(cluster, 500)
    cluster.settle()
    assert cluster.nodes[4].state.keys is None


def test_joiners_absent_after_binding() -> None:
    """58: two join seven and are never there; at most f seats, so the rest goes on."""
    cluster = network(58, 7, epoch_blocks=4)
    for number in (8, 9):
        cluster.add_node(number)
        cluster.admit(number, by=1)
        cluster.crash(number)
    until_members(cluster, 1, 2, 3, 4, 5, 6, 7, 8, 9)
    work(cluster, 4_000)
    cluster.settle()
    for number in (8, 9):
        cluster.restart(number)
    work(cluster, 2_000)
    cluster.settle()
    assert all(silence.may_sign(cluster.nodes[number].state) for number in (8, 9))


def test_last_cosignature_lost_at_epoch_end() -> None:
    """67: no node hears the others' cosignatures of E at first; a joiner waits behind it."""
    cluster = network(67, epoch_blocks=3)
    cluster.add_node(5)
    cluster.admit(5, by=2)
    send = type(cluster.network).send
    lost: Counter[int] = Counter()

    def dropping(source: int, target: int, message: Message) -> None:
        if isinstance(message, Cosignature) and message.height == 3 and not message.again:
            lost[target] += 1
            return
        if isinstance(message, CheckpointMessage) and lost["first"] < 6:
            lost["first"] += 1
            return
        send(cluster.network, source, target, message)

    cluster.network.send = dropping  # type: ignore[method-assign]
    until_members(cluster, 1, 2, 3, 4, 5)
    assert sum(lost.values()) > 3
    cluster.settle()


def test_a_long_absent_node_catches_up_across_sets() -> None:
    """It knows the set of epoch 1 only; one member of it after the other has gone since."""
    cluster = network(34, epoch_blocks=3)
    work(cluster, 500)
    cluster.crash(4)
    for number in (5, 6, 7):
        cluster.add_node(number)
        cluster.admit(number, by=1)
        cluster.run_until(lambda n=number: n in cluster.members(), 60_000, "not joined")
        work(cluster, 1_000)
    for number in (2, 3):
        cluster.record(1, leave(number))
        cluster.run_until(lambda n=number: n not in cluster.members(), 60_000, "not gone")
        work(cluster, 1_000)
        cluster.crash(number)
    cluster.restart(4)
    work(cluster, 3_000)
    cluster.settle()
    assert silence.may_sign(cluster.nodes[4].state)
    once_each(cluster)


def test_changes_in_rough_weather() -> None:
    weather = Weather(delay_us=20_000, jitter_us=100_000, loss=0.1, duplicate=0.1, reorder=True)
    cluster = network(99, 4, epoch_blocks=3, weather=weather)
    cluster.add_node(5)
    cluster.admit(5, by=1)
    work(cluster, 5_000)
    cluster.rotate(2, by=3)
    work(cluster, 5_000)
    cluster.record(3, leave(4))
    work(cluster, 5_000)
    cluster.network.weather = Weather()
    cluster.relink()
    until_members(cluster, 1, 2, 3, 5)
    cluster.settle()
    once_each(cluster)
