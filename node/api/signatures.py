"""Requests signed instead of bearing a token: HTTP message signatures (RFC 9421) by Ed25519.

A configured signer (`[[signers]]`: name, key, may) proves itself anew with each request, and no
secret crosses the wire:

    Content-Digest: sha-256=:<base64 of the body's SHA-256>:                  (RFC 9530)
    Signature-Input: sig=("@method" "@authority" "@path" "@query" "content-digest");
                     created=<unix s>;keyid="<the signer's name>";alg="ed25519"
    Signature: sig=:<base64 of 64 bytes>:

Demanded: one signature; `@method`, `@authority` and `@path` covered, `@query` if there is a query,
`content-digest` if there is a body; `created` at most 300 s from this node's clock, and `expires`,
where it is given, not past. Other header fields may be covered too; one that was sent twice counts
as one list. Within these 300 s a copied request can be sent again, which is harmless:
reads change nothing, and the same record twice is one record. The body is read whole to check its
digest, so streams (NDJSON, MessagePack) need a token.

The signature base (RFC 9421 §2.5) has one line `"<component>": <value>` for each component in
order, and ends with `"@signature-params": <the input without its label>`, without a newline.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from ledger.errors import BadSignature, Malformed
from ledger.signing import SigningKey, verify

SKEW_S: Final = 300
HEADER_CHARS_MAX: Final = 2_048
COMPONENTS_MAX: Final = 16

_NAME: Final = r'"(?:@[a-z-]{1,32}|[a-z0-9-]{1,64})"'
_INPUT: Final = re.compile(
    rf"(?P<label>[a-z][a-z0-9_-]{{0,31}})=(?P<params>\((?P<names>{_NAME}(?: {_NAME})*)\)"
    r'(?P<rest>(?:;[a-z]{1,16}=(?:[0-9]{1,15}|"[ !#-\[\]-~]{0,128}"))*))\Z'
)
_PARAMETER: Final = re.compile(r';([a-z]{1,16})=(?:([0-9]{1,15})|"([ !#-\[\]-~]{0,128})")')
_SIGNATURE: Final = re.compile(
    r"(?P<label>[a-z][a-z0-9_-]{0,31})=:(?P<value>[A-Za-z0-9+/]{86}==):\Z"
)


@dataclass(frozen=True, slots=True)
class SignatureInput:
    """A parsed `Signature-Input`: what is covered, and by whose key it is said to be signed."""

    label: str
    params: str
    components: tuple[str, ...]
    created_s: int
    key_id: str
    expires_s: int | None = None


def parse_input(header: str) -> SignatureInput:
    """Read the header in the one form that is accepted.

    Raises:
        Malformed: more than one signature, another algorithm, a parameter twice or unknown.
    """
    match = _INPUT.match(header) if len(header) <= HEADER_CHARS_MAX else None
    if match is None:
        raise Malformed("is not one signature in the form of RFC 9421", field="Signature-Input")
    components = tuple(match["names"].replace('"', "").split(" "))
    if len(components) > COMPONENTS_MAX or len(set(components)) != len(components):
        raise Malformed("covers something twice, or too much", field="Signature-Input")
    found = _PARAMETER.findall(match["rest"])
    given = {name: number or text for name, number, text in found}
    if len(given) != len(found) or not {"created", "keyid"} <= given.keys() <= _PARAMETERS:
        raise Malformed("needs created and keyid, each once", field="Signature-Input")
    if any(bool(number) != (name in _NUMBERS) for name, number, _ in found) or any(
        number.startswith("0") and number != "0" for _, number, _ in found
    ):
        raise Malformed("has a number or string out of form", field="Signature-Input")
    if given.get("alg", "ed25519") != "ed25519":
        raise Malformed("is not by ed25519", field="Signature-Input")
    created_s, expires = int(given["created"]), given.get("expires")
    return SignatureInput(
        match["label"],
        match["params"],
        components,
        created_s,
        given["keyid"],
        None if expires is None else int(expires),
    )


_PARAMETERS: Final = frozenset({"created", "keyid", "alg", "expires", "nonce", "tag"})
_NUMBERS: Final = frozenset({"created", "expires"})  # the others are strings (RFC 9421 §2.3)


def signature_base(
    components: Sequence[str], params: str, value_of: Callable[[str], str | None]
) -> bytes:
    """The bytes that are signed (RFC 9421 §2.5).

    Raises:
        Malformed: a covered component is not in the request.
    """
    lines = []
    for name in components:
        value = value_of(name)
        if value is None:
            raise Malformed(f"covers {name}, which the request has not", field="Signature-Input")
        lines.append(f'"{name}": {value}')
    lines.append(f'"@signature-params": {params}')
    return "\n".join(lines).encode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class Received:
    """What a signature may cover. `headers` by lowercase name; `query` with its `?`, or empty."""

    method: str
    authority: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    def value_of(self, name: str) -> str | None:
        """The value of a derived component or header field, or None."""
        match name:
            case "@method":
                return self.method
            case "@authority":
                return self.authority.lower()
            case "@path":
                return self.path
            case "@query":
                return self.query or "?"
            case _ if name.startswith("@"):
                return None
            case _:
                value = self.headers.get(name)
                return None if value is None else value.strip()


def check_request(
    received: Received, key_of: Callable[[str], bytes | None], now_s: int
) -> SignatureInput:
    """Check a signed request whole: coverage, age, digest, signature.

    Raises:
        Malformed: headers out of form, or covering too little.
        BadSignature: an unknown key, a wrong age or digest, a signature that does not hold.
    """
    given = parse_input(received.headers.get("signature-input", ""))
    needed = {"@method", "@authority", "@path"}
    needed |= {"@query"} if received.query else set()
    needed |= {"content-digest"} if received.body else set()
    missing = sorted(needed - set(given.components))
    if missing:
        raise Malformed(f"does not cover {', '.join(missing)}", field="Signature-Input")
    if abs(now_s - given.created_s) > SKEW_S:
        raise BadSignature(f"the signature was not created within {SKEW_S} s of now")
    if given.expires_s is not None and given.expires_s < now_s:
        raise BadSignature("the signature has expired")
    if "content-digest" in given.components:
        digest = received.headers.get("content-digest", "")
        if not hmac.compare_digest(
            digest.encode("utf-8", "replace"), content_digest(received.body)
        ):
            raise BadSignature("Content-Digest is not sha-256 of the body")
    key = key_of(given.key_id)
    match = _SIGNATURE.match(received.headers.get("signature", ""))
    if match is None or match["label"] != given.label:
        raise Malformed("is not one Ed25519 signature under the input's label", field="Signature")
    try:
        signature = base64.b64decode(match["value"], validate=True)
    except binascii.Error as error:
        raise Malformed("is not base64", field="Signature") from error
    base = signature_base(given.components, given.params, received.value_of)
    if key is None or not verify(key, base, signature):
        raise BadSignature("the request's signature does not hold under a configured signer's key")
    return given


def content_digest(body: bytes) -> bytes:
    """The Content-Digest header's value (RFC 9530)."""
    return b"sha-256=:%b:" % base64.b64encode(sha256(body).digest())


def sign_request(
    key: SigningKey, key_id: str, unsigned: Received, created_s: int
) -> dict[str, str]:
    """The headers that a client adds to a request to sign it."""
    components = ["@method", "@authority", "@path"]
    headers: dict[str, str] = {}
    if unsigned.query:
        components.append("@query")
    if unsigned.body:
        components.append("content-digest")
        headers["Content-Digest"] = content_digest(unsigned.body).decode()
    names = " ".join(f'"{name}"' for name in components)
    params = f'({names});created={created_s};keyid="{key_id}";alg="ed25519"'
    lowered = {**unsigned.headers, **{name.lower(): value for name, value in headers.items()}}
    covered = Received(
        unsigned.method, unsigned.authority, unsigned.path, unsigned.query, lowered, unsigned.body
    )
    signature = key.sign(signature_base(components, params, covered.value_of))
    return {
        **headers,
        "Signature-Input": f"sig={params}",
        "Signature": f"sig=:{base64.b64encode(signature).decode()}:",
    }
