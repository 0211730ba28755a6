"""A new store: what a node does not sign before it knows that it has signed nothing else.

A store is new because the platform starts for the first time, or because the old one was lost, and
with it the memory of what was signed. A new store begins with the row `Kn` (`mark_new`); while it
stands the node is *silent*: it neither proposes nor votes, and at first seals nothing. It follows,
fetches, executes and cosigns as always (a cosignature of a final block conflicts with no other).

A peer is *settled* once this node has executed the height that the peer's status claimed as final
(so that nobody can exaggerate it) and holds the batch of its own lane that the status names, and
whatever the peer has hinted of that lane since. That an answer does not come settles nothing: the
batch is asked for again.

1. Once q − 1 peers are settled, and all whose links stand are (or `silence_ms` have passed, for a
   liar may never settle), the node knows its own lane, and may seal. If that lane is empty,
   it has never taken part (a live node's lane moves with time, consensus.gate): the silence ends.
2. Else it may have forgotten votes, up to the latest epoch that it could have begun by what a
   settled peer has final: that of the next height (where that is E, this node may have seen E's q
   cosignatures before the peer). The row keeps that epoch; the silence is over when the next one
   begins.

Where nobody else votes (q = 1) there is nobody to ask, and no silence.

This is less than the amnesia rule of DESIGN section 5 (consensus.safety): where the q − 1 that are
settled are liars and such as are far behind, it can know neither the newest epoch nor the newest
own batch, which only the others have seen.
"""

from typing import Final

from consensus.effects import Persist
from consensus.lanes import Lane
from consensus.messages import Status
from consensus.state import Silence, State
from ledger.block import Tip
from ledger.encoding import Uint, Value, encode
from ledger.genesis import epoch_of
from ledger.rows import read_row
from ledger.store import CONSENSUS, Changes, Reader

NEW: Final = CONSENSUS + b"n"
TIMER: Final = "silence"


class SilenceRow(Value):
    """`through`: the last epoch without votes; nil while q − 1 peers are not settled."""

    through: Uint | None


def mark_new() -> Changes:
    """What a new store begins with."""
    return {NEW: encode(SilenceRow(None))}


def read(reader: Reader) -> Silence | None:
    """The silence of a store, if its row stands."""
    row = read_row(reader, SilenceRow, NEW)
    return None if row is None else Silence(row.through)


def hear(state: State, number: int, status: Status) -> None:
    """Upon a peer's status."""
    if state.silence is not None and state.silence.through is None:
        own = next((tip for tip in status.tips if tip.lane == state.config.me), None)
        state.silence.heard[number] = (status.final_height, own)


def may_seal(state: State) -> bool:
    """Whether the node knows its own lane."""
    return state.silence is None or state.silence.through is not None


def end(state: State) -> bool:
    """End the silence, or its first part, if it is time; True if something changed."""
    silence = state.silence
    if silence is None:
        return False
    if silence.through is None:
        return _settle(state, silence)
    if state.epoch <= silence.through:
        return False
    _speak(state)
    return True


def _settle(state: State, silence: Silence) -> bool:
    own = state.lanes.lanes[state.config.me]
    _chase(state, silence, own)
    settled = {
        number: height
        for number, (height, tip) in silence.heard.items()
        if number not in own.ahead and _holds(state, own, tip) and height <= state.executed_height
    }
    if len(settled) < state.seats.quorum - 1 or not own.on_branch(own.final):
        return False
    if not settled.keys() >= set(state.peers_up()) and not _waited(state, silence):
        return False
    state.cancel_timer(TIMER)
    if not settled or not own.top.height:
        _speak(state)
        return True
    next_height = max(settled.values()) + 1
    silence.through = epoch_of(next_height, state.config.bounds.epoch_blocks)
    state.emit(Persist({NEW: encode(SilenceRow(silence.through))}))
    return True


def _holds(state: State, own: Lane, tip: Tip | None) -> bool:
    return tip is None or tip.height <= own.final.height or tip.hash in state.lanes.held


def _chase(state: State, silence: Silence, own: Lane) -> None:
    """Ask once more for own batches that were named and did not come, of all who named them."""
    if own.ahead:
        return
    for number, (_, tip) in silence.heard.items():
        if tip is not None and not _holds(state, own, tip):
            state.lanes.hint(number, tip)
            own.wanted_at = (
                own.wanted_at or state.now.steady_ms + state.config.timing.fetch_delay_ms
            )


def _waited(state: State, silence: Silence) -> bool:
    if silence.until is None:
        silence.until = state.now.steady_ms + state.config.timing.silence_ms
        state.set_timer(TIMER, silence.until)
    return state.now.steady_ms >= silence.until


def _speak(state: State) -> None:
    state.silence = None
    state.waits.view_waited = 0  # the view's time may have run out unused
    state.emit(Persist({NEW: None}))
