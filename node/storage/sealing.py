"""Which rows are encrypted at rest, and under whose key.

    sealed row = slot (u48be) ‖ nonce (12; only in rows that may be written again) ‖ AES-256-GCM
                 of the value, with the row's key as associated data

| row | slot named by | nonce |
|---|---|---|
| `S` of `subject.register` | "s" ‖ platform (u32be) ‖ handle | the last 12 bytes of the row's key |
| `S` of `subject.link` | "l" ‖ first platform ‖ handle ‖ second platform ‖ handle | the same |
| `S` of `engagement.open`, `.outcome`, `rating` | "e" ‖ platform ‖ reference | the same |
| `S` of what is no record, or whose slot's key is destroyed | "r" ‖ the value | the same |
| `N` "i" (names of own records) | as the `S` row of the record that it names | random |
| `N` "a" (aliases) | "a" ‖ the handle or reference | random |

An engagement's records have one key together: whoever of its two parties is erased, they go. So a
record's key is known as soon as the record is, before anything of it is executed. An `S` row's key
ends in its batch's hash and its position, and the hash decides the value: a nonce meets one value
only (two batches with hashes that end in the same 80 bits are found by their own author, if at
all). A row whose key is destroyed reads as if it were not there.
"""

import os
import threading
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ledger.batch import Submission
from ledger.encoding import decoder
from ledger.errors import Malformed, StoreDamaged
from ledger.records import TAGS, decode_record
from ledger.records.engagement import EngagementOpen, EngagementOutcome
from ledger.records.rating import Rating
from ledger.records.subject import SubjectLink, SubjectRegister
from ledger.rows import REPAIR, describe_key
from ledger.store import NODE, SUBMISSION, subject_key
from node.storage.keytree import SLOT_BITS
from node.storage.vault import Vault

NAMES: Final = NODE + b"i"
ALIASES: Final = NODE + b"a"

CIPHERS_MAX: Final = 16_384
"""Ciphers of the slots used last: an engagement's records often come together."""

_SLOT_BYTES: Final = 6
_SALT_HEAD: Final = b"\x93\xc4\x10"
_SHORT_BIN: Final = b"\xc4"
_RECORD_AT: Final = 21
"""Where a record of less than 256 bytes begins in its submission, which is in its one form."""
_NONCE_BYTES: Final = 12
_SUBMISSION_BYTE: Final = SUBMISSION[0]
_NODE_BYTE: Final = NODE[0]
_REGISTER: Final = TAGS[SubjectRegister]
_LINK: Final = TAGS[SubjectLink]
_OF_ENGAGEMENT: Final = {TAGS[each] for each in (EngagementOpen, EngagementOutcome, Rating)}


class _Head(msgspec.Struct, array_like=True, gc=False):
    """How the records about one subject or engagement begin; what follows is passed over."""

    tag: int
    platform: int
    at: int
    name: bytes


_read_head: Final = msgspec.msgpack.Decoder(_Head).decode
_read_submission: Final = decoder(Submission).decode


def is_sealed(key: bytes) -> bool:
    """Whether rows under this key are encrypted at rest."""
    first = key[0]
    return first == _SUBMISSION_BYTE or (first == _NODE_BYTE and key[:2] in {NAMES, ALIASES})


def slot_name(record: bytes) -> bytes | None:
    """What names the slot of a record's bytes, or None where they are no record's."""
    try:
        head = _read_head(record)
        if head.tag in _OF_ENGAGEMENT:
            return b"e" + head.platform.to_bytes(4) + head.name
        if head.tag == _REGISTER:
            return b"s" + head.platform.to_bytes(4) + head.name
    except (msgspec.MsgspecError, OverflowError, UnicodeDecodeError):
        pass
    try:
        link = decode_record(record)
    except Malformed:
        return None
    if isinstance(link, SubjectLink):
        first = subject_key(link.first_platform, link.first_handle)
        return b"l" + first + subject_key(link.second_platform, link.second_handle)
    return None


def _record_in(value: bytes) -> bytes | None:
    """The record in a submission's bytes, or None where they are none."""
    if value[:3] == _SALT_HEAD and value[19:20] == _SHORT_BIN and len(value) > _RECORD_AT:
        return value[_RECORD_AT : _RECORD_AT + value[_RECORD_AT - 1]]
    try:
        return _read_submission(value).record
    except msgspec.MsgspecError:
        return None


class Sealing:
    """Encrypts and decrypts the rows of one store."""

    def __init__(self, vault: Vault) -> None:
        self.vault = vault
        self._ciphers: dict[int, AESGCM] = {}
        self._lock = threading.Lock()  # the writer seals and destroys, the event loop reads

    def seal(self, key: bytes, value: bytes) -> bytes:
        """What stands on disk for a row that `is_sealed`."""
        slot = self.vault.slot(self._name(key, value))
        cipher = self._cipher(slot)
        if cipher is None:  # something late of an engagement that was erased
            slot = self.vault.slot(b"r" + key + value)
            cipher = self._cipher(slot)
            assert cipher is not None, "the slot of one row was not destroyed before it"
        head = slot.to_bytes(_SLOT_BYTES)
        if key[0] == _SUBMISSION_BYTE:
            return head + cipher.encrypt(key[-_NONCE_BYTES:], value, key)
        nonce = os.urandom(_NONCE_BYTES)
        return head + nonce + cipher.encrypt(nonce, value, key)

    def unseal(self, key: bytes, data: bytes) -> bytes | None:
        """A row's value from what stands on disk, or None if its key is destroyed.

        Raises:
            StoreDamaged: it is not what was written.
        """
        cipher = self._cipher(slot_of(key, data))
        if cipher is None:
            return None
        begin = _SLOT_BYTES
        nonce = key[-_NONCE_BYTES:]
        if key[0] != _SUBMISSION_BYTE:
            begin += _NONCE_BYTES
            nonce = data[_SLOT_BYTES:begin]
        try:
            return cipher.decrypt(nonce, data[begin:], key)
        except (InvalidTag, ValueError) as error:
            what = f"does not open under the key in the vault; {REPAIR}"
            raise StoreDamaged(describe_key(key), what) from error

    def destroy(self, slots: set[int]) -> None:
        """Destroy the keys of slots; on disk when this returns."""
        with self._lock:
            self._ciphers.clear()
            self.vault.destroy(slots)

    def _name(self, key: bytes, value: bytes) -> bytes:
        if key[0] == _SUBMISSION_BYTE:
            record = _record_in(value)
            name = None if record is None else slot_name(record)
            return name if name is not None else b"r" + key + value
        if key[:2] == ALIASES:
            return b"a" + value
        tag, name = key[2], key[3:]
        if tag == _LINK:
            return b"l" + name
        return (b"s" if tag == _REGISTER else b"e") + name[:36]

    def _cipher(self, slot: int) -> AESGCM | None:
        cipher = self._ciphers.get(slot)
        return cipher if cipher is not None else self._new_cipher(slot)

    def _new_cipher(self, slot: int) -> AESGCM | None:
        with self._lock:
            key = self.vault.key(slot)
            if key is None:
                return None
            if len(self._ciphers) >= CIPHERS_MAX:
                self._ciphers.clear()
            cipher = self._ciphers[slot] = AESGCM(key)
            return cipher


def slot_of(key: bytes, data: bytes) -> int:
    """The slot that a sealed row on disk names.

    Raises:
        StoreDamaged: it names none.
    """
    slot = int.from_bytes(data[:_SLOT_BYTES])
    if len(data) < _SLOT_BYTES or slot >> SLOT_BITS:
        raise StoreDamaged(describe_key(key), f"names no slot; {REPAIR}")
    return slot
