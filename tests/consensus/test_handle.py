"""The state machine under bad input: a `Refuse` at most, never an exception, never a vote."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus import simplex, view
from consensus.certificate import (
    FINALIZE,
    NOTARIZE,
    NULLIFY,
    PROPOSE,
    Certificate,
    Signed,
    statement_message,
)
from consensus.config import Config, Head
from consensus.effects import Broadcast, Effect, Persist, Refuse, Send
from consensus.inputs import LinkDown, LinkUp, Now, Received, SealBatch, TimerFired
from consensus.messages import (
    Answer,
    Batches,
    CertificateMessage,
    Cosignature,
    FetchBatches,
    Hint,
    Message,
    Proposal,
    Status,
    Vote,
)
from consensus.safety import certificate_key, proposal_key
from consensus.state import State
from ledger.batch import (
    Batch,
    Header,
    Submission,
    batch_root,
    commitment,
    header_hash,
    header_message,
)
from ledger.block import Block, Tip, block_hash
from ledger.encoding import encode
from ledger.genesis import FIRST_BOUNDS
from ledger.store import HEADER, SUBMISSION, MemoryStore
from tests.consensus.test_messages import every_message
from tests.simulation.cluster import CHAIN, ORIGIN, cheap_verify, make_keys

KEYS, VALIDATORS = make_keys(4, real=False)
change = msgspec.structs.replace
NOW = Now(1_000, 1_700_000_000_000)
HEAD = Head(0, CHAIN, 1_000, 1, bytes(32), {})


def machine(me: int = 1) -> State:
    config = Config(CHAIN, ORIGIN, me, VALIDATORS, KEYS[me - 1], cheap_verify, FIRST_BOUNDS)
    state, _ = simplex.restore(config, MemoryStore(), HEAD, NOW)
    for peer in range(1, 5):
        state, _ = simplex.handle(state, LinkUp(peer), NOW)
    for peer in sorted({1, 2, 3, 4} - {me})[:2]:  # q − 1 say that they hold nothing of it
        answer = Answer(state.memory.start, 1, 0, 0, (), (), (), None)
        state, _ = simplex.handle(state, Received(peer, answer), NOW)
    assert state.silence is None
    return state


def tell(state: State, peer: int, message: Message) -> tuple[Effect, ...]:
    return simplex.handle(state, Received(peer, message), NOW)[1]


def submission(at: int = 0) -> Submission:
    return Submission(bytes(16), b"record %d" % at, b"")


def batch(lane: int = 2, height: int = 1, previous: bytes = CHAIN, **other: object) -> Batch:
    submissions = other.pop("submissions", (submission(),))
    assert isinstance(submissions, tuple)
    fields = {
        "epoch": 1,
        "lane": lane,
        "height": height,
        "previous": previous,
        "count": len(submissions),
        "root": batch_root([commitment(each) for each in submissions]),
        "time": 5_000 + height,
    } | other
    header = Header(**fields)  # type: ignore[arg-type]
    key = KEYS[lane - 1].lane
    return Batch(header, key.sign(header_message(CHAIN, header)), submissions)


def refusals(effects: tuple[Effect, ...]) -> list[str]:
    return [effect.reason for effect in effects if isinstance(effect, Refuse)]


def kinds(effects: tuple[Effect, ...]) -> list[type]:
    return [type(effect) for effect in effects]


def test_a_batch_is_persisted_before_it_is_hinted() -> None:
    good = batch()
    effects = tell(machine(), 2, Batches((good,)))
    first = effects[0]
    assert isinstance(first, Persist)
    name = header_hash(CHAIN, good.header)
    assert HEADER + name in first.changes
    assert SUBMISSION + name + bytes(2) in first.changes
    hints = [e.message for e in effects if isinstance(e, Broadcast) and isinstance(e.message, Hint)]
    assert len(hints) == 1, "one for all lanes that grew"
    assert Tip(2, 1, name) in hints[0].tips


def test_hints_are_gathered_for_a_while() -> None:
    state = machine()
    first = batch()
    tell(state, 2, Batches((first,)))
    second = batch(height=2, previous=header_hash(CHAIN, first.header))
    effects = tell(state, 2, Batches((second,)))
    assert not [e for e in effects if isinstance(e, Broadcast)]
    later = Now(NOW.steady_ms + state.config.timing.hint_gap_ms, NOW.wall_ms)
    _, effects = simplex.handle(state, TimerFired("hint"), later)
    assert isinstance(effects[0], Broadcast)
    assert isinstance(effects[0].message, Hint)
    assert [tip.height for tip in effects[0].message.tips] == [2]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (batch(count=2), "batch_count"),
        (batch(time=0), "batch_time"),
        (batch(epoch=0), "batch_epoch"),
        (batch(root=bytes(32)), "batch_root"),
        (Batch(batch().header, bytes(64), (submission(),)), "batch_signature"),
        (batch(submissions=(Submission(bytes(16), bytes(3_000_000), b""),)), "batch_bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_first_gate(bad: Batch, reason: str) -> None:
    state = machine()
    effects = tell(state, 2, Batches((bad,)))
    assert refusals(effects) == [reason]
    assert Persist not in kinds(effects)
    assert not state.lanes.held


def test_a_batch_of_an_unknown_lane() -> None:
    known = batch()
    fields = {name: getattr(known.header, name) for name in known.header.__struct_fields__}
    stranger = Header(**(fields | {"lane": 77}))
    assert refusals(tell(machine(), 2, Batches((Batch(stranger, bytes(64), ()),)))) == [
        "batch_lane"
    ]


def test_a_batch_may_come_from_anyone_and_before_its_predecessor() -> None:
    state = machine()
    first = batch()
    second = batch(height=2, previous=header_hash(CHAIN, first.header))
    assert Persist not in kinds(tell(state, 3, Batches((second,))))
    tell(state, 4, Batches((first,)))
    assert state.lanes.lanes[2].top.height == 2


def test_orphans_are_bounded() -> None:
    state = machine()
    for at in range(100):
        tell(state, 2, Batches((batch(height=9, previous=at.to_bytes(32)),)))
    orphans, limits = state.lanes.orphans, state.config.limits
    assert len(orphans) == limits.orphans_per_peer_max
    before = list(orphans)
    for at in range(100, 200):
        tell(state, 3, Batches((batch(height=9, previous=at.to_bytes(32)),)))
    assert list(orphans)[: len(before)] == before, "who sends many displaces nobody else's"
    assert len(orphans) == 2 * limits.orphans_per_peer_max
    for peer in range(5, 20):
        for at in range(20):
            state.lanes.keep_orphan(peer, batch(previous=bytes([peer, at]) * 16), limits)
    assert len(orphans) == limits.orphans_max


def test_siblings_are_bounded_and_evidence_is_kept_once() -> None:
    state = machine()
    for at in range(30):
        tell(state, 2, Batches((batch(submissions=(submission(at),)),)))
    of_lane = [each for each in state.lanes.held.values() if each.header.lane == 2]
    assert len(of_lane) == 1 + state.config.limits.siblings_max
    assert [each.kind for each in state.evidence.values()] == [1]


def test_evidence_of_a_sibling_is_written_with_it() -> None:
    """A crash between two writes would leave a node with both batches and no evidence."""
    state = machine()
    tell(state, 2, Batches((batch(),)))
    second = batch(submissions=(submission(1),))
    effects = tell(state, 2, Batches((second,)))
    writes = [each.changes for each in effects if isinstance(each, Persist)]
    (key,) = state.evidence
    (write,) = (rows for rows in writes if key in rows)
    assert HEADER + header_hash(CHAIN, second.header) in write


def test_a_sealed_batch_is_stored_answered_and_pushed() -> None:
    state, effects = simplex.handle(machine(), SealBatch((submission(), submission(1))), NOW)
    assert [kind.__name__ for kind in kinds(effects)][:4] == [
        "Persist",
        "BatchSealed",
        "Broadcast",
        "Broadcast",
    ]
    assert view.pending_records(state) == 2


def test_a_lane_is_held_up_to_its_bound_of_bytes() -> None:
    state = machine()
    first = batch()
    limits = replace(state.config.limits, lane_bytes_max=len(encode(first)) + 10)
    state.config = replace(state.config, limits=limits)
    second = batch(height=2, previous=header_hash(CHAIN, first.header))
    effects = tell(state, 2, Batches((first, second)))
    assert not refusals(effects), "without blame"
    assert state.lanes.lanes[2].top.height == 1


def test_a_batch_of_an_earlier_epoch_than_its_predecessor() -> None:
    state = machine()
    state.lanes.lanes[2].base_epoch = 2
    assert refusals(tell(state, 2, Batches((batch(epoch=1),)))) == ["batch_epoch"]


def test_a_batch_of_an_epoch_whose_set_is_unknown_is_taken_for_a_hint() -> None:
    state = machine()
    early = batch(epoch=2)
    assert refusals(tell(state, 2, Batches((early,)))) == []
    assert not state.lanes.held
    assert state.lanes.lanes[2].ahead[2].hash == header_hash(CHAIN, early.header)


# --- proposals and votes ---


def proposal(state: State, leader: int, **other: object) -> Proposal:
    fields = {
        "epoch": 1,
        "view": 1,
        "height": 1,
        "parent": CHAIN,
        "tips": (),
        "time": 1_001,
    } | other
    block = Block(**fields)  # type: ignore[arg-type]
    message = statement_message(CHAIN, PROPOSE, block.epoch, block.view, block_hash(CHAIN, block))
    return Proposal(block, KEYS[leader - 1].vote.sign(message), False)


def votes_of(effects: tuple[Effect, ...]) -> list[Vote]:
    sent = [effect.message for effect in effects if isinstance(effect, Broadcast)]
    return [message for message in sent if isinstance(message, Vote)]


def test_a_good_proposal_is_stored_then_notarized() -> None:
    state = machine()
    leader = state.leader(1)
    simplex.handle(state, SealBatch(()), NOW)
    effects = tell(state, leader, proposal(state, leader))
    assert kinds(effects)[:3] == [Persist, Persist, Broadcast]
    assert [vote.kind for vote in votes_of(effects)] == [NOTARIZE]
    assert not votes_of(tell(state, leader, proposal(state, leader))), "once"


def test_nobody_votes_with_an_empty_lane() -> None:
    """A new store knows by an empty lane that it has never voted (consensus.silence)."""
    state = machine()
    leader = state.leader(1)
    effects = tell(state, leader, proposal(state, leader))
    sent = [effect.message for effect in effects if isinstance(effect, Broadcast)]
    assert [type(message) for message in sent[:2]] == [Batches, Vote]
    assert state.lanes.lanes[1].top.height == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"time": 1_002},
        {"time": 1_000},
        {"height": 2},
        {"parent": b"\x05" * 32},
        {"tips": (Tip(2, 1, b"\x09" * 32),)},
        {"tips": (Tip(77, 1, b"\x09" * 32),)},
        {"tips": (Tip(2, 0, CHAIN),)},
        {"view": 2},
        {"epoch": 2},
    ],
    ids=str,
)
def test_no_vote_for_a_proposal_that_breaks_a_rule(wrong: dict[str, object]) -> None:
    state = machine()
    leader = state.leader(int(str(wrong.get("view", 1))))
    assert not votes_of(tell(state, leader, proposal(state, leader, **wrong)))


def test_a_proposal_of_another_than_the_leader() -> None:
    state = machine()
    other = state.leader(2)
    assert refusals(tell(state, other, proposal(state, other))) == ["proposal_leader"]


def test_a_proposal_with_a_bad_signature() -> None:
    state = machine()
    leader = state.leader(1)
    forged = Proposal(proposal(state, leader).block, bytes(64), False)
    assert refusals(tell(state, leader, forged)) == ["proposal_signature"]


def test_two_proposals_are_evidence_and_get_one_vote() -> None:
    state = machine()
    leader = state.leader(1)
    assert votes_of(tell(state, leader, proposal(state, leader)))
    assert not votes_of(tell(state, leader, proposal(state, leader, time=1_002)))
    assert [(each.kind, each.number) for each in state.evidence.values()] == [(2, leader)]


def vote(number: int, kind: int, hash_: bytes, view_: int = 1) -> Vote:
    message = statement_message(CHAIN, kind, 1, view_, hash_)
    return Vote(kind, 1, view_, hash_, KEYS[number - 1].vote.sign(message), False)


def test_a_quorum_of_votes_counts_distinct_good_signers() -> None:
    state = machine()
    for peer in (2, 2, 3):
        tell(state, peer, vote(peer, NOTARIZE, b"\x05" * 32))
    bad = Vote(NOTARIZE, 1, 1, b"\x05" * 32, bytes(64), False)
    assert refusals(tell(state, 4, bad)) == ["vote_signature"]
    assert state.view == 1
    effects = tell(state, 4, vote(4, NOTARIZE, b"\x05" * 32))
    assert state.view == 2
    assert [each.kind for each in votes_of(effects)] == [FINALIZE]


def test_two_notarizes_are_evidence() -> None:
    state = machine()
    tell(state, 2, vote(2, NOTARIZE, b"\x05" * 32))
    tell(state, 2, vote(2, NOTARIZE, b"\x06" * 32))
    assert [(each.kind, each.number) for each in state.evidence.values()] == [(3, 2)]


def certificate(
    kind: int, hash_: bytes, view_: int, signers: tuple[int, ...] = (2, 3, 4)
) -> Certificate:
    signed = [(n, vote(n, kind, hash_, view_).signature) for n in signers]
    return Certificate(kind, 1, view_, hash_, tuple(Signed(*each) for each in signed))


def in_view_2(state: State, *, nullified: bool) -> Proposal:
    """View 1's block is notarized (and, if asked, nullified too): the state is in view 2."""
    first = proposal(state, state.leader(1))
    name = block_hash(CHAIN, first.block)
    tell(state, 2, CertificateMessage(certificate(NOTARIZE, name, 1), first.block))
    if nullified:
        tell(state, 2, CertificateMessage(certificate(NULLIFY, bytes(32), 1), None))
    assert state.view == 2
    return first


@pytest.mark.parametrize("nullified", [False, True])
def test_a_parent_is_justified_only_if_every_view_between_is_nullified(nullified: bool) -> None:
    state = machine()
    in_view_2(state, nullified=nullified)
    leader = state.leader(2)
    effects = tell(state, leader, proposal(state, leader, view=2))
    assert (NOTARIZE in [each.kind for each in votes_of(effects)]) == nullified


def test_a_notarized_parent_is_justified() -> None:
    state = machine()
    first = in_view_2(state, nullified=False)
    leader = state.leader(2)
    parent = block_hash(CHAIN, first.block)
    effects = tell(
        state, leader, proposal(state, leader, view=2, height=2, parent=parent, time=1_002)
    )
    assert [each.kind for each in votes_of(effects)] == [NOTARIZE]


def test_a_certificate_and_its_block_are_stored() -> None:
    state = machine()
    first = proposal(state, state.leader(1))
    name = block_hash(CHAIN, first.block)
    effects = tell(state, 2, CertificateMessage(certificate(NOTARIZE, name, 1), first.block))
    rows = {key for each in effects if isinstance(each, Persist) for key in each.changes}
    assert {certificate_key(1, 1, NOTARIZE), proposal_key(1, 1, name)} <= rows


@pytest.mark.parametrize("kind", [NOTARIZE, NULLIFY, FINALIZE])
def test_certificates_need_q_distinct_good_signers_of_this_kind_view_and_epoch(kind: int) -> None:
    hash_ = bytes(32) if kind == NULLIFY else b"\x05" * 32
    good = certificate(kind, hash_, 1)
    signed = good.signatures
    other = NOTARIZE if kind == NULLIFY else NULLIFY
    for bad in (
        change(good, signatures=signed[:2]),
        change(good, signatures=(signed[0], signed[0], signed[1])),
        change(good, signatures=signed[::-1]),
        change(good, signatures=(*signed[:2], Signed(77, signed[2].signature))),
        change(good, signatures=(*signed[:2], Signed(4, bytes(64)))),
        change(good, view=2),
        change(good, kind=other),
    ):
        state = machine()
        assert refusals(tell(state, 2, CertificateMessage(bad, None))) == ["certificate"]
        assert state.view == 1
    state = machine()
    tell(state, 2, CertificateMessage(change(good, epoch=2), None))
    assert state.view == 1
    assert not refusals(tell(state, 2, CertificateMessage(good, None)))
    assert state.view == 2


def test_signatures_of_another_epoch_are_nothing() -> None:
    state = machine()
    message = statement_message(CHAIN, NOTARIZE, 2, 1, b"\x05" * 32)
    replayed = Vote(NOTARIZE, 1, 1, b"\x05" * 32, KEYS[1].vote.sign(message), False)
    assert refusals(tell(state, 2, replayed)) == ["vote_signature"]


def test_no_vote_for_a_cut_that_moves_too_far_past_the_last_checkpoint() -> None:
    state = machine()
    limits = replace(state.config.limits, uncertified_heights_max=0)
    state.config = replace(state.config, limits=limits)
    good = batch()
    tell(state, 2, Batches((good,)))
    leader = state.leader(1)
    tips = (Tip(2, 1, header_hash(CHAIN, good.header)),)
    assert not votes_of(tell(state, leader, proposal(state, leader, tips=tips)))
    limits = replace(limits, uncertified_heights_max=1)
    state.config = replace(state.config, limits=limits)
    assert votes_of(tell(state, 3, Hint((), False)))


@pytest.mark.parametrize("bound", ["cut_records_max", "cut_bytes_max", None])
def test_no_vote_for_a_cut_beyond_its_bounds(bound: str | None) -> None:
    state = machine()
    if bound is not None:
        small = msgspec.structs.replace(state.config.bounds, **{bound: 1})
        state.config = replace(state.config, bounds=small)
    good = batch(submissions=(submission(1), submission(2)))
    tell(state, 2, Batches((good,)))
    leader = state.leader(1)
    tips = (Tip(2, 1, header_hash(CHAIN, good.header)),)
    effects = tell(state, leader, proposal(state, leader, tips=tips))
    assert bool(votes_of(effects)) == (bound is None)
    assert refusals(effects) == ([] if bound is None else ["proposal_rule"])


def test_nobody_can_be_framed_by_a_forged_second_vote() -> None:
    state = machine()
    tell(state, 2, vote(2, NOTARIZE, b"\x05" * 32))
    tell(state, 2, Vote(NOTARIZE, 1, 1, b"\x06" * 32, bytes(64), False))
    assert not state.evidence


def test_messages_of_strangers_are_refused() -> None:
    assert refusals(tell(machine(), 9, Hint((), False))) == ["unknown_peer"]
    assert refusals(tell(machine(), 1, Hint((), False))) == ["unknown_peer"], "oneself"


@given(st.lists(st.tuples(st.integers(0, 6), every_message), max_size=20))
@settings(max_examples=150, deadline=None)
def test_no_message_raises(given: list[tuple[int, Message]]) -> None:
    state = machine()
    for peer, message in given:
        tell(state, peer, message)
    assert state.final.block.height == 0
    for timer in ("view", "resend", "fetch", "propose", "no such timer"):
        state, _ = simplex.handle(state, TimerFired(timer), Now(99_000, NOW.wall_ms))
    simplex.handle(state, LinkDown(2), NOW)
    view.describe(state)


small = st.integers(0, 3)
near_tips = st.lists(
    st.builds(Tip, st.integers(1, 5), small, st.sampled_from([CHAIN, b"\x05" * 32])), max_size=3
).map(tuple)
near_blocks = st.builds(
    Block, st.integers(0, 2), small, small, st.sampled_from([CHAIN, b"\x05" * 32]), near_tips, small
)


@given(st.lists(st.tuples(st.integers(2, 4), near_blocks), max_size=12))
@settings(max_examples=150, deadline=None)
def test_signed_nonsense_of_leaders_raises_nothing(given: list[tuple[int, Block]]) -> None:
    """Any block, properly signed by whoever sends it."""
    state = machine()
    for peer, block in given:
        message = statement_message(
            CHAIN, PROPOSE, block.epoch, block.view, block_hash(CHAIN, block)
        )
        signed = Proposal(block, KEYS[peer - 1].vote.sign(message), False)
        for each in votes_of(tell(state, peer, signed)):
            assert each.kind == NOTARIZE


def test_a_status_behind_is_answered_and_ahead_makes_fetch() -> None:
    state = machine()
    effects = tell(state, 2, Status(1, 1, 7, 7, ()))
    sent = [effect for effect in effects if isinstance(effect, Send)]
    assert [type(each.message).__name__ for each in sent] == ["FetchBlocks"]


def test_cosignatures_of_the_far_future_are_not_kept() -> None:
    state = machine()
    for height in range(1, 5_000, 7):
        tell(state, 2, Cosignature(height, 5, bytes(32), 1, bytes(64), False))
    kept = sum(len(each) for each in state.checkpoints.unchecked.values())
    assert kept <= state.config.limits.uncertified_heights_max


def test_what_a_peer_may_make_a_node_serve_is_bounded() -> None:
    state = machine()
    small = replace(state.config.limits, served_bytes_max=200_000)
    state.config = replace(state.config, limits=small)
    good = batch(submissions=(Submission(bytes(16), bytes(50_000), b""),))
    tell(state, 2, Batches((good,)))
    fetch = FetchBatches(2, 0, Tip(2, 1, header_hash(CHAIN, good.header)))
    answered = sum(Send in kinds(tell(state, 3, fetch)) for _ in range(20))
    assert 1 < answered < 5
    later = Now(NOW.steady_ms + 1_000, NOW.wall_ms)
    assert Send in kinds(simplex.handle(state, Received(3, fetch), later)[1])
