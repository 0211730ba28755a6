"""Beside the log: the blocks, refusal lists and signed batch headers that its entries follow from.

The log holds entries and seals. What shows that nobody left a record out or made one up is public
too, in two kinds of files under the log's prefix:

    block/<N>                 [block, [refusal, …]] of height N: canonical MessagePack, for ever
    lane/<lane>/<N>[.p/<W>]   the lane's headers of heights 256·N + 1 … 256·N + 256 (W: the first
                              W of them), each uint16be length ‖ [header, signature]

Numbers are written as in tiles (`x001/x234/067`), the lane in plain decimal. Refusals are as the
seal hashes them: [lane, batch height, position, commitment, SHA-256(salt ‖ rule)].

`Walk` checks it all against the log, block by block from genesis up: the block has the hash that
its seal names and its parent is the one before; so has the refusal list; each tip leads down, by
headers that link, that their platform has signed and whose times rise, to the lane's earlier tip;
and each header's root and count are those of the commitments that stand for it, in order, among
the block's entries and refusals. So every record under the cut is in the log or refused, once.
Lanes of platforms whose keys the caller does not give are not accepted.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final

import msgspec

from ledger.batch import (
    ENTRY_BYTES,
    batch_root,
    header_hash,
    header_message,
)
from ledger.block import Block, Refusal, Seal, Tip, block_hash, decode_seal, refusals_hash
from ledger.encoding import Value, decode, encode
from ledger.errors import BadProof, Malformed
from ledger.hashing import ZERO_HASH
from ledger.rows import BlockRow, HeaderRow
from ledger.signing import check
from ledger.tiles import TILE_WIDTH, decode_entry_bundle, encode_entry_bundle, entries_path

BLOCK_FILE_BYTES_MAX: Final = 64 * 1_024 * 1_024
HEADER_ROW_BYTES_MAX: Final = 1_024
_ENTRIES: Final = "tile/entries/"
_PLACE: Final = re.compile(r"(?P<index>(?:x[0-9]{3}/){0,6}[0-9]{3})\Z", re.ASCII)
_LANE: Final = re.compile(
    r"lane/(?P<lane>[1-9][0-9]{0,9})/(?P<index>(?:x[0-9]{3}/){0,6}[0-9]{3})"
    r"(?:\.p/(?P<width>[1-9][0-9]{0,2}))?\Z",
    re.ASCII,
)
PATH_BYTES_MAX: Final = 64
LANE_MAX: Final = 2**32 - 1
"""A lane is a platform's number."""

ReadHeaders = Callable[[int, int, int], Sequence[HeaderRow]]
Refusals = Annotated[tuple[Refusal, ...], msgspec.Meta(max_length=2**20)]


class BlockFile(Value):
    """What is public of a block besides its entries."""

    block: Block
    refusals: Refusals


# --- paths ---


def block_path(height: int) -> str:
    """`block/<N>`, relative to the log's prefix."""
    return "block/" + _number(height)


def lane_path(lane: int, index: int, width: int = TILE_WIDTH) -> str:
    """`lane/<lane>/<N>[.p/<W>]`, relative to the log's prefix."""
    return f"lane/{lane}/{entries_path(index, width).removeprefix(_ENTRIES)}"


def _number(number: int) -> str:
    return entries_path(number).removeprefix(_ENTRIES)


def parse_block_path(path: str) -> int:
    """The height that a path of a block names.

    Raises:
        Malformed: the path is not in its one form.
    """
    match = _PLACE.match(path.removeprefix("block/")) if len(path) <= PATH_BYTES_MAX else None
    height = int(match["index"].replace("x", "").replace("/", "")) if match else 0
    if match is None or block_path(height) != path:
        raise Malformed("is not the path of a block", field="path")
    return height


def parse_lane_path(path: str) -> tuple[int, int, int]:
    """Lane, index and width that a path of a lane's headers names.

    Raises:
        Malformed: the path is not in its one form.
    """
    match = _LANE.match(path) if len(path) <= PATH_BYTES_MAX else None
    if match is None:
        raise Malformed("is not the path of a lane's headers", field="path")
    lane, width = int(match["lane"]), int(match["width"] or TILE_WIDTH)
    index = int(match["index"].replace("x", "").replace("/", ""))
    too_wide = match["width"] is not None and width >= TILE_WIDTH
    if too_wide or lane > LANE_MAX or lane_path(lane, index, width) != path:
        raise Malformed("is not the path of a lane's headers", field="path")
    return lane, index, width


# --- files ---


def encode_block_file(row: BlockRow) -> bytes:
    """The public file of an executed block."""
    return encode(BlockFile(row.block, row.refusals))


def decode_block_file(data: bytes) -> BlockFile:
    """The block and the refusals of a block's file.

    Raises:
        Malformed: not in its one form.
    """
    return decode(BlockFile, data, bytes_max=BLOCK_FILE_BYTES_MAX, what="block file")


def encode_headers(rows: Sequence[HeaderRow]) -> bytes:
    """A file of 1 to 256 signed headers of one lane."""
    return encode_entry_bundle([encode(row) for row in rows])


def decode_headers(data: bytes) -> list[HeaderRow]:
    """The signed headers of a file; nothing is verified yet.

    Raises:
        Malformed: not in its one form.
    """
    return [
        decode(HeaderRow, each, bytes_max=HEADER_ROW_BYTES_MAX, what="header")
        for each in decode_entry_bundle(data)
    ]


# --- checking ---


@dataclass(slots=True)
class Walk:
    """Follows the public side of a ledger, block by block; `height` is the last one that held.

    `lane_keys(epoch)` gives each platform's lane key; `read_headers(lane, first, last)` the signed
    headers of these heights of a lane. Executed first is block 0, by its seal.
    """

    chain: bytes
    lane_keys: Callable[[int], Mapping[int, bytes]]
    read_headers: ReadHeaders
    height: int = -1
    name: bytes = ZERO_HASH
    tips: dict[int, Tip] = field(default_factory=dict)
    times: dict[int, int] = field(default_factory=dict)

    def step(self, data: bytes, entries: Sequence[bytes]) -> Seal:
        """Check the next block by its file and its entries of the log, the seal last.

        Raises:
            Malformed: a part is not in its one form.
            BadProof, BadSignature: says what does not hold; nothing is taken over then.
        """
        found, seal = decode_block_file(data), decode_seal(entries[-1])
        block = found.block
        where = f"block {self.height + 1}"
        name = block_hash(self.chain, block) if block.height else self.chain
        if (block.height, seal.height) != (self.height + 1, self.height + 1):
            raise BadProof("is not the next one", field=where)
        if name != seal.block or seal.previous != self.name or block.parent != self.name:
            raise BadProof("is not the one that the seal names, or its parent", field=where)
        if block.time != seal.time or refusals_hash(found.refusals) != seal.refusals:
            raise BadProof("has not the time or the refusals that the seal names", field=where)
        waiting = _by_batch(entries[:-1], found.refusals)
        tips, times = dict(self.tips), dict(self.times)
        for tip in block.tips:
            times[tip.lane] = self._lane(block, tip, waiting)
            tips[tip.lane] = tip
        if waiting:
            raise BadProof("has entries or refusals of batches not under its cut", field=where)
        self.height, self.name, self.tips, self.times = block.height, name, tips, times
        return seal

    def _lane(
        self, block: Block, tip: Tip, waiting: dict[tuple[int, int], dict[int, bytes]]
    ) -> int:
        """Follow a lane from its earlier tip to the new one; the time of the new one."""
        before = self.tips.get(tip.lane)
        first = before.height + 1 if before else 1
        previous = before.hash if before else self.chain
        time, where = self.times.get(tip.lane, -1), f"lane {tip.lane}"
        key = self.lane_keys(block.epoch).get(tip.lane)
        rows = self.read_headers(tip.lane, first, tip.height) if tip.height >= first else ()
        if key is None or len(rows) != tip.height + 1 - first or not rows:
            raise BadProof(f"does not lead to block {block.height}'s tip", field=where)
        for height, row in enumerate(rows, first):
            header, place = row.header, f"{where}, height {height}"
            if (header.lane, header.height, header.previous) != (tip.lane, height, previous):
                raise BadProof("does not link to the header below", field=place)
            if header.time <= time:
                raise BadProof("is not later than the header below", field=place)
            check(key, header_message(self.chain, header), row.signature, what=place)
            found = waiting.pop((tip.lane, height), {})
            ordered = [found[at] for at in sorted(found)]
            if sorted(found) != list(range(header.count)) or batch_root(ordered) != header.root:
                raise BadProof("its entries and refusals are not what was signed", field=place)
            previous, time = header_hash(self.chain, header), header.time
        if previous != tip.hash:
            raise BadProof(f"does not lead to block {block.height}'s tip", field=where)
        return time


def _by_batch(
    entries: Iterable[bytes], refusals: Iterable[Refusal]
) -> dict[tuple[int, int], dict[int, bytes]]:
    """(lane, height) → position → commitment, over the entries and refusals of one block."""
    found: dict[tuple[int, int], dict[int, bytes]] = {}
    places = [_place(entry) for entry in entries]
    places += [(each.lane, each.height, each.position, each.commitment) for each in refusals]
    for lane, height, position, commitment in places:
        batch = found.setdefault((lane, height), {})
        if position in batch:
            raise BadProof(f"position {position} of batch {lane}/{height} stands there twice")
        batch[position] = commitment
    return found


def _place(entry: bytes) -> tuple[int, int, int, bytes]:
    """Lane, batch height, position and commitment of a record's entry."""
    if len(entry) != ENTRY_BYTES or entry[0] != 0:
        raise Malformed("is not the entry of a record", field="entry")
    lane, height = int.from_bytes(entry[1:5]), int.from_bytes(entry[5:13])
    return lane, height, int.from_bytes(entry[13:15]), entry[15:]
