"""Sets by epoch, whose keys sign, what members alone can say, and what of lanes becomes void."""

from dataclasses import replace

import pytest

from consensus import gate, simplex
from consensus.certificate import NOTARIZE, statement_message
from consensus.config import Config, Keys, Limits
from consensus.effects import BatchVoid, Broadcast, Effect, Persist, Refuse, Send, Unsealed
from consensus.epochs import NEWEST_SETS, Sets
from consensus.inputs import Executed, LinkDown, LinkUp, Received, SealBatch
from consensus.lane import Held, new_lane
from consensus.lanes import Lanes
from consensus.messages import Batches, FetchBatches, Hint, Question, Status, Vote
from consensus.seating import keys_of
from consensus.state import Candidate, Final, State
from consensus.view import follows
from ledger.batch import Batch, header_hash, header_message
from ledger.block import Block, Tip
from ledger.encoding import encode
from ledger.residue import Remains, Residue
from ledger.rows import ValidatorsRow, validators_key
from ledger.store import HEADER, MemoryStore
from tests.consensus.test_handle import (
    CHAIN,
    HEAD,
    KEYS,
    NOW,
    VALIDATORS,
    batch,
    change,
    machine,
    refusals,
    submission,
    tell,
)
from tests.simulation.cluster import ORIGIN, cheap_verify, make_member, quick_bounds


def config(me: int = 1, keys: Keys | None = KEYS[0], **other: object) -> Config:
    bounds = quick_bounds(4)
    return Config(CHAIN, ORIGIN, me, VALIDATORS, keys, cheap_verify, bounds, **other)  # type: ignore[arg-type]


def row(*numbers: int) -> bytes:
    return encode(ValidatorsRow(tuple(make_member(number)[1] for number in numbers)))


# --- sets ---


def test_a_set_is_known_once_the_block_that_names_it_is_executed() -> None:
    store = MemoryStore()
    sets = Sets(config(), store)
    assert sets.of(0) == sets.of(1)
    assert sets.need(1).numbers == (1, 2, 3, 4)
    assert sets.of(2) is None
    sets.learn(2, tuple(make_member(number)[1] for number in (2, 3, 5)))
    assert sets.need(2).numbers == (2, 3, 5)
    assert sets.of(3) is None
    with pytest.raises(AssertionError):
        sets.need(3)


def test_old_sets_are_read_again_from_their_rows() -> None:
    store = MemoryStore()
    count = 3 * NEWEST_SETS
    store.write({validators_key(epoch): row(epoch, epoch + 1) for epoch in range(2, count)})
    sets = Sets(config(), store)
    for epoch in (*range(2, count), *range(count - 1, 1, -1)):
        assert sets.need(epoch).numbers == (epoch, epoch + 1)


def test_only_the_very_keys_that_a_set_names_sign() -> None:
    seats = Sets(config(), MemoryStore()).need(1)
    old, new = KEYS[0], make_member(1, 1)[0]
    assert keys_of(config(keys=old), seats) is old
    assert keys_of(config(keys=new), seats) is None
    assert keys_of(config(keys=None), seats) is None
    assert keys_of(config(keys=new, further_keys=(old,)), seats) is old
    assert keys_of(config(me=5), seats) is None
    assert keys_of(config(keys=replace(old, cosigner=new.cosigner)), seats) is None
    assert keys_of(config(me=2, keys=old), seats) is None, "another's keys"


# --- members and others ---


def observer(me: int = 9, keys: Keys | None = None) -> State:
    state, _ = simplex.restore(config(me, keys), MemoryStore(), HEAD, NOW)
    for peer in range(1, 5):
        state, _ = simplex.handle(state, LinkUp(peer), NOW)
    return state


def test_who_holds_no_key_of_the_set_follows_and_signs_nothing() -> None:
    for state in (observer(), observer(9, make_member(9)[0]), observer(1, make_member(1, 1)[0])):
        assert state.keys is None
        given = (submission(),)
        _, effects = simplex.handle(state, SealBatch(given), NOW)
        assert Unsealed(given) in effects
        sent = tell(state, 2, Batches((batch(2),)))
        assert not any(isinstance(each, Send) for each in sent)
        assert header_hash(CHAIN, batch(2).header) in state.lanes.held, (
            "it takes in what members say"
        )


def vote_of(number: int, view: int = 1) -> Vote:
    hash_ = b"\x07" * 32
    message = statement_message(CHAIN, NOTARIZE, 1, view, hash_)
    return Vote(NOTARIZE, 1, view, hash_, make_member(number)[0].vote.sign(message), False)


def linked(number: int = 9) -> State:
    state = machine()
    return simplex.handle(state, LinkUp(number), NOW)[0]


def test_what_others_than_members_say_counts_for_nothing() -> None:
    state = linked()
    assert refusals(tell(state, 9, vote_of(9))) == []
    assert not state.rounds
    tell(state, 2, Batches((batch(2),)))
    tip = Tip(2, 1, header_hash(CHAIN, batch(2).header))
    for peer in (2, 3):
        tell(state, peer, Hint((tip,), False))
    lane = state.lanes.lanes[2]
    assert lane.covered == tip, "three members"
    state = linked()
    tell(state, 2, Batches((batch(2),)))
    tell(state, 2, Hint((tip,), False))
    tell(state, 9, Hint((tip, Tip(3, 8, bytes(32))), False))
    assert state.lanes.lanes[2].covered.height == 0
    assert not state.lanes.lanes[3].ahead


def test_others_are_served_and_answered() -> None:
    state = linked()
    tell(state, 2, Batches((batch(2),)))
    tip = Tip(2, 1, header_hash(CHAIN, batch(2).header))
    effects = tell(state, 9, FetchBatches(2, 0, tip))
    assert Send(9, Batches((batch(2),))) in effects
    assert any(isinstance(each, Send) for each in tell(state, 9, Question(5)))
    assert not any(isinstance(each, Refuse) for each in tell(state, 9, Status(1, 1, 0, 0, ())))


def test_others_are_peers_only_while_their_links_stand() -> None:
    state = linked()
    assert 9 in state.peers
    state, _ = simplex.handle(state, LinkDown(9), NOW)
    assert 9 not in state.peers
    state, effects = simplex.handle(state, Received(9, vote_of(9)), NOW)
    assert refusals(effects) == ["unknown_peer"]
    state, _ = simplex.handle(state, LinkDown(2), NOW)
    assert 2 in state.peers, "a member"


def test_so_many_peers_at_most() -> None:
    few = config(limits=Limits(peers_max=5))
    state, _ = simplex.restore(few, MemoryStore(), HEAD, NOW)
    for number in range(10, 20):
        state, _ = simplex.handle(state, LinkUp(number), NOW)
    assert sorted(state.peers) == [2, 3, 4, 10, 11]


# --- lanes at an epoch's end ---


def held(number: int, height: int, previous: bytes) -> Held:
    made = batch(number, height, previous)
    return Held(header_hash(CHAIN, made.header), made, 100)


def test_a_cleared_lane_begins_at_its_base_again() -> None:
    lanes = Lanes(1, 1, [new_lane(1, CHAIN), new_lane(2, CHAIN)])
    lane = lanes.lanes[2]
    first = held(2, 1, CHAIN)
    second = held(2, 2, first.hash)
    other = held(1, 1, CHAIN)
    for each in (first, second):
        lanes.hold(lane, each)
    lanes.hold(lanes.lanes[1], other)
    lanes.orphans[b"x"] = 3, second.batch  # type: ignore[assignment]
    lanes.hint(1, Tip(2, 7, b"\x01" * 32))
    assert lane.covered.height == 2
    assert lanes.clear(lane) == [first, second]
    assert lane == Lanes(1, 1, [new_lane(2, CHAIN)], (1, 2)).lanes[2]
    assert set(lanes.held) == {other.hash}
    assert not lanes.orphans


def test_hints_are_counted_among_the_new_set() -> None:
    lanes = Lanes(1, 3, [new_lane(number, CHAIN) for number in (1, 2, 3, 4)])
    lane = lanes.lanes[2]
    first = held(2, 1, CHAIN)
    lanes.hold(lane, first)
    lanes.hint(4, first.tip)
    assert lane.covered.height == 0
    lanes.seat(2, (1, 2, 3))
    assert lane.covered.height == 0, "4 counts no more"
    lanes.hint(3, first.tip)
    assert lane.covered == first.tip
    lanes.seat(3, (1, 3, 5))
    assert lane.covered.height == 0
    lanes.hint(5, first.tip)
    assert lane.covered == first.tip


def ended(state: State, *members: int, generation: int = 0) -> tuple[Effect, ...]:
    """Epoch 1 of one block is executed, and names these members."""
    block = Block(1, 1, 1, state.final.hash, (), 2_000)
    candidate = Candidate(block, b"\x02" * 32, {})
    state.queue.append(Final(candidate, {}))
    state.final, state.issued = candidate, 1
    named = tuple(make_member(n, generation if n == 2 else 0)[1] for n in members)
    result = Executed(1, 2, bytes(32), validators=named)
    return simplex.handle(state, result, NOW)[1]


def one_block(me: int) -> State:
    settings = replace(config(me, KEYS[me - 1]), bounds=quick_bounds(1))
    state, _ = simplex.restore(settings, MemoryStore(), HEAD, NOW)
    for peer in range(1, 5):
        state, _ = simplex.handle(state, LinkUp(peer), NOW)
    state.silence = None
    return state


def test_batches_under_a_rotated_key_are_void() -> None:
    state = one_block(1)
    tell(state, 2, Batches((batch(2),)))
    tell(state, 3, Batches((batch(3),)))
    effects = ended(state, 1, 2, 3, 4, generation=1)
    kept = header_hash(CHAIN, batch(3).header)
    assert of_others(state) == {kept}, "an unchanged key's stay"
    assert not any(isinstance(each, BatchVoid) for each in effects), "only own ones are told of"
    assert refusals(tell(state, 4, Batches((batch(2),)))) == []
    assert of_others(state) == {kept}


def of_others(state: State) -> set[bytes]:
    return {each.hash for each in state.lanes.held.values() if each.header.lane != 1}


def test_own_void_batches_are_kept_until_they_are_sealed_again() -> None:
    state = one_block(2)
    simplex.handle(state, SealBatch((submission(),)), NOW)
    (hash_,) = state.lanes.held
    effects = ended(state, 1, 2, 3, 4, generation=1)
    voids = [each for each in effects if isinstance(each, BatchVoid)]
    assert [(each.hash, each.is_lost) for each in voids] == [(hash_, False)]
    assert [each.hash for each in state.void] == [hash_]
    given = (submission(1),)
    assert Unsealed(given) in simplex.handle(state, SealBatch(given), NOW)[1]


def test_a_leaver_loses_what_no_cut_has_reached_and_still_cosigns() -> None:
    state = one_block(2)
    simplex.handle(state, SealBatch((submission(),)), NOW)
    (hash_,) = state.lanes.held
    effects = ended(state, 1, 3, 4)
    voids = [each for each in effects if isinstance(each, BatchVoid)]
    assert [(each.hash, each.is_lost) for each in voids] == [(hash_, True)]
    rows = [each.changes for each in effects if isinstance(each, Persist)]
    assert any(changes.get(HEADER + hash_, b"") is None for changes in rows)
    assert any(isinstance(each, Broadcast) for each in effects), "its cosignature of E"
    assert 1 in state.checkpoints.own
    assert state.lanes.lanes[2].closed
    assert refusals(tell(state, 3, Batches((batch(2),)))) == []
    assert not state.lanes.held


def of_fifth(epoch: int) -> Batch:
    made = batch(4, epoch=epoch)
    header = change(made.header, lane=5)
    signature = make_member(5)[0].lane.sign(header_message(CHAIN, header))
    return Batch(header, signature, made.submissions)


def test_a_joiner_has_a_lane_once_its_set_is_known() -> None:
    state = one_block(1)
    early = of_fifth(2)
    assert refusals(tell(state, 2, Batches((early,)))) == [], "it may be ahead"
    ended(state, 1, 2, 3, 4, 5)
    assert state.lanes.lanes[5].top.height == 0
    assert refusals(tell(state, 2, Batches((of_fifth(1),)))) == ["batch_lane"], (
        "it was no member then"
    )


def test_an_observers_word_on_residues_counts_for_nothing() -> None:
    state = machine()
    state, _ = simplex.handle(state, LinkUp(9, observes=True), NOW)
    assert state.is_observer(9)
    assert not state.is_observer(2)
    lane = state.lanes.lanes[2]
    made = batch(2)
    lane.final = Tip(2, 1, header_hash(CHAIN, made.header))
    remains = Remains(made.header, made.signature, (Residue(bytes(32), 5, bytes(32), "", b""),))
    gate.receive(state, 9, remains)
    assert state.claims.peers(2, 1) == set()


def test_where_observers_say_they_stand_tells_nobody_what_is_final() -> None:
    state = machine()
    for number in (9, 10):
        state, _ = simplex.handle(state, LinkUp(number, observes=True), NOW)
        state.peers[number].final_height = 10**9
    assert not follows(state), "no member was heard"
    for number in (2, 3, 4):
        state.peers[number].final_height = 3
    state.checkpoints.certified = 3
    assert follows(state)
