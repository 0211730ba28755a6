"""Sessions: how a person's browser reads after a token was shown once.

A session is opened by a bearer token of the node's configuration that may read (pasted in the
sign-in form), or by a one-time code that a holder of such a token asked for (`offer_code`; the link
that the demo prints). The browser keeps a random secret in the cookie `standing_session`
(HttpOnly, SameSite=Strict, path /); the node keeps the secret's SHA-256 only, in memory, bounded and
with an expiry.

A session only ever reads: requests that write need the bearer token itself, so that no other site
can make a browser write. The table is lost at a restart; people sign in again.
"""

import hmac
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from node.config import Token

COOKIE: Final = "standing_session"
SESSIONS_MAX: Final = 10_000
CODES_MAX: Final = 1_000
SESSION_SECONDS: Final = 8 * 3_600
CODE_SECONDS: Final = 12 * 3_600
SECRET_BYTES: Final = 32
SECRET_CHARS_MAX: Final = 128


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who may read: the name of the token that let them in, and until when."""

    name: str
    until_s: float


class Sessions:
    """The open sessions and one-time codes of one node. Times are seconds of a steady clock."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tuple(tokens)
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()
        self._codes: OrderedDict[bytes, Session] = OrderedDict()

    def token(self, presented: str) -> Token | None:
        """The configured token that was presented, if it is one; in constant time per token."""
        digest = sha256(presented.encode()).hexdigest()
        found = [each for each in self._tokens if hmac.compare_digest(each.sha256, digest)]
        return found[0] if found else None

    def open(self, name: str, now_s: float) -> str:
        """Open a session in a token's name: the secret for the cookie."""
        return _put(self._sessions, Session(name, now_s + SESSION_SECONDS), SESSIONS_MAX)

    def find(self, secret: str, now_s: float) -> Session | None:
        """The session of a cookie's secret, unless it is unknown or has run out."""
        return _get(self._sessions, secret, now_s)

    def close(self, secret: str) -> None:
        """Forget a session."""
        self._sessions.pop(_key(secret), None)

    def offer_code(self, name: str, now_s: float) -> str:
        """A code that opens one session in a token's name, once."""
        return _put(self._codes, Session(name, now_s + CODE_SECONDS), CODES_MAX)

    def peek_code(self, code: str, now_s: float) -> Session | None:
        """In whose name a code would open a session; the code stays good."""
        return _get(self._codes, code, now_s)

    def take_code(self, code: str, now_s: float) -> str | None:
        """Use up a code: the secret of the session that it opens, or None."""
        offered = self.peek_code(code, now_s)
        self._codes.pop(_key(code), None)
        return None if offered is None else self.open(offered.name, now_s)


def _key(secret: str) -> bytes:
    return sha256(secret[: SECRET_CHARS_MAX + 1].encode(errors="surrogatepass")).digest()


def _put(table: OrderedDict[bytes, Session], session: Session, count_max: int) -> str:
    """Keep a session under a new secret; the oldest one gives way when the table is full."""
    while len(table) >= count_max:
        table.popitem(last=False)
    secret = secrets.token_urlsafe(SECRET_BYTES)
    table[_key(secret)] = session
    return secret


def _get(table: OrderedDict[bytes, Session], secret: str, now_s: float) -> Session | None:
    found = table.get(_key(secret))
    if found is not None and found.until_s <= now_s:
        del table[_key(secret)]
        return None
    return found
