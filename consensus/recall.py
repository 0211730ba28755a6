"""Recall: after every start, and before the first signature, asking what was signed before it.

    question [14, start]      to every peer whose link stands; `start`: the wall clock at the start
    answer   [15, start, epoch, final view, final height, headers, proposals, votes, cosignature]

Upon an answer to this start's question: whatever in it carries an own signature (checked with the
own keys; the rest is ignored) and is not known to the store ends all signing (`silence.forget`).
The silence ends, and the node signs, once

1. q − 1 peers have answered (they answer whether or not they may sign themselves); with a *new*
   store all peers whose links stand, or `silence_ms` have passed since (a liar need not answer);
2. the own lane is held up to its final tip and up to every batch that an answer showed.

A peer whose link comes up later is asked too, as long as the node runs: what it shows can still end
all signing. Questions are repeated every `fetch_retry_ms` while they are not answered and the node
is silent.

**Why q − 1.** It is as many as can be waited for, and with the node itself a quorum: they share
n − 2f validators with any quorum that an own vote has been part of. A store that was set back makes
its node one of the f faulty until its keys are silent, and the others are safe with that, as
always. Wherever one honest node of those asked holds anything newer, the node signs nothing in
between, and stores can be set back at more than f nodes, one after the other, without a fork. What
only liars or those who are away hold can become evidence against the node that signed it and lost
its store.

**Where f = 0** all others have to answer, from a standing (epoch, final view, final height) that
this node has reached; asking is repeated until they have. Votes and proposals that they show are
taken over as if their rows had stood. An answer comes after everything that came from this node's
earlier life: a peer takes messages of one link in their order, and drops what is left of an older
link when a new one stands. Those of the next epoch are kept until it begins.

Where nobody else votes (q = 1) there is nobody to ask, and no silence.
"""

from collections.abc import Iterator
from typing import Final

from consensus import cosign, silence
from consensus.certificate import PROPOSE, statement_message
from consensus.config import Keys
from consensus.effects import Send
from consensus.gate import is_void
from consensus.messages import Answer, Cosignature, Proposal, Question, Vote
from consensus.rounds import keep_proposal
from consensus.silence import BATCH, COSIGNATURE, Shown
from consensus.state import Answered, Memory, State
from ledger.batch import header_hash, header_message
from ledger.block import Tip, block_hash
from ledger.checkpoint import Checkpoint, cosignature_message
from ledger.rows import HeaderRow

TIMER: Final = "silence"


def begin(state: State) -> None:
    """Upon the start: remember what the store knows, and be silent."""
    votes = {
        (vote.kind, vote.epoch, vote.view, vote.hash)
        for round_ in state.rounds.values()
        for vote in round_.own.values()
    }
    for view, round_ in state.rounds.items():
        if round_.hash is not None and state.leader(view) == state.config.me:
            votes.add((PROPOSE, state.epoch, view, round_.hash))
    floor = state.epoch, state.final_view
    start = max(0, state.now.wall_ms)
    cosigned = max(state.executed_height, state.checkpoints.certified)
    state.memory = Memory(start, floor, cosigned, votes)
    state.silence = silence.read(state.reader, state.keys)
    silence.look_below(state)
    if state.seats.quorum == 1 and state.keys is not None:
        _speak(state)


def begin_keys(state: State) -> None:
    """Upon an epoch in which other keys sign, or none: as after a start, for these keys."""
    start = max(state.now.wall_ms, state.memory.start + 1)
    begin(state)
    state.memory.start = start
    for number in _missing(state):
        state.emit(Send(number, Question(start)))


# --- asking ---


def on_link_up(state: State, number: int) -> None:
    """Upon a new link: ask, unless this peer has answered."""
    if (
        state.keys is not None
        and not silence.has_forgotten(state)
        and number not in state.memory.answered
    ):
        state.emit(Send(number, Question(state.memory.start)))


def on_timer(state: State) -> None:
    """Ask those again whose answers are still needed."""
    if state.silence is not None:
        state.memory.ask_at = None
        for number in _missing(state):
            state.emit(Send(number, Question(state.memory.start)))


def _missing(state: State) -> Iterator[int]:
    """The linked peers whose answers are still needed."""
    if state.silence is None or state.silence.reason or state.keys is None:
        return
    for number, peer in state.peers.items():
        if peer.up and state.is_member(number) and not _serves(state, number):
            yield number


def _is_missing(state: State) -> bool:
    return next(_missing(state), None) is not None


def _serves(state: State, number: int) -> bool:
    """Whether a peer has answered, and (f = 0) from where this node stands."""
    answered = state.memory.answered.get(number)
    if answered is None or not silence.takes_over(state):
        return answered is not None
    return answered.taken_in == state.epoch and (
        (answered.epoch, answered.final_view) <= (state.epoch, state.final_view)
        and answered.final_height <= state.executed_height
    )


def arm(state: State) -> None:
    """Set the timer that the silence needs, or forget it."""
    memory, now = state.memory, state.now.steady_ms
    times = []
    if _is_missing(state):
        memory.ask_at = memory.ask_at or now + state.config.timing.fetch_retry_ms
        times.append(memory.ask_at)
    if memory.until is not None and state.silence is not None and not state.silence.reason:
        times.append(max(memory.until, now + 1))
    if times:
        state.set_timer(TIMER, min(times))
    else:
        state.cancel_timer(TIMER)


# --- answers ---


def receive(state: State, number: int, answer: Answer) -> None:
    """Upon an answer."""
    keys = state.keys
    if keys is None or answer.start != state.memory.start or silence.has_forgotten(state):
        return
    for row in answer.headers:
        _take_header(state, keys, number, row)
    for proposal in answer.proposals:
        _take_proposal(state, keys, number, proposal)
    for vote in answer.votes:
        if _is_own_vote(state, keys, vote):
            _take_vote(state, number, vote)
    if answer.cosignature is not None:
        _take_cosignature(state, keys, number, answer.cosignature)
    state.memory.answered[number] = Answered(
        answer.epoch, answer.final_view, answer.final_height, state.epoch
    )


def _take_header(state: State, keys: Keys, number: int, row: HeaderRow) -> None:
    config, header = state.config, row.header
    if header.lane != config.me or not config.verify(
        keys.lane.public,
        header_message(config.chain, header),
        row.signature,
    ):
        return
    if is_void(state, header):
        return  # it stands nowhere any more, nor can it
    hash_ = header_hash(config.chain, header)
    if not silence.knows_batch(state, header.height, hash_):
        silence.forget(state, Shown(BATCH, header.epoch, header.height, number))
    if state.silence is not None:
        state.memory.shown[hash_] = number, Tip(config.me, header.height, hash_)


def _is_own_vote(state: State, keys: Keys, vote: Vote) -> bool:
    config = state.config
    message = statement_message(config.chain, vote.kind, vote.epoch, vote.view, vote.hash)
    return config.verify(keys.vote.public, message, vote.signature)


def _take_vote(state: State, number: int, vote: Vote) -> None:
    if vote.epoch > state.epoch and silence.takes_over(state):
        state.memory.later.append((number, vote))
    else:
        silence.note_vote(state, number, vote)


def _take_proposal(state: State, keys: Keys, number: int, proposal: Proposal) -> None:
    config, block = state.config, proposal.block
    hash_ = block_hash(config.chain, block)
    message = statement_message(config.chain, PROPOSE, block.epoch, block.view, hash_)
    if not config.verify(keys.vote.public, message, proposal.signature):
        return
    if silence.knows_vote(state, PROPOSE, block.epoch, block.view, hash_):
        return
    if not silence.takes_over(state):
        silence.forget(state, Shown(PROPOSE, block.epoch, block.view, number))
    elif block.epoch > state.epoch:
        state.memory.later.append((number, proposal))
    elif block.epoch == state.epoch and block.view > state.final_view:
        round_ = state.round(block.view)
        if round_.proposal is None:
            keep_proposal(state, round_, proposal, hash_)


def _take_cosignature(state: State, keys: Keys, number: int, cosignature: Cosignature) -> None:
    config, height = state.config, cosignature.height
    text = Checkpoint(config.origin, cosignature.size, cosignature.root).text()
    message = cosignature_message(cosignature.time_s, text)
    key = keys.cosigner.public
    if config.verify(key, message, cosignature.signature) and not silence.knows_cosignature(
        state, height
    ):
        silence.forget(state, Shown(COSIGNATURE, 0, height, number))


def begin_epoch(state: State) -> None:
    """Upon a new epoch: take over what was shown of it before it began here (f = 0)."""
    later, state.memory.later = state.memory.later, []
    keys = state.keys
    if keys is None:
        return
    for number, message in later:
        if isinstance(message, Vote):
            _take_vote(state, number, message)
        else:
            _take_proposal(state, keys, number, message)


# --- the end ---


def end(state: State) -> bool:
    """End the silence if it is time; True if it did."""
    if state.silence is None or state.silence.reason or state.keys is None:
        return False
    needed = state.seats.quorum - 1
    if len(state.memory.answered) < needed:
        return False
    heard = sum(_serves(state, number) for number in state.peers if state.is_member(number))
    if heard < needed or not _holds_lane(state):
        return False
    if state.silence.new and _is_missing(state) and not _waited(state):
        return False
    _speak(state)
    return True


def _holds_lane(state: State) -> bool:
    """Whether the own lane is held as far as it is known; asks for what is missing."""
    own = state.lanes.lanes[state.config.me]
    missing = [
        (number, tip)
        for number, tip in state.memory.shown.values()
        if tip.height > own.base.height and tip.hash not in state.lanes.held
    ]
    for number, tip in missing:
        if not own.ahead:
            state.lanes.hint(number, tip)
            due = state.now.steady_ms + state.config.timing.fetch_delay_ms
            state.lanes.pull(own, due)
    return not missing and own.on_branch(own.final)


def _waited(state: State) -> bool:
    memory, now = state.memory, state.now.steady_ms
    if memory.until is None:
        memory.until = now + state.config.timing.silence_ms
    return now >= memory.until


def _speak(state: State) -> None:
    assert state.silence is not None, "only a silent node begins to sign"
    new, state.silence = state.silence.new, None
    memory, checkpoints = state.memory, state.checkpoints
    memory.signs_above = state.epoch, state.final_view
    memory.cosigns_above = checkpoints.certified
    memory.until = memory.ask_at = None
    memory.shown.clear()
    state.waits.view_waited = 0  # the view's time may have run out unused
    if new:
        state.persist({silence.NEW: None})
    cosign.cosign_all(state)
