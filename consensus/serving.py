"""Helping others on: answers to whoever is behind, and what is served when asked.

**Answers.** Whoever gets a vote, proposal or cosignature that was sent `again` (or a nullify) for a
view, block or epoch that it has left or completed answers, at most every `answer_gap_ms` per peer
(a status is answered within what a peer is served):
with the certificate that let it leave that view and the newest one that opened its own view, with
its newest finalization, and with the newest certified block's q cosignatures; to a peer in an
earlier epoch, with the finalization and cosignatures of that epoch's last block.

**Serving.** Bounded in count and bytes per answer, in bytes per peer and second, and what is read
of blocks and batches also in bytes for all peers together: whoever catches up must not hold up the
others. What is too much is not answered; it is asked of another peer, or later. Executed batches
are read from the store by the final `L` rows; batches above from memory, by the lineage of the tip
that was named.
"""

from collections.abc import Iterator
from typing import Final

from consensus import holdings, safety
from consensus.certificate import FINALIZE, NOTARIZE, NULLIFY
from consensus.cosign import stored_checkpoint
from consensus.effects import Send
from consensus.epochs import epoch_end
from consensus.gate import stored_batch
from consensus.lane import Lane
from consensus.lanes import Path
from consensus.messages import (
    Batches,
    Blocks,
    CertificateMessage,
    CheckpointMessage,
    FetchBatches,
    FetchBlocks,
    FetchViews,
    Question,
    RemainsMessage,
)
from consensus.state import State
from ledger.batch import Batch
from ledger.block import Block
from ledger.genesis import epoch_of
from ledger.residue import AnyBatch, Residue, form_of
from ledger.rows import lane_key, read_row

_SMALL_ANSWER_BYTES: Final = 64 * 1_024
_READ_BYTES: Final = 4 * 1_024
"""What reading one block or batch counts at least: many small ones are work too."""


def answer(state: State, number: int, epoch: int, view: int, *, asked: bool = False) -> None:
    """Send a peer that is behind what completed the epoch or view that it is in; if it asked by
    its status, whenever it may be served."""
    peer = state.peers[number]
    soon = state.now.steady_ms - peer.answered_at < state.config.timing.answer_gap_ms
    if not _afford(state, number, _SMALL_ANSWER_BYTES) if asked else soon:
        return
    peer.answered_at = state.now.steady_ms
    if epoch < state.epoch:
        _answer_epoch(state, number, epoch)
        return
    if epoch > state.epoch:
        return
    for at in sorted({view, state.view - 1}):
        if at < state.view:
            _send_view(state, number, at)
    if state.finalization is not None:
        state.emit(Send(number, state.finalization))
    if state.checkpoints.row is not None:
        state.emit(Send(number, CheckpointMessage(state.checkpoints.row)))


def _answer_epoch(state: State, number: int, epoch: int) -> None:
    end = epoch_end(state.config, max(1, epoch))
    row = stored_final(state, end)
    if row is not None and row.finalization is not None:
        state.emit(Send(number, CertificateMessage(row.finalization, row.tail or row.block)))
    checkpoint = stored_checkpoint(state, end)
    if checkpoint is not None:
        state.emit(Send(number, CheckpointMessage(checkpoint)))


def _send_view(state: State, number: int, view: int) -> None:
    round_ = state.rounds.get(view)
    if round_ is None:
        return
    notarization = round_.certificates.get(NOTARIZE) or round_.certificates.get(FINALIZE)
    if notarization is not None:
        block = state.blocks.get(notarization.hash)
        state.emit(Send(number, CertificateMessage(notarization, block)))
    if NULLIFY in round_.certificates:
        state.emit(Send(number, CertificateMessage(round_.certificates[NULLIFY], None)))


def _afford(state: State, number: int, cost: int) -> bool:
    """Whether a peer may be served once more in this second; the cost (bytes) is noted."""
    peer, second = state.peers[number], state.now.steady_ms // 1_000
    if peer.served_second != second:
        peer.served_second, peer.served_bytes = second, 0
    if peer.served_bytes >= state.config.limits.served_bytes_max:
        return False
    peer.served_bytes += cost
    return True


def _afford_reading(state: State, number: int, cost: int) -> bool:
    """`_afford` for what is read from the store, which is bounded for all peers together, too. Once
    that is used up, those are served who have had less than an equal share: others' asking takes it
    from nobody."""
    served, second = state.served, state.now.steady_ms // 1_000
    if served.second != second:
        served.second, served.bytes = second, 0
    total, peer = state.config.limits.served_to_all_bytes_max, state.peers[number]
    had = peer.served_bytes if peer.served_second == second else 0
    if served.bytes >= total and had >= total // len(state.peers):
        return False
    if not _afford(state, number, cost):
        return False
    served.bytes += cost
    return True


def serve_views(state: State, number: int, fetch: FetchViews) -> None:
    """Upon `FetchViews`."""
    if not _afford(state, number, _SMALL_ANSWER_BYTES):
        return
    if fetch.epoch < state.epoch:
        _answer_epoch(state, number, fetch.epoch)
        return
    if fetch.epoch > state.epoch:
        return
    if fetch.first <= state.final_view and state.finalization is not None:
        state.emit(Send(number, state.finalization))
    last = min(fetch.last, fetch.first + state.config.limits.views_per_answer_max)
    for view in range(max(fetch.first, state.final_view + 1), last + 1):
        _send_view(state, number, view)


def serve_question(state: State, number: int, question: Question) -> None:
    """Upon `Question`."""
    if _afford(state, number, _SMALL_ANSWER_BYTES):
        holdings.answer(state, number, question)


def stored_final(state: State, height: int) -> safety.FinalRow | None:
    """The row of a final block."""
    return read_row(state.reader, safety.FinalRow, safety.final_key(height))


def serve_blocks(state: State, number: int, fetch: FetchBlocks) -> None:
    """Upon `FetchBlocks`: blocks of one epoch, up to the last one with a finalization."""
    if not _afford_reading(state, number, _SMALL_ANSWER_BYTES):
        return
    first, limits = max(1, fetch.first), state.config.limits
    end = epoch_end(state.config, epoch_of(first, state.config.bounds.epoch_blocks))
    blocks: list[Block] = []
    best: Blocks | None = None
    for height in range(first, min(end, first + limits.blocks_per_answer_max - 1) + 1):
        row = stored_final(state, height)
        if row is None:
            break
        blocks.append(row.block)
        if row.finalization is not None:
            best = Blocks(tuple(blocks), row.tail, row.finalization, None)
    _afford_reading(state, number, len(blocks) * _READ_BYTES)
    if best is not None:
        checkpoint = stored_checkpoint(state, best.blocks[-1].height)
        state.emit(Send(number, Blocks(best.blocks, best.tail, best.finalization, checkpoint)))


def serve_batches(state: State, number: int, fetch: FetchBatches) -> None:
    """Upon `FetchBatches`: what is held of it, the lowest first, within bounds."""
    lane = state.lanes.get(fetch.lane)
    if lane is None or fetch.tip.lane != fetch.lane or not _afford_reading(state, number, 0):
        return
    limits = state.config.limits
    found: list[AnyBatch] = []
    size = 0
    for batch in _batches_above(state, lane, fetch):
        found.append(batch)
        size += _size_of(batch)
        if len(found) >= limits.batches_per_answer_max or size >= limits.answer_bytes_max:
            break
    _afford_reading(state, number, max(size, len(found) * _READ_BYTES, _SMALL_ANSWER_BYTES))
    whole = tuple(each for each in found if isinstance(each, Batch))
    if len(whole) < len(found):
        state.emit(Send(number, RemainsMessage(tuple(map(form_of, found)))))
    elif found:
        state.emit(Send(number, Batches(whole)))


def _size_of(batch: AnyBatch) -> int:
    """About how many bytes a batch has in an answer."""
    return 200 + sum(
        len(each.stand_in) + 180 if isinstance(each, Residue) else len(each.record) + 100
        for each in batch.submissions
    )


def _batches_above(state: State, lane: Lane, fetch: FetchBatches) -> Iterator[AnyBatch]:
    low = max(fetch.above, lane.base.height)
    for height in range(fetch.above + 1, min(lane.base.height, fetch.tip.height) + 1):
        hash_ = state.reader.get(lane_key(lane.number, height))
        batch = stored_batch(state.reader, hash_) if hash_ else None
        if batch is None:
            return
        yield batch
    if fetch.tip.height <= low:
        return
    path = state.lanes.path(lane.base, fetch.tip)
    if not isinstance(path, Path):
        for held in path:
            if held.header.height > low:
                yield held.batch
