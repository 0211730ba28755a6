"""Named faults: each is one story on the virtual clock."""

import os
from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest

from consensus.certificate import FINALIZE, NOTARIZE, NULLIFY, Certificate
from consensus.effects import Persist
from consensus.evidence import TWO_PROPOSALS
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
from consensus.safety import CERTIFICATE, VOTE, VoteRow
from ledger.batch import header_hash
from ledger.block import Tip, block_hash
from ledger.encoding import decoder
from ledger.store import HEADER
from tests.simulation import actors
from tests.simulation.cluster import CHAIN, Cluster, Node, Weather, quick_bounds
from tests.simulation.faults import FAULTS, LIARS, STORES
from tests.simulation.schedules import REAL_EVERY, Schedule, draw, perform, run

Filter = Callable[[int, int, Message], bool]


def drop(cluster: Cluster, lost: Filter) -> None:
    """Lose the messages that a filter names; `keep_all` ends it."""
    send = type(cluster.network).send

    def filtered(source: int, target: int, message: Message) -> None:
        if not lost(source, target, message):
            send(cluster.network, source, target, message)

    cluster.network.send = filtered  # type: ignore[method-assign]


def keep_all(cluster: Cluster) -> None:
    del cluster.network.send  # type: ignore[method-assign]


def ready(n: int = 4, seed: int = 1, *, epoch_blocks: int = 64, work: bool = True) -> Cluster:
    """A network that has made a block and gone silent."""
    cluster = Cluster(n, seed, bounds=quick_bounds(epoch_blocks)).start()
    if work:
        for number in cluster.nodes:
            cluster.submit(number)
        cluster.settle()
    return cluster


def is_vote(message: Message, kind: int) -> bool:
    return isinstance(message, Vote) and message.kind == kind


def work(cluster: Cluster, count: int = 12, gap_ms: int = 150) -> None:
    for at in range(count):
        cluster.submit(1 + at % len(cluster.nodes))
        cluster.run_ms(gap_ms)


# --- leaders ---


def test_leader_silent() -> None:
    cluster = ready()
    cluster.make_byzantine(2, actors.silent_leader)
    work(cluster)
    assert cluster.settle() < 5_000


def test_leader_dead() -> None:
    cluster = ready()
    cluster.crash(3)
    work(cluster, 11)
    cluster.run_until(
        lambda: min(n.executed_height() for n in cluster.honest()) > 3, 20_000, "dead"
    )
    cluster.restart(3)
    cluster.settle()


def certificates(node: Node) -> list[Certificate]:
    """Every certificate that a node has ever had durable, in order."""
    rows = (row for changes in node.history for row in changes.items())
    found = (value for key, value in rows if key.startswith(CERTIFICATE) and value is not None)
    return [decoder(Certificate).decode(value) for value in found]


@pytest.mark.parametrize("actor", [actors.equivocator, actors.double_proposer])
def test_leader_equivocates(actor: actors.Outgoing) -> None:
    """Of both blocks of a view each honest node votes for one, and one at most is notarized, and
    final, in whosever eyes."""
    cluster = ready()
    before = max(cluster.checker.blocks)
    votes: dict[tuple[int, int, int], set[bytes]] = {}
    shown: dict[tuple[int, int], set[bytes]] = {}

    def noted(node: Node, target: int, message: Message) -> list[Message]:
        said = actor(node, target, message)
        for block in (each.block for each in said if isinstance(each, Proposal)):
            slot = shown.setdefault((block.epoch, block.view), set())
            slot.add(block_hash(CHAIN, block))
        return said

    def listen(source: int, _: int, message: Message) -> bool:
        if source != 4 and isinstance(message, Vote) and message.kind != NULLIFY:
            votes.setdefault((source, message.epoch, message.view), set()).add(message.hash)
        return False

    cluster.make_byzantine(4, noted)
    drop(cluster, listen)
    work(cluster, 24, 60)
    cluster.settle()
    doubled = {slot: both for slot, both in shown.items() if len(both) > 1}
    assert len(doubled) >= 2, "it showed two blocks of one view"
    cast = [names for slot, names in votes.items() if slot[1:] in doubled]
    assert cast, "honest nodes voted in such a view"
    assert all(len(names) == 1 for names in cast), "each for one of both"
    signed: dict[tuple[int, int], set[bytes]] = {slot: set() for slot in doubled}
    for node in cluster.honest():
        for each in certificates(node):
            slot = (each.epoch, each.view)
            if each.kind != NULLIFY and slot in doubled:
                signed[slot].add(each.hash)
    assert all(len(names) <= 1 for names in signed.values()), "at most one of both"
    assert all(names <= doubled[slot] for slot, names in signed.items())
    assert any(signed.values()), "a double block came as far as a quorum"
    final = set(cluster.checker.blocks.values())
    assert all(len(both & final) <= 1 for both in doubled.values())
    assert all(both & final <= signed[slot] for slot, both in doubled.items())
    goes_on(cluster, max(doubled), before + 6)
    if actor is actors.double_proposer:
        seen = [node.state.evidence.values() for node in cluster.honest()]
        kept = [{each.kind for each in found if each.number == 4} for found in seen]
        assert all(TWO_PROPOSALS in kinds for kinds in kept), "who saw both blocks keeps evidence"


def goes_on(cluster: Cluster, slot: tuple[int, int], height: int) -> None:
    """All honest nodes have executed so many blocks, and go on past a view: what is submitted
    now becomes final in a later one."""
    heads = {node.executed_height() for node in cluster.honest()}
    assert len(heads) == 1, heads
    assert min(heads) >= height, heads
    cluster.submit(1)
    cluster.settle()
    assert min(node.executed_height() for node in cluster.honest()) > min(heads)
    assert all((n.state.epoch, n.state.final_view) > slot for n in cluster.honest())


def test_leader_invalid_parent() -> None:
    """Before each of its views a block is notarized and not final: it proposes past that block,
    and nobody notarizes what it proposes."""
    cluster = ready()
    bad: set[bytes] = set()

    def past_it(node: Node, target: int, message: Message) -> list[Message]:
        said = actors.invalid_parent_leader(node, target, message)
        if said != [message]:
            bad.update(block_hash(CHAIN, each.block) for each in said if isinstance(each, Proposal))
        return said

    def lost(_: int, __: int, message: Message) -> bool:
        if not isinstance(message, Vote) or message.kind != FINALIZE:
            return False
        return cluster.nodes[2].state.leader(message.view + 1) == 1

    cluster.make_byzantine(1, past_it)
    drop(cluster, lost)
    work(cluster, 24, 60)
    keep_all(cluster)
    cluster.settle()
    assert bad, "it proposed on a parent that is not justified"
    assert not bad & set(cluster.checker.notarized.values())
    assert max(cluster.checker.blocks) > 4


def test_leader_stale_or_censoring_tips() -> None:
    cluster = ready()
    cluster.make_byzantine(1, actors.stale_leader)
    work(cluster)
    cluster.settle()


# --- lanes ---


def test_lane_fork_siblings_shown_to_different_halves() -> None:
    cluster = ready()
    cluster.make_byzantine(4, actors.lane_forker(lambda target: target % 2 == 0))
    work(cluster, 20, 60)
    cluster.settle()
    honest = cluster.honest()
    assert all(node.state.lanes.lanes[1].final.height >= 6 for node in honest)
    accused = {each.number for node in honest for each in node.state.evidence.values()}
    assert accused == {4}


def test_lane_fork_a_final_cut_names_the_sibling() -> None:
    """Two of three honest nodes have one sibling first, with the forger's hint that is q. The third
    has hinted the other: it turns its branch to the one that the cut names, and executes that."""
    cluster = ready()
    forge = actors.lane_forker(lambda target: target == 1, once=True)
    forked: dict[int, tuple[bytes, bytes]] = {}
    hinted: list[Tip] = []
    branches: list[bytes] = []

    def noted(node: Node, target: int, message: Message) -> list[Message]:
        said = forge(node, target, message)
        if said != [message] and isinstance(message, Batches) and isinstance(said[0], Batches):
            names = [header_hash(CHAIN, m.batches[0].header) for m in (message, said[0])]
            forked.setdefault(message.batches[0].header.height, (names[0], names[1]))
        return said

    def listen(source: int, _: int, message: Message) -> bool:
        if source == 1 and isinstance(message, Hint):
            hinted.extend(tip for tip in message.tips if tip.lane == 4)
        return False

    def look() -> None:
        branch = cluster.nodes[1].state.lanes.lanes[4].branch
        for name in (branch[height] for height in forked if height in branch):
            if name not in branches[-1:]:
                branches.append(name)

    cluster.make_byzantine(4, noted)
    drop(cluster, listen)
    for at in range(20):
        cluster.submit(1 + at % 4)
        watch(cluster, 60, look)
    keep_all(cluster)
    cluster.settle()
    ((height, (named, sibling)),) = forked.items()
    assert named != sibling
    assert Tip(4, height, sibling) in hinted, "it hinted the one"
    assert branches == [sibling, named], "it turned to the other, once, before it executed"
    assert cluster.checker.batches[4, height] == named
    assert sibling not in cluster.checker.final
    one = cluster.nodes[1]
    assert one.store.get(HEADER + named) is not None
    assert one.store.get(HEADER + sibling) is None, "what can no longer be final is dropped"
    after = {cluster.checker.batches[4, at] for at in range(height + 1, height + 4)}
    assert after & {tip.hash for tip in hinted}, "and hints what stands on it"
    tips = {(n.ledger.head.cut[4], n.state.lanes.lanes[4].final) for n in cluster.honest()}
    assert len(tips) == 1
    executed, final = tips.pop()
    assert executed == final
    assert final.height >= height + 3


def watch(cluster: Cluster, duration_ms: int, look: Callable[[], None]) -> None:
    """Run for so long, and look after each single event."""
    until = cluster.clock.now_us + duration_ms * 1_000
    while (at := cluster.clock.next_us()) is not None and at <= until:
        cluster.clock.step()
        look()
    cluster.clock.now_us = until


def test_batch_shown_to_one_node_only() -> None:
    cluster = ready()
    cluster.make_byzantine(4, actors.withholder({1}))
    for _ in range(3):
        cluster.submit(4)
        cluster.run_ms(300)
    cluster.run_until(
        lambda: all(n.state.lanes.lanes[4].final.height >= 4 for n in cluster.honest()),
        20_000,
        "the only holder must offer it",
    )


def test_batch_dated_a_day_ahead_starts_no_echo() -> None:
    cluster = ready()
    cluster.nodes[2].skew_ms = 24 * 3_600_000
    cluster.submit(2)
    cluster.settle()
    heights = [lane.top.height for lane in cluster.nodes[1].state.lanes]
    assert all(height <= 4 for height in heights), heights
    sent = cluster.network.sent
    cluster.run_ms(60_000)
    assert cluster.network.sent == sent, "silence"
    time = cluster.nodes[1].state.final.block.time
    assert time < cluster.nodes[1].now().wall_ms + 5_000, "block time is not the forger's"


def test_many_batches_dated_a_day_ahead_start_no_echo() -> None:
    """Each node answers with an empty batch a second at most, by its own clock."""
    cluster = ready()
    cluster.nodes[2].skew_ms = 24 * 3_600_000
    before = cluster.nodes[1].state.lanes.lanes[3].top.height
    for _ in range(30):
        cluster.submit(2)
        cluster.run_ms(100)
    cluster.settle()
    assert cluster.nodes[1].state.lanes.lanes[3].top.height - before <= 5


def test_one_platform_active_time_moves() -> None:
    cluster = ready()
    before = cluster.nodes[1].state.final.block.time
    for _ in range(10):
        cluster.submit(1)
        cluster.run_ms(3_000)
    cluster.settle()
    assert cluster.nodes[1].state.final.block.time - before > 24_000


# --- votes lost, then idle ---


def finish_with_loss(lost: Filter, *, epoch_blocks: int = 64) -> Cluster:
    """Lose some messages of one block, then send them again like all others."""
    cluster = ready(epoch_blocks=epoch_blocks)
    gone = []

    def counted(source: int, target: int, message: Message) -> bool:
        is_lost = lost(source, target, message)
        if is_lost:
            gone.append(message)
        return is_lost

    drop(cluster, counted)
    cluster.submit(1)
    cluster.run_ms(300)
    keep_all(cluster)
    assert gone, "something was lost"
    assert cluster.settle() < 10_000
    return cluster


def test_last_finalize_vote_lost_then_idle() -> None:
    finish_with_loss(lambda _, target, m: target == 3 and is_vote(m, FINALIZE))


def test_all_finalize_votes_lost_then_idle() -> None:
    finish_with_loss(lambda _, __, m: is_vote(m, FINALIZE))


def test_cosignature_lost_then_idle() -> None:
    finish_with_loss(lambda _, target, m: target == 2 and isinstance(m, Cosignature))


def test_all_cosignatures_lost_then_idle() -> None:
    finish_with_loss(lambda _, __, m: isinstance(m, Cosignature))


def test_hints_lost_then_idle() -> None:
    finish_with_loss(lambda _, __, m: isinstance(m, Hint))


def test_batch_push_lost() -> None:
    finish_with_loss(lambda _, target, m: target in (2, 3) and isinstance(m, Batches))


def test_proposal_lost_to_two() -> None:
    finish_with_loss(lambda _, target, m: target in (2, 3) and isinstance(m, Proposal))


def test_leader_shows_notarization_to_one_then_silence() -> None:
    def lost(source: int, target: int, message: Message) -> bool:
        return target != 3 and is_vote(message, NOTARIZE)

    finish_with_loss(lost)


def test_certified_split_heals() -> None:
    """One holds the view's notarization, the others its nullification."""
    cluster = ready()
    view = cluster.nodes[1].state.view

    def lost(_: int, target: int, message: Message) -> bool:
        if is_vote(message, FINALIZE) or isinstance(message, CertificateMessage):
            return True
        return is_vote(message, NULLIFY if target == 3 else NOTARIZE)

    drop(cluster, lost)
    cluster.submit(1)
    cluster.run_ms(4_000)
    certified = {n: set(node.state.round(view).certificates) for n, node in cluster.nodes.items()}
    assert certified == {1: {NULLIFY}, 2: {NULLIFY}, 3: {NOTARIZE}, 4: {NULLIFY}}
    keep_all(cluster)
    assert cluster.settle() < 10_000


# --- epochs ---


def test_last_cosignature_lost_at_epoch_end() -> None:
    cluster = finish_with_loss(
        lambda _, target, m: target == 2 and isinstance(m, Cosignature | CheckpointMessage),
        epoch_blocks=1,
    )
    assert len({node.state.epoch for node in cluster.nodes.values()}) == 1


def test_late_finalize_of_epoch_end_beside_next_epochs_first_block() -> None:
    """One node misses E's finalization and hears of the next epoch's first block."""
    cluster = ready(epoch_blocks=4)

    def lost(_: int, target: int, message: Message) -> bool:
        return target == 4 and (
            is_vote(message, FINALIZE) or isinstance(message, Cosignature | CertificateMessage)
        )

    drop(cluster, lost)
    work(cluster, 20, 150)
    keep_all(cluster)
    cluster.settle()
    assert cluster.nodes[4].state.epoch >= 2


def test_tail_blocks_finalize_the_epochs_end() -> None:
    """E is notarized, its finalize votes are lost for good: tail blocks make it final."""
    cluster = ready(epoch_blocks=3)
    views: set[int] = set()

    def lost(_: int, __: int, message: Message) -> bool:
        if not is_vote(message, FINALIZE):
            return False
        assert isinstance(message, Vote)
        views.add(message.view)
        return message.view in sorted(views)[:2]

    drop(cluster, lost)
    work(cluster, 30, 200)
    cluster.run_ms(10_000)
    keep_all(cluster)
    cluster.settle()
    assert cluster.nodes[1].state.epoch >= 2


# --- network ---


def test_partition_2_2_then_heal() -> None:
    cluster = ready()
    cluster.partition((1, 2), (3, 4))
    work(cluster, 8, 500)
    height = max(cluster.checker.blocks)
    cluster.run_ms(10_000)
    assert max(cluster.checker.blocks) == height, "without a quorum nothing is final"
    cluster.heal()
    assert cluster.settle() < 10_000


def test_partition_heals_while_idle() -> None:
    cluster = ready()
    cluster.partition((1, 2, 3), (4,))
    work(cluster, 6, 300)
    cluster.run_ms(20_000)
    cluster.heal()
    assert cluster.settle() < 10_000


def test_partition_ring_majorities_overlap() -> None:
    """Each node sees its two neighbours only."""
    cluster = ready()
    cluster.block(1, 3)
    cluster.block(3, 1)
    cluster.block(2, 4)
    cluster.block(4, 2)
    before = min(node.executed_height() for node in cluster.honest())
    work(cluster, 10, 400)
    cluster.run_ms(5_000)
    assert min(node.executed_height() for node in cluster.honest()) > before + 1
    cluster.heal()
    cluster.settle()


@pytest.mark.parametrize("target", [1, 2, 4])
def test_asymmetric_one_way_link(target: int) -> None:
    cluster = ready()
    cluster.block(3, target)
    work(cluster, 10, 300)
    cluster.run_until(
        lambda: min(n.executed_height() for n in cluster.honest()) > 4, 30_000, "one way"
    )
    cluster.heal()
    cluster.settle()


def test_loss_30pct_duplicate_reorder() -> None:
    weather = Weather(5_000, 30_000, loss=0.3, duplicate=0.2, reorder=True)
    cluster = Cluster(4, 11, weather=weather).start()
    work(cluster, 100, 300)
    assert max(cluster.checker.blocks, default=0) >= 3, "progress under loss"
    cluster.network.weather = Weather()
    cluster.relink()
    cluster.settle()


# --- crashes ---


def test_crash_between_write_and_send() -> None:
    """A vote is written and not sent, at one node after the other: it stands by it."""
    cluster = ready()
    for number in (1, 2, 3, 4, 1, 2):
        node = cluster.nodes[number]
        cluster.submit(1 + number % 4)
        for _ in range(20_000):
            if votes_to_write(node):
                break
            cluster.clock.step()
        (key, *_) = votes_to_write(node)
        epoch, at, kind = int.from_bytes(key[2:10]), int.from_bytes(key[10:18]), key[18]
        assert (number, epoch, at, kind) not in cluster.checker.votes, "it is not sent"
        cluster.crash(number, keep=99)
        row = decoder(VoteRow).decode(node.store.get(key) or b"")
        cluster.restart(number)
        assert node.state.round(at).own[kind].hash == row.hash
        cluster.run_ms(200)
    cluster.settle()


def votes_to_write(node: Node) -> list[bytes]:
    """The keys of own votes whose rows are not durable yet."""
    waiting = (each for each in node.outbox if isinstance(each, Persist))
    rows = (row for each in waiting for row in each.changes.items())
    return [key for key, value in rows if key.startswith(VOTE) and value]


def test_crash_after_send_before_apply() -> None:
    cluster = ready()
    for number in (1, 2, 3, 4):
        cluster.submit(1 + number % 4)
        before = cluster.network.sent
        cluster.run_until(
            lambda sent=before: cluster.network.sent > sent + 8, 2_000, "nothing sent"
        )
        cluster.crash(number)
        cluster.run_ms(300)
        cluster.restart(number)
    cluster.settle()


def test_unsynced_writes_lost_on_power_loss_everywhere() -> None:
    cluster = ready()
    for at in range(12):
        cluster.submit(1 + at % 4)
        cluster.run_ms(17 * at)
        for number in cluster.nodes:
            cluster.crash(number)
        for number in cluster.nodes:
            cluster.restart(number)
    cluster.settle()


def test_all_nodes_crash_after_nullify_restart() -> None:
    cluster = ready()
    drop(cluster, lambda _, __, m: isinstance(m, Proposal))
    cluster.submit(1)
    cluster.run_ms(1_500)
    signed = [any(NULLIFY in r.own for r in n.state.rounds.values()) for n in cluster.honest()]
    assert any(signed)
    keep_all(cluster)
    for number in cluster.nodes:
        cluster.crash(number)
    for number in cluster.nodes:
        cluster.restart(number)
    assert cluster.settle() < 10_000


def test_long_offline_catch_up() -> None:
    cluster = ready(epoch_blocks=8)
    cluster.crash(2)
    for at in range(80):
        cluster.submit((1, 3, 4)[at % 3], 5)
        cluster.run_ms(250)
    cluster.restart(2)
    took = cluster.settle()
    assert took < 10_000
    assert cluster.nodes[2].executed_height() > 50


def test_node_with_an_empty_disk_catches_up() -> None:
    """It follows from nothing; that it may not sign again is the amnesia rule's, still open."""
    cluster = Cluster(4, 3, bounds=quick_bounds(4))
    for number in (1, 2, 3):
        cluster.nodes[number].start()
    cluster.link_all()
    for at in range(30):
        cluster.submit(1 + at % 3)
        cluster.run_ms(250)
    cluster.restart(4)
    cluster.settle()


def test_freeze_two_nodes_long_then_resume() -> None:
    cluster = ready()
    for number in (2, 3):
        cluster.nodes[number].paused_until_us = cluster.clock.now_us + 20_000_000
    cluster.submit(1)
    before = max(cluster.checker.blocks)
    cluster.run_ms(19_900)
    assert max(cluster.checker.blocks) == before, "two of four are no quorum"
    cluster.run_ms(2_100)
    assert max(cluster.checker.blocks) > before, "it goes on within two seconds"
    cluster.settle()


def test_slow_validator_and_slow_disk() -> None:
    cluster = ready()
    cluster.nodes[3].fsync_us = 150_000
    work(cluster, 20, 100)
    assert cluster.settle() < 10_000


def test_peer_floods_future_views_in_bounded_memory() -> None:
    cluster = ready()
    node = cluster.make_byzantine(4)
    for view in range(1, 3_000):
        vote = actors.sign_vote(node, NOTARIZE, 1, view, bytes([view % 256]) * 32)
        cluster.network.send(4, 1, vote)
        vote = actors.sign_vote(node, NOTARIZE, 2, view, bytes(32))
        cluster.network.send(4, 1, vote)
    cluster.run_ms(100)
    state = cluster.nodes[1].state
    assert len(state.rounds) <= state.config.limits.views_ahead_max + 1
    waiting = state.peers[4].next_epoch
    assert len(waiting) <= state.config.limits.next_epoch_messages_max


def test_double_votes_are_evidence() -> None:
    cluster = ready()
    cluster.make_byzantine(4, actors.two_faced_voter)
    work(cluster, 12, 100)
    cluster.settle()
    kinds = {each.kind for node in cluster.honest() for each in node.state.evidence.values()}
    assert kinds == {4}


@pytest.mark.parametrize("first", range(0, 48, 8))
def test_random_schedules(first: int) -> None:
    """The fixed slice; the 49th (next) signs with real keys."""
    for seed in range(first, first + 8):
        run(seed, 4)


def test_a_random_schedule_with_real_keys() -> None:
    assert draw(REAL_EVERY - 1).real_signatures
    run(REAL_EVERY - 1, 4)


def test_random_schedules_draw_from_every_fault() -> None:
    """Within few seeds, and each liar too; where members change, stores are lost by `change`."""
    drawn = {kind for seed in range(400) for kind in kinds(draw(seed))}
    assert drawn >= (FAULTS.keys() | LIARS.keys()) - {"byzantine"}
    changing = {kind for seed in range(400) for kind in kinds(draw(seed, changes=True))}
    assert changing >= drawn - set(STORES) | {"change"}
    assert not changing & set(STORES)


def kinds(schedule: Schedule) -> set[str]:
    liars = (event.args[1] for event in schedule.events if event.kind == "byzantine")
    return {str(liar) for liar in liars} | {event.kind for event in schedule.events}


@pytest.mark.parametrize("fault", [*STORES, "disk_full", "power", "codec"])
def test_named_faults_really_happen(fault: str) -> None:
    """A mix of one fault: the stores that it harms are whole again, or their keys are silent."""
    forgotten = 0
    for seed in range(6):
        outcome = perform(draw(seed, 4, mix=("delay", fault)))
        forgotten += outcome.forgotten
        assert outcome.blocks
    assert not forgotten or fault in STORES
    if fault == "store_loss":
        assert forgotten >= 4


def test_a_part_of_a_schedule_runs_alike() -> None:
    """Any sub-list of a schedule's events is a schedule, and runs in one way."""
    whole = draw(7)
    part = replace(whole, events=whole.events[::2])
    assert perform(part).trace == perform(part).trace != perform(whole).trace


@pytest.mark.parametrize(("n", "seeds"), [(1, 20), (2, 8), (3, 5), (7, 6)])
def test_random_schedules_of_other_sizes(n: int, seeds: int) -> None:
    for seed in range(seeds):
        run(seed, n)


LARGE = pytest.mark.skipif(
    "STANDING_LARGE" not in os.environ, reason="20 s of processor time: set STANDING_LARGE to run"
)


@pytest.mark.parametrize("n", [31, pytest.param(100, marks=LARGE)])
def test_many_nodes_and_a_dead_leader(n: int) -> None:
    cluster = Cluster(n, 4)
    for node in cluster.nodes.values():
        node.start()
    cluster.link_all()
    cluster.crash(cluster.nodes[1].state.leader(1))
    cluster.hear_answers()
    for number in (1, 9, 17)[: 1 if n > 31 else 3]:
        if cluster.nodes[number].up:
            cluster.submit(number, 1)
    cluster.run_until(
        lambda: max(cluster.checker.certified.values(), default=0) >= 1, 10_000, "no block"
    )


def test_a_random_schedule_runs_again_alike() -> None:
    assert run(12, 4).trace == run(12, 4).trace


# --- bounds ---


def test_no_cosignatures_and_the_log_stops_growing() -> None:
    """Where nothing is certified any more, repeated cuts would add seals for ever."""
    cluster = ready(epoch_blocks=1_000)
    drop(cluster, lambda _, __, m: isinstance(m, Cosignature | CheckpointMessage))
    for at in range(110):
        cluster.submit(1 + at % 4)
        cluster.run_ms(260)
    limit = cluster.nodes[1].state.config.limits.uncertified_heights_max
    certified = cluster.nodes[1].state.checkpoints.certified
    assert max(cluster.checker.blocks) == certified + limit
    cluster.run_ms(30_000)
    assert max(cluster.checker.blocks) <= certified + limit + 1
    keep_all(cluster)
    cluster.settle()


def test_a_backlog_is_cut_into_blocks_within_bounds() -> None:
    """Leaders keep the bounds of a cut (checked at execution), whatever has gathered."""
    bounds = msgspec.structs.replace(quick_bounds(64), cut_records_max=10)
    cluster = Cluster(4, 6, bounds=bounds).start()
    drop(cluster, lambda _, __, m: isinstance(m, Proposal))
    for number in (1, 2, 3, 4) * 3:
        cluster.submit(number, 4)
        cluster.run_ms(20)
    keep_all(cluster)
    cluster.settle()
    assert max(cluster.checker.blocks) >= 5


def test_a_liar_that_hints_what_nobody_has_keeps_nobody_from_final_batches() -> None:
    """One node misses a batch of each lane; the liar claims to be further and never serves it."""
    cluster = ready()
    drop(cluster, lambda _, target, m: target == 1 and isinstance(m, Batches))
    cluster.make_byzantine(4, lambda _, __, m: [] if isinstance(m, Batches) else [m])
    work(cluster, 6)
    keep_all(cluster)
    for at in range(60):
        tips = tuple(Tip(lane, 1_000 + at, bytes([at]) * 32) for lane in (2, 3))
        cluster.network.send(4, 1, Hint(tips, False))
        cluster.run_ms(50)
    heights = [node.executed_height() for node in cluster.honest()]
    assert len(set(heights)) == 1, heights
