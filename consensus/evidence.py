"""Evidence: two conflicting messages signed by one key, kept for whoever judges them.

A closed list, per key: two batches at a height; two proposals, two notarizes, or finalize and
nullify in a view; two roots for a size. One row per (key, slot), `Ke`, so that it survives a crash.
Both messages carry their signatures: anyone can verify them offline, so nobody can be framed. What
the parts are, and how they are judged again, is said in `ledger/statements.py`."""

from ledger.statements import (
    FINALIZE_AND_NULLIFY,
    TWO_BATCHES,
    TWO_NOTARIZES,
    TWO_PROPOSALS,
    TWO_ROOTS,
    Evidence,
    part,
)

__all__ = [
    "FINALIZE_AND_NULLIFY",
    "TWO_BATCHES",
    "TWO_NOTARIZES",
    "TWO_PROPOSALS",
    "TWO_ROOTS",
    "Evidence",
    "evidence_key",
    "part",
]


def evidence_key(prefix: bytes, evidence: Evidence) -> bytes:
    """The row's key: one per platform, kind and slot."""
    return b"%b%b%b%b%b" % (
        prefix,
        evidence.number.to_bytes(4),
        evidence.kind.to_bytes(1),
        evidence.epoch.to_bytes(8),
        evidence.slot.to_bytes(8),
    )
