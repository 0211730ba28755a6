"""Floods of connections, unfinished handshakes and garbage: turned away, without an alarm."""

import asyncio
import logging
import resource
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvloop
from aiohttp import web

from node.config import Address
from node.links.tls import contexts
from node.listening import HANDLER_ARGS, BoundedSite, raise_open_files
from tests.node.test_links import MEMBERS

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """On both loops: a node runs on uvloop, most tests do not."""
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


ASK = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@asynccontextmanager
async def _serving(*, connections_max: int, tls: bool = False) -> AsyncIterator[int]:
    """A server that answers 200; its port."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="here")

    application = web.Application(handler_args=HANDLER_ARGS)
    application.router.add_get("/", answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    context = contexts(bytes([1]) * 32, MEMBERS[0], MEMBERS)[0] if tls else None
    site = BoundedSite(
        runner,
        Address("127.0.0.1", 0),
        connections_max=connections_max,
        handshake_s=0.05,
        ssl_context=context,
    )
    try:
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def _ask(port: int) -> tuple[bytes, asyncio.StreamWriter]:
    """The first line that a new connection is answered, or nothing; the connection stays."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(10):
        try:
            writer.write(ASK)
            line = await reader.readline()
        except ConnectionError:
            line = b""
    return line, writer


def test_connections_beyond_the_bound_are_closed_and_make_room_when_others_go(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    run(_too_many())
    assert not caplog.records


async def _too_many() -> None:
    async with _serving(connections_max=2) as port:
        (one, first), (two, second), (three, third) = [await _ask(port) for _ in range(3)]
        assert one == two == b"HTTP/1.1 200 OK\r\n"
        assert three == b""
        first.close()
        async with asyncio.timeout(10):
            while True:
                line, writer = await _ask(port)
                writer.close()
                if line:
                    break
        assert line == b"HTTP/1.1 200 OK\r\n"
        for open_ in (second, third):
            open_.close()


def test_a_handshake_that_does_not_come_is_not_waited_for(run: Run) -> None:
    run(_no_handshake())


async def _no_handshake() -> None:
    async with _serving(connections_max=2, tls=True) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(10):
            with suppress(ConnectionError):
                assert await reader.read() == b""
        writer.close()


def test_garbage_is_refused_without_an_alarm(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    run(_garbage())
    assert not caplog.records


async def _garbage() -> None:
    async with _serving(connections_max=2) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
        async with asyncio.timeout(10):
            assert (await reader.readline()).startswith(b"HTTP/1.0 400")
        writer.close()


def test_the_bound_on_open_files_is_lifted_as_far_as_the_system_allows() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = min(256, before[1]) if before[1] != resource.RLIM_INFINITY else 256
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1]))
        raise_open_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) > (soft, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
