"""Recomputed rows on disk, for the audit of a ledger that is too large to be held in memory.

A LevelDB in a temporary folder (TMPDIR) that vanishes with the audit. Nothing of it is durable, and
nothing needs to be: it is written without waiting for the disk.
"""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import plyvel

from ledger.store import MemoryStore
from node.audit.view import OPEN_FILES_MAX

SPILL_ENTRIES: Final = 200_000
"""Ledgers with more entries are recomputed on disk: some 2 KiB of rows belong to each."""

_WRITE_BUFFER_BYTES: Final = 32 * 1_024 * 1_024
_CACHE_BYTES: Final = 64 * 1_024 * 1_024
_BLOOM_BITS: Final = 10


class SpilledStore:
    """A store of recomputed rows like `ledger.store.MemoryStore`, on disk."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="standing-audit-")
        self._db = plyvel.DB(
            str(Path(self._folder.name) / "rows"),
            create_if_missing=True,
            write_buffer_size=_WRITE_BUFFER_BYTES,
            lru_cache_size=_CACHE_BYTES,
            bloom_filter_bits=_BLOOM_BITS,
            max_open_files=OPEN_FILES_MAX,
        )

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        value: bytes | None = self._db.get(key)
        return value

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Rows with start ≤ key < stop, in key order (or against it)."""
        with self._db.iterator(start=start, stop=stop, reverse=reverse) as rows:
            yield from rows

    def write(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Apply changes all at once; None removes."""
        with self._db.write_batch() as batch:
            for key, value in changes.items():
                if value is None:
                    batch.delete(key)
                else:
                    batch.put(key, value)

    def close(self) -> None:
        """Remove all of it."""
        self._db.close()
        self._folder.cleanup()


RowStore = MemoryStore | SpilledStore


def store_for(entries: int) -> RowStore:
    """Where the rows of a ledger with so many entries are recomputed; 0: nobody knows how many."""
    return MemoryStore() if 0 < entries <= SPILL_ENTRIES else SpilledStore()
