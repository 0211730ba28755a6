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
from node.listening import HANDLER_ARGS, BoundedSite, host_of, raise_open_files
from tests.node.test_links import MEMBERS

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """On both loops: a node runs on uvloop, most tests do not."""
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


ASK = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@asynccontextmanager
async def _serving(
    *,
    connections_max: int,
    per_host_max: int | None = None,
    tls: bool = False,
    handshake_s: float = 0.05,
    turned: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[int]:
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
        handshake_s=handshake_s,
        per_host_max=per_host_max,
        ssl_context=context,
        turned=turned,
    )
    try:
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def _ask(port: int, host: str = "127.0.0.1") -> tuple[bytes, asyncio.StreamWriter]:
    """The first line that a new connection is answered, or nothing; the connection stays."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(host, 0))
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


def test_one_host_takes_no_more_than_its_share_and_shuts_out_no_other(run: Run) -> None:
    run(_crowd())


async def _crowd() -> None:
    turned: list[str] = []
    async with _serving(connections_max=4, per_host_max=2, turned=turned.append) as port:
        asked = [await _ask(port) for _ in range(4)]
        assert [bool(line) for line, _ in asked] == [True, True, False, False]
        assert turned == ["crowded", "crowded"]
        others = [await _ask(port, f"127.0.0.{host}") for host in (2, 3, 4)]
        assert [bool(line) for line, _ in others] == [True, True, False]
        assert turned[2:] == ["full"]
        asked[0][1].close()
        async with asyncio.timeout(10):
            while not (again := await _ask(port))[0]:
                again[1].close()
        for _, writer in [*asked, *others, again]:
            writer.close()


def test_unfinished_handshakes_count_for_their_host(run: Run) -> None:
    run(_unfinished())


async def _unfinished() -> None:
    turned: list[str] = []
    bounds: dict[str, Any] = {"connections_max": 9, "per_host_max": 2, "handshake_s": 60.0}
    async with _serving(**bounds, tls=True, turned=turned.append) as port:
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        async with asyncio.timeout(10):
            with suppress(ConnectionError):
                assert await opened[2][0].read() == b""
        assert turned == ["crowded"]
        for _, writer in opened:
            writer.close()


def test_a_host_is_an_address_or_a_network_of_ipv6() -> None:
    assert host_of("192.0.2.7") == "192.0.2.7" == host_of("::ffff:192.0.2.7")
    assert host_of("2001:db8:1:2:3:4:5:6") == "2001:db8:1:2::" == host_of("2001:db8:1:2::9")
    assert host_of("fe80::1%eth0") == "fe80::"
    assert host_of("2001:db8:1:3::9") != "2001:db8:1:2::"


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
