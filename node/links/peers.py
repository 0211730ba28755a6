"""The links to all peers: one for each pair, dialled by the lower number, kept up for ever.

A link stands once TLS has shown the expected member's key and both sides have said hello with the
same chain and version. A link that breaks is dialled again after a jittered, growing, bounded
pause. Two bounds for each peer: what waits to be sent (on overflow the link is dropped and what
waited is lost: consensus asks again), and what was received and is not yet handled (beyond it
nothing more is read, so that the sender waits). Whatever a peer sends, the node goes on: refusals
are counted by reason and at worst end that one link.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, WSMsgType, web
from prometheus_client import Counter

from ledger.errors import Malformed, Misconfigured
from ledger.membership import Validator
from node.bounds import Bounds
from node.config import Address
from node.links.tls import contexts, member_keys, member_of
from node.links.wire import VERSION, Assembler, Hello, Outbox, Overflow, decode_hello, encode_hello
from node.listening import HANDLER_ARGS, BoundedSite

log = logging.getLogger(__name__)

PATH: Final = "/link"
CLOSE_S: Final = 1.0


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


class Link:
    """One standing link: its queue out, and how much of what came in is not handled yet."""

    def __init__(self, peer: int, socket: Any, bounds: Bounds) -> None:
        self.peer, self.socket = peer, socket
        self.outbox = Outbox(
            frame_bytes_max=bounds.frame_bytes_max, queue_bytes_max=bounds.send_queue_bytes_max
        )
        self.assembler = Assembler(message_bytes_max=bounds.message_bytes_max)
        self.unhandled_bytes = 0
        self.undecodable = 0
        self.closed = asyncio.Event()
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


class Peers:
    """All links of one node."""

    def __init__(
        self,
        *,
        own: Validator,
        validators: Sequence[Validator],
        chain: bytes,
        link_seed: bytes,
        listen: Address,
        addresses: Mapping[str, Address],
        bounds: Bounds,
        sent_bytes: Counter,
    ) -> None:
        self._own, self._listen, self._bounds = own, listen, bounds
        self._sent_bytes = sent_bytes
        self._keys = member_keys(validators)
        self._hello = Hello(VERSION, chain, own.number)
        self._serving, self._dialling = contexts(link_seed, own, validators)
        self._to_dial = {each.number: addresses.get(each.code) for each in validators}
        self._missing = [
            each.code
            for each in validators
            if each.number > own.number and each.code not in addresses
        ]
        self._links: dict[int, Link] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._runner: web.AppRunner | None = None
        self._stopping = False

    # --- life ---

    async def start(self, listener: Listener) -> None:
        """Listen, begin to dial, and tell the listener what happens from now on.

        Raises:
            Misconfigured: the address cannot be listened on, or a peer's address is missing.
        """
        if self._missing:
            raise Misconfigured(
                f"peers.addresses lacks {', '.join(self._missing)}; "
                f'add {self._missing[0]} = "host:port" to it'
            )
        application = web.Application(handler_args=HANDLER_ARGS)
        application.router.add_get(PATH, partial(self._serve, listener))
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=CLOSE_S)
        await self._runner.setup()
        site = BoundedSite(
            self._runner,
            self._listen,
            connections_max=self._bounds.links_max,
            handshake_s=self._bounds.handshake_s,
            ssl_context=self._serving,
        )
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise Misconfigured(f"peers.listen: {self._listen}: {error.strerror}") from error
        for number, address in self._to_dial.items():
            if number > self._own.number and address is not None:
                task = asyncio.create_task(self._keep_dialling(listener, number, address))
                self._tasks.add(task)

    async def stop(self) -> None:
        """Close every link and stop listening."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for link in list(self._links.values()):
            link.closed.set()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def port(self) -> int:
        """The port that is listened on (where the configuration said 0, the one that was given)."""
        assert self._runner is not None, "the links are started"
        return int(self._runner.addresses[0][1])

    # --- what the pump does ---

    def linked(self) -> tuple[int, ...]:
        """The peers whose links stand, in order."""
        return tuple(sorted(self._links))

    def send(self, peer: int, message: bytes, *, bulk: bool) -> None:
        """Queue a message for a peer; without a link it is dropped."""
        link = self._links.get(peer)
        if link is not None:
            link.put(message, bulk=bulk)

    def broadcast(self, message: bytes, *, bulk: bool) -> None:
        """Queue a message for every peer whose link stands."""
        for link in self._links.values():
            link.put(message, bulk=bulk)

    def handled(self, peer: int, size: int) -> None:
        """A received message has been handled: more may be read from that peer."""
        link = self._links.get(peer)
        if link is not None:
            link.handled(size)

    def undecodable(self, peer: int) -> None:
        """A peer's message had no form: after too many its link is closed."""
        link = self._links.get(peer)
        if link is not None:
            link.undecodable += 1
            if link.undecodable > self._bounds.undecodable_max:
                link.closed.set()

    # --- one link ---

    async def _serve(self, listener: Listener, request: web.Request) -> web.StreamResponse:
        transport = request.transport
        certificate = _certificate(transport.get_extra_info("ssl_object") if transport else None)
        peer = member_of(self._keys, certificate)
        if peer is None or peer >= self._own.number:
            listener.refused(peer or 0, "stranger")
            raise web.HTTPForbidden
        socket = web.WebSocketResponse(
            heartbeat=self._bounds.heartbeat_s,
            max_msg_size=self._bounds.frame_bytes_max + 1,
            compress=False,
            timeout=CLOSE_S,
        )
        await socket.prepare(request)
        await self._run(listener, peer, socket)
        return socket

    async def _keep_dialling(self, listener: Listener, peer: int, address: Address) -> None:
        timeout = ClientTimeout(total=None, sock_connect=self._bounds.handshake_s)
        connector = TCPConnector(ssl=self._dialling, limit=0, force_close=True)
        async with ClientSession(connector=connector, timeout=timeout) as session:
            pause_ms = self._bounds.redial_first_ms
            while not self._stopping:
                try:
                    if await self._dial(session, listener, peer, address):
                        pause_ms = self._bounds.redial_first_ms
                except Exception:  # whatever it was, this peer must be dialled again
                    log.exception("the link to peer %d failed", peer)
                await asyncio.sleep(pause_ms * random.uniform(0.5, 1.0) / 1_000)  # noqa: S311
                pause_ms = min(2 * pause_ms, self._bounds.redial_longest_ms)

    async def _dial(
        self, session: ClientSession, listener: Listener, peer: int, address: Address
    ) -> bool:
        """Dial once and run the link to its end; whether it ever stood."""
        try:
            async with asyncio.timeout(self._bounds.handshake_s):
                socket = await session.ws_connect(
                    f"wss://{address}{PATH}",
                    heartbeat=self._bounds.heartbeat_s,
                    max_msg_size=self._bounds.frame_bytes_max + 1,
                    compress=0,
                )
        except (ClientError, OSError, TimeoutError, ValueError) as error:
            log.debug("peer %d cannot be reached: %s", peer, error)
            return False
        try:
            certificate = _certificate(socket.get_extra_info("ssl_object"))
            if member_of(self._keys, certificate) != peer:
                listener.refused(peer, "wrong-key")
                return False
            return await self._run(listener, peer, socket)
        finally:
            await _close(socket)

    async def _run(self, listener: Listener, peer: int, socket: Any) -> bool:
        """Say hello, then carry messages until the link ends; whether it ever stood."""
        link = Link(peer, socket, self._bounds)
        try:
            async with asyncio.timeout(self._bounds.handshake_s):
                await self._greet(link)
        except (Malformed, ClientError, OSError, TimeoutError) as error:
            log.warning("peer %d was refused at hello: %s", peer, error)
            listener.refused(peer, "hello")
            return False
        old = self._links.pop(peer, None)
        if old is not None:
            old.closed.set()
            listener.link_down(peer)
        self._links[peer] = link
        if self._stopping:  # greeted just now: `stop` could not know of it
            link.closed.set()
        listener.link_up(peer)
        try:
            await self._carry(listener, link)
        finally:
            if self._links.get(peer) is link:
                del self._links[peer]
                listener.link_down(peer)
        return True

    async def _greet(self, link: Link) -> None:
        await link.socket.send_bytes(encode_hello(self._hello))
        frame = await link.socket.receive()
        if frame.type is not WSMsgType.BINARY:
            raise Malformed("the link ended before its hello")
        hello = decode_hello(frame.data)
        if hello != Hello(VERSION, self._hello.chain, link.peer):
            raise Malformed(f"is of another chain, version or platform: {hello}", field="hello")

    async def _carry(self, listener: Listener, link: Link) -> None:
        def deliver(message: bytes) -> None:
            if self._links.get(link.peer) is link:  # what is left of an older link is dropped
                listener.received(link.peer, message)

        tasks = [
            asyncio.create_task(link.send_all(self._sent_bytes)),
            asyncio.create_task(link.receive_all(deliver)),
            asyncio.create_task(_closed(link)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if isinstance(task.exception(), Malformed):
                    listener.refused(link.peer, "frame")
                log.info("link to peer %d ends: %s", link.peer, task.exception() or "closed")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await _close(link.socket)


async def _close(socket: Any) -> None:
    with contextlib.suppress(ClientError, OSError, TimeoutError):
        async with asyncio.timeout(CLOSE_S):
            await socket.close()


async def _closed(link: Link) -> None:
    await link.closed.wait()


def _certificate(ssl_object: Any) -> bytes | None:
    der: bytes | None = ssl_object.getpeercert(True) if ssl_object is not None else None
    return der
