"""Restart: the state of consensus from durable rows alone.

Whatever was sent before the crash stands in rows (consensus.safety), so a restarted node knows its
votes, its proposals, its lane's batches and its cosignatures, and signs nothing that contradicts
them. What was durable and not sent is sent when work waits. `head` is what execution has durable:
final blocks above it are executed (again), in order. A head above the consensus rows means that
rows were lost, votes perhaps among them: `StoreDamaged`, the node does not start.

The epoch is the last final block's; or the next one, if that block ends its epoch, is executed and
certified. The view is the one after the newest certificate's.
"""

from collections.abc import Iterator

from consensus import safety
from consensus.certificate import Certificate
from consensus.claims import Claims
from consensus.config import Config, Head
from consensus.epochs import Sets, epoch_at, epoch_end
from consensus.evidence import Evidence
from consensus.gate import held_of, is_void, stored_batch
from consensus.inputs import Now
from consensus.lane import new_lane
from consensus.lanes import Lanes
from consensus.messages import CertificateMessage, Cosignature, Proposal, Vote
from consensus.seating import keys_of, note_void, passed_in
from consensus.state import Candidate, Checkpoints, Final, Peer, State, Waits
from ledger.block import Block, block_hash
from ledger.errors import StoreDamaged
from ledger.hashing import ZERO_HASH
from ledger.rows import CheckpointRow, HeaderRow, decode_row, header_key, need_row, read_row
from ledger.store import CHECKPOINT, Changes, Reader, after

_REPAIR = "move this store away and let the node take the ledger from its peers"


def rebuild(config: Config, reader: Reader, head: Head, now: Now) -> State:
    """The state after a start, before any rule is applied.

    Raises:
        StoreDamaged: rows are missing or contradict each other.
    """
    before = _executed_block(config, reader, head)
    rows = list(_final_rows(config, reader, before))
    newest = rows[-1][1] if rows else _row_at(reader, head.height)
    checkpoints = _checkpoints(reader)
    final = rows[-1][0] if rows else before
    epoch = max(1, epoch_at(config, final.block.height))
    end = epoch_end(config, epoch)
    if head.height == end and checkpoints.certified >= end:
        epoch += 1
    sets = Sets(config, reader)
    seats = sets.of(epoch)
    if seats is None:
        raise StoreDamaged(f"row M validators/{epoch}", f"is missing: {_REPAIR}")
    state = State(
        config=config,
        reader=reader,
        now=now,
        epoch=epoch,
        view=1,
        sets=sets,
        seats=seats,
        keys=keys_of(config, seats),
        passed=passed_in(epoch, config, reader, sets),
        final=final,
        final_view=0,
        executed_height=head.height,
        lanes=Lanes(config.me, seats.quorum, (), seats.numbers),
        claims=Claims(config.limits.residue_claims_max),
        is_erasing=head.is_erasing,
        is_changing=head.is_changing,
        checkpoints=checkpoints,
    )
    _start_waits(state)
    below = before
    for candidate, _ in rows:
        state.queue.append(Final(candidate, below.cut, is_told=True))
        below = candidate
    if newest is not None:
        _take_finalization(state, newest)
    _read_lanes(state, head)
    _read_batches(state)
    state.lanes.finalize(final.cut)
    _read_rounds(state)
    _read_evidence(state)
    _read_newest(state)
    return state


def _start_waits(state: State) -> None:
    timing = state.config.timing
    state.waits = Waits(
        view_timeout_ms=timing.view_timeout_ms,
        entered_at=state.now.steady_ms,
        resend_ms=timing.resend_ms,
    )
    for number in state.seats.numbers:
        if number != state.config.me:
            state.peers[number] = Peer()


# --- final blocks ---


def _row_at(reader: Reader, height: int) -> safety.FinalRow | None:
    return read_row(reader, safety.FinalRow, safety.final_key(height))


def _executed_block(config: Config, reader: Reader, head: Head) -> Candidate:
    """The last executed block, as consensus made it final."""
    if head.height == 0:
        return Candidate(Block(0, 0, 0, ZERO_HASH, (), head.time), head.hash, {})
    row = _row_at(reader, head.height)
    if row is None or block_hash(config.chain, row.block) != head.hash:
        raise StoreDamaged(
            f"row Kf {head.height}",
            f"the ledger is ahead of consensus, whose votes may be lost: {_REPAIR}",
        )
    return Candidate(row.block, head.hash, dict(head.cut))


def _final_rows(
    config: Config, reader: Reader, below: Candidate
) -> Iterator[tuple[Candidate, safety.FinalRow]]:
    """The final blocks above the executed one."""
    while (row := _row_at(reader, below.block.height + 1)) is not None:
        block = row.block
        if block.parent != below.hash:
            raise StoreDamaged(f"row Kf {block.height}", f"does not follow its parent: {_REPAIR}")
        cut = {**below.cut, **{tip.lane: tip for tip in block.tips}}
        below = Candidate(block, block_hash(config.chain, block), cut)
        yield below, row


def _take_finalization(state: State, newest: safety.FinalRow) -> None:
    certificate = newest.finalization
    if certificate is None:
        raise StoreDamaged(
            f"row Kf {newest.block.height}", f"the newest final block has no proof: {_REPAIR}"
        )
    state.finalization = CertificateMessage(certificate, newest.tail or newest.block)
    if certificate.epoch == state.epoch:
        state.final_view = certificate.view
        state.view = certificate.view + 1


# --- checkpoints ---


def _checkpoints(reader: Reader) -> Checkpoints:
    """The newest certified checkpoint, and own cosignatures above it."""
    checkpoints = Checkpoints()
    for key, value in reader.scan(CHECKPOINT, after(CHECKPOINT), reverse=True):
        checkpoints.row = decode_row(CheckpointRow, key, value)
        checkpoints.certified = checkpoints.row.height
        break
    start = safety.cosigned_key(checkpoints.certified + 1)
    for key, value in reader.scan(start, after(safety.COSIGNED)):
        height = int.from_bytes(key[len(safety.COSIGNED) :])
        row = decode_row(safety.CosignedRow, key, value)
        own = Cosignature(height, row.size, row.root, row.time_s, row.signature, False)
        checkpoints.own[height] = own
        checkpoints.results[height] = (row.size, row.root)
    return checkpoints


# --- lanes ---


def _read_lanes(state: State, head: Head) -> None:
    """The lanes of those who may write them now, and former members'."""
    members = state.lane_seats.numbers
    for number in sorted({*members, *head.cut}):
        lane = new_lane(number, state.config.chain)
        lane.closed = number not in members
        tip = head.cut.get(number)
        if tip is not None:
            signed = need_row(state.reader, HeaderRow, header_key(tip.hash))
            lane.base = lane.final = lane.covered = lane.top = tip
            lane.base_time, lane.base_epoch = signed.header.time, signed.header.epoch
        state.lanes.add(lane)


def _read_batches(state: State) -> None:
    """The held batches above the executed cut, in their order of arrival."""
    rows = state.reader.scan(safety.PENDING, after(safety.PENDING))
    stale: Changes = {}
    for key, value in sorted(rows, key=lambda row: row[1]):
        state.arrivals = int.from_bytes(value)
        at = len(safety.PENDING)
        number, hash_ = int.from_bytes(key[at : at + 4]), key[at + 12 :]
        lane = state.lanes.get(number)
        if lane is None or int.from_bytes(key[at + 4 : at + 12]) <= lane.base.height:
            stale[key] = None
            continue
        batch = stored_batch(state.reader, hash_)
        if batch is None:
            where = f"rows H, S, Y of lane {number}, {hash_.hex()}"
            raise StoreDamaged(where, _REPAIR)
        held = held_of(hash_, batch)
        if lane.closed or is_void(state, batch.header):
            stale.update(note_void(state, lane, held))
            continue
        if state.lanes.successor_of(lane, batch.header) is None:
            stale[key] = None
            continue
        state.lanes.hold(lane, held)
    if stale:
        state.persist(stale)


# --- views ---


def _read_rounds(state: State) -> None:
    """Proposals, certificates and own votes of this epoch; rows of earlier ones are removed."""
    stale: Changes = {}
    for prefix, take in (
        (safety.PROPOSAL, _take_proposal),
        (safety.CERTIFICATE, _take_certificate),
        (safety.VOTE, _take_vote),
    ):
        for key, value in state.reader.scan(prefix, after(prefix)):
            at = len(prefix)
            epoch, view = int.from_bytes(key[at : at + 8]), int.from_bytes(key[at + 8 : at + 16])
            if epoch != state.epoch or view <= state.final_view:
                stale[key] = None
                continue
            state.rows.setdefault(view, []).append(key)
            take(state, view, key, value)
    if stale:
        state.persist(stale)


def _take_proposal(state: State, view: int, key: bytes, value: bytes) -> None:
    row, hash_ = decode_row(safety.ProposalRow, key, value), key[-32:]
    round_ = state.round(view)
    round_.hashes.append(hash_)
    state.blocks[hash_] = row.block
    if row.signature != safety.UNSIGNED:
        round_.proposal, round_.hash = Proposal(row.block, row.signature, False), hash_


def _take_certificate(state: State, view: int, key: bytes, value: bytes) -> None:
    certificate = decode_row(Certificate, key, value)
    state.round(view).certificates[certificate.kind] = certificate
    state.view = max(state.view, view + 1)


def _take_vote(state: State, view: int, key: bytes, value: bytes) -> None:
    row, number = decode_row(safety.VoteRow, key, value), key[-1]
    round_ = state.round(view)
    round_.own[number] = Vote(number, state.epoch, view, row.hash, row.signature, False)
    round_.tallies[number].add(state.config.me, row.hash, row.signature)
    state.view = max(state.view, view)


def _read_newest(state: State) -> None:
    for key, value in state.reader.scan(safety.NEWEST, after(safety.NEWEST)):
        row = decode_row(safety.NewestRow, key, value)
        vote = Vote(row.kind, row.epoch, row.view, row.hash, row.signature, False)
        state.newest[int.from_bytes(key[len(safety.NEWEST) :])] = vote


def _read_evidence(state: State) -> None:
    for key, value in state.reader.scan(safety.EVIDENCE, after(safety.EVIDENCE)):
        state.evidence[key] = decode_row(Evidence, key, value)
