"""Rows about erasures: each one's scope and progress, and where refused records are found.

`ErasureRow` is live, like those of `ledger/rows.py`. The keys of refused records end with their
place (`ledger.rows.place_bytes`).
"""

from typing import Final

from ledger.encoding import Handle, Hash, PlatformNumber, Uint, Value
from ledger.rows import LiveRow, decode_row
from ledger.store import ERASURE, REFUSED, Reader, after

ACKNOWLEDGE_DAYS: Final = 30
"""So many days of block time after an erasure is done, every platform has acknowledged it."""


class FileRange(Value):
    """Positions of a file that an erasure covers: all below `until`; those below `next` are done.

    `subject` is a subject key (36 bytes).
    """

    subject: bytes
    next: Uint
    until: Uint


class ErasureRow(LiveRow):
    """An accepted erasure of the subject's file, or of all in `files` (ascending by subject).

    `done` is the height of the block that appended its last leaf, `acks` the platforms that have
    acknowledged it since, ascending.
    """

    platform: PlatformNumber
    handle: Handle
    commitment: Hash
    files: tuple[FileRange, ...]
    acks: tuple[PlatformNumber, ...]
    done: Uint | None


def erasure_key(log_index: int) -> bytes:
    """The key of an accepted erasure."""
    return ERASURE + log_index.to_bytes(8)


def refused_key(subject: bytes, size: int, place: bytes) -> bytes:
    """The key under which a refused record about a subject is found: the log had `size` entries
    before it would have got its own."""
    return REFUSED + subject + size.to_bytes(8) + place


def refused_residue_key(erasure: int, place: bytes) -> bytes:
    """The key under which the residue of a refused record is found by the erasure that took it."""
    return REFUSED + bytes(4) + erasure.to_bytes(8) + place


def oldest_erasure(reader: Reader) -> int | None:
    """The log index of the first erasure that is not done, or None, from stored rows."""
    oldest = None
    for key, data in reader.scan(ERASURE, after(ERASURE), reverse=True):
        if decode_row(ErasureRow, key, data).done is not None:
            break
        oldest = int.from_bytes(key[1:])
    return oldest
