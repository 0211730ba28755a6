"""The ledger's state, and the three ways to come by one: found it, load it, apply the next block.

`apply_block` is a pure function of the state, the stored rows and the block with its batches; the
one piece that it changes in place is the index, which keeps the states after earlier blocks (its
version is the block's height). All rows that a block writes are one `Changes`.

What a block does, in order:

1. days that its time leaves behind make open engagements overdue;
2. its records are executed (`ledger/execution.py`);
3. erasures that are under way go on (`ledger/erasure_queue.py`);
4. if it is the last of its epoch, changes of the membership and of the model bind
   (`ledger/binding.py`), and summaries changed in the epoch are entered in the index;
5. the index takes in all changed heads, and its root stands in the seal, with the next set;
6. the seal is the last leaf; tiles, block row and head row follow.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from ledger.activating import activate, name_model
from ledger.block import (
    SEAL_BYTES_MAX,
    Block,
    Refusal,
    Seal,
    Tip,
    encode_seal,
    refusals_hash,
)
from ledger.encoding import encode
from ledger.errors import BadProof, Malformed, StoreDamaged
from ledger.execution import BlockRun
from ledger.genesis import Genesis, chain_id, epoch_of, genesis_seal
from ledger.governing import found_names, mark_checkpoint
from ledger.hashing import ZERO_HASH
from ledger.index import Index
from ledger.loading import load
from ledger.merkle import Frontier, leaf_hash
from ledger.position import Applied, State
from ledger.residue import AnyBatch
from ledger.rows import (
    GENESIS_KEY,
    HEAD_KEY,
    REPAIR,
    BlockRow,
    HeadRow,
    ValidatorsRow,
    block_key,
    leaf_key,
    parameters_key,
    tile_key,
    validators_key,
)
from ledger.rules import Vocabulary
from ledger.store import Changes, MemoryStore, Reader
from ledger.tiles import TILE_WIDTH, ReadTile, append_to_tiles, frontier_of
from ledger.window import WINDOW_BLOCKS, oldest_provable, window_changes

__all__ = [
    "WINDOW_BLOCKS",
    "Applied",
    "State",
    "apply_block",
    "apply_in_turns",
    "batches_follow",
    "found",
    "load",
]


def found(genesis: Genesis, window_blocks: int = WINDOW_BLOCKS) -> tuple[State, Changes]:
    """Block 0 of a new ledger: the state, and the rows to write before anything else.

    Raises:
        Malformed: genesis's seal does not fit into an entry.
    """
    foundation = genesis.foundation
    chain = chain_id(foundation)
    seal = genesis_seal(foundation)
    index = Index(window_blocks)
    index.apply(0, {})
    state = State(
        chain=chain,
        foundation=foundation,
        parameters=foundation.parameters,
        parameters_hash=seal.parameters,
        vocabulary=Vocabulary.of(foundation.parameters, foundation.bounds),
        height=0,
        block_hash=chain,
        time=foundation.created,
        epoch=0,
        validators=foundation.validators,
        cut={},
        log=Frontier(),
        index=index,
    )
    changes: Changes = {
        GENESIS_KEY: encode(genesis),
        parameters_key(seal.parameters): encode(foundation.parameters),
    }
    block = Block(0, 0, 0, ZERO_HASH, (), foundation.created)
    found_names(changes, foundation.validators)
    name_model(changes, foundation.parameters.model)
    log = _append(_no_tile, Frontier(), [], seal, changes)
    mark_checkpoint(MemoryStore(), changes, log.size, log.root(), 0)
    return _close(state, block, seal, (), log, changes=changes), changes


def apply_block(
    state: State,
    reader: Reader,
    block: Block,
    block_hash: bytes,
    batches: Sequence[tuple[bytes, AnyBatch]],
) -> tuple[State, Applied]:
    """Execute a final block with the batches that it adds, as (header hash, batch), in order of
    lane and height.

    The batches have passed the first gate, and the block is the one that consensus made final: a
    block that does not follow `state`, or batches that are not exactly those under its cut, are a
    bug of the caller (AssertionError), and nothing is changed. `reader` holds all rows up to
    `state`.

    Raises:
        StoreDamaged: a row cannot be read. The state's index must not be used any more: stop.
    """
    turns = apply_in_turns(state, reader, block, block_hash, batches)
    while True:
        try:
            next(turns)
        except StopIteration as end:
            after_block: tuple[State, Applied] = end.value
            return after_block


def apply_in_turns(
    state: State,
    reader: Reader,
    block: Block,
    block_hash: bytes,
    batches: Sequence[tuple[bytes, AnyBatch]],
) -> Generator[None, None, tuple[State, Applied]]:
    """`apply_block`, yielding every few ms, so that a node does other things between the turns.

    Nothing is changed before the last turn, the index neither: whoever reads meanwhile sees the
    state before the block, and a run may be given up. Of the rows that execution reads, none may
    be written meanwhile.
    """
    _assert_follows(state, block, batches)
    first = state.log.size
    footing = state.footing
    epoch = footing.epoch
    run = BlockRun(footing, state.vocabulary, reader, block.time)
    run.pass_days(state.time)
    for header_hash, batch in batches:
        yield from run.batch(header_hash, batch)
    epoch_ends = block.height % state.foundation.bounds.epoch_blocks == 0
    oldest_erasure = yield from run.erase(state.oldest_erasure, block.height)
    bound = run.bind() if epoch_ends else None
    validators = state.validators if bound is None else bound.validators
    outlook = state.outlook
    if run.is_governed:
        outlook = run.outlook(validators, epoch + epoch_ends)
    updates = yield from run.finish(block.height, epoch_ends=epoch_ends)
    refusals = tuple(run.refusals)
    oldest = oldest_provable(block.height, state.foundation.bounds.epoch_blocks)
    index_root = state.index.apply(block.height, updates, oldest)
    run.changes.update(window_changes(state.index))
    seal = Seal(
        height=block.height,
        block=block_hash,
        previous=state.block_hash,
        time=block.time,
        index_root=index_root,
        refusals=refusals_hash(refusals),
        parameters=state.parameters_hash,
        validators=validators if epoch_ends else None,
    )

    def read_tile(level: int, index: int) -> bytes:
        return reader.get(tile_key(level, index)) or b""

    log = _append(read_tile, state.log, run.leaf_hashes, seal, run.changes)
    ended = epoch if epoch_ends else None
    mark_checkpoint(reader, run.changes, log.size, log.root(), ended)
    following = state
    if bound is not None and bound.model is not None:
        following = activate(state, bound.model, run.changes)
    after_block = _close(following, block, seal, refusals, log, changes=run.changes)
    applied = Applied(
        changes=run.changes,
        first=first,
        size=log.size,
        root=log.root(),
        seal=seal,
        refusals=refusals,
        records=tuple(run.records),
        erased=run.erased,
        moves_erasures=bool(run.overlay.erasures.changed()),
        bound=() if bound is None else bound.bound,
    )
    return replace(after_block, oldest_erasure=oldest_erasure, outlook=outlook), applied


def _assert_follows(state: State, block: Block, batches: Sequence[tuple[bytes, AnyBatch]]) -> None:
    """Our own bugs only: consensus hands over blocks in order with exactly their batches."""
    assert block.height == state.height + 1, "blocks are applied in order of height"
    assert block.parent == state.block_hash, "a block names its parent"
    assert block.time > state.time, "block time moves"
    assert batches_follow(state.cut, block.tips, batches), "batches lead from cut to cut"


def batches_follow(
    cut: Mapping[int, Tip], tips: Sequence[Tip], batches: Sequence[tuple[bytes, AnyBatch]]
) -> bool:
    """Whether the batches, in order, are exactly those between a cut and its moved tips."""
    expected: list[tuple[int, int]] = []
    for tip in tips:
        below = cut[tip.lane].height if tip.lane in cut else 0
        if tip.height <= below:
            return False
        expected.extend((tip.lane, height) for height in range(below + 1, tip.height + 1))
    places = [(batch.header.lane, batch.header.height) for _, batch in batches]
    tops = {batch.header.lane: header_hash for header_hash, batch in batches}
    ascending = all(a.lane < b.lane for a, b in pairwise(tips))
    return ascending and places == expected and all(tops[tip.lane] == tip.hash for tip in tips)


def _no_tile(level: int, index: int) -> bytes:
    del level, index
    return b""


def _append(
    read_tile: ReadTile,
    log: Frontier,
    leaf_hashes: list[bytes],
    seal: Seal,
    changes: Changes,
) -> Frontier:
    """Append a block's leaves and then its seal to the log; writes the seal's row and the tiles."""
    entry = encode_seal(seal)
    if len(entry) > SEAL_BYTES_MAX:
        raise Malformed(f"the seal has more than {SEAL_BYTES_MAX} bytes", field="validators")
    changes[leaf_key(log.size + len(leaf_hashes))] = entry
    leaves = [*leaf_hashes, leaf_hash(entry)]
    try:
        tiles = append_to_tiles(read_tile, log.size, leaves)
    except BadProof as error:
        raise StoreDamaged("tiles", f"{error}; {REPAIR}") from error
    for (level, index), row in tiles.items():
        changes[tile_key(level, index)] = row
    if len(leaves) < TILE_WIDTH:
        return log.extend(leaves)
    # The roots of the new full tiles have been hashed already: few hashes are left.
    return frontier_of(
        lambda level, index: tiles.get((level, index)) or read_tile(level, index),
        log.size + len(leaves),
    )


def _close(
    state: State,
    block: Block,
    seal: Seal,
    refusals: tuple[Refusal, ...],
    log: Frontier,
    *,
    changes: Changes,
) -> State:
    """The state after a block, and the rows that tell of it; `state` has the parameters of the
    next one."""
    epoch = epoch_of(block.height, state.foundation.bounds.epoch_blocks)
    cut = {**state.cut, **{tip.lane: tip for tip in block.tips}}
    validators = state.validators if seal.validators is None else seal.validators
    row = BlockRow(block, seal.block, state.log.size, log.size, log.root(), seal, refusals)
    changes[block_key(block.height)] = encode(row)
    if seal.validators is not None:
        changes[validators_key(epoch + 1)] = encode(ValidatorsRow(validators))
    head = HeadRow(
        height=block.height,
        block_hash=seal.block,
        time=block.time,
        epoch=epoch,
        size=log.size,
        frontier=log.encode(),
        index_root=seal.index_root,
        parameters=state.parameters_hash,
        cut=tuple(cut[lane] for lane in sorted(cut)),
    )
    changes[HEAD_KEY] = encode(head)
    return replace(
        state,
        height=block.height,
        block_hash=seal.block,
        time=block.time,
        epoch=epoch,
        validators=validators,
        cut=cut,
        log=log,
    )
