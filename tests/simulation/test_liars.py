"""Liars by name: what each does harms no honest node, and is evidence where the list says so."""

from hashlib import sha256, sha512

import pytest
from nacl import bindings

from consensus import gate
from consensus.certificate import FINALIZE, NOTARIZE, Certificate, Signed, check_certificate
from consensus.evidence import (
    FINALIZE_AND_NULLIFY,
    TWO_BATCHES,
    TWO_NOTARIZES,
    TWO_PROPOSALS,
    TWO_ROOTS,
)
from consensus.inputs import Received
from consensus.messages import (
    Batches,
    CertificateMessage,
    CheckpointMessage,
    Cosignature,
    Message,
    Proposal,
    Vote,
)
from consensus.proposals import make_block
from consensus.quorum import witnesses
from ledger import signing
from ledger.batch import header_message
from ledger.block import Block, block_hash
from ledger.hashing import ZERO_HASH
from ledger.statements import statement_message
from tests.simulation import actors
from tests.simulation.checkers import Violation
from tests.simulation.cluster import CHAIN, Cluster, Node, quick_bounds
from tests.simulation.schedules import draw, perform
from tests.simulation.test_scenarios import (
    certificates,
    drop,
    is_vote,
    keep_all,
    ready,
    watch,
    work,
)


def accused(cluster: Cluster) -> set[tuple[int, int]]:
    """(Kind, platform) of all evidence that honest nodes hold."""
    found = (each for node in cluster.honest() for each in node.state.evidence.values())
    return {(each.kind, each.number) for each in found}


@pytest.mark.parametrize("actor", sorted(actors.ACTORS))
@pytest.mark.parametrize("seed", range(2))
def test_each_liar_amid_crashes_and_cuts(actor: str, seed: int) -> None:
    mix = ("delay", "loss", "reorder", "crash", "partition", "one_way", "pause", actor)
    assert perform(draw(seed, 4, mix=mix, events=24)).actors == (actor,)


@pytest.mark.parametrize("seed", range(3))
def test_twins_amid_crashes_and_cuts(seed: int) -> None:
    mix = ("delay", "reorder", "hasty", "crash", "partition", "twins")
    assert perform(draw(seed, 4, mix=mix, events=24)).actors == ("twins",)


def test_leader_skips_views_without_nullification() -> None:
    """It proposes ahead, for the next views that it leads, on the last final block. Its blocks are
    kept and judged when their view comes. Meanwhile finalize votes are lost: so the parent is still
    the last final block, and only the views between, of which none is nullified, are in the way."""
    bad: dict[bytes, Block] = {}

    def ahead(node: Node, _: int, message: Message) -> list[Message]:
        if not isinstance(message, Proposal) or message.again:
            return [message]
        block = make_block(node.state, node.state.final, message.block.tips)
        skipped = [
            type(block)(
                block.epoch,
                block.view + 4 * more,
                block.height,
                block.parent,
                block.tips,
                block.time,
            )
            for more in (1, 2)
        ]
        bad.update((block_hash(CHAIN, each), each) for each in skipped)
        return [message, *(actors.sign_block(node, each) for each in skipped)]

    faced: dict[int, set[int]] = {}

    def look() -> None:
        """Who has such a block before it in its view, and no nullification of those between."""
        for node in cluster.honest():
            state = node.state
            hash_ = state.round(state.view).hash
            block = bad.get(hash_) if hash_ is not None else None
            if block is None or block.parent != state.final.hash:
                continue
            between = [state.round(view) for view in range(state.final_view + 1, state.view)]
            if between and not any(round_.nullified for round_ in between):
                faced.setdefault(state.view, set()).add(node.number)

    cluster = ready()
    before = max(cluster.checker.blocks)
    cluster.make_byzantine(2, ahead)
    drop(cluster, lambda _, __, m: is_vote(m, FINALIZE))
    for at in range(24):
        cluster.submit(1 + at % 4)
        watch(cluster, 100, look)
    keep_all(cluster)
    work(cluster, 12, 100)
    cluster.settle()
    assert {1, 3, 4} in faced.values(), "all stood in a view with a block that skips views"
    voted = {hash_ for slot, hash_ in cluster.checker.votes.items() if slot[3] == NOTARIZE}
    assert voted, "honest nodes notarize"
    assert not bad.keys() & voted, "nobody notarized what is not justified"
    assert not bad.keys() & set(cluster.checker.notarized.values())
    assert not bad.keys() & set(cluster.checker.blocks.values())
    assert accused(cluster) == {(TWO_PROPOSALS, 2)}, "beside those of its views it led them well"
    assert max(cluster.checker.blocks) >= before + 6


def test_double_notarize() -> None:
    cluster = ready()
    cluster.make_byzantine(4, actors.conflicter)
    work(cluster, 12, 100)
    cluster.settle()
    assert accused(cluster) == {(TWO_NOTARIZES, 4)}
    for node in cluster.honest():
        assert node.state.evidence, f"{node.number} saw both"


def test_finalize_and_nullify() -> None:
    cluster = ready()
    cluster.make_byzantine(4, actors.nuller)
    work(cluster, 12, 100)
    cluster.settle()
    assert accused(cluster) == {(FINALIZE_AND_NULLIFY, 4)}


def test_nullify_only_voter() -> None:
    """The others' views are not nullified by it, and it is no evidence: it signs one thing."""
    cluster = ready()
    cluster.make_byzantine(4, actors.nullify_only)
    before = max(cluster.checker.blocks)
    work(cluster, 12, 200)
    cluster.settle()
    assert max(cluster.checker.blocks) >= before + 8
    assert not accused(cluster)


def test_outdated_views_replay() -> None:
    """Votes in views that are over, and every message again long after."""
    for actor in (actors.outdated, actors.replayer()):
        cluster = ready(epoch_blocks=4)
        cluster.make_byzantine(4, actor)
        work(cluster, 24, 100)
        assert cluster.settle() < 10_000
        assert cluster.nodes[1].state.epoch > 2


def test_impersonator_bad_signature_mid_quorum() -> None:
    """False certificates are refused, and the good votes that are in them count nothing less: with
    one node down every quorum needs the impersonator's own vote, which comes behind its false
    certificate, and the votes of those in whose names it speaks."""
    forged: set[Certificate] = set()
    came: dict[int, list[Message]] = {1: [], 3: []}

    def certificate_first(node: Node, target: int, message: Message) -> list[Message]:
        said = actors.impersonator(node, target, message)[::-1]
        forged.update(m.certificate for m in said[:-1] if isinstance(m, CertificateMessage))
        return said

    cluster = ready()
    deliver = cluster.network.deliver

    def listen(source: int, target: int, message: Message) -> None:
        if target in came:
            came[target].append(message)
        deliver(source, target, message)

    before = max(cluster.checker.blocks)
    cluster.network.deliver = listen
    cluster.make_byzantine(2, certificate_first)
    cluster.crash(4)
    work(cluster, 24, 100)
    cluster.run_until(
        lambda: min(n.executed_height() for n in cluster.honest()) >= before + 6, 20_000, "alone"
    )
    for number, messages in came.items():
        node = cluster.nodes[number]
        kept = certificates(node)
        for each in kept:
            check_certificate(CHAIN, node.state.seats, node.config.verify, each)
        after = {(each.kind, each.view): each for each in kept if false_came_first(each, messages)}
        kinds = {kind for kind, _ in after}
        assert kinds >= {NOTARIZE, FINALIZE}, f"{number}: no quorum after a false certificate"
        for each in after.values():
            assert {one.number for one in each.signatures} == {1, 2, 3}
        assert cluster.refusals[number, 2, "certificate"] >= len(after), "each false one is refused"
    cluster.restart(4)
    work(cluster, 8, 100)
    cluster.settle()
    assert forged
    assert {(peer, reason) for _, peer, reason in cluster.refusals} == {(2, "certificate")}
    assert not accused(cluster)


def false_came_first(certificate: Certificate, messages: list[Message]) -> bool:
    """Whether a false certificate of what a true one says came before all votes for it."""
    said = (certificate.kind, certificate.epoch, certificate.view, certificate.hash)
    for message in messages:
        match message:
            case Vote(kind, epoch, view, hash_) if (kind, epoch, view, hash_) == said:
                return False
            case CertificateMessage(Certificate(kind, epoch, view, hash_, signed)):
                if (kind, epoch, view, hash_) == said:
                    return any(each.signature == bytes(64) for each in signed)
            case _:
                pass
    return False


def test_wrong_chain_replay() -> None:
    """A vote of another network, with the same key, is worth nothing here."""

    def elsewhere(node: Node, _: int, message: Message) -> list[Message]:
        if not isinstance(message, Vote):
            return [message]
        kind, epoch, view, hash_ = message.kind, message.epoch, message.view, message.hash
        said = statement_message(sha256(b"another").digest(), kind, epoch, view, hash_)
        return [Vote(kind, epoch, view, hash_, node.config.keys.vote.sign(said), False)]  # type: ignore[union-attr]

    cluster = ready()
    cluster.make_byzantine(4, elsewhere)
    work(cluster, 8, 100)
    cluster.settle()
    assert {reason for _, peer, reason in cluster.refusals if peer == 4} == {"vote_signature"}
    assert not accused(cluster)


def test_wrong_epoch_votes_count_nowhere() -> None:
    cluster = ready(epoch_blocks=3)
    cluster.make_byzantine(4, actors.wrong_epoch)
    work(cluster, 30, 100)
    cluster.settle()
    assert cluster.nodes[1].state.epoch > 3


def test_a_leader_goes_on_past_the_epochs_end() -> None:
    """Where only tail blocks may be proposed, it proposes a next height, or a tail that moves the
    cut. Neither is voted for."""
    tried = []

    def past_the_end(node: Node, target: int, message: Message) -> list[Message]:
        if not isinstance(message, Proposal) or message.block.tips or message.again:
            return [message]
        block = message.block
        if block.height % 3:
            return [message]
        tried.append(block.view)
        tips = tuple(lane.covered for lane in node.state.lanes if lane.covered.height)
        higher = block.height + target % 2
        other = type(block)(block.epoch, block.view, higher, block.parent, tips, block.time)
        return [actors.sign_block(node, other)]

    cluster = ready(epoch_blocks=3)
    cluster.make_byzantine(4, past_the_end)
    drop(cluster, lambda _, __, m: is_vote(m, FINALIZE))
    work(cluster, 24, 200)
    keep_all(cluster)
    cluster.settle()
    assert tried, "it led a view in which only a tail block may come"
    assert cluster.nodes[1].state.epoch >= 2


def test_old_votes_again_and_again_are_answered_at_a_pace() -> None:
    """Every vote that is marked as sent again asks for an answer: a flood gets one each 100 ms."""
    cluster = ready()
    node = cluster.make_byzantine(4)
    vote = actors.sign_vote(node, NOTARIZE, 1, 1, b"v" * 32)
    again = Vote(vote.kind, vote.epoch, vote.view, vote.hash, vote.signature, True)
    before = cluster.network.sent
    for _ in range(100):
        for _ in range(20):
            cluster.nodes[1].feed(Received(4, again))
        cluster.run_ms(10)
    assert cluster.network.sent - before <= 11 * 4


# --- one header, two signatures ---


def other_signature(seed: bytes, message: bytes) -> bytes:
    """Another good Ed25519 signature of a message: whoever holds the key may choose the nonce."""
    hashed = sha512(seed).digest()
    secret = bytes([hashed[0] & 248, *hashed[1:31], hashed[31] & 63 | 64])
    scalar = bindings.crypto_core_ed25519_scalar_reduce(secret + bytes(32))
    nonce = bindings.crypto_core_ed25519_scalar_reduce(sha512(b"another nonce" + message).digest())
    point = bindings.crypto_scalarmult_ed25519_base_noclamp(nonce)
    public = signing.SigningKey.from_seed(seed).public
    challenge = bindings.crypto_core_ed25519_scalar_reduce(
        sha512(point + public + message).digest()
    )
    product = bindings.crypto_core_ed25519_scalar_mul(challenge, scalar)
    return point + bindings.crypto_core_ed25519_scalar_add(nonce, product)


def test_same_header_different_signatures_to_different_nodes() -> None:
    """A batch is named by its header alone: both halves hold the same batch, and nobody is accused
    by it."""
    seed = sha256(b"4 0").digest()
    shown = set()

    def sign_otherwise(node: Node, target: int, message: Message) -> list[Message]:
        if not isinstance(message, Batches) or target % 2:
            return [message]
        batches = []
        for batch in message.batches:
            if batch.header.lane == node.number:
                said = header_message(CHAIN, batch.header)
                other = other_signature(seed, said)
                assert other != batch.signature
                assert signing.verify(node.config.keys.lane.public, said, other)  # type: ignore[union-attr]
                shown.add(other)
                batches.append(type(batch)(batch.header, other, batch.submissions))
            else:
                batches.append(batch)
        return [Batches(tuple(batches))]

    cluster = Cluster(4, 5, bounds=quick_bounds(3), real_signatures=True)
    cluster.make_byzantine(4, sign_otherwise)
    cluster.start()
    work(cluster, 12, 100)
    cluster.settle()
    assert shown
    assert not accused(cluster)
    assert not cluster.refusals
    assert cluster.nodes[1].state.lanes.lanes[4].final.height > 1


# --- more than f ---


def world_of(up: tuple[int, ...], seed: int) -> Cluster:
    """The network as those see it who are up."""
    cluster = Cluster(4, seed, bounds=quick_bounds(64))
    for number in up:
        cluster.nodes[number].start()
    cluster.link_all()
    cluster.hear_answers()
    cluster.submit(up[0])
    cluster.run_until(
        lambda: all(cluster.checker.certified[number] >= 1 for number in up), 20_000, "certified"
    )
    return cluster


def test_f_plus_1_collusion_fork_yields_at_least_f_plus_1_culprits() -> None:
    """3 and 4 lead two lives: with 1 they certify one block, with 2 another. Once 1 hears what
    they told 2, it has evidence of both; and any two forked checkpoints name them."""
    one, other = world_of((1, 3, 4), 1), world_of((2, 3, 4), 2)
    rows = [cluster.nodes[3].state.checkpoints.row for cluster in (one, other)]
    assert rows[0] is not None
    assert rows[1] is not None
    assert rows[0].height == rows[1].height == 1
    assert rows[0].size == rows[1].size
    assert rows[0].root != rows[1].root, "a fork"
    both = [{each.number for each in row.cosignatures} for row in rows if row is not None]
    culprits = both[0] & both[1]
    assert len(culprits) >= witnesses(4)
    assert culprits == {3, 4}
    heard = one.nodes[1]
    one.make_byzantine(3)
    one.make_byzantine(4)
    told = 0
    for each in rows[1].cosignatures:
        if each.number in culprits:
            message = Cosignature(1, rows[1].size, rows[1].root, each.time_s, each.signature, False)
            heard.feed(Received(each.number, message))
            told += 1
    assert told == 2
    found = {(each.kind, each.number) for each in heard.state.evidence.values()}
    assert found == {(TWO_ROOTS, 3), (TWO_ROOTS, 4)}
    assert heard.up, "what it has certified it keeps"


def test_light_client_forked_checkpoint() -> None:
    """A node that lacks the block takes no checkpoint for it but with q cosignatures of its set; f
    liars with any forged ones give it nothing."""
    cluster = ready()
    cluster.crash(1)
    liar = cluster.make_byzantine(4)
    work(cluster, 6, 200)
    cluster.restart(1)
    node = cluster.nodes[1]
    before = node.state.checkpoints.certified
    forged = actors.forged_row(before + 1, 9, b"f" * 32, (2, 3, 4))
    own = actors.sign_root(liar.config.keys.cosigner, before + 1, 9, b"f" * 32, 1)  # type: ignore[union-attr]
    one_good = tuple(
        type(each)(each.number, each.time_s, own.signature if each.number == 4 else each.signature)
        for each in forged.row.cosignatures
    )
    row = type(forged.row)(before + 1, 9, b"f" * 32, one_good)
    node.feed(Received(4, CheckpointMessage(row)))
    signed = tuple(Signed(number, bytes(64)) for number in (2, 3, 4))
    false = Certificate(FINALIZE, 1, node.state.view + 3, b"f" * 32, signed)
    node.feed(Received(4, CertificateMessage(false, None)))
    cluster.settle()
    row = node.state.checkpoints.row
    assert row is not None
    assert row.root != b"f" * 32


def test_f_liars_cannot_certify_alone() -> None:
    """What two of seven sign, repeated in any number of messages, is two signatures."""
    cluster = ready(7)
    for number in (6, 7):
        cluster.make_byzantine(number)
    node = cluster.nodes[1]
    view = node.state.view
    for _ in range(8):
        for number in (6, 7):
            vote = actors.sign_vote(cluster.nodes[number], NOTARIZE, 1, view, b"f" * 32)
            node.feed(Received(number, vote))
    assert not node.state.round(view).certificates
    assert node.state.round(view).tallies[NOTARIZE].count(b"f" * 32) == 2
    assert TWO_ROOTS not in {kind for kind, _ in accused(cluster)}
    assert ZERO_HASH not in node.state.blocks


FORKERS = {
    "lane": (lambda: actors.lane_forker(lambda target: target == 1), TWO_BATCHES),
    "roots": (lambda: actors.root_forker, TWO_ROOTS),
}


@pytest.mark.parametrize("forker", FORKERS)
@pytest.mark.parametrize("is_kept", [True, False])
def test_whoever_holds_two_batches_or_roots_must_have_evidence(
    forker: str, monkeypatch: pytest.MonkeyPatch, *, is_kept: bool
) -> None:
    """The check that every run makes, and that it can fail."""
    actor, kind = FORKERS[forker]
    cluster = Cluster(4, 3)
    cluster.make_byzantine(4, actor())
    if not is_kept:
        monkeypatch.setattr(gate, "_noted", lambda *_: {})
    cluster.start()

    def work() -> None:
        for number in (4, 1, 4, 2, 4):
            cluster.submit(number)
            cluster.run_ms(400)
        cluster.settle()

    if not is_kept:
        with pytest.raises(Violation, match=f"two things of kind {kind} of 4's and no evidence"):
            work()
        return
    work()
    found = [each for each in cluster.nodes[1].state.evidence.values() if each.kind == kind]
    assert {each.number for each in found} == {4}
