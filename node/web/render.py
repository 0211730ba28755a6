"""Templates and the headers of every page.

Everything is escaped by default; no page has an inline script, an inline style or anything from
elsewhere, and the Content-Security-Policy says so to the browser. Only the report runs a script:
our verifier, a file of this node, which may fetch from this node alone.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from ledger.bureau.model import Q16_ONE
from node.web.words import day, minute, number, percent, reason, short, signed, teller

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_SCRIPT_POLICY: Final = "; script-src 'self'; connect-src 'self'"
# An SVG that is shown as an image styles itself and loads nothing.
IMAGE_HEADERS: Final[Mapping[str, str]] = {
    **HEADERS,
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "Cache-Control": "private, max-age=60",
}


def along(q16: int, start: int, length: int) -> str:
    """The place of a Q16 share on a line, for a drawing."""
    return f"{start + q16 * length / Q16_ONE:.1f}"


def environment() -> Environment:
    """The templates, with the words of `words.py` as filters."""
    made = Environment(
        loader=PackageLoader("node.web", "templates"),
        autoescape=select_autoescape(("html",), default_for_string=True, default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for written in (reason, percent, signed, day, minute, short, number, along, teller):
        made.filters[written.__name__] = written
    return made


def html(
    text: str,
    *,
    status: int = 200,
    scripted: bool = False,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """A page as a response with its headers; `scripted` pages may run the modules of this node."""
    made = {**HEADERS, **(headers or {})}
    if scripted:
        made["Content-Security-Policy"] += _SCRIPT_POLICY
    return web.Response(text=text, status=status, content_type="text/html", headers=made)


def asset(request: web.Request, data: bytes, content_type: str) -> web.Response:
    """A file of the pages: asked for again each time, sent again only when it has changed."""
    tag = hashlib.sha256(data).hexdigest()[:32]
    known = any(each.value in {tag, "*"} for each in request.if_none_match or ())
    response = (
        web.Response(status=304, headers=HEADERS)
        if known
        else web.Response(body=data, content_type=content_type, charset="utf-8", headers=HEADERS)
    )
    response.headers["Cache-Control"] = "no-cache"
    response.etag = tag
    return response


def svg(data: bytes) -> web.Response:
    """A drawing as a response with its headers."""
    return web.Response(body=data, content_type="image/svg+xml", headers=IMAGE_HEADERS)


def go_to(path: str) -> web.Response:
    """After a form: see the page at this path of our own."""
    return web.Response(status=303, headers={**HEADERS, "Location": path})


Context = dict[str, Any]
