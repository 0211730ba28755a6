"""What a node shows of the ledger: its newest certified checkpoint, as a note, and the policy.

A note has the node's own log line and then exactly q cosignature lines, ascending by platform
number (the policy's order). The log key signs a checkpoint only when this node has executed the
block, has it certified, and has signed no larger size: heights only rise.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from consensus.quorum import quorum
from ledger.checkpoint import Checkpoint, cosigner_name, format_checkpoint, sign_log_line
from ledger.membership import Validator
from ledger.note import COSIGNATURE_V1, ED25519, TIME_BYTES, SignatureLine, Verifier, key_id
from ledger.policy import Policy
from ledger.rows import BlockRow, CheckpointRow, block_key, need_row
from ledger.signing import SigningKey
from ledger.store import CHECKPOINT, Reader, after


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certified checkpoint: block height and time (ms), the log's size and root, and the note."""

    height: int
    size: int
    root: bytes
    note: bytes
    time: int


@dataclass(frozen=True, slots=True)
class Notary:
    """Makes this node's notes of certified checkpoints."""

    origin: str
    validators: Sequence[Validator]
    log_key: SigningKey
    reader: Reader

    def certify(self, row: CheckpointRow) -> Certificate:
        """The certificate of a checkpoint whose block this node has executed."""
        checkpoint = Checkpoint(self.origin, row.size, row.root)
        members = {validator.number: validator for validator in self.validators}
        lines = [
            cosignature_line(self.origin, members[each.number], each.time_s, each.signature)
            for each in row.cosignatures
        ]
        block = need_row(self.reader, BlockRow, block_key(row.height))
        note = format_checkpoint(
            checkpoint, sign_log_line(self.log_key, self.origin, checkpoint), lines
        )
        return Certificate(row.height, row.size, row.root, note, block.block.time)

    def newest(self) -> Certificate | None:
        """The certificate of the newest certified checkpoint in the store."""
        for key, _ in self.reader.scan(CHECKPOINT, after(CHECKPOINT), reverse=True):
            return self.certify(need_row(self.reader, CheckpointRow, key))
        return None


def cosignature_line(
    origin: str, validator: Validator, time_s: int, signature: bytes
) -> SignatureLine:
    """A validator's cosignature/v1 as a line of a note."""
    name = cosigner_name(origin, validator.code)
    stamp = time_s.to_bytes(TIME_BYTES)
    identity = key_id(name, COSIGNATURE_V1, validator.cosigner_key)
    return SignatureLine(name, identity, stamp + signature)


def policy_of(origin: str, validators: Sequence[Validator]) -> Policy:
    """The policy of a validator set: any log key of theirs, and a quorum of their cosigners."""
    names = [(cosigner_name(origin, each.code), each.cosigner_key) for each in validators]
    return Policy(
        origin,
        tuple(Verifier(origin, ED25519, each.log_key) for each in validators),
        tuple((name, Verifier(name, COSIGNATURE_V1, key)) for name, key in names),
        quorum(len(validators)),
    )
