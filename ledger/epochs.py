"""Epoch ends: how a stranger gets from genesis to the validator set of today. The light client.

The seal of an epoch's last block names the set of the next epoch. An *epoch end* proves that seal
under a checkpoint that a quorum of the epoch's own set has cosigned:

    epoch end = [size, seal entry: bin, [hash, …], [[number, Unix seconds, signature], …]]
    chain     = [epoch end, …]                                     canonical MessagePack

The checkpoint is the one after the epoch's last block: the seal is its last leaf, at index
size − 1. Its root is not written down: it is what the inclusion proof (RFC 9162 §2.1.3) leads to.
The cosignatures are cosignature/v1 (ledger/note.py) over `<origin>\\n<size>\\n<root>\\n`, exactly q
of them, ascending by number. So every byte of an epoch end is checked, and none can be changed.

To follow a chain: trust genesis's set for epoch 1. For each epoch end demand that its seal's height
is a multiple of `epoch_blocks` and its epoch not before the trusted one, that it names a set, that
q members of the *trusted* set cosigned, and that size and time grow. From then on trust the set
that it names, for the epoch behind it. Epochs may be passed over: a set that did not change signs
for later epochs as well, and where it did change, an epoch end without a quorum of the trusted set
is refused. So a chain needs one epoch end for each change of the set, and the newest one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from ledger import merkle
from ledger.block import SEAL_BYTES_MAX, decode_seal, encode_seal
from ledger.checkpoint import Checkpoint, cosigner_name
from ledger.encoding import Hash, Uint, Value, decode, encode
from ledger.errors import BadProof
from ledger.genesis import Foundation, genesis_seal
from ledger.membership import Validator, check_distinct, quorum
from ledger.note import (
    COSIGNATURE_V1,
    ED25519,
    TIME_BYTES,
    SignatureLine,
    Verifier,
    key_id,
)
from ledger.policy import Policy
from ledger.rows import CosignatureRow

CHAIN_ENDS_MAX: Final = 16_384
CHAIN_BYTES_MAX: Final = 64 * 1_024 * 1_024

SealEntry = Annotated[bytes, msgspec.Meta(min_length=1, max_length=SEAL_BYTES_MAX)]
Proof = Annotated[tuple[Hash, ...], msgspec.Meta(max_length=merkle.PROOF_HASHES_MAX)]


class EpochEnd(Value):
    """The seal that ends an epoch, proven under the epoch's last checkpoint."""

    size: Uint
    seal: SealEntry
    proof: Proof
    cosignatures: tuple[CosignatureRow, ...]


Chain = Annotated[tuple[EpochEnd, ...], msgspec.Meta(max_length=CHAIN_ENDS_MAX)]


@dataclass(frozen=True, slots=True)
class Trusted:
    """The set of `epoch`, and the newest proven checkpoint: `size`, `root`, the seal's `height`
    and `time` (ms). With genesis alone: size 1, height 0."""

    origin: str
    epoch_blocks: int
    epoch: int
    validators: tuple[Validator, ...]
    height: int
    size: int
    root: bytes
    time: int

    @property
    def policy(self) -> Policy:
        """The policy of the trusted set."""
        return policy_of(self.origin, self.validators)


def policy_of(origin: str, validators: Sequence[Validator]) -> Policy:
    """The policy of a validator set: any log key of theirs, and a quorum of their cosigners."""
    names = [(cosigner_name(origin, each.code), each.cosigner_key) for each in validators]
    return Policy(
        origin,
        tuple(Verifier(origin, ED25519, each.log_key) for each in validators),
        tuple((name, Verifier(name, COSIGNATURE_V1, key)) for name, key in names),
        quorum(len(validators)),
    )


def cosignature_line(
    origin: str, validator: Validator, time_s: int, signature: bytes
) -> SignatureLine:
    """A validator's cosignature/v1 as a line of a note."""
    name = cosigner_name(origin, validator.code)
    stamp = time_s.to_bytes(TIME_BYTES)
    identity = key_id(name, COSIGNATURE_V1, validator.cosigner_key)
    return SignatureLine(name, identity, stamp + signature)


def encode_chain(ends: Iterable[EpochEnd]) -> bytes:
    """The bytes of a chain."""
    return encode(tuple(ends))


def decode_chain(data: bytes) -> tuple[EpochEnd, ...]:
    """The epoch ends of a chain; nothing is verified yet.

    Raises:
        Malformed: not a chain in its one form, too many ends, or too long.
    """
    ends: tuple[EpochEnd, ...] = decode(Chain, data, bytes_max=CHAIN_BYTES_MAX, what="chain")
    return ends


def trust_genesis(foundation: Foundation) -> Trusted:
    """Where every chain begins: genesis's set, and the log with genesis's seal alone."""
    return Trusted(
        origin=foundation.origin,
        epoch_blocks=foundation.bounds.epoch_blocks,
        epoch=1,
        validators=foundation.validators,
        height=0,
        size=1,
        root=merkle.leaf_hash(encode_seal(genesis_seal(foundation))),
        time=foundation.created,
    )


def advance(trusted: Trusted, end: EpochEnd) -> Trusted:
    """The set behind an epoch end, if the trusted set vouches for it.

    Raises:
        Malformed: the seal is none, or names a set that cannot be.
        BadProof: says which step does not hold.
    """
    seal = decode_seal(end.seal)
    if seal.height % trusted.epoch_blocks or seal.validators is None:
        raise BadProof(f"block {seal.height} ends no epoch", field="seal")
    ended = seal.height // trusted.epoch_blocks
    grows = end.size > trusted.size and seal.time > trusted.time
    if ended < trusted.epoch or not grows:
        raise BadProof(f"epoch {ended} does not lead on from epoch {trusted.epoch}", field="seal")
    leaf = merkle.leaf_hash(end.seal)
    root = merkle.root_from_inclusion(leaf, end.size - 1, end.size, end.proof)
    _check_cosignatures(trusted, Checkpoint(trusted.origin, end.size, root), end.cosignatures)
    check_distinct(seal.validators)
    return Trusted(
        origin=trusted.origin,
        epoch_blocks=trusted.epoch_blocks,
        epoch=ended + 1,
        validators=seal.validators,
        height=seal.height,
        size=end.size,
        root=root,
        time=seal.time,
    )


def _check_cosignatures(
    trusted: Trusted, checkpoint: Checkpoint, rows: Sequence[CosignatureRow]
) -> None:
    members = {each.number: each for each in trusted.validators}
    numbers = [each.number for each in rows]
    needed = quorum(len(members))
    if (
        len(numbers) != needed
        or numbers != sorted(set(numbers))
        or not members.keys() >= {*numbers}
    ):
        raise BadProof(
            f"not exactly {needed} validators of epoch {trusted.epoch} cosigned, ascending",
            field="cosignatures",
        )
    text = checkpoint.text()
    for each in rows:
        member = members[each.number]
        name = cosigner_name(checkpoint.origin, member.code)
        line = cosignature_line(checkpoint.origin, member, each.time_s, each.signature)
        if not Verifier(name, COSIGNATURE_V1, member.cosigner_key).holds(text, line):
            raise BadProof(f"the cosignature of {name} does not hold", field="cosignatures")


def follow(foundation: Foundation, ends: Iterable[EpochEnd]) -> Trusted:
    """The newest set that the chain proves, from a genesis that the caller trusts.

    Raises:
        Malformed, BadProof: as `advance`.
    """
    trusted = trust_genesis(foundation)
    for end in ends:
        trusted = advance(trusted, end)
    return trusted
