"""RFC 6962 Merkle trees: roots, the compact range of a growing tree, and both kinds of proof.

This module knows whole numbers and 32-byte hashes, nothing of what the leaves mean.

    leaf_hash(entry)     = SHA-256(0x00 ‖ entry)
    node_hash(l, r)      = SHA-256(0x01 ‖ l ‖ r)
    root of no leaf      = SHA-256("")
    root of one leaf     = its leaf hash
    root of n > 1 leaves = node_hash(root of the first k, root of the rest),
                           k = the largest power of two smaller than n

A *complete subtree* (level, index) covers the leaves index·2^level … (index + 1)·2^level − 1. The
*frontier* of a tree of n leaves is the list of the roots of the largest complete subtrees that
cover it from left to right: one for each 1 in the binary form of n, the largest first. It is all
that is needed to append and to know the root; written out, it is these hashes laid end to end.

Proofs (RFC 9162 §2.1.3, §2.1.4) are lists of 32-byte hashes. A prover reads complete subtrees only,
through `read_node(level, index)`; a verifier recomputes and compares. Consistency from size 0 says
nothing and is refused. Sizes are at most 2^63 − 1, so a proof has at most 63 hashes of inclusion,
64 of consistency.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256 as _sha256
from typing import Final, Self

from ledger.errors import BadProof, Malformed
from ledger.hashing import HASH_BYTES

SIZE_MAX: Final = 2**63 - 1
PROOF_HASHES_MAX: Final = 64

EMPTY_ROOT: Final = _sha256(b"").digest()

ReadNode = Callable[[int, int], bytes]


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256(0x00 ‖ entry)."""
    return _sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 ‖ left ‖ right)."""
    return _sha256(b"\x01" + left + right).digest()


def _pair_up(row: Sequence[bytes]) -> list[bytes]:
    """The parents of an even number of neighbours."""
    sha = _sha256
    return [
        sha(b"\x01" + left + right).digest()
        for left, right in zip(row[::2], row[1::2], strict=True)
    ]


def root(leaf_hashes: Sequence[bytes]) -> bytes:
    """The root over these leaf hashes (RFC 6962 §2.1). An odd node is promoted, never doubled."""
    if not leaf_hashes:
        return EMPTY_ROOT
    row = list(leaf_hashes)
    while len(row) > 1:
        promoted = [row.pop()] if len(row) & 1 else []
        row = _pair_up(row) + promoted
    return row[0]


# --- the frontier ---


@dataclass(frozen=True, slots=True)
class Frontier:
    """The compact range of a tree: `size` leaves, and the roots of its largest complete subtrees
    from left to right. A value: `append` and `extend` return the next one."""

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def append(self, leaf: bytes) -> Self:
        """The frontier after one more leaf hash."""
        hashes, size = self.hashes, self.size
        kept = len(hashes)
        while size & 1:
            kept -= 1
            leaf = _sha256(b"\x01" + hashes[kept] + leaf).digest()
            size >>= 1
        return type(self)(self.size + 1, (*hashes[:kept], leaf))

    def extend(self, leaf_hashes: Iterable[bytes]) -> Self:
        """The frontier after these leaf hashes, in order; hashed row by row."""
        row = list(leaf_hashes)
        size = self.size + len(row)
        before, stack, added = self.size, list(self.hashes), list[bytes]()
        while row:
            if before & 1:
                row.insert(0, stack.pop())
            if len(row) & 1:
                added.append(row.pop())
            row = _pair_up(row)
            before >>= 1
        return type(self)(size, (*stack, *reversed(added)))

    def root(self) -> bytes:
        """The root of the tree."""
        if not self.hashes:
            return EMPTY_ROOT
        *others, right = self.hashes
        for left in reversed(others):
            right = _sha256(b"\x01" + left + right).digest()
        return right

    def encode(self) -> bytes:
        """The hashes laid end to end; the size is kept apart."""
        return b"".join(self.hashes)

    @classmethod
    def decode(cls, size: int, data: bytes) -> Self:
        """The frontier of a size from its hashes laid end to end.

        Raises:
            Malformed: the number of hashes is not the number of ones in `size`.
        """
        _check_frontier(size, data)
        return cls(size, tuple(data[i : i + HASH_BYTES] for i in range(0, len(data), HASH_BYTES)))


def _check_frontier(size: int, hashes: bytes) -> None:
    if not 0 <= size <= SIZE_MAX or len(hashes) != size.bit_count() * HASH_BYTES:
        raise Malformed(f"{len(hashes)} bytes are not the frontier of a tree of {size} leaves")


def frontier_append(size: int, hashes: bytes, leaf: bytes) -> bytes:
    """`Frontier.append` on the written form: the hashes of `size + 1` leaves.

    Raises:
        Malformed: `hashes` is not the frontier of a tree of `size` leaves.
    """
    if len(hashes) != size.bit_count() * HASH_BYTES:
        _check_frontier(size, hashes)
    end = len(hashes)
    while size & 1:
        leaf = _sha256(b"\x01" + hashes[end - HASH_BYTES : end] + leaf).digest()
        end -= HASH_BYTES
        size >>= 1
    return hashes[:end] + leaf


def frontier_root(size: int, hashes: bytes) -> bytes:
    """The root of the tree whose frontier is `hashes`, in its written form.

    Raises:
        Malformed: `hashes` is not the frontier of a tree of `size` leaves.
    """
    if not size or len(hashes) != size.bit_count() * HASH_BYTES:
        _check_frontier(size, hashes)
        return EMPTY_ROOT
    right = hashes[-HASH_BYTES:]
    for start in range(len(hashes) - 2 * HASH_BYTES, -1, -HASH_BYTES):
        right = _sha256(b"\x01" + hashes[start : start + HASH_BYTES] + right).digest()
    return right


# --- proving ---


def _split(count: int) -> int:
    """The largest power of two smaller than `count` (> 1)."""
    return 1 << ((count - 1).bit_length() - 1)


def _range_root(read_node: ReadNode, begin: int, end: int) -> bytes:
    """The root over the leaves begin … end − 1, where `begin` is aligned as a subtree's left edge
    is in a tree cut by `_split`."""
    parts = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        parts.append(read_node(level, begin >> level))
        begin += 1 << level
    right = parts.pop()
    while parts:
        right = node_hash(parts.pop(), right)
    return right


def inclusion_proof(read_node: ReadNode, index: int, size: int) -> list[bytes]:
    """The siblings from leaf `index` up to the root of `size` leaves (RFC 9162 §2.1.3.1).

    `read_node(level, index)` returns the root of a complete subtree of 2^level leaves.

    Raises:
        BadProof: there is no such leaf.
    """
    if not 0 <= index < size <= SIZE_MAX:
        raise BadProof(f"a tree of {size} leaves has no leaf {index}")
    begin, end, proof = 0, size, list[bytes]()
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            proof.append(_range_root(read_node, middle, end))
            end = middle
        else:
            proof.append(_range_root(read_node, begin, middle))
            begin = middle
    proof.reverse()
    return proof


def consistency_proof(read_node: ReadNode, size1: int, size2: int) -> list[bytes]:
    """The proof that the first `size1` of `size2` leaves are a tree's (RFC 9162 §2.1.4.1).

    Empty when the sizes are equal.

    Raises:
        BadProof: not 0 < size1 <= size2.
    """
    if not 0 < size1 <= size2 <= SIZE_MAX:
        raise BadProof(f"no consistency proof leads from size {size1} to {size2}")
    begin, end, proof = 0, size2, list[bytes]()
    while end > size1:
        middle = begin + _split(end - begin)
        if size1 <= middle:
            proof.append(_range_root(read_node, middle, end))
            end = middle
        else:
            proof.append(_range_root(read_node, begin, middle))
            begin = middle
    if begin:
        proof.append(_range_root(read_node, begin, end))
    proof.reverse()
    return proof


# --- verifying ---


def _check_hashes(hashes: Sequence[bytes], *, what: str) -> None:
    if any(len(value) != HASH_BYTES for value in hashes):
        raise BadProof(f"every hash of {what} has {HASH_BYTES} bytes")


def root_from_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root that an inclusion proof leads to (RFC 9162 §2.1.3.2).

    Raises:
        BadProof: no such leaf, a hash of another length, or too few or too many hashes.
    """
    if not 0 <= index < size <= SIZE_MAX:
        raise BadProof(f"a tree of {size} leaves has no leaf {index}")
    if len(proof) > PROOF_HASHES_MAX:
        raise BadProof("the inclusion proof is too long")
    _check_hashes((leaf, *proof), what="an inclusion proof")
    first, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise BadProof("the inclusion proof is too long")
        if first & 1 or first == last:
            found = node_hash(sibling, found)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        first, last = first >> 1, last >> 1
    if last:
        raise BadProof("the inclusion proof is too short")
    return found


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Demand that the leaf hash stands at `index` in the tree of `size` leaves with this root.

    Raises:
        BadProof: it does not, or the proof is not of the exact shape.
    """
    found = root_from_inclusion(leaf, index, size, proof)
    _check_hashes((root,), what="an inclusion proof")
    if found != root:
        raise BadProof("the inclusion proof leads to another root")


def verify_consistency(
    size1: int, size2: int, root1: bytes, root2: bytes, proof: Sequence[bytes]
) -> None:
    """Demand that the tree (size1, root1) is the beginning of (size2, root2) (RFC 9162 §2.1.4.2).

    Raises:
        BadProof: it is not, size1 is 0, or the proof is not of the exact shape.
    """
    if not 0 < size1 <= size2 <= SIZE_MAX:
        raise BadProof(f"no consistency proof leads from size {size1} to {size2}")
    if len(proof) > PROOF_HASHES_MAX:
        raise BadProof("the consistency proof is too long")
    if size1 == size2:
        if proof or root1 != root2:
            raise BadProof("trees of one size are consistent only when they are equal")
        return
    _check_hashes((root1, root2, *proof), what="a consistency proof")
    if size1.bit_count() == 1:
        proof = (root1, *proof)
    if not proof:
        raise BadProof("the consistency proof is too short")
    first, last = size1 - 1, size2 - 1
    while first & 1:
        first, last = first >> 1, last >> 1
    older = newer = proof[0]
    for sibling in proof[1:]:
        if last == 0:
            raise BadProof("the consistency proof is too long")
        if first & 1 or first == last:
            older, newer = node_hash(sibling, older), node_hash(sibling, newer)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            newer = node_hash(newer, sibling)
        first, last = first >> 1, last >> 1
    if last:
        raise BadProof("the consistency proof is too short")
    if older != root1 or newer != root2:
        raise BadProof("the consistency proof leads to other roots")
