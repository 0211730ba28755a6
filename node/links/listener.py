"""Who is told what happens on the links."""

from typing import Protocol


class Listener(Protocol):
    """Who is told what happens on the links. None of these may raise or block."""

    def link_up(self, peer: int) -> None:
        """An authenticated link stands."""

    def link_down(self, peer: int) -> None:
        """It is gone; what was sent on it may be lost."""

    def received(self, peer: int, message: bytes) -> None:
        """A message came in. `Peers.handled` must be called for it later."""

    def refused(self, peer: int, reason: str) -> None:
        """Something of a peer's was refused (peer 0: a stranger)."""
