"""Contradictions in the ways they may come that are easily missed: under two certificates of one
kind, under two checkpoints, before a block is executed, behind a vote that was worth nothing."""

from consensus import simplex
from consensus.certificate import (
    FINALIZE,
    NOTARIZE,
    NULLIFY,
    Certificate,
    Signed,
    statement_message,
)
from consensus.effects import Effect, Send
from consensus.evidence import FINALIZE_AND_NULLIFY, TWO_NOTARIZES, TWO_ROOTS
from consensus.inputs import Received
from consensus.messages import (
    Answer,
    CertificateMessage,
    CheckpointMessage,
    Cosignature,
    Message,
    Question,
    Vote,
)
from consensus.state import State
from ledger.hashing import ZERO_HASH
from ledger.statements import conflict
from tests.consensus.test_handle import KEYS, machine, refusals, tell
from tests.simulation import actors
from tests.simulation.cluster import CHAIN, ORIGIN, Cluster, Node, cheap_verify
from tests.simulation.test_liars import world_of
from tests.simulation.test_scenarios import ready

ONE, OTHER = b"1" * 32, b"2" * 32
LATE = 7
"""Of seven, the one whose votes come when q others have certified what it votes for."""


def found(state: State) -> set[tuple[int, int]]:
    """(Kind, platform) of all evidence, each of which convicts by the rules of whoever judges."""
    for each in state.evidence.values():
        seat = state.seats.by_number[each.number]
        key = seat.cosigner_key if each.kind == TWO_ROOTS else seat.vote_key
        said = conflict(state.config.chain, ORIGIN, each)
        assert all(cheap_verify(key, one.message, one.signature) for one in said)
    return {(each.kind, each.number) for each in state.evidence.values()}


# --- certificates ---


def notarization(hash_: bytes, view: int = 1) -> CertificateMessage:
    message = statement_message(CHAIN, NOTARIZE, 1, view, hash_)
    signed = tuple(Signed(number, KEYS[number - 1].vote.sign(message)) for number in (2, 3, 4))
    return CertificateMessage(Certificate(NOTARIZE, 1, view, hash_, signed), None)


def test_two_notarizations_of_a_view_accuse_who_signed_both() -> None:
    state = machine()
    tell(state, 2, notarization(ONE))
    assert not state.evidence
    assert not refusals(tell(state, 3, notarization(OTHER)))
    assert found(state) == {(TWO_NOTARIZES, number) for number in (2, 3, 4)}
    assert state.rounds[1].notarized == ONE, "what was followed is followed on"
    assert state.view == 2


def test_a_second_notarization_that_does_not_hold_is_its_senders_fault() -> None:
    state = machine()
    tell(state, 2, notarization(ONE))
    good = notarization(OTHER).certificate
    signed = (*good.signatures[:2], Signed(4, bytes(64)))
    forged = CertificateMessage(Certificate(NOTARIZE, 1, 1, OTHER, signed), None)
    assert refusals(tell(state, 3, forged)) == ["certificate"]
    assert not state.evidence


# --- roots ---


def cosigned(number: int, root: bytes, size: int = 9) -> Cosignature:
    return actors.sign_root(KEYS[number - 1].cosigner, 1, size, root, 1_700_000_000)


def test_two_roots_of_a_block_that_is_not_executed_here() -> None:
    state = machine()
    tell(state, 2, cosigned(2, ONE))
    tell(state, 2, cosigned(2, OTHER))
    assert found(state) == {(TWO_ROOTS, 2)}
    assert state.checkpoints.unchecked[1][2].root == ONE
    tell(state, 3, cosigned(3, ONE))
    tell(state, 3, cosigned(3, ONE))
    assert found(state) == {(TWO_ROOTS, 2)}


def test_a_cosignature_that_is_worth_nothing_hides_none() -> None:
    """It takes no good one's place, and gives way to one."""
    state = machine()
    forged = Cosignature(1, 9, OTHER, 1, bytes(64), False)
    tell(state, 2, forged)
    assert not refusals(tell(state, 2, cosigned(2, ONE)))
    assert refusals(tell(state, 2, forged)) == ["cosignature"]
    assert state.checkpoints.unchecked[1][2] == cosigned(2, ONE)
    assert not state.evidence


def forked() -> tuple[Node, CheckpointMessage]:
    """A node that has certified a block with 3 and 4, and the checkpoint that these two have
    certified with 2."""
    one, other = world_of((1, 3, 4), 1), world_of((2, 3, 4), 2)
    row = other.nodes[2].state.checkpoints.row
    assert row is not None
    return one.nodes[1], CheckpointMessage(row)


def test_a_checkpoint_of_the_other_side_of_a_fork_accuses_who_stands_under_both() -> None:
    """2 is honest, and its answer to whoever is behind is all that 1 ever hears of the fork."""
    node, shown = forked()
    before = node.state.checkpoints.row
    effects = simplex.handle(node.state, Received(2, shown), node.now())[1]
    assert not refusals(effects)
    assert found(node.state) == {(TWO_ROOTS, 3), (TWO_ROOTS, 4)}
    assert node.state.checkpoints.row == before


def test_a_forged_checkpoint_of_a_certified_height_accuses_nobody() -> None:
    node, shown = forked()
    row = shown.row
    forged = actors.forged_row(row.height, row.size, row.root, (2, 3, 4))
    effects = simplex.handle(node.state, Received(2, forged), node.now())[1]
    assert refusals(effects) == ["checkpoint"]
    assert not node.state.evidence


# --- late votes ---


def hear(node: Node, number: int, message: Message) -> tuple[Effect, ...]:
    return simplex.handle(node.state, Received(number, message), node.now())[1]


def nullified() -> tuple[Cluster, Node, int]:
    """A node that has heard five of seven nullify a view."""
    cluster = ready(7)
    node = cluster.nodes[1]
    view = node.state.view
    for number in (2, 3, 4, 5, 6):
        vote = actors.sign_vote(cluster.nodes[number], NULLIFY, 1, view, ZERO_HASH)
        hear(node, number, vote)
    assert node.state.rounds[view].nullified
    return cluster, node, view


def test_a_late_vote_that_is_worth_nothing_hides_no_good_one() -> None:
    cluster, node, view = nullified()
    hear(node, LATE, Vote(NULLIFY, 1, view, ZERO_HASH, bytes(64), False))
    hear(node, LATE, actors.sign_vote(cluster.nodes[LATE], NULLIFY, 1, view, ZERO_HASH))
    assert not node.state.evidence
    hear(node, LATE, actors.sign_vote(cluster.nodes[LATE], FINALIZE, 1, view, ONE))
    assert found(node.state) == {(FINALIZE_AND_NULLIFY, LATE)}


def test_a_late_vote_is_shown_to_whoever_has_signed_it_and_lost_it() -> None:
    """It would be evidence beside what is signed next: so it must be told before that."""
    cluster, node, view = nullified()
    late = actors.sign_vote(cluster.nodes[LATE], NULLIFY, 1, view, ZERO_HASH)
    hear(node, LATE, late)
    (sent,) = [each for each in hear(node, LATE, Question(5)) if isinstance(each, Send)]
    assert isinstance(sent.message, Answer)
    assert late in sent.message.votes
