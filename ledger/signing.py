"""Ed25519: the one acceptance rule of the network, and signing with a key made from a seed.

Acceptance rule (every validator must agree on it to the byte). A signature R ‖ S over a message M
under a public key A is valid if and only if

1. A is 32 bytes, R ‖ S is 64 bytes;
2. S < L, the order of the base point (no malleability);
3. A is the canonical encoding of a curve point;
4. neither A nor R is one of the 14 encodings of points of small order;
5. R equals, byte for byte, the encoding of [S]B − [SHA-512(R ‖ A ‖ M) mod L]A (the equation of
   RFC 8032 §5.1.7 without the cofactor).

This is libsodium's rule, and libsodium decides it here. Libraries that skip rule 4 (OpenSSL, Go) or
multiply by the cofactor accept more, and would fork the ledger. A registered key must besides be a
point of the main subgroup (`is_valid_public_key`).

What is signed for the ledger and for consensus is never the bare message: `signed_message` sets
`standing/<kind>/v1` NUL and the chain's identity before it, so that no signature means two things.
"""

from dataclasses import dataclass, field
from typing import Final, Self

from nacl.bindings import (
    crypto_core_ed25519_is_valid_point,
    crypto_sign,
    crypto_sign_open,
    crypto_sign_seed_keypair,
)
from nacl.exceptions import CryptoError

from ledger.errors import BadSignature

SEED_BYTES: Final = 32
PUBLIC_KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature holds under the acceptance rule above. Never raises on bad input."""
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        crypto_sign_open(signature + message, public_key)
    except CryptoError:
        return False
    return True


def check(public_key: bytes, message: bytes, signature: bytes, *, what: str) -> None:
    """Demand that the signature holds.

    Raises:
        BadSignature: it does not; `what` names the thing that was signed.
    """
    if not verify(public_key, message, signature):
        raise BadSignature(f"the signature of {what} does not hold")


def is_valid_public_key(key: bytes) -> bool:
    """Whether the bytes are the canonical encoding of a point of the main subgroup, not of small
    order: what every registered key must be."""
    return len(key) == PUBLIC_KEY_BYTES and crypto_core_ed25519_is_valid_point(key)


def signed_message(kind: str, chain: bytes, message: bytes) -> bytes:
    """`standing/<kind>/v1` ‖ 0x00 ‖ chain ‖ message: the bytes that are signed for one purpose.

    `kind` is ASCII without NUL; `chain` has one fixed length for all uses of a kind.
    """
    name = kind.encode("ascii")
    assert name, "a kind of signature has a name"
    assert 0 not in name, "a kind of signature has no NUL"
    return b"standing/" + name + b"/v1\0" + chain + message


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private Ed25519 key (RFC 8032). Its printed form shows the public half only."""

    public: bytes
    _secret: bytes = field(repr=False)

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """The key of a 32-byte seed, which the caller drew from a good source of randomness."""
        if len(seed) != SEED_BYTES:
            raise ValueError(f"a seed has {SEED_BYTES} bytes, not {len(seed)}")
        public, secret = crypto_sign_seed_keypair(seed)
        return cls(public, secret)

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature of the message (deterministic)."""
        return crypto_sign(message, self._secret)[:SIGNATURE_BYTES]
