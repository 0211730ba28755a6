"""A seeded network: delay, loss, duplicates, reordering, cut links (both ways or one way)."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from consensus.messages import Message
from tests.simulation.clock import Clock


@dataclass
class Weather:
    """How links behave: delays in µs, chances in 0 … 1."""

    delay_us: int = 2_000
    jitter_us: int = 3_000
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: bool = False


class Network:
    def __init__(self, clock: Clock, random: Random, weather: Weather) -> None:
        self.clock = clock
        self.random = random
        self.weather = weather
        self.blocked: set[tuple[int, int]] = set()
        self.is_lost: Callable[[Message], bool] | None = None
        """Which messages are lost whatever the weather, if any."""
        self.deliver: Callable[[int, int, Message], None] = lambda *_: None
        self._last: dict[tuple[int, int], int] = {}
        self.sent = 0

    def send(self, source: int, target: int, message: Message) -> None:
        self.sent += 1
        if (source, target) in self.blocked:
            return
        if self.is_lost is not None and self.is_lost(message):
            return
        weather = self.weather
        if weather.loss and self.random.random() < weather.loss:
            return
        copies = 1
        if weather.duplicate and self.random.random() < weather.duplicate:
            copies = 2
        for _ in range(copies):
            at = self.clock.now_us + weather.delay_us + self.random.randrange(weather.jitter_us + 1)
            if not weather.reorder:
                at = self._last[source, target] = max(at, self._last.get((source, target), 0))
            self.clock.after(at - self.clock.now_us, lambda: self._arrive(source, target, message))

    def _arrive(self, source: int, target: int, message: Message) -> None:
        if (source, target) not in self.blocked:
            self.deliver(source, target, message)
