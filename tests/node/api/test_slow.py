"""Bodies that anybody may send and that never come: the node does not wait for them."""

import asyncio

import pytest
from aiohttp.test_utils import TestServer

from node.api import witness as witness_api
from node.web import guard


@pytest.mark.parametrize(
    ("path", "kind", "status"),
    [
        ("/sign-in", b"application/x-www-form-urlencoded", b"408"),
        ("/witness/add-checkpoint", b"text/plain", b"503"),
    ],
)
async def test_a_body_that_does_not_come(  # noqa: PLR0917
    node, server: TestServer, monkeypatch: pytest.MonkeyPatch, path: str, kind: bytes, status: bytes
) -> None:
    monkeypatch.setattr(guard, "FORM_S", 0.05)
    monkeypatch.setattr(witness_api, "BODY_S", 0.05)
    node.witness = object()  # it is never asked
    reader, writer = await asyncio.open_connection(server.host, server.port)
    head = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: %b\r\nContent-Length: 100\r\n\r\nhalf"
    writer.write(head % (path.encode(), kind))
    async with asyncio.timeout(10):
        line = await reader.readline()
    writer.close()
    assert line.split()[1] == status
