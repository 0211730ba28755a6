"""The links to all peers: one for each pair, kept up for ever; with whom, changes with the set.

**Who dials.** Whoever has an address dials; whoever is dialled accepts. The lower number dials at
once, the higher one only after a pause in which no link came to stand: so a platform that joins
dials all, and nobody needs to be told its address. Where both have dialled, the lower number's link
stays. A link that breaks is dialled again after a jittered, growing, bounded pause. The address is
looked up each time: peers may have told it meanwhile (node/whereabouts.py).

A link stands once TLS has shown a trusted key of the expected platform and both sides have said
hello with the same chain and version. Whatever a peer sends, the node goes on: refusals are counted
by reason and at worst end that one link.

**Who is trusted** is said by `trust`, again and again as the ledger goes on (node/membership.py): a
platform may have two certificates while its keys change. Each change makes new contexts for whoever
comes from now on, and closes the links whose key is trusted no more; the others stay. Former
members get no link, but proof that they are former.
"""

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from aiohttp import ClientError, ClientSession, WSServerHandshakeError, web
from prometheus_client import Counter

from ledger.errors import Malformed, Misconfigured
from node.address import Address
from node.bounds import Bounds
from node.links.conduct import Clock, Conduct
from node.links.dialling import check_addresses, dialling_session
from node.links.farewell import EPOCHS, Farewell
from node.links.link import CLOSE_S, TWIN, TWIN_TEXT, Link, close
from node.links.listener import Listener
from node.links.tls import GUEST, Party, certificate_of, contexts, key_of, key_shown, member_keys
from node.links.wire import VERSION, Hello
from node.listening import HANDLER_ARGS, BoundedSite

log = logging.getLogger(__name__)

PATH: Final = "/link"


class Peers:
    """All links of one node."""

    def __init__(
        self,
        *,
        own: Party,
        validators: Sequence[Party],
        chain: bytes,
        link_seed: bytes,
        listen: Address,
        addresses: Mapping[str, Address],
        bounds: Bounds,
        sent_bytes: Counter,
        clock: Clock = time.monotonic,
    ) -> None:
        self._own, self._seed = own, link_seed
        self._listen, self._addresses = listen, addresses
        self._bounds, self._sent_bytes = bounds, sent_bytes
        self.conduct = Conduct(bounds, clock)
        self._hello = Hello(VERSION, chain, own.number, secrets.randbits(63))
        self._twins: dict[int, int] = {}  # the start of each that was refused last
        self._trusted, self._gone = tuple[Party, ...](), tuple[Party, ...]()
        self._keys, self._former = dict[bytes, int](), frozenset[bytes]()
        self._farewell: Farewell | None = None
        self._links: dict[int, Link] = {}
        self._dials: dict[int, asyncio.Task[None]] = {}
        self._listener: Listener | None = None
        self._runner: web.AppRunner | None = None
        self._site: BoundedSite | None = None
        self._stopping = False
        self._take(tuple(validators), ())

    # --- life ---

    async def start(self, listener: Listener, farewell: Farewell | None = None) -> None:
        """Listen, begin to dial, and tell the listener what happens from now on.

        Raises:
            Misconfigured: the address cannot be listened on, or nobody's address is known.
        """
        check_addresses(self._own, self._trusted, self._addresses)
        application = web.Application(handler_args=HANDLER_ARGS)
        application.router.add_get(PATH, partial(self._serve, listener))
        application.router.add_get(EPOCHS, self._tell_former)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=CLOSE_S)
        await self._runner.setup()
        self._site = BoundedSite(
            self._runner,
            self._listen,
            connections_max=self._bounds.links_max,
            per_host_max=self._bounds.links_per_host_max,
            handshake_s=self._bounds.handshake_s,
            ssl_context=self._serving,
            turned=partial(listener.refused, 0),
        )
        try:
            await self._site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise Misconfigured(f"peers.listen: {self._listen}: {error.strerror}") from error
        self._listener, self._farewell = listener, farewell
        self._dial_all()

    # --- whom to trust ---

    def trust(self, validators: Sequence[Party], former: Sequence[Party] = ()) -> None:
        """Make links with these from now on, and with nobody else; a number may stand there twice.
        `former`: who is told that it is a member no more.

        Raises:
            Malformed: a certificate that cannot be read, or a key that two platforms share.
        """
        trusted, gone = tuple(validators), tuple(former)
        if (trusted, gone) == (self._trusted, self._gone):
            return
        self._take(trusted, gone)
        for peer, link in self._links.items():
            if self._keys.get(link.key) != peer:
                link.closed.set()
        self._renew()

    def become(self, own: Party, link_seed: bytes) -> None:
        """Show another certificate from now on: every link is made anew."""
        if own == self._own:
            return
        self._own, self._seed = own, link_seed
        self._take(self._trusted, self._gone)
        self._renew()
        for link in self._links.values():
            link.closed.set()

    @property
    def shown(self) -> Party:
        """Whose certificate is shown."""
        return self._own

    def _take(self, trusted: tuple[Party, ...], gone: tuple[Party, ...]) -> None:
        self._keys = member_keys(trusted)
        self._former = frozenset(member_keys(gone).keys() - self._keys.keys())
        self._trusted, self._gone = trusted, gone
        self._serving, self._dialling = contexts(self._seed, self._own, (*trusted, *gone))

    def _renew(self) -> None:
        if self._site is None or self._stopping:
            return
        self._site.renew(self._serving)
        self._dial_all()

    def _dial_all(self) -> None:
        """Dial all who are trusted, as soon as their address is known, and nobody else."""
        assert self._listener is not None, "the links are started"
        codes = {each.number: each.code for each in self._trusted if each.number < GUEST}
        codes.pop(self._own.number, None)
        for peer in [peer for peer in self._dials if peer not in codes]:
            self._dials.pop(peer).cancel()
        for peer in codes.keys() - self._dials.keys():
            dialling = self._keep_dialling(self._listener, peer, codes[peer])
            self._dials[peer] = asyncio.create_task(dialling)

    async def stop(self) -> None:
        """Close every link and stop listening."""
        self._stopping = True
        tasks = list(self._dials.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
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
        if peer in self._links:
            self._links[peer].put(message, bulk=bulk)

    def broadcast(self, message: bytes, *, bulk: bool) -> None:
        """Queue a message for every peer whose link stands."""
        for link in self._links.values():
            link.put(message, bulk=bulk)

    def host_of(self, peer: int) -> str:
        """The host at the other end of a link; empty if there is none."""
        return self._links[peer].host if peer in self._links else ""

    def handled(self, peer: int, size: int) -> None:
        """A received message has been handled: more may be read from that peer."""
        if peer in self._links:
            self._links[peer].handled(size)

    def is_clogged(self, peer: int) -> bool:
        """Whether nothing that a peer asks for should be added to what waits for it."""
        return peer in self._links and self._links[peer].is_clogged

    def blame(self, peer: int, weight: int = 1) -> None:
        """Something of a peer's was refused: after too much of that it is cut off for a while."""
        if self.conduct.blame(peer, weight):
            self._cut(peer)

    def _cut(self, peer: int) -> None:
        log.warning("peer %d is cut off for %.0f s", peer, self.conduct.cut_s(peer))
        if self._listener is not None:
            self._listener.refused(peer, "cut")
        if peer in self._links:
            self._links[peer].closed.set()

    def _pace(self, link: Link, messages: int, size: int) -> float:
        wait_s, is_cut = self.conduct.received(link.peer, messages, size)
        if is_cut:
            self._cut(link.peer)
        elif wait_s and self._listener is not None:
            self._listener.refused(link.peer, "pace")
        return wait_s

    # --- one link ---

    async def _serve(self, listener: Listener, request: web.Request) -> web.StreamResponse:
        key = key_shown(request.transport)
        peer = self._keys.get(key) if key else None
        if key in self._former:
            raise web.HTTPGone
        if key is None or peer is None or peer == self._own.number:
            listener.refused(peer or 0, "stranger")
            raise web.HTTPForbidden
        if self.conduct.cut_s(peer):
            raise web.HTTPTooManyRequests
        socket = web.WebSocketResponse(
            heartbeat=self._bounds.heartbeat_s,
            max_msg_size=self._bounds.frame_bytes_max + 1,
            compress=False,
            timeout=CLOSE_S,
        )
        await socket.prepare(request)
        await self._run(listener, self._link(peer, key, socket, is_dialled=False))
        return socket

    async def _tell_former(self, request: web.Request) -> web.Response:
        if self._farewell is None or key_shown(request.transport) not in self._former:
            raise web.HTTPForbidden
        return self._farewell.answer(request)

    def _link(self, peer: int, key: bytes, socket: Any, *, is_dialled: bool) -> Link:
        is_first = is_dialled == (self._own.number < peer)
        return Link(peer, key, socket, self._bounds, is_first=is_first)

    async def _keep_dialling(self, listener: Listener, peer: int, code: str) -> None:
        bounds = self._bounds
        async with dialling_session(bounds.handshake_s) as session:
            waits = self._own.number > peer
            pause_ms = first_ms = bounds.redial_longest_ms if waits else bounds.redial_first_ms
            while not self._stopping:
                if waits:
                    await asyncio.sleep(pause_ms / 1_000)
                standing = self._links.get(peer)
                if standing is not None:
                    await standing.over.wait()
                    continue
                if cut_s := self.conduct.cut_s(peer):
                    await asyncio.sleep(cut_s)
                    continue
                address = self._addresses.get(code)
                try:
                    if address and await self._dial(session, listener, peer, address):
                        pause_ms = first_ms
                except Exception:  # whatever it was, this peer must be dialled again
                    log.exception("the link to peer %d failed", peer)
                await asyncio.sleep(pause_ms * random.uniform(0.5, 1.0) / 1_000)  # noqa: S311
                pause_ms = min(2 * pause_ms, bounds.redial_longest_ms)

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
                    ssl=self._dialling,
                )
        except (ClientError, OSError, TimeoutError, ValueError) as error:
            log.debug("peer %d cannot be reached: %s", peer, error)
            is_former = (
                isinstance(error, WSServerHandshakeError) and error.status == HTTPStatus.GONE
            )
            if is_former and self._farewell is not None:
                await self._farewell.ask(session, address, self._dialling)
            return False
        try:
            certificate = certificate_of(socket.get_extra_info("ssl_object"))
            key = key_of(certificate)
            if key is None or self._keys.get(key) != peer:
                listener.refused(peer, "wrong-key")
                return False
            return await self._run(listener, self._link(peer, key, socket, is_dialled=True))
        finally:
            await close(socket)

    async def _run(self, listener: Listener, link: Link) -> bool:
        """Say hello, then carry messages until the link ends; whether it ever stood."""
        peer = link.peer
        try:
            async with asyncio.timeout(self._bounds.handshake_s):
                await link.greet(self._hello)
        except (Malformed, ClientError, OSError, TimeoutError) as error:
            log.warning("peer %d was refused at hello: %s", peer, error)
            listener.refused(peer, "hello")
            self.blame(peer)
            return False
        old = self._links.get(peer)
        if old is not None and old.start != link.start and not old.closed.is_set():
            await self._refuse_twin(listener, link)
            return False
        if old is not None and old.is_first and not link.is_first and not old.closed.is_set():
            return True  # both have dialled
        if old is not None:
            del self._links[peer]
            old.closed.set()
            old.over.set()
            listener.link_down(peer)
        self._links[peer] = link
        # Greeted just now: `stop` and `trust` could not know of it.
        if self._stopping or self._keys.get(link.key) != peer:
            link.closed.set()
        listener.link_up(peer)
        self.blame(peer, self._bounds.link_blame)
        try:
            await self._carry(listener, link)
        finally:
            link.over.set()
            if self._links.get(peer) is link:
                del self._links[peer]
                listener.link_down(peer)
        return True

    async def _refuse_twin(self, listener: Listener, link: Link) -> None:
        """A link to another process of this platform stands, and its end answers heartbeats."""
        if self._twins.get(link.peer) != link.start:
            self._twins[link.peer] = link.start
            log.error("platform %d runs twice under the same keys: the later is refused", link.peer)
        listener.refused(link.peer, "twin")
        await close(link.socket, TWIN)

    async def _carry(self, listener: Listener, link: Link) -> None:
        def deliver(message: bytes) -> None:
            if self._links.get(link.peer) is link:  # what is left of an older link is dropped
                listener.received(link.peer, message)

        tasks = [
            asyncio.create_task(link.send_all(self._sent_bytes)),
            asyncio.create_task(link.receive_all(deliver, partial(self._pace, link))),
            asyncio.create_task(link.closed.wait()),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if isinstance(task.exception(), Malformed):
                    listener.refused(link.peer, "frame")
                    self.blame(link.peer, self._bounds.frame_blame)
                log.info("link to peer %d ends: %s", link.peer, task.exception() or "closed")
            if link.socket.close_code == TWIN:
                log.error(TWIN_TEXT, link.peer)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await close(link.socket)
