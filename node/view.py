"""What a node shows of the ledger: its newest certified checkpoint, as a note, and the policy.

A note has the node's own log line and then exactly q cosignature lines, ascending by platform
number (the policy's order). The log key signs a checkpoint only when this node has executed the
block, has it certified, and has signed no larger size: heights only rise.

They rise across restarts too: a certified row is on disk before its line is signed, and after a
start the rows of the last blocks are signed in order. Ed25519 is deterministic, so signing one
again gives the very line that was given before: that is how older checkpoints are served. Rows are
written in order of height and never removed. (A store that was lost starts at genesis again; until
such a node has caught up with its peers it serves no checkpoint, see `Driver.knows_log`.)
"""

from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice
from typing import Final

from ledger.block import SEAL_KIND, decode_seal
from ledger.checkpoint import Checkpoint, format_checkpoint, sign_log_line
from ledger.epochs import cosignature_line, policy_of
from ledger.errors import Malformed, StoreDamaged
from ledger.membership import Validator
from ledger.rows import (
    REPAIR,
    BlockRow,
    CheckpointRow,
    ValidatorsRow,
    block_key,
    describe_key,
    leaf_key,
    need_row,
    read_row,
    validators_key,
)
from ledger.signing import SigningKey
from ledger.store import CHECKPOINT, Reader, after

__all__ = ["Certificate", "Notary", "cosignature_line", "policy_of"]

SIGNED_AGAIN: Final = 256
"""So many of the newest certified rows are signed again at a start."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certified checkpoint: block height and time (ms), the log's size and root, and the note."""

    height: int
    size: int
    root: bytes
    note: bytes
    time: int


@dataclass(slots=True)
class Notary:
    """Makes this node's notes of certified checkpoints.

    A checkpoint is signed by the log key that its epoch's set names, if it is held; else by the
    newest one: a reader whose policy is that epoch's then takes another node's note. `earlier` are
    keys that were in force since the start.
    """

    origin: str
    log_key: SigningKey
    reader: Reader
    earlier: tuple[SigningKey, ...] = ()

    def hold(self, log_key: SigningKey) -> None:
        """Another log key is in force."""
        self.log_key, self.earlier = log_key, (self.log_key, *self.earlier)

    def _key_of(self, members: Collection[Validator]) -> SigningKey:
        named = {each.log_key for each in members}
        held = (self.log_key, *self.earlier)
        return next((each for each in held if each.public in named), self.log_key)

    def certify(self, row: CheckpointRow) -> Certificate:
        """The certificate of a checkpoint whose block this node has executed."""
        block = need_row(self.reader, BlockRow, block_key(row.height)).block
        members = {
            validator.number: validator
            for validator in need_row(
                self.reader, ValidatorsRow, validators_key(block.epoch)
            ).validators
        }
        checkpoint = Checkpoint(self.origin, row.size, row.root)
        lines = [
            cosignature_line(self.origin, members[each.number], each.time_s, each.signature)
            for each in row.cosignatures
        ]
        note = format_checkpoint(
            checkpoint,
            sign_log_line(self._key_of(members.values()), self.origin, checkpoint),
            lines,
        )
        return Certificate(row.height, row.size, row.root, note, block.time)

    def newest(self) -> Certificate | None:
        """The certificate of the newest certified checkpoint in the store."""
        rows = islice(self.reader.scan(CHECKPOINT, after(CHECKPOINT), reverse=True), SIGNED_AGAIN)
        newest: Certificate | None = None
        for key in reversed([key for key, _ in rows]):
            newest = self.certify(need_row(self.reader, CheckpointRow, key))
        return newest

    def of_size(self, size: int) -> Certificate | None:
        """The certificate of the checkpoint of this size, or None if none is certified.

        Raises:
            StoreDamaged: a row is missing or not what was written.
        """
        entry = self.reader.get(leaf_key(size - 1)) or b""
        if entry[:1] != SEAL_KIND:
            return None
        try:
            height = decode_seal(entry).height
        except Malformed as error:
            raise StoreDamaged(describe_key(leaf_key(size - 1)), f"{error}; {REPAIR}") from error
        key = CHECKPOINT + height.to_bytes(8)
        row = read_row(self.reader, CheckpointRow, key)
        if row is not None and row.size != size:
            raise StoreDamaged(describe_key(key), f"has another size than its block; {REPAIR}")
        return None if row is None else self.certify(row)
