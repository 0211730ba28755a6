"""Proofs under a snapshot: every final block with its finalization, every epoch's end certified.

A snapshot (ledger/snapshot.py) has all executed blocks (`B`), but not what proves them: that
differs from node to node. It is fetched epoch by epoch, several epochs at a time (`fetch blocks`):
the blocks must be those of the `B` rows, the last of each answer has its finalization, an epoch's
last also q cosignatures. Rows `Kf` and `C`, with which a node starts, and serves others.

The sets are those that the state names. Whether genesis's leads to them is asked at the end
(consensus/adopting.py).
"""

from collections.abc import Iterator, Sequence
from typing import Final

from consensus.asking import Asking
from consensus.certificate import FINALIZE, Certificate, Seats, check_certificate
from consensus.config import Config
from consensus.effects import Effect, Persist, Refuse, Send
from consensus.epochs import Sets, epoch_at, epoch_end
from consensus.messages import Blocks, FetchBlocks
from consensus.safety import FinalRow, final_key
from ledger.block import block_hash
from ledger.checkpoint import Checkpoint, cosignature_message
from ledger.encoding import encode
from ledger.errors import InvalidInput, StandingError
from ledger.rows import BlockRow, CheckpointRow, block_key, need_row
from ledger.store import CHECKPOINT, Changes, Reader

EPOCHS_AT_ONCE_MAX: Final = 8


class Unfit(StandingError):
    """The state's rows do not fit what a quorum has signed: the snapshot is a lie."""


class Proofs:
    """The fetching of all blocks' proofs up to `height`, an epoch's last."""

    def __init__(
        self, config: Config, reader: Reader, asking: Asking, *, height: int, proven: int
    ) -> None:
        """`proven`: up to which block (an epoch's last, or 0) an earlier run has come."""
        self._config, self._reader, self._asking = config, reader, asking
        self._sets = Sets(config, reader)
        self.height = height
        self._last_epoch = epoch_at(config, height)
        self._next_epoch = epoch_at(config, proven) + 1
        self._epochs: dict[int, int] = {}  # epoch under way → next height
        self._begin_epochs()

    @property
    def proven(self) -> int:
        """Up to which block proofs are there, without a gap: an epoch's last."""
        return epoch_end(self._config, min([*self._epochs, self._next_epoch]) - 1)

    def ask(self, now_ms: int) -> Iterator[Effect]:
        """Ask for whatever is missing, within bounds."""
        for epoch, first in self._epochs.items():
            peer = self._asking.choose(("blocks", epoch), self._asking.peers(), now_ms)
            if peer:
                yield Send(peer, FetchBlocks(first))

    def _begin_epochs(self) -> None:
        while self._next_epoch <= self._last_epoch and len(self._epochs) < EPOCHS_AT_ONCE_MAX:
            first = epoch_end(self._config, self._next_epoch - 1) + 1
            self._epochs[self._next_epoch] = first
            self._next_epoch += 1

    def take(self, peer: int, message: Blocks) -> Iterator[Effect]:
        """Upon final blocks: `Persist`, or `Refuse` whoever gave what does not hold."""
        epoch, first = message.blocks[0].epoch, message.blocks[0].height
        if self._epochs.get(epoch) != first:
            return
        self._asking.came(("blocks", epoch))
        rows = [
            need_row(self._reader, BlockRow, block_key(height))
            for height in range(first, min(first + len(message.blocks), self.height + 1))
        ]
        reason = self._blocks_fault(message, rows)
        if reason:
            self._asking.refuse(peer)
            yield Refuse(peer, reason)
            return
        last = rows[-1].block
        changes: Changes = {
            final_key(row.block.height): encode(FinalRow(row.block, None, None)) for row in rows
        }
        changes[final_key(last.height)] = encode(FinalRow(last, message.finalization, message.tail))
        if message.checkpoint is not None:
            changes[CHECKPOINT + last.height.to_bytes(8)] = encode(message.checkpoint)
        if last.height == epoch_end(self._config, epoch):
            del self._epochs[epoch]
            self._begin_epochs()
        else:
            self._epochs[epoch] = last.height + 1
        yield Persist(changes)

    def _blocks_fault(self, message: Blocks, rows: Sequence[BlockRow]) -> str:
        chain, last = self._config.chain, message.blocks[-1]
        if message.blocks != tuple(row.block for row in rows) or {
            epoch_at(self._config, row.block.height) for row in rows
        } != {last.epoch}:
            return "snapshot_blocks"
        named, view = block_hash(chain, last), last.view
        tail = message.tail
        if tail is not None:
            if tail.parent != named or tail.height != last.height or tail.tips:
                return "snapshot_blocks"
            named, view = block_hash(chain, tail), tail.view
        certificate, seats = message.finalization, seats_of(self._sets, last.epoch)
        given = certificate.kind, certificate.epoch, certificate.view, certificate.hash
        if given != (FINALIZE, last.epoch, view, named) or not self._holds(seats, certificate):
            return "snapshot_finalization"
        row, is_end = message.checkpoint, last.height == epoch_end(self._config, last.epoch)
        told = (last.height, rows[-1].size, rows[-1].root)
        if row is None:
            return "snapshot_checkpoint" if is_end else ""
        if (row.height, row.size, row.root) != told or not certifies(self._config, seats, row):
            return "snapshot_checkpoint"
        return ""

    def _holds(self, seats: Seats, certificate: Certificate) -> bool:
        try:
            check_certificate(self._config.chain, seats, self._config.verify, certificate)
        except InvalidInput:
            return False
        return True


def seats_of(sets: Sets, epoch: int) -> Seats:
    """The set of an epoch, as the state names it.

    Raises:
        Unfit: it does not.
    """
    seats = sets.of(epoch)
    if seats is None:
        raise Unfit(f"the state names no set of epoch {epoch}")
    return seats


def certifies(config: Config, seats: Seats, row: CheckpointRow) -> bool:
    """Whether a row has exactly q valid cosignatures of distinct members, ascending."""
    numbers = [each.number for each in row.cosignatures]
    if len(numbers) != seats.quorum or numbers != sorted(set(numbers)):
        return False
    text = Checkpoint(config.origin, row.size, row.root).text()
    return all(
        each.number in seats.by_number
        and config.verify(
            seats.by_number[each.number].cosigner_key,
            cosignature_message(each.time_s, text),
            each.signature,
        )
        for each in row.cosignatures
    )
