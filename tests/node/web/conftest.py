"""The pages of a node in memory, and browsers that look at them."""

from collections.abc import AsyncIterator

import pytest
from aiohttp.test_utils import TestClient, TestServer

from node.api.auth import COOKIE, SESSIONS
from tests.ledger.world import World
from tests.node.web.site import SiteNode, ledger, site


@pytest.fixture(scope="session")
def world() -> World:
    """The ledger that the pages show; no test changes it."""
    return ledger()


@pytest.fixture
def node(world: World) -> SiteNode:
    """A node over the ledger."""
    return SiteNode(world)


@pytest.fixture
async def stranger(node: SiteNode) -> AsyncIterator[TestClient]:
    """A browser without a session."""
    async with TestClient(TestServer(site(node))) as client:
        yield client


@pytest.fixture
async def reader(stranger: TestClient, node: SiteNode) -> TestClient:
    """A browser that is signed in."""
    secret = stranger.app[SESSIONS].open(node.config.tokens[0])
    stranger.session.cookie_jar.update_cookies({COOKIE: secret})
    return stranger
