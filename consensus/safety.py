"""What must be durable before anything is sent, and the rules no signature may break.

Rows (prefix `K`; integers big-endian, values canonical MessagePack):

| key | value | written |
|---|---|---|
| `Kv` u64 epoch, u64 view, u8 kind | [hash, signature] | own vote, before it is sent |
| `Kp` u64 epoch, u64 view, hash | [block, signature] | a proposal, before any vote |
| `Kc` u64 epoch, u64 view, u8 kind | certificate | when it is formed or received |
| `Kf` u64 height | [block, finalization or nil, tail or nil] | once final, before `Execute` |
| `Kh` u32 lane, u64 height, hash | u64 order of arrival | with `H`, `S` rows; until executed |
| `Ks` u64 height | [size, root, time in s, signature] | own cosignature, before it is sent |
| `Ke` u32 number, u8 kind, u64, u64 | evidence | on sight of two conflicting messages |
| `Kg` u32 number | [kind, epoch, view, hash, signature] | its newest vote of closed views |
| `Kn` | [what was shown, or nil] | new store; signature forgotten (`silence`) |

`Kv`, `Kp`, `Kc` rows of a view are removed in the same write that makes a block of that or a later
view final (the node then never signs in that view again: it starts at the view after the newest
finalization), or that begins the next epoch. `Kf` rows stay for ever: peers catch up from them.

Rules of signing, in one epoch (each a function here, so that a test can break it and see the
network fork): one proposal per view; one notarize per view, and none after nullify; finalize only
where no nullify was signed; nullify only where no finalize was signed.

Whether a store still holds all this after a loss, a restore or a lie of the disk, the node asks its
peers at every start, before it signs anything (`silence`, `recall`).
"""

from typing import TYPE_CHECKING, Final

from consensus.certificate import FINALIZE, NOTARIZE, NULLIFY, Certificate, Kind
from ledger.block import Block
from ledger.encoding import Hash, Signature, Uint, Value
from ledger.store import CONSENSUS

if TYPE_CHECKING:
    from consensus.state import Round

VOTE: Final = CONSENSUS + b"v"
PROPOSAL: Final = CONSENSUS + b"p"
CERTIFICATE: Final = CONSENSUS + b"c"
FINAL: Final = CONSENSUS + b"f"
PENDING: Final = CONSENSUS + b"h"
COSIGNED: Final = CONSENSUS + b"s"
EVIDENCE: Final = CONSENSUS + b"e"
NEWEST: Final = CONSENSUS + b"g"

UNSIGNED: Final = bytes(64)
"""Stands for the leader's signature in the `Kp` row of a block that came with a certificate."""


class VoteRow(Value):
    """An own vote; kind, epoch and view stand in the key."""

    hash: Hash
    signature: Signature


class ProposalRow(Value):
    """A proposal with its leader's signature."""

    block: Block
    signature: Signature


class FinalRow(Value):
    """A final block; the finalization is of it, or of `tail`, or (nil) of a later final block."""

    block: Block
    finalization: Certificate | None
    tail: Block | None


class CosignedRow(Value):
    """An own cosignature."""

    size: Uint
    root: Hash
    time_s: Uint
    signature: Signature


class NewestRow(Value):
    """A validator's newest vote of the views that are closed here."""

    kind: Kind
    epoch: Uint
    view: Uint
    hash: Hash
    signature: Signature


def vote_key(epoch: int, view: int, kind: int) -> bytes:
    """Where an own vote stands."""
    return b"%b%b%b%b" % (VOTE, epoch.to_bytes(8), view.to_bytes(8), kind.to_bytes(1))


def proposal_key(epoch: int, view: int, hash_: bytes) -> bytes:
    """Where a proposal stands."""
    return b"%b%b%b%b" % (PROPOSAL, epoch.to_bytes(8), view.to_bytes(8), hash_)


def certificate_key(epoch: int, view: int, kind: int) -> bytes:
    """Where a certificate stands."""
    return b"%b%b%b%b" % (CERTIFICATE, epoch.to_bytes(8), view.to_bytes(8), kind.to_bytes(1))


def final_key(height: int) -> bytes:
    """Where a final block stands."""
    return FINAL + height.to_bytes(8)


def pending_key(lane: int, height: int, hash_: bytes) -> bytes:
    """Where it stands that a batch is held and not executed."""
    return b"%b%b%b%b" % (PENDING, lane.to_bytes(4), height.to_bytes(8), hash_)


def cosigned_key(height: int) -> bytes:
    """Where an own cosignature stands."""
    return COSIGNED + height.to_bytes(8)


def newest_key(number: int) -> bytes:
    """Where a validator's newest vote of closed views stands."""
    return NEWEST + number.to_bytes(4)


def may_notarize(round_: "Round") -> bool:
    """One notarize per view, and none after nullify."""
    return NOTARIZE not in round_.own and NULLIFY not in round_.own


def may_finalize(round_: "Round") -> bool:
    """One finalize per view, none after nullify: no later parent can jump over a final block."""
    return FINALIZE not in round_.own and NULLIFY not in round_.own


def may_nullify(round_: "Round") -> bool:
    """One nullify per view, and none after finalize."""
    return NULLIFY not in round_.own and FINALIZE not in round_.own
