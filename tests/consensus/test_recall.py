"""What ends the silence after a start, and what ends all signing."""

import pytest

from consensus import silence, simplex
from consensus.certificate import FINALIZE, NOTARIZE
from consensus.config import Config
from consensus.effects import Forgotten, Persist, Send, Unsealed
from consensus.inputs import LinkUp, Received, SealBatch
from consensus.messages import Answer, Batches, CertificateMessage, Question, Vote
from consensus.silence import NEW
from consensus.state import State
from ledger.genesis import FIRST_BOUNDS
from ledger.rows import HeaderRow
from ledger.store import MemoryStore
from tests.consensus.test_handle import (
    CHAIN,
    HEAD,
    KEYS,
    NOW,
    ORIGIN,
    VALIDATORS,
    batch,
    certificate,
    cheap_verify,
    kinds,
    machine,
    proposal,
    tell,
    vote,
    votes_of,
)


def started(me: int = 1) -> State:
    """As after a start: silent, nobody has answered."""
    config = Config(CHAIN, ORIGIN, me, VALIDATORS, KEYS[me - 1], cheap_verify, FIRST_BOUNDS)
    state, _ = simplex.restore(config, MemoryStore(), HEAD, NOW)
    return state


def answer(state: State, *, start: int | None = None, **held: tuple[object, ...]) -> Answer:
    given = state.memory.start if start is None else start
    fields: dict[str, tuple[object, ...]] = {"headers": (), "proposals": (), "votes": (), **held}
    return Answer(given, 1, 0, 0, *fields.values(), None)  # type: ignore[arg-type]


def test_a_start_asks_each_link_once_it_stands() -> None:
    state = started()
    _, effects = simplex.handle(state, LinkUp(3), NOW)
    asked = [
        each.peer
        for each in effects
        if isinstance(each, Send) and isinstance(each.message, Question)
    ]
    assert asked == [3]


def test_q_less_one_answers_end_the_silence_and_other_starts_answers_do_not() -> None:
    state = started()
    for peer in (2, 3, 4):
        simplex.handle(state, LinkUp(peer), NOW)
    tell(state, 2, answer(state))
    tell(state, 2, answer(state))
    tell(state, 3, answer(state, start=state.memory.start - 1))
    assert state.silence is not None
    assert Unsealed(()) in simplex.handle(state, SealBatch(()), NOW)[1]
    tell(state, 4, answer(state))
    assert state.silence is None
    leader = state.leader(1)
    assert votes_of(tell(state, leader, proposal(state, leader)))


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("what", ["vote", "batch", "proposal"])
def test_one_own_signature_that_is_unknown_ends_all_signing(what: str, late: bool) -> None:
    state = machine(3) if late else started(3)
    own = vote(3, FINALIZE, b"\x07" * 32, 9)
    sealed = batch(3, 5)
    shown = {
        "vote": {"votes": (own,)},
        "batch": {"headers": (HeaderRow(sealed.header, sealed.signature),)},
        "proposal": {"proposals": (proposal(state, 3, view=2),)},
    }[what]
    assert state.leader(2) in (3, 4)
    effects = tell(state, 4, answer(state, **shown))
    assert kinds(effects)[:2] == [Persist, Forgotten], "the row stands before anything else"
    assert isinstance(effects[0], Persist)
    assert NEW in effects[0].changes
    for peer in (1, 2):
        tell(state, peer, answer(state))
    assert silence.has_forgotten(state)
    leader = state.leader(1)
    assert not votes_of(tell(state, leader, proposal(state, leader)))


def test_what_does_not_hold_under_the_own_keys_is_ignored() -> None:
    state = started(3)
    forged = Vote(NOTARIZE, 1, 5, b"\x07" * 32, bytes(64), False)
    others = vote(2, NOTARIZE, b"\x07" * 32, 5)
    sealed = batch(2, 5)
    effects = tell(
        state,
        4,
        answer(
            state, votes=(forged, others), headers=(HeaderRow(sealed.header, sealed.signature),)
        ),
    )
    assert Forgotten not in kinds(effects)
    tell(state, 2, answer(state))
    assert state.silence is None


def test_a_certificate_with_an_own_signature_that_is_unknown_ends_all_signing() -> None:
    state = machine(3)
    found = certificate(NOTARIZE, b"\x07" * 32, 4)
    assert Forgotten in kinds(tell(state, 1, CertificateMessage(found, None)))


def test_own_votes_of_this_life_are_known() -> None:
    state = machine()
    simplex.handle(state, SealBatch(()), NOW)
    leader = state.leader(1)
    (own,) = votes_of(tell(state, leader, proposal(state, leader)))
    given = answer(state, votes=(own,))
    _, effects = simplex.handle(state, Received(4, given), NOW)
    assert Forgotten not in kinds(effects)
    assert state.silence is None


def test_an_answer_has_what_is_held_and_no_more() -> None:
    state = machine(1)
    simplex.handle(state, SealBatch(()), NOW)
    leader = state.leader(1)
    made = proposal(state, leader)
    tell(state, leader, made)
    given = vote(leader, NOTARIZE, b"\x07" * 32)
    tell(state, leader, given)
    tell(state, 2, Batches((batch(2, 1),)))
    by_peer = {}
    for peer in (2, 3, 4):
        (sent,) = [
            each.message
            for each in tell(state, peer, Question(77))
            if isinstance(each, Send) and isinstance(each.message, Answer)
        ]
        assert sent.start == 77
        by_peer[peer] = sent
    assert by_peer[leader].proposals == (made,)
    assert by_peer[leader].votes == (given,)
    assert [row.header.height for row in by_peer[2].headers] == [1]
    other = next(peer for peer in (2, 3, 4) if peer not in (2, leader))
    assert by_peer[other] == answer(state, start=77)
