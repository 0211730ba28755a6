"""Changes on their way to disk: what one write of the store holds, and how it reads meanwhile."""

from bisect import bisect_left
from collections.abc import Callable

from ledger.store import Changes

Durable = Callable[[], None]


class Group:
    """Changes that are written at once, read like a store: a mapping, and sorted keys per prefix on
    demand. `erasing`: rows whose keys are destroyed behind them; `callbacks` are told when all that
    is on disk; `then` is done by the writer right behind it, before the next group."""

    __slots__ = ("_sorted", "callbacks", "erasing", "rows", "then")

    def __init__(self) -> None:
        self.rows: Changes = {}
        self.erasing: Changes = {}
        self.callbacks: list[Durable] = []
        self.then: Callable[[], None] | None = None
        self._sorted: dict[bytes, list[bytes]] = {}

    @property
    def has_work(self) -> bool:
        """Whether there is anything to be done for it."""
        return bool(self.rows or self.callbacks or self.erasing or self.then)

    def update(self, changes: Changes) -> None:
        """Take changes in; of one key the last counts."""
        self.rows.update(changes)
        self._sorted.clear()

    def between(self, start: bytes, stop: bytes) -> Changes:
        """The changes of keys with start ≤ key < stop."""
        if not self.rows:
            return {}
        found: Changes = {}
        for prefix in range(start[0], stop[0] + 1):
            keys = self._keys(bytes([prefix]))
            for key in keys[bisect_left(keys, start) : bisect_left(keys, stop)]:
                found[key] = self.rows[key]
        return found

    def _keys(self, prefix: bytes) -> list[bytes]:
        keys = self._sorted.get(prefix)
        if keys is None:
            keys = sorted(key for key in self.rows if key[:1] == prefix)
            self._sorted[prefix] = keys
        return keys
