"""Members and validators: who may write which lane, vote, cosign and sign checkpoints.

A platform is one member: one number, one lane, one validator. Its six keys are distinct, unique for
ever, and registered with a proof of possession: each key's signature over
`signed_message("possession", zero chain id, MessagePack [number, code, purpose, public key])`.
The link certificate is self-signed by the link key, which proves possession of it.
"""

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from ledger.encoding import PublicKey, Signature, Value, encode
from ledger.errors import BadSignature, Malformed
from ledger.hashing import ZERO_HASH
from ledger.signing import check, is_valid_public_key, signed_message

VALIDATORS_MAX: Final = 100
PURPOSES: Final = ("root", "lane", "vote", "cosigner", "log")
CERTIFICATE_BYTES_MAX: Final = 2_048

MEMBER_NUMBER_MAX: Final = 2**31 - 1
"""Numbers above are no member's: on links they are observers' (node/links/tls.py)."""

MemberNumber = Annotated[int, msgspec.Meta(ge=1, le=MEMBER_NUMBER_MAX)]
PlatformCode = Annotated[
    str,
    msgspec.Meta(min_length=1, max_length=32, pattern=r"^(?![0-9]+\Z)[a-z0-9]+(?:-[a-z0-9]+)*\Z"),
]
"""Not of digits alone: where a platform is looked up, those are its number."""
Certificate = Annotated[bytes, msgspec.Meta(min_length=1, max_length=CERTIFICATE_BYTES_MAX)]


class Validator(Value):
    """A member's public keys, as the seal at an epoch's end names them."""

    number: MemberNumber
    code: PlatformCode
    root_key: PublicKey
    lane_key: PublicKey
    vote_key: PublicKey
    cosigner_key: PublicKey
    log_key: PublicKey
    certificate: Certificate

    def key(self, purpose: str) -> bytes:
        """The public key for one of `PURPOSES`."""
        found: bytes = getattr(self, f"{purpose}_key")
        return found


class Proofs(Value):
    """Proofs of possession of a validator's keys, in the order of `PURPOSES`."""

    root: Signature
    lane: Signature
    vote: Signature
    cosigner: Signature
    log: Signature


def possession_message(number: int, code: str, purpose: str, public_key: bytes) -> bytes:
    """What a key signs to prove that its owner holds it."""
    return signed_message("possession", ZERO_HASH, encode((number, code, purpose, public_key)))


def check_possession(validator: Validator, proofs: Proofs) -> None:
    """Check every key of a validator and its proof of possession.

    Raises:
        BadSignature: a key is no valid point, or its proof does not hold.
    """
    for purpose in PURPOSES:
        key = validator.key(purpose)
        what = f"{purpose} key of platform {validator.code}"
        if not is_valid_public_key(key):
            raise BadSignature(f"{what} is not a valid Ed25519 key")
        message = possession_message(validator.number, validator.code, purpose, key)
        check(key, message, getattr(proofs, purpose), what=f"proof of possession of the {what}")


def check_distinct(validators: Sequence[Validator]) -> None:
    """Refuse a set with a number beyond the bound, or a number, code, key or certificate that
    stands in it twice.

    Raises:
        Malformed: says which.
    """
    if not 1 <= len(validators) <= VALIDATORS_MAX:
        raise Malformed(f"a network has 1 to {VALIDATORS_MAX} validators", field="validators")
    seen: set[object] = set()
    for validator in validators:
        if not 1 <= validator.number <= MEMBER_NUMBER_MAX:
            raise Malformed(f"{validator.number} is no member's number", field="validators")
        keys = [validator.key(purpose) for purpose in PURPOSES]
        for item in (validator.number, validator.code, validator.certificate, *keys):
            if item in seen:
                raise Malformed(f"{item!r} stands there twice", field="validators")
            seen.add(item)
    if [each.number for each in validators] != sorted(each.number for each in validators):
        raise Malformed("are not in ascending order of number", field="validators")


def faults(count: int) -> int:
    """f = ⌊(n − 1) / 3⌋: how many of n validators may be faulty in any way."""
    return (count - 1) // 3


def quorum(count: int) -> int:
    """q = n − f: how many of n validators make a checkpoint final; two quorums share an honest
    one."""
    return count - faults(count)
