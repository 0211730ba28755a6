"""What a node shows of the ledger: its newest certified checkpoint, as a note, and the policy.

A note has one log line and then exactly q cosignature lines, ascending by platform number (the
policy's order). The log key signs a checkpoint only when this node has executed the block, has it
certified, and has signed no larger size: heights only rise.

The log line is one that the policy of the checkpoint's epoch accepts: the node's own where that
epoch's set names its log key. A node that it does not name (an observer, a platform that has just
joined, or under new keys for older checkpoints) has none of its own to give: it serves a member's
line, kept in a row `N "l" ‖ u64 height` = [log key, signature]. It gets them from its peers
(node/loglines.py). Before its own key is destroyed, a node keeps its lines of the newest ones.

They rise across restarts too: a certified row is on disk before its line is signed, and after a
start the rows of the last blocks are signed in order. Ed25519 is deterministic, so signing one
again gives the very line that was given before: that is how older checkpoints are served. Rows are
written in order of height and never removed. (A store that was lost starts at genesis again; until
such a node has caught up with its peers it serves no checkpoint, see `Driver.knows_log`.)
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import Final

from ledger.block import SEAL_KIND, decode_seal
from ledger.checkpoint import Checkpoint, format_checkpoint, sign_log_line
from ledger.encoding import PublicKey, Signature, Value, encode
from ledger.epochs import cosignature_line, policy_of
from ledger.errors import Malformed, StoreDamaged
from ledger.membership import Validator
from ledger.note import ED25519, SignatureLine, Verifier, key_id
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
from ledger.store import CHECKPOINT, NODE, Changes, Reader, after

__all__ = ["Certificate", "LogLineRow", "Notary", "cosignature_line", "policy_of"]

SIGNED_AGAIN: Final = 256
"""So many of the newest certified rows are signed again at a start."""
LINES_KEPT_MAX: Final = 4_096
"""So many of the newest lines are kept when a log key goes: as many as the widest window has."""
LINES_AT_ONCE: Final = 64
"""So many of them are signed in one turn of the event loop: some 5 ms."""
LOG_LINE: Final = NODE + b"l"


class LogLineRow(Value):
    """A member's log signature of the checkpoint after a block."""

    key: PublicKey
    signature: Signature


def log_line_key(height: int) -> bytes:
    """Where the log line of a height is kept."""
    return LOG_LINE + height.to_bytes(8)


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
    """Makes this node's notes of certified checkpoints. `log_key`: None for an observer."""

    origin: str
    log_key: SigningKey | None
    reader: Reader
    _set: tuple[int, Mapping[int, Validator]] = (0, MappingProxyType({}))

    def members(self, height: int) -> Mapping[int, Validator]:
        """The set of a block's epoch, by number."""
        epoch = need_row(self.reader, BlockRow, block_key(height)).block.epoch
        if epoch != self._set[0]:
            row = need_row(self.reader, ValidatorsRow, validators_key(epoch))
            self._set = epoch, {validator.number: validator for validator in row.validators}
        return self._set[1]

    def signs(self, row: CheckpointRow) -> bool:
        """Whether the set of the checkpoint's epoch names this node's log key."""
        key = self.log_key
        return key is not None and any(
            each.log_key == key.public for each in self.members(row.height).values()
        )

    def own_line(self, row: CheckpointRow) -> LogLineRow | None:
        """This node's log line of a checkpoint, if the epoch's set names its key."""
        key = self.log_key
        if key is None or not self.signs(row):
            return None
        line = sign_log_line(key, self.origin, Checkpoint(self.origin, row.size, row.root))
        return LogLineRow(key.public, line.signature)

    def holds(self, row: CheckpointRow, line: LogLineRow) -> bool:
        """Whether a log line is one that the policy of the checkpoint's epoch accepts."""
        if line.key not in {each.log_key for each in self.members(row.height).values()}:
            return False
        text = Checkpoint(self.origin, row.size, row.root).text()
        return Verifier(self.origin, ED25519, line.key).holds(text, self._format(line))

    def kept(self, height: int) -> LogLineRow | None:
        """The line that is kept of a height."""
        return read_row(self.reader, LogLineRow, log_line_key(height))

    def last_lines(self) -> Iterator[Changes]:
        """Rows that keep the own lines of the newest checkpoints, for when the log key goes; some
        in each turn, since each costs a signature."""
        scanned = self.reader.scan(CHECKPOINT, after(CHECKPOINT), reverse=True)
        keys = [key for key, _ in islice(scanned, LINES_KEPT_MAX)]
        for first in range(0, len(keys), LINES_AT_ONCE):
            rows: Changes = {}
            for key in keys[first : first + LINES_AT_ONCE]:
                row = need_row(self.reader, CheckpointRow, key)
                line = self.own_line(row)
                if line is not None:
                    rows[log_line_key(row.height)] = encode(line)
            yield rows

    def _format(self, line: LogLineRow) -> SignatureLine:
        return SignatureLine(self.origin, key_id(self.origin, ED25519, line.key), line.signature)

    def _newest_rows(self) -> Iterator[CheckpointRow]:
        for key, _ in self.reader.scan(CHECKPOINT, after(CHECKPOINT), reverse=True):
            yield need_row(self.reader, CheckpointRow, key)

    def certify(self, row: CheckpointRow) -> Certificate | None:
        """The certificate of a checkpoint whose block this node has executed; None while no log
        line of it is known that its policy accepts."""
        line = self.own_line(row) or self.kept(row.height)
        if line is None:
            return None
        members = self.members(row.height)
        checkpoint = Checkpoint(self.origin, row.size, row.root)
        lines = [
            cosignature_line(self.origin, members[each.number], each.time_s, each.signature)
            for each in row.cosignatures
        ]
        note = format_checkpoint(checkpoint, self._format(line), lines)
        time = need_row(self.reader, BlockRow, block_key(row.height)).block.time
        return Certificate(row.height, row.size, row.root, note, time)

    def newest_row(self) -> CheckpointRow | None:
        """The newest certified checkpoint in the store."""
        return next(self._newest_rows(), None)

    def newest(self) -> Certificate | None:
        """The certificate of the newest certified checkpoint in the store that has a log line."""
        rows = list(islice(self._newest_rows(), SIGNED_AGAIN))
        newest: Certificate | None = None
        for row in reversed(rows):
            newest = self.certify(row) or newest
        return newest

    def of_size(self, size: int) -> Certificate | None:
        """The certificate of the checkpoint of this size, or None if none is certified here, or no
        log line of it known.

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
