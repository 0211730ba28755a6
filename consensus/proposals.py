"""Blocks under way: which parent is justified, what a leader proposes, what a node votes for.

A *candidate* is a block of this epoch that extends the last final block through known blocks, and
keeps the shape rules: a child has its parent's height + 1 and tips of known lanes, ascending, each
higher than the parent's; a tail block (consensus.epochs) has E's height and time, no tips and E for
its parent.

**Justified.** In view v the parent P (of view p) is justified iff P is notarized, finalized or the
last final block, and every view between p and v is nullified. At the epoch's end, where P is E, a
view between may instead have a notarized tail block of the same E.

**Proposal.** The leader of v proposes on the newest notarized block that is justified. Per lane it
takes the highest batch that it holds and q hints cover, within the bounds of a cut.

**Vote.** A node notarizes a proposal iff it is in its view, its parent is justified, every tip
extends the parent's through held (so durable) batches, the cut keeps its bounds, the block time is
the one that follows from the cut, and, if it moves the cut, the height is at most 64 past the last
certified checkpoint.

    block time = max(parent's + 1, the (f+1)-th latest time of the validators' lane tips), in ms
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from consensus.epochs import ends_epoch
from consensus.lane import Held
from consensus.lanes import Path
from consensus.state import Candidate, Round, State
from ledger.block import Block, Tip


class Verdict(Enum):
    """What a node makes of a proposal."""

    GOOD = 1
    WAIT = 2
    """Something is missing that may come."""
    BAD = 3


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict; with WAIT, the views whose certificates and the tips whose batches are missing."""

    verdict: Verdict
    views: tuple[int, int] | None = None
    tips: tuple[Tip, ...] = ()


BAD = Judged(Verdict.BAD)


# --- candidates ---


def candidate_of(state: State, hash_: bytes) -> Candidate | None:
    """The candidate of a hash, if its ancestors down to the last final block are known."""
    chain: list[tuple[bytes, Block]] = []
    at = hash_
    while at not in state.candidates:
        if at == state.final.hash:
            break
        block = state.blocks.get(at)
        if block is None:
            return None
        chain.append((at, block))
        at = block.parent
    found = state.final if at == state.final.hash else state.candidates[at]
    for name, block in reversed(chain):
        cut = _cut_after(state, found, block)
        if cut is None:
            return None
        found = state.candidates[name] = Candidate(block, name, cut)
    return found


def _cut_after(state: State, parent: Candidate, block: Block) -> Mapping[int, Tip] | None:
    """The cut of a child, or None where it breaks the rules of shape."""
    above = parent.block
    if block.view <= floor_of(state, parent):
        return None
    if ends_epoch(state.config, state.epoch, above):
        tail = block.height == above.height and not block.tips and block.time == above.time
        return parent.cut if tail and block.parent == end_of(state, parent).hash else None
    if block.height != above.height + 1:
        return None
    cut = dict(parent.cut)
    last = 0
    for tip in block.tips:
        before = cut.get(tip.lane)
        if tip.lane <= last or tip.lane not in state.seats.by_number:
            return None
        if tip.height <= (before.height if before else 0):
            return None
        last = tip.lane
        cut[tip.lane] = tip
    return cut


def end_of(state: State, candidate: Candidate) -> Candidate:
    """The candidate itself, or E for a tail block."""
    block = candidate.block
    if block.epoch == state.epoch and block.parent != state.final.hash:
        parent = state.candidates.get(block.parent)
        if parent is not None and parent.block.height == block.height:
            return parent
    elif block.epoch == state.epoch and state.final.block.height == block.height:
        return state.final
    return candidate


def floor_of(state: State, candidate: Candidate) -> int:
    """The last view that needs no justification above this parent."""
    if candidate.hash == state.final.hash:
        return state.final_view
    return candidate.block.view


def unjustified(state: State, parent: Candidate, view: int) -> tuple[int, int] | None:
    """The views (first, last) between which a certificate is missing for a parent, or None.

    Where nothing is missing, the parent is justified in `view`.
    """
    floor = floor_of(state, parent)
    first = last = 0
    if parent.hash != state.final.hash:
        round_ = state.rounds.get(floor)
        if round_ is None or round_.notarized != parent.hash:
            first = last = floor
    for between in range(floor + 1, view):
        round_ = state.rounds.get(between)
        if round_ is None or not _skippable(state, round_, parent):
            first, last = first or between, between
    return (first, last) if first else None


def _skippable(state: State, round_: Round, parent: Candidate) -> bool:
    if round_.nullified:
        return True
    hash_ = round_.notarized
    if hash_ is None or not ends_epoch(state.config, state.epoch, parent.block):
        return False
    block = state.blocks.get(hash_)
    return block is not None and block.parent == parent.hash


# --- what a leader proposes ---


def best_parent(state: State, view: int) -> Candidate | tuple[int, int]:
    """The newest notarized block that is justified in a view; else the views that are missing."""
    for at in range(view - 1, state.final_view, -1):
        round_ = state.rounds.get(at)
        hash_ = round_.notarized if round_ else None
        if hash_ is None:
            if round_ is None or not round_.nullified:
                return (at, at)
            continue
        found = candidate_of(state, hash_)
        if found is None:
            if round_ is not None and round_.nullified:
                continue
            return (state.final_view + 1, at)
        parent = end_of(state, found)
        return unjustified(state, parent, view) or parent
    return unjustified(state, state.final, view) or state.final


def next_tips(state: State, parent: Candidate) -> tuple[tuple[Tip, ...], int]:
    """The changed tips of a proposal on a parent, within the bounds of a cut, and their records.

    Lanes take turns, batch by batch, so that a full cut is shared among them.
    """
    if ends_epoch(state.config, state.epoch, parent.block):
        return (), 0
    paths: list[list[Held]] = []
    for lane in state.lanes:
        low = parent.cut.get(lane.number) or Tip(lane.number, 0, state.config.chain)
        if lane.number in state.seats.by_number and lane.covered.height > low.height:
            path = state.lanes.path(low, lane.covered)
            if not isinstance(path, Path):
                paths.append(path)
    bounds = state.config.bounds
    records = size = depth = 0
    tips: dict[int, Tip] = {}
    while paths:
        for path in list(paths):
            held = path[depth]
            records_after, size_after = records + held.header.count, size + held.bytes
            if records_after > bounds.cut_records_max or size_after > bounds.cut_bytes_max:
                paths.remove(path)
                continue
            records, size = records_after, size_after
            tips[held.header.lane] = held.tip
            if depth + 1 == len(path):
                paths.remove(path)
        depth += 1
    return tuple(tips[number] for number in sorted(tips)), records


def make_block(state: State, parent: Candidate, tips: tuple[Tip, ...]) -> Block:
    """The leader's block for the current view."""
    above = parent.block
    if ends_epoch(state.config, state.epoch, above):
        return Block(state.epoch, state.view, above.height, parent.hash, (), above.time)
    cut = {**parent.cut, **{tip.lane: tip for tip in tips}}
    time = block_time(state, above.time, cut)
    return Block(state.epoch, state.view, above.height + 1, parent.hash, tips, time)


def block_time(state: State, parent_time: int, cut: Mapping[int, Tip]) -> int:
    """The block time that follows from a cut whose tips are held."""
    times = sorted(
        (state.lanes.time_of(cut[n]) if n in cut else 0 for n in state.seats.numbers), reverse=True
    )
    return max(parent_time + 1, times[state.seats.witnesses - 1])


# --- what a node votes for ---


def judge(state: State, round_: Round) -> Judged:
    """Whether the proposal of the current view may be notarized."""
    assert round_.proposal is not None, "only a view with a proposal is judged"
    assert round_.hash is not None, "a proposal has its hash"
    block = round_.proposal.block
    parent = state.final if block.parent == state.final.hash else candidate_of(state, block.parent)
    if parent is None:
        return Judged(Verdict.WAIT, (state.final_view + 1, block.view - 1))
    missing = unjustified(state, parent, block.view)
    if missing is not None:
        return Judged(Verdict.WAIT, missing)
    candidate = candidate_of(state, round_.hash)
    if candidate is None:
        return BAD
    if ends_epoch(state.config, state.epoch, parent.block):
        return Judged(Verdict.GOOD)
    return _judge_cut(state, parent, candidate)


def _judge_cut(state: State, parent: Candidate, candidate: Candidate) -> Judged:
    block = candidate.block
    if block.tips and block.height > (
        state.checkpoints.certified + state.config.limits.uncertified_heights_max
    ):
        return Judged(Verdict.WAIT)
    records = size = 0
    missing = not_held(state, parent.cut)
    for tip in block.tips:
        low = parent.cut.get(tip.lane) or Tip(tip.lane, 0, state.config.chain)
        path = state.lanes.path(low, tip)
        if path is Path.ASTRAY:
            return BAD
        if isinstance(path, Path):
            missing.append(tip)
            continue
        records += sum(held.header.count for held in path)
        size += sum(held.bytes for held in path)
    if missing:
        return Judged(Verdict.WAIT, tips=tuple(missing))
    bounds = state.config.bounds
    if records > bounds.cut_records_max or size > bounds.cut_bytes_max:
        return BAD
    good = block.time == block_time(state, parent.block.time, candidate.cut)
    return Judged(Verdict.GOOD) if good else BAD


def not_held(state: State, cut: Mapping[int, Tip]) -> list[Tip]:
    """The tips of a cut that are neither executed nor held (a held batch's ancestors are held)."""
    lanes = state.lanes
    return [
        tip
        for number, tip in cut.items()
        if tip.hash not in lanes.held and not lanes.lanes[number].on_branch(tip)
    ]
