"""Who looks at a page, and what a page answers when something is wrong.

A form is taken only from our own pages: the browser says where it comes from (Sec-Fetch-Site, or
else Origin), and the session's cookie is not sent along by other sites (SameSite=Strict). Our pages
send no referrer, so a browser that knows no Sec-Fetch-Site, or leaves it out (http, not localhost),
gives our own forms' Origin as `null`: that is let pass, for the cookie alone decides what is shown.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from ledger.errors import Erased, InvalidInput
from node.api.auth import COOKIE, SESSIONS
from node.api.port import NODE
from node.config import Token
from node.web.render import Context, html

FORM_BYTES_MAX: Final = 8_192
FORM_S: Final = 10.0
RETRY_AFTER_S: Final = 5
_OWN_PATH: Final = re.compile(r"/(?:subjects|network|lookup)[a-zA-Z0-9/:._=?&-]{0,512}\Z", re.ASCII)
_logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.Response]]
Render = Callable[[web.Request, str, Context], str]


class PageProblem(Exception):
    """Something that a person is told on a page of its own."""

    def __init__(self, status: int, title: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.title = title
        self.message = message


def holder_of(request: web.Request) -> Token | None:
    """The token that the browser's session stands for, or None."""
    holder = request.app[SESSIONS].holder(request.cookies.get(COOKIE, ""))
    return holder if holder is not None and "read" in holder.may else None


def need_holder(request: web.Request) -> Token:
    """The token of the session.

    Raises:
        PageProblem: nobody is signed in.
    """
    holder = holder_of(request)
    if holder is None:
        raise PageProblem(401, "Sign in first", "This page needs a session, and there is none.")
    return holder


def own_path(path: str) -> str:
    """A path to go to after signing in: one of our own pages, else the first page."""
    return path if _OWN_PATH.match(path) else "/"


def check_same_site(request: web.Request) -> None:
    """Refuse a form that another site sent.

    Raises:
        PageProblem: it did.
    """
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site is not None:
        own = site in {"same-origin", "none"}
    else:
        own = origin in {None, "null", f"{request.scheme}://{request.host}"}
    if not own:
        raise PageProblem(403, "Refused", "This form was sent by another site.")


async def form_of(request: web.Request) -> dict[str, str]:
    """The fields of a small form of our own.

    Raises:
        PageProblem: another site's, too large, too slow, or not a form.
    """
    check_same_site(request)
    if request.content_type != "application/x-www-form-urlencoded":
        raise PageProblem(415, "Not a form", "This address takes the form of its page only.")
    length = request.content_length
    if length is None or length > FORM_BYTES_MAX:
        raise PageProblem(413, "Too large", f"A form has at most {FORM_BYTES_MAX} bytes.")
    try:
        async with asyncio.timeout(FORM_S):
            fields = await request.post()
    except TimeoutError as error:
        raise PageProblem(408, "Too slow", f"A form must arrive within {FORM_S:g} s.") from error
    return {name: value for name, value in fields.items() if isinstance(value, str)}


def page(handler: Handler, render: Render) -> Handler:
    """A handler whose errors are pages too."""

    async def answer(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except PageProblem as problem:
            return _problem_page(request, render, problem)
        except Erased:
            message = (
                "Records on this page are being erased at this moment, and the checkpoint that "
                "says so is not cosigned yet. Load the page again in a moment."
            )
            return _problem_page(request, render, PageProblem(410, "Erased since", message))
        except InvalidInput as error:
            unreadable = PageProblem(400, "This cannot be read", f"{error}.")
            return _problem_page(request, render, unreadable)
        except (web.HTTPException, ConnectionError):
            raise
        except Exception:
            _logger.exception("%s %s failed", request.method, request.path)
            message = "The node failed at this page; its log says why."
            return _problem_page(request, render, PageProblem(500, "Internal error", message))

    return answer


def _problem_page(request: web.Request, render: Render, problem: PageProblem) -> web.Response:
    context: Context = {
        "title": problem.title,
        "message": problem.message,
        "sign_in": problem.status == 401,
        "next_path": own_path(request.path_qs) if problem.status == 401 else "/",
    }
    headers = {}
    if problem.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="standing"'
    if problem.status == 503:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    text = render(request, "problem.html", context)
    return html(text, status=problem.status, headers=headers)


def need_ready(request: web.Request) -> None:
    """Demand that the node serves.

    Raises:
        PageProblem: it starts, or catches up.
    """
    node = request.app[NODE]
    if not (node.ready or node.forgotten) or node.certified is None:
        raise PageProblem(
            503,
            "The node is not ready",
            "It starts, or catches up with the others. Try again in a moment.",
        )
