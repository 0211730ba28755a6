"""Where the nodes of the index live: flat arrays, copied on write, no object per node.

A reference is a number. An inner node's is even, and is at the same time the place of its left
child's reference in `kids`, the right child's being the next; a leaf's is odd. `NONE` stands for
the empty map.

    rows    66 bytes per inner node: left hash ‖ right hash ‖ bit ‖ one byte unused;
            so the first 65 are what its own hash is taken of (ledger.mapproof)
    kids    uint32 reference of the left child, of the right child
    leaves  key ‖ value, 64 bytes per leaf

A node's hash stands in its parent's row; the root's is kept beside its reference (`Root`). A node
that some version shows is never changed: `graft` writes new nodes along the paths to the changed
keys, hashes each once, and lists the nodes that they replace; `release` makes those free for use
once no version shows them.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from hashlib import sha256 as _sha256
from typing import Final, NamedTuple

from ledger.errors import Malformed
from ledger.hashing import HASH_BYTES
from ledger.mapproof import BIT_BYTE, EMPTY_ROOT, KEY_BITS, KEY_BYTES, LEAF_BYTES, VALUE_BYTES

NONE: Final = -1
ROW_BYTES: Final = 66
HASHED_BYTES: Final = 65
UNIT: Final = ROW_BYTES // 2
GROWTH_NODES: Final = 4096

_ABOVE: Final = [0xFF00 >> n & 0xFF for n in range(8)]
_THRESHOLD: Final = [
    [BIT_BYTE[byte & _ABOVE[n] | 0x80 >> n] for byte in range(256)] for n in range(8)
]


class Root(NamedTuple):
    """A subtree: the reference of its top node (or `NONE`), and its hash."""

    ref: int
    hash: bytes


EMPTY: Final = Root(NONE, EMPTY_ROOT)


class Arena:
    """The arrays, and the places in them that are free."""

    def __init__(self) -> None:
        self.rows = bytearray()
        self.kids = array("I")
        self.leaves = bytearray()
        self.free_inner: list[int] = []
        self.free_leaves: list[int] = []

    def leaf(self, ref: int) -> bytes:
        """key ‖ value of a leaf."""
        at = (ref >> 1) * LEAF_BYTES
        return bytes(self.leaves[at : at + LEAF_BYTES])

    def some_key(self, ref: int) -> bytes:
        """The key of the leftmost leaf below a node: it has the prefix that all share."""
        while not ref & 1:
            ref = self.kids[ref]
        at = (ref >> 1) * LEAF_BYTES
        return bytes(self.leaves[at : at + KEY_BYTES])

    def more_inner(self) -> list[int]:
        """Make room for inner nodes; the list of free references."""
        start = len(self.kids)
        self.kids.frombytes(bytes(2 * self.kids.itemsize * GROWTH_NODES))
        self.rows += bytes(ROW_BYTES * GROWTH_NODES)
        self.free_inner += range(start + 2 * (GROWTH_NODES - 1), start - 1, -2)
        return self.free_inner

    def new_leaf(self, leaf: bytes) -> int:
        """The reference of a new leaf, key ‖ value."""
        if not self.free_leaves:
            start = 2 * (len(self.leaves) // LEAF_BYTES) + 1
            self.leaves += bytes(LEAF_BYTES * GROWTH_NODES)
            self.free_leaves += range(start + 2 * (GROWTH_NODES - 1), start - 1, -2)
        ref = self.free_leaves.pop()
        at = (ref >> 1) * LEAF_BYTES
        self.leaves[at : at + LEAF_BYTES] = leaf
        return ref

    def join(self, bit: int, left: Root, right: Root) -> Root:
        """A new inner node over two subtrees whose keys part at `bit`."""
        row = left.hash + right.hash + BIT_BYTE[bit]
        ref = (self.free_inner or self.more_inner()).pop()
        self.rows[ref * UNIT : ref * UNIT + HASHED_BYTES] = row
        self.kids[ref], self.kids[ref + 1] = left.ref, right.ref
        return Root(ref, _sha256(row).digest())

    def plant(self, items: Iterable[tuple[bytes, bytes]]) -> tuple[Root, int]:
        """A new subtree of (key, value) pairs in ascending order of keys, and how many they are.

        Built from left to right: of the open subtrees, `bits` says where neighbours part; these
        bits ascend, and two subtrees are joined as soon as a later key parts before their bit.

        Raises:
            Malformed: keys do not strictly ascend, or a length is wrong.
        """
        open_subtrees, bits, count = list[Root](), list[int](), 0
        before = -1
        for key, value in items:
            number = int.from_bytes(key, "big")
            if len(key) != KEY_BYTES or len(value) != VALUE_BYTES or number <= before:
                raise Malformed("keys of the index ascend strictly; keys and values have 32 bytes")
            if count:
                bit = KEY_BITS - (number ^ before).bit_length()
                while bits and bits[-1] > bit:
                    right, left = open_subtrees.pop(), open_subtrees.pop()
                    open_subtrees.append(self.join(bits.pop(), left, right))
                bits.append(bit)
            leaf = key + value
            open_subtrees.append(Root(self.new_leaf(leaf), _sha256(leaf).digest()))
            before, count = number, count + 1
        while bits:
            right, left = open_subtrees.pop(), open_subtrees.pop()
            open_subtrees.append(self.join(bits.pop(), left, right))
        return (open_subtrees[0] if open_subtrees else EMPTY), count

    def release(self, inner: Iterable[int], leaves: Iterable[int]) -> None:
        """Free the places of nodes that nothing shows any more."""
        self.free_inner.extend(inner)
        self.free_leaves.extend(leaves)


def first_difference(a: bytes, b: bytes) -> int:
    """The first bit at which two keys differ; 256 if they are equal."""
    return KEY_BITS - (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).bit_length()


class Graft:
    """One block's updates set into a tree: a new tree that shares what did not change.

    After `onto`, `replaced_inner` and `replaced_leaves` are the nodes of the old tree that the new
    one does not show, and `inserted` says how many keys are new.
    """

    def __init__(self, arena: Arena, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """`keys` ascend strictly; `values` belong to them."""
        self.arena = arena
        self.keys = keys
        self.values = values
        self.inserted = 0
        self.replaced_inner = array("I")
        self.replaced_leaves = array("I")

    def onto(self, root: Root) -> Root:
        """The new tree."""
        if not self.keys:
            return root
        if root.ref == NONE:
            return self._plant(0, len(self.keys))
        return self._merge(root.ref, root.hash, 0, 0, len(self.keys))

    def _plant(self, low: int, high: int) -> Root:
        pairs = zip(self.keys[low:high], self.values[low:high], strict=True)
        root, count = self.arena.plant(pairs)
        self.inserted += count
        return root

    def _cut(self, bit: int, low: int, high: int) -> int:
        """Of keys that agree before `bit`: the place of the first that has it set."""
        key, at = self.keys[low], bit >> 3
        threshold = key[:at] + _THRESHOLD[bit & 7][key[at]]
        return bisect_left(self.keys, threshold, low, high)

    def _merge(self, ref: int, hash_: bytes, depth: int, low: int, high: int) -> Root:
        """The subtree `ref` with keys[low:high], which are not none and agree with it on the bits
        before `depth`."""
        if high - low == 1:
            return self._put(ref, hash_, low)
        arena = self.arena
        bit = KEY_BITS if ref & 1 else arena.rows[ref * UNIT + 64]
        if bit > depth:
            parting = self._parting(ref, low, high)
            if parting < bit:
                return self._beside(ref, hash_, parting, low, high)
        middle = self._cut(bit, low, high)
        at = ref * UNIT
        row, kids = arena.rows[at : at + HASHED_BYTES], arena.kids
        left, right = kids[ref], kids[ref + 1]
        if low < middle:
            left, row[:32] = self._merge(left, bytes(row[:32]), bit + 1, low, middle)
        if middle < high:
            right, row[32:64] = self._merge(right, bytes(row[32:64]), bit + 1, middle, high)
        new = (arena.free_inner or arena.more_inner()).pop()
        arena.rows[new * UNIT : new * UNIT + HASHED_BYTES] = row
        kids[new], kids[new + 1] = left, right
        self.replaced_inner.append(ref)
        return Root(new, _sha256(row).digest())

    def _parting(self, ref: int, low: int, high: int) -> int:
        """The first bit at which one of the keys differs from the prefix of the subtree."""
        known, keys = self.arena.some_key(ref), self.keys
        return min(first_difference(keys[low], known), first_difference(keys[high - 1], known))

    def _beside(self, ref: int, hash_: bytes, bit: int, low: int, high: int) -> Root:
        """Some keys part from the whole subtree at `bit`: a new node over it and them."""
        middle = self._cut(bit, low, high)
        known = self.arena.some_key(ref)
        old_is_right = known[bit >> 3] >> (~bit & 7) & 1
        same = (middle, high) if old_is_right else (low, middle)
        old = Root(ref, hash_)
        if same[0] < same[1]:
            old = self._merge(ref, hash_, bit + 1, *same)
        if old_is_right:
            return self.arena.join(bit, self._plant(low, middle), old)
        return self.arena.join(bit, old, self._plant(middle, high))

    def _put(self, ref: int, hash_: bytes, which: int) -> Root:
        """The subtree `ref` with one more or one changed key: down to its leaf and up again."""
        arena, key = self.arena, self.keys[which]
        rows, kids = arena.rows, arena.kids
        slots = []
        while not ref & 1:
            bit = rows[ref * UNIT + 64]
            ref += key[bit >> 3] >> (~bit & 7) & 1
            slots.append(ref)
            ref = kids[ref]
        at = (ref >> 1) * LEAF_BYTES
        known = bytes(arena.leaves[at : at + KEY_BYTES])
        leaf = key + self.values[which]
        new, found = arena.new_leaf(leaf), _sha256(leaf).digest()
        if known == key:
            self.replaced_leaves.append(ref)
        else:
            new, found = self._part(
                ref, hash_, slots, Root(new, found), first_difference(key, known)
            )
        return self._rise(slots, new, found)

    def _part(self, ref: int, hash_: bytes, slots: list[int], leaf: Root, bit: int) -> Root:
        """A new node at `bit` over the new leaf and the part of the path below that bit, which
        ends at the leaf `ref`; `slots` keeps the part above. `hash_` is that of the path's top."""
        arena, rows = self.arena, self.arena.rows
        while slots and rows[(slots[-1] & ~1) * UNIT + 64] > bit:
            ref = slots.pop() & ~1
        if slots:
            at = (slots[-1] & ~1) * UNIT + HASH_BYTES * (slots[-1] & 1)
            hash_ = bytes(rows[at : at + HASH_BYTES])
        self.inserted += 1
        at = (leaf.ref >> 1) * LEAF_BYTES + (bit >> 3)
        if arena.leaves[at] >> (~bit & 7) & 1:
            return arena.join(bit, Root(ref, hash_), leaf)
        return arena.join(bit, leaf, Root(ref, hash_))

    def _rise(self, slots: list[int], new: int, found: bytes) -> Root:
        """New inner nodes from below the last of the slots up to the first: the hot loop."""
        arena, sha = self.arena, _sha256
        rows, kids, free = arena.rows, arena.kids, arena.free_inner
        for slot in reversed(slots):
            if not free:
                arena.more_inner()
            made = free.pop()
            if slot & 1:
                at = slot * UNIT - UNIT
                row = b"".join((rows[at : at + 32], found, rows[at + 64 : at + 65]))
                kids[made], kids[made + 1] = kids[slot - 1], new
            else:
                at = slot * UNIT
                row = found + rows[at + 32 : at + 65]
                kids[made], kids[made + 1] = new, kids[slot + 1]
            rows[made * UNIT : made * UNIT + 65] = row
            found, new = sha(row).digest(), made
        self.replaced_inner.extend([slot & ~1 for slot in slots])
        return Root(new, found)
