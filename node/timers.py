"""The pump's clock, and its timers: named, at a time of the steady clock, never early."""

import asyncio
import time
from collections.abc import Callable

from consensus.inputs import Now


def now() -> Now:
    """The steady and the wall clock, in ms."""
    return Now(time.monotonic_ns() // 1_000_000, time.time_ns() // 1_000_000)


class Timers:
    """At most one of each name; `fire` is called with the name when its time has come."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        steady_ms: Callable[[], int],
        fire: Callable[[str], None],
    ) -> None:
        self._loop, self._steady_ms, self._fire = loop, steady_ms, fire
        self._handles: dict[str, asyncio.TimerHandle] = {}

    def set(self, timer: str, at_ms: int) -> None:
        """Let a timer fire at this time, and not at the one that was set before."""
        self.cancel(timer)
        delay_s = max(0, at_ms - self._steady_ms()) / 1_000
        self._handles[timer] = self._loop.call_later(delay_s, self._due, timer, at_ms)

    def cancel(self, timer: str) -> None:
        """Forget a timer, if it is set."""
        handle = self._handles.pop(timer, None)
        if handle is not None:
            handle.cancel()

    def cancel_all(self) -> None:
        """Forget all."""
        for handle in self._handles.values():
            handle.cancel()
        self._handles.clear()

    def _due(self, timer: str, at_ms: int) -> None:
        if self._steady_ms() < at_ms:  # the loop's clock may run up to 1 ms ahead
            self.set(timer, at_ms)
            return
        del self._handles[timer]
        self._fire(timer)
