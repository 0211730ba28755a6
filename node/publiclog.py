"""The public side of the ledger, file by file: what stands under /log/ and in an exported folder.

    tile/<L>/<N>[.p/<W>], tile/entries/<N>[.p/<W>]   C2SP tlog-tiles (ledger/tiles.py)
    block/<N>, lane/<lane>/<N>[.p/<W>]               beside the log (ledger/beside.py)

Tiles, entries and blocks are served as far as the newest certified checkpoint reaches, headers as
far as the ledger is executed. A partial file is the beginning of every wider one, so each width
that was ever published is here, until the full file exists and beside it afterwards.
"""

from dataclasses import dataclass
from typing import Final

from ledger.beside import encode_block_file, encode_headers, parse_block_path, parse_lane_path
from ledger.encoding import encode
from ledger.epochs import EpochEnd, policy_of
from ledger.errors import Malformed, StandingError, StoreDamaged
from ledger.files import entry_at
from ledger.hashing import HASH_BYTES
from ledger.membership import Validator
from ledger.merkle import ReadNode, consistency_proof, inclusion_proof
from ledger.policy import Policy
from ledger.rows import (
    REPAIR,
    BlockRow,
    CheckpointRow,
    HeaderRow,
    ValidatorsRow,
    block_key,
    describe_key,
    header_key,
    lane_key,
    need_row,
    read_row,
    tile_key,
    validators_key,
)
from ledger.store import CHECKPOINT, Reader
from ledger.tiles import (
    TILE_WIDTH,
    TilePath,
    TileReader,
    encode_entry_bundle,
    parse_tile_path,
    tile_exists,
)
from node.view import Certificate

PAGE_BYTES: Final = 4 * 1_024 * 1_024
PAGE_ENDS_MAX: Final = 256
"""Epoch ends in one answer: each takes a quarter of a millisecond to prove."""


class NotThere(StandingError):
    """No file of this name, or not yet."""


class Gone(StandingError):
    """A file that this node has given up (its `log.retain`)."""


@dataclass(slots=True)
class PublicLog:
    """Reads files of the public side out of a store.

    `retain`: bundles whose entries all lie further than this below the checkpoint's size are
    gone (0: none is). `_changes`: the epochs at whose end the set changed, as far as looked.
    """

    reader: Reader
    origin: str
    epoch_blocks: int
    retain: int = 0
    _changes: list[int] | None = None
    _looked: int = 1

    # --- files ---

    def read(self, path: str, certified: Certificate) -> bytes:
        """The bytes of a file under the log's prefix.

        Raises:
            NotThere: no such file, or beyond the checkpoint.
            Gone: an entry bundle that is not kept.
            StoreDamaged: a row is missing or not what was written.
        """
        kind = path.partition("/")[0]
        try:
            if kind == "block":
                return self._block(parse_block_path(path), certified)
            if kind == "lane":
                return self._headers(*parse_lane_path(path))
            return self._tile(parse_tile_path(path), certified.size)
        except Malformed as error:
            raise NotThere(f"{path[:80]} is not the path of a file of the log") from error

    def _tile(self, path: TilePath, size: int) -> bytes:
        if not tile_exists(path, size):
            raise NotThere("the log does not reach so far, or a full tile is asked for too early")
        if path.level is not None:
            return self._hashes(path.level, path)
        first = path.index * TILE_WIDTH
        if self.retain and first + TILE_WIDTH <= size - self.retain:
            raise Gone(f"this node keeps the newest {self.retain} entries only; ask another")
        return encode_entry_bundle([entry_at(self.reader, first + at) for at in range(path.width)])

    def _hashes(self, level: int, path: TilePath) -> bytes:
        key = tile_key(level, path.index)
        wanted = path.width * HASH_BYTES
        row = self.reader.get(key) or b""
        if len(row) < wanted:
            raise StoreDamaged(describe_key(key), f"is missing or too short; {REPAIR}")
        return row[:wanted]

    def _block(self, height: int, certified: Certificate) -> bytes:
        if height > certified.height:
            raise NotThere("the newest certified checkpoint does not reach this block")
        return encode_block_file(need_row(self.reader, BlockRow, block_key(height)))

    def _headers(self, lane: int, index: int, width: int) -> bytes:
        first = index * TILE_WIDTH + 1
        names = [self.reader.get(lane_key(lane, first + width - 1))]
        if names[0] is None:
            raise NotThere("the lane does not reach so far, or there is none")
        names = [self.reader.get(lane_key(lane, first + at)) for at in range(width)]
        rows = [need_row(self.reader, HeaderRow, header_key(name or b"")) for name in names]
        return encode_headers(rows)

    # --- proofs ---

    @property
    def read_node(self) -> ReadNode:
        """Complete subtrees of the log, for the proofs of ledger.merkle."""
        reader = self.reader
        return TileReader(lambda level, index: reader.get(tile_key(level, index)) or b"").read_node

    def consistency(self, size1: int, size2: int) -> list[bytes]:
        """The proof that the log of `size1` entries is the beginning of that of `size2`."""
        return consistency_proof(self.read_node, size1, size2)

    # --- epochs ---

    def validators(self, epoch: int) -> tuple[Validator, ...]:
        """The set of an epoch.

        Raises:
            NotThere: it is not known yet, or there is none.
        """
        row = read_row(self.reader, ValidatorsRow, validators_key(epoch)) if epoch else None
        if row is None:
            raise NotThere(f"no validator set of an epoch {epoch} is known; they begin with 1")
        return row.validators

    def policy(self, epoch: int) -> Policy:
        """The policy of an epoch's set.

        Raises:
            NotThere: as `validators`.
        """
        return policy_of(self.origin, self.validators(epoch))

    def ended(self, certified: Certificate) -> int:
        """The newest epoch whose last block is certified (0: none)."""
        return certified.height // self.epoch_blocks

    def end_of(self, epoch: int) -> EpochEnd:
        """The proof of an epoch's last seal; the epoch has ended under a certified checkpoint."""
        height = epoch * self.epoch_blocks
        row = need_row(self.reader, CheckpointRow, CHECKPOINT + height.to_bytes(8))
        proof = inclusion_proof(self.read_node, row.size - 1, row.size)
        seal = entry_at(self.reader, row.size - 1)
        return EpochEnd(row.size, seal, tuple(proof), row.cosignatures)

    def chain(self, certified: Certificate, first: int, limit: int) -> list[EpochEnd]:
        """The ends of the epochs from `first` up, one after the other: at most `limit`, 256, and
        about 4 MiB."""
        return self._page(range(first, min(self.ended(certified), first + limit - 1) + 1))

    def leading(self, certified: Certificate, first: int = 1) -> list[EpochEnd]:
        """The epoch ends from `first` up that lead to the newest set: those at which it changed,
        and the newest one. At most a page of them; the last of a page says where to go on."""
        ended = self.ended(certified)
        chosen = [epoch for epoch in self.changes(ended) if epoch >= first]
        if ended >= first and ended not in chosen:
            chosen.append(ended)
        return self._page(chosen)

    def changes(self, ended: int) -> list[int]:
        """The epochs up to `ended` whose end names another set than their own."""
        found = self._changes = self._changes or []
        while self._looked <= ended:
            epoch = self._looked
            if self.reader.get(validators_key(epoch)) != self.reader.get(validators_key(epoch + 1)):
                found.append(epoch)
            self._looked += 1
        return [epoch for epoch in found if epoch <= ended]

    def _page(self, epochs: "range | list[int]") -> list[EpochEnd]:
        page, size_bytes = list[EpochEnd](), 0
        for epoch in epochs:
            if len(page) == PAGE_ENDS_MAX or size_bytes > PAGE_BYTES:
                break
            page.append(self.end_of(epoch))
            size_bytes += len(encode(page[-1]))
        return page
