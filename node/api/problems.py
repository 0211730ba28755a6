"""Problem documents (RFC 9457): one table from what went wrong to the status that says so.

A problem has `type`, `title`, `status` and `detail`; `field` is the path of the part at fault and
`rule` the stable code of the broken rule (ledger/README.md). `id` names the record that the
problem is about, where it has one already.

| class | status | type `urn:standing:problem:…` |
|---|---|---|
| Malformed | 400 | malformed |
| BadSignature | 422 | bad-signature |
| BadProof | 422 | bad-proof |
| Refused | 422 | refused |
| Unauthorized | 401 | unauthorized, with `WWW-Authenticate` |
| Forbidden | 403 | forbidden |
| NotFound | 404 | not-found |
| Gone | 410 | gone |
| Erased | 410 | erased |
| ConflictFound | 409 | conflict |
| NotHere | 421 | not-here |
| Oversize | 413 | oversize |
| UnsupportedType | 415 | unsupported-type |
| Busy, NotReady | 503 | busy, not-ready, with `Retry-After` |
| any other InvalidInput | 422 | invalid |
| StoreDamaged, anything else | 500 | store-damaged, internal |
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from aiohttp import web

from ledger.errors import (
    BadProof,
    BadSignature,
    Erased,
    InvalidInput,
    Malformed,
    Refused,
    StandingError,
    StoreDamaged,
)
from ledger.rules.codes import MALFORMED
from node.api.json_text import Oversize
from node.publiclog import Gone

CONTENT_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:standing:problem:"
DETAIL_CHARS_MAX: Final = 1_000

_logger = logging.getLogger(__name__)


class Unauthorized(StandingError):
    """No token, or one that the node does not know."""


class Forbidden(StandingError):
    """A known token that may not do this."""


class NotFound(StandingError):
    """What was asked for is not here."""


class ConflictFound(Refused):
    """Another record stands under this one's name already: the one with `record_id`."""

    def __init__(self, rule: str, message: str, *, field: str, record_id: bytes) -> None:
        super().__init__(rule, message, field=field)
        self.record_id = record_id


class UnsupportedType(StandingError):
    """A content type that the route does not read."""


class NotHere(StandingError):
    """This node writes no lane: it is an observer, or its platform leaves."""


class TryLater(StandingError):
    """The node cannot take this now; `retry_after_s` says when to come again."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NotReady(TryLater):
    """The node is up but does not serve this yet: it starts, or catches up."""


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """A problem document."""

    type: str
    title: str
    status: int
    detail: str
    field: str = ""
    rule: str = ""
    id: str = ""
    retry_after_s: int = 0


# The first class that fits gives status, type and title: special classes stand before general ones.
TABLE: Final[tuple[tuple[type[Exception], int, str, str], ...]] = (
    (Oversize, 413, "oversize", "Too large"),
    (Malformed, 400, "malformed", "Not in the form that is asked for"),
    (BadSignature, 422, "bad-signature", "A signature does not hold"),
    (BadProof, 422, "bad-proof", "A proof does not hold"),
    (ConflictFound, 409, "conflict", "Other content stands under this name already"),
    (Refused, 422, "refused", "A rule of the ledger is broken"),
    (Unauthorized, 401, "unauthorized", "A bearer token is needed"),
    (Forbidden, 403, "forbidden", "The token may not do this"),
    (NotFound, 404, "not-found", "Not found"),
    (Gone, 410, "gone", "Not kept here any more"),
    (Erased, 410, "erased", "Erased since"),
    (UnsupportedType, 415, "unsupported-type", "Content type not read here"),
    (NotHere, 421, "not-here", "This node takes no records"),
    (NotReady, 503, "not-ready", "The node is not ready"),
    (TryLater, 503, "busy", "The node is busy"),
    (InvalidInput, 422, "invalid", "What was asked for cannot be answered"),
    (StoreDamaged, 500, "store-damaged", "The node's store is damaged"),
)
TITLES: Final = {status: title for _, status, _, title in reversed(TABLE)}


def problem_of(error: Exception) -> Problem:
    """The problem document of an error. Unknown errors say nothing of the node's inside."""
    row = next((row for row in TABLE if isinstance(error, row[0])), None)
    if row is None:
        detail = "the node failed at this request; its log says why"
        return Problem(TYPE_PREFIX + "internal", "Internal error", 500, detail)
    _, status, slug, title = row
    field, rule, record_id, retry_after_s = "", "", "", 0
    if isinstance(error, InvalidInput):
        field = error.field
        rule = error.rule if isinstance(error, Refused) else slug
    if isinstance(error, Malformed):
        rule = MALFORMED
    if isinstance(error, ConflictFound):
        record_id = error.record_id.hex()
    if isinstance(error, TryLater):
        retry_after_s = error.retry_after_s
    detail = str(error)[:DETAIL_CHARS_MAX]
    return Problem(TYPE_PREFIX + slug, title, status, detail, field, rule, record_id, retry_after_s)


def problem_response(problem: Problem, **headers: str) -> web.Response:
    """The HTTP response that carries a problem document."""
    if problem.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="standing"'
    if problem.retry_after_s:
        headers["Retry-After"] = str(problem.retry_after_s)
    return web.Response(
        status=problem.status,
        body=msgspec.json.encode(problem),
        content_type=CONTENT_TYPE,
        headers=headers,
    )


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error with a problem document."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return problem_response(_http_problem(error), **_kept_headers(error))
    except ConnectionError:
        raise
    except Exception as error:
        problem = problem_of(error)
        if problem.status == 500:
            _logger.exception("%s %s failed", request.method, request.path)
        return problem_response(problem)


def _http_problem(error: web.HTTPException) -> Problem:
    """The problem of an error that the HTTP library raised: no such route, wrong method, …"""
    status = error.status
    detail = {
        404: "there is no such address; /openapi.json lists all",
        405: "this address does not take that method; see the header Allow",
        413: "the body is larger than this address takes",
    }.get(status, error.reason)
    if status == 413:
        return problem_of(Oversize(detail))
    slug = {404: "not-found", 405: "method-not-allowed"}.get(status, "http")
    return Problem(TYPE_PREFIX + slug, error.reason, status, detail)


def _kept_headers(error: web.HTTPException) -> dict[str, Any]:
    return {name: value for name, value in error.headers.items() if name == "Allow"}
