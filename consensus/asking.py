"""Whom to ask for what, outside of consensus: in turn, so many things of one peer at a time.

An answer that does not come within `retry_ms` is asked of another peer. Who has lied is not asked
again. Arithmetic only: whoever uses this sends, and judges what comes.
"""

from collections.abc import Hashable, Iterable


class Asking:
    """What is under way. `up`: the peers whose links stand; `refused`: those that have lied."""

    def __init__(self, retry_ms: int, at_once_max: int) -> None:
        self.up: set[int] = set()
        self.refused: set[int] = set()
        self._retry_ms, self._at_once_max = retry_ms, at_once_max
        self._asked: dict[Hashable, tuple[int, int]] = {}  # what → (peer, until when)
        self._tried: dict[Hashable, dict[int, int]] = {}  # what → peer → its turn
        self._recent: dict[int, int] = {}
        self._turn = 0

    def peers(self) -> set[int]:
        """Those that may be asked."""
        return self.up - self.refused

    def is_asked(self, what: Hashable) -> bool:
        """Whether an answer is awaited."""
        return what in self._asked

    def choose(self, what: Hashable, among: Iterable[int], now_ms: int) -> int:
        """Whom to ask for this now, and note it; 0: nobody. Who let its time pass comes last, then
        who is busy, then who was asked lately."""
        busy: dict[int, int] = {}
        for peer, _ in self._asked.values():
            busy[peer] = busy.get(peer, 0) + 1
        free = [peer for peer in set(among) & self.peers() if busy.get(peer, 0) < self._at_once_max]
        if not free or what in self._asked:
            return 0
        self._turn += 1
        tried, recent = self._tried.setdefault(what, {}), self._recent
        number = min(
            free,
            key=lambda peer: (tried.get(peer, 0), busy.get(peer, 0), recent.get(peer, 0), peer),
        )
        self._asked[what] = number, now_ms + self._retry_ms
        tried[number] = recent[number] = self._turn
        return number

    def came(self, what: Hashable) -> None:
        """An answer has come, whoever gave it."""
        self._asked.pop(what, None)
        self._tried.pop(what, None)

    def drop(self, peer: int) -> None:
        """Nothing is awaited from this peer any more."""
        for what in [what for what, asked in self._asked.items() if asked[0] == peer]:
            del self._asked[what]

    def refuse(self, peer: int) -> None:
        """Ask it no more."""
        self.refused.add(peer)
        self.drop(peer)

    def expire(self, now_ms: int) -> None:
        """Upon time: what was not answered may be asked again."""
        for what in [what for what, asked in self._asked.items() if asked[1] <= now_ms]:
            del self._asked[what]
