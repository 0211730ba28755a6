"""A store in memory that grows out of another one, which stays as it is.

So that one history can go on in many ways: each attack begins where the same real records end.
"""

import heapq
from collections.abc import Iterator, Mapping

from sortedcontainers import SortedDict

from ledger.store import Reader


class BranchStore:
    """Rows of its own over those of a base that nobody writes any more."""

    def __init__(self, base: Reader) -> None:
        self._base = base
        self._rows: SortedDict[bytes, bytes | None] = SortedDict()

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        if key in self._rows:
            value: bytes | None = self._rows[key]
            return value
        return self._base.get(key)

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Rows with start ≤ key < stop, in key order (or against it)."""
        own = [
            (key, self._rows[key])
            for key in self._rows.irange(start, stop, inclusive=(True, False), reverse=reverse)
        ]
        base = (
            (key, value)
            for key, value in self._base.scan(start, stop, reverse=reverse)
            if key not in self._rows
        )
        for key, value in heapq.merge(own, base, key=lambda row: row[0], reverse=reverse):
            if value is not None:
                yield key, value

    def write(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Apply changes all at once; None removes."""
        self._rows.update(changes)
