"""When a node acts by itself: work that waits, the leader's pace, timers, sending again.

**Work waits** at a node while

- a tip that q hints report is not under its last final cut, or the last final block is executed and
  an erasure still lacks leaves, or a change of membership can bind at the epoch's end, for which
  only further blocks can help (and that block is less than 64 heights past the last certified
  checkpoint: else all must wait for that), or a notarized block is not final (*view work*: timers
  of views run, leaders propose, an unchanged cut if need be), or
- a final block lacks q cosignatures (own cosignatures are sent again; views cannot help it, so none
  are opened for it alone; nor does any view open once the epoch's last block is final).

Otherwise the node is silent, and no timer runs.

**Pace.** The leader of the current view proposes new tips at once if the newest proposal is
`block_interval_ms` old or `block_records` records wait, else when one of these comes true. With
nothing new it repeats its parent's cut `repeat_after_ms` after it entered the view.

**View timer.** A view in which view work waits is given `view_timeout_ms`, doubled by each
nullified view and halved by each final block; then the node nullifies it, unless it signed finalize
in it. A view whose leader is not linked here is given `leader_away_ms` at most, from when that is
noticed: no proposal can come. (Nullifying early is always safe, and the others judge for
themselves: who is linked with the leader goes on waiting, and q of those are a quorum.) But where
f + 1 notarize in it, it may come to something, for which this node's finalize vote may be needed:
then it says where it stands, so that who is ahead answers, and gives the view its whole time.

**Again.** Without progress for `resend_ms` (doubled each time to `resend_max_ms`), a node with work
waiting, or with a lane short of q hints, sends again: the newest notarization, its proposal and
votes of the current view, its finalize votes of views above the last final one (or its nullify
vote where such a view is notarized after all: the others may be final there, and learn from nothing
else that it is not), its newest cosignatures, its hints. A node that may not sign also sends its
status: who is ahead answers.
"""

from typing import TypeVar

import msgspec

from consensus import safety
from consensus.certificate import FINALIZE, NOTARIZE, NULLIFY
from consensus.effects import Broadcast
from consensus.epochs import ends_epoch
from consensus.messages import CertificateMessage, Cosignature, Hint, Proposal, Vote
from consensus.proposals import Verdict, best_parent, judge, make_block, next_tips, not_held
from consensus.rounds import sign_proposal, sign_vote
from consensus.silence import may_sign
from consensus.state import State
from consensus.sync import fetch_views, status_of
from ledger.hashing import ZERO_HASH

COSIGNATURES_AGAIN = 4

_Sent = TypeVar("_Sent", Proposal, Vote, Cosignature)


def view_work(state: State) -> bool:
    """Whether something waits that views can bring on."""
    if ends_epoch(state.config, state.epoch, state.final.block):
        return False
    limit = state.checkpoints.certified + state.config.limits.uncertified_heights_max
    room = state.final.block.height < limit
    if room and (state.lanes.uncut or erase_work(state) or change_work(state)):
        return True
    return any(round_.notarized is not None for round_ in state.rounds.values())


def erase_work(state: State) -> bool:
    """Whether leaves of an erasure wait for a further block: known once the last is executed."""
    return state.is_erasing and state.executed_height == state.final.block.height


def change_work(state: State) -> bool:
    """Whether a change of membership waits for the epoch's end, as of the last final block."""
    return state.is_changing and state.executed_height == state.final.block.height


def cosign_work(state: State) -> bool:
    """Whether a final block lacks q cosignatures."""
    return state.final.block.height > state.checkpoints.certified


def notarize(state: State) -> bool:
    """Vote for the current view's proposal, if the rules allow; else see to what is missing."""
    round_ = state.rounds.get(state.view)
    if round_ is None or round_.proposal is None or round_.invalid:
        return False
    if not may_sign(state) or not safety.may_notarize(round_):
        return False
    judged = judge(state, round_)
    leader = state.leader(state.view)
    if judged.verdict is Verdict.GOOD:
        assert round_.hash is not None, "a proposal has its hash"
        sign_vote(state, round_, NOTARIZE, round_.hash)
        return True
    if judged.verdict is Verdict.BAD:
        round_.invalid = True
        state.refuse(leader, "proposal_rule")
        return False
    source = None if leader == state.config.me else leader
    if judged.views is not None:
        fetch_views(state, judged.views, source)
    for tip in judged.tips:
        state.wanted[tip.lane] = (tip, source)
    return False


def propose(state: State) -> bool:
    """Propose in the current view, if this node leads it and something waits."""
    round_ = state.rounds.get(state.view)
    leads = state.leader(state.view) == state.config.me
    taken = round_ is not None and (round_.proposal is not None or NULLIFY in round_.own)
    if not leads or taken or not may_sign(state) or not view_work(state):
        state.cancel_timer("propose")
        return False
    parent = best_parent(state, state.view)
    if isinstance(parent, tuple):
        fetch_views(state, parent, None)
        return False
    basis = (state.view, parent.hash, tuple(lane.covered.height for lane in state.lanes))
    if state.planned is None or state.planned[0] != basis:
        missing = not_held(state, parent.cut)
        for tip in missing:
            state.wanted[tip.lane] = (tip, None)
        if missing:
            return False
        state.planned = (basis, *next_tips(state, parent))
    _, tips, records = state.planned
    limit = state.checkpoints.certified + state.config.limits.uncertified_heights_max
    if parent.block.height + 1 > limit:
        tips, records = (), 0
    due = _due_at(state, changed=bool(tips), records=records)
    if due > state.now.steady_ms:
        state.set_timer("propose", due)
        return False
    state.cancel_timer("propose")
    sign_proposal(state, make_block(state, parent, tips))
    return True


def _due_at(state: State, *, changed: bool, records: int) -> int:
    """When (steady ms) the leader may propose."""
    timing, waits = state.config.timing, state.waits
    if not changed:
        return waits.entered_at + timing.repeat_after_ms
    if records >= timing.block_records:
        return state.now.steady_ms
    return waits.proposed_at + timing.block_interval_ms


# --- timers ---


def arm(state: State) -> None:
    """Set the timers that the state calls for, and forget the others."""
    waits, now = state.waits, state.now.steady_ms
    working = view_work(state)
    if not working:
        waits.view_waited = 0
        state.cancel_timer("view")
    elif waits.view_waited != state.view:
        waits.view_waited, waits.view_ends = state.view, now + waits.view_timeout_ms
        state.set_timer("view", now + _view_ms(state))
    elif waits.armed.get("view", 0) > now + _view_ms(state):
        state.set_timer("view", now + _view_ms(state))
    if working or cosign_work(state) or state.lanes.is_short():
        if "resend" not in waits.armed:
            waits.progress = _progress(state)
            state.set_timer("resend", now + waits.resend_ms)
    else:
        waits.resend_ms = state.config.timing.resend_ms
        state.cancel_timer("resend")


def _view_ms(state: State) -> int:
    """How long the current view is given, at most, from now on."""
    leader, longest = state.leader(state.view), state.waits.view_timeout_ms
    peer = state.peers.get(leader)
    if leader == state.config.me or (peer is not None and peer.up) or _is_followed(state):
        return longest
    return min(longest, state.config.timing.leader_away_ms)


def _is_followed(state: State) -> bool:
    """Whether an honest node notarizes in the current view."""
    round_ = state.rounds.get(state.view)
    voters = 0 if round_ is None else len(round_.tallies[NOTARIZE].items())
    return voters >= state.seats.witnesses


def _progress(state: State) -> tuple[int, ...]:
    """What moves when all is well. While a view is open or cosignatures lack, batches count for
    nothing: under a steady load they would hide that a vote was lost."""
    is_open = view_work(state) or cosign_work(state)
    covered = 0 if is_open else sum(lane.covered.height for lane in state.lanes)
    certified = state.checkpoints.certified
    return state.epoch, state.view, state.final.block.height, certified, covered


def on_view_timer(state: State) -> None:
    """The current view's time has run out: nullify it, if the rules allow."""
    if state.waits.view_waited != state.view:
        return
    if _is_followed(state) and state.now.steady_ms < state.waits.view_ends:
        state.set_timer("view", state.waits.view_ends)
        state.emit(Broadcast(status_of(state)))
        return
    round_ = state.round(state.view)
    if may_sign(state) and safety.may_nullify(round_):
        sign_vote(state, round_, NULLIFY, ZERO_HASH)


def on_resend_timer(state: State) -> None:
    """Send again what may have been lost, if nothing moved since the timer was set."""
    waits, timing = state.waits, state.config.timing
    if waits.progress != _progress(state):
        waits.resend_ms = timing.resend_ms
        return
    waits.resend_ms = min(2 * waits.resend_ms, timing.resend_max_ms)
    if not may_sign(state):
        state.emit(Broadcast(status_of(state)))
    _send_votes_again(state)
    checkpoints = state.checkpoints
    for height in sorted(checkpoints.own)[-COSIGNATURES_AGAIN:]:
        state.emit(Broadcast(_again(checkpoints.own[height])))
    tips = tuple(lane.top for lane in state.lanes if lane.top.height > lane.final.height)
    if tips:
        state.emit(Broadcast(Hint(tips, True)))


def _send_votes_again(state: State) -> None:
    current = state.rounds.get(state.view)
    if current is not None and state.leader(state.view) == state.config.me and current.proposal:
        state.emit(Broadcast(_again(current.proposal)))
    for view in sorted(state.rounds, reverse=True):
        # Those who do not know the notarization are idle, and only this can wake them.
        found = state.rounds[view].certificates.get(NOTARIZE)
        if found is not None:
            state.emit(Broadcast(CertificateMessage(found, state.blocks.get(found.hash))))
            break
    votes = list(current.own.values()) if current else []
    for view in sorted(state.rounds, reverse=True):
        round_ = state.rounds[view]
        vote = round_.own.get(FINALIZE) or (round_.own.get(NULLIFY) if round_.notarized else None)
        if vote is not None and view != state.view:
            votes.append(vote)
    for vote in votes[: state.config.limits.resent_votes_max]:
        state.emit(Broadcast(_again(vote)))


def _again(message: _Sent) -> _Sent:
    return msgspec.structs.replace(message, again=True)
