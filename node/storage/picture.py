"""A picture of the store: how it stood behind one write, whatever is written afterwards.

While a picture is held LevelDB keeps every row that was overwritten or removed since, and disk
grows by that: whoever takes one lets it go in bounded time. Sealed rows are not read from it.
"""

from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import plyvel

from node.storage.faults import unreadable
from node.storage.sealing import is_sealed


def iterate(
    source: Any, start: bytes, stop: bytes, *, reverse: bool, fill_cache: bool = True
) -> Any:
    """plyvel's iterator over a range; against the order it must be `bounded`.

    plyvel 1.5 yields nothing against the order where the one row in the range is its first.
    """
    return source.iterator(
        start=None if reverse else start,
        stop=stop,
        reverse=reverse,
        verify_checksums=True,
        fill_cache=fill_cache,
    )


def bounded(rows: Any, start: bytes, *, reverse: bool) -> Iterator[tuple[bytes, bytes]]:
    """The rows that `iterate` yields, down to `start` and no further."""
    return takewhile(lambda row: row[0] >= start, rows) if reverse else rows


class Picture:
    """A `ledger.store.Reader` of what stood on disk when it was taken."""

    def __init__(self, folder: Path, snapshot: Any) -> None:
        self._folder, self._snapshot = folder, snapshot

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None.

        Raises:
            StoreDamaged: the row fails its checksum.
        """
        assert not is_sealed(key), "sealed rows are read from the store itself"
        try:
            value: bytes | None = self._snapshot.get(key, verify_checksums=True)
        except (plyvel.Error, OSError) as error:
            raise unreadable(self._folder, key, error) from error
        return value

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Rows with start ≤ key < stop, in key order (or against it), past the cache.

        Raises:
            StoreDamaged: a row fails its checksum.
        """
        rows = iterate(self._snapshot, start, stop, reverse=reverse, fill_cache=False)
        key = start
        try:
            with rows:
                for key, value in bounded(rows, start, reverse=reverse):
                    yield key, value
        except (plyvel.Error, OSError) as error:
            raise unreadable(self._folder, key, error) from error

    def close(self) -> None:
        """Let it go; nothing is read from it any more."""
        self._snapshot.close()
