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
    """A validator takes records and serves reads; an observer has caught up and serves reads."""
    node = request.app[NODE]
    if node.forgotten:
        raise NotReady(node.forgotten, FORGOTTEN_RETRY_S)
    if not node.ready and node.role == "observer":
        raise NotReady("the observer has no links yet, or is catching up", READY_RETRY_S)
    if not node.ready:
        raise NotReady("the node starts, or is catching up with its peers", READY_RETRY_S)
    is_observer = node.role == "observer"
    return web.Response(text="ready: an observer, reads only\n" if is_observer else "ready\n")


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
