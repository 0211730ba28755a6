"""The first gate: which batches are taken in, and what follows from it.

A batch is accepted from anyone on its header alone: the lane is a platform's; its predecessor is
held (or it waits for it, as an orphan, within bounds); count, byte bounds and root hold; its time
is later and its epoch not earlier than its predecessor's; the lane key of its epoch signed it, and
still is the lane's key (else it is void: consensus.seating). No clock and no record decides. An
accepted batch is persisted (`H`, `S`, `Kh` rows), then hinted to all if it is on this node's branch
(one hint for all lanes that grew, at most every `hint_gap_ms`).

What remains of a batch of which something is erased (`ledger.residue`) passes the same gate, but
only under a final cut, where nothing is voted on any more, and only once f + 1 peers vouch for its
residues (`consensus.claims`), or is overtaken by the whole batch; it is persisted in the same way
(with `Y` rows for the residues) and not hinted. A peer that gave another residue is counted.

Upon first hinting a batch that is more than `quiet_lane_ms` newer than the own tip, a platform
whose own clock is also that far past its own tip seals one empty batch: time moves though one
platform works, and a batch dated ahead starts no echo."""

from typing import Final, TypeVar

import msgspec

from consensus import evidence
from consensus.claims import claim_of, contradicts
from consensus.effects import BatchSealed, Broadcast, Send, Unsealed
from consensus.lane import Held, Lane
from consensus.messages import Batches, Hint
from consensus.quorum import witnesses
from consensus.safety import EVIDENCE, pending_key
from consensus.silence import BATCH, Shown, forget, knows_batch, may_seal
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
from ledger.block import Tip
from ledger.encoding import decoder, encode
from ledger.errors import StoreDamaged
from ledger.residue import AnyBatch, Remains, Residue, form_of
from ledger.rows import HeaderRow, describe_key, header_key, read_row
from ledger.store import HEADER, RESIDUE, SUBMISSION, Changes, Reader, after

RESIDUE_BYTES_MORE_MAX: Final = 192
"""How many bytes a residue may have more than the opening in whose place it stands."""

Row = TypeVar("Row", Submission, Residue)


def seal(state: State, submissions: tuple[Submission, ...]) -> None:
    """Upon `SealBatch`: make the own lane's next batch, store it, push it to all."""
    if not may_seal(state):
        state.emit(Unsealed(submissions))
        return
    header = seal_next(state, submissions, {})
    state.emit(BatchSealed(header_hash(state.config.chain, header), header.height, header.count))
    push(state, header)


def push(state: State, header: Header) -> None:
    """Send an own batch to all."""
    held = state.lanes.held[header_hash(state.config.chain, header)]
    assert isinstance(held.batch, Batch), "an own batch is whole until it is executed"
    state.emit(Broadcast(Batches((held.batch,))))


def seal_next(state: State, submissions: tuple[Submission, ...], also: Changes) -> Header:
    """Make and store the own lane's next batch; `also` is written in the same write."""
    config = state.config
    assert state.keys is not None, "a member seals"
    lane = state.lanes.lanes[config.me]
    assert len(submissions) <= config.bounds.batch_records_max, "intake bounds a batch's records"
    below = state.lanes.time_of(lane.top)
    header = Header(
        state.epoch,
        config.me,
        lane.top.height + 1,
        lane.top.hash,
        len(submissions),
        batch_root([commitment(each) for each in submissions]),
        max(below + 1, state.now.wall_ms),
    )
    signature = state.keys.lane.sign(header_message(config.chain, header))
    batch = Batch(header, signature, submissions)
    held = Held(header_hash(config.chain, header), batch, len(encode(batch)))
    assert held.bytes <= config.bounds.batch_bytes_max, "intake bounds a batch's bytes"
    _take_in(state, lane, held, also)
    return header


def receive(state: State, peer: int, batch: AnyBatch) -> None:
    """Upon a batch from a peer, pushed or asked for, or what remains of one."""
    header = batch.header
    lane = state.lanes.get(header.lane)
    if header.epoch > state.lane_epoch:
        _expect(state, peer, lane, header)
        return
    if lane is None:
        if lane_key(state, header) is None:  # else a former member's without a final batch
            state.refuse(peer, "batch_lane")
        return
    hash_ = header_hash(state.config.chain, header)
    if hash_ in state.lanes.held or header.height <= lane.base.height:
        _compare(state, peer, batch, state.lanes.held.get(hash_))
        return
    early = header.height > lane.final.height  # the peer is ahead: it is asked for again later
    if isinstance(batch, Remains) and (early or state.is_observer(peer)):
        return
    if lane.closed or is_void(state, header):
        return  # no block holds it any more; its sender may not know yet
    if header.lane == state.config.me:
        _look_at_own(state, peer, batch, hash_)
    below = state.lanes.successor_of(lane, header)
    if below is None:
        if isinstance(batch, Remains):
            state.claims.add(peer, batch, hash_)
        else:
            _keep_orphan(state, peer, batch)
        return
    held = held_of(hash_, batch)
    if not _has_room(state, lane, header, held.bytes):
        return  # dropped without blame; it is fetched should a block name it
    reason = _fault(state, batch, below, held.bytes)
    if reason:
        state.refuse(peer, reason)
        return
    if isinstance(batch, Remains) and not _is_vouched(state, peer, batch, hash_):
        state.claims.add(peer, batch, hash_)
        return
    _take_in(state, lane, held)
    waiting = state.lanes.orphans.pop(hash_, None)
    if waiting is not None:
        receive(state, *waiting)


def _expect(state: State, peer: int, lane: Lane | None, header: Header) -> None:
    """A batch of an epoch whose set is not known here: it is a hint, and is asked for later."""
    if lane is not None:
        lane.early[peer] = header.epoch
        tip = Tip(header.lane, header.height, header_hash(state.config.chain, header))
        note_hint(state, peer, Hint((tip,), False))


def is_void(state: State, header: Header) -> bool:
    """Whether the lane's key of the header's epoch is no longer its key: what it signed and no cut
    has reached is void."""
    then = lane_key(state, header)
    return then is not None and then != lane_key(state, header, now=True)


def lane_key(state: State, header: Header, *, now: bool = False) -> bytes | None:
    """The key of a header's lane in the header's epoch, or now; None where it had none."""
    seats = state.lane_seats if now else state.sets.of(header.epoch)
    seat = seats.by_number.get(header.lane) if seats is not None else None
    return seat.lane_key if seat is not None else None


def _look_at_own(state: State, peer: int, batch: AnyBatch, hash_: bytes) -> None:
    """A batch of the own lane that the store does not know ends all signing (`silence`)."""
    config, header = state.config, batch.header
    if state.keys is None or knows_batch(state, header.height, hash_):
        return
    key = state.keys.lane.public
    if config.verify(key, header_message(config.chain, header), batch.signature):
        forget(state, Shown(BATCH, header.epoch, header.height, peer))


def held_of(hash_: bytes, batch: AnyBatch) -> Held:
    """A batch with its encoded length."""
    form = form_of(batch) if isinstance(batch, Remains) else batch
    return Held(hash_, batch, len(encode(form)))


def _is_vouched(state: State, peer: int, remains: Remains, hash_: bytes) -> bool:
    """Whether f + 1 peers, this one among them, have given these residues; counts who did not.

    Where sets change, the f of an early epoch is not that of those who are asked now.
    """
    others = [number for number in state.peers if not state.is_observer(number)]
    needed = max(state.seats.witnesses, witnesses(1 + len(others)))
    if not state.claims.are_vouched(peer, remains, hash_, needed):
        return False
    for liar in state.claims.against(remains, hash_):
        state.refuse(liar, "residue")
    return True


def _compare(state: State, peer: int, batch: AnyBatch, held: Held | None) -> None:
    """Count a peer that gives another residue than one that was accepted."""
    if held is None or not isinstance(batch, Remains) or not isinstance(held.batch, Remains):
        return
    if contradicts(claim_of(held.batch), claim_of(batch)):
        state.refuse(peer, "residue")


def _keep_orphan(state: State, peer: int, batch: Batch) -> None:
    """A batch without its predecessor: keep it within bounds, and take it for a hint."""
    state.lanes.keep_orphan(peer, batch, state.config.limits)
    note_hint(
        state,
        peer,
        Hint((Held(header_hash(state.config.chain, batch.header), batch, 0).tip,), False),
    )


def _has_room(state: State, lane: Lane, header: Header, size: int) -> bool:
    """Bounds of memory, which give way to what a proposal or final block needs."""
    if f"batches {lane.number}" in state.fetches or lane.final.height >= header.height:
        return True
    limits = state.config.limits
    if header.previous != lane.top.hash and len(lane.off) >= limits.siblings_max:
        return False
    return lane.bytes + size <= limits.lane_bytes_max


def _fault(state: State, batch: AnyBatch, below: tuple[int, int], size: int) -> str:
    """The code of the rule that a batch breaks, or nothing."""
    config, header = state.config, batch.header
    if header.count != len(batch.submissions) or header.count > config.bounds.batch_records_max:
        return "batch_count"
    more = RESIDUE_BYTES_MORE_MAX * header.count if isinstance(batch, Remains) else 0
    if size > config.bounds.batch_bytes_max + more:
        return "batch_bytes"
    if header.time <= below[0]:
        return "batch_time"
    if header.epoch < max(1, below[1]):
        return "batch_epoch"
    key = lane_key(state, header)
    if key is None:
        return "batch_lane"
    if not config.verify(key, header_message(config.chain, header), batch.signature):
        return "batch_signature"
    if header.root != batch_root(batch.commitments):
        return "batch_root"
    return ""


def _take_in(state: State, lane: Lane, held: Held, also: Changes | None = None) -> None:
    header = held.header
    other = _sibling(state, lane, header)
    proof = _accuse(state, held.batch, other.batch) if other else {}
    state.persist({**_rows(state, held), **proof, **(also or {})})  # no crash parts them
    state.claims.forget(lane.number, header.height)
    on_branch = state.lanes.hold(lane, held)
    if on_branch:
        if isinstance(held.batch, Batch):
            state.unhinted.add(lane.number)
        if header.lane != state.config.me:
            _move_time(state, header.time)


def _sibling(state: State, lane: Lane, header: Header) -> Held | None:
    for hash_ in (lane.branch.get(header.height), *sorted(lane.off)):
        held = state.lanes.held.get(hash_) if hash_ else None
        if held is not None and held.header.height == header.height:
            return held
    return None


def _accuse(state: State, one: AnyBatch, other: AnyBatch) -> Changes:
    first, second = sorted(evidence.part(each.header, each.signature) for each in (one, other))
    kind, lane, height = evidence.TWO_BATCHES, one.header.lane, one.header.height
    return _noted(state, evidence.Evidence(kind, lane, 0, height, first, second))


def keep_evidence(state: State, found: evidence.Evidence) -> None:
    """Store one piece of evidence per (key, slot), so many per validator."""
    if rows := _noted(state, found):
        state.persist(rows)


def _noted(state: State, found: evidence.Evidence) -> Changes:
    """Note evidence that is new, within the bound; its row."""
    key = evidence.evidence_key(EVIDENCE, found)
    known = sum(each.number == found.number for each in state.evidence.values())
    if key in state.evidence or known >= state.config.limits.evidence_per_validator_max:
        return {}
    state.evidence[key] = found
    return {key: encode(found)}


def _rows(state: State, held: Held) -> Changes:
    header = held.header
    state.arrivals += 1
    changes: Changes = {
        HEADER + held.hash: encode(HeaderRow(header, held.batch.signature)),
        pending_key(header.lane, header.height, held.hash): state.arrivals.to_bytes(8),
    }
    submission, residue = SUBMISSION + held.hash, RESIDUE + held.hash
    for position, each in enumerate(held.batch.submissions):
        prefix = residue if isinstance(each, Residue) else submission
        changes[prefix + position.to_bytes(2)] = encode(each)
    return changes


def _move_time(state: State, time: int) -> None:
    """The rule of the quiet lane (module docstring)."""
    if not may_seal(state):
        return
    own = state.lanes.time_of(state.lanes.lanes[state.config.me].top)
    late_from = own + state.config.timing.quiet_lane_ms
    if time > late_from and state.now.wall_ms > late_from:
        seal(state, ())


def note_hint(state: State, peer: int, hint: Hint) -> None:
    """Upon a hint: count it; a batch that does not come by itself is pulled after a while.

    A hint that is sent again is answered with what this node holds of those lanes: its own hint
    was lost, or it holds a sibling, which the other cannot know.
    """
    if hint.again:
        lanes = [state.lanes.get(tip.lane) for tip in hint.tips]
        tips = tuple(lane.top for lane in lanes if lane is not None and lane.top.height)
        state.emit(Send(peer, Hint(tips, False)))
    if not state.is_member(peer) and peer not in state.lane_seats.by_number:
        return
    for tip in hint.tips:
        if state.lanes.hint(peer, tip):
            due = state.now.steady_ms + state.config.timing.fetch_delay_ms
            state.lanes.pull(state.lanes.lanes[tip.lane], due)


def send_hints(state: State) -> None:
    """Hint the lanes that grew, at once, but not more often than every `hint_gap_ms`."""
    if not state.unhinted:
        return
    waits = state.waits
    due = waits.hinted_at + state.config.timing.hint_gap_ms
    if due > state.now.steady_ms:
        state.set_timer("hint", due)
        return
    waits.hinted_at = state.now.steady_ms
    tops = (state.lanes.lanes[number].top for number in sorted(state.unhinted))
    tips = tuple(top for top in tops if top.height)
    state.unhinted.clear()
    state.emit(Broadcast(Hint(tips, False)))


def drop_siblings(state: State) -> None:
    """Remove batches that can no longer become final, and siblings beyond bounds that nothing
    names; what they prove stands in evidence rows."""
    changes: Changes = {}
    named = [tip.hash for block in state.blocks.values() for tip in block.tips]
    for lane in state.lanes:
        for held in state.lanes.prune(lane, state.config.limits.siblings_max, named):
            changes.update(gone(held))
    if changes:
        state.persist(changes)


def gone(held: Held) -> Changes:
    """What removes the rows of a batch that can no longer become final."""
    header = held.header
    changes: Changes = {
        HEADER + held.hash: None,
        pending_key(header.lane, header.height, held.hash): None,
    }
    for position, each in enumerate(held.batch.submissions):
        prefix = RESIDUE if isinstance(each, Residue) else SUBMISSION
        changes[prefix + held.hash + position.to_bytes(2)] = None
    return changes


def stored_batch(reader: Reader, hash_: bytes) -> AnyBatch | None:
    """A batch from its rows, or what remains of it, or None if not all of them are there.

    Where something is being erased, a residue stands for its opening, should both be there.

    Raises:
        StoreDamaged: a row is not what was written.
    """
    signed = read_row(reader, HeaderRow, header_key(hash_))
    if signed is None:
        return None
    header, signature = signed.header, signed.signature
    left = _stored(reader, Submission, SUBMISSION + hash_)
    if len(left) == header.count:
        return Batch(header, signature, tuple(left.values()))
    items: dict[int, Submission | Residue] = {**left, **_stored(reader, Residue, RESIDUE + hash_)}
    if len(items) != header.count:
        return None
    return Remains(header, signature, tuple(items[at] for at in sorted(items)))


def _stored(reader: Reader, kind: type[Row], prefix: bytes) -> dict[int, Row]:
    """The rows of a batch's submissions or residues, by position."""
    read = decoder(kind).decode
    try:
        return {
            int.from_bytes(key[len(prefix) :]): read(row)
            for key, row in reader.scan(prefix, after(prefix))
        }
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StoreDamaged(describe_key(prefix), str(error)) from error
