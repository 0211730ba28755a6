"""A node whose store forgot what it signed: lost, restored, cut off, copied. What it must not sign.

Each is a story on the virtual clock. The checker sees every vote, proposal, batch and cosignature
that a node sends in all its lives: a second one in a slot is a `Violation`. Without the rule the
same stories must find one (*mutants*, at the end).
"""

from random import Random

import msgspec
import pytest

from consensus import recall, silence
from consensus.certificate import FINALIZE, NULLIFY
from consensus.messages import (
    Answer,
    Batches,
    Blocks,
    CertificateMessage,
    Cosignature,
    Message,
    Proposal,
    Question,
    Vote,
)
from consensus.state import State
from ledger.rows import HeaderRow
from ledger.store import HEADER, MemoryStore
from tests.simulation.checkers import Violation
from tests.simulation.cluster import Cluster, Node, quick_bounds
from tests.simulation.execution import HEAD_KEY
from tests.simulation.schedules import draw, perform
from tests.simulation.test_scenarios import drop, is_vote, keep_all, ready, work


def signed_by(cluster: Cluster, number: int) -> list[set[tuple[int, ...]]]:
    """The slots of everything that a node has ever signed and sent."""
    checker = cluster.checker
    slots = (checker.votes, checker.proposals, checker.cosigned, checker.sealed_at)
    return [{slot for slot in each if slot[0] == number} for each in slots]


def is_observer(cluster: Cluster, number: int) -> bool:
    return silence.has_forgotten(cluster.nodes[number].state)


def until_observer(cluster: Cluster, number: int) -> None:
    cluster.run_until(lambda: is_observer(cluster, number), 9_000, "it must never sign again")


def until_signing(cluster: Cluster, number: int, limit_ms: int = 9_000) -> int:
    """How long (ms) it took until the node might sign."""
    node = cluster.nodes[number]
    return cluster.run_until(lambda: node.state.silence is None, limit_ms, "it must sign again")


def others_go_on(cluster: Cluster, number: int) -> None:
    """The others make blocks; the observer follows, executes them, and signs nothing."""
    before, signed = max(cluster.checker.blocks, default=0), signed_by(cluster, number)
    others = [each for each in cluster.nodes if each != number]
    for at in range(12):
        cluster.submit(others[at % len(others)])
        cluster.run_ms(200)
    cluster.settle()
    assert max(cluster.checker.blocks) > before + 3
    assert cluster.nodes[number].executed_height() == max(cluster.checker.blocks)
    assert signed_by(cluster, number) == signed
    assert not any(each.state.evidence for each in cluster.honest())


# --- lost and restored ---


@pytest.mark.parametrize("n", [4, 7])
def test_amnesia_wiped_node(n: int) -> None:
    cluster = ready(n, epoch_blocks=6)
    work(cluster, 6, 60)
    cluster.lose_store(3)
    cluster.restart(3)
    until_observer(cluster, 3)
    others_go_on(cluster, 3)
    cluster.crash(3)
    cluster.restart(3)
    assert is_observer(cluster, 3), "the mark outlives a restart"
    others_go_on(cluster, 3)


def test_amnesia_old_backup() -> None:
    cluster = ready(epoch_blocks=6)
    backup = cluster.nodes[2].store.copy()
    work(cluster, 30)
    cluster.settle()
    cluster.set_back(2, backup)
    cluster.restart(2)
    until_observer(cluster, 2)
    others_go_on(cluster, 2)


def test_amnesia_all_others_have_restarted_too() -> None:
    """What shows the loss is durable with them: batches, certificates, newest votes."""
    cluster = ready(epoch_blocks=6)
    backup = cluster.nodes[2].store.copy()
    work(cluster, 12)
    cluster.settle()
    for number in cluster.nodes:
        cluster.crash(number)
    cluster.set_back(2, backup)
    for number in cluster.nodes:
        cluster.restart(number)
    until_observer(cluster, 2)
    others_go_on(cluster, 2)


def test_a_backup_is_known_by_a_vote_alone() -> None:
    """Nothing was sealed since, no cosignature came, and the views are closed everywhere."""
    cluster = ready()
    node = cluster.nodes[3]
    backup, top = node.store.copy(), node.state.lanes.lanes[3].top
    view = node.state.final_view
    drop(cluster, lambda source, _, m: source == 3 and isinstance(m, Batches | Cosignature))
    cluster.submit(1)
    cluster.run_until(lambda: cluster.nodes[1].state.final_view > view, 9_000, "a block")
    cluster.run_ms(50)
    assert cluster.nodes[1].state.lanes.lanes[3].top == top
    assert cluster.nodes[1].state.newest[3].view > view
    cluster.set_back(3, backup)
    cluster.restart(3)
    until_observer(cluster, 3)
    said = cluster.checker.forgotten[3]
    assert "finalize" in said or "notarize" in said
    keep_all(cluster)
    others_go_on(cluster, 3)


def test_finalize_in_flight_disk_lost_then_nullify() -> None:
    """Its finalize has reached one peer when the power fails; the disk had lied about it."""
    cluster = ready()
    victim = cluster.nodes[2]
    drop(
        cluster,
        lambda source, target, m: is_vote(m, FINALIZE) and (source, target) != (2, 4),
    )
    cluster.submit(1)
    backups: list[MemoryStore] = []

    def has_finalized() -> bool:
        if not any(FINALIZE in each.own for each in victim.state.rounds.values()):
            backups[:] = [victim.store.copy()]
            return False
        return any(
            each.tallies[FINALIZE].vote_of(2) for each in cluster.nodes[4].state.rounds.values()
        )

    while not has_finalized():
        assert cluster.clock.step()
    cluster.set_back(2, backups[0])
    keep_all(cluster)
    hidden = Blocks | CertificateMessage | Proposal | Vote
    drop(cluster, lambda _, target, m: target == 2 and isinstance(m, hidden))
    cluster.restart(2)  # it does not hear how the view went: its time runs out
    until_observer(cluster, 2)
    assert "finalize" in cluster.checker.forgotten[2]
    cluster.run_ms(9_000)
    keep_all(cluster)
    others_go_on(cluster, 2)


def test_restored_backup_reseals_a_lane_height() -> None:
    """Intake offers it records as soon as it is up."""
    cluster = ready()
    backup = cluster.nodes[1].store.copy()
    drop(cluster, lambda _, target, m: isinstance(m, Batches) and target != 3)
    cluster.submit(1)
    cluster.run_ms(50)
    assert cluster.nodes[3].state.lanes.lanes[1].top.height == 2
    keep_all(cluster)
    cluster.set_back(1, backup)
    cluster.restart(1)
    for _ in range(200):
        cluster.submit(1)
        cluster.run_ms(10)
    assert is_observer(cluster, 1)
    others_go_on(cluster, 1)


def test_it_stops_at_a_later_answer() -> None:
    """Who holds the newest is away when it starts; nothing else shows it."""
    cluster = ready()
    backup = cluster.nodes[1].store.copy()
    drop(cluster, lambda source, target, _: source == 1 and target != 4)
    cluster.submit(1)
    cluster.run_ms(50)
    cluster.crash(4)
    cluster.set_back(1, backup)
    keep_all(cluster)
    cluster.restart(1)
    until_signing(cluster, 1)
    cluster.restart(4)
    until_observer(cluster, 1)
    others_go_on(cluster, 1)


def test_store_lost_and_the_own_newest_batch_comes_by_itself() -> None:
    """No peer answers; a batch of the own lane that is pushed ends all signing at once."""
    cluster = ready()
    drop(cluster, lambda _, target, m: isinstance(m, Answer) and target == 3)
    cluster.lose_store(3)
    cluster.restart(3)
    cluster.run_ms(5_000)
    assert cluster.nodes[3].state.silence is not None
    until_observer(cluster, 3)
    keep_all(cluster)
    others_go_on(cluster, 3)


@pytest.mark.parametrize("seed", range(12))
def test_log_cut_off_anywhere(seed: int) -> None:
    """The disk comes back as it was after any of its writes: whoever has forgotten what others
    hold never signs again; whoever has not goes on; nobody contradicts himself."""
    random = Random(seed)
    cluster = ready(seed=seed, epoch_blocks=random.choice([2, 64]))
    cluster.nodes[2].history.clear()
    start = cluster.nodes[2].store.copy()
    for _ in range(random.randrange(2, 9)):
        cluster.submit(random.randrange(1, 5))
        cluster.run_ms(random.randrange(1, 200))
    history = cluster.nodes[2].history
    kept = random.randrange(len(history) + 1)
    for changes in history[:kept]:
        start.write(changes)
    whole = kept == len(history)
    cluster.set_back(2, start)
    cluster.run_ms(random.randrange(300))
    cluster.restart(2)
    for at in range(24):
        cluster.submit(1 + at % 4)
        cluster.run_ms(random.randrange(1, 250))
    cluster.settle()
    assert not (whole and cluster.checker.forgotten)
    heads = {node.executed_height() for node in cluster.honest()}
    assert len(heads) == 1


# --- whole stores ---


@pytest.mark.parametrize("seed", range(6))
def test_unsynced_writes_lost_on_power_loss(seed: int) -> None:
    """All lose what was not synced, at once, under load: none has forgotten what it sent."""
    random = Random(seed)
    cluster = ready(seed=seed, epoch_blocks=4)
    for _ in range(4):
        work(cluster, 4, random.randrange(1, 120))
        for number in cluster.nodes:
            cluster.crash(number, keep=random.randrange(3))
        for number in cluster.nodes:
            cluster.restart(number)
    for number in cluster.nodes:
        until_signing(cluster, number, 3_000)
    cluster.settle()
    assert not cluster.checker.forgotten


def test_a_whole_store_signs_after_one_round_trip() -> None:
    """kill -9 under load; one of the peers, though linked, never answers."""
    cluster = ready()
    drop(cluster, lambda source, _, m: isinstance(m, Answer) and source == 4)
    for at in range(6):
        work(cluster, 3, 50)
        cluster.crash(2, keep=at % 2)
        cluster.restart(2)
        assert until_signing(cluster, 2) <= 15, "two links of 2 to 5 ms each way"
    keep_all(cluster)
    cluster.settle()


def test_silent_peer_during_anothers_restart() -> None:
    """One has lost its store, another restarts beside it: whoever is silent answers too."""
    cluster = ready()
    cluster.lose_store(4)
    cluster.restart(4)
    until_observer(cluster, 4)
    cluster.crash(1)
    cluster.crash(2)
    cluster.restart(2)
    assert until_signing(cluster, 2) <= 15, "one that signs and an observer are q − 1"
    cluster.restart(1)
    until_signing(cluster, 1)
    others_go_on(cluster, 4)


def test_two_of_four_down_then_back() -> None:
    """There is no quorum to ask, and none to decide: it waits, however long."""
    cluster = ready()
    for number in (1, 2, 3):
        cluster.crash(number)
    cluster.restart(1)
    cluster.run_ms(60_000)
    assert cluster.nodes[1].state.silence is not None
    cluster.restart(2)
    until_signing(cluster, 1)
    until_signing(cluster, 2)
    work(cluster, 4)
    cluster.restart(3)
    cluster.settle()


@pytest.mark.parametrize("ahead", ["consensus", "neither"])
def test_store_ahead_or_behind_of_consensus(ahead: str) -> None:
    """The ledger is at an earlier block than consensus: it executes again, and has forgotten
    nothing; its lane goes on above its newest batch. (A ledger ahead is `StoreDamaged`.)"""
    cluster = ready()
    node = cluster.nodes[2]
    early = node.store.get(HEAD_KEY)
    work(cluster, 8)
    cluster.settle()
    top = node.state.lanes.lanes[2].top.height
    cluster.crash(2)
    if ahead == "consensus":
        node.store.write({HEAD_KEY: early})
        cluster.checker.certified[2] = 0
    cluster.restart(2)
    until_signing(cluster, 2)
    assert node.state.lanes.lanes[2].top.height == top
    work(cluster, 8)
    cluster.settle()
    assert not cluster.checker.forgotten


# --- new stores ---


def test_first_start_of_all() -> None:
    cluster = Cluster(4, 5)
    for node in cluster.nodes.values():
        node.store.write(silence.mark_new())
        node.start()
    cluster.link_all()
    assert max(until_signing(cluster, number) for number in cluster.nodes) <= 30
    work(cluster, 6)
    cluster.settle()
    assert not any(node.store.get(silence.NEW) for node in cluster.nodes.values())


def test_first_start_of_a_late_node() -> None:
    """The others have run for a while; a liar among them never answers."""
    cluster = Cluster(4, 5, bounds=quick_bounds(4))
    for node in cluster.nodes.values():
        node.store.write(silence.mark_new())
        node.start()
    cluster.crash(4)
    cluster.link_all()
    cluster.hear_answers()
    for _ in range(8):
        cluster.submit(1)
        cluster.run_ms(300)
    assert cluster.nodes[1].executed_height() > 4
    drop(cluster, lambda source, _, m: isinstance(m, Answer) and source == 2)
    cluster.restart(4)
    assert 3_000 <= until_signing(cluster, 4) <= 4_000, "a new store waits a while for him"
    cluster.crash(2)
    work(cluster, 6, 300)
    cluster.restart(2)
    cluster.settle()


@pytest.mark.parametrize("seed", range(8))
def test_stores_lost_at_any_moment(seed: int) -> None:
    """Under load, and again while it catches up: it signs nothing any more."""
    cluster = ready(seed=seed, epoch_blocks=6)
    victim = 1 + seed % 4
    for _ in range(3):
        for at in range(cluster.random.randrange(2, 9)):
            cluster.submit(1 + (victim + at % 3) % 4)
            cluster.run_ms(cluster.random.randrange(1, 120))
        cluster.lose_store(victim)
        cluster.run_ms(cluster.random.randrange(1, 400))
        cluster.restart(victim)
    until_observer(cluster, victim)
    others_go_on(cluster, victim)


# --- liars ---


def test_a_lane_that_a_lost_store_forked_holds_nobody_up() -> None:
    """Nobody who knows better is up when it seals again: it is faulty, its lane is forked, and what
    it took on the branch that is lost is nobody's loss but its own. All others come to rest."""
    outcome = perform(draw(136, mix=("delay", "crash", "store_loss", "truncate", "bit_flip")))
    assert outcome.forgotten == 1


def test_forged_claims_silence_nobody() -> None:
    """The liar's answers name votes, batches and proposals that the node never signed; and it
    repeats what the node did sign."""
    cluster = ready()
    seen: list[Vote | Proposal] = []

    def note(source: int, _: int, message: Message) -> bool:
        if source == 2 and isinstance(message, Vote | Proposal):
            seen.append(message)
        return False

    def lie(_: Node, __: int, message: Message) -> list[Message]:
        if not isinstance(message, Answer):
            return [message]
        change = msgspec.structs.replace
        signature, far = bytes(64), 10**6
        batch = next(iter(cluster.checker.final))
        row = msgspec.msgpack.decode(
            bytes(cluster.nodes[1].store.get(HEADER + batch) or b""), type=HeaderRow
        )
        header = change(row.header, lane=2, height=far)
        votes = [each for each in seen if isinstance(each, Vote)]
        return [
            change(
                message,
                headers=(HeaderRow(header, signature),),
                proposals=tuple(each for each in seen if isinstance(each, Proposal))[:64],
                votes=(
                    Vote(FINALIZE, 1, far, bytes(32), signature, False),
                    Vote(NULLIFY, far, 1, bytes(32), votes[0].signature, False),
                    *votes[:500],
                ),
                final_height=far,
            )
        ]

    drop(cluster, note)
    cluster.make_byzantine(4, lie)
    for _ in range(4):
        work(cluster, 6, 100)
        cluster.crash(2)
        cluster.restart(2)
        until_signing(cluster, 2, 200)
    cluster.settle()
    assert seen
    assert not cluster.checker.forgotten


def test_a_flood_of_questions_costs_the_answerer_a_bounded_sum() -> None:
    cluster = ready()
    cluster.make_byzantine(4)
    before = cluster.network.sent
    for at in range(20_000):
        cluster.network.send(4, 1, Question(at))
    cluster.run_ms(500)
    answered = cluster.network.sent - before - 20_000
    most = cluster.nodes[1].config.limits.served_bytes_max // (64 * 1_024)
    assert 0 < answered <= 2 * most


# --- n ≤ 3 ---


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("seed", range(6))
def test_without_faults_allowed_what_all_others_hold_is_taken_over(n: int, seed: int) -> None:
    cluster = ready(n, seed, epoch_blocks=3)
    for _ in range(3):
        work(cluster, 4, cluster.random.randrange(1, 120))
        if seed % 2:
            cluster.lose_store(2)
        else:
            cluster.set_back(2, cluster.nodes[2].store.copy())
        cluster.restart(2)
        until_signing(cluster, 2, 20_000)
    work(cluster, 6)
    cluster.settle()
    assert not cluster.checker.forgotten
    assert not any(node.state.evidence for node in cluster.honest())


# --- mutants ---


def begin_without_silence(state: State) -> None:
    intact_begin(state)
    state.silence = None


intact_begin = recall.begin


@pytest.fixture
def no_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody asks and nobody stops: as if the store were always whole."""
    monkeypatch.setattr(recall, "begin", begin_without_silence)
    monkeypatch.setattr(silence, "forget", lambda *_: None)
    monkeypatch.setattr("consensus.gate.forget", lambda *_: None)


@pytest.mark.usefixtures("no_rule")
def test_without_the_rule_a_height_is_sealed_twice() -> None:
    with pytest.raises((Violation, AssertionError), match="sealed two batches"):
        test_restored_backup_reseals_a_lane_height()


@pytest.mark.usefixtures("no_rule")
def test_without_the_rule_a_finalized_view_is_nullified() -> None:
    with pytest.raises(Violation, match="finalize and nullify"):
        test_finalize_in_flight_disk_lost_then_nullify()


@pytest.mark.usefixtures("no_rule")
def test_without_the_rule_a_cut_log_makes_a_node_contradict_itself() -> None:
    found = []
    for seed in range(12):
        try:
            test_log_cut_off_anywhere(seed)
        except Violation as violation:
            found.append(str(violation))
    assert any("twice" in each or "sealed two" in each or "nullify" in each for each in found)
