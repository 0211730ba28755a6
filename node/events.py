"""News of final blocks, fanned out to listeners that may be slow: each has a bounded queue."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec


class BlockEvent(msgspec.Struct, frozen=True):
    """A block whose checkpoint is certified: everything up to log index `size` − 1 is final.

    `time` is the block's, in ms; `records` and `refused` count what the block executed.
    """

    height: int
    size: int
    root: str
    time: int
    records: int
    refused: int


@dataclass(frozen=True, slots=True)
class Listening:
    """One listener: its queue, and whether it fell so far behind that news was lost."""

    queue: "asyncio.Queue[BlockEvent]"
    lost: asyncio.Event

    async def next(self) -> BlockEvent | None:
        """The next event; None when news was lost: resume from the ledger."""
        if self.lost.is_set() and self.queue.empty():
            return None
        return await self.queue.get()


class Events:
    """The fan-out. Publishing never waits."""

    def __init__(self, queued_max: int) -> None:
        self._queued_max = queued_max
        self._listeners: set[Listening] = set()

    @contextmanager
    def listen(self) -> Iterator[Listening]:
        """Hear every event from now on."""
        listening = Listening(asyncio.Queue(self._queued_max), asyncio.Event())
        self._listeners.add(listening)
        try:
            yield listening
        finally:
            self._listeners.discard(listening)

    def publish(self, event: BlockEvent) -> None:
        """Tell every listener; one whose queue is full is cut off after what it has."""
        for listening in [*self._listeners]:
            try:
                listening.queue.put_nowait(event)
            except asyncio.QueueFull:
                listening.lost.set()
                self._listeners.discard(listening)
