"""The ledger's state, and the three ways to come by one: found it, load it, apply the next block.

`apply_block` is a pure function of the state, the stored rows and the block with its batches; the
one piece that it changes in place is the index, which keeps the states after earlier blocks (its
version is the block's height). All rows that a block writes are one `Changes`.

What a block does, in order:

1. days that its time leaves behind make open engagements overdue;
2. its records are executed (`ledger/execution.py`);
3. if it is the last of its epoch, summaries changed in the epoch are entered in the index;
4. the index takes in all changed heads, and its root stands in the seal;
5. the seal is the last leaf; tiles, block row and head row follow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from ledger.batch import Batch
from ledger.block import (
    SEAL_BYTES_MAX,
    Block,
    Refusal,
    Seal,
    Tip,
    encode_seal,
    refusals_hash,
)
from ledger.block import block_hash as hash_of_block
from ledger.encoding import encode
from ledger.errors import BadProof, Malformed, StoreDamaged
from ledger.execution import BlockRun
from ledger.files import entry_at
from ledger.genesis import Foundation, Genesis, chain_id, epoch_of, genesis_seal
from ledger.hashing import ZERO_HASH
from ledger.index import Index
from ledger.membership import Validator
from ledger.merkle import Frontier, leaf_hash
from ledger.parameters import Parameters, parameters_hash
from ledger.rows import (
    GENESIS_KEY,
    HEAD_KEY,
    REPAIR,
    BlockRow,
    HeadRow,
    ValidatorsRow,
    block_key,
    describe_key,
    leaf_key,
    need_row,
    parameters_key,
    tile_key,
    validators_key,
)
from ledger.rules import Vocabulary
from ledger.store import INDEX, Changes, Reader, after
from ledger.tiles import TILE_HEIGHT, ReadTile, TileReader, append_to_tiles

WINDOW_BLOCKS: Final = 128


@dataclass(frozen=True, slots=True)
class State:
    """The ledger after a block. A value, but for the index, which all states of a node share.

    `cut`: lane → the tip under the newest block. `time`: the block's, in ms. `epoch`: the block's;
    `validators`: those of the epoch that the next block belongs to.
    """

    chain: bytes
    foundation: Foundation
    parameters: Parameters
    parameters_hash: bytes
    vocabulary: Vocabulary
    height: int
    block_hash: bytes
    time: int
    epoch: int
    validators: tuple[Validator, ...]
    cut: Mapping[int, Tip]
    log: Frontier
    index: Index

    @property
    def size(self) -> int:
        """How many leaves the log has."""
        return self.log.size


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying a block yields.

    `changes`: all rows to write, at once. `size`, `root`: the checkpoint after the seal.
    `first`: the log index of the block's first leaf. `records`: for each submission in order, its
    id, its log index or None, and the rule that it broke or an empty string.
    """

    changes: Changes
    first: int
    size: int
    root: bytes
    seal: Seal
    refusals: tuple[Refusal, ...]
    records: tuple[tuple[bytes, int | None, str], ...]


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
    log = _append(_no_tile, Frontier(), [], seal, changes)
    return _close(state, block, seal, (), log, changes=changes), changes


def apply_block(
    state: State,
    reader: Reader,
    block: Block,
    block_hash: bytes,
    batches: Sequence[tuple[bytes, Batch]],
) -> tuple[State, Applied]:
    """Execute a final block with the batches that it adds, as (header hash, batch), in order of
    lane and height.

    The batches have passed the first gate, and the block is the one that consensus made final: a
    block that does not follow `state`, or batches that are not exactly those under its cut, are a
    bug of the caller (AssertionError), and nothing is changed. `reader` holds all rows up to
    `state`.

    Raises:
        StoreDamaged: a row cannot be read; the index is unchanged.
    """
    _assert_follows(state, block, batches)
    first = state.log.size
    run = BlockRun(state.chain, state.vocabulary, reader, first, block.time)
    run.pass_days(state.time)
    for header_hash, batch in batches:
        run.batch(header_hash, batch)
    epoch_ends = block.height % state.foundation.bounds.epoch_blocks == 0
    updates = run.finish(block.height, epoch_ends=epoch_ends)
    refusals = tuple(run.refusals)
    index_root = state.index.apply(block.height, updates)
    seal = Seal(
        height=block.height,
        block=block_hash,
        previous=state.block_hash,
        time=block.time,
        index_root=index_root,
        refusals=refusals_hash(refusals),
        parameters=state.parameters_hash,
        validators=state.validators if epoch_ends else None,
    )

    def read_tile(level: int, index: int) -> bytes:
        return reader.get(tile_key(level, index)) or b""

    log = _append(read_tile, state.log, run.leaf_hashes, seal, run.changes)
    after_block = _close(state, block, seal, refusals, log, changes=run.changes)
    applied = Applied(
        changes=run.changes,
        first=first,
        size=log.size,
        root=log.root(),
        seal=seal,
        refusals=refusals,
        records=tuple(run.records),
    )
    return after_block, applied


def _assert_follows(state: State, block: Block, batches: Sequence[tuple[bytes, Batch]]) -> None:
    """Our own bugs only: consensus hands over blocks in order with exactly their batches."""
    assert block.height == state.height + 1, "blocks are applied in order of height"
    assert block.parent == state.block_hash, "a block names its parent"
    assert block.time > state.time, "block time moves"
    assert batches_follow(state.cut, block.tips, batches), "batches lead from cut to cut"


def batches_follow(
    cut: Mapping[int, Tip], tips: Sequence[Tip], batches: Sequence[tuple[bytes, Batch]]
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
    return log.extend(leaves)


def _close(
    state: State,
    block: Block,
    seal: Seal,
    refusals: tuple[Refusal, ...],
    log: Frontier,
    *,
    changes: Changes,
) -> State:
    """The state after a block, and the rows that tell of it."""
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
        parameters=seal.parameters,
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


# --- after a restart ---


def load(reader: Reader, window_blocks: int = WINDOW_BLOCKS) -> State:
    """The state that the stored rows tell of. The index is built anew from its rows.

    Raises:
        StoreDamaged: a row is missing or cannot be read, or rows contradict each other; names what
            is damaged and how to repair it.
    """
    genesis = need_row(reader, Genesis, GENESIS_KEY)
    head = need_row(reader, HeadRow, HEAD_KEY)
    foundation = genesis.foundation
    bounds = foundation.bounds
    _check_head(reader, foundation, head)
    parameters = need_row(reader, Parameters, parameters_key(head.parameters))
    if parameters_hash(parameters) != head.parameters:
        raise _contradiction(parameters_key(head.parameters), "is not what its key names")
    next_epoch = epoch_of(head.height + 1, bounds.epoch_blocks)
    validators = need_row(reader, ValidatorsRow, validators_key(next_epoch)).validators
    index = load_index(reader, window_blocks, head.height)
    if index.root() != head.index_root:
        raise StoreDamaged(
            f"index rows (keys {INDEX.hex()}…)",
            f"do not yield the index root that block {head.height} sealed; {REPAIR}",
        )
    return State(
        chain=chain_id(foundation),
        foundation=foundation,
        parameters=parameters,
        parameters_hash=head.parameters,
        vocabulary=Vocabulary.of(parameters, bounds),
        height=head.height,
        block_hash=head.block_hash,
        time=head.time,
        epoch=head.epoch,
        validators=validators,
        cut={tip.lane: tip for tip in head.cut},
        log=_load_log(reader, head),
        index=index,
    )


def load_index(reader: Reader, window_blocks: int, version: int) -> Index:
    """The index built from its rows.

    Raises:
        StoreDamaged: a row has not the form of one.
    """
    rows = reader.scan(INDEX, after(INDEX))
    try:
        return Index.build(
            ((key[1:], value) for key, value in rows), window_blocks, version=version
        )
    except Malformed as error:
        where = f"index rows (keys {INDEX.hex()}…)"
        raise StoreDamaged(where, f"{error}; {REPAIR}") from error


def _contradiction(key: bytes, message: str) -> StoreDamaged:
    return StoreDamaged(describe_key(key), f"{message}; {REPAIR}")


def _check_head(reader: Reader, foundation: Foundation, head: HeadRow) -> None:
    """The head row, the newest block row, its seal's leaf and the epoch agree."""
    row = need_row(reader, BlockRow, block_key(head.height))
    block = row.block
    told = (head.block_hash, head.time, head.size, head.index_root, head.parameters)
    if told != (row.hash, block.time, row.size, row.seal.index_root, row.seal.parameters):
        raise _contradiction(HEAD_KEY, f"contradicts the row of block {head.height}")
    if head.epoch != epoch_of(head.height, foundation.bounds.epoch_blocks):
        raise _contradiction(HEAD_KEY, "names another epoch than its height belongs to")
    tips = {tip.lane: tip for tip in head.cut}
    if any(tips.get(tip.lane) != tip for tip in block.tips):
        raise _contradiction(HEAD_KEY, f"has another cut than block {head.height}")
    entry = entry_at(reader, head.size - 1)
    if entry != encode_seal(row.seal):
        raise _contradiction(leaf_key(head.size - 1), "is not the seal of the newest block")
    if head.height and row.hash != hash_of_block(chain_id(foundation), block):
        raise _contradiction(block_key(head.height), "is not the block that its hash names")


def _load_log(reader: Reader, head: HeadRow) -> Frontier:
    """The log's frontier from the head row; the tiles and the block's root must agree with it."""
    try:
        log = Frontier.decode(head.size, head.frontier)
    except Malformed as error:
        raise _contradiction(HEAD_KEY, str(error)) from error
    row = need_row(reader, BlockRow, block_key(head.height))
    if log.root() != row.root:
        raise _contradiction(HEAD_KEY, "has another log than the newest block's row")
    tiles = TileReader(lambda level, index: reader.get(tile_key(level, index)) or b"")
    levels = [level for level in range(head.size.bit_length()) if head.size >> level & 1]
    begin = 0
    for level, expected in zip(reversed(levels), log.hashes, strict=True):
        key = tile_key(level // TILE_HEIGHT, (begin >> (level // TILE_HEIGHT * TILE_HEIGHT)) >> 8)
        try:
            node = tiles.read_node(level, begin >> level)
        except BadProof as error:
            raise _contradiction(key, str(error)) from error
        if node != expected:
            raise _contradiction(key, "contradicts the log of the head row")
        begin += 1 << level
    return log
