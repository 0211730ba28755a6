"""The last check of a snapshot, before anything of it is used.

Against what this node trusts, which is genesis alone:

1. *Genesis.* Block 0, its leaf, the first set and the first parameters are the rows that it yields.
2. *Log.* The `B` rows lead without a gap from genesis to the head: each names its parent, hashes to
   the name that its seal has, has its seal for its last leaf, its refusals under the seal, and the
   log's root after it, computed from the entries of the `E` rows. The tiles (`T`) hold the same
   hashes.
3. *Sets.* For each epoch: q of its set have cosigned the checkpoint after its last block (`C`). The
   block's seal names the next set, as the row `M` "validators/…" does. The first set is genesis's.
4. *Index.* Built from the `W` and `U` rows it has the root that the newest seal names
   (ledger/loading.py builds it; head, parameters, cut and frontier are compared there, too).
5. *Files.* The `F` rows and the `E` rows that they name yield the heads that stand in the `W` rows
   (ledger/heads.py).

Batches have been compared with blocks and leaves when they came (consensus/openings.py). So whoever
lies, what proofs speak of is right: the log, and through the index all files and summaries. The
other rows are right as far as one of the f + 1 who gave their digest is honest; `standing audit` of
the own folder computes them all again.
"""

from collections.abc import Iterator
from itertools import count
from typing import Final

from consensus.certificate import Seats
from consensus.config import Config
from consensus.proofs import Unfit, certifies
from consensus.silence import mark_new
from consensus.steps import HELD_HEAD, TAKING
from ledger.block import block_hash, encode_seal, refusals_hash
from ledger.encoding import encode
from ledger.errors import InvalidInput, StoreDamaged
from ledger.files import entry_of_row
from ledger.genesis import Genesis, chain_id, genesis_seal
from ledger.hashing import HASH_BYTES
from ledger.heads import check_heads
from ledger.loading import load
from ledger.merkle import Frontier, leaf_hash
from ledger.merkle import root as root_of
from ledger.parameters import parameters_hash
from ledger.rows import (
    GENESIS_KEY,
    HEAD_KEY,
    BlockRow,
    CheckpointRow,
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
from ledger.state import found
from ledger.store import CHECKPOINT, Changes, Reader, after
from ledger.tiles import TILE_WIDTH, level_entries

WINDOW_BLOCKS: Final = 1


def check_taken(reader: Reader, genesis: Genesis, config: Config) -> Iterator[None]:
    """Demand that a store, with its head row held back, has a ledger that leads from genesis to a
    certified epoch's end. Yields now and then.

    Raises:
        Unfit: it has not, or a row is missing or no row.
    """
    try:
        whole = WithHead(reader, genesis)
        _check_founding(whole, genesis)
        yield from _check_log(whole, genesis)
        _check_sets(whole, config)
        yield
        load(whole, WINDOW_BLOCKS)
        yield from check_heads(whole)
    except (StoreDamaged, InvalidInput) as error:
        raise Unfit(str(error)) from error


def last_rows(reader: Reader, genesis: Genesis) -> Changes:
    """The one write that makes it this node's ledger: the head row, a new store's mark, and the
    rows of the taking removed."""
    changes: Changes = {key: None for key, _ in reader.scan(TAKING, after(TAKING))}
    head = reader.get(HELD_HEAD)
    assert head is not None, "it was checked"
    return {**changes, **mark_new(), GENESIS_KEY: encode(genesis), HEAD_KEY: head}


class WithHead:
    """A store as if its head row, and genesis's, stood there already."""

    def __init__(self, reader: Reader, genesis: Genesis) -> None:
        self._reader = reader
        self._rows = {GENESIS_KEY: encode(genesis)}
        head = reader.get(HELD_HEAD)
        if head is not None:
            self._rows[HEAD_KEY] = head

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        return self._rows.get(key) or self._reader.get(key)

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Rows of the store; nobody scans for the two that it lacks."""
        return self._reader.scan(start, stop, reverse=reverse)


# --- genesis ---


def _check_founding(reader: Reader, genesis: Genesis) -> None:
    founding = found(genesis, WINDOW_BLOCKS)[1]
    parameters = parameters_key(parameters_hash(genesis.foundation.parameters))
    for key in (block_key(0), leaf_key(0), validators_key(1), parameters):
        if reader.get(key) != founding[key]:
            raise Unfit(f"{describe_key(key)} is not the one that genesis yields")


# --- log ---


def _check_log(reader: Reader, genesis: Genesis) -> Iterator[None]:
    chain, first_seal = chain_id(genesis.foundation), genesis_seal(genesis.foundation)
    log, parent, tiles = Frontier(), b"", _Tiles(reader)
    for height in count():
        if reader.get(block_key(height)) is None and height:
            break
        row = need_row(reader, BlockRow, block_key(height))
        name = block_hash(chain, row.block) if height else chain
        seal = row.seal
        follows = row.block.parent == parent if height else seal == first_seal
        told = (row.block.height, row.hash, seal.block, seal.height, row.first, seal.time)
        if not follows or told != (height, name, name, height, log.size, row.block.time):
            raise Unfit(f"block {height} does not follow from the one before it")
        if seal.refusals != refusals_hash(row.refusals):
            raise Unfit(f"block {height} has other refusals than its seal")
        hashes, entry = list[bytes](), b""
        for key, data in reader.scan(leaf_key(row.first), leaf_key(row.size)):
            entry = entry_of_row(key, data)
            hashes.append(leaf_hash(entry))
        log = log.extend(hashes)
        if (log.size, log.root()) != (row.size, row.root) or entry != encode_seal(seal):
            raise Unfit(f"the entries of block {height} have another root than it names")
        tiles.add(hashes)
        parent = name
        yield
    tiles.check_rest()
    if need_row(reader, HeadRow, HEAD_KEY).height != height - 1:
        raise Unfit("the head is not the newest block")


class _Tiles:
    """The leaf hashes, compared with the tiles of level 0 as they fill; then the tiles above."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._index = self._size = 0
        self._waiting: list[bytes] = []

    def add(self, hashes: list[bytes]) -> None:
        self._waiting += hashes
        self._size += len(hashes)
        while len(self._waiting) >= TILE_WIDTH:
            self._compare(0, self._index, self._waiting[:TILE_WIDTH])
            del self._waiting[:TILE_WIDTH]
            self._index += 1

    def check_rest(self) -> None:
        self._compare(0, self._index, self._waiting)
        level = 0
        while full := level_entries(level + 1, self._size):
            roots = [root_of(self._hashes(level, index)) for index in range(full)]
            level += 1
            for begin in range(0, full, TILE_WIDTH):
                part = roots[begin : begin + TILE_WIDTH]
                self._compare(level, begin // TILE_WIDTH, part)

    def _hashes(self, level: int, index: int) -> list[bytes]:
        row = self._reader.get(tile_key(level, index)) or b""
        return [row[at : at + HASH_BYTES] for at in range(0, len(row), HASH_BYTES)]

    def _compare(self, level: int, index: int, hashes: list[bytes]) -> None:
        if self._hashes(level, index) != hashes:
            raise Unfit(f"tile {level}/{index} does not have the hashes of the log")


# --- sets ---


def _check_sets(reader: Reader, config: Config) -> None:
    """From genesis's set on, each epoch's set certifies the seal that names the next one."""
    seats, height = Seats.of(config.validators), 0
    for epoch in count(1):
        height += config.bounds.epoch_blocks
        if reader.get(block_key(height)) is None:
            break
        key = CHECKPOINT + height.to_bytes(8)
        certified = need_row(reader, CheckpointRow, key)
        row = need_row(reader, BlockRow, block_key(height))
        told = certified.height, certified.size, certified.root
        if told != (height, row.size, row.root) or not certifies(config, seats, certified):
            raise Unfit(f"the last block of epoch {epoch} is not certified by its set")
        named = row.seal.validators
        if named is None or named != (
            need_row(reader, ValidatorsRow, validators_key(epoch + 1)).validators
        ):
            raise Unfit(f"the seal of epoch {epoch} names another set than the state")
        seats = Seats.of(named)
    if reader.get(block_key(height - config.bounds.epoch_blocks + 1)) is not None:
        raise Unfit("the state does not end with an epoch")
