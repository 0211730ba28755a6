"""Cuts, blocks, refusal lists and seals: the steps of the ledger.

    tip        = [lane, height, header hash]
    block      = [epoch, view, height, parent, tips, time]      tips: those that changed, by lane
    block hash = SHA-256("standing/block/v1\\0" ‖ chain id ‖ block)
    refusal    = [lane, batch height, position, commitment, SHA-256(salt ‖ rule)]
    refusals   = SHA-256 over the MessagePack array of all refusals of the block
    seal entry = 0x01 ‖ [height, block, previous, time, index root, refusals, parameters,
                         validators]

The genesis block has height 0, and its hash is the chain id. A header hash under a tip links to all
headers below it, so the block hash covers every batch under its cut. Block time is
max(parent's + 1, the (f+1)-th latest time of the validators' lane tips under the cut), in ms.
"""

from collections.abc import Sequence
from typing import Final

from ledger.encoding import Hash, PlatformNumber, TimeMs, Uint, Value, decode, encode
from ledger.errors import Malformed
from ledger.hashing import sha256
from ledger.membership import Validator

SEAL_KIND: Final = b"\x01"
SEAL_BYTES_MAX: Final = 65_535
"""Of a seal's entry, its kind byte with it: more no entry of the log may have."""
_BLOCK_CONTEXT: Final = b"standing/block/v1\0"


class Tip(Value):
    """How far a lane reaches under a cut."""

    lane: PlatformNumber
    height: Uint
    hash: Hash


class Block(Value):
    """One agreed cut: the parent's, moved to `tips` (ascending by lane, each a step forward)."""

    epoch: Uint
    view: Uint
    height: Uint
    parent: Hash
    tips: tuple[Tip, ...]
    time: TimeMs


class Refusal(Value):
    """A submission that stands in a lane and broke a rule: it has no entry in the log."""

    lane: PlatformNumber
    height: Uint
    position: Uint
    commitment: Hash
    rule_hash: Hash


class Seal(Value):
    """The last entry of each block: everything that one inclusion proof should lead to."""

    height: Uint
    block: Hash
    previous: Hash
    time: TimeMs
    index_root: Hash
    refusals: Hash
    parameters: Hash
    validators: tuple[Validator, ...] | None


def block_hash(chain: bytes, block: Block) -> bytes:
    """The 32-byte name of a block."""
    return sha256(_BLOCK_CONTEXT, chain, encode(block))


def refusals_hash(refusals: Sequence[Refusal]) -> bytes:
    """What the seal holds of a block's refusal list."""
    return sha256(encode(tuple(refusals)))


def rule_hash(salt: bytes, rule: str) -> bytes:
    """The public form of a broken rule: it tells only those who hold the salt."""
    return sha256(salt, rule.encode())


def encode_seal(seal: Seal) -> bytes:
    """The seal as an entry of the log."""
    return SEAL_KIND + encode(seal)


def decode_seal(entry: bytes) -> Seal:
    """Read a seal entry.

    Raises:
        Malformed: not a seal in its one form.
    """
    if entry[:1] != SEAL_KIND:
        raise Malformed("is not a seal: its kind byte is not 1", field="entry")
    return decode(Seal, entry[1:], bytes_max=SEAL_BYTES_MAX - len(SEAL_KIND), what="seal")
