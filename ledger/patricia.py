"""The tree of the index in memory: flat arrays, and logs of what was overwritten.

A reference is a number. An inner node's is even, and is at the same time the *slot* of its left
child, the right child's being the next; a leaf's is odd; 0 is nothing. Node 0 is the *roof*: its
left child, in slot 0, is the whole map. Nothing is ever removed from the map, so the arrays only
grow.

    kids      uint32 reference of each child, by slot
    nodes     left child's hash ‖ right child's hash ‖ bit, 65 bytes each: what a node's own hash is
              taken of (ledger.mapproof), in one piece
    bits      int16 bit at which the keys of an inner node part; the roof's is -1, before all
    ups       uint32 where in `nodes` an inner node's hash stands in its parent
    leaves    key ‖ value, 64 bytes each
    leaf_ups  uint32 where in `nodes` a leaf's hash stands in its parent
    table     uint32 reference of each leaf, by its key (ledger.leaftable)

That is 79 bytes an inner node, and 68 and 6 to 12 more a leaf: some 155 bytes a key in all. A
*place* is where a hash stands in `nodes`.

`update` sets one block's keys and hashes each changed node once. What it overwrites goes to an
`Overwritten`: laid over the tree, the logs of all later blocks show it as it was. Logs are dropped,
oldest first, without touching the tree.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256 as _sha256
from itertools import pairwise
from typing import Final

from ledger.errors import Malformed
from ledger.hashing import HASH_BYTES
from ledger.leaftable import LeafTable
from ledger.mapproof import BIT_BYTE, EMPTY_ROOT, KEY_BITS, KEY_BYTES, LEAF_BYTES, VALUE_BYTES
from ledger.overwritten import Overwritten

NONE: Final = 0
TOP: Final = 0
"""The whole map's slot, and its place."""
NODE_BYTES: Final = 2 * HASH_BYTES + 1
_ROOF_BIT: Final = -1
_COPIED_BYTES: Final = 16_384 * LEAF_BYTES


def parting(first: bytes | bytearray, second: bytes) -> int:
    """The first bit on which two keys do not agree; 256 if they are equal."""
    difference = int.from_bytes(first, "big") ^ int.from_bytes(second, "big")
    return KEY_BITS - difference.bit_length()


def place_of(slot: int) -> int:
    """Where the hash of the child in a slot stands."""
    return (slot >> 1) * NODE_BYTES + (slot & 1) * HASH_BYTES


class Tree:
    """The arrays, and how they are read as they are now or as they were under some logs.

    `logs`: what the blocks after the wanted state overwrote, oldest first; none for now.
    """

    def __init__(self) -> None:
        self.kids = array("I", [NONE, NONE])
        self.nodes = bytearray(EMPTY_ROOT + bytes(HASH_BYTES + 1))
        self.bits = array("h", [_ROOF_BIT])
        self.ups = array("I", [TOP])
        self.leaves = bytearray()
        self.leaf_ups = array("I")
        self.table = LeafTable(self.leaves)

    def __len__(self) -> int:
        """How many keys there are."""
        return len(self.leaf_ups)

    @property
    def root(self) -> bytes:
        """The hash of the whole map."""
        return bytes(self.nodes[:HASH_BYTES])

    def child(self, slot: int, logs: Iterable[Overwritten]) -> int:
        """The reference of a child."""
        for log in logs:
            if slot in log.refs:
                return log.refs[slot]
        return self.kids[slot]

    def child_hash(self, slot: int, logs: Sequence[Overwritten]) -> bytes:
        """The hash of a child. (What a leaf's was is not logged: it follows from its value.)"""
        place = place_of(slot)
        if logs:
            ref = self.child(slot, logs)
            if ref & 1:
                return _sha256(self.leaf(ref, logs)).digest()
            for log in logs:
                if (found := log.hashes.find(place)) is not None:
                    return found
        return bytes(self.nodes[place : place + HASH_BYTES])

    def leaf(self, ref: int, logs: Iterable[Overwritten]) -> bytes:
        """key ‖ value of a leaf."""
        at = (ref >> 1) * LEAF_BYTES
        leaf = bytes(self.leaves[at : at + LEAF_BYTES])
        for log in logs:
            if (found := log.values.find(ref)) is not None:
                return leaf[:KEY_BYTES] + found
        return leaf

    def walk(self, key: bytes, logs: Sequence[Overwritten]) -> tuple[int, list[int]]:
        """The leaf where a key stands or would have to stand (`NONE` in the empty map), and the
        slots on the way to it, from below the top."""
        ref, slots = self.child(TOP, logs), list[int]()
        while not ref & 1 and ref != NONE:
            bit = self.bits[ref >> 1]
            slots.append(ref + (key[bit >> 3] >> (~bit & 7) & 1))
            ref = self.child(slots[-1], logs)
        return ref, slots

    def insert(self, key: bytes, log: Overwritten) -> int:
        """The reference of a new leaf in a map that is not empty; its value and the hashes on its
        path are still to be set."""
        ref, (old, slots) = 2 * len(self) + 1, self.walk(key, ())
        at = (old >> 1) * LEAF_BYTES
        bit = parting(self.leaves[at : at + KEY_BYTES], key)
        self.leaves += key + bytes(VALUE_BYTES)
        self.table.add(key, ref)
        slot = next((each for each in reversed(slots) if self.bits[each >> 1] < bit), TOP)
        own = self._branch(slot, bit, key[bit >> 3] >> (~bit & 7) & 1, log)
        self.kids[own] = ref
        self.leaf_ups.append(place_of(own))
        return ref

    def _branch(self, slot: int, bit: int, side: int, log: Overwritten) -> int:
        """A new node in a slot: what stood there goes to one side of it; the other side's slot."""
        old, place = self.kids[slot], place_of(slot)
        made = len(self.kids)
        log.refs.setdefault(slot, old)
        self.kids[slot] = made
        self.kids.extend((old, old))
        self.nodes += self.nodes[place : place + HASH_BYTES] * 2 + BIT_BYTE[bit]
        self.bits.append(bit)
        self.ups.append(place)
        ups = self.leaf_ups if old & 1 else self.ups
        ups[old >> 1] = place_of(made + 1 - side)
        return made + side

    def plant(self, items: Iterable[tuple[bytes, bytes]]) -> None:
        """Fill the empty tree with (key, value) pairs in ascending order of keys.

        Raises:
            Malformed: keys do not strictly ascend, or a length is wrong.
        """
        leaves = bytearray()
        for key, value in items:
            if len(key) != KEY_BYTES or len(value) != VALUE_BYTES:
                raise Malformed("keys and values of the index have 32 bytes")
            leaves += key
            leaves += value
        self.plant_leaves(leaves)

    def plant_leaves(self, leaves: bytearray) -> None:
        """Fill the empty tree with leaves (key ‖ value) in ascending order of keys, end to end; the
        tree keeps them.

        Built from left to right: of the open subtrees, the third of each says where it and its
        right neighbour part; these bits ascend, and two subtrees are joined as soon as a later key
        parts before their bit.

        Raises:
            Malformed: keys do not strictly ascend.
        """
        self.leaves = leaves
        opened = [(NONE, b"", _ROOF_BIT)]
        ref, found, before, until = -1, EMPTY_ROOT, -1, _ROOF_BIT
        sha, number_of, join = _sha256, int.from_bytes, self._join
        for begin in range(0, len(leaves), _COPIED_BYTES):
            copied = bytes(leaves[begin : begin + _COPIED_BYTES])
            for at in range(0, len(copied), LEAF_BYTES):
                leaf = copied[at : at + LEAF_BYTES]
                number = number_of(leaf[:KEY_BYTES], "big")
                if number <= before:
                    raise Malformed("keys of the index ascend strictly")
                if ref != -1:
                    bit = KEY_BITS - (number ^ before).bit_length()
                    if until > bit:
                        ref, found = join(opened, bit, ref, found)
                    opened.append((ref, found, bit))
                    until = bit
                before = number
                ref = (begin + at >> 5) + 1
                found = sha(leaf).digest()
        if ref != -1:
            ref, found = join(opened, _ROOF_BIT, ref, found)
            self.kids[TOP] = ref
            self.nodes[:HASH_BYTES] = found
        self._look_up()

    def _join(
        self, opened: list[tuple[int, bytes, int]], until: int, ref: int, found: bytes
    ) -> tuple[int, bytes]:
        """Join a subtree with the open ones that part from it after `until`."""
        kids, nodes, bits, sha, bit_byte = self.kids, self.nodes, self.bits, _sha256, BIT_BYTE
        left, left_hash, bit = opened.pop()
        while bit > until:
            made = len(kids)
            kids.append(left)
            kids.append(ref)
            node = left_hash + found + bit_byte[bit]
            nodes += node
            bits.append(bit)
            ref, found = made, sha(node).digest()
            left, left_hash, bit = opened.pop()
        opened.append((left, left_hash, bit))
        return ref, found

    def _look_up(self) -> None:
        """Fill `ups`, `leaf_ups` and the table of a planted tree."""
        count = len(self.leaves) // LEAF_BYTES
        ups = self.ups = array("I", bytes(4 * len(self.bits)))
        leaf_ups = self.leaf_ups = array("I", bytes(4 * count))
        for slot, ref in enumerate(self.kids):
            place = (slot >> 1) * NODE_BYTES + (slot & 1) * HASH_BYTES
            if ref & 1:
                leaf_ups[ref >> 1] = place
            else:
                ups[ref >> 1] = place
        ups[0] = TOP
        self.table = LeafTable(self.leaves, count)
        self.table.fill()

    def keys(self, first: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The keys of the leaves from one number to before another, in the order they came in."""
        leaves = self.leaves
        end = len(leaves) if stop is None else stop * LEAF_BYTES
        for at in range(first * LEAF_BYTES, end, LEAF_BYTES):
            yield bytes(leaves[at : at + KEY_BYTES])

    def width(self, refs: Iterable[int]) -> int:
        """With how many bytes, at least 1, the keys of these leaves begin like no other key: each
        parts from its nearest neighbour at the node above it."""
        bits, leaf_ups = self.bits, self.leaf_ups
        deepest = max((bits[leaf_ups[ref >> 1] // NODE_BYTES] for ref in refs), default=0)
        return (max(0, deepest) >> 3) + 1


def update(tree: Tree, keys: Sequence[bytes], values: Sequence[bytes]) -> Overwritten:
    """Set one block's keys; what was overwritten. `keys` ascend strictly; `values` belong to them.

    First each key's leaf is found, or inserted. Then the leaves are gone through from left to
    right, and from each one up: every node on the way takes its child's new hash and gets its own,
    until the node at which the next key parts. That one has only its left side finished: it is
    passed on the way up from the next leaf. The last key's way ends under the roof.
    """
    log = Overwritten(len(tree))
    if not len(tree):
        tree.plant(zip(keys, values, strict=True))
        log.values.places.extend(range(1, 2 * len(tree), 2))
        log.values.values = bytearray(len(tree) * VALUE_BYTES)
        log.refs[TOP] = NONE
    elif keys:
        found = tree.table.find(keys)
        refs = [ref or tree.insert(key, log) for ref, key in zip(found, keys, strict=True)]
        _raise(tree, log, refs, keys, values)
    log.leaves_to = len(tree)
    return log


def _raise(
    tree: Tree,
    log: Overwritten,
    refs: Sequence[int],
    keys: Sequence[bytes],
    values: Sequence[bytes],
) -> None:
    """Set the leaves' values and hash all nodes above them: the hot loop."""
    nodes, leaves, bits, ups, leaf_ups = (
        tree.nodes, tree.leaves, tree.bits, tree.ups, tree.leaf_ups
    )  # fmt: skip
    logged, old, old_values = log.hashes.places.append, log.hashes.values, log.values.values
    log.values.places.extend(refs)
    numbers = [int.from_bytes(key, "big") for key in keys]
    partings = [KEY_BITS - (a ^ b).bit_length() for a, b in pairwise(numbers)]
    partings.append(_ROOF_BIT)
    sha = _sha256
    # Writing through a view is twice as fast; nothing grows while it is held.
    with memoryview(nodes) as writable, memoryview(leaves) as leaves_writable:
        for ref, key, value, bit in zip(refs, keys, values, partings, strict=True):
            at = ref << 5
            end = at + 32
            old_values += leaves[at:end]
            leaves_writable[at:end] = value
            found = sha(key + value).digest()
            place = leaf_ups[ref >> 1]
            writable[place : place + 32] = found
            while bits[node := place // 65] > bit:
                at = node * 65
                found = sha(nodes[at : at + 65]).digest()
                place = ups[node]
                logged(place)
                end = place + 32
                old += nodes[place:end]
                writable[place:end] = found
