"""What all answers at one certified checkpoint have in common: read once, and proven once.

It depends on the checkpoint alone, not on who is asked about: a node keeps that of its newest
checkpoints, so that an answer reads nothing but its files.
"""

from functools import cached_property
from typing import Protocol

from ledger import merkle
from ledger.block import Block, Seal, encode_seal
from ledger.encoding import encode
from ledger.parameters import Parameters
from ledger.rows import BlockRow, block_key, need_row, parameters_key, tile_key
from ledger.store import Reader
from ledger.tiles import TileReader


class Certified(Protocol):
    """A checkpoint that a quorum has cosigned: the block it ends, its size, its note."""

    @property
    def height(self) -> int:
        """The block's height."""
        ...

    @property
    def size(self) -> int:
        """The number of leaves."""
        ...

    @property
    def note(self) -> bytes:
        """The note: one log line, exactly q cosignature lines in the validators' order."""
        ...


class Basis:
    """A checkpoint with its block, its seal, the parameters that the seal names, and their proof.

    Raises:
        StoreDamaged: a row is missing or not what was written.
    """

    def __init__(self, reader: Reader, certified: Certified) -> None:
        self._reader = reader
        self.certified = certified
        self._row = need_row(reader, BlockRow, block_key(certified.height))
        self.parameters: Parameters = need_row(
            reader, Parameters, parameters_key(self.seal.parameters)
        )

    @property
    def block(self) -> Block:
        """The block that the checkpoint ends."""
        return self._row.block

    @property
    def seal(self) -> Seal:
        """The seal that the checkpoint ends with."""
        return self._row.seal

    @cached_property
    def seal_bytes(self) -> bytes:
        """The seal's entry in the log."""
        return encode_seal(self.seal)

    @cached_property
    def parameters_bytes(self) -> bytes:
        """The parameters' bytes, whose hash stands in the seal."""
        return encode(self.parameters)

    @cached_property
    def chain(self) -> bytes:
        """The chain id."""
        return need_row(self._reader, BlockRow, block_key(0)).hash

    @cached_property
    def inclusion(self) -> tuple[bytes, ...]:
        """The inclusion proof of the seal, the last of the checkpoint's leaves."""
        size = self.certified.size
        get = self._reader.get
        tiles = TileReader(lambda level, at: get(tile_key(level, at)) or b"")
        return tuple(merkle.inclusion_proof(tiles.read_node, size - 1, size))
