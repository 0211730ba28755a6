"""Tiles: how a log's tree and entries are cut into files that never change (C2SP tlog-tiles).

A tile (level L, index N) is a row of up to 256 hashes of 32 bytes, laid end to end. Its entry i is
the root over the leaves (256·N + i)·256^L … (256·N + i + 1)·256^L − 1: so the entries of level 0
are leaf hashes, and an entry of level L + 1 is the root of a *full* tile of level L. With s leaves,
level L has floor(s / 256^L) entries: full tiles, and where that is no multiple of 256, one partial
tile of the remaining width. Empty tiles do not exist.

    tile/<L>/<N>            a full tile             L: 0 … 63
    tile/<L>/<N>.p/<W>      a partial tile          W: 1 … 255
    tile/entries/<N>[.p/<W>]  the entries under a tile of level 0, each as uint16be length ‖ entry

N is written in groups of three digits, all but the last behind an `x`: 1234067 is `x001/x234/067`.
There is one way to write each path, and the parser takes no other.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ledger import merkle
from ledger.errors import BadProof, Malformed
from ledger.hashing import HASH_BYTES

TILE_WIDTH: Final = 256
TILE_HEIGHT: Final = 8
LEVEL_MAX: Final = 63
ENTRY_BYTES_MAX: Final = 65_535
TILE_BYTES: Final = TILE_WIDTH * HASH_BYTES
BUNDLE_BYTES_MAX: Final = TILE_WIDTH * (2 + ENTRY_BYTES_MAX)
PATH_BYTES_MAX: Final = 64

_PATH: Final = re.compile(
    r"tile/(?P<level>entries|0|[1-9][0-9]?)/(?P<index>(?:x[0-9]{3}/){0,6}[0-9]{3})"
    r"(?:\.p/(?P<width>[1-9][0-9]{0,2}))?\Z",
    re.ASCII,
)

ReadTile = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class TilePath:
    """Which tile a path names. `level` is None for a bundle of entries; `width` 1 … 256."""

    level: int | None
    index: int
    width: int

    def format(self) -> str:
        """The one path of this tile."""
        *groups, last = _groups(self.index)
        level = "entries" if self.level is None else str(self.level)
        index = "".join(f"x{group}/" for group in groups) + last
        return f"tile/{level}/{index}" + ("" if self.width == TILE_WIDTH else f".p/{self.width}")


def _groups(index: int) -> list[str]:
    digits = str(index)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    return [digits[at : at + 3] for at in range(0, len(digits), 3)]


def tile_path(level: int, index: int, width: int = TILE_WIDTH) -> str:
    """`tile/<L>/<N>[.p/<W>]`, relative to the log's prefix."""
    return TilePath(level, index, width).format()


def entries_path(index: int, width: int = TILE_WIDTH) -> str:
    """`tile/entries/<N>[.p/<W>]`, relative to the log's prefix."""
    return TilePath(None, index, width).format()


def parse_tile_path(path: str) -> TilePath:
    """The tile that a path names.

    Raises:
        Malformed: the path is not in its one form, or a number is out of bounds.
    """
    match = _PATH.match(path) if len(path) <= PATH_BYTES_MAX else None
    if match is None:
        raise Malformed("is not the path of a tile", field="path")
    level = None if match["level"] == "entries" else int(match["level"])
    index = int(match["index"].replace("x", "").replace("/", ""))
    parsed = TilePath(level, index, int(match["width"] or TILE_WIDTH))
    too_wide = match["width"] is not None and parsed.width >= TILE_WIDTH
    if too_wide or (level or 0) > LEVEL_MAX or parsed.format() != path:
        raise Malformed("is not the path of a tile", field="path")
    return parsed


# --- which tiles exist ---


def level_entries(level: int, size: int) -> int:
    """How many entries level L has in a log of `size` leaves."""
    return size >> (TILE_HEIGHT * level)


def tile_width(level: int, index: int, size: int) -> int:
    """The width of a tile in a log of `size` leaves: 256 if full, 0 if there is none."""
    return max(0, min(TILE_WIDTH, level_entries(level, size) - index * TILE_WIDTH))


def tile_exists(path: TilePath, size: int) -> bool:
    """Whether a log of `size` leaves may be asked for this tile. Narrower partial tiles of the
    right edge are the beginnings of wider ones, and exist for every earlier size."""
    return path.width <= tile_width(path.level or 0, path.index, size)


def tiles_of(size: int) -> Iterator[TilePath]:
    """The hash tiles of a log of exactly `size` leaves, level by level, left to right."""
    level = 0
    while entries := level_entries(level, size):
        for index in range(-(-entries // TILE_WIDTH)):
            yield TilePath(level, index, tile_width(level, index, size))
        level += 1


# --- entries ---


def encode_entry_bundle(entries: Sequence[bytes]) -> bytes:
    """uint16be length ‖ entry, for 1 to 256 entries.

    Raises:
        Malformed: no entry, too many, or an entry that is too long.
    """
    if not 1 <= len(entries) <= TILE_WIDTH:
        raise Malformed(f"a bundle has 1 to {TILE_WIDTH} entries")
    if any(len(entry) > ENTRY_BYTES_MAX for entry in entries):
        raise Malformed(f"an entry has at most {ENTRY_BYTES_MAX} bytes")
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def decode_entry_bundle(data: bytes) -> list[bytes]:
    """The entries of a bundle.

    Raises:
        Malformed: no entry, more than 256, or bytes that end too early.
    """
    entries, at = list[bytes](), 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if at + 2 > len(data) or end > len(data) or len(entries) == TILE_WIDTH:
            raise Malformed(f"a bundle is 1 to {TILE_WIDTH} entries, each behind its length")
        entries.append(data[at + 2 : end])
        at = end
    if not entries:
        raise Malformed(f"a bundle is 1 to {TILE_WIDTH} entries, each behind its length")
    return entries


# --- rows ---


def _hashes(row: bytes) -> list[bytes]:
    return [row[at : at + HASH_BYTES] for at in range(0, len(row), HASH_BYTES)]


class TileReader:
    """Complete subtrees out of tiles, for the proofs of ledger.merkle: pass `reader.read_node`.

    `read_tile(level, index)` returns the hashes of a tile that are known, laid end to end. Tiles
    that were read are kept as long as the reader is; make one per proof or per request.
    """

    def __init__(self, read_tile: ReadTile) -> None:
        self._read_tile = read_tile
        self._kept: dict[tuple[int, int], bytes] = {}

    def read_node(self, level: int, index: int) -> bytes:
        """The root of the complete subtree of 2^level leaves.

        Raises:
            BadProof: the tile does not reach so far.
        """
        tile_level, height = divmod(level, TILE_HEIGHT)
        tile_index, first = divmod(index << height, TILE_WIDTH)
        row = self._tile(tile_level, tile_index)
        part = row[first * HASH_BYTES : (first + (1 << height)) * HASH_BYTES]
        if len(part) != HASH_BYTES << height:
            raise BadProof(
                f"{tile_path(tile_level, tile_index)} has no hash {first + (1 << height) - 1}"
            )
        return merkle.root(_hashes(part))

    def _tile(self, level: int, index: int) -> bytes:
        if (level, index) not in self._kept:
            self._kept[level, index] = self._read_tile(level, index)
        return self._kept[level, index]


def frontier_of(read_tile: ReadTile, size: int) -> merkle.Frontier:
    """The frontier of a log of `size` leaves out of the rows of its right edge; reads one row and
    hashes at most 255 times a level, however many leaves there are.

    Raises:
        BadProof: a row has not its width.
    """
    parts, level = list[tuple[bytes, ...]](), 0
    while entries := level_entries(level, size):
        index, width = divmod(entries, TILE_WIDTH)
        row = read_tile(level, index)[: width * HASH_BYTES] if width else b""
        if len(row) != width * HASH_BYTES:
            raise BadProof(f"{tile_path(level, index)} has {len(row)} bytes for {width} hashes")
        parts.append(merkle.Frontier().extend(_hashes(row)).hashes)
        level += 1
    return merkle.Frontier(size, tuple(found for part in reversed(parts) for found in part))


def append_to_tiles(
    read_tile: ReadTile, size: int, new_leaf_hashes: Iterable[bytes]
) -> dict[tuple[int, int], bytes]:
    """The rows that change when leaves are appended to a log of `size` leaves.

    `read_tile(level, index)` returns a row of the old log; it is asked for partial rows of the
    right edge only. Returns (level, index) → the whole new row, 32 to 8192 bytes.

    Raises:
        BadProof: a row of the old log has not its width.
    """
    changed, level, added = dict[tuple[int, int], bytes](), 0, list(new_leaf_hashes)
    while added:
        index, width = divmod(level_entries(level, size), TILE_WIDTH)
        row = read_tile(level, index) if width else b""
        if len(row) != width * HASH_BYTES:
            raise BadProof(f"{tile_path(level, index)} has {len(row)} bytes for {width} hashes")
        row += b"".join(added)
        added = []
        for at in range(0, len(row), TILE_BYTES):
            tile = row[at : at + TILE_BYTES]
            changed[level, index] = tile
            index += 1
            if len(tile) == TILE_BYTES:
                added.append(merkle.root(_hashes(tile)))
        level += 1
    return changed
