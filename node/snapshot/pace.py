"""How long work pauses after each turn, so that it takes no more than a share of one core."""

from collections.abc import Callable
from typing import Final

from node.bounds import Bounds

LOOK_S: Final = 0.2
"""How busy the process is otherwise is looked at this often."""


class Pace:
    """The pace of one piece of work. `clock_s` is steady; `cpu_s` counts what the process has used
    of the processor; both in s."""

    def __init__(
        self, bounds: Bounds, clock_s: Callable[[], float], cpu_s: Callable[[], float]
    ) -> None:
        self._bounds, self._clock_s, self._cpu_s = bounds, clock_s, cpu_s
        self._since_s, self._cpu_then_s = clock_s(), cpu_s()
        self._own_s = 0.0
        self._share = bounds.snapshot_share_busy
        self._begun_s = 0.0

    def begin(self) -> None:
        """A turn begins."""
        self._begun_s = self._clock_s()

    def is_over(self) -> bool:
        """Whether the turn has lasted long enough."""
        return self._clock_s() - self._begun_s >= self._bounds.snapshot_turn_s

    def pause_s(self) -> float:
        """The turn ends: how long (s) to wait before the next."""
        now_s = self._clock_s()
        spent_s = now_s - self._begun_s
        self._own_s += spent_s
        if now_s - self._since_s >= LOOK_S:
            self._look(now_s)
        return spent_s * (1 / self._share - 1)

    def _look(self, now_s: float) -> None:
        cpu_s = self._cpu_s()
        other = (cpu_s - self._cpu_then_s - self._own_s) / (now_s - self._since_s)
        is_idle = other < self._bounds.snapshot_idle_below
        self._share = (
            self._bounds.snapshot_share_idle if is_idle else self._bounds.snapshot_share_busy
        )
        self._since_s, self._cpu_then_s, self._own_s = now_s, cpu_s, 0.0
