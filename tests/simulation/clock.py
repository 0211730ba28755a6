"""A virtual clock: events in order of time, then of their making. Time is in µs."""

import heapq
from collections.abc import Callable

Action = Callable[[], None]


class Clock:
    def __init__(self) -> None:
        self.now_us = 0
        self._events: list[tuple[int, int, Action]] = []
        self._made = 0

    def after(self, delay_us: int, action: Action) -> None:
        """Run an action so long after now."""
        self._made += 1
        heapq.heappush(self._events, (self.now_us + max(0, delay_us), self._made, action))

    def step(self) -> bool:
        """Run the next event; False if there is none."""
        if not self._events:
            return False
        self.now_us, _, action = heapq.heappop(self._events)
        action()
        return True

    def next_us(self) -> int | None:
        """When the next event is, if there is one."""
        return self._events[0][0] if self._events else None
