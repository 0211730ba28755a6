"""What others may read of the state: pushback for intake, and where consensus stands for people."""

from dataclasses import dataclass
from typing import Final

from consensus import pacing
from consensus.state import State
from ledger.block import Tip

TIPS_WAIT: Final = "tips that a quorum holds are not final"
LEAVES_WAIT: Final = "leaves of an erasure wait for further blocks"
CHANGE_WAITS: Final = "a change of membership waits for the epoch's end"
COSIGNATURES_WAIT: Final = "a final block lacks cosignatures"


@dataclass(frozen=True, slots=True)
class Description:
    """Where a node's consensus stands. `waits`: what work waits, in words; empty when idle."""

    epoch: int
    view: int
    leader: int
    final_height: int
    final_hash: bytes
    executed_height: int
    certified_height: int
    tips: tuple[Tip, ...]
    final_tips: tuple[Tip, ...]
    peers_up: tuple[int, ...]
    view_timeout_ms: int
    evidence: int
    waits: tuple[str, ...]


def follows(state: State) -> bool:
    """Whether this node has certified what an honest peer among those linked had final. Who holds
    no keys may be linked with few, and has caught up when it has caught up with them. What peers
    say that only observe does not count: any number of them may be one party's."""
    others = (peer for number, peer in state.peers.items() if not state.is_observer(number))
    heights = sorted((peer.final_height for peer in others), reverse=True)
    heard = sum(height > 0 for height in heights)
    needed = state.seats.quorum - 1 if state.config.keys is not None else 1
    if not heights or heard < needed:
        return not heights
    return state.checkpoints.certified >= heights[min(state.seats.witnesses, heard) - 1]


def pending_records(state: State) -> int:
    """The own records that are sealed in batches and not under a final cut."""
    lane = state.lanes.get(state.config.me)
    if lane is None:
        return 0
    held = (state.lanes.held[hash_] for hash_ in lane.branch.values())
    pending = sum(each.header.count for each in held if each.header.height > lane.final.height)
    return pending + sum(each.header.count for each in state.void)


def describe(state: State) -> Description:
    """Where consensus stands now."""
    waits = []
    if state.lanes.uncut:
        waits.append(TIPS_WAIT)
    if pacing.erase_work(state):
        waits.append(LEAVES_WAIT)
    if pacing.change_work(state):
        waits.append(CHANGE_WAITS)
    if pacing.view_work(state) and not waits:
        waits.append("a notarized block is not final")
    if pacing.cosign_work(state):
        waits.append(COSIGNATURES_WAIT)
    return Description(
        epoch=state.epoch,
        view=state.view,
        leader=state.leader(state.view),
        final_height=state.final.block.height,
        final_hash=state.final.hash,
        executed_height=state.executed_height,
        certified_height=state.checkpoints.certified,
        tips=tuple(lane.top for lane in state.lanes),
        final_tips=tuple(lane.final for lane in state.lanes),
        peers_up=tuple(state.peers_up()),
        view_timeout_ms=state.waits.view_timeout_ms,
        evidence=len(state.evidence),
        waits=tuple(waits),
    )
