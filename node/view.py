"""What a node shows of the ledger: its newest certified checkpoint, as a note, and the policy.

A note has the node's own log line and then exactly q cosignature lines, ascending by platform
number (the policy's order). The log key signs a checkpoint only when this node has executed the
block, has it certified, and has signed no larger size: heights only rise.

They rise across restarts too: a certified row is on disk before its line is signed, and after a
start the first line is that of the newest row. Ed25519 is deterministic, so signing it again gives
the very line that was given before. Rows are written for one height after another and never
removed. (A store that was lost starts at genesis again; until such a node has caught up with q − 1
peers it serves no checkpoint, see consensus/silence.py.)
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.checkpoint import Checkpoint, format_checkpoint, sign_log_line
from ledger.epochs import cosignature_line, policy_of
from ledger.membership import Validator
from ledger.rows import BlockRow, CheckpointRow, block_key, need_row
from ledger.signing import SigningKey
from ledger.store import CHECKPOINT, Reader, after

__all__ = ["Certificate", "Notary", "cosignature_line", "policy_of"]


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
