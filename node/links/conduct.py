"""How each peer behaves, and what follows: it is slowed down, or cut off for a while.

**Blame.** Whatever of a peer's is refused, and each link of its that ends in a frame without form
or is made anew, adds to its blame; blame fades steadily. An honest peer has next to none. At
`blame_max` the peer is cut off.

**Pace.** Messages and bytes of a peer are read at most at a pace that no honest peer needs for long
(`messages_per_s`, `peer_bytes_per_s`, each with a burst). Beyond it nothing is read from its link
until the pace allows it: the sender waits. A peer that is held back for `held_back_max_s` in a row
is cut off.

**Cut off**: its link is closed, and none is made or taken for `cut_first_s`, doubled each time up
to `cut_longest_s`; an hour without a cut forgets the earlier ones. A node is cut off by each other
node for itself, on what it has seen itself: nobody's word counts, so nobody can be slandered. At
worst the network has one member less, as if that one were silent.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from node.bounds import Bounds

FORGET_S: Final = 3_600.0
CALM_S: Final = 1.0
"""Whoever is not held back for so long is no longer held back in a row."""

Clock = Callable[[], float]


class Bucket:
    """A level that rises by what is added and falls steadily, never below 0."""

    def __init__(self, falls_per_s: float, now_s: float) -> None:
        self.level = 0.0
        self._falls_per_s, self._at_s = falls_per_s, now_s

    def add(self, amount: float, now_s: float) -> float:
        """Add to the level; what it is now."""
        passed_s = max(0.0, now_s - self._at_s)
        self.level = max(0.0, self.level - passed_s * self._falls_per_s) + amount
        self._at_s = now_s
        return self.level

    def above_s(self, level: float) -> float:
        """How long the level will stay above another (s)."""
        return max(0.0, (self.level - level) / self._falls_per_s)


@dataclass(slots=True)
class _Peer:
    blame: Bucket
    messages: Bucket
    bytes: Bucket
    held_since_s: float | None = None
    held_at_s: float = 0.0
    cuts: int = 0
    cut_until_s: float = 0.0


class Conduct:
    """All peers' conduct. Times are those of `clock`, in s."""

    def __init__(self, bounds: Bounds, clock: Clock) -> None:
        self._bounds, self._clock = bounds, clock
        self._peers: dict[int, _Peer] = {}

    def _of(self, peer: int) -> _Peer:
        found = self._peers.get(peer)
        if found is None:
            bounds, now_s = self._bounds, self._clock()
            found = self._peers[peer] = _Peer(
                Bucket(bounds.blame_fades_per_s, now_s),
                Bucket(bounds.messages_per_s, now_s),
                Bucket(bounds.peer_bytes_per_s, now_s),
            )
        return found

    def blame(self, peer: int, weight: int) -> bool:
        """Add to a peer's blame, unless it is cut off; whether it is by that."""
        known = self._of(peer)
        if self.cut_s(peer):
            return False
        if known.blame.add(weight, self._clock()) < self._bounds.blame_max:
            return False
        self._cut(known)
        return True

    def received(self, peer: int, messages: int, size: int) -> tuple[float, bool]:
        """A peer has sent so many messages, of so many bytes together: how long (s) nothing more is
        to be read from it, and whether it is cut off."""
        known, bounds, now_s = self._of(peer), self._bounds, self._clock()
        known.messages.add(messages, now_s)
        known.bytes.add(size, now_s)
        wait_s = max(
            known.messages.above_s(bounds.messages_burst),
            known.bytes.above_s(bounds.peer_bytes_burst),
        )
        if not wait_s:
            if now_s - known.held_at_s > CALM_S:
                known.held_since_s = None
            return 0.0, False
        if known.held_since_s is None or now_s - known.held_at_s > CALM_S:
            known.held_since_s = now_s
        known.held_at_s = now_s + wait_s
        if now_s - known.held_since_s < bounds.held_back_max_s:
            return wait_s, False
        self._cut(known)
        return wait_s, True

    def _cut(self, known: _Peer) -> None:
        now_s, bounds = self._clock(), self._bounds
        if now_s - known.cut_until_s > FORGET_S:
            known.cuts = 0
        pause_s = min(bounds.cut_first_s * 2**known.cuts, bounds.cut_longest_s)
        known.cuts = min(known.cuts + 1, 32)
        known.cut_until_s = now_s + pause_s
        known.blame.level = 0.0
        known.held_since_s = None

    def cut_s(self, peer: int) -> float:
        """How much longer a peer is cut off (s); 0 if it is not."""
        known = self._peers.get(peer)
        return max(0.0, known.cut_until_s - self._clock()) if known else 0.0
