"""The index as one piece of bytes, from which it stands again without hashing anything.

    image = ["standing-index/1", kids, nodes, bits, ups, leaves, leaf_ups]          each `bin`

The arrays are those of `ledger/patricia.py`, numbers in little-endian order. An image proves
nothing: whoever reads one must know that it is the image that was written, by a hash that it keeps
elsewhere.
"""

from array import array
from typing import Final, Literal

import msgspec

from ledger.encoding import Value, decoder, encode
from ledger.errors import Malformed
from ledger.index import Index
from ledger.leaftable import LeafTable
from ledger.mapproof import LEAF_BYTES
from ledger.patricia import NODE_BYTES, Tree

_BIG_ENDIAN: Final = array("I", [1]).tobytes()[0] == 0


class _Image(Value):
    format: Literal["standing-index/1"]
    kids: bytes
    nodes: bytes
    bits: bytes
    ups: bytes
    leaves: bytes
    leaf_ups: bytes


def image_of(index: Index) -> bytes:
    """The image of an index's current state."""
    tree = index.tree
    return encode(
        _Image(
            "standing-index/1",
            _bytes(tree.kids),
            bytes(tree.nodes),
            _bytes(tree.bits),
            _bytes(tree.ups),
            bytes(tree.leaves),
            _bytes(tree.leaf_ups),
        )
    )


def index_of(image: bytes, window_blocks: int, version: int) -> Index:
    """The index that an image is of; its state is that of `version`.

    Raises:
        Malformed: it is no image, or its arrays are not of one tree.
    """
    try:
        read = decoder(_Image).decode(image)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Malformed(f"the image of an index cannot be decoded: {error}") from error
    inner, leaves = len(read.nodes) // NODE_BYTES, len(read.leaves) // LEAF_BYTES
    lengths = tuple(map(len, (read.nodes, read.kids, read.bits, read.ups, read.leaf_ups)))
    expected = (inner * NODE_BYTES, inner * 8, inner * 2, inner * 4, leaves * 4)
    if lengths != expected or len(read.leaves) % LEAF_BYTES or inner != max(1, leaves):
        raise Malformed("the image of an index has arrays of other lengths than a tree's")
    tree = Tree()
    tree.kids, tree.bits = _numbers("I", read.kids), _numbers("h", read.bits)
    tree.ups, tree.leaf_ups = _numbers("I", read.ups), _numbers("I", read.leaf_ups)
    tree.nodes, tree.leaves = bytearray(read.nodes), bytearray(read.leaves)
    tree.table = LeafTable(tree.leaves, leaves)
    tree.table.fill()
    return Index.of_tree(tree, window_blocks, version)


def _bytes(numbers: "array[int]") -> bytes:
    if _BIG_ENDIAN:
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()


def _numbers(kind: Literal["I", "h"], data: bytes) -> "array[int]":
    numbers = array(kind, data)
    if _BIG_ENDIAN:
        numbers.byteswap()
    return numbers
