"""The client: what it sends again, and what its errors say."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from node import client as module
from node.client import Client, ProblemAnswered, Unreachable


@pytest.fixture(autouse=True)
def quick(monkeypatch) -> None:
    monkeypatch.setattr(module, "RETRY_FIRST_S", 0.001)
    monkeypatch.setattr(module, "RETRY_LONGEST_S", 0.002)


async def serve(*handlers) -> AsyncIterator[tuple[Client, list[bytes]]]:
    """A server whose n-th answer is the n-th handler's; the last goes on."""
    bodies: list[bytes] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        bodies.append(await request.read())
        return handlers[min(len(bodies), len(handlers)) - 1]()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server, Client(str(server.make_url("/")), "t") as client:
        yield client, bodies


def json_of(value, status=200):
    return lambda: web.Response(body=msgspec.json.encode(value), status=status)


def busy():
    return web.Response(body=b'{"retry_after_s": 0, "detail": "busy"}', status=503)


async def test_pushback_is_waited_for() -> None:
    async for client, bodies in serve(busy, busy, json_of({"ready": True})):
        assert await client.network() == {"ready": True}
        assert len(bodies) == 3


async def test_pushback_has_an_end() -> None:
    async for client, bodies in serve(busy):
        with pytest.raises(ProblemAnswered, match="try again later") as caught:
            await client.network()
        assert caught.value.status == 503
        assert len(bodies) == module.RETRIES


async def test_other_problems_come_at_once() -> None:
    problem = {"detail": "no", "rule": "not-a-party", "field": "rater"}
    async for client, bodies in serve(json_of(problem, 422)):
        with pytest.raises(ProblemAnswered, match=r"no \(rule not-a-party\)") as caught:
            await client.submit_json({})
        assert (caught.value.rule, caught.value.field, len(bodies)) == ("not-a-party", "rater", 1)
    async for client, _ in serve(json_of({"detail": "who?"}, 401)):
        with pytest.raises(ProblemAnswered, match="STANDING_TOKEN"):
            await client.network()
    async for client, _ in serve(lambda: web.Response(body=b"<html>", status=502)):
        with pytest.raises(ProblemAnswered, match="<html>"):
            await client.network()


async def test_pushed_back_records_are_handed_in_again() -> None:
    first = [{"id": "1"}, {"problem": {"retry_after_s": 0.001}}, {"problem": {"rule": "x"}}]
    async for client, bodies in serve(json_of(first), json_of([{"id": "2"}])):
        records = [(b"a", b""), (b"b", b""), (b"c", b"")]
        answers = await client.submit_msgpack(records)
        assert answers == [{"id": "1"}, {"id": "2"}, {"problem": {"rule": "x"}}]
        assert msgspec.msgpack.decode(bodies[1]) == [[b"b", b""]]


async def test_a_node_that_is_not_there(unused_port) -> None:
    async with Client(f"127.0.0.1:{unused_port}") as client:
        with pytest.raises(Unreachable, match="standing node run"):
            await client.network()


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_lines_wait_for_the_node() -> None:
    """While the node reads nothing, the client asks its source for no more than fits on the way."""
    asked = 0
    gate = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await gate.wait()
        async for data in request.content.iter_any():
            await response.write(b'{"bytes":%d}\n' % len(data))
        return response

    app = web.Application(client_max_size=2**30, handler_args={"read_bufsize": 2**14})
    app.router.add_post("/v1/records", slow)
    total = 2_000

    async def lines():
        nonlocal asked
        for _ in range(total):
            asked += 1
            yield b"x" * 32_767 + b"\n"

    async with TestServer(app) as server, Client(str(server.make_url("/"))) as client:
        answers = client.submit_ndjson(lines())
        reading = asyncio.ensure_future(anext(answers))
        before = -1
        while asked != before:
            before = asked
            await asyncio.sleep(0.2)
        assert 0 < asked < total
        gate.set()
        size = (await reading)["bytes"]
        async for answer in answers:
            size += answer["bytes"]
        assert size == total * 32_768
        assert asked == total
