"""Seating: what changes when the next epoch's set is known, and when that epoch begins.

**Known** (`prepare`, upon the result of the epoch's last block E; all below E is executed, so no
cut of this epoch can move any more): lanes are added for joiners; lanes of former members are
closed at E's cut; where a lane key is rotated, everything above E's cut is *void*: it is dropped
and never hinted, counted, proposed or taken in again, whoever sends it. An unchanged key's batches
stay valid, whatever epoch their headers name.

**Begun** (`take_seats`, with the epoch): quorum, leaders, peers and whose hints count follow the
new set. This node signs with the keys that it holds and the set names under its number; where there
are none it follows as an observer: it receives, verifies, executes and serves, and signs nothing.
So old keys never sign after a rotation or a removal. Keys that sign for the first time are silent
first and ask what is known of them, as after a start (consensus.recall): the store may be an old
copy. All hint again what is above E's cut, since hints for lanes that others did not know yet are
lost.

**Sealed again** (`reseal`): submissions of own void batches, in order, batch by batch, under the
new key, from E's tip on. The rows of a void batch go in the write that brings in the new one, so
that a crash neither loses nor doubles it."""

from consensus import gate, safety
from consensus.certificate import Seats
from consensus.config import Config, Keys
from consensus.effects import BatchResealed, BatchVoid
from consensus.epochs import Sets, epoch_end
from consensus.lane import Held, Lane, new_lane
from consensus.leader import passed_over
from consensus.recall import begin_keys
from consensus.silence import may_seal
from consensus.state import Peer, State
from ledger.batch import Batch, Submission, header_hash
from ledger.membership import Validator
from ledger.rows import need_row
from ledger.store import Changes, Reader


def keys_of(config: Config, seats: Seats) -> Keys | None:
    """The held keys that a set names under this platform's number."""
    seat = seats.by_number.get(config.me)
    held = (config.keys, *config.further_keys)
    if seat is None:
        return None
    return next((keys for keys in held if keys is not None and keys.fit(seat)), None)


# --- the next set is known ---


def prepare(state: State, validators: tuple[Validator, ...]) -> None:
    """Upon the execution of an epoch's last block, which names the next set."""
    state.sets.learn(state.epoch + 1, validators)
    seats = state.sets.need(state.epoch + 1)
    changes: Changes = {}
    for lane in state.lanes:
        seat, before = seats.by_number.get(lane.number), state.seats.by_number.get(lane.number)
        if seat is not None and before is not None and seat.lane_key == before.lane_key:
            continue
        lane.closed = seat is None
        state.fetches.pop(f"batches {lane.number}", None)
        if lane.number == state.config.me:
            state.memory.shown.clear()
        for held in state.lanes.clear(lane):
            changes.update(note_void(state, lane, held))
    for number in seats.numbers:
        if number not in state.lanes.lanes:
            state.lanes.add(new_lane(number, state.config.chain))
    if changes:
        state.persist(changes)


def note_void(state: State, lane: Lane, held: Held) -> Changes:
    """A batch is void: keep it if it is to be sealed again; else the rows to remove."""
    header = held.header
    if lane.number == state.config.me and header.count:
        state.emit(BatchVoid(held.hash, header.height, header.count, header.root, lane.closed))
        if not lane.closed:
            state.void.append(held)
            return {}
    return gate.gone(held)


# --- the epoch begins ---


def take_seats(state: State) -> None:
    """Upon a new epoch: its set takes the seats."""
    seats = state.seats = state.sets.need(state.epoch)
    state.passed = passed_in(state.epoch, state.config, state.reader, state.sets)
    state.lanes.seat(seats.quorum, seats.numbers)
    _link_members(state)
    left = [number for number in state.newest if number not in seats.by_number]
    for number in left:
        del state.newest[number]
    if left:
        state.persist({safety.newest_key(number): None for number in left})
    lanes = state.lanes
    state.unhinted.update(lane.number for lane in lanes if lane.top.height > lane.base.height)
    keys = keys_of(state.config, seats)
    if keys is not state.keys:
        state.keys = keys
        begin_keys(state)


def passed_in(epoch: int, config: Config, reader: Reader, sets: Sets) -> frozenset[int]:
    """Who is passed over as a leader in an epoch, by the blocks of the one before.

    Raises:
        StoreDamaged: one of them is missing.
    """
    before = epoch - 1
    first, last = epoch_end(config, before - 1) + 1, epoch_end(config, before)
    keys = (safety.final_key(height) for height in range(max(1, first), last + 1))
    views = [need_row(reader, safety.FinalRow, key).block.view for key in keys]
    return passed_over(sets.need(before).numbers, before, views) if views else frozenset()


def _link_members(state: State) -> None:
    """Members are peers whether or not their links stand; others only while they do."""
    for number in state.seats.numbers:
        if number != state.config.me:
            state.peers.setdefault(number, Peer())
    for number in [each for each in state.peers if not state.is_member(each)]:
        if not state.peers[number].up:
            del state.peers[number]


# --- sealing again ---


def reseal(state: State) -> bool:
    """Seal what is void again, once the new key may; True if something was sealed."""
    if not state.void or not may_seal(state):
        return False
    void, state.void = state.void, []
    for held in void:
        batch = held.batch
        assert isinstance(batch, Batch), "an own batch is whole until it is executed"
        _reseal(state, held, batch.submissions)
    return True


def _reseal(state: State, held: Held, submissions: tuple[Submission, ...]) -> None:
    header = gate.seal_next(state, submissions, gate.gone(held))
    hash_ = header_hash(state.config.chain, header)
    state.emit(BatchResealed(held.hash, held.header.height, hash_, header.height, header.count))
    gate.push(state, header)
