"""Nobody stays behind: status, answers, and what is fetched.

**Status.** Every new link begins with it (last final and certified height, epoch, view, tips). Who
reads that the other is behind answers as below; who reads that itself is behind fetches blocks.

**Answers.** Whoever gets a vote, proposal or cosignature that was sent `again` (or a nullify) for a
view, block or epoch that it has left or completed answers, at most every `answer_gap_ms` per peer:
with the certificate that let it leave that view and the newest one that opened its own view, with
its newest finalization, and with that block's (or the newest certified block's) q cosignatures; to
a peer in an earlier epoch, with the finalization and cosignatures of that epoch's last block.

**Fetches.** Blocks: while a peer is known to have final blocks that this node lacks. Batches: what
final blocks need first, then what the current proposal needs, then what was hinted and did not
come. Certificates: what justifies the current proposal's parent, or the own proposal's. One fetch
of a kind (batches: of a lane) is under way at a time; after `fetch_retry_ms` another peer is asked.

**Serving.** Bounded in count and bytes per answer, and in bytes per peer and second. Executed
batches are read from the store by the final `L` rows; batches above from memory, by the lineage
of the tip that was named.
"""

from collections.abc import Iterator
from typing import Final

from consensus import cosign, safety
from consensus.certificate import FINALIZE, NOTARIZE, NULLIFY, check_certificate
from consensus.effects import Send
from consensus.epochs import epoch_end
from consensus.finality import commit
from consensus.gate import note_hint, stored_batch
from consensus.lanes import Lane, Path
from consensus.messages import (
    Batches,
    Blocks,
    CertificateMessage,
    CheckpointMessage,
    FetchBatches,
    FetchBlocks,
    FetchViews,
    Hint,
    Message,
    Status,
)
from consensus.state import Candidate, Fetch, State
from ledger.batch import Batch
from ledger.block import Block, Tip, block_hash
from ledger.errors import InvalidInput
from ledger.genesis import epoch_of
from ledger.rows import CheckpointRow, lane_key, read_row
from ledger.store import CHECKPOINT

_SMALL_ANSWER_BYTES: Final = 64 * 1_024

# --- status ---


def status_of(state: State) -> Status:
    """Where this node stands."""
    tips = tuple(lane.top for lane in state.lanes if lane.top.height)
    return Status(
        state.epoch,
        state.view,
        state.final.block.height,
        state.checkpoints.certified,
        tuple(sorted(tips, key=lambda tip: tip.lane)),
    )


def on_link_up(state: State, number: int) -> None:
    """Upon a new link: say where this node stands."""
    peer = state.peers[number]
    peer.up, peer.answered_at = True, state.now.steady_ms - state.config.timing.answer_gap_ms
    state.emit(Send(number, status_of(state)))


def on_link_down(state: State, number: int) -> None:
    """Upon a lost link: what it was asked for is asked of another."""
    state.peers[number].up = False
    state.lanes.forget_peer(number)
    for key in [key for key, fetch in state.fetches.items() if fetch.peer == number]:
        del state.fetches[key]


def receive_status(state: State, number: int, status: Status) -> None:
    """Upon a peer's status."""
    peer = state.peers[number]
    peer.final_height = max(peer.final_height, status.final_height)
    note_hint(state, number, Hint(status.tips, False))
    behind = (status.epoch, status.view) < (state.epoch, state.view) or (
        status.certified_height < state.checkpoints.certified
    )
    if behind or status.final_height < state.final.block.height:
        answer(state, number, status.epoch, status.view)


# --- answers ---


def answer(state: State, number: int, epoch: int, view: int) -> None:
    """Send a peer that is behind what completed the epoch or view that it is in."""
    peer = state.peers[number]
    if state.now.steady_ms - peer.answered_at < state.config.timing.answer_gap_ms:
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


def stored_final(state: State, height: int) -> safety.FinalRow | None:
    """The row of a final block."""
    return read_row(state.reader, safety.FinalRow, safety.final_key(height))


def stored_checkpoint(state: State, height: int) -> CheckpointRow | None:
    """The row of a certified checkpoint."""
    if state.checkpoints.row is not None and state.checkpoints.row.height == height:
        return state.checkpoints.row
    return read_row(state.reader, CheckpointRow, CHECKPOINT + height.to_bytes(8))


# --- blocks ---


def serve_blocks(state: State, number: int, fetch: FetchBlocks) -> None:
    """Upon `FetchBlocks`: blocks of one epoch, up to the last one with a finalization."""
    if not _afford(state, number, _SMALL_ANSWER_BYTES):
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
    if best is not None:
        checkpoint = stored_checkpoint(state, best.blocks[-1].height)
        state.emit(Send(number, Blocks(best.blocks, best.tail, best.finalization, checkpoint)))


def receive_blocks(state: State, number: int, message: Blocks) -> None:
    """Upon final blocks from a peer: check their links and the finalization, make them final."""
    fetch = state.fetches.get("blocks")
    if fetch is not None and fetch.peer == number:
        del state.fetches["blocks"]
    last_height = message.blocks[-1].height
    state.peers[number].final_height = max(state.peers[number].final_height, last_height)
    if message.blocks[0].epoch != state.epoch or last_height <= state.final.block.height:
        return
    chain = _linked(state, message)
    certificate = message.finalization
    if chain is None:
        state.refuse(number, "blocks_link")
        return
    try:
        check_certificate(state.config.chain, state.seats, state.config.verify, certificate)
    except InvalidInput:
        state.refuse(number, "blocks_finalization")
        return
    commit(state, chain, certificate, message.tail)
    if message.checkpoint is not None:
        cosign.take_row(state, number, message.checkpoint)


def _linked(state: State, message: Blocks) -> list[Candidate] | None:
    """The blocks above the last final one as candidates, if they link and fit the finalization."""
    config, certificate = state.config, message.finalization
    at, height, cut = state.final.hash, state.final.block.height, state.final.cut
    chain: list[Candidate] = []
    for block in message.blocks:
        if block.height <= height:
            continue
        if block.parent != at or block.height != height + 1 or block.epoch != state.epoch:
            return None
        at, height = block_hash(config.chain, block), block.height
        cut = {**cut, **{tip.lane: tip for tip in block.tips}}
        chain.append(Candidate(block, at, cut))
    if not chain or height > epoch_end(config, state.epoch):
        return None
    named, view = at, chain[-1].block.view
    if message.tail is not None:
        tail = message.tail
        if tail.parent != at or tail.height != height or tail.tips:
            return None
        named, view = block_hash(config.chain, tail), tail.view
    expected = (FINALIZE, state.epoch, view, named)
    given = (certificate.kind, certificate.epoch, certificate.view, certificate.hash)
    return chain if given == expected else None


# --- batches ---


def serve_batches(state: State, number: int, fetch: FetchBatches) -> None:
    """Upon `FetchBatches`: what is held of it, the lowest first, within bounds."""
    lane = state.lanes.get(fetch.lane)
    if lane is None or fetch.tip.lane != fetch.lane or not _afford(state, number, 0):
        return
    limits = state.config.limits
    found: list[Batch] = []
    size = 0
    for batch in _batches_above(state, lane, fetch):
        found.append(batch)
        size += sum(len(each.record) + 100 for each in batch.submissions) + 200
        if len(found) >= limits.batches_per_answer_max or size >= limits.answer_bytes_max:
            break
    _afford(state, number, max(size, _SMALL_ANSWER_BYTES))
    if found:
        state.emit(Send(number, Batches(tuple(found))))


def _batches_above(state: State, lane: Lane, fetch: FetchBatches) -> Iterator[Batch]:
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


def note_batches(state: State, number: int, message: Batches) -> None:
    """An answer to a fetch has come: the lane may be fetched again."""
    for batch in message.batches:
        key = f"batches {batch.header.lane}"
        fetch = state.fetches.get(key)
        if fetch is not None and fetch.peer == number and batch.header.height == fetch.above + 1:
            del state.fetches[key]


# --- what to fetch ---


def fetch_missing(state: State) -> None:
    """Ask for whatever is missing and not yet asked for."""
    _fetch_blocks(state)
    now = state.now.steady_ms
    for lane in state.lanes:
        due = lane.wanted_at is not None and lane.wanted_at <= now
        if (due or lane.number in state.wanted or not lane.on_branch(lane.final)) and (
            f"batches {lane.number}" not in state.fetches
        ):
            _fetch_lane(state, lane)
    times = [fetch.until for fetch in state.fetches.values()]
    times += [lane.wanted_at for lane in state.lanes if lane.wanted_at is not None]
    if times:
        state.set_timer("fetch", max(min(times), state.now.steady_ms + 1))
    else:
        state.cancel_timer("fetch")


def expire(state: State) -> None:
    """Upon the `fetch` timer: give up on peers that did not answer, and on what they hinted."""
    now = state.now.steady_ms
    for key in [key for key, fetch in state.fetches.items() if fetch.until <= now]:
        fetch = state.fetches.pop(key)
        if key.startswith("batches "):
            lane = state.lanes.lanes[int(key.removeprefix("batches "))]
            lane.ahead.pop(fetch.peer, None)


def _fetch_blocks(state: State) -> None:
    height = state.final.block.height
    if "blocks" in state.fetches or all(p.final_height <= height for p in state.peers.values()):
        return
    if height >= epoch_end(state.config, state.epoch):
        return
    if len(state.queue) >= state.config.limits.final_ahead_max:
        return
    holders = [n for n, peer in state.peers.items() if peer.up and peer.final_height > height]
    ask(state, "blocks", FetchBlocks(height + 1), holders)


def _fetch_lane(state: State, lane: Lane) -> None:
    limits = state.config.limits
    if lane.bytes >= limits.lane_bytes_max and state.issued:
        return
    tip, holders = _wanted(state, lane)
    if tip is None:
        return
    above = state.lanes.held_above(tip)
    message = FetchBatches(lane.number, above, tip)
    key = f"batches {lane.number}"
    if not ask(state, key, message, holders, above=above):
        ask(state, key, message, state.peers_up(), above=above)


def _wanted(state: State, lane: Lane) -> tuple[Tip | None, list[int]]:
    """The tip of a lane whose batches are to be fetched, and who is known to hold it."""
    ahead = [number for number in lane.ahead if state.peers[number].up]
    if lane.final.hash not in state.lanes.held and not lane.on_branch(lane.final):
        return lane.final, ahead
    if lane.number in state.wanted:
        tip, number = state.wanted[lane.number]
        return tip, ahead if number is None else [number]
    if lane.wanted_at is None or lane.wanted_at > state.now.steady_ms:
        return None, []
    lane.wanted_at = None
    if not ahead or lane.bytes >= state.config.limits.lane_bytes_max:
        return None, []
    lane.wanted_at = state.now.steady_ms + state.config.timing.fetch_retry_ms
    tip = max((lane.ahead[number] for number in ahead), key=lambda each: each.height)
    return tip, [number for number in ahead if lane.ahead[number] == tip]


def ask(state: State, key: str, message: Message, holders: list[int], *, above: int = 0) -> bool:
    """Send a fetch to one of the peers whose links stand, in turn; False if there is none."""
    up = [number for number in holders if number in state.peers and state.peers[number].up]
    if not up:
        return False
    number = sorted(up)[(state.now.steady_ms // 7 + sum(key.encode())) % len(up)]
    until = state.now.steady_ms + state.config.timing.fetch_retry_ms
    state.fetches[key] = Fetch(number, until, above)
    state.emit(Send(number, message))
    return True


def fetch_views(state: State, views: tuple[int, int], number: int | None) -> None:
    """Ask for certificates of views, of the peer that should have them or of anyone."""
    if "views" in state.fetches:
        return
    message = FetchViews(state.epoch, views[0], views[1])
    holders = state.peers_up() if number is None else [number]
    if not ask(state, "views", message, holders):
        ask(state, "views", message, state.peers_up())
