"""Which rows are encrypted at rest, and how.

    sealed row = slot (u48be) ‖ nonce (12; only in `N` rows, random)
                 ‖ AES-256-GCM of the value under the slot's key (vault.py), with the row's key as
                   associated data

| row | is |
|---|---|
| `S` | a submission; its nonce is the last 12 bytes of the row's key |
| `N` "i" | the name of an own record |
| `N` "a" | an alias |
| `N` "h" | an alias's way back, from the handle |

Every row has a slot of its own: the next number, in the order of writing. So a row's key can be
destroyed and nobody else's with it, and nothing in a value must be understood to seal it. An `N`
row that is written again keeps its slot, so that what stood there earlier goes with it.

An `S` row's key ends in its batch's hash and its position, and the hash decides the value: a nonce
meets one value only (two batches with hashes that end in the same 80 bits are found by their own
author, if at all), also where a number is given again because a crash has lost its first row. A row
whose key is destroyed reads as if it were not there.
"""

import os
import threading
from collections.abc import Iterable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ledger.errors import StoreDamaged
from ledger.rows import REPAIR, describe_key
from ledger.store import NODE, SUBMISSION
from node.storage.vault import SLOT_BITS, Vault

NAMES: Final = NODE + b"i"
ALIASES: Final = NODE + b"a"
HANDLES: Final = NODE + b"h"

_SLOT_BYTES: Final = SLOT_BITS // 8
_NONCE_BYTES: Final = 12
_SUBMISSION_BYTE: Final = SUBMISSION[0]
_NODE_BYTE: Final = NODE[0]
_SEALED: Final = frozenset({NAMES, ALIASES, HANDLES})


def is_sealed(key: bytes) -> bool:
    """Whether rows under this key are encrypted at rest."""
    first = key[0]
    return first == _SUBMISSION_BYTE or (first == _NODE_BYTE and key[:2] in _SEALED)


def may_be_rewritten(key: bytes) -> bool:
    """Whether a sealed row can get another value, and keeps its slot then."""
    return key[0] == _NODE_BYTE


class Sealing:
    """Encrypts and decrypts the rows of one store. `next_slot`: the first that no row has yet."""

    def __init__(self, vault: Vault, next_slot: int = 0) -> None:
        self.vault = vault
        self.next_slot = next_slot
        self._fresh: list[bytes] = []
        """Keys of the next slots, the next one last."""
        self._lock = threading.Lock()  # the writer seals and destroys, the event loop reads

    def seal(self, key: bytes, value: bytes, before: bytes | None = None) -> bytes:
        """What stands on disk for a row that `is_sealed`; `before`: what stood there.

        Raises:
            OSError: the disk fails.
            StoreDamaged: `before` is not what was written.
        """
        secret = None
        if before is not None:
            slot, secret = slot_of(key, before), self._key_of(key, before)
        if secret is None:  # nothing stood there, or it is erased
            if not self._fresh:
                with self._lock:
                    self._fresh = self.vault.new_keys(self.next_slot)[::-1]
            slot, secret = self.next_slot, self._fresh.pop()
            self.next_slot = slot + 1
        if key[0] == _SUBMISSION_BYTE:
            return slot.to_bytes(_SLOT_BYTES) + AESGCM(secret).encrypt(
                key[-_NONCE_BYTES:], value, key
            )
        nonce = os.urandom(_NONCE_BYTES)
        return slot.to_bytes(_SLOT_BYTES) + nonce + AESGCM(secret).encrypt(nonce, value, key)

    def unseal(self, key: bytes, data: bytes) -> bytes | None:
        """A row's value from what stands on disk, or None if its key is destroyed.

        Raises:
            StoreDamaged: it is not what was written.
        """
        secret = self._key_of(key, data)
        if secret is None:
            return None
        begin, nonce = _SLOT_BYTES, key[-_NONCE_BYTES:]
        if key[0] != _SUBMISSION_BYTE:
            begin += _NONCE_BYTES
            nonce = data[_SLOT_BYTES:begin]
        try:
            return AESGCM(secret).decrypt(nonce, data[begin:], key)
        except (InvalidTag, ValueError) as error:
            what = f"does not open under the key in the vault; {REPAIR}"
            raise StoreDamaged(describe_key(key), what) from error

    def _key_of(self, key: bytes, data: bytes) -> bytes | None:
        slot = slot_of(key, data)
        try:
            with self._lock:
                return self.vault.key(slot)
        except StoreDamaged as error:
            raise StoreDamaged(describe_key(key), f"has no key: {error}") from error

    def destroy(self, slots: Iterable[int]) -> None:
        """Destroy the keys of slots; on disk when this returns.

        Raises:
            OSError: the disk fails.
        """
        with self._lock:
            changed = self.vault.forget(slots)
        self.vault.rewrite(changed)  # readers need not wait for the disk


def slot_of(key: bytes, data: bytes) -> int:
    """The slot that a sealed row on disk names.

    Raises:
        StoreDamaged: it names none.
    """
    if len(data) < _SLOT_BYTES:
        raise StoreDamaged(describe_key(key), f"names no slot; {REPAIR}")
    return int.from_bytes(data[:_SLOT_BYTES])
