"""Proofs of the index, a Merkle Patricia map from 32-byte keys to 32-byte values.

The map, as a stranger would rebuild it. Bit 0 of a key is the most significant bit of its byte 0.

    empty map                  hash = SHA-256("")
    leaf (key, value)          hash = SHA-256(key ‖ value)
    inner node at bit b        hash = SHA-256(left ‖ right ‖ byte(b))

An inner node exists only where two keys part: all keys below it agree on the bits before b; those
with bit b = 0 are below `left`, those with 1 below `right`. So the shape, and the root, depend on
the contents only, never on the order of insertion. Bits strictly grow on the way down.

    presence proof = (byte(b) ‖ sibling hash)*, from the leaf to the root      33 bytes an item
    absence proof  = other key ‖ other value ‖ (byte(b) ‖ sibling hash)*

A proof is folded from the leaf: h = SHA-256(h ‖ sibling ‖ b) where the key's bit b is 0, else
SHA-256(sibling ‖ h ‖ b); b strictly falls from item to item, so there are at most 256. In an
absence proof the other key differs from the key and agrees with it at every listed b: it stands
where the key would have to stand. The empty absence proof holds for the empty map only.
"""

from hashlib import sha256 as _sha256
from typing import Final

from ledger.errors import BadProof
from ledger.hashing import HASH_BYTES

EMPTY_ROOT: Final = _sha256(b"").digest()
KEY_BYTES: Final = 32
VALUE_BYTES: Final = 32
KEY_BITS: Final = 256
ITEM_BYTES: Final = 1 + HASH_BYTES
ITEMS_MAX: Final = KEY_BITS
LEAF_BYTES: Final = KEY_BYTES + VALUE_BYTES
PROOF_BYTES_MAX: Final = LEAF_BYTES + ITEMS_MAX * ITEM_BYTES

BIT_BYTE: Final = [bytes([n]) for n in range(256)]


def _bit(key: bytes, bit: int) -> int:
    return key[bit >> 3] >> (~bit & 7) & 1


def _fold(leaf: bytes, items: bytes, key: bytes, also: bytes) -> bytes:
    """The root that the items lead to from a leaf's hash, along `key`, which must agree with the
    key `also` at every listed bit."""
    if len(items) % ITEM_BYTES or len(items) > ITEMS_MAX * ITEM_BYTES:
        raise BadProof(f"a map proof has at most {ITEMS_MAX} items of {ITEM_BYTES} bytes")
    found, before = leaf, KEY_BITS
    for start in range(0, len(items), ITEM_BYTES):
        bit, sibling = items[start], items[start + 1 : start + ITEM_BYTES]
        if bit >= before:
            raise BadProof("the bits of a map proof fall from item to item")
        side = _bit(key, bit)
        if side != _bit(also, bit):
            raise BadProof("the other key of an absence proof stands on another path")
        left, right = (sibling, found) if side else (found, sibling)
        found, before = _sha256(left + right + BIT_BYTE[bit]).digest(), bit
    return found


def _check_lengths(**fields: bytes) -> None:
    for name, value in fields.items():
        if len(value) != HASH_BYTES:
            raise BadProof(f"has {len(value)} bytes, not {HASH_BYTES}", field=name)


def verify_presence(root: bytes, key: bytes, value: bytes, proof: bytes) -> None:
    """Demand that the map with this root holds `value` under `key`.

    Raises:
        BadProof: it is not proven, or a length is wrong.
    """
    _check_lengths(root=root, key=key, value=value)
    if _fold(_sha256(key + value).digest(), proof, key, key) != root:
        raise BadProof("the presence proof leads to another root")


def verify_absence(root: bytes, key: bytes, proof: bytes) -> None:
    """Demand that the map with this root holds nothing under `key`.

    Raises:
        BadProof: it is not proven, or a length is wrong.
    """
    _check_lengths(root=root, key=key)
    if not proof:
        if root != EMPTY_ROOT:
            raise BadProof("the empty absence proof holds for the empty map only")
        return
    if len(proof) < LEAF_BYTES:
        raise BadProof("an absence proof begins with another key and its value")
    leaf, other = proof[:LEAF_BYTES], proof[:KEY_BYTES]
    if other == key:
        raise BadProof("the absence proof shows the key itself")
    if _fold(_sha256(leaf).digest(), proof[LEAF_BYTES:], other, key) != root:
        raise BadProof("the absence proof leads to another root")
