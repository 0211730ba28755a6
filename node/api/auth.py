"""Who asks: bearer tokens, known by their SHA-256 alone, or signers; and what each may do.

A token is sent as `Authorization: Bearer <token>`. The pages' cookie stands for a token that was
given once (node/api/session.py): it may read and never write, so that no other site's form can make
a browser write here. Every comparison goes over all tokens and takes the same time.

Records go in by one address, and which right they take is told by their type: `govern` those about
who is a member and which model is in force, which speak for this node's platform (`GOVERNED`),
`write` all others. So a back office that furnishes records cannot end its platform's membership.
`member.ready` and `key.rotate` are signed by the keys of the platform that they are of, which may
be another one: either right is enough for them. So nobody has to be given another platform's right
to govern.
"""

import hmac
import time
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from aiohttp import web

from ledger.errors import InvalidInput
from ledger.records import NAMES, TAGS
from ledger.records.membership import (
    KeyRotate,
    MemberApprove,
    MemberLeave,
    MemberPropose,
    MemberReady,
    MemberRemove,
)
from ledger.records.model import ModelActivate
from node.api.port import NODE
from node.api.problems import Forbidden, Handler, Unauthorized
from node.api.routes import Route
from node.api.signatures import Received, check_request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from node.api.session import Sessions
    from node.config import Right, Signer, Token
    from node.intake import Offer

TOKEN_CHARS_MAX: Final = 512
STREAMED: Final = frozenset({"application/x-ndjson", "application/msgpack"})
SESSIONS: Final["web.AppKey[Sessions]"] = web.AppKey("sessions", object)  # type: ignore[arg-type]
COOKIE: Final = "standing_session"
GOVERNED: Final[dict[int, str]] = {
    TAGS[kind]: NAMES[kind]
    for kind in (MemberPropose, MemberApprove, MemberRemove, MemberLeave, ModelActivate)
}
"""Tag → name of the types of records that take the right `govern`."""
SELF_SIGNED: Final = frozenset({TAGS[MemberReady], TAGS[KeyRotate]})
"""Tags of those that the keys of whom they are about have signed."""
_HOLDER: Final["web.RequestKey[Token | Signer]"] = web.RequestKey("holder", object)  # type: ignore[arg-type]


def find_token(tokens: "Sequence[Token]", given: str) -> "Token | None":
    """The configured token whose hash is that of the given one."""
    if len(given) > TOKEN_CHARS_MAX:
        return None
    digest = sha256(given.encode("utf-8", "surrogatepass")).hexdigest()
    found = None
    for token in tokens:
        if hmac.compare_digest(token.sha256, digest):
            found = token
    return found


def bearer_of(request: web.Request) -> "Token | None":
    """The token of the Authorization header, or None if there is no such header.

    Raises:
        Unauthorized: a header that is no bearer token, or a token that is not known.
    """
    header = request.headers.get("Authorization")
    if header is None:
        return None
    scheme, _, given = header.partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthorized("the Authorization header must be: Bearer <token>")
    token = find_token(request.app[NODE].config.tokens, given.strip())
    if token is None:
        raise Unauthorized("this node does not know the token; its configuration lists [[tokens]]")
    return token


async def signer_of(request: web.Request) -> "Signer | None":
    """The configured signer of the request (node/api/signatures.py), or None if it is not signed.

    Raises:
        Unauthorized: it is signed, and not as it must be.
    """
    if "Signature-Input" not in request.headers:
        return None
    if request.content_type in STREAMED:
        raise Unauthorized("a signed request cannot stream: send a JSON body, or use a token")
    path, mark, query = request.raw_path.partition("?")
    received = Received(
        request.method,
        request.headers.get("Host", ""),
        path,
        mark + query,
        _combined(request),
        await request.read(),
    )
    signers = {each.name: each for each in request.app[NODE].config.signers}
    keys = {name: each.key for name, each in signers.items()}
    try:
        given = check_request(received, keys.get, int(time.time()))
    except InvalidInput as error:
        raise Unauthorized(str(error)) from error
    signer: Signer = signers[given.key_id]
    return signer


def _combined(request: web.Request) -> dict[str, str]:
    """The header fields by lowercase name; one that was sent twice as one list (RFC 9421 §2.1)."""
    names = {name.lower() for name in request.headers}
    return {
        name: ", ".join(value.strip() for value in request.headers.getall(name)) for name in names
    }


def cookie_holder(request: web.Request) -> "Token | None":
    """The token that the pages' session stands for, or None."""
    return request.app[SESSIONS].holder(request.cookies.get(COOKIE, ""))


def reader_of(request: web.Request) -> "Token | None":
    """Whoever reads here, by header or cookie; None for a stranger."""
    return bearer_of(request) or cookie_holder(request)


def guarded(route: Route) -> Handler:
    """The route's handler behind its right."""
    rights, handler = route.rights, route.handler
    if not rights:
        return handler

    async def check(request: web.Request) -> web.StreamResponse:
        holder: Token | Signer | None = bearer_of(request) or await signer_of(request)
        if holder is None and "read" in rights:
            holder = cookie_holder(request)
        if holder is None:
            raise Unauthorized("send the header Authorization: Bearer <token>, or sign the request")
        if holder.may.isdisjoint(rights):
            raise Forbidden(f"'{holder.name}' may not {' or '.join(rights)}")
        request[_HOLDER] = holder
        return await handler(request)

    return check


class Admission:
    """Which records a token's or signer's holder may hand in."""

    def __init__(self, holder: "Token | Signer") -> None:
        self.name, self._may = holder.name, holder.may

    @classmethod
    def of(cls, request: web.Request) -> "Admission":
        """Of whoever sent a request, behind a guarded route only."""
        return cls(request[_HOLDER])

    def admit(self, offer: "Offer") -> "Offer":
        """The offer, if its type may be handed in.

        Raises:
            Forbidden: names the type and the right that it takes.
        """
        tag = tag_in(offer.record)
        if tag in SELF_SIGNED:
            return offer
        governed = GOVERNED.get(tag, "")
        needed: Right = "govern" if governed else "write"
        if needed not in self._may:
            what = f"a record of type {governed}" if governed else "a record of this type"
            raise Forbidden(
                f"'{self.name}' may not hand in {what}: it takes a token with the right "
                f"'{needed}'; the node's configuration lists what each may"
            )
        return offer


def governed_type(record: bytes) -> str:
    """The name of a record's type if that takes the right `govern`; else nothing."""
    return GOVERNED.get(tag_in(record), "")


def tag_in(record: bytes) -> int:
    """The tag of a record's type; of what is none, one that no type has.

    Two bytes tell: a record is a MessagePack array of at most 15, and its tag is below 128. Bytes
    in any other form are no record: they are refused, whoever sends them.
    """
    is_array = len(record) > 1 and record[0] & 0xF0 == 0x90
    return record[1] if is_array else -1
