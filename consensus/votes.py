"""Counting: one kind of vote in one view, one vote per validator.

The first vote of a validator counts. A later one for another block is a conflict, which the caller
keeps as evidence; it never counts.
"""

from collections.abc import ItemsView
from enum import Enum

from consensus.certificate import Signed


class Counted(Enum):
    """What became of a vote."""

    ADDED = 1
    KNOWN = 2
    CONFLICT = 3


class Tally:
    """Votes of one kind in one view, whose signatures have been checked."""

    __slots__ = ("_counts", "_votes", "late")

    def __init__(self) -> None:
        self._counts: dict[bytes, int] = {}
        self._votes: dict[int, tuple[bytes, bytes]] = {}
        self.late: dict[int, tuple[bytes, bytes]] = {}
        """Votes for what is certified already: neither checked nor counted, but kept beside what
        the same validator may sign against them."""

    def look(self, number: int, hash_: bytes) -> Counted:
        """What would become of a validator's vote for a block."""
        found = self._votes.get(number)
        if found is None:
            return Counted.ADDED
        return Counted.KNOWN if found[0] == hash_ else Counted.CONFLICT

    def add(self, number: int, hash_: bytes, signature: bytes) -> Counted:
        """Count a vote whose signature holds."""
        counted = self.look(number, hash_)
        if counted is Counted.ADDED:
            self._votes[number] = (hash_, signature)
            self._counts[hash_] = self._counts.get(hash_, 0) + 1
        return counted

    def vote_of(self, number: int) -> tuple[bytes, bytes] | None:
        """The (hash, signature) that counts for a validator."""
        return self._votes.get(number)

    def items(self) -> ItemsView[int, tuple[bytes, bytes]]:
        """All that count: (number, (hash, signature))."""
        return self._votes.items()

    def count(self, hash_: bytes) -> int:
        """How many validators voted for a block."""
        return self._counts.get(hash_, 0)

    def signatures(self, hash_: bytes, count: int) -> tuple[Signed, ...]:
        """The first `count` signatures for a block, ascending by number."""
        numbers = sorted(n for n, vote in self._votes.items() if vote[0] == hash_)
        return tuple(Signed(n, self._votes[n][1]) for n in numbers[:count])
