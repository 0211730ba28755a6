"""What remains of erased batches, at the gate: f + 1 peers' word, under a final cut, like any."""

import pytest

from consensus import simplex
from consensus.effects import Broadcast, Effect, Persist, Send
from consensus.gate import RESIDUE_BYTES_MORE_MAX, stored_batch
from consensus.inputs import LinkDown
from consensus.messages import Batches, FetchBatches, Hint, RemainsMessage
from consensus.safety import pending_key
from consensus.state import State
from ledger.batch import Batch, Submission, header_hash
from ledger.block import Tip
from ledger.encoding import encode
from ledger.errors import StoreDamaged
from ledger.genesis import FIRST_BOUNDS
from ledger.residue import AnyBatch, Remains, Residue, form_of
from ledger.rows import HeaderRow, header_key, residue_key, submission_key
from ledger.store import Changes, MemoryStore
from tests.consensus.test_handle import CHAIN, batch, change, machine, refusals, submission, tell

WHOLE = batch(lane=2, submissions=(submission(0), submission(1), submission(2)))
NAME = header_hash(CHAIN, WHOLE.header)


def erased(whole: Batch, *positions: int, said: bytes = b"stand-in") -> Remains:
    items = tuple(
        Residue(whole.commitments[at], 7, bytes(32), "", said) if at in positions else each
        for at, each in enumerate(whole.submissions)
    )
    return Remains(whole.header, whole.signature, items)


def final(state: State, *batches: Batch) -> State:
    """A final cut names the last of these."""
    header = batches[-1].header
    tip = Tip(header.lane, header.height, header_hash(CHAIN, header))
    state.lanes.finalize({header.lane: tip})
    return state


def give(state: State, peer: int, *batches: AnyBatch) -> tuple[Effect, ...]:
    return tell(state, peer, RemainsMessage(tuple(form_of(each) for each in batches)))


def rows(effects: tuple[Effect, ...]) -> Changes:
    return {k: v for each in effects if isinstance(each, Persist) for k, v in each.changes.items()}


def asked(effects: tuple[Effect, ...]) -> list[tuple[int, FetchBatches]]:
    return [
        (each.peer, each.message)
        for each in effects
        if isinstance(each, Send) and isinstance(each.message, FetchBatches)
    ]


def test_a_second_peer_is_asked_and_its_word_is_stored_like_any_batch() -> None:
    state, left = final(machine(), WHOLE), erased(WHOLE, 1)
    [(first, question)] = asked(tell(state, 4, Hint((), False)))
    assert question == FetchBatches(2, 0, Tip(2, 1, NAME))
    effects = give(state, first, left)
    assert rows(effects) == {}, "one peer's word"
    [(second, again)] = asked(effects)
    assert (second != first, again) == (True, question)
    effects = give(state, second, left)
    assert refusals(effects) == []
    assert {key: value for key, value in rows(effects).items() if NAME in key} == {
        header_key(NAME): encode(HeaderRow(WHOLE.header, WHOLE.signature)),
        pending_key(2, 1, NAME): (1).to_bytes(8),
        submission_key(NAME, 0): encode(WHOLE.submissions[0]),
        residue_key(NAME, 1): encode(left.submissions[1]),
        submission_key(NAME, 2): encode(WHOLE.submissions[2]),
    }
    store = MemoryStore()
    store.write(rows(effects))
    assert stored_batch(store, NAME) == left
    hints = [e for e in effects if isinstance(e, Broadcast) and isinstance(e.message, Hint)]
    assert all(tip.lane != 2 for hint in hints for tip in hint.message.tips), "it is not hinted"
    assert state.lanes.held[NAME].batch == left
    assert asked(effects) == []


def test_a_run_is_asked_for_up_to_what_was_given() -> None:
    chain = [WHOLE]
    for height in range(2, 8):
        previous = header_hash(CHAIN, chain[-1].header)
        chain.append(batch(lane=2, height=height, previous=previous))
    state = final(machine(), *chain)
    names = [header_hash(CHAIN, each.header) for each in chain]
    [(first, question)] = asked(tell(state, 4, Hint((), False)))
    assert question == FetchBatches(2, 0, Tip(2, 7, names[6]))
    given = [chain[0], erased(chain[1], 0), chain[2], erased(chain[3], 0)]
    [(second, question)] = asked(give(state, first, *given))
    assert question == FetchBatches(2, 1, Tip(2, 4, names[3]))
    [(_, question)] = asked(give(state, second, *given[1:]))
    assert question == FetchBatches(2, 4, Tip(2, 7, names[6]))
    held = [name for name, each in state.lanes.held.items() if each.header.lane == 2]
    assert held == names[:4]


def test_where_all_have_spoken_the_next_question_waits() -> None:
    state = final(machine(), WHOLE)
    questions = asked(tell(state, 4, Hint((), False)))
    for word in (b"a", b"b", b"c"):
        [(peer, _)] = questions
        questions = asked(give(state, peer, erased(WHOLE, 1, said=word)))
    assert questions == []
    assert state.waits.armed["fetch"] > state.now.steady_ms
    effects = give(state, 3, erased(WHOLE, 1, said=b"a"))
    assert NAME in state.lanes.held
    assert refusals(effects), "the others are counted"


def test_whoever_is_gone_is_not_waited_for() -> None:
    state = final(machine(), WHOLE)
    [(first, _)] = asked(tell(state, 4, Hint((), False)))
    [(second, _)] = asked(give(state, first, erased(WHOLE, 1, said=b"a")))
    simplex.handle(state, LinkDown(first), state.now)
    [(third, _)] = asked(give(state, second, erased(WHOLE, 1, said=b"b")))
    assert {first, second, third} == {2, 3, 4}


def test_above_the_final_cut_nothing_is_taken_nor_blamed() -> None:
    state = machine()
    for peer in (2, 3, 4):
        effects = give(state, peer, erased(WHOLE, 1))
        assert rows(effects) == {}
        assert refusals(effects) == []
    assert NAME not in state.lanes.held
    assert state.claims.peers(2, 1) == set()


def test_the_whole_batch_wins() -> None:
    state = final(machine(), WHOLE)
    give(state, 2, erased(WHOLE, 1))
    effects = tell(state, 3, Batches((WHOLE,)))
    assert submission_key(NAME, 1) in rows(effects)
    assert state.claims.peers(2, 1) == set()
    assert rows(give(state, 4, erased(WHOLE, 1))) == {}
    assert state.lanes.held[NAME].batch == WHOLE


def test_whoever_gives_another_residue_is_counted_before_and_after() -> None:
    state, true = final(machine(), WHOLE), erased(WHOLE, 1)
    assert refusals(give(state, 2, erased(WHOLE, 1, said=b"lie"))) == []
    assert refusals(give(state, 3, true)) == []
    effects = give(state, 4, true)
    assert refusals(effects) == ["residue"]
    assert refusals(give(state, 2, erased(WHOLE, 1, 2, said=b"lie"))) == ["residue"]
    assert refusals(give(state, 2, erased(WHOLE, 2))) == [], "another position"


def _signed_by_nobody(left: Remains) -> Remains:
    return Remains(left.header, bytes(64), left.submissions)


def _of_another_commitment(left: Remains) -> Remains:
    residue = left.submissions[1]
    assert isinstance(residue, Residue)
    other = change(residue, commitment=bytes(32))
    return Remains(left.header, left.signature, (left.submissions[0], other, left.submissions[2]))


def _with_another_opening(left: Remains) -> Remains:
    other = Submission(bytes(16), b"another", b"")
    return Remains(left.header, left.signature, (other, *left.submissions[1:]))


def _too_few(left: Remains) -> Remains:
    return Remains(left.header, left.signature, left.submissions[:2])


def _too_long(left: Remains) -> Remains:
    long = FIRST_BOUNDS.batch_bytes_max + 3 * RESIDUE_BYTES_MORE_MAX
    return erased(WHOLE, 1, said=bytes(long))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_signed_by_nobody, "batch_signature"),
        (_of_another_commitment, "batch_root"),
        (_with_another_opening, "batch_root"),
        (_too_few, "batch_count"),
        (_too_long, "batch_bytes"),
    ],
)
def test_it_passes_the_same_gate_as_any_batch(spoil, reason: str) -> None:  # type: ignore[no-untyped-def]
    state, bad = final(machine(), WHOLE), spoil(erased(WHOLE, 1))
    for peer in (2, 3, 4):
        effects = give(state, peer, bad)
        assert refusals(effects) == [reason]
        assert rows(effects) == {}


def test_the_gate_looks_at_what_stands_below() -> None:
    late = batch(lane=2, height=2, previous=NAME, time=WHOLE.header.time)
    state = final(machine(), WHOLE, late)
    tell(state, 2, Batches((WHOLE,)))
    assert refusals(give(state, 3, erased(late, 0))) == ["batch_time"]


def test_stored_rows_with_a_hole_are_no_batch() -> None:
    store, left = MemoryStore(), erased(WHOLE, 0, 2)
    store.write({header_key(NAME): encode(HeaderRow(WHOLE.header, WHOLE.signature))})
    assert stored_batch(store, NAME) is None
    store.write({residue_key(NAME, 0): encode(left.submissions[0])})
    store.write({submission_key(NAME, 1): encode(left.submissions[1])})
    assert stored_batch(store, NAME) is None
    store.write({residue_key(NAME, 2): encode(left.submissions[2])})
    assert stored_batch(store, NAME) == left
    store.write({submission_key(NAME, 0): encode(WHOLE.submissions[0])})
    assert stored_batch(store, NAME) == left, "a residue stands for an opening that is going"
    store.write({submission_key(NAME, 2): encode(WHOLE.submissions[2])})
    assert stored_batch(store, NAME) == WHOLE, "while all are there"
    store.write({submission_key(NAME, 2): None, residue_key(NAME, 2): b"\xff"})
    with pytest.raises(StoreDamaged):
        stored_batch(store, NAME)
