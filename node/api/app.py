"""The application: all routes behind their rights, and what surrounds every request.

From the outside in: every response gets the headers that browsers need to be safe; every request is
counted; every error becomes a problem document; every route is guarded by its right; every body is
bounded.
"""

import time
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

import msgspec
from aiohttp import web
from prometheus_client import Counter, Histogram

from node.api import (
    checkpoints,
    comparisons,
    events,
    governance,
    handles,
    health,
    ledger,
    log,
    network,
    outlook,
    records,
    session,
    states,
    subjects,
    witness,
)
from node.api.auth import SESSIONS, guarded
from node.api.openapi import document
from node.api.port import NODE, Node
from node.api.problems import Handler, problems
from node.api.records import JSON_BODY_BYTES_MAX
from node.api.routes import JSON, Content, Route
from node.api.session import Sessions
from node.listening import HANDLER_ARGS

READ_BUFFER_BYTES: Final = 512 * 1_024
HEADER_BYTES_MAX: Final = 8_190
_SAFE_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
_METHODS: Final = ("GET", "HEAD", "POST")
_PAGES: Final = "node.web"
_DOCUMENT: Final = web.AppKey("openapi", bytes)


async def openapi_json(request: web.Request) -> web.Response:
    """The description of this API."""
    return web.Response(body=request.app[_DOCUMENT], content_type=JSON)


ROUTES: Final[tuple[Route, ...]] = (
    *records.ROUTES,
    *states.ROUTES,
    *subjects.ROUTES,
    *outlook.ROUTES,
    *comparisons.ROUTES,
    *handles.ROUTES,
    *network.ROUTES,
    *governance.ROUTES,
    *events.ROUTES,
    *log.ROUTES,
    *witness.ROUTES,
    *ledger.ROUTES,
    *session.ROUTES,
    *health.ROUTES,
    Route(
        "GET",
        "/openapi.json",
        openapi_json,
        "This description",
        "health",
        None,
        {200: (Content(JSON, {"type": "object"}),)},
    ),
)


def make_app(node: Node) -> web.Application:
    """The HTTP application of a node: API, log, and pages if they are installed."""
    app = web.Application(
        middlewares=[_counting(node), problems],
        client_max_size=JSON_BODY_BYTES_MAX,
        handler_args={
            **HANDLER_ARGS,
            "read_bufsize": READ_BUFFER_BYTES,
            "max_line_size": HEADER_BYTES_MAX,
            "max_field_size": HEADER_BYTES_MAX,
        },
    )
    app[NODE] = node
    app[SESSIONS] = Sessions()
    checkpoints.prepare(app)
    subjects.prepare(app)
    outlook.prepare(app)
    events.prepare(app)
    log.prepare(app)
    app[_DOCUMENT] = msgspec.json.encode(document(ROUTES, node.origin))
    app.on_response_prepare.append(_set_safe_headers)
    for route in ROUTES:
        # With add_get, HEAD is answered too.
        if route.method == "GET" and route.path != "/v1/events":
            app.router.add_get(route.path, guarded(route))
        else:
            app.router.add_route(route.method, route.path, guarded(route))
    if find_spec(_PAGES) is not None:
        _add_pages(app, node)
    return app


def _add_pages(app: web.Application, node: Node) -> None:
    pages: Any = import_module(_PAGES)
    pages.add_pages(app, node)


async def _set_safe_headers(request: web.Request, response: web.StreamResponse) -> None:  # noqa: ARG001
    for name, value in _SAFE_HEADERS.items():
        response.headers.setdefault(name, value)


def _counting(node: Node) -> Any:
    """A middleware that counts requests by route and status, and their time."""
    requests = Counter(
        "standing_http_requests",
        "HTTP requests answered",
        ("method", "route", "status"),
        registry=node.metrics,
    )
    seconds = Histogram(
        "standing_http_request_seconds",
        "Time to answer an HTTP request",
        ("route",),
        registry=node.metrics,
        buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0),
    )

    @web.middleware
    async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
        begun = time.perf_counter()
        status = 499
        try:
            response = await handler(request)
            status = response.status
        except web.HTTPException as error:
            status = error.status
            raise
        else:
            return response
        finally:
            resource = request.match_info.route.resource
            route = resource.canonical if resource is not None else "none"
            method = request.method if request.method in _METHODS else "other"
            requests.labels(method, route, str(status)).inc()
            seconds.labels(route).observe(time.perf_counter() - begun)

    return count
