"""Simplex over cuts: the state machine of a node's consensus.

    handle(state, input, now) -> (state, effects)

The protocol, view by view (the rules stand in the modules named, each as a small function):

1. The leader of view v proposes a block: its parent, and per lane the highest batch that it holds
   and q hints cover (`pacing.propose`, `proposals`).
2. A node notarizes a proposal whose parent is justified and whose batches are all held and durable
   (`pacing.notarize`, `proposals.judge`). q votes notarize the block and open view v + 1.
3. It then finalizes, unless it has nullified v (`rounds.vote_finalize`). q votes make the block and
   its ancestors final (`finality`).
4. When the view's time runs out it nullifies, unless it has finalized (`pacing.on_view_timer`). q
   votes open view v + 1.
5. Final blocks are executed in order and their checkpoints cosigned (`finality`, `cosign`); epochs
   follow each other (`epochs`, `finality.begin_epoch`).

`seating` follows the sets from epoch to epoch. Everything else brings nodes together: `gate` and
`lanes` (batches, hints), `sync` (status, fetches), `serving` (answers), `pacing` (work waits,
timers, sending again), `safety` (what is durable before what).

The caller hands the state over: `handle` changes it in place and returns it. Nothing else is kept,
no clock is read, nothing is sent or written but through the returned effects, in their order. A
peer's bad message yields `Refuse` and never an exception. Once halted, a node does nothing more.
"""

from collections.abc import Callable

from consensus import cosign, finality, gate, pacing, recall, rounds, seating, serving, sync
from consensus.certificate import FINALIZE, NULLIFY
from consensus.config import Config, Head
from consensus.effects import Effect
from consensus.epochs import epoch_end
from consensus.inputs import Executed, Input, LinkDown, LinkUp, Now, Received, SealBatch, TimerFired
from consensus.messages import (
    Answer,
    Batches,
    Blocks,
    CertificateMessage,
    CheckpointMessage,
    Cosignature,
    FetchBatches,
    FetchBlocks,
    FetchViews,
    Hint,
    Message,
    Proposal,
    Question,
    RemainsMessage,
    Status,
    Vote,
)
from consensus.restart import rebuild
from consensus.state import Peer, State
from ledger.batch import Batch
from ledger.genesis import epoch_of
from ledger.store import Reader


def restore(
    config: Config, reader: Reader, head: Head, now: Now
) -> tuple[State, tuple[Effect, ...]]:
    """The state after a start, from durable rows alone (consensus.restart), and the first effects.

    Raises:
        StoreDamaged: rows are missing or contradict each other.
    """
    state = rebuild(config, reader, head, now)
    recall.begin(state)
    rounds.count_own(state)
    checkpoints = state.checkpoints
    for own in list(checkpoints.own.values()):
        cosign.count(state, config.me, own)
    if head.height > checkpoints.certified and head.height not in checkpoints.own:
        cosign.executed(state, head.height, head.size, head.root)
    advance(state)
    return state, tuple(state.out)


def handle(state: State, given: Input, now: Now) -> tuple[State, tuple[Effect, ...]]:
    """Take one input; the effects are to be carried out in their order (consensus.effects)."""
    if state.halted:
        return state, ()
    state.now = now
    state.out = []
    _take(state, given)
    advance(state)
    return state, tuple(state.out)


def _take(state: State, given: Input) -> None:
    match given:
        case Received(peer, message):
            if peer in state.peers:
                receive(state, peer, message)
            else:
                state.refuse(peer, "unknown_peer")
        case SealBatch(submissions):
            gate.seal(state, submissions)
        case Executed():
            finality.executed(state, given)
        case TimerFired(timer):
            _fire(state, timer)
        case LinkUp(peer, observes):
            if _admits(state, peer):
                state.peers[peer].observes = observes
                sync.on_link_up(state, peer)
                recall.on_link_up(state, peer)
        case LinkDown(peer):
            if peer in state.peers:
                sync.on_link_down(state, peer)


def _admits(state: State, number: int) -> bool:
    """Whether a link is known: a member's, or (so many) another's that the node let in."""
    room = len(state.peers) < state.config.limits.peers_max
    if number not in state.peers and number != state.config.me and room:
        state.peers[number] = Peer()
    return number in state.peers


def _fire(state: State, timer: str) -> None:
    at = state.waits.armed.get(timer)
    if at is None or at > state.now.steady_ms:
        return
    del state.waits.armed[timer]
    match timer:
        case "view":
            pacing.on_view_timer(state)
        case "resend":
            pacing.on_resend_timer(state)
        case "fetch":
            sync.expire(state)
        case "missed":
            sync.ask_missed(state)
        case "silence":
            recall.on_timer(state)
        case _:
            pass


_RULES: tuple[Callable[[State], bool], ...] = (
    finality.finalize,
    finality.execute,
    recall.end,
    seating.reseal,
    rounds.vote_finalize,
    pacing.notarize,
    pacing.propose,
)


def advance(state: State) -> None:
    """Apply every rule until none applies, then see to what is missing and to the timers."""
    state.wanted.clear()
    while not state.halted:
        if finality.begin_epoch(state):
            recall.begin_epoch(state)
            _take_buffered(state)
            sync.begin_epoch(state)
        elif not any(rule(state) for rule in _RULES):
            break
    if state.halted:
        return
    gate.send_hints(state)
    _chase_blocks(state)
    sync.fetch_missing(state)
    pacing.arm(state)
    recall.arm(state)


def _take_buffered(state: State) -> None:
    """Take the votes and proposals that came before this epoch began here."""
    for number, peer in state.peers.items():
        messages, peer.next_epoch = peer.next_epoch, []
        for message in messages:
            receive(state, number, message)


def _chase_blocks(state: State) -> None:
    """Ask for the block of a finalization, or for its ancestors, if they are not known."""
    for view, round_ in state.rounds.items():
        if FINALIZE in round_.certificates and view > state.final_view:
            sync.fetch_views(state, (state.final_view + 1, view), None)
            return


# --- messages ---


def receive(state: State, peer: int, message: Message) -> None:
    """Upon a message of an authenticated peer. What only a member can say counts for nothing from
    others; whoever asks or is behind is answered."""
    match message:
        case Vote():
            _on_vote(state, peer, message)
        case Batches() | RemainsMessage():
            _on_batches(state, peer, message)
        case Hint():
            gate.note_hint(state, peer, message)
        case Proposal():
            _on_proposal(state, peer, message)
        case Cosignature():
            _on_cosignature(state, peer, message)
        case CertificateMessage():
            _on_certificate(state, peer, message)
        case CheckpointMessage():
            cosign.take_row(state, peer, message.row)
        case FetchBatches():
            serving.serve_batches(state, peer, message)
        case FetchViews():
            serving.serve_views(state, peer, message)
        case FetchBlocks():
            serving.serve_blocks(state, peer, message)
        case Blocks():
            sync.receive_blocks(state, peer, message)
        case Status():
            sync.receive_status(state, peer, message)
        case Question():
            serving.serve_question(state, peer, message)
        case Answer():
            recall.receive(state, peer, message)


def _on_batches(state: State, peer: int, message: Batches | RemainsMessage) -> None:
    for each in message.batches:
        gate.receive(state, peer, each if isinstance(each, Batch) else each.opened())
    sync.note_batches(state, peer, [each.header for each in message.batches])


def _on_vote(state: State, peer: int, vote: Vote) -> None:
    asks = vote.again or vote.kind == NULLIFY
    current = _is_current(state, peer, vote, vote.epoch, vote.view, asks=asks)
    if current and state.is_member(peer):
        rounds.receive_vote(state, peer, vote)


def _on_proposal(state: State, peer: int, proposal: Proposal) -> None:
    block = proposal.block
    current = _is_current(state, peer, proposal, block.epoch, block.view, asks=proposal.again)
    if current and state.is_member(peer):
        rounds.receive_proposal(state, peer, proposal)


def _is_current(
    state: State, peer: int, message: Vote | Proposal, epoch: int, view: int, *, asks: bool
) -> bool:
    """Whether a vote or proposal still counts; answers who is behind, keeps what is early."""
    if epoch > state.epoch:
        _note_later_epoch(state, peer, epoch)
        waiting = state.peers[peer].next_epoch
        room = len(waiting) < state.config.limits.next_epoch_messages_max
        if epoch == state.epoch + 1 and room:
            waiting.append(message)
        else:
            sync.note_missed(state, peer, epoch)
        return False
    if asks and (epoch < state.epoch or view < state.view):
        serving.answer(state, peer, epoch, view)
    if epoch < state.epoch or view <= state.final_view:
        return False
    return view <= state.view + state.config.limits.views_ahead_max


def _note_later_epoch(state: State, peer: int, epoch: int) -> None:
    """A peer speaks of a later epoch: it has that epoch's predecessor's last block."""
    state.hear_final(peer, epoch_end(state.config, epoch - 1))


def _on_certificate(state: State, peer: int, message: CertificateMessage) -> None:
    certificate = message.certificate
    if certificate.epoch > state.epoch:
        _note_later_epoch(state, peer, certificate.epoch)
        sync.note_missed(state, peer, certificate.epoch)
        return
    if certificate.epoch < state.epoch or certificate.view <= state.final_view:
        return
    if certificate.kind == FINALIZE and message.block is not None:
        state.hear_final(peer, message.block.height)
    rounds.receive_certificate(state, peer, message)


def _on_cosignature(state: State, peer: int, cosignature: Cosignature) -> None:
    if cosignature.height > state.checkpoints.certified:
        cosign.receive(state, peer, cosignature)
        return
    cosign.compare(state, peer, cosignature)
    if cosignature.again:
        epoch = epoch_of(cosignature.height, state.config.bounds.epoch_blocks)
        serving.answer(state, peer, max(1, epoch), state.view)
