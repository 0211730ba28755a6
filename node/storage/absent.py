"""Which rows are certainly not on disk: a Bloom filter in memory, so that execution, which asks for
most of its keys for the first time, need not have LevelDB search all its tables for nothing.

    words    u64 each; a key sets up to four bits of one word, chosen by Python's hash of it

Python's hash of bytes is keyed anew in every process: nobody can choose keys that fill one word.
What was on disk when the store was opened is learnt in turns (`learn`); until that is done nothing
is known to be absent. Filters double as they fill, up to a bound, beyond which the last one goes on
filling and tells less and less.

Source: Putze, Sanders, Singler, Cache-, Hash- and Space-Efficient Bloom Filters (2007), blocked by
one word.
"""

from array import array
from collections.abc import Iterable, Iterator
from typing import Final

FIRST_WORDS: Final = 1 << 16
KEYS_PER_WORD: Final = 4
"""16 bits a key: some 2 of 100 absent keys are looked for in vain."""
TURN_KEYS: Final = 2_000


class Absent:
    """Knows of keys of `recent.KINDS` only. For one thread."""

    __slots__ = ("_filters", "_room", "_words_max", "is_whole")

    def __init__(self, bytes_max: int) -> None:
        """`bytes_max`: of all filters together."""
        self._words_max = bytes_max // 8
        self._filters: list[array[int]] = []
        self._room = 0
        self.is_whole = False
        """Whether all that was on disk at the start has been added."""

    def lacks(self, key: bytes) -> bool:
        """Whether there is certainly no row under a key."""
        if not self.is_whole:
            return False
        hashed = hash(key)
        bits = 1 << (hashed & 63) | 1 << (hashed >> 6 & 63) | 1 << (hashed >> 12 & 63)
        bits |= 1 << (hashed >> 18 & 63)
        where = hashed >> 24
        for words in self._filters:  # noqa: SIM110 - a generator would take as long again
            if words[where & len(words) - 1] & bits == bits:
                return False
        return True

    def add(self, keys: Iterable[bytes]) -> None:
        """There are rows under these keys now, or will be."""
        for key in keys:
            if not self._room:
                self._grow()
            self._room -= 1
            hashed = hash(key)
            words = self._filters[-1]
            words[hashed >> 24 & len(words) - 1] |= (
                1 << (hashed & 63)
                | 1 << (hashed >> 6 & 63)
                | 1 << (hashed >> 12 & 63)
                | 1 << (hashed >> 18 & 63)
            )

    def learn(self, keys: Iterable[bytes]) -> Iterator[None]:
        """Add what is on disk at the start, in turns of at most TURN_KEYS. Rows that are written
        meanwhile must be added, too, whether or not the keys contain theirs."""
        turn: list[bytes] = []
        for key in keys:
            turn.append(key)
            if len(turn) == TURN_KEYS:
                self.add(turn)
                turn.clear()
                yield
        self.add(turn)
        self.is_whole = True

    def _grow(self) -> None:
        """A further filter, twice as large as the last, while there is room for one."""
        words = 2 * len(self._filters[-1]) if self._filters else FIRST_WORDS
        if self._filters and sum(map(len, self._filters)) + words > self._words_max:
            self._room = KEYS_PER_WORD * len(self._filters[-1])
            return
        self._filters.append(array("Q", bytes(8 * words)))
        self._room = KEYS_PER_WORD * words
