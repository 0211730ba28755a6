"""What a block overwrote in the tree of the index: laid over the tree, it shows it as it was.

A log is filled in the order of writing, and ordered when it is first asked: most never are.
"""

from array import array
from bisect import bisect_left

from ledger.hashing import HASH_BYTES

_PLACE_BITS = 32
_POSITION = (1 << _PLACE_BITS) - 1


class Column:
    """32-byte values by place. Each place stands there once."""

    def __init__(self) -> None:
        self.places = array("I")
        self.values = bytearray()
        self._order = array("Q")

    def find(self, place: int) -> bytes | None:
        """The value logged for a place."""
        order = self._order
        if not order and self.places:
            numbered = enumerate(self.places)
            order = self._order = array("Q", sorted([at << _PLACE_BITS | n for n, at in numbered]))
        at = bisect_left(order, place << _PLACE_BITS)
        if at == len(order) or order[at] >> _PLACE_BITS != place:
            return None
        start = (order[at] & _POSITION) * HASH_BYTES
        return bytes(self.values[start : start + HASH_BYTES])


class Overwritten:
    """What one block overwrote: hashes and references by place, values by leaf.

    Leaves from number `leaves_from` to before `leaves_to` are those that the block inserted.
    """

    def __init__(self, leaves_from: int) -> None:
        self.hashes = Column()
        self.values = Column()
        self.refs: dict[int, int] = {}
        self.leaves_from = self.leaves_to = leaves_from

    def __len__(self) -> int:
        """How many keys the block set."""
        return len(self.values.places)
