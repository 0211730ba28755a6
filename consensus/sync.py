"""Not staying behind: status, and what is fetched.

**Status.** Every new link begins with it (last final and certified height, epoch, view, tips). Who
reads that the other is behind answers it (consensus.serving); who reads that itself is behind
fetches blocks.

**Fetches.** Blocks: while a peer is known to have final blocks that this node lacks. Batches: what
final blocks need first, then what the current proposal needs, then what was hinted and did not
come. Certificates: what justifies the current proposal's parent, or the own proposal's. One fetch
of a kind (batches: of a lane) is under way at a time; after `fetch_retry_ms` another peer is asked.
Hints may be lies: what a block needs is asked of any peer (or of the block's leader), not of those
who claim more, and does not wait for the answer to a fetch of what was only hinted.
"""

from collections.abc import Sequence
from typing import Final

from consensus import cosign, serving, silence
from consensus.certificate import FINALIZE, check_certificate
from consensus.effects import Send
from consensus.epochs import epoch_end
from consensus.finality import commit
from consensus.gate import note_hint
from consensus.lane import Lane
from consensus.messages import (
    Blocks,
    FetchBatches,
    FetchBlocks,
    FetchViews,
    Hint,
    Message,
    Status,
)
from consensus.state import Candidate, Fetch, State
from ledger.batch import Header
from ledger.block import Tip, block_hash
from ledger.errors import InvalidInput

MISSED_ASKS: Final = 4
NEVER: Final = 2**63
PATIENCE_MAX: Final = 4
"""So many `fetch_retry_ms` a peer is waited for at most."""

# --- status ---


def status_of(state: State) -> Status:
    """Where this node stands."""
    tips = tuple(lane.top for lane in state.lanes if lane.top.height and not lane.closed)
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
    if not state.is_member(number):
        del state.peers[number]
    state.lanes.forget_peer(number)
    for key in [key for key, fetch in state.fetches.items() if fetch.peer == number]:
        del state.fetches[key]


def note_missed(state: State, number: int, epoch: int) -> None:
    """A peer's message of a later epoch came too early to be kept. Who sent it may be idle by the
    time this node gets there, and nobody says it again: it is asked then."""
    peer = state.peers[number]
    peer.missed_epoch = max(peer.missed_epoch, epoch)


def begin_epoch(state: State) -> None:
    """Upon a new epoch: ask those of whose messages of it, or of a later one, some were missed."""
    if any(peer.missed_epoch >= state.epoch for peer in state.peers.values()):
        state.waits.missed_asks = MISSED_ASKS
        ask_missed(state)


def ask_missed(state: State) -> None:
    """Tell them where this node stands: who is ahead answers. A few times, since whoever is asked
    may get ahead by what had been sent to this node before it asked."""
    waits, resend_ms = state.waits, state.config.timing.resend_ms
    for number, peer in state.peers.items():
        if peer.missed_epoch >= state.epoch and peer.up:
            state.emit(Send(number, status_of(state)))
    waits.missed_asks -= 1
    if waits.missed_asks > 0:
        state.set_timer("missed", state.now.steady_ms + resend_ms)


def receive_status(state: State, number: int, status: Status) -> None:
    """Upon a peer's status."""
    state.hear_final(number, status.final_height)
    note_hint(state, number, Hint(status.tips, False))
    behind = (status.epoch, status.view) < (state.epoch, state.view) or (
        status.certified_height < state.checkpoints.certified
    )
    if behind or status.final_height < state.final.block.height:
        serving.answer(state, number, status.epoch, status.view, asked=True)


# --- blocks ---


def receive_blocks(state: State, number: int, message: Blocks) -> None:
    """Upon final blocks from a peer: check their links and the finalization, make them final."""
    fetch = state.fetches.get("blocks")
    if fetch is not None and fetch.peer == number:
        del state.fetches["blocks"]
    last_height = message.blocks[-1].height
    state.hear_final(number, last_height)
    if message.blocks[0].epoch != state.epoch or last_height <= state.final.block.height:
        return
    if message.blocks[0].height > state.final.block.height + 1:
        return  # asked for before a start from an older store
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
    silence.look(state, number, certificate)
    commit(state, chain, certificate, message.tail, is_told=True)
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


def _note_late(state: State, number: int, headers: Sequence[Header]) -> None:
    """Where an answer came after another peer was asked, this one is waited for longer: asking
    twice brings the same twice, and makes slow peers slower. Who does not answer is waited for
    less and less (`expire`)."""
    peer = state.peers[number]
    asked = [state.fetches.get(f"batches {header.lane}") for header in headers[:1]]
    if peer.overdue and not any(fetch is not None and fetch.peer == number for fetch in asked):
        peer.overdue -= 1
        peer.patience = min(PATIENCE_MAX, 4 * peer.patience)


def note_batches(state: State, number: int, headers: Sequence[Header]) -> None:
    """An answer to a fetch has come: the lane may be fetched again.

    Where it brought only another word on a residue and there is nobody left to ask, the next
    question waits until this one's time has run out.
    """
    _note_late(state, number, headers)
    for header in headers:
        fetch = state.fetches.get(f"batches {header.lane}")
        if fetch is None or fetch.peer != number or header.height != fetch.above + 1:
            continue
        state.peers[number].patience = max(1, state.peers[number].patience // 2)
        state.lanes.lanes[header.lane].unmet.pop(number, None)
        claimants = state.claims.peers(header.lane, header.height)
        others = {each for each in state.peers_up() if not state.is_observer(each)}
        if not claimants or others - claimants:
            del state.fetches[f"batches {header.lane}"]


# --- what to fetch ---


def fetch_missing(state: State) -> None:
    """Ask for whatever is missing and not yet asked for."""
    if state.waits.fetch_due <= state.now.steady_ms:
        expire(state)  # now: where an input comes every ms, each would put the timer off
    _fetch_blocks(state)
    lanes, now = state.lanes, state.now.steady_ms
    missing = lanes.astray | state.wanted.keys()
    if _is_due(state):
        missing |= {number for number, at in lanes.pulls.items() if at <= now}
    for number in sorted(missing):
        _fetch_lane(state, lanes.lanes[number])
    if _is_due(state):
        _arm(state)


def _is_due(state: State) -> bool:
    """Whether a fetch or a pull may be due, or may be waited for that was not."""
    has_changed = state.fetches.has_changed or state.lanes.pulls.has_changed
    return has_changed or state.waits.fetch_due <= state.now.steady_ms


def _arm(state: State) -> None:
    """Find out when the next fetch is over or pull due, and set the timer for it."""
    fetches, pulls = state.fetches, state.lanes.pulls
    times = [fetch.until for fetch in fetches.values()]
    times += [at for number, at in pulls.items() if _key(number) not in fetches]
    state.waits.fetch_due = min(times, default=NEVER)
    fetches.has_changed = pulls.has_changed = False
    if times:
        state.set_timer("fetch", max(state.waits.fetch_due, state.now.steady_ms + 1))
    else:
        state.cancel_timer("fetch")


def expire(state: State) -> None:
    """When a fetch is due: give up on peers that did not answer, and on what they hinted."""
    now = state.now.steady_ms
    for key in [key for key, fetch in state.fetches.items() if fetch.until <= now]:
        fetch = state.fetches.pop(key)
        if key.startswith("batches "):
            lane = state.lanes.lanes[int(key.removeprefix("batches "))]
            lane.ahead.pop(fetch.peer, None)
            if not fetch.for_block:
                lane.unmet[fetch.peer] = lane.unmet.get(fetch.peer, 0) + 1
            if fetch.peer in state.peers:
                peer = state.peers[fetch.peer]
                peer.overdue, peer.patience = 1, max(1, peer.patience // 2)


def _fetch_blocks(state: State) -> None:
    height = state.final.block.height
    if state.heard_final <= height or "blocks" in state.fetches:
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
    under_way = state.fetches.get(_key(lane.number))
    tip, holders = _needed(state, lane)
    for_block = tip is not None
    if under_way is not None and (under_way.for_block or tip in (None, under_way.tip)):
        return
    if tip is None:
        tip, holders = _hinted(state, lane)
    if tip is None:
        return
    above = state.lanes.held_above(tip)
    tip, holders = _unvouched(state, lane, above, tip, holders)
    message = FetchBatches(lane.number, above, tip)
    key = _key(lane.number)
    number = ask(state, key, message, holders) or ask(state, key, message, state.peers_up())
    if number:
        until = state.fetches[key].until
        state.fetches[key] = Fetch(number, until, above, tip, for_block)


def _key(lane: int) -> str:
    return f"batches {lane}"


def _needed(state: State, lane: Lane) -> tuple[Tip | None, list[int]]:
    """The tip of a lane that a block needs, and whom to ask."""
    if lane.final.hash not in state.lanes.held and not lane.on_branch(lane.final):
        return lane.final, []
    tip, number = state.wanted.get(lane.number, (None, None))
    return tip, [] if number is None else [number]


def _unvouched(
    state: State, lane: Lane, above: int, tip: Tip, holders: list[int]
) -> tuple[Tip, list[int]]:
    """What to ask of whom, where too few peers vouch for the residues of the next batch: those who
    have given nothing of it, up to the last batch that one who has gave (in turn: one may lie)."""
    claimants = sorted(state.claims.peers(lane.number, above + 1))
    if not claimants:
        return tip, holders
    claimant = claimants[state.now.steady_ms // 7 % len(claimants)]
    highest = state.claims.highest(lane.number, claimant)
    if highest is not None and highest[0] < tip.height:
        tip = Tip(lane.number, *highest)
    asked = (each for each in state.peers_up() if not state.is_observer(each))
    return tip, [number for number in asked if number not in claimants]


def _hinted(state: State, lane: Lane) -> tuple[Tip | None, list[int]]:
    """A tip of a lane that was hinted and did not come, and who hinted it: the highest that is
    hinted by those who have least often hinted what they did not give. (Liars hint high, and hint
    again; each of them takes its turn once before it comes behind all who gave.)"""
    pulls, now = state.lanes.pulls, state.now.steady_ms
    if lane.number not in pulls or pulls[lane.number] > now:
        return None, []
    # Who gave batches of a later epoch would give them again: they are of no use before it begins.
    up = set(state.peers_up())
    ahead = [n for n in lane.ahead if n in up and lane.early.get(n, 0) <= state.lane_epoch]
    del pulls[lane.number]
    if not ahead and any(lane.early.get(each, 0) > state.lane_epoch for each in lane.ahead):
        pulls[lane.number] = now + state.config.timing.fetch_retry_ms
    if not ahead or lane.bytes >= state.config.limits.lane_bytes_max:
        return None, []
    pulls[lane.number] = now + state.config.timing.fetch_retry_ms
    least = min(lane.unmet.get(number, 0) for number in ahead)
    ahead = [number for number in ahead if lane.unmet.get(number, 0) == least]
    tip = max((lane.ahead[number] for number in ahead), key=lambda each: each.height)
    return tip, [number for number in ahead if lane.ahead[number] == tip]


def ask(state: State, key: str, message: Message, holders: list[int], *, above: int = 0) -> int:
    """Send a fetch to one of the peers whose links stand, in turn; its number, or 0 for none."""
    up = [number for number in holders if number in state.peers and state.peers[number].up]
    if not up:
        return 0
    number = sorted(up)[(state.now.steady_ms // 7 + sum(key.encode())) % len(up)]
    patience = state.peers[number].patience if key.startswith("batches ") else 1
    wait_ms = state.config.timing.fetch_retry_ms * patience
    state.fetches[key] = Fetch(number, state.now.steady_ms + wait_ms, above)
    state.emit(Send(number, message))
    return number


def fetch_views(state: State, views: tuple[int, int], number: int | None) -> None:
    """Ask for certificates of views, of the peer that should have them or of anyone."""
    if "views" in state.fetches:
        return
    message = FetchViews(state.epoch, views[0], views[1])
    last = min(views[1], views[0] + state.config.limits.views_per_answer_max)
    holders = state.peers_up() if number is None else [number]
    if not ask(state, "views", message, holders, above=last):
        ask(state, "views", message, state.peers_up(), above=last)
