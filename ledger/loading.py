"""The state after a restart: from durable rows only, refused where they contradict each other."""

from ledger.activating import check_in_force, read_in_force
from ledger.block import block_hash as hash_of_block
from ledger.block import encode_seal, refusals_hash
from ledger.erasure_rows import oldest_erasure
from ledger.errors import BadProof, InvalidInput, Malformed, StoreDamaged
from ledger.files import entry_at
from ledger.genesis import Foundation, Genesis, chain_id, check_genesis, epoch_of
from ledger.governing import read_outlook
from ledger.index import Index
from ledger.membership import Validator
from ledger.merkle import Frontier
from ledger.position import State
from ledger.rows import (
    GENESIS_KEY,
    HEAD_KEY,
    REPAIR,
    BlockRow,
    HeadRow,
    ValidatorsRow,
    block_key,
    describe_key,
    lane_key,
    leaf_key,
    need_row,
    tile_key,
    validators_key,
)
from ledger.rules import Vocabulary
from ledger.store import Reader
from ledger.tiles import TILE_HEIGHT, TileReader
from ledger.window import WINDOW_BLOCKS, load_window


def load(reader: Reader, window_blocks: int = WINDOW_BLOCKS, *, kept: Index | None = None) -> State:
    """The state that the stored rows tell of. The index is built anew from its rows, unless `kept`
    is that of the newest block: all its roots are those that the blocks have sealed.

    Raises:
        StoreDamaged: a row is missing or cannot be read, or rows contradict each other; names what
            is damaged and how to repair it.
    """
    genesis = need_row(reader, Genesis, GENESIS_KEY)
    head = need_row(reader, HeadRow, HEAD_KEY)
    foundation = genesis.foundation
    bounds = foundation.bounds
    _check_founding(reader, genesis)
    _check_head(reader, foundation, head)
    in_force = read_in_force(reader, foundation.parameters)
    check_in_force(reader, in_force, head.parameters, bounds.epoch_blocks)
    parameters = in_force[-1].parameters
    validators = _load_validators(reader, bounds.epoch_blocks, head.height)
    index = kept
    if index is None or not _is_of(reader, index, head):
        index = load_window(reader, window_blocks, head.height, bounds.epoch_blocks)
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
        oldest_erasure=oldest_erasure(reader),
        outlook=read_outlook(reader, validators, epoch_of(head.height + 1, bounds.epoch_blocks)),
    )


def _is_of(reader: Reader, index: Index, head: HeadRow) -> bool:
    """Whether an index is that of the newest block, and its window one of the stored blocks."""
    versions = index.versions()
    return versions[-1:] == [head.height] and all(
        index.root(version) == need_row(reader, BlockRow, block_key(version)).seal.index_root
        for version in versions
    )


def _contradiction(key: bytes, message: str) -> StoreDamaged:
    return StoreDamaged(describe_key(key), f"{message}; {REPAIR}")


def _check_founding(reader: Reader, genesis: Genesis) -> None:
    """The genesis row is a genesis, and the one that block 0 was made from."""
    try:
        check_genesis(genesis)
    except InvalidInput as error:
        raise _contradiction(GENESIS_KEY, str(error)) from error
    founded = need_row(reader, BlockRow, block_key(0))
    if founded.hash != chain_id(genesis.foundation):
        raise _contradiction(GENESIS_KEY, "is not the genesis of the stored blocks")


def _check_head(reader: Reader, foundation: Foundation, head: HeadRow) -> None:
    """The head row, the newest block row, its seal's leaf and the epoch agree."""
    row = need_row(reader, BlockRow, block_key(head.height))
    block = row.block
    told = (head.block_hash, head.time, head.size, head.index_root)
    if told != (row.hash, block.time, row.size, row.seal.index_root):
        raise _contradiction(HEAD_KEY, f"contradicts the row of block {head.height}")
    ends_epoch = head.height % foundation.bounds.epoch_blocks == 0
    if head.parameters != row.seal.parameters and not ends_epoch:
        raise _contradiction(HEAD_KEY, f"contradicts the row of block {head.height}")
    if head.epoch != epoch_of(head.height, foundation.bounds.epoch_blocks):
        raise _contradiction(HEAD_KEY, "names another epoch than its height belongs to")
    for tip in head.cut:
        if reader.get(lane_key(tip.lane, tip.height)) != tip.hash:
            raise _contradiction(HEAD_KEY, f"has another tip of lane {tip.lane} than its lane row")
    tips = {tip.lane: tip for tip in head.cut}
    if any(tips.get(tip.lane) != tip for tip in block.tips):
        raise _contradiction(HEAD_KEY, f"has another cut than block {head.height}")
    entry = entry_at(reader, head.size - 1)
    if entry != encode_seal(row.seal):
        raise _contradiction(leaf_key(head.size - 1), "is not the seal of the newest block")
    if refusals_hash(row.refusals) != row.seal.refusals:
        raise _contradiction(block_key(head.height), "has other refusals than its seal")
    if head.height and row.hash != hash_of_block(chain_id(foundation), block):
        raise _contradiction(block_key(head.height), "is not the block that its hash names")


def _load_validators(reader: Reader, epoch_blocks: int, height: int) -> tuple[Validator, ...]:
    """The set of the next block's epoch; the seal at the end of the epoch before names it too."""
    epoch = epoch_of(height + 1, epoch_blocks)
    key = validators_key(epoch)
    validators = need_row(reader, ValidatorsRow, key).validators
    sealed = need_row(reader, BlockRow, block_key((epoch - 1) * epoch_blocks)).seal
    if validators != sealed.validators:
        raise _contradiction(key, "is not the set that the seal before the epoch names")
    return validators


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
