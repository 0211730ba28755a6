"""What waits to be handled by the pump: own inputs, and each peer's, which take turns.

Own inputs (timers, executed blocks, sealed batches) come first: they are few, and bounded where
they arise. Peers then have their turns by *time*: each may use up `turn_s` of the pump's time,
whoever has used more waits until the others have caught up. So a peer that sends much, or what is
costly to handle, delays itself and not the others. What one peer sends keeps its order, and so do
its links' going up and down among it; there is no order between peers.

A message waits as the bytes that came: they are bounded by the link (`link.py`), while decoded they
would be many times as large.
"""

from collections import deque
from typing import Generic, TypeVar

Waiting = TypeVar("Waiting")


class Inbox(Generic[Waiting]):
    """A queue of own inputs and one for each peer. The caller tells what each has cost."""

    def __init__(self, *, turn_s: float) -> None:
        self._turn_s = turn_s
        self._own: deque[Waiting] = deque()
        self._peers: dict[int, deque[Waiting]] = {}
        self._order: deque[int] = deque()
        self._left_s: dict[int, float] = {}

    def __bool__(self) -> bool:
        return bool(self._own or self._order)

    def add(self, waiting: Waiting, peer: int = 0) -> None:
        """Add a peer's input, or (0) an own one."""
        if not peer:
            self._own.append(waiting)
            return
        queue = self._peers.get(peer)
        if queue is None:
            queue = self._peers[peer] = deque()
            self._order.append(peer)
            self._left_s.setdefault(peer, self._turn_s)
        queue.append(waiting)

    def take(self) -> tuple[int, Waiting]:
        """The next input and whose it is (0: an own one). There must be one."""
        if self._own:
            return 0, self._own.popleft()
        while self._left_s[peer := self._order[0]] <= 0:
            self._left_s[peer] += self._turn_s
            self._order.rotate(-1)
        queue = self._peers[peer]
        waiting = queue.popleft()
        if not queue:
            del self._peers[peer]
            self._order.popleft()
        return peer, waiting

    def spent(self, peer: int, seconds: float) -> None:
        """Handling a peer's input took so long. Who has nothing waiting is owed nothing: it keeps
        its debt, but no more than one turn for later."""
        if peer:
            left = self._left_s.get(peer, self._turn_s) - seconds
            if peer not in self._peers and left >= 0:
                self._left_s.pop(peer, None)
            else:
                self._left_s[peer] = left
