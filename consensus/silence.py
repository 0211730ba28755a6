"""Silence: a node signs nothing before its peers have said what they hold signed by it.

A store can have forgotten what was signed: it was lost, restored from a backup, cut off by a disk
that lied, or copied to a second machine. So every start is *silent* (`State.silence`): the node
follows, fetches, executes, hints and answers; it seals no batch, proposes nothing, votes for
nothing and cosigns nothing. `recall` asks the peers and ends the silence; this module holds what
the rest needs: the row, whether the node may sign, and what its store knows.

**What the store knows** of own signatures (`knows_vote`, `knows_batch`, `knows_cosignature`) is
measured against the start, not against what was learned from others since: a vote of an epoch and
view up to that of the newest finalization at the start (rows of such views are gone, and nothing is
signed in them again), one whose row stood at the start, or one that was signed since; a batch whose
`H` row stands; a cosignature up to the height that was executed or certified at the start, or made
since. Whatever a node has sent stood in a row before (consensus.safety), so a store that lost
nothing knows everything that anyone can show.

**Forgotten.** The first thing that is shown under an own signature and that the store does not know
(in an answer, in a certificate, as a batch of the own lane; at any time) ends all signing for good:
row `Kn` with what was shown and under which vote key, before anything else is done; then the effect
`Forgotten`. Those keys never sign again, whatever happens to the store later; the node follows as
an observer, until an epoch's set names it with new keys (a rotation): they begin as after a start.

**Where f = 0** (n ≤ 3) a quorum is everybody, and a network whose one member never signs again
would be dead. There the votes that are shown are taken over instead (`recall`): all others hold
everything that can ever count, and nothing becomes final or certified meanwhile.

Row `Kn`: [what was shown, or nil; vote key, or nil], with a new store (`mark_new`) and with a
forgotten signature. A new store's node has signed nothing: it removes the row when it begins to
sign."""

from typing import Final

from consensus import safety
from consensus.certificate import KIND_NAMES, Certificate
from consensus.config import Keys
from consensus.effects import Forgotten
from consensus.messages import Vote
from consensus.state import Silence, State
from ledger.encoding import Hash, Small, Uint, Value, encode
from ledger.rows import header_key, read_row
from ledger.store import CONSENSUS, Changes, Reader

NEW: Final = CONSENSUS + b"n"

BATCH: Final = 4
COSIGNATURE: Final = 5
_NAMES: Final = (*KIND_NAMES, "batch", "cosignature")
"""What can be forgotten, by number: kinds of consensus.certificate, then these two."""


class Shown(Value):
    """What a peer (0: the ledger itself) showed under an own signature. `slot`: the view, or the
    batch's or checkpoint's height; `epoch`: 0 for a cosignature."""

    what: Small
    epoch: Uint
    slot: Uint
    peer: Uint


class SilenceRow(Value):
    """`shown`, `key`: nil while the store is only new."""

    shown: Shown | None
    key: Hash | None


def mark_new() -> Changes:
    """What a new store begins with."""
    return {NEW: encode(SilenceRow(None, None))}


def read(reader: Reader, keys: Keys | None) -> Silence:
    """The silence that a start begins with, or the first epoch of other keys."""
    row = read_row(reader, SilenceRow, NEW)
    reason = ""
    if row is not None and row.shown is not None and keys and keys.vote.public == row.key:
        reason = describe(row.shown)
    return Silence(new=row is not None, reason=reason)


def describe(shown: Shown) -> str:
    """What was forgotten, for people."""
    where = f"epoch {shown.epoch}, " if shown.epoch else ""
    slot = "height" if shown.what >= BATCH else "view"
    who = f"platform {shown.peer}" if shown.peer else "the ledger"
    return (
        f"{who} shows a {_NAMES[shown.what]} of {where}{slot} {shown.slot} that "
        "these keys signed and this store does not know: the store was lost, restored or copied"
    )


def may_sign(state: State) -> bool:
    """Whether the node may sign at all: it is a member of this epoch, and not silent."""
    return state.silence is None and state.keys is not None


def may_seal(state: State) -> bool:
    """Whether it may seal batches: not once it is known that its lane key's time is over."""
    seat = state.lane_seats.by_number.get(state.config.me)
    keys = state.keys
    return (
        may_sign(state)
        and keys is not None
        and seat is not None
        and (seat.lane_key == keys.lane.public)
    )


def has_forgotten(state: State) -> bool:
    """Whether its keys never sign again."""
    return state.silence is not None and bool(state.silence.reason)


def takes_over(state: State) -> bool:
    """Whether what others show is taken over (f = 0) and ends no signing."""
    return state.seats.quorum == len(state.seats.numbers)


def forget(state: State, shown: Shown) -> None:
    """An own signature that the store does not know was shown: sign nothing, for good."""
    if has_forgotten(state) or takes_over(state):
        return
    reason = describe(shown)
    new = state.silence is not None and state.silence.new
    state.silence = Silence(new=new, reason=reason)
    key = state.keys.vote.public if state.keys is not None else None
    state.persist({NEW: encode(SilenceRow(shown, key))})
    state.emit(Forgotten(reason))


def look_below(state: State) -> None:
    """Upon a start with a new store that has a ledger (a snapshot's): a batch of the own lane in
    it, under the key that is held, was sealed by a store that is gone. (Nothing is voted for before
    a batch is sealed.)"""
    lane, keys = state.lanes.get(state.config.me), state.keys
    if state.silence is None or not state.silence.new or lane is None or keys is None:
        return
    if not lane.base.height:  # of what is executed; what is only final may not be here yet
        return
    seat = state.sets.need(lane.base_epoch).by_number.get(state.config.me)
    if seat is not None and seat.lane_key == keys.lane.public:
        forget(state, Shown(BATCH, lane.base_epoch, lane.base.height, 0))


# --- what the store knows ---


def knows_vote(state: State, kind: int, epoch: int, view: int, hash_: bytes) -> bool:
    """Whether the store knows an own vote or proposal (whose signature holds)."""
    memory, at = state.memory, (epoch, view)
    if at <= memory.floor or (kind, epoch, view, hash_) in memory.votes:
        return True
    if memory.signs_above is None or at <= memory.signs_above or epoch > state.epoch:
        return False
    if at <= (state.epoch, state.final_view):
        return True  # its row may have gone since
    round_ = state.rounds.get(view)
    if round_ is None:
        return False
    if kind:
        own = round_.own.get(kind)
        return own is not None and own.hash == hash_
    return round_.hash == hash_


def knows_batch(state: State, height: int, hash_: bytes) -> bool:
    """Whether the store knows a batch of the own lane. (Others' copies of it come in only once its
    row stands, or where signing has ended.)"""
    if hash_ in state.lanes.held or state.reader.get(header_key(hash_)) is not None:
        return True
    lane = state.lanes.get(state.config.me)
    return lane is not None and height <= lane.base.height and hash_ == lane.base.hash


def knows_cosignature(state: State, height: int) -> bool:
    """Whether the store knows a cosignature of a height. (Of one height there is one result: where
    two were signed, that is evidence, and no question of memory.)"""
    memory = state.memory
    if height <= memory.cosigned or height in state.checkpoints.own:
        return True
    return memory.cosigns_above is not None and (
        memory.cosigns_above < height <= state.executed_height
    )


# --- what comes by itself ---


def look(state: State, peer: int, certificate: Certificate) -> None:
    """Upon a certificate that holds: is the own signature under it known?"""
    me = state.config.me
    for each in certificate.signatures:
        if each.number == me and state.keys is not None:
            kind, hash_ = certificate.kind, certificate.hash
            vote = Vote(kind, certificate.epoch, certificate.view, hash_, each.signature, False)
            note_vote(state, peer, vote)


def note_vote(state: State, peer: int, vote: Vote) -> None:
    """Upon an own vote whose signature holds: nothing, if it is known; else forget, or take over
    what counts in this epoch."""
    if has_forgotten(state) or knows_vote(state, vote.kind, vote.epoch, vote.view, vote.hash):
        return
    if not takes_over(state):
        forget(state, Shown(vote.kind, vote.epoch, vote.view, peer))
    elif vote.epoch == state.epoch and vote.view > state.final_view:
        _take_over(state, vote)


def _take_over(state: State, vote: Vote) -> None:
    round_ = state.round(vote.view)
    if vote.kind in round_.own:
        return
    round_.own[vote.kind] = vote
    round_.tallies[vote.kind].add(state.config.me, vote.hash, vote.signature)
    state.memory.votes.add((vote.kind, vote.epoch, vote.view, vote.hash))
    key = safety.vote_key(vote.epoch, vote.view, vote.kind)
    state.rows.setdefault(vote.view, []).append(key)
    state.persist({key: encode(safety.VoteRow(vote.hash, vote.signature))})
