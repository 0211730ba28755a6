"""Where the leaf of a key is: a hash table of 4 bytes a slot, beside the keys that leaves hold.

Open addressing with linear probing, in 256 parts that grow by themselves, so that no insertion
takes long. Python's hash of bytes is keyed anew in every process: nobody can choose keys that meet
in one slot, and nothing but speed depends on it.
"""

from array import array
from collections.abc import Iterable, Iterator
from typing import Final

KEY_BYTES: Final = 32
LEAF_BYTES: Final = 64
PARTS: Final = 256
_PART_BITS: Final = 8
_SLOTS_MIN: Final = 8
_COPIED_BYTES: Final = 16_384 * LEAF_BYTES


class LeafTable:
    """References by key. `leaves` holds key ‖ value of each: a leaf's reference is the odd number
    2n + 1, its key begins at 64·n."""

    def __init__(self, leaves: bytearray, expected: int = 0) -> None:
        """A table with room for `expected` keys before it grows."""
        self.leaves = leaves
        slots = _SLOTS_MIN
        while slots * PARTS < 2 * expected:
            slots *= 2
        self.parts = [array("I", bytes(4 * slots)) for _ in range(PARTS)]
        self._filled = [0] * PARTS

    def find(self, keys: Iterable[bytes]) -> list[int]:
        """The references of the leaves with these keys; 0 where there is none."""
        parts, leaves, found = self.parts, self.leaves, list[int]()
        for key in keys:
            hashed = hash(key)
            part = parts[hashed & 255]
            mask = len(part) - 1
            slot = hashed >> 8 & mask
            while (ref := part[slot]) and not leaves.startswith(key, (ref << 5) - 32):
                slot = slot + 1 & mask
            found.append(ref)
        return found

    def add(self, key: bytes, ref: int) -> None:
        """Enter a key that is not there yet."""
        hashed = hash(key)
        number = hashed & (PARTS - 1)
        part = self.parts[number]
        filled = self._filled[number] = self._filled[number] + 1
        if 3 * filled > 2 * len(part):
            part = self._grow(number)
        mask = len(part) - 1
        slot = hashed >> _PART_BITS & mask
        while part[slot]:
            slot = slot + 1 & mask
        part[slot] = ref

    def fill(self) -> None:
        """Enter every leaf that `leaves` holds into the table, which is empty."""
        parts, filled = self.parts, self._filled
        ref = 1
        for key in self._each_key():
            hashed = hash(key)
            number = hashed & 255
            part = parts[number]
            count = filled[number] = filled[number] + 1
            if 3 * count > 2 * len(part):
                part = self._grow(number)
            mask = len(part) - 1
            slot = hashed >> 8 & mask
            while part[slot]:
                slot = slot + 1 & mask
            part[slot] = ref
            ref += 2

    def _each_key(self) -> Iterator[bytes]:
        leaves = self.leaves
        for begin in range(0, len(leaves), _COPIED_BYTES):
            copied = bytes(leaves[begin : begin + _COPIED_BYTES])
            for at in range(0, len(copied), LEAF_BYTES):
                yield copied[at : at + KEY_BYTES]

    def _grow(self, number: int) -> "array[int]":
        """The part with twice the slots."""
        small, leaves = self.parts[number], self.leaves
        part = self.parts[number] = array("I", bytes(8 * len(small)))
        mask = len(part) - 1
        for ref in small:
            if ref:
                end = ref << 5
                slot = hash(bytes(leaves[end - KEY_BYTES : end])) >> _PART_BITS & mask
                while part[slot]:
                    slot = slot + 1 & mask
                part[slot] = ref
        return part
