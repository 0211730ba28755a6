"""Sessions: how a person's browser reads after a token was shown once.

A session is opened by a bearer token of the node's configuration that may read (pasted in the
sign-in form), or by a one-time code that the holder of such a token asked for (`offer_code`; the
link that the demo prints). The browser keeps a random secret in a cookie (HttpOnly,
SameSite=Strict, path /); the node keeps the secret's SHA-256 only, in memory, bounded, with an
expiry.

A session only ever reads: requests that write need the bearer token itself, so that no other site
can make a browser write. The table is lost at a restart; people sign in again.
"""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import msgspec
from aiohttp import web

from node.api.auth import SESSIONS, bearer_of
from node.api.problems import Forbidden, Unauthorized
from node.api.routes import JSON, Content, Route, json_response
from node.config import Token

SESSIONS_MAX: Final = 10_000
CODES_MAX: Final = 1_000
SESSION_SECONDS: Final = 8 * 3_600
CODE_SECONDS: Final = 12 * 3_600
SECRET_BYTES: Final = 32
SECRET_CHARS_MAX: Final = 128

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class _Entry:
    holder: Token
    until_s: float


class Sessions:
    """The open sessions and one-time codes of one node; `clock` counts seconds and never jumps."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._sessions: OrderedDict[bytes, _Entry] = OrderedDict()
        self._codes: OrderedDict[bytes, _Entry] = OrderedDict()

    def open(self, holder: Token) -> str:
        """Open a session that stands for a token: the secret for the cookie."""
        return self._put(self._sessions, holder, SESSION_SECONDS, SESSIONS_MAX)

    def holder(self, secret: str) -> Token | None:
        """The token that a cookie's secret stands for, unless it is unknown or has run out."""
        return self._get(self._sessions, secret)

    def close(self, secret: str) -> None:
        """Forget a session."""
        self._sessions.pop(_key(secret), None)

    def offer_code(self, holder: Token) -> str:
        """A code that opens one session that stands for a token, once."""
        return self._put(self._codes, holder, CODE_SECONDS, CODES_MAX)

    def peek_code(self, code: str) -> Token | None:
        """What a code would open; the code stays good."""
        return self._get(self._codes, code)

    def take_code(self, code: str) -> str | None:
        """Use up a code: the secret of the session that it opens, or None."""
        holder = self.peek_code(code)
        self._codes.pop(_key(code), None)
        return None if holder is None else self.open(holder)

    def _put(
        self, table: OrderedDict[bytes, _Entry], holder: Token, seconds: float, count_max: int
    ) -> str:
        """Keep an entry under a new secret; the oldest one gives way when the table is full."""
        while len(table) >= count_max:
            table.popitem(last=False)
        secret = secrets.token_urlsafe(SECRET_BYTES)
        table[_key(secret)] = _Entry(holder, self._clock() + seconds)
        return secret

    def _get(self, table: OrderedDict[bytes, _Entry], secret: str) -> Token | None:
        found = table.get(_key(secret))
        if found is None:
            return None
        if found.until_s <= self._clock():
            del table[_key(secret)]
            return None
        return found.holder


def _key(secret: str) -> bytes:
    return sha256(secret[: SECRET_CHARS_MAX + 1].encode("utf-8", "surrogatepass")).digest()


class EnterLink(msgspec.Struct, frozen=True):
    """The path of a page that opens one session, once."""

    path: str


async def post_session_link(request: web.Request) -> web.Response:
    """A one-time link for a browser, in the name of the bearer token (a cookie does not do)."""
    holder = bearer_of(request)
    if holder is None:
        raise Unauthorized("send the header Authorization: Bearer <token>")
    if "read" not in holder.may:
        raise Forbidden(f"the token '{holder.name}' may not read")
    code = request.app[SESSIONS].offer_code(holder)
    return json_response(EnterLink(f"/enter/{code}"), status=201)


ROUTES: Final = (
    Route(
        "POST",
        "/v1/session-links",
        post_session_link,
        "A one-time link that signs a browser in",
        "sessions",
        None,
        {201: (Content(JSON, EnterLink),)},
        problems=(401, 403),
    ),
)
