"""Epochs: which heights an epoch has, who votes in it, and how the next one begins.

Epoch 0 is genesis alone. Epoch e ≥ 1 is heights E(e−1)+1 … E(e), E(e) = e · `epoch_blocks`. After
its last block E, the views of the epoch may only repeat E's cut: such a *tail* block has E's
height, E's time, no tips and E itself for its parent. It finalizes E when it is final, and is
dropped: it has no height of its own and no seal. Epoch e+1 begins at view 1 with parent E, once E
is executed and its checkpoint has q cosignatures of epoch e's set.

All look-ups of a set go through `Sets`. Epoch 1's is genesis's; every later one is named by the
seal at the end of the epoch before it: it is unknown until that block is executed here, and stands
in a row of the ledger (`M validators/<epoch>`) from then on.
"""

from consensus.certificate import Seats
from consensus.config import Config
from ledger.block import Block
from ledger.genesis import epoch_of
from ledger.membership import Validator
from ledger.rows import ValidatorsRow, read_row, validators_key
from ledger.store import Reader

NEWEST_SETS = 8
"""So many sets are kept in memory; older ones are read again."""


class Sets:
    """The validators of every epoch that is known."""

    def __init__(self, config: Config, reader: Reader) -> None:
        self._reader = reader
        self._first = Seats.of(config.validators)
        self._known: dict[int, Seats] = {}

    def of(self, epoch: int) -> Seats | None:
        """The validators of an epoch; None while the block that names them is not executed."""
        assert epoch >= 0, "epochs are counted from 0"
        if epoch <= 1:
            return self._first
        if epoch not in self._known:
            row = read_row(self._reader, ValidatorsRow, validators_key(epoch))
            if row is None:
                return None
            self.learn(epoch, row.validators)
        return self._known[epoch]

    def learn(self, epoch: int, validators: tuple[Validator, ...]) -> None:
        """Note what an executed seal names (its row may not be on disk yet)."""
        while len(self._known) >= NEWEST_SETS:
            del self._known[min(self._known)]
        self._known[epoch] = Seats.of(validators)

    def need(self, epoch: int) -> Seats:
        """The validators of an epoch whose beginning is executed here."""
        found = self.of(epoch)
        assert found is not None, "the end of the epoch before is executed"
        return found


def epoch_end(config: Config, epoch: int) -> int:
    """The height of an epoch's last block."""
    return epoch * config.bounds.epoch_blocks


def ends_epoch(config: Config, epoch: int, block: Block) -> bool:
    """Whether the block is the epoch's last: its children in that epoch can only be tail blocks."""
    return block.height == epoch_end(config, epoch)


def epoch_at(config: Config, height: int) -> int:
    """The epoch that a height belongs to."""
    return epoch_of(height, config.bounds.epoch_blocks)
