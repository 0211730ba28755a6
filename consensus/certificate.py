"""What validators sign in a view, and certificates: q of those signatures under one statement.

    statement   = [epoch, view, block hash]                 nullify: 32 zero bytes for the hash
    signature   = vote key over "standing/<kind>/v1\\0" ‖ chain id ‖ statement
    kinds       = propose (0), notarize (1), nullify (2), finalize (3)
    certificate = [kind, epoch, view, hash, [[number, signature], …]]   exactly q, ascending

A certificate of kind 1, 2, 3 is a notarization, a nullification, a finalization. What validators a
number means is looked up by epoch (`Seats`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Self

import msgspec

from consensus.config import Verify
from consensus.quorum import quorum, witnesses
from ledger.encoding import Hash, PlatformNumber, Signature, Uint, Value
from ledger.errors import BadSignature, Malformed
from ledger.hashing import ZERO_HASH
from ledger.membership import VALIDATORS_MAX, Validator
from ledger.statements import (
    FINALIZE,
    KIND_NAMES,
    NOTARIZE,
    NULLIFY,
    PROPOSE,
    statement_message,
)

__all__ = [
    "FINALIZE",
    "KIND_NAMES",
    "NOTARIZE",
    "NULLIFY",
    "PROPOSE",
    "Certificate",
    "Seats",
    "Signed",
    "check_certificate",
    "statement_message",
]

Kind = Annotated[int, msgspec.Meta(ge=NOTARIZE, le=FINALIZE)]


class Signed(Value):
    """One validator's signature under a certificate's statement."""

    number: PlatformNumber
    signature: Signature


class Certificate(Value):
    """q validators signed the same statement."""

    kind: Kind
    epoch: Uint
    view: Uint
    hash: Hash
    signatures: Annotated[tuple[Signed, ...], msgspec.Meta(max_length=VALIDATORS_MAX)]


@dataclass(frozen=True, slots=True)
class Seats:
    """One epoch's validators, and what is computed from their number."""

    validators: tuple[Validator, ...]
    by_number: dict[int, Validator]
    numbers: tuple[int, ...]

    @classmethod
    def of(cls, validators: Sequence[Validator]) -> Self:
        """The seats of a set, in ascending order of number."""
        ordered = tuple(sorted(validators, key=lambda each: each.number))
        numbers = tuple(each.number for each in ordered)
        return cls(ordered, dict(zip(numbers, ordered, strict=True)), numbers)

    @property
    def quorum(self) -> int:
        """q of this set."""
        return quorum(len(self.numbers))

    @property
    def witnesses(self) -> int:
        """f + 1 of this set."""
        return witnesses(len(self.numbers))


def check_certificate(chain: bytes, seats: Seats, verify: Verify, certificate: Certificate) -> None:
    """Demand exactly q valid signatures of distinct validators, ascending by number.

    Raises:
        Malformed: not q, not ascending, unknown validator, or a nullification with a hash.
        BadSignature: a signature does not hold.
    """
    numbers = [each.number for each in certificate.signatures]
    if len(numbers) != seats.quorum:
        raise Malformed(f"has {len(numbers)} signatures, not {seats.quorum}", field="certificate")
    if numbers != sorted(set(numbers)) or not set(numbers) <= seats.by_number.keys():
        raise Malformed("is not of distinct validators in ascending order", field="certificate")
    if certificate.kind == NULLIFY and certificate.hash != ZERO_HASH:
        raise Malformed("a nullification names no block", field="certificate")
    message = statement_message(
        chain, certificate.kind, certificate.epoch, certificate.view, certificate.hash
    )
    for each in certificate.signatures:
        if not verify(seats.by_number[each.number].vote_key, message, each.signature):
            raise BadSignature(f"platform {each.number}'s signature of a certificate does not hold")
