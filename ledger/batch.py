"""Batches: a run of submissions in one platform's lane, under one Merkle root and one signature.

    submission = [salt, record, signatures]                      salt 16 bytes, the others `bin`
    commitment = SHA-256(salt ‖ u32be(len(record)) ‖ record ‖ signatures)
    header     = [epoch, lane, height, previous, count, root, time]
    root       = RFC 6962 root over the commitments as leaves, in order (empty batch: SHA-256(""))
    hash       = SHA-256("standing/header/v1\\0" ‖ chain id ‖ header)
    signature  = Ed25519 by the lane key over "standing/batch/v1\\0" ‖ chain id ‖ header
    batch      = [header, signature, [submission, …]]

`previous` is the hash of the lane's header below; at height 1, the lowest, it is the chain id.
The record id is the commitment. Signatures stand end to end, 64 bytes each.
"""

from collections.abc import Sequence
from functools import cached_property
from hashlib import sha256 as _sha256
from struct import Struct
from typing import Annotated, Final, Self

import msgspec

from ledger import merkle
from ledger.encoding import Hash, PlatformNumber, Salt, Signature, TimeMs, Uint, Value, encode
from ledger.hashing import sha256
from ledger.signing import signed_message

SIGNATURES_MAX: Final = 4
SALT_BYTES: Final = 16
ENTRY_BYTES: Final = 47
_PLACE: Final = Struct(">BIQH")
_HEADER_CONTEXT: Final = b"standing/header/v1\0"


class Submission(Value):
    """One record with the salt of its commitment and the signatures it carries."""

    salt: Salt
    record: bytes
    signatures: Annotated[bytes, msgspec.Meta(max_length=64 * SIGNATURES_MAX)]


class Header(Value):
    """What a platform signs: its lane's next step."""

    epoch: Uint
    lane: PlatformNumber
    height: Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]
    previous: Hash
    count: Annotated[int, msgspec.Meta(ge=0, le=65_535)]
    root: Hash
    time: TimeMs


class Batch(Value, dict=True, gc=True):
    """A header, its platform's signature, and the submissions under its root."""

    header: Header
    signature: Signature
    submissions: tuple[Submission, ...]

    @cached_property
    def commitments(self) -> tuple[bytes, ...]:
        """The commitments to the submissions: hashed once, for the first gate and execution."""
        return tuple([commitment(each) for each in self.submissions])

    @cached_property
    def payload_root(self) -> bytes:
        """The root over the commitments: hashed once."""
        return batch_root(self.commitments)

    @cached_property
    def is_checked(self) -> bool:
        """Whether all records are known to keep the stateless rules; said by `knowing` only."""
        return False

    def knowing(self, commitments: tuple[bytes, ...], root: bytes, *, is_checked: bool) -> Self:
        """This batch with what the caller has computed of it elsewhere, on its own authority."""
        known = {"commitments": commitments, "payload_root": root, "is_checked": is_checked}
        vars(self).update(known)
        return self


def commitment(submission: Submission) -> bytes:
    """The 32-byte commitment to a submission: the record id."""
    record = submission.record
    return _sha256(
        b"%b%b%b%b" % (submission.salt, len(record).to_bytes(4), record, submission.signatures)
    ).digest()


def batch_root(commitments: Sequence[bytes]) -> bytes:
    """RFC 6962 root over the commitments of a batch."""
    return merkle.root([merkle.leaf_hash(each) for each in commitments])


def header_hash(chain: bytes, header: Header) -> bytes:
    """The name of a batch: what the next header's `previous`, hints and cuts refer to."""
    return sha256(_HEADER_CONTEXT, chain, encode(header))


def header_message(chain: bytes, header: Header) -> bytes:
    """What the lane key signs."""
    return signed_message("batch", chain, encode(header))


def entry_of(lane: int, height: int, position: int, commitment_: bytes) -> bytes:
    """The public leaf of a record in the log (47 bytes).

    kind 0 (u8) ‖ lane (u32be) ‖ batch height (u64be) ‖ position (u16be) ‖ commitment (32)
    """
    return _PLACE.pack(0, lane, height, position) + commitment_
