"""The index with its window as one stream of bytes, from which it stands again without hashing.

    image = "standing-window/1" ‖ head's length (u32be) ‖ head ‖ arrays, end to end ‖ SHA-256
    head  = [inner nodes, leaves, heights that have undo rows,
             [[version, root, leaves from, leaves to, hashes, values, references]*]]

The arrays are those of `ledger/patricia.py` (kids, nodes, bits, ups, leaves, leaf_ups), then, for
each version but the oldest, what it overwrote (`ledger/overwritten.py`): places and values of its
hashes, places and values of its leaves, slot and reference of each child. Numbers are little-endian
uint32 (bits: int16); the hash is over all that stands before it.

An image proves nothing. Whoever reads one wrote it, and holds it against the roots that the blocks
have sealed (`ledger/loading.py`).
"""

from array import array
from collections.abc import Callable, Iterator
from hashlib import sha256 as _sha256
from typing import Any, Final

import msgspec

from ledger.encoding import Hash, Uint, Value, decoder, encode
from ledger.errors import Malformed
from ledger.hashing import HASH_BYTES
from ledger.index import Index
from ledger.leaftable import LeafTable
from ledger.mapproof import LEAF_BYTES, VALUE_BYTES
from ledger.overwritten import Overwritten
from ledger.patricia import NODE_BYTES, Tree

MAGIC: Final = b"standing-window/1"
HEAD_BYTES_MAX: Final = 4 * 1_024 * 1_024
PIECE_BYTES: Final = 1_024 * 1_024
"""So much is hashed at a time."""

_BIG_ENDIAN: Final = array("I", [1]).tobytes()[0] == 0
_LENGTH_BYTES: Final = 4

Fill = Callable[[memoryview], int]
"""Reads on from where it stands until the buffer is full, or nothing is left; how many bytes."""


class _Step(Value):
    """A version, and how much of what it overwrote is kept."""

    version: Uint
    root: Hash
    leaves_from: Uint
    leaves_to: Uint
    hashes: Uint
    values: Uint
    references: Uint

    @property
    def bytes(self) -> int:
        """How many bytes its arrays have."""
        return (
            self.hashes * (4 + HASH_BYTES) + self.values * (4 + VALUE_BYTES) + self.references * 8
        )


class _Head(Value):
    inner: Uint
    leaves: Uint
    stored: tuple[Uint, ...]
    steps: tuple[_Step, ...]

    @property
    def bytes(self) -> int:
        """How many bytes all arrays have."""
        tree = self.inner * (8 + NODE_BYTES + 2 + 4) + self.leaves * (LEAF_BYTES + 4)
        return tree + sum(step.bytes for step in self.steps)


def image_pieces(index: Index) -> Iterator[bytes | memoryview]:
    """The image of an index, piece by piece. Nothing may change the index meanwhile."""
    hashed = _sha256()
    for whole in _parts(index):
        for at in range(0, len(whole), PIECE_BYTES):
            piece = whole[at : at + PIECE_BYTES]
            hashed.update(piece)
            yield piece
    yield hashed.digest()


def _parts(index: Index) -> Iterator[bytes | memoryview]:
    tree, versions = index.tree, index.versions()
    logs = [(version, index.overwritten.get(version, Overwritten(0))) for version in versions]
    steps = tuple(
        _Step(
            version,
            index.root(version),
            log.leaves_from,
            log.leaves_to,
            len(log.hashes.places),
            len(log.values.places),
            len(log.refs),
        )
        for version, log in logs
    )
    head = encode(_Head(len(tree.bits), len(tree), tuple(sorted(index.stored)), steps))
    yield MAGIC + len(head).to_bytes(_LENGTH_BYTES) + head
    for numbers in (tree.kids, tree.nodes, tree.bits, tree.ups, tree.leaves, tree.leaf_ups):
        yield _bytes(numbers)
    for _, log in logs:
        yield _bytes(log.hashes.places)
        yield _bytes(log.hashes.values)
        yield _bytes(log.values.places)
        yield _bytes(log.values.values)
        yield _bytes(array("I", [number for pair in log.refs.items() for number in pair]))


def read_image(fill: Fill, size: int, window_blocks: int) -> Index:
    """The index that an image of `size` bytes is of, with as much of its window as it may keep.

    Raises:
        Malformed: it is not what was written.
    """
    source = _Source(fill, size)
    head = source.head()
    tree = Tree()
    tree.kids = source.numbers("I", 2 * head.inner)
    tree.nodes = source.data(head.inner * NODE_BYTES)
    tree.bits = source.numbers("h", head.inner)
    tree.ups = source.numbers("I", head.inner)
    tree.leaves = source.data(head.leaves * LEAF_BYTES)
    tree.leaf_ups = source.numbers("I", head.leaves)
    logs = {step.version: _read_log(source, step) for step in head.steps}
    source.end()
    tree.table = LeafTable(tree.leaves, head.leaves)
    tree.table.fill()
    versions = {step.version: step.root for step in head.steps}
    return Index.resumed(tree, window_blocks, versions, logs, frozenset(head.stored))


def _read_log(source: "_Source", step: _Step) -> Overwritten:
    log = Overwritten(step.leaves_from)
    log.leaves_to = step.leaves_to
    log.hashes.places = source.numbers("I", step.hashes)
    log.hashes.values = source.data(step.hashes * HASH_BYTES)
    log.values.places = source.numbers("I", step.values)
    log.values.values = source.data(step.values * VALUE_BYTES)
    pairs = source.numbers("I", 2 * step.references)
    log.refs = dict(zip(pairs[::2], pairs[1::2], strict=True))
    return log


class _Source:
    """A stream that is hashed while it is read."""

    def __init__(self, fill: Fill, size: int) -> None:
        self._fill = fill
        self._size = size
        self._hashed = _sha256()

    def head(self) -> _Head:
        magic = bytes(self.data(len(MAGIC)))
        length = int.from_bytes(self.data(_LENGTH_BYTES))
        if magic != MAGIC or length > min(HEAD_BYTES_MAX, self._size):
            raise Malformed("is no image of an index")
        try:
            head = decoder(_Head).decode(self.data(length))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Malformed(f"the image of an index cannot be decoded: {error}") from error
        fixed = len(MAGIC) + _LENGTH_BYTES + length + HASH_BYTES
        if self._size != fixed + head.bytes or head.inner != max(1, head.leaves):
            raise Malformed("the image of an index has another length than it tells")
        return head

    def data(self, count: int) -> bytearray:
        data = bytearray(count)
        with memoryview(data) as view:
            self._read(view)
        return data

    def numbers(self, kind: Any, count: int) -> "array[int]":
        numbers = array(kind, [0]) * count
        with memoryview(numbers) as wide, wide.cast("B") as view:
            self._read(view)
        if _BIG_ENDIAN:
            numbers.byteswap()
        return numbers

    def _read(self, view: memoryview) -> None:
        for at in range(0, len(view), PIECE_BYTES):
            piece = view[at : at + PIECE_BYTES]
            if self._fill(piece) != len(piece):
                raise Malformed("the image of an index ends early")
            self._hashed.update(piece)

    def end(self) -> None:
        expected, told = self._hashed.digest(), bytearray(HASH_BYTES)
        if self._fill(memoryview(told)) != HASH_BYTES or told != expected:
            raise Malformed("the image of an index is not what was written")


def _bytes(numbers: "array[int] | bytearray") -> memoryview:
    if _BIG_ENDIAN and isinstance(numbers, array):
        numbers = numbers[:]
        numbers.byteswap()
    return memoryview(numbers).cast("B")
