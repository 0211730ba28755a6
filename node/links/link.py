"""One standing link to a peer: what waits to go out, and how much of what came in is not handled.

Two bounds: what waits to be sent (on overflow the link closes and what waited is lost: consensus
asks again), and what was received and is not yet handled (beyond it nothing more is read, so that
the sender waits).
"""

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import WSMsgType
from prometheus_client import Counter

from node.bounds import Bounds
from node.links.wire import Assembler, Outbox, Overflow


class Link:
    """A link to `peer`, whose certificate has the raw `key`; `is_first`: dialled by the lower
    number, which wins where both have dialled."""

    def __init__(
        self, peer: int, key: bytes, socket: Any, bounds: Bounds, *, is_first: bool
    ) -> None:
        self.peer, self.key, self.socket, self.is_first = peer, key, socket, is_first
        self.outbox = Outbox(
            frame_bytes_max=bounds.frame_bytes_max, queue_bytes_max=bounds.send_queue_bytes_max
        )
        self.assembler = Assembler(message_bytes_max=bounds.message_bytes_max)
        self.unhandled_bytes = 0
        self.undecodable = 0
        self.closed = asyncio.Event()
        """Set to end the link."""
        self.over = asyncio.Event()
        """Set when it has ended."""
        self._ready = asyncio.Event()
        self._room = asyncio.Event()
        self._bounds = bounds

    def put(self, message: bytes, *, bulk: bool) -> None:
        """Queue a message; on overflow the link closes."""
        try:
            self.outbox.put(message, bulk=bulk)
        except Overflow:
            self.closed.set()
        self._ready.set()

    def handled(self, size: int) -> None:
        """A received message of this size has been handled (it may have come on an older link)."""
        self.unhandled_bytes = max(0, self.unhandled_bytes - size)
        if self.unhandled_bytes <= self._bounds.received_bytes_max:
            self._room.set()

    async def send_all(self, sent_bytes: Counter) -> None:
        """Send whatever is queued, as frames, for ever; count their bytes."""
        while True:
            await self._ready.wait()
            self._ready.clear()
            while (frame := self.outbox.next_frame()) is not None:
                await self.socket.send_bytes(frame)
                sent_bytes.inc(len(frame))

    async def receive_all(self, deliver: Callable[[bytes], None]) -> None:
        """Hand every message on, until the link ends.

        Raises:
            Malformed: a frame without form.
        """
        while True:
            frame = await self.socket.receive()
            if frame.type is not WSMsgType.BINARY:
                return
            for message in self.assembler.feed(frame.data):
                self.unhandled_bytes += len(message)
                deliver(message)
            while self.unhandled_bytes > self._bounds.received_bytes_max:
                self._room.clear()
                await self._room.wait()
