"""Keys that can be destroyed one by one, without being stored one by one.

A *slot* is a number below 2^41; each has a key of 32 bytes. All keys follow from 65,536 random
*bucket* keys: below a bucket stands a tree of 5 levels, 32 children to a node, and a child's key is
SHA-256(parent's key ‖ its digit (u8)). To destroy a slot's key, the nodes on the way to it are
forgotten and the siblings beside that way are kept instead: every other slot's key still follows,
this one's does not any more (a puncturable pseudorandom function after Goldreich, Goldwasser and
Micali). So what must be kept is 2 MiB, and at most 6,045 bytes more for each slot destroyed.

    kept = bucket keys (65,536 × 32; zero bytes: this bucket is split)
           ‖ number of nodes (u32be) ‖ (depth (u8) ‖ path (u48be) ‖ key (32))*      ascending

A node's path is the upper bits of the slots below it: 16 of the bucket, then 5 for each level.
"""

from collections.abc import Callable, Iterable
from hashlib import sha256 as _sha256
from typing import Final

KEY_BYTES: Final = 32
SLOT_BITS: Final = 41
LEVELS: Final = 5
BUCKETS: Final = 1 << 16

_DIGIT_BITS: Final = 5
_DIGIT_MASK: Final = 31
_DIGITS: Final = tuple(bytes([digit]) for digit in range(1 << _DIGIT_BITS))
_BELOW_BITS: Final = LEVELS * _DIGIT_BITS
_TABLE_BYTES: Final = BUCKETS * KEY_BYTES
_SPLIT: Final = bytes(KEY_BYTES)
_NODE_BYTES: Final = 1 + 6 + KEY_BYTES
_SHIFTS: Final = tuple(
    tuple(range(_BELOW_BITS - _DIGIT_BITS * (depth + 1), -1, -_DIGIT_BITS))
    for depth in range(LEVELS + 1)
)
"""Depth of a node → how far to shift a slot for each digit below the node."""


class KeyTree:
    """The keys of all slots but those destroyed."""

    def __init__(self, table: bytearray, nodes: dict[tuple[int, int], bytes]) -> None:
        self._table = table
        self._nodes = nodes

    @classmethod
    def new(cls, random: Callable[[int], bytes]) -> "KeyTree":
        """A tree in which no key is destroyed. `random(n)` yields n random bytes."""
        return cls(bytearray(random(_TABLE_BYTES)), {})

    def key(self, slot: int) -> bytes | None:
        """A slot's key (32 bytes), or None if it is destroyed."""
        depth, node = 0, self._bucket(slot)
        if node == _SPLIT:
            covering = self._covering(slot)
            if covering is None:
                return None
            depth, node = covering
        for shift in _SHIFTS[depth]:
            node = _sha256(node + _DIGITS[slot >> shift & _DIGIT_MASK]).digest()
        return node

    def destroy(self, slots: Iterable[int]) -> bool:
        """Forget the keys of slots; whether there was any of them left."""
        left = 0
        for slot in slots:
            left += self._destroy(slot)
        return left > 0

    def encode(self) -> bytes:
        """What must be kept."""
        nodes = b"".join(
            bytes([depth]) + path.to_bytes(6) + key
            for (depth, path), key in sorted(self._nodes.items())
        )
        return bytes(self._table) + len(self._nodes).to_bytes(4) + nodes

    @classmethod
    def decode(cls, data: bytes) -> "KeyTree":
        """Read what was kept.

        Raises:
            ValueError: it is not of this form.
        """
        head, count = data[:_TABLE_BYTES], int.from_bytes(data[_TABLE_BYTES : _TABLE_BYTES + 4])
        rest = data[_TABLE_BYTES + 4 :]
        if len(head) != _TABLE_BYTES or len(rest) != count * _NODE_BYTES:
            raise ValueError("has another length than it tells")
        nodes: dict[tuple[int, int], bytes] = {}
        for at in range(0, len(rest), _NODE_BYTES):
            depth, path = rest[at], int.from_bytes(rest[at + 1 : at + 7])
            nodes[depth, path] = rest[at + 7 : at + _NODE_BYTES]
        return cls(bytearray(head), nodes)

    def _bucket(self, slot: int) -> bytes:
        if not 0 <= slot < 1 << SLOT_BITS:
            raise ValueError(f"{slot} is no slot")
        begin = (slot >> _BELOW_BITS) * KEY_BYTES
        return bytes(self._table[begin : begin + KEY_BYTES])

    def _covering(self, slot: int) -> tuple[int, bytes] | None:
        """The node of a split bucket from which a slot's key still follows."""
        for depth in range(1, LEVELS + 1):
            node = self._nodes.get((depth, slot >> _BELOW_BITS - _DIGIT_BITS * depth))
            if node is not None:
                return depth, node
        return None

    def _destroy(self, slot: int) -> bool:
        depth, node = 0, self._bucket(slot)
        if node == _SPLIT:
            covering = self._covering(slot)
            if covering is None:
                return False
            depth, node = covering
            del self._nodes[depth, slot >> _BELOW_BITS - _DIGIT_BITS * depth]
        else:
            begin = (slot >> _BELOW_BITS) * KEY_BYTES
            self._table[begin : begin + KEY_BYTES] = _SPLIT
        for below, shift in enumerate(_SHIFTS[depth], depth + 1):
            path = slot >> shift
            first = path & ~_DIGIT_MASK
            for digit in _DIGITS:
                if first | digit[0] != path:
                    self._nodes[below, first | digit[0]] = _sha256(node + digit).digest()
            node = _sha256(node + _DIGITS[path & _DIGIT_MASK]).digest()
        return True
