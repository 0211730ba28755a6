"""A node behind a real HTTP server on a free port of 127.0.0.1, and a session that talks to it."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from node.api.app import make_app
from node.api.json_records import record_to_json
from node.client import Client
from tests.node.api.live_node import BOTH, LiveNode


@pytest.fixture
async def node() -> LiveNode:
    return LiveNode()


@pytest.fixture
async def server(node: LiveNode) -> AsyncIterator[TestServer]:
    async with TestServer(make_app(node)) as running:
        yield running


@pytest.fixture
async def stranger(server: TestServer) -> AsyncIterator[ClientSession]:
    """Without a token."""
    async with ClientSession(str(server.make_url("/"))) as session:
        yield session


@pytest.fixture
async def member(server: TestServer) -> AsyncIterator[ClientSession]:
    """With a token that may read and write."""
    headers = {"Authorization": f"Bearer {BOTH}"}
    async with ClientSession(str(server.make_url("/")), headers=headers) as session:
        yield session


@pytest.fixture
async def client(server: TestServer) -> AsyncIterator[Client]:
    async with Client(str(server.make_url("/")), BOTH) as made:
        yield made


@pytest.fixture
def as_json() -> Callable[..., dict[str, Any]]:
    """The JSON form of a record, with changes."""

    def make(record: Any, **changes: Any) -> dict[str, Any]:
        made = {**record_to_json(record), **changes}
        return {name: value for name, value in made.items() if value is not ...}

    return make
