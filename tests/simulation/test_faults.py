"""Named faults of execution, disks, clocks and hostile bytes."""

import pytest

from consensus import safety, simplex, view
from consensus.certificate import (
    FINALIZE,
    NOTARIZE,
    NULLIFY,
    Certificate,
    Signed,
)
from consensus.effects import Persist, Refuse
from consensus.evidence import FINALIZE_AND_NULLIFY, Evidence
from consensus.inputs import Received
from consensus.messages import (
    MESSAGE_BYTES_MAX,
    Batches,
    Blocks,
    CertificateMessage,
    CheckpointMessage,
    Cosignature,
    Hint,
    Message,
    Vote,
    decode_message,
    encode_message,
)
from consensus.serving import stored_final
from consensus.view import COSIGNATURES_WAIT
from ledger.block import Block, Tip
from ledger.encoding import encode
from ledger.errors import Malformed, StoreDamaged
from ledger.hashing import ZERO_HASH
from ledger.statements import conflict
from ledger.store import CHECKPOINT, CONSENSUS, HEADER, SUBMISSION, Changes, after
from tests.simulation import actors
from tests.simulation.cluster import CHAIN, ORIGIN, Cluster, Node, cheap_verify, quick_bounds
from tests.simulation.test_scenarios import drop, is_vote, keep_all, ready, work

# --- execution ---


def test_nondeterministic_execution_halts() -> None:
    """One node executes otherwise: it stops, the others certify on."""
    cluster = ready()
    cluster.nodes[2].twist = b"a bug"
    cluster.checker.may_halt = {2}
    cluster.submit(1)
    cluster.run_until(lambda: 2 in cluster.checker.halts, 5_000, "it must stop")
    assert not cluster.nodes[2].up
    height = cluster.nodes[1].executed_height()
    assert f"block {height}" in cluster.checker.halts[2]
    for at in range(9):
        cluster.submit((1, 3, 4)[at % 3])
        cluster.run_ms(300)
    cluster.run_until(cluster.settled, 20_000, "the others go on")
    assert max(cluster.checker.certified[number] for number in (1, 3, 4)) > height + 3
    assert cluster.checker.certified[2] < height


def test_two_two_split_of_roots() -> None:
    """Neither half has a quorum; who sees f + 1 others disagree stops; nothing is certified."""
    cluster = ready()
    before = max(cluster.checker.certified.values())
    for number in (3, 4):
        cluster.nodes[number].twist = b"another version"
    cluster.checker.may_halt = {1, 2, 3, 4}
    cluster.submit(1)
    cluster.run_until(lambda: len(cluster.checker.halts) >= 2, 10_000, "one half must stop")
    cluster.run_ms(10_000)
    assert max(cluster.checker.certified.values()) == before
    for node in cluster.honest():
        assert COSIGNATURES_WAIT in view.describe(node.state).waits, "the operator sees it"


def test_a_node_halts_on_a_checkpoint_that_others_certified() -> None:
    """It hears no cosignature: q of another result, in one message, stop it as well."""
    cluster = ready()
    cluster.nodes[2].twist = b"a bug"
    cluster.checker.may_halt = {2}
    drop(cluster, lambda _, target, m: target == 2 and isinstance(m, Cosignature))
    cluster.submit(1)
    cluster.run_until(lambda: 2 in cluster.checker.halts, 10_000, "the row must stop it")


def test_f_liars_about_roots_halt_nobody() -> None:
    """They cosign any root of any height, again and again; others certify without them."""

    def lie(node: Node, _: int, message: Message) -> list[Message]:
        if not isinstance(message, Cosignature):
            return [message]
        key = node.config.keys.cosigner
        roots = [bytes([at]) * 32 for at in range(3)]
        return [
            actors.sign_root(key, message.height, message.size, root, message.time_s + at)
            for at, root in enumerate(roots)
        ]

    cluster = ready()
    cluster.make_byzantine(4, lie)
    work(cluster, 12, 100)
    cluster.settle()
    kinds = {(e.kind, e.number) for node in cluster.honest() for e in node.state.evidence.values()}
    assert kinds == {(5, 4)}


def test_validator_stops_cosigning_while_finality_runs() -> None:
    cluster = ready()
    cluster.make_byzantine(4, lambda _, __, m: [] if isinstance(m, Cosignature) else [m])
    work(cluster, 24, 100)
    cluster.settle()
    assert cluster.checker.certified[1] > 5


def test_forged_cosignatures_and_checkpoints_certify_nothing() -> None:
    """The forger fills in the others' names: nobody counts what they did not sign."""

    def forge(node: Node, _: int, message: Message) -> list[Message]:
        if not isinstance(message, Cosignature):
            return [message]
        height = message.height
        return [
            Cosignature(height, message.size, message.root, 1, bytes(64), True),
            actors.forged_row(height, message.size, bytes(32), (1, 2, 3)),
            actors.forged_row(height, message.size, message.root, (1, 2, 3)),
        ]

    cluster = ready()
    before = max(cluster.checker.certified.values())
    cluster.make_byzantine(4, forge)
    cluster.crash(3)
    work(cluster, 8, 100)
    assert max(cluster.checker.blocks) > before
    assert max(cluster.checker.certified.values()) == before, "two honest ones are no quorum"
    cluster.restart(3)
    cluster.settle()


# --- disks ---


def test_disk_full_at_vote_fail_stop() -> None:
    """Whatever is written first fails: the node stops and has sent nothing that rests on it."""
    for kind in (NOTARIZE, FINALIZE):
        cluster = ready()
        node = cluster.nodes[3]
        prefix, suffix = CONSENSUS + b"v", kind.to_bytes(1)

        def at_vote(node: Node = node, prefix: bytes = prefix, suffix: bytes = suffix) -> bool:
            waiting = [each for each in node.outbox if isinstance(each, Persist)]
            keys = (key for each in waiting for key in each.changes)
            return any(key.startswith(prefix) and key.endswith(suffix) for key in keys)

        cluster.submit(1)
        for _ in range(20_000):
            cluster.clock.step()
            if at_vote():
                break
        assert at_vote()
        signed = {slot for slot in cluster.checker.votes if slot[0] == 3}
        node.disk_full = True
        cluster.run_ms(100)
        assert not node.up
        assert {slot for slot in cluster.checker.votes if slot[0] == 3} == signed
        work(cluster, 4, 200)
        node.disk_full = False
        cluster.restart(3)
        cluster.settle()


def test_a_quorum_of_one_goes_on_from_its_own_vote() -> None:
    """Its vote is on the disk, and the certificate that it alone makes is not."""
    cluster = ready(1)
    node = cluster.nodes[1]
    vote = actors.sign_vote(node, NULLIFY, node.state.epoch, node.state.view, ZERO_HASH)
    cluster.crash(1)
    key = safety.vote_key(vote.epoch, vote.view, NULLIFY)
    node.store.write({key: encode(safety.VoteRow(vote.hash, vote.signature))})
    cluster.restart(1)
    cluster.submit(1)
    cluster.settle()


def busy_store() -> Node:
    """A node in the midst of things: votes, proposals, certificates and batches are on its disk."""
    cluster = ready()
    node = cluster.nodes[2]
    drop(cluster, lambda _, __, m: isinstance(m, Cosignature | CheckpointMessage))
    work(cluster, 1, 400)
    keep_all(cluster)
    drop(cluster, lambda _, __, m: is_vote(m, FINALIZE) or isinstance(m, Cosignature))
    cluster.submit(2)
    cluster.run_ms(90)
    kinds = {key[: len(CONSENSUS) + 1] for key, _ in everything(node)}
    assert kinds >= {CONSENSUS + each for each in (b"v", b"p", b"c", b"f", b"h", b"s")}
    return node


def everything(node: Node) -> list[tuple[bytes, bytes]]:
    prefixes = (CONSENSUS, HEADER, SUBMISSION, CHECKPOINT)
    return [row for prefix in prefixes for row in node.store.scan(prefix, after(prefix))]


@pytest.mark.parametrize("harm", ["flip", "cut", "remove"])
def test_log_torn_tail_bitflip_truncate(harm: str) -> None:
    """Any one row is damaged: the node starts or says `StoreDamaged`, nothing else."""
    node = busy_store()
    damaged = started = 0
    for at, (key, value) in enumerate(everything(node)):
        changes: Changes = {key: None}
        if harm == "flip":
            byte = at * 7 % max(1, len(value))
            changes = {key: value[:byte] + bytes([value[byte] ^ 1 << at % 8]) + value[byte + 1 :]}
        elif harm == "cut":
            changes = {key: value[: len(value) // 2]}
        rows = node.store.copy()
        rows.write(changes)
        try:
            simplex.restore(node.config, rows, node.cluster.load_ledger(rows).head, node.now())
        except StoreDamaged:
            damaged += 1
        else:
            started += 1
    assert damaged
    assert started, "not every row is read at a start"


# --- evidence ---


@pytest.mark.parametrize("first", ["late", "certificate", "counted"])
@pytest.mark.parametrize("kind", [NULLIFY, FINALIZE])
def test_a_contradiction_is_seen_whichever_way_it_comes(first: str, kind: int) -> None:
    """Platform 7 finalizes and nullifies: one of them too late to count, under a certificate, or as
    a vote that counts."""
    cluster = ready(7)
    node = cluster.nodes[1]
    view = node.state.view
    block = bytes([7]) * 32
    hashes = {NULLIFY: ZERO_HASH, FINALIZE: block}

    def vote(number: int, of: int) -> Vote:
        return actors.sign_vote(cluster.nodes[number], of, 1, view, hashes[of])

    def hear(number: int, message: Message) -> None:
        simplex.handle(node.state, Received(number, message), node.now())

    voters = {"late": (2, 3, 4, 5, 6), "certificate": (3, 4, 5, 6, 7), "counted": ()}[first]
    if first == "certificate":
        signed = tuple(Signed(number, vote(number, kind).signature) for number in voters)
        hear(2, CertificateMessage(Certificate(kind, 1, view, hashes[kind], signed), None))
    for number in voters if first == "late" else ():
        hear(number, vote(number, kind))
    if first != "certificate":
        hear(7, vote(7, kind))
    assert not node.state.evidence
    hear(7, vote(7, FINALIZE + NULLIFY - kind))
    (found,) = node.state.evidence.values()
    assert (found.number, found.kind, found.slot) == (7, FINALIZE_AND_NULLIFY, view)
    verify_evidence(found, cluster)


def verify_evidence(found: Evidence, cluster: Cluster) -> None:
    """It convicts, by the rules of whoever judges it again."""
    key = cluster.nodes[found.number].config.validators[found.number - 1].vote_key
    for each in conflict(CHAIN, ORIGIN, found):
        assert cheap_verify(key, each.message, each.signature)


def test_a_late_vote_that_does_not_hold_accuses_nobody() -> None:
    cluster = ready(7)
    node = cluster.nodes[1]
    view = node.state.view
    for number in (2, 3, 4, 5, 6):
        vote = actors.sign_vote(cluster.nodes[number], NULLIFY, 1, view, ZERO_HASH)
        simplex.handle(node.state, Received(number, vote), node.now())
    forged = Vote(NULLIFY, 1, view, ZERO_HASH, bytes(64), False)
    for vote in (forged, actors.sign_vote(cluster.nodes[7], FINALIZE, 1, view, bytes(31) + b"7")):
        simplex.handle(node.state, Received(7, vote), node.now())
    assert not node.state.evidence


def test_blocks_that_were_asked_for_before_a_store_was_lost_blame_nobody() -> None:
    """The answer starts higher than the new store, which is nobody's fault, and is of no use."""
    cluster = ready(epoch_blocks=64)
    work(cluster, 12, 300)
    cluster.settle()
    height = cluster.nodes[1].executed_height()
    row = stored_final(cluster.nodes[1].state, height)
    assert row is not None
    assert row.finalization is not None
    late = Blocks((row.block,), row.tail, row.finalization, None)
    cluster.lose_store(3)
    node = cluster.nodes[3]
    node.start()
    _, effects = simplex.handle(node.state, Received(1, late), node.now())
    assert not any(isinstance(effect, Refuse) for effect in effects)
    assert node.state.final.block.height == 0


# --- clocks ---


@pytest.mark.parametrize("hours", [-30, 30])
def test_clock_skew_hours(hours: int) -> None:
    """One clock is hours off, for good or for a while: block time is that of the others."""
    cluster = ready()
    cluster.nodes[4].skew_ms = hours * 3_600_000
    work(cluster, 12, 400)
    cluster.settle()
    wall_ms = cluster.nodes[1].now().wall_ms
    assert abs(cluster.nodes[1].state.final.block.time - wall_ms) < 60_000
    cluster.nodes[4].skew_ms = 0
    work(cluster, 12, 400)
    cluster.settle()
    tips = cluster.nodes[1].state.lanes
    assert tips.lanes[4].final.height < 40, "no echo"


# --- floods and hostile bytes ---


def test_floods_of_every_kind_in_bounded_memory() -> None:
    cluster = ready()
    node = cluster.make_byzantine(4)
    state = cluster.nodes[1].state
    key = node.config.keys.cosigner
    for at in range(1, 1_500):
        name = at.to_bytes(32)
        led = at * 4
        view = led + next(n for n in range(4) if state.leader(led + n) == 4)
        block = Block(1, view, at, name, (Tip(4, at, name),), at)
        batch = actors.batch_of(node, height=at + 1_000, previous=name)
        for message in (
            actors.sign_block(node, block),
            actors.sign_vote(node, FINALIZE, 1, at, name),
            actors.sign_root(key, at, at, name, at),
            actors.forged_row(at, at, name, (1, 2, 3)),
            Hint((Tip(1 + at % 4, at * 10, name),), bool(at % 2)),
            Batches((batch,)),
        ):
            cluster.network.send(4, 1, message)
    cluster.run_ms(200)
    limits = state.config.limits
    rounds = limits.views_ahead_max + 1
    assert len(state.rounds) <= rounds
    assert len(state.blocks) <= rounds * limits.blocks_per_view_max
    assert len(state.candidates) <= len(state.blocks)
    assert len(state.lanes.orphans) <= limits.orphans_max
    assert all(len(lane.ahead) <= 1 for lane in state.lanes)
    unchecked = state.checkpoints.unchecked
    assert sum(map(len, unchecked.values())) <= limits.uncertified_heights_max
    assert len(state.checkpoints.ahead) <= 1
    written = list(cluster.nodes[1].store.scan(CONSENSUS, after(CONSENSUS)))
    assert len(written) < 400
    cluster.nodes[4].outgoing = actors.silent
    work(cluster, 8)
    cluster.settle()


def test_oversize_or_deeply_nested_message() -> None:
    """Bytes as a peer may send them: refused at once, and good messages survive the wire."""
    nested = [b"\x91" * 100_000, b"\x9c\x07" + b"\x91" * 100_000, b"\x92\x07" + b"\x91" * 50_000]
    endless = [
        b"\xdd\xff\xff\xff\xff",
        b"\x92\x07\xdd\xff\xff\xff\xff",
        b"\x93\x06\xdd\x00\xff\xff\xff",
    ]
    long = [bytes(MESSAGE_BYTES_MAX + 1), b"\x92\x07\xc6\xff\xff\xff\xff", b""]
    for data in nested + endless + long:
        with pytest.raises(Malformed):
            decode_message(data)
    cluster = Cluster(4, 8, bounds=quick_bounds(3))
    deliver = cluster.network.deliver
    cluster.network.deliver = lambda source, target, message: deliver(
        source, target, decode_message(encode_message(message))
    )
    cluster.start()
    work(cluster, 12, 120)
    cluster.settle()
    assert not cluster.refusals
