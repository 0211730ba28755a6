"""Evidence: two conflicting messages signed by one key, kept for whoever judges them.

A closed list, per key: two batches at a height; two proposals, two notarizes, or finalize and
nullify in a view; two roots for a size. One row per (key, slot), `Ke`, so that it survives a crash.
Both messages carry their signatures: anyone can verify them offline, so nobody can be framed."""

from typing import Annotated, Final

import msgspec

from ledger.encoding import PlatformNumber, Small, Uint, Value, encode

TWO_BATCHES: Final = 1
TWO_PROPOSALS: Final = 2
TWO_NOTARIZES: Final = 3
FINALIZE_AND_NULLIFY: Final = 4
TWO_ROOTS: Final = 5

Part = Annotated[bytes, msgspec.Meta(max_length=65_535)]


class Evidence(Value):
    """What a platform signed twice. `epoch` is 0 and `slot` the height or size where there is no
    view; each part is the signed statement's MessagePack, then its 64-byte signature."""

    kind: Small
    number: PlatformNumber
    epoch: Uint
    slot: Uint
    first: Part
    second: Part


def evidence_key(prefix: bytes, evidence: Evidence) -> bytes:
    """The row's key: one per platform, kind and slot."""
    return b"%b%b%b%b%b" % (
        prefix,
        evidence.number.to_bytes(4),
        evidence.kind.to_bytes(1),
        evidence.epoch.to_bytes(8),
        evidence.slot.to_bytes(8),
    )


def part(statement: object, signature: bytes) -> bytes:
    """One signed message as evidence keeps it."""
    return encode(statement) + signature
