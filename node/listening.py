"""Listening: what both faces of a node (HTTP API, peer links) hold against floods of connections.

- More than `connections_max` at a time (those whose TLS handshake is under way among them), or of
  one host more than `per_host_max`, are closed as they come, before a byte of them is read: each
  costs a file descriptor, and a node that has none left can use its store no more; and one host
  alone shuts nobody else out.
- A TLS handshake, and a request's head, must be done in time; a connection on which nothing is
  asked any more is closed after a while.
- What a stranger sends that is no HTTP is no failure of this node, and fills no log.

`raise_open_files` lifts the process's own bound on descriptors as far as the system allows.
"""

import asyncio
import contextlib
import logging
import os
import resource
import socket
import ssl
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from node.config import Address

KEEPALIVE_S: Final = 60.0
"""For a request's head from the start of a connection, and between requests."""
LINGER_S: Final = 2.0
"""How long the rest of a body is read that was answered early."""
OPEN_FILES_WANTED: Final = 65_536
BACKLOG: Final = 128
ACCEPT_PAUSE_S: Final = 0.1
"""After a connection could not be taken."""

log = logging.getLogger(__name__)


def _nobody(reason: str) -> None:
    """Whom nobody counts."""


class _Log(logging.LoggerAdapter[logging.Logger]):
    """The HTTP library's log: what is not HTTP is the sender's fault, and no failure."""

    def exception(self, msg: object, *args: object, **kwargs: Any) -> None:
        error = kwargs.get("exc_info")
        if isinstance(error, HttpProcessingError):
            self.debug("no HTTP: %s", error.message)
            return
        super().exception(msg, *args, **kwargs)


HANDLER_ARGS: Final[dict[str, Any]] = {
    "keepalive_timeout": KEEPALIVE_S,
    "lingering_time": LINGER_S,
    "logger": _Log(logging.getLogger("node.http"), {}),
}
"""For `web.Application(handler_args=…)`."""


class BoundedSite(web.BaseSite):
    """A listening address of a runner, with bounds on connections and handshakes.

    `per_host_max`: how many of the connections may come from one host (None: all). `turned` is told
    of each that is closed at once, why: `full` or `crowded`.
    """

    def __init__(
        self,
        runner: web.AppRunner,
        address: Address,
        *,
        connections_max: int,
        handshake_s: float,
        per_host_max: int | None = None,
        ssl_context: ssl.SSLContext | None = None,
        turned: Callable[[str], None] = _nobody,
    ) -> None:
        super().__init__(runner, ssl_context=ssl_context, backlog=BACKLOG)
        self._address = address
        self._connections_max, self._handshake_s = connections_max, handshake_s
        self._per_host_max = connections_max if per_host_max is None else per_host_max
        self._turned = turned
        self._doors: list[asyncio.Task[None]] = []
        self._greetings: dict[asyncio.BaseProtocol, asyncio.Task[None]] = {}
        self._hosts: dict[asyncio.BaseProtocol, str] = {}

    @property
    def name(self) -> str:
        """The address."""
        return str(self._address)

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address cannot be listened on.
        """
        await super().start()
        loop, (host, port) = asyncio.get_running_loop(), (self._address.host, self._address.port)
        self._server = server = await loop.create_server(
            asyncio.Protocol, host, port, start_serving=False
        )
        doors = [socket.socket(fileno=os.dup(each.fileno())) for each in server.sockets]
        for door in doors:
            door.setblocking(False)
            door.listen(self._backlog)
        self._doors = [asyncio.create_task(self._accept(door)) for door in doors]

    def renew(self, ssl_context: ssl.SSLContext) -> None:
        """Greet new connections with another context; those that stand stay."""
        self._ssl_context = ssl_context

    async def stop(self) -> None:
        """Listen no more."""
        tasks = [*self._doors, *self._greetings.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await super().stop()

    async def _accept(self, door: socket.socket) -> None:
        """Take whoever comes, for ever. (The loop's own servers tell nobody who comes before the
        handshake is over.)"""
        loop = asyncio.get_running_loop()
        with door:
            while True:
                try:
                    came, address = await loop.sock_accept(door)
                except OSError as error:  # who came is gone, or there is no descriptor left
                    log.debug("%s: %s", self._address, error)
                    await asyncio.sleep(ACCEPT_PAUSE_S)
                else:
                    self._take(came, host_of(str(address[0])))

    def _take(self, came: socket.socket, host: str) -> None:
        server = self._runner.server
        stand = set(server.connections) if server is not None else set()
        self._hosts = {
            each: its_host
            for each, its_host in self._hosts.items()
            if each in stand or each in self._greetings
        }
        is_full = len(self._hosts) >= self._connections_max
        if is_full or list(self._hosts.values()).count(host) >= self._per_host_max:
            came.close()
            self._turned("full" if is_full else "crowded")
        elif server is None:
            came.close()
        else:
            taken = server()
            self._hosts[taken] = host
            self._greetings[taken] = asyncio.create_task(self._greet(came, taken))

    async def _greet(self, came: socket.socket, taken: asyncio.BaseProtocol) -> None:
        handshake_s = self._handshake_s if self._ssl_context else None
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: taken, came, ssl=self._ssl_context, ssl_handshake_timeout=handshake_s
            )
        except OSError as error:  # TLS errors and timeouts are such
            log.debug("%s: %s", self._address, error)
            came.close()
        finally:
            del self._greetings[taken]


def host_of(address: str) -> str:
    """Whose an address is, as far as it tells: of IPv6 the network (/64) that one host is given."""
    told = ip_address(address.partition("%")[0])
    if isinstance(told, IPv6Address):
        told = told.ipv4_mapped or IPv6Address(int(told) >> 64 << 64)
    return str(told)


def raise_open_files() -> None:
    """Allow this process as many descriptors as the system grants it, up to OPEN_FILES_WANTED."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES_WANTED if hard == resource.RLIM_INFINITY else min(OPEN_FILES_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
