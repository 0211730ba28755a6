"""The tree of the index in memory: flat arrays, and logs of what was overwritten.

A reference is a number. An inner node's is even, and is at the same time the place of its left
child in `kids` and `hashes`, the right child's being the next; a leaf's is odd. `NONE` stands for
the empty map. Nothing is ever removed from the map, so the arrays only grow.

    kids    uint32 reference of each child
    hashes  32-byte hash of each child; the root's is kept beside its reference (`Root`)
    bits    the bit at which the keys of an inner node part, 1 byte each
    leaves  key ‖ value, 64 bytes each

so an inner node's own hash is taken of its 64 bytes in `hashes` and its bit (ledger.mapproof). That
is 32 + 4 bytes a child and 1 + 64 more a key: 137 bytes a key in all.

`Update` sets one block's keys and hashes each changed node once. What it overwrites goes to an
`Overwritten`: laid over the tree, the logs of all later blocks show it as it was. Logs are dropped,
oldest first, without touching the tree.
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
_ROOF: Final = -2


class Root(NamedTuple):
    """A subtree: the reference of its top node (or `NONE`), and its hash."""

    ref: int
    hash: bytes


EMPTY: Final = Root(NONE, EMPTY_ROOT)


class Column:
    """32-byte values by place, logged in any order, sorted when first asked for."""

    def __init__(self) -> None:
        self.places = array("I")
        self.values = bytearray()
        self._is_sorted = False

    def find(self, place: int) -> bytes | None:
        """The value logged for a place."""
        if not self._is_sorted:
            self._sort()
        at = bisect_left(self.places, place)
        if at == len(self.places) or self.places[at] != place:
            return None
        return bytes(self.values[at * HASH_BYTES : (at + 1) * HASH_BYTES])

    def _sort(self) -> None:
        places, values = self.places, self.values
        order = sorted(range(len(places)), key=places.__getitem__)
        starts = [at * HASH_BYTES for at in order]
        self.values = bytearray().join([values[at : at + HASH_BYTES] for at in starts])
        self.places = array("I", [places[at] for at in order])
        self._is_sorted = True


class Overwritten:
    """What one block overwrote: hashes and references of children by place, values by leaf."""

    def __init__(self) -> None:
        self.hashes = Column()
        self.values = Column()
        self.refs: dict[int, int] = {}


class Tree:
    """The arrays, and how they are read as they are now or as they were under some logs.

    `logs`: what the blocks after the wanted state overwrote, oldest first; none for now.
    """

    def __init__(self) -> None:
        self.kids = array("I")
        self.hashes = bytearray()
        self.bits = bytearray()
        self.leaves = bytearray()

    def child(self, place: int, logs: Iterable[Overwritten]) -> int:
        """The reference of a child."""
        for log in logs:
            if place in log.refs:
                return log.refs[place]
        return self.kids[place]

    def child_hash(self, place: int, logs: Iterable[Overwritten]) -> bytes:
        """The hash of a child."""
        for log in logs:
            if (found := log.hashes.find(place)) is not None:
                return found
        return bytes(self.hashes[place * HASH_BYTES : (place + 1) * HASH_BYTES])

    def leaf(self, ref: int, logs: Iterable[Overwritten]) -> bytes:
        """key ‖ value of a leaf."""
        at = (ref >> 1) * LEAF_BYTES
        leaf = bytes(self.leaves[at : at + LEAF_BYTES])
        for log in logs:
            if (found := log.values.find(ref)) is not None:
                return leaf[:KEY_BYTES] + found
        return leaf

    def add_leaf(self, leaf: bytes) -> int:
        """The reference of a new leaf, key ‖ value."""
        ref = 2 * (len(self.leaves) // LEAF_BYTES) + 1
        self.leaves += leaf
        return ref

    def add_inner(self, bit: int, left: Root, right: Root) -> int:
        """The reference of a new inner node over two subtrees whose keys part at `bit`."""
        ref = len(self.kids)
        self.kids.extend((left.ref, right.ref))
        self.hashes += left.hash + right.hash
        self.bits.append(bit)
        return ref

    def plant(self, items: Iterable[tuple[bytes, bytes]]) -> tuple[Root, int]:
        """A new subtree of (key, value) pairs in ascending order of keys, and how many they are.

        Built from left to right: of the open subtrees, `bits` says where neighbours part; these
        bits ascend, and two subtrees are joined as soon as a later key parts before their bit.

        Raises:
            Malformed: keys do not strictly ascend, or a length is wrong.
        """
        subtrees, bits, count = list[Root](), list[int](), 0
        before = -1

        def join() -> None:
            right, left, bit = subtrees.pop(), subtrees.pop(), bits.pop()
            hash_ = _sha256(left.hash + right.hash + BIT_BYTE[bit]).digest()
            subtrees.append(Root(self.add_inner(bit, left, right), hash_))

        for key, value in items:
            number = int.from_bytes(key, "big")
            if len(key) != KEY_BYTES or len(value) != VALUE_BYTES or number <= before:
                raise Malformed("keys of the index ascend strictly; keys and values have 32 bytes")
            if count:
                bit = KEY_BITS - (number ^ before).bit_length()
                while bits and bits[-1] > bit:
                    join()
                bits.append(bit)
            leaf = key + value
            subtrees.append(Root(self.add_leaf(leaf), _sha256(leaf).digest()))
            before, count = number, count + 1
        while bits:
            join()
        return (subtrees[0] if subtrees else EMPTY), count


class Update:
    """One block's keys set into the tree.

    The keys come in ascending order, and the path to each is walked from where it parts from the
    path to the one before. `_places` is the path from the root to the current subtree, whose hash
    is `_hash`; `_parts` are the bits at which the path's nodes part, behind `_ROOF`, which is
    below all bits. When the next key parts at a bit, all nodes of the path after that bit are
    finished: they take their child's new hash and get their own; the node at the bit turns to its
    right side.

    After `set`, `overwritten` shows the tree as it was, and `inserted` says how many keys are new.
    """

    def __init__(self, tree: Tree, root: Root) -> None:
        self.overwritten = Overwritten()
        self.inserted = 0
        self._tree = tree
        self._ref, self._hash = root
        self._places: list[int] = []
        self._parts: list[int] = [_ROOF]

    def set(self, keys: Sequence[bytes], values: Iterable[bytes]) -> Root:
        """The new root. `keys` ascend strictly and are not none; `values` belong to them."""
        if self._ref == NONE:
            planted, self.inserted = self._tree.plant(zip(keys, values, strict=True))
            return planted
        before, number_of = -1, int.from_bytes
        for key, value in zip(keys, values, strict=True):
            number = number_of(key, "big")
            if before < 0:
                self._sink(self._ref, key, value)
            else:
                bit = KEY_BITS - (number ^ before).bit_length()
                right = self._rise(bit)
                if right == NONE:
                    self._branch(bit, 0, self._hash, key + value)
                else:
                    self._sink(right, key, value)
            self._hash = _sha256(key + value).digest()
            before = number
        self._rise(-1)
        return Root(self._ref, self._hash)

    def _sink(self, ref: int, key: bytes, value: bytes) -> None:
        """Lead the path from `ref` down to the key's leaf: the known one, or a new one."""
        tree, places, parts = self._tree, self._places, self._parts
        bits, kids, leaves = tree.bits, tree.kids, tree.leaves
        while not ref & 1:
            bit = bits[ref >> 1]
            ref += key[bit >> 3] >> (~bit & 7) & 1
            parts.append(bit)
            places.append(ref)
            ref = kids[ref]
        at = (ref >> 1) * LEAF_BYTES
        known = leaves[at : at + KEY_BYTES]
        if known == key:
            at += KEY_BYTES
            log = self.overwritten.values
            log.places.append(ref)
            log.values += leaves[at : at + VALUE_BYTES]
            leaves[at : at + VALUE_BYTES] = value
            return
        difference = int.from_bytes(known, "big") ^ int.from_bytes(key, "big")
        bit = KEY_BITS - difference.bit_length()
        while parts[-1] > bit:
            parts.pop()
            places.pop()
        hash_ = tree.child_hash(places[-1], ()) if places else self._hash
        self._branch(bit, known[bit >> 3] >> (~bit & 7) & 1, hash_, key + value)

    def _branch(self, bit: int, side: int, hash_: bytes, leaf: bytes) -> None:
        """A new node at the path's end: what stood there goes to one side, a new leaf, and the
        path, to the other."""
        tree, places = self._tree, self._places
        old = tree.kids[places[-1]] if places else self._ref
        pair = (Root(old, hash_), Root(tree.add_leaf(leaf), hash_))
        made = tree.add_inner(bit, pair[side], pair[1 - side])
        if places:
            self.overwritten.refs.setdefault(places[-1], old)
            tree.kids[places[-1]] = made
        else:
            self._ref = made
        places.append(made + 1 - side)
        self._parts.append(bit)
        self.inserted += 1

    def _rise(self, bit: int) -> int:
        """Finish the nodes of the path that part after `bit`, from below: the hot loop. If the
        path's last node now parts at `bit`, turn to its right child, whose reference is returned;
        else `NONE`."""
        tree, log, places, parts = self._tree, self.overwritten.hashes, self._places, self._parts
        hashes, logged, old = tree.hashes, log.places, log.values
        found, sha, bit_byte = self._hash, _sha256, BIT_BYTE
        while parts[-1] > bit:
            place = places.pop()
            logged.append(place)
            at = place * 32
            old += hashes[at : at + 32]
            hashes[at : at + 32] = found
            at &= -64
            found = sha(hashes[at : at + 64] + bit_byte[parts.pop()]).digest()
        self._hash = found
        if parts[-1] != bit:
            return NONE
        place = places[-1]
        logged.append(place)
        at = place * 32
        old += hashes[at : at + 32]
        hashes[at : at + 32] = found
        places[-1] = place + 1
        return tree.kids[place + 1]
