"""Asking a node over HTTP, with little work of one's own: `standing bench query` and `submit`.

Each connection sends one request, waits for its whole answer, and sends the next (HTTP/1.1, kept
alive), so as many requests are under way as there are connections. Bodies are counted, not kept. A
client library would take more processor time than the node that answers.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from node.bench.feeder import LoadFailed

ANSWER_BYTES_MAX: Final = 256 * 1_024 * 1_024
HEAD_BYTES_MAX: Final = 16_384
_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"\r\ncontent-length:"


@dataclass(slots=True)
class Asked:
    """What was asked: a latency for each answer (ms), and bytes of all bodies."""

    latencies_ms: list[float] = field(default_factory=list)
    body_bytes: int = 0
    seconds: float = 0.0


def request_of(path: str, host: str, token: str) -> bytes:
    """The bytes of a GET."""
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


async def ask(
    host: str, port: int, requests: Iterator[bytes], *, connections: int, seconds: float
) -> Asked:
    """Ask for so long over so many connections, or until there are no more requests.

    Raises:
        LoadFailed: an answer is not 200 or 202, or not in the form that a node answers in.
        OSError: the node does not answer.
    """
    loop = asyncio.get_running_loop()
    asked = Asked()
    begun = time.perf_counter()
    open_: list[_Connection] = []
    try:
        for _ in range(connections):
            _, made = await loop.create_connection(
                lambda: _Connection(requests, asked, begun + seconds), host, port
            )
            open_.append(made)
        for each in open_:
            each.begin()
        await _all_done(open_)
    finally:
        for each in open_:
            each.close()
    asked.seconds = time.perf_counter() - begun
    return asked


async def _all_done(connections: "Sequence[_Connection]") -> None:
    waits = [each.done for each in connections]
    await asyncio.wait(waits, return_when=asyncio.FIRST_EXCEPTION)
    for each in waits:
        if each.done():
            each.result()
    await asyncio.gather(*waits)


class _Connection(asyncio.Protocol):
    """One connection: a request, its answer, the next request."""

    def __init__(self, requests: Iterator[bytes], asked: Asked, until: float) -> None:
        self._requests, self._asked, self._until = requests, asked, until
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport
        self._head = b""
        self._left = 0
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by class

    def begin(self) -> None:
        """Send a request, or end if the time is over or there is none."""
        self._sent = time.perf_counter()
        request = next(self._requests, None) if self._sent < self._until else None
        if request is None:
            self._finish(None)
        else:
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self._left:
            self._body(len(data))
            return
        self._head += data
        end = self._head.find(_END)
        if end < 0:
            if len(self._head) > HEAD_BYTES_MAX:
                self._finish(LoadFailed("an answer's head has no end"))
            return
        head, rest = self._head[:end], len(self._head) - end - len(_END)
        self._head = b""
        try:
            self._left = _body_bytes(head)
        except LoadFailed as error:
            self._finish(error)
            return
        self._asked.body_bytes += self._left
        self._body(rest)

    def _body(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            self._finish(LoadFailed("an answer has more bytes than its head says"))
        elif not self._left:
            self._asked.latencies_ms.append((time.perf_counter() - self._sent) * 1_000)
            self.begin()

    def connection_lost(self, error: Exception | None) -> None:
        self._finish(error or LoadFailed("the node has closed the connection"))

    def close(self) -> None:
        """Close the connection; what was wrong with it has been told, or is told by another."""
        self._finish(None)
        self.done.exception()
        self._transport.abort()

    def _finish(self, error: Exception | None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)


def _body_bytes(head: bytes) -> int:
    """Bytes of the body that follow a head.

    Raises:
        LoadFailed: the status is neither 200 nor 202, or no length is given.
    """
    if not head.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 202 ")):
        raise LoadFailed(f"the node answers {head[:40].decode('latin-1')!r}")
    at = head.lower().find(_LENGTH)
    if at < 0:
        raise LoadFailed("an answer has no Content-Length")
    length = int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0])
    if not 0 < length <= ANSWER_BYTES_MAX:
        raise LoadFailed(f"an answer of {length} bytes")
    return length
