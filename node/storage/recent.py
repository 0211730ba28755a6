"""Rows that were read or written of late, as they stand: execution asks for the same ones again,
and whoever reads files for the names of batches.

Only kinds of rows that execution reads one by one and that are never encrypted at rest. What is
written is taken in at once, so a row that is here is never older than what the disk or a queue
holds. Two generations: a row that is found in the older one is taken into the younger; once that is
full, it becomes the older one, and what was the older one is forgotten.
"""

from typing import Final

from ledger.store import ENGAGEMENT, LANE, PAIR, RATER, SUBJECT, SUMMARY, Changes

KINDS: Final = frozenset(kind[0] for kind in (SUBJECT, ENGAGEMENT, PAIR, RATER, SUMMARY, LANE))

UNKNOWN: Final = b"\0unknown"
"""Found in place of a row that is not here. Compare by identity."""


class Recent:
    """At most `rows_max` rows and those of one write; None is kept for what is not there."""

    __slots__ = ("_generation_max", "_older", "_younger")

    def __init__(self, rows_max: int) -> None:
        self._generation_max = rows_max // 2
        self._younger: Changes = {}
        self._older: Changes = {}

    def __len__(self) -> int:
        return len(self._younger) + len(self._older)

    def find(self, key: bytes) -> bytes | None:
        """The row, None if nothing stands there, or `UNKNOWN`."""
        value = self._younger.get(key, UNKNOWN)
        if value is UNKNOWN:
            value = self._older.get(key, UNKNOWN)
            if value is not UNKNOWN:
                self.keep(key, value)
        return value

    def keep(self, key: bytes, value: bytes | None) -> None:
        """Take in a row that was read."""
        self._younger[key] = value
        self._turn()

    def update(self, changes: Changes) -> list[bytes]:
        """Take in what is written, of the kinds that are kept; the keys of those rows where, as far
        as was known here, nothing stood."""
        kinds, younger, older = KINDS, self._younger.get, self._older.get
        kept = {key: row for key, row in changes.items() if key[0] in kinds}
        new = [key for key in kept if younger(key) is None and older(key) is None]
        self._younger.update(kept)
        self._turn()
        return new

    def _turn(self) -> None:
        if len(self._younger) >= self._generation_max:
            self._older, self._younger = self._younger, {}
