"""The rows that execution has read or written lately, in memory: a store in front of the store.

Most of what a block reads was written a few blocks before, or is read again a few blocks later:
subjects, engagements, pairs, raters. Their rows are kept here as bytes, so many bytes of them, in
two generations: what is read moves to the young one; when that is half of all, the old one goes.

That somebody has no rater tally is kept as well: most subjects are never rated, and are asked for
again and again.

Whoever executes reads through it and tells it what each block has written (`Applied.live`); nobody
else writes these rows. It decides nothing: what is not kept here is read from the store.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from ledger.store import ENGAGEMENT, PAIR, RATER, SUBJECT, Reader

KEPT: Final = frozenset(prefix[0] for prefix in (SUBJECT, ENGAGEMENT, PAIR, RATER))
"""First bytes of the keys whose rows are kept."""
ROW_OVERHEAD_BYTES: Final = 160
"""What a row takes in memory beside its key and value: two objects and its place in a table."""
_RATER: Final = RATER[0]
_ABSENT: Final = b"no rater tally"
"""In place of one that is not there: this very object, which no store yields."""


class Recent:
    """A `ledger.store.Reader` that remembers at most about `bytes_max` bytes of rows."""

    def __init__(self, reader: Reader, bytes_max: int) -> None:
        self._reader = reader
        self._young: dict[bytes, bytes] = {}
        self._old: dict[bytes, bytes] = {}
        self._young_bytes = 0
        self._young_bytes_max = bytes_max // 2

    def get(self, key: bytes) -> bytes | None:
        """The value of a key, or None."""
        value = self._young.get(key)
        if value is None:
            value = self._old.pop(key, None)
            if value is None:
                value = self._reader.get(key)
                if value is None:
                    if key[0] != _RATER:
                        return None
                    value = _ABSENT
                elif key[0] not in KEPT:
                    return value
            self._young[key] = value
            self._grow(len(key) + len(value) + ROW_OVERHEAD_BYTES)
        return None if value is _ABSENT else value

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Rows with start ≤ key < stop, in key order (or against it), from the store itself."""
        return self._reader.scan(start, stop, reverse=reverse)

    def note(self, rows: Mapping[bytes, bytes]) -> None:
        """A block has written these rows."""
        self._young.update(rows)
        size = sum(map(len, rows)) + sum(map(len, rows.values()))
        self._grow(size + len(rows) * ROW_OVERHEAD_BYTES)

    def _grow(self, size: int) -> None:
        """Count (what is written again counts again: this is a bound and no measure)."""
        self._young_bytes += size
        if self._young_bytes > self._young_bytes_max:
            self._old, self._young, self._young_bytes = self._young, {}, 0
