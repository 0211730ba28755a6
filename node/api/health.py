"""Is the node alive, is it ready, and what does it count."""

from typing import Final

from aiohttp import web
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from node.api.port import NODE
from node.api.problems import NotReady
from node.api.routes import TEXT, Content, Route

READY_RETRY_S: Final = 1
FORGOTTEN_RETRY_S: Final = 3_600
_WORD: Final = {"type": "string"}


async def livez(request: web.Request) -> web.Response:  # noqa: ARG001
    """The process answers."""
    return web.Response(text="alive\n")


async def readyz(request: web.Request) -> web.Response:
    """The node takes records and serves reads."""
    node = request.app[NODE]
    if node.forgotten:
        raise NotReady(node.forgotten, FORGOTTEN_RETRY_S)
    if not node.ready:
        raise NotReady("the node starts, or is catching up with its peers", READY_RETRY_S)
    return web.Response(text="ready\n")


async def metrics(request: web.Request) -> web.Response:
    """All counters, in Prometheus's text form."""
    body = generate_latest(request.app[NODE].metrics)
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


ROUTES: Final = (
    Route(
        "GET",
        "/livez",
        livez,
        "Is the process alive?",
        "health",
        None,
        {200: (Content(TEXT, _WORD),)},
    ),
    Route(
        "GET",
        "/readyz",
        readyz,
        "Is the node ready?",
        "health",
        None,
        {200: (Content(TEXT, _WORD),)},
        problems=(503,),
    ),
    Route(
        "GET",
        "/metrics",
        metrics,
        "Counters, in Prometheus's text form",
        "health",
        None,
        {200: (Content(TEXT, _WORD),)},
    ),
)
