"""Listening: what both faces of a node (HTTP API, peer links) hold against floods of connections.

- More than `connections_max` at a time (those whose TLS handshake is under way among them) are
  closed as they come, before a byte of them is read:
  each costs a file descriptor, and a node that has none left can use its store no more.
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
from typing import Any, Final, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from node.config import Address

KEEPALIVE_S: Final = 60.0
"""For a request's head from the start of a connection, and between requests."""
LINGER_S: Final = 2.0
"""How long the rest of a body is read that was answered early."""
OPEN_FILES_WANTED: Final = 65_536
BACKLOG: Final = 128


class _Turned(asyncio.Protocol):
    """A connection beyond the bound: closed at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).abort()  # uvloop's is one, but does not inherit


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
    """A listening address of a runner, with bounds on connections and handshakes."""

    def __init__(
        self,
        runner: web.AppRunner,
        address: Address,
        *,
        connections_max: int,
        handshake_s: float,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(runner, ssl_context=ssl_context, backlog=BACKLOG)
        self._address = address
        self._connections_max, self._handshake_s = connections_max, handshake_s

        self._servers: list[asyncio.Server] = []
        self._greeting: dict[asyncio.BaseProtocol, float] = {}
        """Connections whose handshake may not be over yet, and when (s) it must be."""

    @property
    def name(self) -> str:
        """The address."""
        return str(self._address)

    @property
    def context(self) -> ssl.SSLContext | None:
        """What new connections are greeted with."""
        return self._ssl_context

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address cannot be listened on.
        """
        await super().start()
        self._server = await self._listen(host=self._address.host, port=self._address.port)
        self._servers = [self._server]

    async def renew(self, ssl_context: ssl.SSLContext) -> None:
        """Greet new connections with another context. The sockets stay, so nobody is turned away,
        and so do the connections that stand.

        Raises:
            OSError: it cannot be listened on any more.
        """
        old, self._ssl_context = self._servers, ssl_context
        copies = [
            socket.socket(fileno=os.dup(each.fileno())) for server in old for each in server.sockets
        ]
        self._servers = [await self._listen(sock=each) for each in copies]
        self._server = self._servers[0]
        for server in old:
            server.close()

    async def stop(self) -> None:
        """Listen no more."""
        for server in self._servers[1:]:
            server.close()
        await super().stop()

    async def _listen(self, **where: Any) -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(
            self._take,
            ssl=self._ssl_context,
            backlog=self._backlog,
            ssl_handshake_timeout=self._handshake_s if self._ssl_context else None,
            **where,
        )

    def _take(self) -> asyncio.BaseProtocol:
        server, now_s = self._runner.server, asyncio.get_running_loop().time()
        if server is None:
            return _Turned()
        if len(server.connections) + len(self._greeting) >= self._connections_max:
            stand = set(server.connections)
            self._greeting = {
                each: until_s
                for each, until_s in self._greeting.items()
                if until_s > now_s and each not in stand
            }
            if len(stand) + len(self._greeting) >= self._connections_max:
                return _Turned()
        taken = server()
        if self._ssl_context is not None:
            self._greeting[taken] = now_s + self._handshake_s
        return taken


def raise_open_files() -> None:
    """Allow this process as many descriptors as the system grants it, up to OPEN_FILES_WANTED."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES_WANTED if hard == resource.RLIM_INFINITY else min(OPEN_FILES_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
