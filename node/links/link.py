"""One standing link to a peer: what waits to go out, and how much of what came in is not handled.

Two bounds: what waits to be sent (on overflow the link closes and what waited is lost: consensus
asks again), and what was received and is not yet handled (beyond it nothing more is read, so that
the sender waits).
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final

from aiohttp import ClientError, WSCloseCode, WSMsgType
from prometheus_client import Counter

from ledger.errors import Malformed
from node.bounds import Bounds
from node.links.wire import (
    Assembler,
    Hello,
    Outbox,
    Overflow,
    decode_hello,
    encode_hello,
)

CLOSE_S: Final = 1.0
TWIN: Final = 4_001
"""WebSocket close code: another process stands linked under these keys."""
TWIN_TEXT: Final = (
    "peer %d refuses this node: another process runs under the same keys. A platform has one node "
    "that signs: stop one of them now; further nodes are observers (`standing node observe`)"
)
MESSAGE_OVERHEAD_BYTES: Final = 96
"""What a waiting message takes besides its bytes."""


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
        self.start = 0
        """Which start of the peer's process this link belongs to, once it has said hello."""
        self.unhandled_bytes = 0
        self.closed = asyncio.Event()
        """Set to end the link."""
        self.over = asyncio.Event()
        """Set when it has ended."""
        self._ready = asyncio.Event()
        self._room = asyncio.Event()
        self._bounds = bounds

    @property
    def host(self) -> str:
        """The host at the other end."""
        name = self.socket.get_extra_info("peername")
        return str(name[0]) if name else ""

    async def greet(self, own: Hello) -> None:
        """Say hello and read the other side's.

        Raises:
            Malformed: it says none, or is of another version, chain or platform.
        """
        await self.socket.send_bytes(encode_hello(own))
        frame = await self.socket.receive()
        if frame.type is not WSMsgType.BINARY:
            raise Malformed("the link ended before its hello")
        hello = decode_hello(frame.data)
        if (hello.chain, hello.number) != (own.chain, self.peer):
            raise Malformed(f"is of another chain or platform: {hello}", field="hello")
        self.start = hello.start

    def put(self, message: bytes, *, bulk: bool) -> None:
        """Queue a message; on overflow the link closes."""
        try:
            self.outbox.put(message, bulk=bulk)
        except Overflow:
            self.closed.set()
        self._ready.set()

    @property
    def is_clogged(self) -> bool:
        """Whether so much waits for the peer that nothing it asks for should be added."""
        return self.outbox.bytes_waiting > self._bounds.answers_waiting_bytes_max

    def handled(self, size: int) -> None:
        """A received message of this size has been handled (it may have come on an older link)."""
        self.unhandled_bytes = max(0, self.unhandled_bytes - size - MESSAGE_OVERHEAD_BYTES)
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

    async def receive_all(
        self, deliver: Callable[[bytes], None], pace: Callable[[int, int], float]
    ) -> None:
        """Hand every message on, until the link ends. `pace` is told how many messages and bytes
        have come, and says for how long (s) nothing more is to be read.

        Raises:
            Malformed: a frame without form.
        """
        while True:
            frame = await self.socket.receive()
            if frame.type is not WSMsgType.BINARY:
                return
            count = 0
            for message in self.assembler.feed(frame.data):
                count += 1
                self.unhandled_bytes += len(message) + MESSAGE_OVERHEAD_BYTES
                deliver(message)
            if wait_s := pace(count, len(frame.data)):
                await asyncio.sleep(wait_s)
            while self.unhandled_bytes > self._bounds.received_bytes_max:
                self._room.clear()
                await self._room.wait()


async def close(socket: Any, code: int = WSCloseCode.OK) -> None:
    """Close a socket within a bounded time."""
    with contextlib.suppress(ClientError, OSError, TimeoutError):
        async with asyncio.timeout(CLOSE_S):
            await socket.close(code=code)
